"""The journal's disk becomes full, at every append of a story, and has room again later (reliability.md G17).

The store is the real one, and what fails in it is SQLite's own `SQLITE_FULL`; what the file system has left is told by the
test. Nothing that was accepted is lost, nothing is done twice, nothing new begins meanwhile, and nobody has to start
anything again.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.fold import fold
from remediator.core.outcomes import Look, Observation
from remediator.core.space import Room
from remediator.core.state import State
from remediator.core.verdicts import Answer
from remediator.engine.intake import NoRoom
from remediator.engine.space import FULL, LOOK_EVERY, Space
from remediator.engine.supervisor import Engine
from remediator.errors import StoreError, StoreFull
from remediator.stores import sqlite_place, sqlite_writer
from remediator.stores.sqlite import SqliteStore
from tests.kit.histories import History, from_body
from tests.kit.history import judge
from tests.kit.troubled import Fault, Fragile, plant

if TYPE_CHECKING:
    from remediator.core.chain import Head
    from remediator.core.entries import Record
    from remediator.ports import IncidentRow
    from tests.engine.conftest import Rig, VirtualClock

GIB = 1024**3
# How long it stays full (s), and after how long the second notification comes.
FULL_FOR, SECOND_AFTER = 45.0, 8.0
DOMAINS = ("example.com", "example.org")


@dataclass
class Disk:
    """A disk that becomes full at the `number`-th append; `fits` more appends fit into what was put by."""

    number: int = 0
    fits: int = 150
    clock: VirtualClock = field(init=False)
    appends: int = 0
    used: int = 0
    full: bool = False
    since: float = float("inf")  # when an append failed for the first time
    over: float = float("inf")  # when there was room again
    failed: int = 0

    def room(self, _directory: Path) -> Room:
        """What a look at the file system says."""
        return Room(free=0 if self.full else 50 * GIB, total=100 * GIB)

    def takes(self, *, put_by: bool) -> bool:
        """Whether there is room for one more append; `put_by` says that the space for this very case is still laid by."""
        self.appends += 1
        if self.appends == self.number:
            self.full = True
        if self.full and self.clock.wall >= self.since + FULL_FOR:
            self.full, self.over = False, self.clock.wall
        if not self.full:
            return True
        self.used += not put_by
        return not put_by and self.used <= self.fits


class NarrowStore(SqliteStore):
    """The real store on such a disk."""

    def __init__(self, path: Path, disk: Disk) -> None:
        super().__init__(path)
        self._disk = disk
        self.seq = 0
        Fragile.log = path.with_name(path.name + "-wal")

    async def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow] = ()) -> Head:
        """Fails as SQLite fails where the disk takes no more."""
        writer, disk = self._writer, self._disk
        takes = disk.takes(put_by=writer._ballast.present)
        if not takes:
            [(pages,)] = writer._connected().execute("PRAGMA page_count").fetchall()
            writer._connected().execute(f"PRAGMA max_page_count = {pages}").fetchall()
            Fragile.ailment = Fault.FULL
        try:
            head = await super().append(expect, records, rows)
        except StoreFull:
            disk.failed += 1
            disk.since = min(disk.since, disk.clock.wall)
            raise
        finally:
            Fragile.ailment = None
            writer._connected().execute("PRAGMA max_page_count = 1000000").fetchall()
        assert takes, "SQLite found room where there is none"
        self.seq = head.seq
        return head

    async def room(self) -> Room:
        """Looks; time may have made room."""
        if self._disk.full and self._disk.clock.wall >= self._disk.since + FULL_FOR:
            self._disk.full, self._disk.over = False, self._disk.clock.wall
        return await super().room()


class Story:
    """Two notifications, two runs, a temporary effect in each, messages: from start to rest, whatever the disk does."""

    def __init__(self, rig: Rig, path: Path, disk: Disk) -> None:
        self.rig, self.disk, self._path = rig, disk, path
        disk.clock = rig.clock
        lasting = rig.step("keyed_lasting", undo_after=60.0, attempts=4)
        rig.playbooks = (rig.playbook(rig.step("safe", attempts=4), lasting, rig.step("once")),)
        self.acked: list[bytes] = []
        self.refused = 0

    async def _begin(self) -> tuple[Engine, NarrowStore]:
        while True:
            store = NarrowStore(self._path, self.disk)
            self.rig.store = store  # type: ignore[assignment]
            parts = self.rig.parts()
            parts.space = Space(store)
            self.rig.world.place = partial(_place, self.rig, store)
            try:
                await parts.journal.open()
            except StoreError:
                await store.close()
                await self.rig.clock.run(5.0)
            else:
                return Engine(parts), store

    async def _deliver(self, engine: Engine) -> None:
        """Alertmanager: one notification after the other, each until it is told 2xx."""
        for place, domain in enumerate(DOMAINS):
            await self.rig.clock.sleep(place * SECOND_AFTER)
            body = self.rig.body(self.rig.alert(domain))
            while body not in self.acked:
                try:
                    await engine.intake.accept(body, "test")
                    self.acked.append(body)
                except StoreError:
                    self.refused += 1
                    await self.rig.clock.sleep(5.0)

    async def play(self) -> list[e.Entry]:
        """The whole of it; what the journal says at the end."""
        engine, store = await self._begin()
        journal, clock = engine.parts.journal, self.rig.clock
        tasks = [asyncio.ensure_future(w) for w in (journal.run(), engine.run("test"), self._deliver(engine))]

        def rests() -> bool:
            for task in tasks:
                if task.done():
                    task.result()
            state = journal.state
            busy = state.runs or state.undos or state.outbox or state.pending or self.disk.full
            return len(self.acked) == len(DOMAINS) and not busy and not engine.parts.space.low

        await clock.until(rests, within=20_000)  # it goes on by itself, and says that it has room
        for task in reversed(tasks):
            task.cancel()
            with suppress(asyncio.CancelledError, BaseExceptionGroup):
                await task
        records = await SqliteStore.read(store, 0)
        await store.close()
        return self._checked(records, journal.state)

    def _checked(self, records: Sequence[Record], folded: State) -> list[e.Entry]:
        """Nothing lost, nothing twice, by a program that shares no code with the engine."""
        entries, state = [e.decode(record.seq, record.body) for record in records], State()
        for entry in entries:
            state = fold(state, entry)
        assert state == folded
        lines = [from_body(record.seq, record.body) for record in records]
        acks = [json.loads(body) for body in self.acked]
        assert judge(History(lines=lines, arrivals=self.rig.world.arrivals, acks=acks)) == []
        arrived = Counter(kind if what == "do" else what for what, kind, _ in self.rig.world.ledger)
        assert arrived == Counter({"safe": 2, "keyed_lasting": 2, "once": 2, "undo": 2})
        assert [one.fact.result for one in entries if isinstance(one.fact, e.RunEnded)] == ["succeeded"] * 2
        began = [one.at for one in entries if isinstance(one.fact, e.RunStarted | e.NotificationReceived)]
        assert not [at for at in began if self.disk.since < at < self.disk.over], "something new began meanwhile"
        return entries


def _place(rig: Rig, store: NarrowStore) -> tuple[float, int]:
    return rig.clock.wall, store.seq


Stage = Callable[["Disk"], Story]


@pytest.fixture
def stage(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Gives stories, each with a fresh world and a fresh file."""
    plant(monkeypatch)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="full-", dir=memory if memory.is_dir() else None) as place:
        made: list[Story] = []

        def make(disk: Disk) -> Story:
            for module in (sqlite_place, sqlite_writer):
                monkeypatch.setattr(module, "room_of", disk.room)
            made.append(Story(type(rig)(), Path(place) / str(len(made)) / "journal.db", disk))
            return made[-1]

        yield make


