"""Questions to the SQLite file, on a connection that cannot write: for the store, and for tools that read a file offline.

A tool that reads takes no lock and may read beside a running service.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from remediator.core.chain import Head
from remediator.core.entries import Record
from remediator.errors import StoreError, StoreRefused
from remediator.ports import IncidentFilter, IncidentRow, Snapshot
from remediator.stores import sqlite_schema as schema
from remediator.stores.checks import require_contiguous, seal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_RECORDS = "SELECT seq, id, at, kind, incident, run, rule, body, mac FROM journal"
_ROWS = "SELECT incident, rule, target, status, result, opened_at, changed_at, sentence, labels, dry FROM p_incident"
_PREFIXED = "SELECT incident FROM p_incident WHERE incident >= ? AND incident <= ? ORDER BY incident LIMIT 10"
_LAST = "SELECT seq, mac FROM journal ORDER BY seq DESC LIMIT 1"
_SNAPSHOTS = """SELECT seq, mac, state, sha256 FROM snapshot AS kept
    WHERE seq = 0 OR EXISTS (SELECT 1 FROM journal WHERE journal.seq = kept.seq AND journal.mac = kept.mac)
    ORDER BY seq DESC"""
_LAST_CHARACTER = "\U0010ffff"
_labels = msgspec.json.Decoder(dict[str, str])


Value = str | float
Test = tuple[str, tuple[Value, ...]]
"""A piece of SQL, always a constant of this module, and the values it is asked with."""


class Reader:
    """Answers from the file `path` over what `connect` gives, from the first question on.

    Every method blocks; call them all on one thread. Errors of SQLite come out as StoreError.
    """

    def __init__(self, path: Path, connect: Callable[[Path], sqlite3.Connection]) -> None:
        self._path = path
        self._connect = connect
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Opens the file now, to find out whether that works."""
        self._ask(_LAST, ())

    def close(self) -> None:
        """Closes the file; safe to call twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def read(self, after: int, limit: int) -> Sequence[Record]:
        """As `Store.read`; CorruptJournal if an entry is missing."""
        found = self._records([("seq > ?", (after,))], limit)
        if found and found[0].seq != after + 1:
            after = max(after, self.start().seq)
        return require_contiguous(after, found)

    def records(self, after: int = 0) -> Iterator[Record]:
        """All records that follow `after`, as they are: a gap is left for `chain.check` to find."""
        # In pages: one long read would keep the service's log from being emptied.
        while page := self._records([("seq > ?", (after,))], 1000):
            yield from page
            after = page[-1].seq

    def find(self, incident: str, kind: str, limit: int) -> Sequence[Record]:
        """As `Store.find`."""
        tests: list[Test] = []
        if incident:
            tests.append(("incident = ? AND incident <> ''", (incident,)))  # the second half picks the partial index
        if kind:
            tests.append(("kind = ?", (kind,)))
        return self._records(tests, limit)

    def resolve(self, prefix: str) -> Sequence[str]:
        """As `Store.resolve`."""
        return [row[0] for row in self._ask(_PREFIXED, (prefix, prefix + _LAST_CHARACTER))]

    def incidents(self, wanted: IncidentFilter) -> Sequence[IncidentRow]:
        """As `Store.incidents`."""
        statement, values = _statement(_ROWS, _tests(wanted), "ORDER BY opened_at DESC, incident DESC LIMIT ?")
        return [_row(row) for row in self._ask(statement, (*values, wanted.limit))]

    def load_snapshot(self) -> Snapshot | None:
        """As `Store.load_snapshot`."""
        for seq, mac, state, digest in self._ask(_SNAPSHOTS, ()):
            snapshot = Snapshot(head=Head(seq, mac), state=state)
            if seal(snapshot) == digest and (seq > 0 or snapshot.head == Head()):
                return snapshot
        return None

    def start(self) -> Head:
        """The entry after which the journal begins."""
        return schema.start_of(dict(self._ask(schema.START, ())))

    def size(self) -> int:
        """Bytes in use."""
        [(pages,)], [(free,)], [(each,)] = (
            self._ask(f"PRAGMA {name}", ()) for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * each)

    def head(self) -> Head:
        """The last entry's place and mac."""
        rows = self._ask(_LAST, ())
        return Head(rows[0][0], rows[0][1]) if rows else self.start()

    def _records(self, tests: Sequence[Test], limit: int) -> Sequence[Record]:
        statement, values = _statement(_RECORDS, tests, "ORDER BY seq LIMIT ?")
        return [_record(row) for row in self._ask(statement, (*values, limit))]

    def _ask(self, statement: str, values: Sequence[Value]) -> list[tuple[Any, ...]]:
        try:
            if self._connection is None:
                self._connection = self._connect(self._path)
                self._connection.create_function("labels_hold", 2, _labels_hold, deterministic=True)
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as fault:
            raise StoreError(f"{self._path} could not be read ({fault}); look at the disk") from fault


