"""One lane, one commit for many: order, failure of one, cancellation, and the bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import msgspec
import pytest

from remediator.core import entries as e
from remediator.engine.drafts import Decider
from remediator.engine.journal import BATCH, TURNS, Journal
from remediator.errors import IllegalEntry, NotCommitted, RefusedRecord
from remediator.ports import IncidentRow
from remediator.stores.faults import Fault
from remediator.stores.memory import MemoryStore

if TYPE_CHECKING:
    from remediator.core.chain import Head
    from remediator.core.entries import Record
    from remediator.core.state import Moment, State
    from tests.engine.conftest import Rig


class CountingStore(MemoryStore):
    """Notes the size of every append, and can hold one back."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.rows: list[IncidentRow] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow] = ()) -> Head:
        """As any store, when the gate is open."""
        await self.gate.wait()
        self.sizes.append(len(records))
        self.rows.extend(rows)
        return await super().append(expect, records, rows)


@asynccontextmanager
async def open_journal(rig: Rig, store: MemoryStore) -> AsyncIterator[Journal]:
    """A journal whose lane runs while the block lasts."""
    journal = Journal(store, rig.clock, key=b"k" * 32, replica="r", boot="b")
    await journal.open()
    lane = asyncio.ensure_future(journal.run())
    yield journal
    lane.cancel()
    with suppress(asyncio.CancelledError):
        await lane


def pause(scope: str) -> e.PauseSet:
    """Any fact will do."""
    return e.PauseSet(scope=scope, reason="r", by="ana")


def wish(journal: Journal, *scopes: str) -> asyncio.Future[tuple[e.Entry, ...]]:
    """A caller who wants these facts."""
    return asyncio.ensure_future(_wish(journal, [pause(scope) for scope in scopes]))


async def _wish(journal: Journal, facts: Sequence[e.AnyFact]) -> tuple[e.Entry, ...]:
    return await journal.commit(lambda _state, _moment: facts)


async def test_many_that_wait_share_one_append_and_keep_their_order(rig: Rig) -> None:
    store = CountingStore()
    async with open_journal(rig, store) as journal:
        asked = [wish(journal, f"a{number}", f"b{number}") for number in range(20)]
        answers = [await one for one in asked]
    assert store.sizes == [1, 40]
    assert [entry.seq for answer in answers for entry in answer] == list(range(2, 42))
    scopes = [getattr(entry.fact, "scope", "") for answer in answers for entry in answer]
    assert scopes == [f"{letter}{number}" for number in range(20) for letter in "ab"]
    assert [record.id for record in store.disk.records[1:]] == [entry.id for answer in answers for entry in answer]


async def test_a_commit_holds_at_most_so_many_deciders(rig: Rig) -> None:
    store = CountingStore()
    async with open_journal(rig, store) as journal:
        store.gate.clear()
        first = wish(journal, "first")
        await rig.clock.settle()
        rest = [wish(journal, str(number)) for number in range(2 * BATCH + 10)]
        await rig.clock.settle()
        assert journal.waiting == len(rest)
        store.gate.set()
        await asyncio.wait([first, *rest])
    assert store.sizes == [1, 1, BATCH, BATCH, 10]


async def test_each_decider_sees_what_the_earlier_ones_of_the_same_commit_decided(rig: Rig) -> None:
    store = CountingStore()
    seen: list[int] = []

    def decide(state: State, _moment: Moment) -> Sequence[e.AnyFact]:
        seen.append(len(state.pauses))
        return [pause(str(len(state.pauses)))] if len(state.pauses) < 3 else ()

    async with open_journal(rig, store) as journal:
        asked = [asyncio.ensure_future(_decide(journal, decide)) for _ in range(5)]
        answers = [await one for one in asked]
    assert seen == [0, 1, 2, 3, 3]
    assert [len(answer) for answer in answers] == [1, 1, 1, 0, 0]
    assert store.sizes == [1, 3]


async def _decide(journal: Journal, decider: Decider) -> tuple[e.Entry, ...]:
    return await journal.commit(decider)


