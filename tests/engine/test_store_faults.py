"""A store that fails: at every append, in every way, for an instant or for a while (G15, G17).

No restart helps here: the same engine has to stop acting, lose nothing, and go on by itself. Every arrival in the world is
checked at its moment against what the disk holds.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.fold import fold
from remediator.core.outcomes import UndoResult, failed_for_now
from remediator.core.state import State
from remediator.engine import intake
from remediator.engine.journal import CONFLICTS, Journal
from remediator.engine.supervisor import Engine
from remediator.errors import AppendUnknown, Conflict, CorruptJournal, NotCommitted, StoreError, StoreFull
from remediator.stores.faults import Fault, Faults
from remediator.stores.memory import Disk, MemoryStore

if TYPE_CHECKING:
    from remediator.core.chain import Head
    from remediator.core.entries import Record
    from remediator.ports import IncidentRow
    from tests.engine.conftest import Rig, VirtualClock

OUTAGE = 120.0
APPENDS = 21


class Trouble(Faults):
    """One fault at the n-th append, and then for `seconds` at every append that follows."""

    def __init__(self, clock: VirtualClock, append: int, fault: Fault, seconds: float) -> None:
        super().__init__()
        self.on(append, fault)
        self._clock, self._append, self._fault, self._seconds = clock, append, fault, seconds
        self.over = float("inf")

    @property
    def lasts(self) -> bool:
        """Whether the trouble is on."""
        return self.appends >= self._append and self._clock.mono < self.over

    def strike(self) -> Fault | None:
        """Begins the outage at its append."""
        if self.appends + 1 == self._append:
            self.over = self._clock.mono + self._seconds
        fault = super().strike()
        later = Fault.FAIL_BEFORE if self._fault is Fault.COMMIT_THEN_FAIL else self._fault
        return fault if fault is not None else later if self.lasts else None


class DeafStore(MemoryStore):
    """Cannot be read either while the trouble lasts."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(faults=trouble)
        self._trouble = trouble

    async def read(self, after: int, limit: int = 1000) -> Sequence[Record]:
        """As any store, when it can."""
        if self._trouble.lasts:
            raise StoreError("unreachable")
        return await super().read(after, limit)


@dataclass
class Watcher:
    """Sees every arrival, and holds it against the disk."""

    rig: Rig
    refused: int = 0
    accepted: bool = False
    unannounced: list[str] = field(default_factory=list)

    async def witness(self, what: str) -> None:
        """Each effect has its own durable intent by now."""
        facts = await self.rig.facts()
        intents = Counter(("do", f.key) for f in facts if isinstance(f, e.StepIntent))
        intents += Counter(("undo", f"{f.run}/{f.step}") for f in facts if isinstance(f, e.UndoIntent))
        arrived = Counter((was, key) for was, _, key in self.rig.world.ledger)
        self.unannounced += [f"{was} {key}" for (was, key), n in arrived.items() if n > intents[was, key]]
        messages = {f.message for f in facts if isinstance(f, e.MessageIntent)}
        self.unannounced += [one.id for one in self.rig.world.messages if one.id not in messages]

    async def deliver(self, engine: Engine) -> None:
        """Alertmanager: tries again until it is told 2xx; only StoreError becomes a 503."""
        while not self.accepted:
            try:
                await engine.intake.accept(self.rig.body(self.rig.alert()), "test")
                self.accepted = True
            except StoreError:
                self.refused += 1
                await self.rig.clock.sleep(5.0)


def prepare(rig: Rig) -> None:
    """A read, a step that is retried, a keyed one with an undo that fails first, and messages, one of them twice."""
    lasting = rig.step("keyed_lasting", undo_after=400.0, attempts=4)
    rig.playbooks = (rig.playbook(rig.step("read", attempts=2), rig.step("safe", attempts=4), lasting),)
    rig.world.outcomes["safe"] = [failed_for_now("503")]
    rig.world.undo_results = [UndoResult.FAILED]
    rig.world.told = [failed_for_now("busy")]