def beside_writer(path: Path) -> sqlite3.Connection:
    """A connection beside the writer's that can only ask."""
    return schema.connect(path, schema.READER_SETTINGS)


@contextmanager
def offline(path: Path) -> Iterator[Reader]:
    """Reads a journal file without the service, or beside it: takes no lock, writes nothing.

    StoreRefused if there is no such file, if it is no journal, or if a newer remediator wrote it.
    """
    if not path.is_file():
        raise StoreRefused(f"there is no journal at {path}; name the state directory of the service")
    try:
        with closing(without_writer(path)) as connection:
            schema.store_id_of(connection, path)
    except sqlite3.Error as fault:
        raise StoreRefused(f"{path} cannot be read as a journal ({fault}); run this as the service's user") from fault
    with closing(Reader(path, without_writer)) as reader:
        yield reader


def offline_read(path: Path, after: int = 0) -> Iterator[Record]:
    """The records of a file that follow `after`, as they are, gaps and all; errors as `offline`."""
    with offline(path) as reader:
        yield from reader.records(after)


def without_writer(path: Path) -> sqlite3.Connection:
    """A read-only connection to a file that a service may or may not have open."""
    address = path.resolve().as_uri()
    connection = sqlite3.connect(f"{address}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1")
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(path.name + "-wal").exists():
            raise
        # Read-only media and directories: without a log nobody has the file open, so it holds still.
        return sqlite3.connect(f"{address}?immutable=1", uri=True, isolation_level=None)
    return connection


def _labels_hold(labels: str, wanted: str) -> bool:
    held = _labels.decode(labels)
    return all(held.get(name) == value for name, value in _labels.decode(wanted).items())


def _tests(wanted: IncidentFilter) -> list[Test]:
    tests: list[Test] = [("opened_at >= ?", (wanted.since,))]
    if wanted.incident:
        tests.append(("incident = ?", (wanted.incident,)))
    if wanted.rule:
        tests.append(("rule = ?", (wanted.rule,)))
    if wanted.status:
        tests.append(("status = ?", (wanted.status,)))
    if wanted.result:
        tests.append(("result = ?", (wanted.result,)))
    if wanted.before is not None:
        tests.append(("(opened_at, incident) < (?, ?)", wanted.before))
    if wanted.labels:
        tests.append(("labels_hold(labels, ?)", (msgspec.json.encode(dict(wanted.labels)).decode(),)))
    return tests


def _statement(select: str, tests: Sequence[Test], tail: str) -> tuple[str, list[Value]]:
    where = ["WHERE " + " AND ".join(sql for sql, _ in tests)] if tests else []
    return " ".join([select, *where, tail]), [value for _, values in tests for value in values]


def _record(row: tuple[Any, ...]) -> Record:
    return Record(
        seq=row[0], id=row[1], at=row[2], kind=row[3], incident=row[4], run=row[5], rule=row[6], body=row[7], mac=row[8]
    )


def _row(row: tuple[Any, ...]) -> IncidentRow:
    return IncidentRow(
        incident=row[0],
        rule=row[1],
        target=row[2],
        status=row[3],
        result=row[4],
        opened_at=row[5],
        changed_at=row[6],
        sentence=row[7],
        labels=_labels.decode(row[8]),
        dry=bool(row[9]),
    )
