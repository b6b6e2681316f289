"""A pruned journal decides as the whole one does, wherever it was cut; and the timer that cuts keeps what is needed."""

from __future__ import annotations

import asyncio
import copy
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.chain import Head
from remediator.core.space import Room
from remediator.engine.journal import Journal
from remediator.engine.parts import Keeping
from remediator.engine.retention import Retention
from remediator.engine.space import Space
from remediator.errors import CorruptJournal, StoreError
from remediator.ports import Snapshot
from remediator.stores.memory import Disk, MemoryStore
from tests.kit.frozen import freeze

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.core.entries import Record
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig

DAY = 86_400.0
KEY = b"k" * 32


@pytest.fixture(name="rig")
def unjudged(rig: Rig) -> Rig:
    """A world whose history is cut and lived through many times: the checker of histories has no word for that."""
    return type(rig)()


async def busy(rig: Rig) -> Disk:
    """A journal with a run that ended, one that waits for its verification, and an undo that is due later."""
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert("a.example"))
        await rig.clock.until(lambda: rig.idle(engine))
        await rig.accept(engine, rig.alert("a.example", resolved_at=rig.clock.now()))
        await rig.accept(engine, rig.alert("b.example", at=rig.clock.now()))
        await rig.clock.run(20.0)
    return rig.store.disk


async def pruned(rig: Rig, disk: Disk, at: int) -> Disk:
    """The same journal, with all up to entry `at` pruned."""
    cut = copy.deepcopy(disk)
    store = MemoryStore(cut)
    journal = Journal(store, rig.clock, key=KEY, replica="r1", boot="cut")
    await journal.open()
    await store.save_snapshot(Snapshot(head=journal.head, state=freeze(journal.state, KEY)))
    last = cut.records[at - 1]
    named = e.JournalPruned(seq=at, mac=last.mac.hex(), count=at)
    await append(journal, named)
    await store.prune(Head(at, last.mac))
    await store.close()
    return cut


async def append(journal: Journal, fact: e.AnyFact) -> None:
    """One entry."""
    wish = journal.commit(lambda _state, _moment: [fact])
    lane = asyncio.ensure_future(journal.run())
    await wish
    lane.cancel()
    with suppress(asyncio.CancelledError):
        await lane


async def goes_on(rig: Rig, disk: Disk, clock: tuple[float, float]) -> tuple[list[str], list[tuple[str, str, str]]]:
    """What the journal says and the world sees when the service goes on from `disk`: late copies, news, and time."""
    rig.store = MemoryStore(disk)
    rig.clock = type(rig.clock)()
    rig.clock.wall, rig.clock.mono = clock
    rig.world = type(rig.world)()
    rig.starts = 1
    seen = disk.head.seq
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert("a.example"))  # the HA twin's late copy of what is over
        await rig.accept(engine, rig.alert("b.example", at=rig.clock.now() - 20.0))  # and of what is open
        await rig.accept(engine, rig.alert("a.example", at=rig.clock.now()))  # fires again within its cooldown
        await rig.accept(engine, rig.alert("c.example", at=rig.clock.now()))
        await rig.clock.run(10_000.0)
        assert not engine.parts.journal.broken
    facts = [e.decode(record.seq, record.body).fact for record in disk.records if record.seq > seen]
    told = [f"{e.kind_of(fact)} {said(fact)}" for fact in facts if not isinstance(fact, e.JournalPruned)]
    return told, rig.world.ledger


def said(fact: e.AnyFact) -> str:
    """What was decided, without places in the journal."""
    match fact:
        case e.NotificationDisposed():
            return str([(one.identity, [(d.disposition, d.incident) for d in one.disposals]) for one in fact.alerts])
        case e.RunDecided():
            return f"{fact.run} {fact.answer} {[verdict.sentence for verdict in fact.verdicts]}"
        case _:
            return f"{getattr(fact, 'incident', '')} {getattr(fact, 'run', '')} {getattr(fact, 'result', '')}"


@pytest.mark.heavy
async def test_a_journal_pruned_at_any_position_decides_as_the_whole_one_does(rig: Rig) -> None:
    disk = await busy(rig)
    clock = rig.clock.wall, rig.clock.mono
    told, ledger = await goes_on(rig, copy.deepcopy(disk), clock)
    dispositions = [line for line in told if line.startswith("notification.disposed")]
    assert [line.split("'")[3] for line in dispositions] == ["stale", "duplicate", "planned", "planned"]
    assert any(" defer " in line for line in told)
    assert len(ledger) > 3
    assert len(disk.records) > 30
    for at in range(1, len(disk.records)):
        cut = await pruned(rig, disk, at)
        assert cut.records[0].seq == at + 1
        assert await goes_on(rig, cut, clock) == (told, ledger), f"pruned up to entry {at}"


async def test_a_pruned_journal_without_a_whole_snapshot_does_not_start(rig: Rig) -> None:
    cut = await pruned(rig, await busy(rig), 9)
    cut.snapshots.clear()
    with pytest.raises(CorruptJournal, match="no snapshot is whole"):
        await Journal(MemoryStore(cut), rig.clock, key=KEY, replica="r1", boot="x").open()


