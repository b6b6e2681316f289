"""What every store promises of deleting the beginning of a journal: only what a snapshot and a signed entry cover."""

from __future__ import annotations

import gzip
import json
import sqlite3
from typing import TYPE_CHECKING

import msgspec
import pytest

from remediator.core.chain import Head, sign
from remediator.errors import CorruptJournal, NotCommitted, StoreError
from remediator.ports import IncidentFilter, Snapshot
from remediator.stores.archive import GzipArchive
from remediator.stores.sqlite import SqliteStore
from remediator.stores.sqlite_reader import offline

if TYPE_CHECKING:
    from pathlib import Path

    from remediator.core.entries import Record
    from remediator.ports import Store
    from tests.contract.conftest import Place, Scribe, SqlitePlace

KEY = b"k" * 32


def place_of(record: Record) -> Head:
    return Head(record.seq, record.mac)


def checkpoint(scribe: Scribe, head: Head, named: Head) -> Record:
    """A signed entry that names `named`."""
    [blank] = scribe.records(head, kind="journal.pruned")
    body = json.dumps({"id": blank.id, "mac": named.mac.hex()}).encode()
    return msgspec.structs.replace(blank, body=body, mac=sign(KEY, blank.seq, head.mac, body))


async def fill(store: Store, scribe: Scribe, *, snapshot: int = 8, named: int = 5) -> list[Record]:
    """Ten entries of two incidents with claims, a snapshot at `snapshot`, and an entry that names entry `named`."""
    records: list[Record] = []
    head = Head()
    for name in ("inc-a", "inc-b"):
        some = scribe.records(head, 5, incident=name, claims=(f"run:{name}.1",))
        head = await store.append(head, some, [scribe.row(name, 1.0)])
        records += some
    if snapshot:
        await store.save_snapshot(Snapshot(head=place_of(records[snapshot - 1]), state=b"s"))
    if named:
        last = checkpoint(scribe, head, place_of(records[named - 1]))
        await store.append(head, [last])
        records.append(last)
    return records


async def test_a_pruned_journal_begins_after_the_checkpoint_and_goes_on(store: Store, scribe: Scribe) -> None:
    records = await fill(store, scribe)
    await store.prune(place_of(records[4]))
    assert await store.start() == place_of(records[4])
    assert [record.seq for record in await store.read(0)] == [6, 7, 8, 9, 10, 11]
    assert [record.seq for record in await store.read(3, 2)] == [6, 7]
    assert [record.seq for record in await store.read(7)] == [8, 9, 10, 11]
    head = place_of(records[-1])
    assert (await store.append(head, scribe.records(head))).seq == 12
    found = await store.load_snapshot()
    assert found is not None
    assert found.head.seq == 8


async def test_the_claims_and_lines_of_what_is_gone_go_with_it(store: Store, scribe: Scribe) -> None:
    records = await fill(store, scribe)
    await store.prune(place_of(records[4]))
    assert [row.incident for row in await store.incidents(IncidentFilter())] == ["inc-b"]
    assert await store.resolve("inc-a") == []
    assert await store.find(incident="inc-a") == []
    head = place_of(records[-1])
    head = await store.append(head, scribe.records(head, claims=("run:inc-a.1",)))
    with pytest.raises(NotCommitted, match=r"run:inc-b\.1"):
        await store.append(head, scribe.records(head, claims=("run:inc-b.1",)))


async def test_a_line_stays_as_long_as_an_entry_of_its_incident_stays(store: Store, scribe: Scribe) -> None:
    records = await fill(store, scribe, named=3)
    await store.prune(place_of(records[2]))
    assert {row.incident for row in await store.incidents(IncidentFilter())} == {"inc-a", "inc-b"}


