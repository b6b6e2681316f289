"""What the SQLite store does when file, disk or caller fail it, and how its file is read without it."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import sqlite3
import threading
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from remediator.core.chain import Head
from remediator.core.space import Room
from remediator.errors import Conflict, CorruptJournal, NotCommitted, StoreError, StoreFull, StoreRefused
from remediator.ports import IncidentFilter, Snapshot
from remediator.stores import sqlite_place, sqlite_writer
from remediator.stores.sqlite import SqliteStore
from remediator.stores.sqlite_place import BALLAST_BYTES
from remediator.stores.sqlite_reader import offline, offline_read

if TYPE_CHECKING:
    from pathlib import Path

    from remediator.core.entries import Record
    from tests.contract.conftest import Scribe, SqlitePlace


# ── a file that was changed or damaged ───────────────────────────────────────────────────────────────────────────────
async def test_a_tail_that_was_cut_off_is_noticed_at_the_next_start(file: SqlitePlace, scribe: Scribe) -> None:
    await file.fill(scribe)
    file.change(
        "DROP TRIGGER journal_no_delete",
        "DELETE FROM journal WHERE seq = 3",
    )
    with pytest.raises(CorruptJournal, match="changed by another hand") as raised:
        await SqliteStore(file.path).open()
    assert raised.value.seq == 3


async def test_a_missing_entry_is_not_read_over(file: SqlitePlace, scribe: Scribe) -> None:
    await file.fill(scribe)
    file.change(
        "DROP TRIGGER journal_no_delete",
        "DELETE FROM journal WHERE seq = 2",
    )
    async with file.opened() as store:
        with pytest.raises(CorruptJournal) as raised:
            await store.read(0)
        assert raised.value.seq == 2
    assert [record.seq for record in offline_read(file.path)] == [1, 3], "a tool sees what is there, and judges itself"


async def test_the_whole_file_is_looked_at_only_after_a_stop_that_was_not_clean(
    file: SqlitePlace, scribe: Scribe
) -> None:
    await file.fill(scribe, 200)
    file.overwrite_page_of("p_incident_by_rule")
    async with file.opened():
        pass
    file.beside("-wal").write_bytes(b"what a kill leaves behind")
    with pytest.raises(StoreRefused, match="is damaged"):
        await SqliteStore(file.path).open()


async def test_a_log_cut_at_every_frame_gives_a_beginning_of_what_was_written(
    file: SqlitePlace, tmp_path: Path, scribe: Scribe
) -> None:
    written: list[Record] = []
    ends = [0]
    async with file.opened() as store:
        for number in (1, 3, 2, 1):
            head = Head(written[-1].seq, written[-1].mac) if written else Head()
            batch = scribe.records(head, number, incident="inc-a", claims=(f"c{head.seq}",))
            await store.append(head, batch, [scribe.row("inc-a", 1.0)])
            written += batch
            ends.append(len(written))
        base, log = file.path.read_bytes(), file.beside("-wal").read_bytes()
    cut = type(file)(tmp_path / "cut" / "journal.db")
    cut.path.parent.mkdir()
    frame = 24 + 4096
    frames = (len(log) - 32) // frame
    seen = set()
    for size in [32 + frame * whole for whole in range(frames + 1)] + [
        frame * whole // 3 for whole in range(frames * 3)
    ]:
        cut.path.write_bytes(base)
        cut.beside("-wal").write_bytes(log[:size])
        cut.beside("-shm").unlink(missing_ok=True)
        async with cut.opened() as store:
            found = await store.read(0)
        assert [record.id for record in found] == [record.id for record in written[: len(found)]]
        assert scribe.is_whole(found)
        seen.add(len(found))
    assert seen == set(ends), "appends are there whole or not at all, and each of them was lost once"


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_full_file_writes_nothing_gives_up_its_ballast_and_goes_on_when_space_returns(
    file: SqlitePlace, scribe: Scribe
) -> None:
    ballast = file.beside(".ballast")
    async with file.opened() as store:
        assert ballast.stat().st_size == BALLAST_BYTES
        assert ballast.stat().st_blocks * 512 >= BALLAST_BYTES, "space must be taken, not only promised"
        [(pages,)] = await file.on_writer(store, "PRAGMA page_count")
        await file.on_writer(store, f"PRAGMA max_page_count = {pages}")
        head = Head()
        error: StoreFull | None = None
        while error is None:
            try:
                head = await store.append(head, scribe.records(head, 20), [scribe.row("inc-a", 1.0)])
            except StoreFull as full:
                error = full
        assert "nothing was written" in str(error)
        assert not ballast.exists()
        assert store.spent(), "nothing new is to begin now"
        assert [record.seq for record in await store.read(0)] == list(range(1, head.seq + 1))
        with pytest.raises(StoreFull):
            await store.append(head, scribe.records(head, 20))

        await file.on_writer(store, "PRAGMA max_page_count = 1000000")
        head = await store.append(head, scribe.records(head, 20))
        assert ballast.stat().st_size == BALLAST_BYTES
        assert not store.spent()
        assert scribe.is_whole(await store.read(0))
        assert await file.on_writer(store, "PRAGMA integrity_check") == [("ok",)]


async def test_a_look_at_the_disk_lays_the_ballast_by_again_once_there_is_room(
    file: SqlitePlace, scribe: Scribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    ballast = file.beside(".ballast")
    async with file.opened() as store:
        seen = os.statvfs(file.path.parent)
        room = await store.room()
        assert room.total == seen.f_blocks * seen.f_frsize
        assert 0 < room.free <= room.total
        [(pages,)] = await file.on_writer(store, "PRAGMA page_count")
        await file.on_writer(store, f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreFull):
            await store.append(Head(), scribe.records(Head(), 200))
        with monkeypatch.context() as full:
            narrow = Room(free=BALLAST_BYTES, total=64 * BALLAST_BYTES)
            full.setattr(sqlite_place, "room_of", lambda _directory: narrow)
            full.setattr(sqlite_writer, "room_of", lambda _directory: narrow)
            await store.room()
            assert store.spent()
        await store.room()
        assert (store.spent(), ballast.stat().st_size) == (False, BALLAST_BYTES)
        file.path.parent.rename(file.path.parent.with_name("gone"))
        with pytest.raises(StoreError, match="cannot be told"):
            await store.room()
        file.path.parent.with_name("gone").rename(file.path.parent)
    with pytest.raises(StoreError, match="is closed"):
        await store.room()


MIB = 1024**2


@pytest.mark.parametrize(
    ("total", "low", "high", "ballast"),
    [(1024, 15.9, 16, True), (40, 9.9, 10, True), (20, 4.9, 5, False), (12, 2.9, 3, False), (12, 2.9, 8, True)],
)
async def test_a_disk_of_whatever_size_is_not_full_for_ever_once_there_is_room(
    file: SqlitePlace,
    scribe: Scribe,
    monkeypatch: pytest.MonkeyPatch,
    total: int,
    low: float,
    high: int,
    ballast: bool,
) -> None:
    """A volume below 16 MiB never has the 16 MiB free that a ballast is laid down with again."""

    def free(mebibytes: float) -> None:
        room = Room(free=int(mebibytes * MIB), total=total * MIB)
        monkeypatch.setattr(sqlite_place, "room_of", lambda _directory: room)
        monkeypatch.setattr(sqlite_writer, "room_of", lambda _directory: room)

    async with file.opened() as store:
        [(pages,)] = await file.on_writer(store, "PRAGMA page_count")
        await file.on_writer(store, f"PRAGMA max_page_count = {pages}")
        free(0)
        with pytest.raises(StoreFull):
            await store.append(Head(), scribe.records(Head(), 200))
        free(low)
        await store.room()
        assert store.spent()
        free(high)
        await store.room()
        assert (store.spent(), file.beside(".ballast").exists()) == (False, ballast)


async def test_a_lock_held_by_another_program_is_not_committed(file: SqlitePlace, scribe: Scribe) -> None:
    async with file.opened() as store:
        await file.on_writer(store, "PRAGMA busy_timeout = 0")
        with closing(sqlite3.connect(file.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(NotCommitted, match="locked by another program"):
                await store.append(Head(), scribe.records(Head()))
            other.execute("ROLLBACK")
        assert (await store.append(Head(), scribe.records(Head()))).seq == 1


async def test_a_connection_that_was_lost_is_made_again(file: SqlitePlace, scribe: Scribe) -> None:
    async with file.opened() as store:
        head = await store.append(Head(), scribe.records(Head()))
        assert store._lanes is not None
        connection = store._writer._connected()
        await store._lanes[0].run(connection.close)
        with pytest.raises(NotCommitted, match="nothing was written"):
            await store.append(head, scribe.records(head))
        head = await store.append(head, scribe.records(head))
        assert head.seq == 2
        assert await file.on_writer(store, "PRAGMA synchronous") == [(2,)]


@pytest.mark.parametrize("where", ["id", "label"])
async def test_text_that_is_not_unicode_is_refused_and_wedges_nothing(
    file: SqlitePlace, scribe: Scribe, where: str
) -> None:
    records, row = scribe.records(Head()), scribe.row("inc-a", 1.0)
    if where == "id":
        records = [msgspec.structs.replace(record, id="\ud800") for record in records]
    else:
        row = replace(row, labels={"domain": "\ud800"})
    async with file.opened() as store:
        with pytest.raises(NotCommitted, match="not Unicode"):
            await store.append(Head(), records, [row])
        assert (await store.append(Head(), scribe.records(Head()))).seq == 1


async def test_a_snapshot_that_finds_no_space_leaves_the_older_one(file: SqlitePlace, scribe: Scribe) -> None:
    async with file.opened() as store:
        head = await store.append(Head(), scribe.records(Head(), 2))
        first = Snapshot(head=Head(1, (await store.read(0))[0].mac), state=b"small")
        await store.save_snapshot(first)
        [(pages,)] = await file.on_writer(store, "PRAGMA page_count")
        await file.on_writer(store, f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreFull):
            await store.save_snapshot(Snapshot(head=head, state=b"x" * 100_000))
        assert await store.load_snapshot() == first


# ── threads ──────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_slow_disk_holds_up_neither_the_loop_nor_the_readers(file: SqlitePlace, scribe: Scribe) -> None:
    gate = threading.Event()
    async with file.opened() as store:
        assert store._lanes is not None
        disk = asyncio.ensure_future(store._lanes[0].run(gate.wait))
        append = asyncio.ensure_future(store.append(Head(), scribe.records(Head())))
        assert await store.read(0) == []
        assert not append.done()
        gate.set()
        assert (await append).seq == 1
        await disk


async def test_an_append_that_waits_for_the_disk_outlives_its_caller(file: SqlitePlace, scribe: Scribe) -> None:
    gate = threading.Event()
    async with file.opened() as store:
        assert store._lanes is not None
        disk = asyncio.ensure_future(store._lanes[0].run(gate.wait))
        append = asyncio.ensure_future(store.append(Head(), scribe.records(Head())))
        await asyncio.sleep(0)
        append.cancel()
        with suppress(asyncio.CancelledError):
            await append
        assert append.cancelled()
        gate.set()
        await disk
        with pytest.raises(Conflict):
            await store.append(Head(), scribe.records(Head()))
        assert len(await store.read(0)) == 1


async def test_a_failed_append_whose_caller_is_gone_complains_to_nobody(file: SqlitePlace, scribe: Scribe) -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, told: complaints.append(str(told)))
    gate = threading.Event()
    async with file.opened() as store:
        assert store._lanes is not None
        disk = asyncio.ensure_future(store._lanes[0].run(gate.wait))
        append = asyncio.ensure_future(store.append(Head(7), scribe.records(Head(7))))
        await asyncio.sleep(0)
        append.cancel()
        with suppress(asyncio.CancelledError):
            await append
        gate.set()
        await disk
    del append
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


async def test_closing_waits_for_the_appends_that_were_asked_for(file: SqlitePlace, scribe: Scribe) -> None:
    gate = threading.Event()
    store = SqliteStore(file.path)
    await store.open()
    assert store._lanes is not None
    disk = asyncio.ensure_future(store._lanes[0].run(gate.wait))
    append = asyncio.ensure_future(store.append(Head(), scribe.records(Head())))
    await asyncio.sleep(0)
    closed = asyncio.ensure_future(store.close())
    await asyncio.sleep(0)
    assert not closed.done()
    gate.set()
    await closed
    assert (await append).seq == 1
    await disk
    assert len(list(offline_read(file.path))) == 1


# ── reading a file without the service ───────────────────────────────────────────────────────────────────────────────
async def test_a_tool_reads_beside_the_service_without_the_lock(file: SqlitePlace, scribe: Scribe) -> None:
    records = await file.fill(scribe)
    async with file.opened() as store:
        head = Head(records[-1].seq, records[-1].mac)
        head = await store.append(head, scribe.records(head))
        assert [record.seq for record in offline_read(file.path)] == [1, 2, 3, 4]
        assert [record.seq for record in offline_read(file.path, after=2)] == [3, 4]
        with offline(file.path) as reader:
            assert reader.head() == head
            assert [row.incident for row in reader.incidents(IncidentFilter())] == ["inc-a"]
            assert reader.resolve("inc-") == ["inc-a"]
            assert len(reader.find("inc-a", "", 10)) == 3
            with pytest.raises(StoreError, match="readonly"):
                reader._ask("DELETE FROM meta", ())


async def test_a_long_journal_is_read_offline_page_by_page(file: SqlitePlace, scribe: Scribe) -> None:
    await file.fill(scribe, 2500)
    assert scribe.is_whole(list(offline_read(file.path)))


@pytest.mark.parametrize(
    ("content", "sentence"), [(None, "there is no journal"), (b"", "another program"), (b"x" * 4096, "cannot be read")]
)
def test_what_is_no_journal_is_not_read_and_not_made(file: SqlitePlace, content: bytes | None, sentence: str) -> None:
    file.path.parent.mkdir()
    if content is not None:
        file.path.write_bytes(content)
    with pytest.raises(StoreRefused, match=sentence):
        list(offline_read(file.path))
    assert file.path.exists() == (content is not None)


async def test_a_copy_of_file_and_log_can_be_read_offline_as_a_kill_left_it(
    file: SqlitePlace, tmp_path: Path, scribe: Scribe
) -> None:
    async with file.opened() as store:
        await store.append(Head(), scribe.records(Head(), 4))
        for name in ("journal.db", "journal.db-wal"):
            shutil.copy(file.path.with_name(name), tmp_path / name)
    assert len(list(offline_read(tmp_path / "journal.db"))) == 4