APPENDS = 32
FITS = (150, 2)
"""Appends that fit into the space put by: so many were measured; and nearly none."""


def test_there_are_sixty_points() -> None:
    assert APPENDS * len(FITS) >= 60


async def test_the_story_has_so_many_appends(stage: Stage) -> None:
    disk = Disk()
    await stage(disk).play()
    assert (disk.appends, disk.failed) == (APPENDS, 0), "an append has come or gone: set the number to what it is now"


@pytest.mark.parametrize("fits", FITS)
@pytest.mark.heavy
async def test_a_disk_that_becomes_full_at_any_append_loses_nothing_and_repeats_nothing(
    fits: int, stage: Stage
) -> None:
    refused = 0
    for number in range(1, APPENDS + 1):
        disk = Disk(number=number, fits=fits)
        story = stage(disk)
        entries = await story.play()
        assert disk.failed, number
        assert disk.over - disk.since < FULL_FOR + 2 * LOOK_EVERY, "room is noticed within two looks"
        refused += story.refused
        if fits == FITS[0]:
            _what_was_under_way_is_on_record(entries, disk)
    assert refused, "nobody was ever told 503"


def _what_was_under_way_is_on_record(entries: Sequence[e.Entry], disk: Disk) -> None:
    """Into the space put by, not only after there was room again."""
    ends = {(o.fact.run, o.fact.step, o.fact.attempt): o.at for o in entries if isinstance(o.fact, e.StepOutcome)}
    for one in entries:
        if isinstance(one.fact, e.StepIntent) and one.at < disk.since:
            assert ends[one.fact.run, one.fact.step, one.fact.attempt] < disk.since + FULL_FOR