@pytest.mark.parametrize(
    ("snapshot", "named", "wanted", "words"),
    [
        (0, 5, 5, "no snapshot lies above it"),
        (5, 5, 5, "no snapshot lies above it"),
        (8, 0, 5, "no entry journal.pruned names it"),
        (8, 4, 5, "no entry journal.pruned names it"),
        (8, 5, 40, "there is no such entry"),
    ],
)
async def test_what_no_snapshot_and_no_checkpoint_cover_stays(
    store: Store, scribe: Scribe, snapshot: int, named: int, wanted: int, words: str
) -> None:
    records = await fill(store, scribe, snapshot=snapshot, named=named)
    start = place_of(records[wanted - 1]) if wanted <= len(records) else Head(wanted, b"x" * 32)
    with pytest.raises(NotCommitted, match=words):
        await store.prune(start)
    assert len(await store.read(0)) == len(records)
    assert await store.start() == Head()


async def test_another_mac_than_the_entrys_is_refused(store: Store, scribe: Scribe) -> None:
    records = await fill(store, scribe)
    with pytest.raises(NotCommitted, match="there is no such entry"):
        await store.prune(Head(records[4].seq, b"x" * 32))


async def test_the_next_process_finds_where_the_journal_begins(place: Place, scribe: Scribe) -> None:
    store = place.store()
    await store.open()
    records = await fill(store, scribe)
    before = await store.size()
    await store.prune(place_of(records[4]))
    assert await store.size() <= before
    await store.close()
    with pytest.raises(NotCommitted):
        await store.prune(place_of(records[4]))
    again = place.store()
    opened = await again.open()
    assert (opened.start, opened.head) == (place_of(records[4]), place_of(records[-1]))
    await again.close()


# ── only SQLite ──────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_the_file_forbids_to_delete_beyond_what_the_pruning_names(file: SqlitePlace, scribe: Scribe) -> None:
    async with file.opened() as store:
        records = await fill(store, scribe)
        await store.prune(place_of(records[4]))
        for statement in ("DELETE FROM journal WHERE seq = 6", "DELETE FROM claim"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                await file.on_writer(store, statement)
        assert await file.on_writer(store, "SELECT value FROM meta WHERE key = 'pruning'") == []
        assert await file.on_writer(store, "PRAGMA foreign_key_check") == []
        assert await file.on_writer(store, "PRAGMA integrity_check") == [("ok",)]
    with offline(file.path) as reader:
        assert reader.start() == place_of(records[4])
        assert [record.seq for record in reader.records()] == [6, 7, 8, 9, 10, 11]


async def test_a_beginning_that_another_hand_cut_off_is_noticed_at_the_next_start(
    file: SqlitePlace, scribe: Scribe
) -> None:
    await file.fill(scribe)
    file.change("DROP TRIGGER journal_no_delete", "DELETE FROM journal WHERE seq = 1")
    with pytest.raises(CorruptJournal, match="begins with entry 2"):
        await SqliteStore(file.path).open()


# ── the archive ──────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_an_archived_portion_can_be_checked_against_the_chain(tmp_path: Path, scribe: Scribe) -> None:
    records = scribe.records(Head(), 3)
    odd = b"\xff not text"
    records.append(msgspec.structs.replace(records[0], seq=4, body=odd, mac=sign(KEY, 4, records[-1].mac, odd)))
    name = await GzipArchive(tmp_path / "archive").keep(Head(), records)
    assert name == "journal-0000000001-0000000004.jsonl.gz"
    lines = [json.loads(line) for line in gzip.decompress((tmp_path / "archive" / name).read_bytes()).splitlines()]
    assert lines[0] == {"after": 0, "mac": Head().mac.hex()}
    assert [line["seq"] for line in lines[1:]] == [1, 2, 3, 4]
    assert [line["mac"] for line in lines[1:]] == [record.mac.hex() for record in records]
    assert [line.get("body", "").encode() for line in lines[1:4]] == [record.body for record in records[:3]]
    assert lines[4]["body64"] == "/yBub3QgdGV4dA=="
    assert [path.name for path in (tmp_path / "archive").iterdir()] == [name], "nothing half-written is left"


async def test_an_archive_that_cannot_be_written_says_which(tmp_path: Path, scribe: Scribe) -> None:
    (tmp_path / "archive").write_text("a file")
    with pytest.raises(StoreError, match=r"archive .* cannot be written .*; see storage\.archive"):
        await GzipArchive(tmp_path / "archive").keep(Head(), scribe.records(Head()))