async def live(rig: Rig, store: MemoryStore) -> Watcher:
    """One engine from start to rest, whatever its store does. A start that the store refuses is tried again."""
    prepare(rig)
    rig.store, watcher = store, Watcher(rig)
    rig.world.witness = watcher.witness
    parts = rig.parts()
    engine = Engine(parts)
    while True:
        with suppress(StoreError):
            await parts.journal.open()
            break
        await rig.clock.run(5.0)
        parts = rig.parts()
        engine = Engine(parts)
    tasks = [asyncio.ensure_future(work) for work in (parts.journal.run(), engine.run("test"), watcher.deliver(engine))]

    def rests() -> bool:
        assert not any(task.done() and task.exception() for task in tasks)
        state = engine.parts.journal.state
        ended = any(record.kind == "run.ended" for record in store.disk.records)
        return ended and not (state.runs or state.undos or state.outbox or state.pending)

    await rig.clock.until(rests, within=20_000)
    check(watcher, engine)
    for task in reversed(tasks):
        task.cancel()
        with suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task
    return watcher


def check(watcher: Watcher, engine: Engine) -> None:
    """Nothing unannounced, nothing lost, nothing twice, and the engine's state is what the disk says."""
    world, records = watcher.rig.world, watcher.rig.store.disk.records
    assert not watcher.unannounced
    assert not world.standing
    state = State()
    for record in records:
        state = fold(state, e.decode(record.seq, record.body))
    assert state == engine.parts.journal.state
    assert not engine.parts.journal.last_error
    facts = [e.decode(record.seq, record.body).fact for record in records]
    outcomes = Counter((f.run, f.step, f.attempt) for f in facts if isinstance(f, e.StepOutcome) and not f.reconciled)
    for intent in (fact for fact in facts if isinstance(fact, e.StepIntent)):
        assert outcomes[intent.run, intent.step, intent.attempt] == 1
    assert not [fact for fact in facts if isinstance(fact, e.LateEvidence)]
    assert [fact.result for fact in facts if isinstance(fact, e.RunEnded)] == ["succeeded"]
    assert world.count("do", "keyed_lasting") == 1
    assert world.count("do", "safe") == 2
    assert len(world.messages) == 2  # told once, tried twice: an outage repeats no message


@pytest.fixture
def new(rig: Rig) -> Callable[[], Rig]:
    """Makes fresh worlds."""
    return type(rig)


INSTANT = [Fault.FAIL_BEFORE, Fault.COMMIT_THEN_FAIL, Fault.LOSE_THEN_FAIL, Fault.FULL, Fault.CONFLICT]
WHILE = [Fault.FAIL_BEFORE, Fault.FULL, Fault.LOSE_THEN_FAIL, Fault.CONFLICT]


async def test_the_reference_makes_so_many_appends(rig: Rig) -> None:
    store = MemoryStore()
    await live(rig, store)
    assert store.faults.appends == APPENDS, "an append has come or gone: set APPENDS to what it is now"


@pytest.mark.parametrize("fault", INSTANT)
async def test_one_append_that_fails_costs_nothing(fault: Fault, new: Callable[[], Rig]) -> None:
    for append in range(1, APPENDS + 1):
        rig = new()
        await live(rig, MemoryStore(faults=Trouble(rig.clock, append, fault, 0.0)))


@pytest.mark.parametrize("fault", WHILE)
@pytest.mark.heavy
async def test_an_outage_stops_action_and_ends_without_a_restart(fault: Fault, new: Callable[[], Rig]) -> None:
    refused = 0
    for append in range(1, APPENDS + 1):
        rig = new()
        refused += (await live(rig, MemoryStore(faults=Trouble(rig.clock, append, fault, OUTAGE)))).refused
    assert refused > 10  # while the store was away, intake said so


@pytest.mark.parametrize("fault", [Fault.COMMIT_THEN_FAIL, Fault.LOSE_THEN_FAIL])
async def test_a_lost_answer_of_a_store_that_cannot_be_read_is_settled_when_it_can(
    fault: Fault, new: Callable[[], Rig]
) -> None:
    results: list[str] = []
    for append in range(1, APPENDS + 1):
        rig = new()
        await live(rig, DeafStore(Trouble(rig.clock, append, fault, OUTAGE)))
        results += [fact.outcome.result for fact in await rig.facts() if isinstance(fact, e.StepOutcome)]
    assert ("not_issued" in results) == (fault is Fault.COMMIT_THEN_FAIL)  # announced, and never done
    assert "unknown" not in results


# ── several hands on one journal ─────────────────────────────────────────────────────────────────────────────────────
def journal(rig: Rig, disk: Disk, name: str, faults: Faults | None = None) -> Journal:
    """A journal over a disk that others may write to as well."""
    return Journal(MemoryStore(disk, faults), rig.clock, key=b"k" * 32, replica=name, boot=name)


