"""What only the SQLite store promises of its settings, its file and the place where it lies."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from remediator.core.chain import Head
from remediator.errors import StoreError, StoreRefused
from remediator.ports import IncidentFilter
from remediator.stores import sqlite_schema as schema
from remediator.stores.sqlite import SqliteStore
from remediator.stores.sqlite_place import file_system_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.contract.conftest import Scribe, SqlitePlace


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("busy_timeout", 5000),
        ("foreign_keys", 1),
        ("trusted_schema", 0),
        ("recursive_triggers", 1),
    ],
)
async def test_the_writer_runs_with_the_settings_that_make_an_append_durable(
    file: SqlitePlace, setting: str, wanted: str | int
) -> None:
    async with file.opened() as store:
        assert await file.on_writer(store, f"PRAGMA {setting}") == [(wanted,)]


async def test_the_reader_can_neither_write_nor_checkpoint(file: SqlitePlace) -> None:
    async with file.opened() as store:
        assert await file.on_reader(store, "PRAGMA query_only") == [(1,)]
        assert await file.on_reader(store, "PRAGMA wal_autocheckpoint") == [(0,)]
        with pytest.raises(StoreError, match="readonly"):
            await file.on_reader(store, "INSERT INTO meta VALUES ('a', 'b')")


def test_a_setting_that_does_not_take_refuses_the_store_by_its_name() -> None:
    # A database in memory has no write-ahead log, like a file on some file systems.
    with (
        closing(sqlite3.connect(":memory:")) as connection,
        pytest.raises(StoreRefused, match="journal_mode is 'memory'"),
    ):
        schema.demand(connection, "journal_mode", "WAL", "wal")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE journal SET body = x'00' WHERE seq = 1",
        "DELETE FROM journal WHERE seq = 3",
        "INSERT OR REPLACE INTO journal SELECT seq, id, at, kind, incident, run, rule, x'00', mac FROM journal",
        "UPDATE claim SET seq = 2",
        "DELETE FROM claim",
    ],
)
async def test_the_file_itself_forbids_to_change_or_delete(file: SqlitePlace, scribe: Scribe, change: str) -> None:
    await file.fill(scribe)
    async with file.opened() as store:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            await file.on_writer(store, change)


@pytest.mark.parametrize(
    ("question", "index"),
    [
        (lambda store: store.find(incident="inc-a"), "journal_by_incident"),
        (lambda store: store.find(kind="run.ended"), "journal_by_kind"),
        (lambda store: store.incidents(IncidentFilter()), "p_incident_by_time"),
        (lambda store: store.incidents(IncidentFilter(since=5.0, before=(9.0, "inc-a"))), "p_incident_by_time"),
        (lambda store: store.incidents(IncidentFilter(rule="bounce")), "p_incident_by_rule"),
        (lambda store: store.incidents(IncidentFilter(status="open", labels={"a": "b"})), "p_incident_by_status"),
        (lambda store: store.resolve("inc-a"), "USING COVERING INDEX"),
    ],
)
async def test_no_question_reads_or_sorts_the_whole_file(
    file: SqlitePlace, question: Callable[[SqliteStore], Awaitable[object]], index: str
) -> None:
    async with file.opened() as store:
        asked: list[str] = []
        connection = store._reader._connection
        assert connection is not None
        assert store._lanes is not None
        await store._lanes[1].run(lambda: connection.set_trace_callback(asked.append))
        await question(store)
        plan = str(await file.on_reader(store, f"EXPLAIN QUERY PLAN {asked[-1]}"))
        assert index in plan
        assert "SCAN" not in plan or "p_incident_by_time" in plan
        assert "TEMP B-TREE" not in plan


# ── the file and its place ───────────────────────────────────────────────────────────────────────────────────────────
async def test_a_second_store_on_the_file_is_refused_and_told_who_has_it(file: SqlitePlace) -> None:
    async with file.opened() as store:
        with pytest.raises(StoreRefused, match=rf"another remediator \(pid {os.getpid()}\)"):
            await SqliteStore(file.path).open()
        with pytest.raises(StoreRefused, match="open already"):
            await store.open()
    async with file.opened():
        pass


async def test_a_refused_store_gives_the_lock_back(file: SqlitePlace, scribe: Scribe) -> None:
    await file.fill(scribe)
    file.change(
        "UPDATE meta SET value = '3' WHERE key = 'schema'",
    )
    with pytest.raises(StoreRefused, match=r"newer remediator \(schema 3, this one knows 2\)"):
        await SqliteStore(file.path).open()
    file.change(
        "UPDATE meta SET value = '2' WHERE key = 'schema'",
    )
    async with file.opened() as store:
        assert len(await store.read(0)) == 3


async def test_a_sqlite_file_of_another_program_is_refused(file: SqlitePlace) -> None:
    file.path.parent.mkdir()
    file.change(
        "CREATE TABLE theirs (a)",
    )
    with pytest.raises(StoreRefused, match="another program"):
        await SqliteStore(file.path).open()


async def test_a_file_that_is_no_database_is_refused_and_left_alone(file: SqlitePlace) -> None:
    file.path.parent.mkdir()
    file.path.write_bytes(b"not a database " * 100)
    with pytest.raises(StoreRefused, match="cannot be opened as a journal"):
        await SqliteStore(file.path).open()
    assert file.path.read_bytes() == b"not a database " * 100


async def test_a_directory_that_cannot_be_made_is_refused_with_its_name(file: SqlitePlace) -> None:
    file.path.parent.write_text("a file where the directory should be")
    with pytest.raises(StoreRefused, match=r"give the directory .*state to the user"):
        await SqliteStore(file.path).open()


async def test_nobody_else_may_read_the_journal(file: SqlitePlace, scribe: Scribe) -> None:
    before = os.umask(0)
    try:
        async with file.opened() as store:
            await store.append(Head(), scribe.records(Head()))
            assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
            modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in file.path.parent.iterdir()}
    finally:
        os.umask(before)
    names = ["journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock", "journal.db.ballast"]
    assert modes == dict.fromkeys(names, 0o600)


async def test_a_file_that_is_too_open_is_closed_and_a_directory_is_warned_about(
    file: SqlitePlace, scribe: Scribe
) -> None:
    await file.fill(scribe)
    file.path.chmod(0o644)
    file.path.parent.chmod(0o777)
    store = SqliteStore(file.path)
    warnings = (await store.open()).warnings
    await store.close()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert any("chmod go-w" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [("nfs4", "refused"), ("cifs", "refused"), ("9p", "refused"), ("fuse.sshfs", "refused"),
     ("ext4", ""), ("xfs", ""), ("tmpfs", "lies in memory"), ("overlay", "mount a volume"), ("fuse.ntfs", "local disk")],
)  # fmt: skip
async def test_a_network_file_system_is_refused_and_a_doubtful_one_is_warned_about(
    file: SqlitePlace, tmp_path: Path, kind: str, answer: str
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nserver:/x {file.path.parent} {kind} rw 0 0\n")
    store = SqliteStore(file.path, mounts=mounts)
    if answer == "refused":
        with pytest.raises(StoreRefused, match=rf"network file system \({kind}\)"):
            await store.open()
        assert not file.path.exists()
        return
    warnings = (await store.open()).warnings
    await store.close()
    assert (answer in " ".join(warnings)) if answer else (warnings == ())


async def test_where_the_file_system_cannot_be_told_there_is_a_warning(file: SqlitePlace, tmp_path: Path) -> None:
    store = SqliteStore(file.path, mounts=tmp_path / "nothing")
    warnings = (await store.open()).warnings
    await store.close()
    assert any("could not be told" in warning for warning in warnings)


def test_the_deepest_and_latest_mount_holds_a_path(tmp_path: Path) -> None:
    inner = tmp_path / "with space" / "state"
    table = (
        f"a / ext4 rw 0 0\nb {tmp_path} xfs rw 0 0\nc {tmp_path}/with\\040space nfs rw 0 0\n"
        f"d {tmp_path}/with\\040space btrfs rw 0 0\ne {tmp_path}/with zfs rw 0 0\n"
    )
    assert file_system_of(inner, table) == "btrfs"
    assert file_system_of(tmp_path / "other", table) == "xfs"
    assert file_system_of(tmp_path.parent, table) == "ext4"
    assert file_system_of(tmp_path, "") == ""
