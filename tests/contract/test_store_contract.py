"""What every store promises, asked of each of them (reliability.md §4.1)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from remediator.core.chain import Head
from remediator.errors import Conflict, NotCommitted, StoreError
from remediator.ports import IncidentFilter, Snapshot
from remediator.stores.memory import Disk, MemoryStore

if TYPE_CHECKING:
    from remediator.core.entries import Record
    from remediator.ports import IncidentRow, Store
    from tests.contract.conftest import Place, Scribe


def without_claims(records: list[Record]) -> list[Record]:
    """As a store gives them back: claims are told by the fact, a store keeps them only to refuse a second."""
    return [msgspec.structs.replace(record, claims=()) for record in records]


# ── append ───────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_an_empty_journal_ends_at_zero_with_the_genesis_mac(place: Place) -> None:
    store = place.store()
    assert (await store.open()).head == Head()
    assert await store.read(0) == []
    await store.close()


async def test_an_append_gives_the_new_head_and_its_records_are_read_back_whole(store: Store, scribe: Scribe) -> None:
    records = scribe.records(Head(), 3, incident="inc-a", claims=("run:inc-a.1", "incident:inc-a"))
    head = await store.append(Head(), records)
    assert head == Head(3, records[-1].mac)
    assert list(await store.read(0)) == without_claims(records)


async def test_an_append_onto_an_old_head_is_a_conflict_and_writes_nothing(store: Store, scribe: Scribe) -> None:
    first = await store.append(Head(), scribe.records(Head(), 2))
    with pytest.raises(Conflict) as refused:
        await store.append(Head(), scribe.records(Head()), [scribe.row("inc-a", 1.0)])
    assert refused.value.head == 2
    assert len(await store.read(0)) == first.seq
    assert await store.incidents(IncidentFilter()) == []


async def test_a_head_with_the_right_number_and_another_mac_is_a_conflict(store: Store, scribe: Scribe) -> None:
    head = await store.append(Head(), scribe.records(Head()))
    forged = Head(head.seq, b"x" * 32)
    with pytest.raises(Conflict):
        await store.append(forged, scribe.records(forged))
    assert len(await store.read(0)) == 1


async def test_a_head_beyond_the_journal_is_a_conflict(store: Store, scribe: Scribe) -> None:
    ahead = Head(7, b"x" * 32)
    with pytest.raises(Conflict) as refused:
        await store.append(ahead, scribe.records(ahead))
    assert refused.value.head == 0


@pytest.mark.parametrize("seqs", [(2, 3), (1, 3), (1, 1), (0, 1)])
async def test_records_that_do_not_follow_one_by_one_are_refused(
    store: Store, scribe: Scribe, seqs: tuple[int, ...]
) -> None:
    records = [
        msgspec.structs.replace(record, seq=seq) for record, seq in zip(scribe.records(Head(), 2), seqs, strict=True)
    ]
    with pytest.raises(NotCommitted, match="one by one"):
        await store.append(Head(), records)
    assert await store.read(0) == []


async def test_a_claim_is_held_once_and_the_refusal_names_it(store: Store, scribe: Scribe) -> None:
    head = await store.append(Head(), scribe.records(Head(), claims=("intent:inc-a.1/0/1",)))
    batch = [*scribe.records(head, 1)]
    batch += scribe.records(Head(2, batch[-1].mac), claims=("run:inc-b.1", "intent:inc-a.1/0/1"))
    with pytest.raises(NotCommitted, match=r"'intent:inc-a\.1/0/1' is held by entry 1"):
        await store.append(head, batch, [scribe.row("inc-b", 5.0)])
    assert len(await store.read(0)) == 1, "nothing of a refused append may stay"
    assert await store.incidents(IncidentFilter()) == []
    await store.append(head, scribe.records(head, claims=("run:inc-b.1",)))


async def test_a_claim_is_held_once_within_one_append(store: Store, scribe: Scribe) -> None:
    first = scribe.records(Head(), claims=("run:inc-a.1",))
    second = scribe.records(Head(1, first[-1].mac), claims=("run:inc-a.1",))
    with pytest.raises(NotCommitted, match=r"run:inc-a\.1"):
        await store.append(Head(), [*first, *second])
    assert await store.read(0) == []


async def test_an_id_occurs_once(store: Store, scribe: Scribe) -> None:
    records = scribe.records(Head(), 2)
    head = await store.append(Head(), records)
    again = [msgspec.structs.replace(record, id=records[0].id) for record in scribe.records(head)]
    with pytest.raises(NotCommitted, match=f"entry 1 has the id '{records[0].id}'"):
        await store.append(head, again)
    twins = [msgspec.structs.replace(record, id="twin") for record in scribe.records(head, 2)]
    with pytest.raises(NotCommitted, match="twin"):
        await store.append(head, twins)
    assert len(await store.read(0)) == 2


async def test_after_a_refusal_the_next_append_goes_through(store: Store, scribe: Scribe) -> None:
    head = await store.append(Head(), scribe.records(Head(), claims=("c",)))
    for _ in range(3):
        with pytest.raises(NotCommitted):
            await store.append(head, scribe.records(head, claims=("c",)))
    assert (await store.append(head, scribe.records(head))).seq == 2


async def test_rows_can_be_rewritten_without_records(store: Store, scribe: Scribe) -> None:
    head = await store.append(Head(), scribe.records(Head()), [scribe.row("inc-a", 1.0)])
    assert await store.append(head, [], [scribe.row("inc-a", 1.0, status="closed")]) == head
    assert [row.status for row in await store.incidents(IncidentFilter())] == ["closed"]
    with pytest.raises(Conflict):
        await store.append(Head(), [], [scribe.row("inc-a", 1.0)])


async def test_bytes_are_kept_as_they_are(store: Store, scribe: Scribe) -> None:
    odd = bytes(range(256)) + b"\x00" * 3
    record = msgspec.structs.replace(scribe.records(Head())[0], body=odd, at=1721900000.1234567)
    await store.append(Head(), [record])
    [found] = await store.read(0)
    assert (found.body, found.mac, found.at) == (odd, record.mac, record.at)


# ── read, find, resolve ──────────────────────────────────────────────────────────────────────────────────────────────
async def test_reading_goes_on_after_a_number_and_stops_at_the_limit(store: Store, scribe: Scribe) -> None:
    await store.append(Head(), scribe.records(Head(), 10))
    assert [record.seq for record in await store.read(3, 4)] == [4, 5, 6, 7]
    assert [record.seq for record in await store.read(8)] == [9, 10]
    assert await store.read(10) == []
    assert await store.read(99) == []


async def test_records_are_found_by_incident_and_by_kind_oldest_first(store: Store, scribe: Scribe) -> None:
    head = Head()
    for incident, kind in [("inc-a", "run.planned"), ("inc-b", "run.planned"), ("inc-a", "run.ended"), ("", "x")]:
        head = await store.append(head, scribe.records(head, 2, incident=incident, kind=kind))

    async def seqs(*, incident: str = "", kind: str = "", limit: int = 1000) -> list[int]:
        return [record.seq for record in await store.find(incident=incident, kind=kind, limit=limit)]

    assert await seqs(incident="inc-a") == [1, 2, 5, 6]
    assert await seqs(kind="run.planned") == [1, 2, 3, 4]
    assert await seqs(incident="inc-a", kind="run.planned") == [1, 2]
    assert await seqs(incident="inc-a", limit=3) == [1, 2, 5]
    assert await seqs(incident="inc-") == [], "an incident is asked for by its whole id"
    assert await seqs(kind="nothing") == []


async def test_incidents_are_resolved_by_the_beginning_of_their_id_at_most_ten(store: Store, scribe: Scribe) -> None:
    names = [f"inc-a{number:02}" for number in range(12)] + ["inc-b1", "inc-%x", "inc-_x"]
    await store.append(Head(), scribe.records(Head()), [scribe.row(name, 1.0) for name in names])
    assert list(await store.resolve("inc-b")) == ["inc-b1"]
    assert list(await store.resolve("inc-b1")) == ["inc-b1"]
    assert list(await store.resolve("inc-a")) == names[:10]
    assert list(await store.resolve("inc-%")) == ["inc-%x"], "no character is a wildcard"
    assert list(await store.resolve("inc-_")) == ["inc-_x"], "no character is a wildcard"
    assert list(await store.resolve("inc-c")) == []


# ── the action log ───────────────────────────────────────────────────────────────────────────────────────────────────
async def fill(store: Store, rows: list[IncidentRow], scribe: Scribe) -> None:
    await store.append(Head(), scribe.records(Head()), rows)


async def test_a_line_of_the_action_log_is_kept_whole_and_replaced_whole(store: Store, scribe: Scribe) -> None:
    row = replace(scribe.row("inc-a", 5.5), labels={"a": "ä\"'\\", 'odd"name': "", "z": "1"}, dry=True)
    head = await store.append(Head(), scribe.records(Head()), [row])
    assert list(await store.incidents(IncidentFilter())) == [row]
    changed = replace(
        row, rule="r2", target="t2", status="s2", result="ok", opened_at=6.0, changed_at=9.0, sentence="s", labels={},
        dry=False,
    )  # fmt: skip
    await store.append(head, scribe.records(head), [changed])
    assert list(await store.incidents(IncidentFilter())) == [changed]


async def test_the_action_log_is_listed_newest_first_page_by_page(store: Store, scribe: Scribe) -> None:
    names = ["inc-a", "inc-b", "inc-c", "inc-d", "inc-e"]
    times = [10.0, 20.0, 20.0, 20.0, 30.0]
    await fill(store, [scribe.row(name, at) for name, at in zip(names, times, strict=True)], scribe)
    seen: list[str] = []
    before: tuple[float, str] | None = None
    for size in (2, 2, 1, 0):
        page = await store.incidents(IncidentFilter(limit=2, before=before))
        assert len(page) == size
        seen += [row.incident for row in page]
        before = (page[-1].opened_at, page[-1].incident) if page else before
    assert seen == ["inc-e", "inc-d", "inc-c", "inc-b", "inc-a"]


async def test_each_filter_of_the_action_log_filters(store: Store, scribe: Scribe) -> None:
    plain = scribe.row("inc-plain", 100.0)
    rows = [
        plain,
        replace(plain, incident="inc-old", opened_at=50.0),
        replace(plain, incident="inc-rule", rule="other"),
        replace(plain, incident="inc-status", status="closed"),
        replace(plain, incident="inc-result", result="failed"),
        replace(plain, incident="inc-label", labels={"domain": "b.example", "node": "mx-1"}),
    ]
    await fill(store, rows, scribe)

    async def names(wanted: IncidentFilter) -> set[str]:
        return {row.incident.removeprefix("inc-") for row in await store.incidents(wanted)}

    assert await names(IncidentFilter()) == {"plain", "old", "rule", "status", "result", "label"}
    assert await names(IncidentFilter(since=100.0)) == {"plain", "rule", "status", "result", "label"}
    assert await names(IncidentFilter(incident="inc-old")) == {"old"}
    assert await names(IncidentFilter(rule="other")) == {"rule"}
    assert await names(IncidentFilter(status="closed")) == {"status"}
    assert await names(IncidentFilter(result="failed")) == {"result"}
    assert await names(IncidentFilter(rule="other", status="closed")) == set()
    assert await names(IncidentFilter(labels={"domain": "b.example"})) == {"label"}
    assert await names(IncidentFilter(labels={"domain": "b.example", "node": "mx-1"})) == {"label"}
    assert await names(IncidentFilter(labels={"domain": "b.example", "node": "mx-2"})) == set()
    assert await names(IncidentFilter(labels={"node": "b.example"})) == set()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a", 'x","a":"y'),
        ('q"uote', "v"),
        ("back\\slash", "\\"),
        ("ünï", "çødé ☃"),
        ("a", "%"),
        ("a.b[0]", "$"),
        ("n", "1"),
    ],
)
async def test_labels_are_compared_as_they_are_whatever_they_contain(
    store: Store, scribe: Scribe, name: str, value: str
) -> None:
    plain = scribe.row("inc-plain", 1.0)
    await fill(
        store, [replace(plain, labels={name: value}), replace(plain, incident="inc-x", labels={"x": "y"})], scribe
    )
    found = await store.incidents(IncidentFilter(labels={name: value}))
    assert [row.incident for row in found] == ["inc-plain"]
    assert await store.incidents(IncidentFilter(labels={name: value + "x"})) == []


# ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_without_a_snapshot_there_is_none(store: Store) -> None:
    assert await store.load_snapshot() is None


async def test_the_newest_snapshot_is_loaded_and_the_two_newest_are_kept(place: Place, scribe: Scribe) -> None:
    store = place.store()
    await store.open()
    head, heads = Head(), []
    for number in range(4):
        head = await store.append(head, scribe.records(head))
        heads.append(head)
        await store.save_snapshot(Snapshot(head=head, state=b"state %d" % number))
    assert await store.load_snapshot() == Snapshot(head=heads[3], state=b"state 3")
    await store.close()
    assert await place.kept_snapshots() == 2

    await place.spoil_newest_snapshot()
    assert await reopened_snapshot(place) == Snapshot(head=heads[2], state=b"state 2"), "the newest one is not whole"


async def reopened_snapshot(place: Place) -> Snapshot | None:
    store = place.store()
    await store.open()
    try:
        return await store.load_snapshot()
    finally:
        await store.close()


async def test_a_spoilt_only_snapshot_is_none(place: Place, scribe: Scribe) -> None:
    store = place.store()
    await store.open()
    head = await store.append(Head(), scribe.records(Head()))
    await store.save_snapshot(Snapshot(head=head, state=b"state"))
    await store.close()
    await place.spoil_newest_snapshot()
    assert await reopened_snapshot(place) is None


async def test_a_snapshot_of_another_journal_is_not_loaded(store: Store, scribe: Scribe) -> None:
    head = await store.append(Head(), scribe.records(Head(), 2))
    await store.save_snapshot(Snapshot(head=Head(1, (await store.read(0))[0].mac), state=b"ours"))
    await store.save_snapshot(Snapshot(head=Head(2, b"x" * 32), state=b"same number, another mac"))
    found = await store.load_snapshot()
    assert found is not None
    assert found.state == b"ours"
    await store.save_snapshot(Snapshot(head=Head(9, head.mac), state=b"beyond the end"))
    assert await store.load_snapshot() is None, "of the two that are kept, neither lies on this journal"


async def test_a_snapshot_of_the_empty_journal_can_be_loaded(store: Store) -> None:
    await store.save_snapshot(Snapshot(head=Head(), state=b""))
    assert await store.load_snapshot() == Snapshot(head=Head(), state=b"")


# ── opening and closing ──────────────────────────────────────────────────────────────────────────────────────────────
async def test_everything_is_there_after_closing_and_opening_again(place: Place, scribe: Scribe) -> None:
    store = place.store()
    first = await store.open()
    records = scribe.records(Head(), 5, incident="inc-a", claims=("run:inc-a.1",))
    head = await store.append(Head(), records, [scribe.row("inc-a", 1.0)])
    await store.save_snapshot(Snapshot(head=head, state=b"s"))
    await store.close()
    await store.close()

    again = place.store()
    opened = await again.open()
    assert (opened.store_id, opened.head, opened.grade) == (first.store_id, head, "strict")
    assert list(await again.read(0)) == without_claims(records)
    assert [row.incident for row in await again.incidents(IncidentFilter())] == ["inc-a"]
    assert await again.load_snapshot() == Snapshot(head=head, state=b"s")
    with pytest.raises(NotCommitted, match=r"run:inc-a\.1"):
        await again.append(head, scribe.records(head, claims=("run:inc-a.1",)))
    await again.close()


async def test_a_closed_store_does_nothing(place: Place, scribe: Scribe) -> None:
    store = place.store()
    with pytest.raises(NotCommitted, match="closed"):
        await store.append(Head(), scribe.records(Head()))
    await store.open()
    await store.close()
    with pytest.raises(NotCommitted, match="closed"):
        await store.append(Head(), scribe.records(Head()))
    with pytest.raises(StoreError, match="closed"):
        await store.read(0)


# ── many at once ─────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_fifty_tasks_that_retry_on_conflict_lose_nothing_and_double_nothing(store: Store, scribe: Scribe) -> None:
    conflicts = 0

    async def work(name: str) -> None:
        nonlocal conflicts
        seen = Head()
        for turn in range(4):
            while True:
                for record in await store.read(seen.seq):
                    seen = Head(record.seq, record.mac)
                [record] = scribe.records(seen, claims=(f"{name}/{turn}",))
                try:
                    seen = await store.append(seen, [msgspec.structs.replace(record, run=f"{name}/{turn}")])
                    break
                except Conflict:
                    conflicts += 1

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(work(f"task-{number}"))

    records = await store.read(0)
    assert sorted(record.run for record in records) == sorted(f"task-{n}/{t}" for n in range(50) for t in range(4))
    assert scribe.is_whole(records)
    assert conflicts > 0, "nobody ever lost a race: the test did not test anything"


async def test_of_many_appends_to_one_head_exactly_one_goes_through(store: Store, scribe: Scribe) -> None:
    heads: list[int] = []
    refusals: list[int] = []

    async def once() -> None:
        try:
            heads.append((await store.append(Head(), scribe.records(Head(), 3))).seq)
        except Conflict as refused:
            refusals.append(refused.head)

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(once())
    assert heads == [3]
    assert refusals == [3] * 19
    assert len(await store.read(0)) == 3


async def test_an_append_that_has_begun_goes_on_when_its_caller_is_cancelled(store: Store, scribe: Scribe) -> None:
    head = Head()
    for _ in range(20):
        records = scribe.records(head)
        caller = asyncio.ensure_future(store.append(head, records))
        await asyncio.sleep(0)
        caller.cancel()
        with suppress(asyncio.CancelledError):
            await caller
        # A second append queues behind the first, and sees what became of it.
        with pytest.raises(Conflict) as refused:
            await store.append(head, scribe.records(head))
        head = Head(refused.value.head, records[-1].mac)
    assert scribe.is_whole(await store.read(0))
    assert len(await store.read(0)) == 20


# ── others at work on the same journal ───────────────────────────────────────────────────────────────────────────────
async def test_a_store_that_keeps_others_out_says_so_and_hears_of_nobody(place: Place) -> None:
    store = place.store()
    assert (await store.open()).alone
    await store.heartbeat("boot-1", 30.0)
    assert not await store.alive()
    waiting = asyncio.ensure_future(store.wait(0))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await store.close()


async def test_on_a_shared_disk_heartbeats_age_and_are_forgotten_and_appends_are_heard_of(scribe: Scribe) -> None:
    now = [100.0]
    one, two = (MemoryStore(disk, shared=lambda: now[0]) for disk in [Disk()] * 2)
    assert not (await one.open()).alone
    assert not (await two.open()).alone
    await one.heartbeat("boot-1", 30.0)
    now[0] += 29.0
    assert await two.alive() == {"boot-1": 29.0}
    await two.heartbeat("boot-2", 30.0)
    now[0] += 1.0
    assert await one.alive() == {"boot-2": 1.0}
    waiting = asyncio.ensure_future(two.wait(0))
    await asyncio.sleep(0)
    assert not waiting.done()
    await one.append(Head(), scribe.records(Head(), 2))
    await waiting
    await two.wait(1)  # it is longer already