# ── before it is full ────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass
class Gauge:
    """A disk that has what the test says."""

    free: int = 50 * GIB
    full: bool = False
    broken: bool = False

    async def room(self) -> Room:
        if self.broken:
            raise StoreError("the room cannot be told")
        return Room(free=self.free, total=100 * GIB)

    def spent(self) -> bool:
        return self.full


async def test_below_the_line_nothing_new_begins_and_above_it_all_goes_on(rig: Rig) -> None:
    disk, told = Gauge(), list[bool]()
    async with rig.engine() as engine:
        space = engine.parts.space = Space(disk)
        space.tell = lambda _room, low: told.append(bool(low))
        watching = asyncio.ensure_future(space.watch(engine.parts))
        await rig.accept(engine, rig.alert("example.com"))
        await rig.clock.run(LOOK_EVERY)
        assert rig.world.count("do", "keyed_lasting") == 1
        disk.free = 5 * GIB - 1
        await rig.clock.run(LOOK_EVERY)
        with pytest.raises(NoRoom, match=r"nothing new begins below 5 GiB .* send it again"):
            await rig.ask(engine.intake.accept(rig.body(rig.alert("example.org")), "test"))
        await rig.clock.run(60.0)
        assert rig.world.count("do", "safe") == 1, "what is under way goes on"
        disk.free = 6 * GIB
        await rig.clock.run(LOOK_EVERY)
        assert space.low, "a little more is not enough"
        disk.free = 7 * GIB
        await rig.clock.run(LOOK_EVERY)
        await rig.accept(engine, rig.alert("example.org"))
        await rig.clock.until(lambda: rig.world.count("do", "keyed_lasting") == 2, within=60.0)
        watching.cancel()
    assert told[0] is False
    assert True in told
    assert told[-1] is False
    called = [fact.reason for fact in await rig.facts() if isinstance(fact, e.Escalated)]
    assert len(called) == 1, "people are called once for it"
    assert "storage.min_free" in called[0]


async def test_a_run_that_is_planned_waits_for_room_and_says_so(rig: Rig) -> None:
    disk = Gauge()
    rig.world.condition = lambda expr: Observation(look=Look.UNKNOWN, sentence="no answer")
    async with rig.engine() as engine:
        engine.parts.space = Space(disk)
        await rig.accept(engine, rig.alert())
        disk.full = True
        rig.world.condition = lambda expr: Observation(look=Look.GOOD, sentence="0.27")
        await rig.clock.run(60.0)
        assert rig.world.ledger == []
        decided = [fact for fact in await rig.facts() if isinstance(fact, e.RunDecided)]
        assert [(one.guard, one.sentence) for one in decided[-1].verdicts if one.answer is Answer.DEFER] == [
            ("room", FULL)
        ]
        disk.full = False
        await rig.clock.run(20.0)
        assert rig.world.count("do", "keyed_lasting") == 1


async def test_what_cannot_be_measured_stays_as_it_was_known(rig: Rig) -> None:
    disk = Gauge(free=0)
    space = Space(disk)
    await space.look()
    assert space.low
    disk.broken, disk.free = True, 50 * GIB
    await space.look()
    assert space.low
    disk.broken = False
    await space.look()
    assert not space.low
    disk.full = True
    assert (space.low, space.full) == (FULL, True)
    assert Space().low == ""
    await Space().look()
    assert not await rig.facts()
