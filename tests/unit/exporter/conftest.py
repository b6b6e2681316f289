"""A clock that only sleeping moves, a resolver out of a table, and an exporter that is asked in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from remediator.config.exporter_settings import ExporterSettings, load_exporter_settings
from remediator.exporter.answers import Reply
from remediator.exporter.process import Built, ExporterOptions, build
from tests.kit.dns_double import DnsDouble, dns_double

EPOCH = 1_790_000_000.0


@dataclass(slots=True)
class VirtualClock:
    """Days pass while one waits for them, as far as `pass_time` lets them; `slept` counts the waits."""

    moment: float = 0.0
    slept: int = 0
    _end: float = 0.0
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    def now(self) -> float:
        """Wall clock."""
        return EPOCH + self.moment

    def monotonic(self) -> float:
        """The same, from another beginning."""
        return self.moment

    async def sleep(self, seconds: float) -> None:
        """Moves time, once it may move so far."""
        until = self.moment + max(0.0, seconds)
        while until > self._end:
            await self._moved.wait()
        self.slept += 1
        self.moment = max(self.moment, until)
        await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        """Lets everybody who sleeps go on for so long, and returns when nobody moves any more."""
        self._end = self.moment + seconds
        self._moved.set()
        self._moved = asyncio.Event()
        before = -1
        while before != self.slept:
            before = self.slept
            for _ in range(20):
                await asyncio.sleep(0)
        self.moment = self._end


@dataclass(slots=True)
class TableResolver:
    """Answers from a table; what is not in it does not exist. `asked` has the moment and name of every question."""

    clock: VirtualClock
    says: dict[str, Reply] = field(default_factory=dict)
    asked: list[tuple[float, str]] = field(default_factory=list)

    async def ask(self, name: str) -> Reply:
        """One answer."""
        self.asked.append((self.clock.moment, name))
        return self.says.get(name, Reply(ttl=300.0))

    def times(self, name: str) -> list[float]:
        """When a name was asked for."""
        return [at for at, asked in self.asked if asked == name]


@pytest.fixture
def clock() -> VirtualClock:
    """Time stands until somebody sleeps."""
    return VirtualClock()


@pytest.fixture
def resolver(clock: VirtualClock) -> TableResolver:
    """Knows nothing yet."""
    return TableResolver(clock)


@pytest.fixture
async def double() -> AsyncIterator[DnsDouble]:
    """A DNS server on loopback."""
    async with dns_double() as server:
        yield server


@dataclass(slots=True)
class Exporter:
    """An exporter and whoever asks it."""

    built: Built
    clock: VirtualClock
    resolver: TableResolver
    client: httpx.AsyncClient
    task: asyncio.Future[None] | None = None

    async def post(self, records: object, **headers: str) -> httpx.Response:
        """A post of the log hook."""
        body = records if isinstance(records, bytes) else json.dumps(records).encode()
        return await self.client.post(
            "/api/v1/log-records", content=body, headers={"content-type": "application/json", **headers}
        )

    async def series(self, name: str, **headers: str) -> dict[str, float]:
        """The series of one name as /metrics tells them: labels to value."""
        answer = await self.client.get("/metrics", headers=headers)
        assert answer.status_code == 200, answer.text
        found = {}
        for line in answer.text.splitlines():
            if line.startswith((name + "{", name + " ")):
                labels, _, value = line[len(name) :].rpartition(" ")
                found[labels] = float(value)
        return found

    async def ask_for(self, seconds: float) -> None:
        """Lets the schedule run for so long."""
        if self.task is None:
            self.task = asyncio.ensure_future(self.built.asking.run())
        await self.clock.pass_time(seconds)


Start = Callable[..., Exporter]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Writes exporter.yml, which only its owner may write."""

    def written(text: str) -> Path:
        path = tmp_path / "exporter.yml"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    return written


@pytest.fixture
def start(clock: VirtualClock, resolver: TableResolver, write: Callable[[str], Path]) -> Iterator[Start]:
    """An exporter with these settings."""

    def started(text: str = "", **options: str) -> Exporter:
        settings = load_exporter_settings(write(text)) if text else ExporterSettings()
        built = build(settings, ExporterOptions(**options), clock=clock, resolver=resolver)  # type: ignore[arg-type]
        transport = httpx.ASGITransport(app=built.app, client=("127.0.0.1", 50_000))
        client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9925")
        return Exporter(built=built, clock=clock, resolver=resolver, client=client)

    return started  # type: ignore[return-value]
