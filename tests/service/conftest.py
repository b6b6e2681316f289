"""A service of real parts in this process: a directory, a journal, the web app without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from remediator.core.entries import AnyFact, decode
from remediator.service.reloading import Overrides
from remediator.service.wiring import Built, build
from tests.kit.small_rules import pausing_a_domain

RULES = pausing_a_domain("auto")
SETTINGS = """\
mode: dry-run
rule_files: [rules.yml]
storage: { path: data }
targets: { kumomta: { nodes: { mta1: { url: "http://127.0.0.1:9" } } } }
"""
LABELS = {"alertname": "HighBounceRate", "severity": "critical", "domain": "a.example"}
# Real disks on a busy machine: patience, not a measurement (s).
PATIENCE = 30.0


@dataclass
class Home:
    """The directory of one service."""

    root: Path

    def __post_init__(self) -> None:
        self.write("rules.yml", RULES)
        self.write("remediator.yml", SETTINGS)

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.root / "remediator.yml"

    @property
    def data(self) -> Path:
        """The state directory."""
        return self.root / "data"

    def write(self, name: str, text: str) -> Path:
        """A file that only its owner may read."""
        path = self.root / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    def add(self, more: str) -> None:
        """More settings."""
        self.write("remediator.yml", self.settings.read_text(encoding="utf-8") + more)

    def build(self, **overrides: object) -> Built:
        """The service of this directory."""
        return build(self.settings, Overrides(**overrides))  # type: ignore[arg-type]


@dataclass
class Service:
    """A service under way, and a client in front of it."""

    built: Built
    client: httpx.AsyncClient

    async def until(self, true: Callable[[], bool]) -> None:
        """Waits until the journal has made it so."""
        async with asyncio.timeout(PATIENCE):
            while not true():
                await self.built.surface.changed(self.built.journal.head.seq, 1.0)

    async def facts(self, *kinds: str) -> list[AnyFact]:
        """What the journal says, of these kinds, oldest first."""
        records = await self.built.journal.store.read(0, 10_000)
        entries = [decode(record.seq, record.body) for record in records]
        return [entry.fact for entry in entries if not kinds or entry.kind in kinds]

    async def fire(self, labels: Mapping[str, str] = LABELS, *, token: str = "") -> httpx.Response:
        """Alertmanager posts a firing alert."""
        alert = {"status": "firing", "labels": dict(labels), "annotations": {}, "startsAt": "2026-11-24T03:09:51Z"}
        body = {"version": "4", "groupKey": "{}", "status": "firing", "receiver": "remediator", "alerts": [alert]}
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return await self.client.post("/api/v1/alerts", json=body, headers=headers)

    async def closed(self) -> Sequence[Mapping[str, object]]:
        """The incidents, once none is open."""
        state = self.built.journal
        await self.until(lambda: not state.state.pending and not state.state.open_by_key)
        rows = (await self.client.get("/api/v1/incidents")).json()["data"]["incidents"]
        assert isinstance(rows, list)
        return rows

    async def metric(self, name: str) -> list[str]:
        """The lines of /metrics that begin like this."""
        text = (await self.client.get("/metrics")).text
        return [line for line in text.splitlines() if line.startswith(name)]


@asynccontextmanager
async def working(built: Built, *, token: str = "") -> AsyncIterator[Service]:
    """Opens the journal and lets lane and engine run."""
    begun = asyncio.Event()
    built.journal.listen(
        lambda entries, _before, _after: begun.set() if any(one.kind == "service.started" for one in entries) else None
    )
    await built.journal.open()
    built.observer.begin(built.journal.state)
    tasks = [asyncio.ensure_future(built.journal.run()), asyncio.ensure_future(built.engine.run("test"))]
    headers = {"authorization": f"Bearer {token}"} if token else {}
    transport = httpx.ASGITransport(app=built.app)
    try:
        await built.started("http://127.0.0.1:9097")
        await begun.wait()
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:9097", headers=headers, trust_env=False
        ) as client:
            yield Service(built, client)
        await built.engine.stop(5.0)
    finally:
        for task in reversed(tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await built.journal.close()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A directory with good settings and rules."""
    return Home(tmp_path)


Work = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
def work() -> Work:
    """`working`, for tests that build the service in their own way."""
    return working


@pytest.fixture
async def service(home: Home) -> AsyncIterator[Service]:
    """A service of the good settings, under way."""
    async with working(home.build()) as service:
        yield service
