"""A year of alerts in which the journal does not grow: retention, snapshots and forgetting together, on the real store.

Every day brings the repeats of alerts that fire all year, every third day one on a new domain, which is acted on, and its
end. What is measured is the file, the entries in it and the state; no time is.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from remediator.core.state import State
from remediator.engine import retention, scheduling, timers, undoing
from remediator.engine.parts import Keeping
from remediator.engine.supervisor import Engine
from remediator.stores import sqlite as store_module
from remediator.stores.sqlite import SqliteStore
from tests.kit.frozen import freeze
from tests.kit.troubled import InlineLane

if TYPE_CHECKING:
    from tests.engine.conftest import Rig

DAY, DAYS, MONTH = 86_400.0, 365, 30
KEPT = 30
"""Days that entries are kept."""
LONG = 20
"""Alerts that fire all year, and are repeated once a day here."""
# The loops look less often than they do, so that a year costs seconds: what is due is done some hours later.
RARELY = DAY / 3


@dataclass(frozen=True)
class Measured:
    """What there is at the end of a month."""

    file: int
    used: int
    entries: int
    state: int


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory in memory, where there is one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="year-", dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


def other(name: str) -> Mapping[str, object]:
    """An alert that no rule matches."""
    return {"status": "firing", "labels": {"alertname": "Other", "of": name}, "startsAt": "2026-01-01T00:00:00Z"}


@pytest.mark.heavy
async def test_a_year_of_alerts_leaves_the_journal_as_large_as_its_second_month(
    rig: Rig, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "Lane", InlineLane)
    for module in (timers, retention, undoing, scheduling):
        monkeypatch.setattr(module, "LOOK_EVERY", RARELY)
    path, world = place / "journal.db", type(rig)()
    store = SqliteStore(path)
    world.store = store  # type: ignore[assignment]
    parts = world.parts()
    parts.keeping = Keeping(retention=KEPT * DAY)
    world.world.place = lambda: (world.clock.wall, parts.journal.head.seq)
    engine = Engine(parts)
    await parts.journal.open()
    tasks = [asyncio.ensure_future(parts.journal.run()), asyncio.ensure_future(engine.run("test"))]
    months = []
    for day in range(1, DAYS + 1):
        await world.accept(engine, *(other(f"of-{number}") for number in range(LONG)))
        if day % 3 == 0:
            await acted_on(world, engine, f"day{day}.example")
        await world.clock.run(DAY - 0.1)
        if day % MONTH == 0:
            months.append(await measured(store, path, parts.journal.state))
    for task in reversed(tasks):
        task.cancel()
        with suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task
    await store.close()
    assert world.world.count("do", "keyed_lasting") == world.world.count("undo") == DAYS // 3
    full, *later = months[2:]  # the first month fills it, the second prunes it for the first time
    for month in later:
        assert month.file <= 1.02 * full.file, months
        assert month.used <= 1.1 * full.used, months
        assert month.entries <= 1.1 * full.entries, months
    assert months[-1].state <= 1.1 * months[-3].state, "what is over is forgotten"
    assert full.entries < (KEPT + 2) * parts.journal.head.seq / DAYS, "more is kept than retention says"


async def acted_on(world: Rig, engine: Engine, domain: str) -> None:
    """Fires, is acted on, and ends."""
    began = world.clock.wall
    await world.accept(engine, world.alert(domain, at=began))
    await world.clock.until(lambda: world.idle(engine))
    await world.accept(engine, world.alert(domain, at=began, resolved_at=world.clock.wall))


async def measured(store: SqliteStore, path: Path, state: State) -> Measured:
    """What there is now."""
    start = await store.start()
    return Measured(
        file=path.stat().st_size,  # noqa: ASYNC240  (the store works in this thread as well)
        used=await store.size(),
        entries=state.seq - start.seq,
        state=len(freeze(msgspec.structs.replace(state, matched=()), bytes(32))),  # that one has a bound of its own
    )
