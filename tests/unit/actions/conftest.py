"""What the tests of actions share: a simulated kumod in this process, a clock that stands still, calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from remediator.actions.http_client import HttpClient
from remediator.actions.kumomta.client import Kumod
from remediator.actions.targets import KumoTargets, Node
from remediator.core.params import Json
from remediator.demo.kumod.app import create_app
from remediator.demo.kumod.node import Kumod as SimulatedKumod
from remediator.ports import Call

START = 1_795_518_300.0


@dataclass
class HandClock:
    """Time that goes on only when a test says so; a rest is over at once and moves it."""

    at: float = START
    rests: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.at += seconds


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


class Wire(httpx.AsyncBaseTransport):
    """Passes requests on. `cut` names those whose answer gets lost, as "METHOD path"; `seen` lists all of them."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.cut: set[str] = set()
        self.seen: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = f"{request.method} {request.url.path}"
        self.seen.append(name)
        response = await self._inner.handle_async_request(request)
        if name in self.cut:
            raise httpx.ReadError("the connection was reset")
        return response


@dataclass
class Bench:
    """One simulated kumod, what speaks to it, and what it was asked to change."""

    clock: HandClock
    sim: SimulatedKumod
    kumod: Kumod
    wire: Wire

    def suspensions(self) -> list[object]:
        """What is suspended now."""
        return list(self.sim.orders.suspensions.active(self.clock.at))

    def posts(self, path: str) -> list[Mapping[str, object]]:
        """The bodies of the changes that reached this path and were applied."""
        bodies = [entry["body"] for entry in self.sim.ledger.entries() if entry["path"] == path and entry["applied"]]
        return [body if isinstance(body, dict) else {} for body in bodies]


@dataclass(frozen=True)
class ShapingFile:
    """The file in which a kumod's rates stand."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def write(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")


@pytest.fixture
def shaping(tmp_path: Path, request: pytest.FixtureRequest) -> ShapingFile:
    """A shaping file with the text BEFORE of the module that asks for it."""
    file = ShapingFile(tmp_path / "shaping.toml")
    file.write(str(request.module.BEFORE))
    return file


def make_bench(clock: HandClock, *, version: str = "2026.06.23", shaping: Path | None = None) -> Bench:
    sim = SimulatedKumod(now=clock.at, name="mta1", version=version, shaping_file=shaping)
    wire = Wire(httpx.ASGITransport(create_app(sim, clock.now), client=("127.0.0.1", 50_000)))
    targets = KumoTargets(
        nodes={"mta1": Node(name="mta1", url="http://mta1.example:8000")},
        shaping_files={"mta1": shaping} if shaping else {},
    )
    kumod = Kumod(targets, http=HttpClient(transport=wire, rest=clock.sleep), clock=clock)
    return Bench(clock, sim, kumod, wire)


@pytest.fixture
def bench(clock: HandClock) -> Bench:
    return make_bench(clock)


@pytest.fixture
def make(clock: HandClock) -> Callable[..., Bench]:
    """Builds a bench over another version or with a shaping file."""

    def build(*, version: str = "2026.06.23", shaping: Path | None = None) -> Bench:
        return make_bench(clock, version=version, shaping=shaping)

    return build


@pytest.fixture
def make_call(clock: HandClock) -> Callable[..., Call]:
    """Builds calls; `expires_in` None means that nothing is to be taken back."""

    def build(
        arguments: Mapping[str, Json],
        *,
        key: str = "inc-7f3kq2m8.1/0",
        expires_in: float | None = 7200.0,
        timeout: float = 30.0,
        issued_at: float | None = None,
    ) -> Call:
        return Call(
            issued_at=issued_at,
            arguments=arguments,
            key=key,
            timeout=timeout,
            now=clock.at,
            incident=key.partition(".")[0],
            expires_at=None if expires_in is None else clock.at + expires_in,
        )

    return build
