"""The SQLite file: its tables, the settings of a connection, and what its errors mean for an append.

`journal` is the truth; `head` is its end, compared by every append and moved by every entry; `claim` holds what may exist
once; `p_incident` is the action log, derived from the journal in the same transaction. Nothing here waits or locks.
"""

from __future__ import annotations

import secrets
import sqlite3
from typing import TYPE_CHECKING

from remediator.core.chain import GENESIS, Head
from remediator.errors import AppendUnknown, CorruptJournal, NotCommitted, StoreError, StoreFull, StoreRefused

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 2
"""Of a file that was made now. 2: the head moves by a trigger, and a pruning may delete. Files of 1 are upgraded at open."""
OLDEST_SQLITE = (3, 37, 0)
"""The first SQLite with STRICT tables."""

Setting = tuple[str, str, str | int]

WRITER_SETTINGS: tuple[Setting, ...] = (
    ("busy_timeout", "5000", 5000),
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),
    ("foreign_keys", "ON", 1),
    ("trusted_schema", "OFF", 0),
    ("recursive_triggers", "ON", 1),  # else INSERT OR REPLACE would slip past the trigger on DELETE
    # A log of 8 MiB: checkpoints of 4,000 pages showed as pauses of 25 ms, SQLite's own of 1,000 cost a quarter (measured).
    ("wal_autocheckpoint", "2000", 2000),
    ("journal_size_limit", str(64 * 1024 * 1024), 64 * 1024 * 1024),
    ("cache_size", "-16384", -16384),
)
READER_SETTINGS: tuple[Setting, ...] = (
    ("busy_timeout", "5000", 5000),
    ("trusted_schema", "OFF", 0),
    ("query_only", "ON", 1),
    ("wal_autocheckpoint", "0", 0),
)

_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, mac BLOB NOT NULL) STRICT",
    """CREATE TABLE journal (
        seq INTEGER PRIMARY KEY CHECK (seq > 0),
        id TEXT NOT NULL UNIQUE,
        at REAL NOT NULL,
        kind TEXT NOT NULL,
        incident TEXT NOT NULL,
        run TEXT NOT NULL,
        rule TEXT NOT NULL,
        body BLOB NOT NULL,
        mac BLOB NOT NULL
    ) STRICT""",
    "CREATE INDEX journal_by_incident ON journal (incident) WHERE incident <> ''",
    "CREATE INDEX journal_by_kind ON journal (kind)",
    "CREATE TABLE claim (name TEXT PRIMARY KEY, seq INTEGER NOT NULL REFERENCES journal (seq)) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS claim_by_seq ON claim (seq)",
    "CREATE TABLE snapshot (seq INTEGER PRIMARY KEY, mac BLOB NOT NULL, state BLOB NOT NULL, sha256 BLOB NOT NULL) STRICT",
    """CREATE TABLE p_incident (
        incident TEXT PRIMARY KEY,
        rule TEXT NOT NULL,
        target TEXT NOT NULL,
        status TEXT NOT NULL,
        result TEXT NOT NULL,
        opened_at REAL NOT NULL,
        changed_at REAL NOT NULL,
        sentence TEXT NOT NULL,
        labels TEXT NOT NULL,
        dry INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX p_incident_by_time ON p_incident (opened_at, incident)",
    "CREATE INDEX p_incident_by_rule ON p_incident (rule, opened_at, incident)",
    "CREATE INDEX p_incident_by_status ON p_incident (status, opened_at, incident)",
)
# The pruning names how far it goes, in the transaction in which it deletes.
_UNLESS_PRUNED = "WHEN OLD.seq > COALESCE((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'pruning'), 0) "
_TRIGGERS = (
    # The head moves with every entry, and only to the next one: an append is then a single statement.
    """CREATE TRIGGER journal_moves_head AFTER INSERT ON journal BEGIN
        UPDATE head SET seq = NEW.seq, mac = NEW.mac WHERE seq = NEW.seq - 1;
        SELECT RAISE(ABORT, 'an entry has to follow the head') WHERE changes() <> 1;
    END""",
    *(
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} {unless}"
        f"BEGIN SELECT RAISE(ABORT, 'the {table} is append-only: {verb} is forbidden'); END"
        for table in ("journal", "claim")
        for verb, unless in (("UPDATE", ""), ("DELETE", _UNLESS_PRUNED))
    ),
)
START = "SELECT key, value FROM meta WHERE key IN ('pruned_seq', 'pruned_mac')"


def connect(path: Path, settings: tuple[Setting, ...]) -> sqlite3.Connection:
    """A connection with these settings, each read back."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreRefused(f"SQLite {sqlite3.sqlite_version} is too old; this service needs 3.37 or newer")
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for name, value, wanted in settings:
            demand(connection, name, value, wanted)
    except BaseException:
        connection.close()
        raise
    return connection


def demand(connection: sqlite3.Connection, name: str, value: str, wanted: str | int) -> None:
    """Sets a pragma and reads it back; StoreRefused with its name if it did not take."""
    connection.execute(f"PRAGMA {name} = {value}").fetchall()
    row = connection.execute(f"PRAGMA {name}").fetchone()
    found = row[0] if row else None
    if found != wanted:
        raise StoreRefused(
            f"SQLite setting {name} is {found!r} although {value} was asked for; "
            "the file system or this build of SQLite does not allow it: use a local disk and a stock SQLite"
        )