async def test_a_beginning_that_no_entry_says_was_pruned_does_not_start(rig: Rig) -> None:
    cut = await pruned(rig, await busy(rig), 9)
    cut.start, cut.records = Head(cut.records[0].seq, cut.records[0].mac), cut.records[1:]
    with pytest.raises(CorruptJournal, match="no entry says so"):
        await Journal(MemoryStore(cut), rig.clock, key=KEY, replica="r1", boot="x").open()


# ── the timer ────────────────────────────────────────────────────────────────────────────────────────────────────────
class Kept:
    """An archive in memory."""

    def __init__(self, *, broken: str = "") -> None:
        self.seqs: list[int] = []
        self.broken = broken

    async def keep(self, start: Head, records: Sequence[Record]) -> str:
        if self.broken:
            raise StoreError(self.broken)
        assert records[0].seq == start.seq + 1
        self.seqs += [record.seq for record in records]
        return f"to-{records[-1].seq}"


async def prune_all(rig: Rig, engine: Engine, **keeping: object) -> list[str]:
    """Portions until nothing is ripe; what was told of trouble."""
    told: list[str] = []
    engine.parts.keeping = replace(Keeping(), **keeping)  # type: ignore[arg-type]
    engine.parts.journal.on_error = told.append
    retention = Retention(engine.parts)
    for _ in range(20):
        await rig.ask(engine.parts.journal.commit(lambda _s, _m: [e.PauseCleared(scope="none", by="clock")]))
        try:
            await rig.ask(retention.portion())
        except StoreError as fault:
            told.append(str(fault))
            break
    return told


async def test_what_is_old_and_not_needed_is_archived_named_and_deleted(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
        await rig.accept(engine, rig.alert(resolved_at=rig.clock.now()))
        await rig.clock.run(2 * DAY)
        old = engine.parts.journal.head.seq
        rig.clock.wall += 40 * DAY
        rig.clock.mono += 40 * DAY
        archive = Kept()
        await prune_all(rig, engine, retention=30 * DAY, archive=archive)
        start = rig.store.disk.start
        assert start.seq >= old
        assert archive.seqs == list(range(1, start.seq + 1)), "each entry once, none left out"
        named = [fact for fact in await rig.facts() if isinstance(fact, e.JournalPruned)]
        assert (named[-1].seq, named[-1].mac, named[-1].archive) == (start.seq, start.mac.hex(), f"to-{start.seq}")
    async with rig.engine() as engine:
        assert engine.parts.journal.state.pruned_seq == start.seq


async def test_entries_that_something_open_rests_on_stay_whatever_their_age_and_size(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert("quiet.example"))
        await rig.clock.run(5.0)
        (incident,) = engine.parts.journal.state.incidents.values()
        await prune_all(rig, engine, retention=0.0, max_size=0)
        assert 0 < rig.store.disk.start.seq < incident.place


async def test_a_journal_that_is_too_large_loses_its_oldest_entries_before_their_time(rig: Rig) -> None:
    async with rig.engine() as engine:
        for number in range(30):
            await rig.accept(engine, rig.alert(f"d{number}.example", resolved_at=rig.clock.now()))
        size = await rig.store.size()
        assert await prune_all(rig, engine, max_size=2 * size) == []
        assert rig.store.disk.start.seq == 0
        await prune_all(rig, engine, max_size=size // 2)
        assert rig.store.disk.start.seq > 0


async def test_an_archive_that_fails_stops_the_pruning_and_is_told(rig: Rig) -> None:
    async with rig.engine() as engine:
        told = await prune_all(rig, engine, max_size=0, archive=Kept(broken="the archive cannot be written"))
        assert told == ["the archive cannot be written"]
        assert rig.store.disk.start.seq == 0


async def test_what_was_changed_is_not_signed_over_and_deleted(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert("a.example", resolved_at=rig.clock.now()))
        records = rig.store.disk.records
        records[1] = msgspec.structs.replace(records[1], body=b"{}")
        told = await prune_all(rig, engine, max_size=0)
        assert "entry 2 is not what was written" in told[0]
        assert rig.store.disk.start.seq == 0


async def test_a_stop_between_checkpoint_and_deletion_is_finished_by_the_next_process(rig: Rig) -> None:
    disk = await busy(rig)
    whole = copy.deepcopy(disk)
    cut = await pruned(rig, disk, 9)
    whole.records.append(cut.records[-1])
    whole.snapshots = cut.snapshots
    rig.store = MemoryStore(whole)
    async with rig.engine():
        await rig.clock.run(5.0)
        assert rig.store.disk.start.seq == 9


class NoRoom:
    """A disk on which only the space put by is left."""

    async def room(self) -> Room:
        return Room(free=0, total=1)

    def spent(self) -> bool:
        return True


async def test_on_a_full_disk_nothing_is_pruned_for_deleting_writes_too(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
        await rig.accept(engine, rig.alert(resolved_at=rig.clock.now()))
        await rig.clock.run(2 * DAY)
        rig.clock.wall += 40 * DAY
        rig.clock.mono += 40 * DAY
        with_room, engine.parts.space = engine.parts.space, Space(NoRoom())
        assert await prune_all(rig, engine, retention=30 * DAY) == []
        assert rig.store.disk.start == Head()
        engine.parts.space = with_room
        await prune_all(rig, engine, retention=30 * DAY)
        assert rig.store.disk.start.seq > 0