def pause(scope: str, by: str) -> e.PauseSet:
    """Any fact will do."""
    return e.PauseSet(scope=scope, reason="r", by=by)


@asynccontextmanager
async def running(*journals: Journal) -> AsyncIterator[None]:
    """Their lanes, while the block lasts."""
    for one in journals:
        await one.open()
    lanes = [asyncio.ensure_future(one.run()) for one in journals]
    try:
        yield
    finally:
        for lane in lanes:
            lane.cancel()
            with suppress(asyncio.CancelledError):
                await lane


async def test_two_journals_over_one_disk_come_to_the_same_state_and_hear_of_everything(rig: Rig) -> None:
    disk = Disk()
    ana, bob = journal(rig, disk, "ana"), journal(rig, disk, "bob")
    heard: dict[str, list[int]] = {"ana": [], "bob": []}
    async with running(ana, bob):
        ana.listen(lambda entries, _b, _a: heard["ana"].extend(entry.seq for entry in entries))
        bob.listen(lambda entries, _b, _a: heard["bob"].extend(entry.seq for entry in entries))
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                for one, by in ((ana, "ana"), (bob, "bob")):
                    fact = pause(f"rule:{number}", by)
                    group.create_task(_take(one, fact))
                await asyncio.sleep(0)
        await ana.commit(lambda _s, _m: [pause("all", "ana")])
        await bob.commit(lambda _s, _m: [pause("all", "bob")])
        await ana.commit(lambda state, _m: [pause("rule:last", state.pauses["all"].by)])
    assert len(disk.records) == 1 + 40 + 3  # of two that wanted the same scope one was first, and the other saw it
    assert ana.state.pauses["rule:last"].by == "bob"
    assert heard["ana"] == list(range(2, 45))
    assert heard["bob"] == list(range(2, 44))


async def _take(one: Journal, fact: e.PauseSet) -> None:
    await one.commit(lambda state, _m: () if fact.scope in state.pauses else [fact])


async def test_a_conflict_without_end_is_told_and_does_not_spin(rig: Rig) -> None:
    faults = Faults()
    one = journal(rig, Disk(), "ana", faults)
    async with running(one):
        faults.begin(Fault.CONFLICT)
        before = faults.appends
        with pytest.raises(Conflict):
            await one.commit(lambda _s, _m: [pause("all", "ana")])
        assert faults.appends - before == CONFLICTS
        faults.end()
        await one.commit(lambda _s, _m: [pause("all", "ana")])
    assert not one.last_error
    assert not one.broken


async def test_history_that_is_lost_under_a_running_process_is_noticed_and_taken_up_in_safe_mode(rig: Rig) -> None:
    disk = Disk()
    one = journal(rig, disk, "ana")
    async with running(one):
        await one.commit(lambda _s, _m: [pause("all", "ana")])
        del disk.records[1:]
        await one.commit(lambda _s, _m: [pause("rule:a", "ana")])
        assert [record.kind for record in disk.records] == ["journal.opened", "safe_mode.entered", "pause.set"]
        assert set(one.state.pauses) == {"rule:a"}
        assert one.state.holds["safe_mode"].reason == "entry 2 was seen and is gone: the store ends at entry 1"
        assert (one.broken, one.renewals) == ("", 1)


async def test_history_that_was_replaced_by_a_longer_one_is_noticed_at_the_next_append(rig: Rig) -> None:
    disk, other = Disk(), Disk()
    one, two = journal(rig, disk, "ana"), journal(rig, other, "bob")
    async with running(one), running(two):
        await one.commit(lambda _s, _m: [pause("all", "ana")])
        for scope in ("all", "rule:a", "rule:b"):
            await two.commit(lambda _s, _m, scope=scope: [pause(scope, "bob")])  # type: ignore[misc]
        disk.records[:] = other.records
        await one.commit(lambda _s, _m: [pause("rule:c", "ana")])
        assert set(one.state.pauses) == {"all", "rule:a", "rule:b", "rule:c"}
        assert one.state.holds["safe_mode"].reason == "entry 2 was seen and is gone: it was replaced"