async def test_a_decider_that_fails_fails_its_caller_and_nobody_else(rig: Rig) -> None:
    store = CountingStore()

    def broken(_state: State, _moment: Moment) -> Sequence[e.AnyFact]:
        raise ZeroDivisionError("broken")

    def illegal(state: State, _moment: Moment) -> Sequence[e.AnyFact]:
        opened = e.IncidentOpened(
            incident="inc-x", rule="r", target={"domain": "d"}, episode="", labels={}, severity="", summary=""
        )
        return [opened, e.NotificationDisposed(notification=99, alerts=())]

    async with open_journal(rig, store) as journal:
        asked = [wish(journal, "a"), asyncio.ensure_future(_decide(journal, broken))]
        asked += [asyncio.ensure_future(_decide(journal, illegal)), wish(journal, "b")]
        await asyncio.wait(asked)
        assert isinstance(asked[1].exception(), ZeroDivisionError)
        assert isinstance(asked[2].exception(), IllegalEntry)
        assert [len(asked[place].result()) for place in (0, 3)] == [1, 1]
        assert not journal.state.incidents  # nothing of the illegal one stayed, neither in the state
        assert not store.rows  # nor as a line of the action log
    assert store.sizes == [1, 2]


async def test_who_stops_waiting_does_not_stop_the_append(rig: Rig) -> None:
    store = CountingStore()
    async with open_journal(rig, store) as journal:
        store.gate.clear()
        waiting, other = wish(journal, "a"), wish(journal, "b")
        await rig.clock.settle()
        waiting.cancel()
        await rig.clock.settle()
        assert waiting.cancelled()
        store.gate.set()
        await other
        assert set(journal.state.pauses) == {"a", "b"}


async def test_who_stops_waiting_for_an_append_that_fails_leaves_no_loose_error(rig: Rig) -> None:
    store = CountingStore()
    async with open_journal(rig, store) as journal:
        store.gate.clear()
        store.faults.on(2, Fault.FULL)
        waiting = wish(journal, "a")
        await rig.clock.settle()
        waiting.cancel()
        store.gate.set()
        await rig.clock.settle()
        await wish(journal, "b")
        assert set(journal.state.pauses) == {"b"}


async def test_nobody_learns_of_an_entry_before_it_is_durable(rig: Rig) -> None:
    store = CountingStore()
    told: list[int] = []
    async with open_journal(rig, store) as journal:
        journal.listen(lambda entries, _before, _after: told.extend(entry.seq for entry in entries))
        store.gate.clear()
        waiting = wish(journal, "a")
        await rig.clock.settle()
        assert not told
        assert not waiting.done()
        assert not journal.state.pauses
        store.gate.set()
        await waiting
        assert told == [2]
        assert len(store.disk.records) == 2


async def test_listeners_hear_every_commit_once_in_order_with_the_states_around_it(rig: Rig) -> None:
    told: list[tuple[list[int], int, int]] = []
    async with open_journal(rig, MemoryStore()) as journal:
        journal.listen(lambda entries, before, after: told.append(([x.seq for x in entries], before.seq, after.seq)))
        await asyncio.wait([wish(journal, "a"), wish(journal, "b", "c")])
        await wish(journal, "d")
    assert told == [([2, 3, 4], 1, 4), ([5], 4, 5)]


async def test_what_still_waits_when_the_lane_ends_is_refused(rig: Rig) -> None:
    store = CountingStore()
    async with open_journal(rig, store) as journal:
        store.gate.clear()
        asked = [wish(journal, "a"), wish(journal, "b")]
        await rig.clock.settle()
        late = wish(journal, "c")
        await rig.clock.settle()
    for one in (*asked, late):
        with pytest.raises(NotCommitted, match="stopping"):
            await one


async def test_alerts_that_arrive_together_are_one_commit(rig: Rig) -> None:
    rig.store = CountingStore()
    async with rig.engine() as engine:
        before = len(rig.store.sizes)
        bodies = [rig.body(rig.alert(f"d{number}.example.com")) for number in range(50)]
        asked = [asyncio.ensure_future(engine.intake.accept(one, "test")) for one in bodies]
        answers = [await one for one in asked]
        assert rig.store.sizes[before] == 50
        assert [answer.entry for answer in answers] == list(range(answers[0].entry, answers[0].entry + 50))


@pytest.mark.parametrize(
    "fact",
    [
        e.PauseSet(scope="a", reason=None, by="ana"),  # type: ignore[arg-type]
        e.PauseSet(scope="a", reason="\udc80", by="ana"),
        e.PauseSet(scope=object(), reason="r", by="ana"),  # type: ignore[arg-type]
        e.PauseSet(scope="a", reason="r", by="ana", until="soon"),  # type: ignore[arg-type]
    ],
    ids=["null", "half a character", "no text at all", "another type"],
)
async def test_a_fact_that_could_not_be_read_back_is_refused_and_the_others_go_on(rig: Rig, fact: e.PauseSet) -> None:
    store = MemoryStore()
    async with open_journal(rig, store) as journal:
        asked = [asyncio.ensure_future(_wish(journal, facts)) for facts in ([pause("b")], [fact], [pause("c")])]
        await asyncio.wait(asked)
        assert isinstance(asked[1].exception(), IllegalEntry)
        assert set(journal.state.pauses) == {"b", "c"}
    async with open_journal(rig, MemoryStore(store.disk)) as journal:
        assert set(journal.state.pauses) == {"b", "c"}