def check_file(connection: sqlite3.Connection, path: Path) -> None:
    """Looks for damage after a stop that was not clean; reads the whole file. StoreRefused if there is some."""
    [found, *_] = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise StoreRefused(f"{path} is damaged ({found}); keep the file, restore a copy, and look at the disk")


def create(connection: sqlite3.Connection) -> None:
    """Makes the tables in an empty file, and moves them out of the log into the file."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in (*_TABLES, *_TRIGGERS):
            connection.execute(statement)
        connection.execute("INSERT INTO head VALUES (1, 0, ?)", (GENESIS,))
        told = [("schema", str(SCHEMA)), ("store_id", secrets.token_hex(8))]
        connection.executemany("INSERT INTO meta VALUES (?, ?)", told)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def upgrade(connection: sqlite3.Connection) -> None:
    """Brings a file of an earlier schema to this one, in one transaction; leaves one that is so already alone.

    Only triggers and indexes differ, and no entry is touched: they are dropped and made anew.
    """
    told = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    if int(told[0]) >= SCHEMA:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"""DROP TRIGGER "{name}" """)
        for statement in (*_TRIGGERS, *(one for one in _TABLES if one.startswith("CREATE INDEX IF NOT EXISTS"))):
            connection.execute(statement)
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (str(SCHEMA),))
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the file has no tables yet."""
    return connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is None


def store_id_of(connection: sqlite3.Connection, path: Path) -> str:
    """The journal's own name; StoreRefused if this is no journal, or one of a newer remediator."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").fetchone() is None:
        raise StoreRefused(f"{path} is a SQLite file of another program; give this service a file of its own")
    told = dict(connection.execute("SELECT key, value FROM meta WHERE key IN ('schema', 'store_id')").fetchall())
    schema, store_id = told.get("schema", ""), told.get("store_id", "")
    if not (schema.isdecimal() and store_id):
        raise StoreRefused(f"{path} does not say what it is (table meta); restore a copy or use another file")
    if int(schema) > SCHEMA:
        raise StoreRefused(
            f"{path} was written by a newer remediator (schema {schema}, this one knows {SCHEMA}); "
            "start that version, or go back to a copy from before the upgrade"
        )
    return str(store_id)


def head_of(connection: sqlite3.Connection) -> Head:
    """The journal's end as the last append left it."""
    row = connection.execute("SELECT seq, mac FROM head").fetchone()
    return Head(row[0], row[1]) if row else Head(-1)


def start_of(told: dict[str, str]) -> Head:
    """The entry after which the journal begins, by what table meta says (`START`)."""
    return Head(int(told["pruned_seq"]), bytes.fromhex(told["pruned_mac"])) if told else Head()


def check_start(connection: sqlite3.Connection) -> Head:
    """The entry after which the journal begins; CorruptJournal if the first one is not the next."""
    start = start_of(dict(connection.execute(START).fetchall()))
    row = connection.execute("SELECT min(seq) FROM journal").fetchone()
    if row[0] is not None and row[0] != start.seq + 1:
        raise CorruptJournal(
            start.seq + 1, f"is missing, the file begins with entry {row[0]}; restore a copy, and look who changed it"
        )
    return start


def check_head(connection: sqlite3.Connection) -> Head:
    """The journal's end; CorruptJournal if the last entry is not the one that the last append wrote."""
    told = head_of(connection)
    row = connection.execute("SELECT seq, mac FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
    last = Head(row[0], row[1]) if row else Head()
    if told != last:
        raise CorruptJournal(
            min(told.seq, last.seq) + 1,
            f"the file ends at {last} but its last append ended at {told}: it was changed by another hand; "
            "run `remediator log verify` and restore a copy",
        )
    return last


def code_of(fault: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 if the error did not come from SQLite itself."""
    return int(getattr(fault, "sqlite_errorcode", 0)) & 0xFF


def before_commit(fault: sqlite3.Error, path: Path) -> NotCommitted:
    """What an error before COMMIT means: in every case nothing was written."""
    match code_of(fault):
        case sqlite3.SQLITE_FULL:
            return full(path)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return NotCommitted(
                f"{path} was locked by another program for 5 s; nothing was written; "
                "stop shells, backups or replication tools that write to it or hold it open for long"
            )
        case _:
            return NotCommitted(f"{path}: nothing was written, the append was taken back ({_words(fault)})")


def during_commit(fault: sqlite3.Error, path: Path) -> StoreError:
    """What an error of COMMIT itself means: nobody can know, except where the disk was full.

    SQLite says FULL only where the system refused to take bytes. The mark that makes a transaction count is in the last
    bytes it writes, so it cannot have been whole.
    """
    if code_of(fault) == sqlite3.SQLITE_FULL:
        return full(path)
    return AppendUnknown(
        f"{path}: the commit failed half-way ({_words(fault)}); look whether the entries are there before deciding "
        "anything, and look at the disk"
    )


def full(path: Path) -> StoreFull:
    """No space."""
    return StoreFull(f"{path}: there is no space for another entry; nothing was written; free space on its file system")


def _words(fault: sqlite3.Error) -> str:
    return f"{getattr(fault, 'sqlite_errorname', type(fault).__name__)}: {fault}"