async def test_lost_history_that_cannot_be_taken_up_stops_everything_until_it_can(rig: Rig) -> None:
    disk = Disk()
    one = journal(rig, disk, "ana")
    async with running(one):
        await one.commit(lambda _s, _m: [pause("all", "ana")])
        kept = list(disk.records)
        disk.records[:] = [msgspec.structs.replace(kept[0], mac=bytes(32))]
        for _ in range(2):
            with pytest.raises(StoreError):
                await one.commit(lambda _s, _m: [pause("rule:a", "ana")])
            assert "and what is there now cannot be taken up" in one.broken
            assert one.head.seq == 2
        disk.records[:] = kept[:1]
        await one.commit(lambda _s, _m: [pause("rule:a", "ana")])
        assert not one.broken
        assert "safe_mode" in one.state.holds


async def test_a_foreign_entry_that_is_not_signed_with_our_key_stops_everything(rig: Rig) -> None:
    disk = Disk()
    one = journal(rig, disk, "ana")
    forger = Journal(MemoryStore(disk), rig.clock, key=b"f" * 32, replica="f", boot="f")
    async with running(one):
        forger.head, forger.state = one.head, one.state
        await forger.store.open()
        lane = asyncio.ensure_future(forger.run())
        await forger.commit(lambda _s, _m: [pause("all", "mallory")])
        lane.cancel()
        with pytest.raises(Conflict):
            await one.commit(lambda _s, _m: [pause("rule:a", "ana")])
    assert "entry 2" in one.broken
    assert "all" not in one.state.pauses
    with pytest.raises(CorruptJournal):
        await journal(rig, disk, "bob").open()


async def test_a_lost_answer_is_told_as_unknown_only_where_the_journal_cannot_be_read(rig: Rig) -> None:
    for store, error in ((MemoryStore, NotCommitted), (DeafStore, AppendUnknown)):
        trouble = Trouble(rig.clock, 2, Fault.LOSE_THEN_FAIL, 60.0)
        one = Journal(
            MemoryStore(faults=trouble) if store is MemoryStore else DeafStore(trouble),
            rig.clock,
            key=b"k" * 32,
            replica="r",
            boot="b",
        )
        async with running(one):
            with pytest.raises(StoreError) as raised:
                await one.commit(lambda _s, _m: [pause("all", "ana")])
            assert type(raised.value) is error


async def test_a_store_that_hangs_gets_no_answer_out_of_intake_and_no_alert_twice(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "GIVE_UP", 0.01)
    gate = asyncio.Event()
    gate.set()

    class Hanging(MemoryStore):
        async def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow] = ()) -> Head:
            await gate.wait()
            return await super().append(expect, records, rows)

    rig.store = Hanging()
    async with rig.engine() as engine:
        gate.clear()
        for _ in range(3):  # each try waits its time in the lane, and is told to come again
            with pytest.raises(NotCommitted, match="send it again"):
                await engine.intake.accept(rig.body(rig.alert()), "test")
        assert not rig.world.ledger
        gate.set()
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
    assert (await rig.kinds()).count("notification.received") == 4
    assert (await rig.kinds()).count("run.planned") == 1


async def test_what_waits_for_a_lane_that_hangs_is_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "WAITING", 3)
    async with rig.engine() as engine:
        asked = [asyncio.ensure_future(engine.intake.accept(rig.body(rig.alert()), "test")) for _ in range(5)]
        await rig.clock.settle()
        await asyncio.wait(asked)
        answers = [one.exception() for one in asked]
    assert [type(answer) for answer in answers] == [type(None)] * 3 + [intake.QueueFull] * 2


async def test_the_state_in_memory_is_the_state_on_disk_however_fast_the_clock_runs(rig: Rig) -> None:
    class Hasty(type(rig.clock)):  # type: ignore[misc]  # a new time at every look, as on a real machine
        def now(self) -> float:
            self._move(self.mono + 0.001)
            return float(self.wall)

    rig.clock = Hasty()
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
        state = State()
        for record in rig.store.disk.records:
            state = fold(state, e.decode(record.seq, record.body))
        assert state == engine.parts.journal.state


async def test_a_service_that_nobody_asks_anything_is_ready_again_once_its_store_is(rig: Rig) -> None:
    async with rig.engine() as engine:
        rig.store.faults.next(Fault.FULL)
        with pytest.raises(StoreFull):
            await rig.accept(engine, rig.alert())
        assert engine.parts.journal.last_error
        head = engine.parts.journal.head
        await rig.clock.run(70.0)
        assert not engine.parts.journal.last_error
        assert engine.parts.journal.head == head