async def test_what_is_folded_is_what_the_next_start_will_read(rig: Rig) -> None:
    store = MemoryStore()
    async with open_journal(rig, store) as journal:
        endless = e.PauseSet(scope="a", reason="r", by="ana", until=float("inf"))
        (entry,) = await _wish(journal, [endless])
        assert entry.fact == e.PauseSet(scope="a", reason="r", by="ana", until=None)  # JSON knows no infinity
        state = journal.state
    async with open_journal(rig, MemoryStore(store.disk)) as journal:
        assert journal.state == state


async def test_a_start_from_a_snapshot_is_the_start_from_the_whole_journal(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(20)
        await engine.parts.journal.save()
        await rig.clock.run(5)
    assert rig.store.disk.snapshots
    states = []
    for snapshots in (rig.store.disk.snapshots, {}):
        rig.store.disk.snapshots = snapshots
        async with open_journal(rig, MemoryStore(rig.store.disk)) as journal:
            states.append(journal.state)
    assert states[0] == states[1]
    assert states[0].runs


async def test_a_commit_begins_at_once_when_all_are_back_whom_the_last_one_served(rig: Rig) -> None:
    store = CountingStore()
    turns: list[int] = []
    async with open_journal(rig, store) as journal:
        for _ in range(3):
            before, asked = len(store.sizes), [wish(journal, str(number)) for number in range(16)]
            for turn in range(TURNS):
                await asyncio.sleep(0)
                if len(store.sizes) > before:
                    turns.append(turn)
                    break
            await asyncio.gather(*asked)
    assert store.sizes[-2:] == [16, 16]
    assert len(turns) >= 2, "the lane waited for somebody who could not come"
    assert max(turns[-2:]) < 10


async def test_others_go_on_while_a_large_state_is_packed_for_a_snapshot(rig: Rig) -> None:
    async with open_journal(rig, MemoryStore()) as journal:
        await wish(journal, *(str(number) for number in range(5000)))
        saving = asyncio.ensure_future(journal.save())
        await asyncio.sleep(0)
        head = journal.head
        await wish(journal, "late")
        assert journal.head.seq == head.seq + 1
        assert not saving.done()
        await saving
        snapshot = await journal.store.load_snapshot()
        assert snapshot is not None
        assert snapshot.head == head  # what came meanwhile is not in it


async def test_a_record_that_the_store_refuses_fails_only_its_own_caller(rig: Rig) -> None:
    store = CountingStore()
    told: list[str] = []
    async with open_journal(rig, store) as journal:
        journal.on_error = told.append
        store.disk.claims["disposed:4"] = 1

        first = wish(journal, "a", "b")
        refused = asyncio.ensure_future(_ask(journal, settle))
        last = wish(journal, "c")
        whole = [await first, await last]
        with pytest.raises(RefusedRecord, match="'disposed:4' is held by entry 1"):
            await refused
        assert [getattr(entry.fact, "scope", "") for answer in whole for entry in answer] == ["a", "b", "c"]
        assert store.sizes == [1, 5, 3], "one append with it, one without it"
        assert journal.last_error == "", "the store is not at fault, and the service stays ready"
        assert len(told) == 1, "but it is told: fold and store disagree"
        assert await wish(journal, "d")


async def test_several_refused_records_leave_the_lane_one_by_one(rig: Rig) -> None:
    store = CountingStore()
    async with open_journal(rig, store) as journal:
        store.disk.claims |= {f"disposed:{seq}": 1 for seq in range(2, 80)}
        refused = [asyncio.ensure_future(_ask(journal, settle)) for _ in range(40)]
        good = wish(journal, "a")
        answers = await asyncio.gather(*refused, return_exceptions=True)
        assert all(isinstance(answer, RefusedRecord) for answer in answers)
        assert await good


def settle(state: State, _moment: Moment) -> Sequence[e.AnyFact]:
    """A notification that is settled at once; settling it is a claim."""
    received = e.NotificationReceived(alerts=0, body=msgspec.Raw(b"{}"))
    return [received, e.NotificationDisposed(notification=state.seq + 1, alerts=())]


async def _ask(journal: Journal, decider: Decider) -> tuple[e.Entry, ...]:
    return await journal.commit(decider)
