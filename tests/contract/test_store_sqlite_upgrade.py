"""A journal that an earlier version made: its file is brought up to date at open, and no entry is touched.

The statements are those with which such files were made: no trigger that moves the head, no index for pruning, and triggers
that forbid every deletion.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from remediator.core.chain import Head
from remediator.errors import StoreError
from remediator.ports import Snapshot
from remediator.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from pathlib import Path

    from remediator.core.entries import Record
    from tests.contract.conftest import Scribe, SqlitePlace

FORBIDDEN = "BEGIN SELECT RAISE(ABORT, 'the {0} is append-only: {1} is forbidden'); END"
FIRST_VERSION = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, mac BLOB NOT NULL) STRICT",
    """CREATE TABLE journal (seq INTEGER PRIMARY KEY CHECK (seq > 0), id TEXT NOT NULL UNIQUE, at REAL NOT NULL,
        kind TEXT NOT NULL, incident TEXT NOT NULL, run TEXT NOT NULL, rule TEXT NOT NULL, body BLOB NOT NULL,
        mac BLOB NOT NULL) STRICT""",
    "CREATE INDEX journal_by_incident ON journal (incident) WHERE incident <> ''",
    "CREATE INDEX journal_by_kind ON journal (kind)",
    "CREATE TABLE claim (name TEXT PRIMARY KEY, seq INTEGER NOT NULL REFERENCES journal (seq)) STRICT, WITHOUT ROWID",
    "CREATE TABLE snapshot (seq INTEGER PRIMARY KEY, mac BLOB NOT NULL, state BLOB NOT NULL, sha256 BLOB NOT NULL) STRICT",
    """CREATE TABLE p_incident (incident TEXT PRIMARY KEY, rule TEXT NOT NULL, target TEXT NOT NULL, status TEXT NOT NULL,
        result TEXT NOT NULL, opened_at REAL NOT NULL, changed_at REAL NOT NULL, sentence TEXT NOT NULL,
        labels TEXT NOT NULL, dry INTEGER NOT NULL) STRICT""",
    "CREATE INDEX p_incident_by_time ON p_incident (opened_at, incident)",
    "CREATE INDEX p_incident_by_rule ON p_incident (rule, opened_at, incident)",
    "CREATE INDEX p_incident_by_status ON p_incident (status, opened_at, incident)",
    *(
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} {FORBIDDEN.format(table, verb)}"
        for table in ("journal", "claim")
        for verb in ("UPDATE", "DELETE")
    ),
    "INSERT INTO meta VALUES ('schema', '1'), ('store_id', '0123456789abcdef')",
)


def old_file(path: Path, records: list[Record]) -> None:
    """A file as the first version left it."""
    path.parent.mkdir(mode=0o700, parents=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        for statement in FIRST_VERSION:
            connection.execute(statement)
        for one in records:
            values = (one.seq, one.id, one.at, one.kind, one.incident, one.run, one.rule, one.body, one.mac)
            connection.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            connection.executemany("INSERT INTO claim VALUES (?, ?)", [(claim, one.seq) for claim in one.claims])
        connection.execute("INSERT INTO head VALUES (1, ?, ?)", (records[-1].seq, records[-1].mac))


def asked(path: Path, sql: str) -> list[object]:
    """What the file answers to somebody else."""
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute(sql)]


async def test_a_file_of_the_first_version_is_read_and_written_on(file: SqlitePlace, scribe: Scribe) -> None:
    records = scribe.records(Head(), 4, incident="inc-a", claims=("run:inc-a.1",))
    old_file(file.path, records)
    head = Head(4, records[-1].mac)
    async with file.opened() as store:
        assert list(await store.read(0)) == [replace(one, claims=()) for one in records]
        for _ in range(3):  # the second one would be a conflict if the first had not moved the head
            head = await store.append(head, scribe.records(head, 2))
        found = await store.read(0)
        assert [one.seq for one in found] == list(range(1, 11))
        assert scribe.is_whole(found)
    assert asked(file.path, "SELECT value FROM meta WHERE key = 'schema'") == ["2"]
    assert asked(file.path, "SELECT value FROM meta WHERE key = 'store_id'") == ["0123456789abcdef"]
    async with file.opened() as store:
        assert (await store.read(9))[0].mac == head.mac


async def test_an_old_file_can_be_pruned_and_is_append_only_as_before(file: SqlitePlace, scribe: Scribe) -> None:
    records = scribe.records(Head(), 4, claims=("run:inc-a.1",))
    old_file(file.path, records)
    async with file.opened() as store:
        start = Head(2, records[1].mac)
        body = f'{{"mac":"{start.mac.hex()}"}}'.encode()
        told = scribe.records(Head(4, records[3].mac), 1, kind="journal.pruned")[0]
        head = await store.append(Head(4, records[3].mac), [replace(told, body=body)])
        await store.save_snapshot(Snapshot(head=head, state=b"state"))
        await store.prune(start)
        assert [one.seq for one in await store.read(2)] == [3, 4, 5]
    for statement in ("UPDATE journal SET at = 0", "DELETE FROM journal"):
        with closing(sqlite3.connect(file.path)) as connection, pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)


async def test_an_upgrade_that_is_cut_short_leaves_the_old_file(
    file: SqlitePlace, scribe: Scribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = scribe.records(Head(), 2)
    old_file(file.path, records)
    with monkeypatch.context() as broken:
        broken.setattr("remediator.stores.sqlite_schema._TRIGGERS", ("CREATE TRIGGER nonsense",))
        with pytest.raises(StoreError):
            await SqliteStore(file.path).open()
    assert asked(file.path, "SELECT value FROM meta WHERE key = 'schema'") == ["1"]
    assert len(asked(file.path, "SELECT name FROM sqlite_schema WHERE type = 'trigger'")) == 4
    async with file.opened() as store:
        await store.append(Head(2, records[1].mac), scribe.records(Head(2, records[1].mac)))


async def test_a_file_of_today_is_not_touched_by_opening_it(file: SqlitePlace, scribe: Scribe) -> None:
    await file.fill(scribe)
    before = asked(file.path, "PRAGMA schema_version")
    async with file.opened():
        pass
    assert asked(file.path, "PRAGMA schema_version") == before
