"""The one connection that writes and checkpoints the SQLite file. Everything here runs on one thread (a `Lane`)."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import msgspec

from remediator.core.chain import Head
from remediator.errors import Conflict, NotCommitted, StoreError, StoreFull, StoreRefused
from remediator.ports import StoreInfo
from remediator.stores import sqlite_schema as schema
from remediator.stores.checks import claim_taken, head_after, id_taken, seal
from remediator.stores.sqlite_place import Ballast, FileLock, check_file_system, prepare, room_of
from remediator.stores.sqlite_pruning import prune

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from remediator.core.entries import Record
    from remediator.core.space import Room
    from remediator.ports import IncidentRow, Snapshot

_COLUMNS = 9
# Rows of one statement. Each statement gives the GIL away once and has to get it back, which under load is what an append
# costs most; so an append is one statement, of one of few sizes (SQLite keeps them prepared), filled up with empty rows.
# 256 rows of nine values are far below SQLite's limit of 32,766.
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_NO_ROW = (None,) * _COLUMNS
_APPEND = {
    size: "INSERT INTO journal SELECT * FROM (VALUES "  # noqa: S608  (question marks only)
    + ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?)"] * size)
    + ") WHERE column1 IS NOT NULL AND (SELECT seq FROM head) = ? AND (SELECT mac FROM head) = ?"
    for size in _SIZES
}
# Writes a page: SQLite leaves a page alone that an UPDATE would leave as it is, and so would not notice a full disk.
_PROBE = "INSERT INTO meta VALUES ('probes', '1') ON CONFLICT (key) DO UPDATE SET value = CAST(value + 1 AS TEXT)"
_CLAIM = "INSERT INTO claim VALUES (?, ?)"
_ROW = """INSERT INTO p_incident VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (incident) DO UPDATE SET
    rule = excluded.rule, target = excluded.target, status = excluded.status, result = excluded.result,
    opened_at = excluded.opened_at, changed_at = excluded.changed_at, sentence = excluded.sentence,
    labels = excluded.labels, dry = excluded.dry"""


class Writer:
    """Appends to one file. Every method blocks; call them all on one thread."""

    def __init__(self, path: Path, mounts: Path) -> None:
        self._path = path
        self._mounts = mounts
        self._lock = FileLock(path)
        self._ballast = Ballast(path)
        self._connection: sqlite3.Connection | None = None
        self._spent = False

    def open(self) -> StoreInfo:
        """Takes the lock, checks place, settings, file and head; StoreRefused or CorruptJournal if one is not right."""
        try:
            warnings = [*check_file_system(self._path.parent, self._mounts), *prepare(self._path)]
            self._lock.take()
            store_id, start, head = self._open_file()
        except sqlite3.Error as fault:
            self.close()
            raise StoreRefused(f"{self._path} cannot be opened as a journal ({fault}); restore a copy") from fault
        except OSError as fault:
            self.close()
            raise StoreRefused(
                f"{self._path} cannot be opened for writing ({fault.strerror}); give the directory {self._path.parent} to "
                "the user that runs this service"
            ) from fault
        except BaseException:
            self.close()
            raise
        self._ballast.restore()
        if not self._ballast.present:
            warnings.append(f"there is no room to put space by beside {self._path} for a full disk; free some")
        return StoreInfo(store_id=store_id, grade="strict", head=head, warnings=tuple(warnings), start=start)

    def close(self) -> None:
        """Closes the file, which empties its log into it, and gives the lock back; safe to call twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lock.release()

    def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow]) -> Head:
        """As `Store.append`."""
        head = head_after(expect, records)
        claims = [(claim, record.seq) for record in records for claim in record.claims]
        if claims or rows or not 0 < len(records) <= _SIZES[-1]:
            self._write(lambda connection: _put(connection, expect, records, claims, rows))
        else:
            self._append_alone(expect, records)
        if not self._ballast.present:
            self._ballast.restore()
        return head

    def _append_alone(self, expect: Head, records: Sequence[Record]) -> None:
        """Entries and nothing beside them, as one statement that is its own transaction: what an alert storm consists of."""
        connection = self._usable()
        try:
            _insert(connection, expect, records)
        except sqlite3.IntegrityError as fault:
            raise self._noted(_refused(_refusal(connection, records, fault), self._path)) from fault
        except sqlite3.Error as fault:
            self._take_back(connection)
            raise self._noted(_lost(fault, self._path)) from fault
        except UnicodeEncodeError as fault:
            raise _not_text(fault) from fault

    @property
    def spent(self) -> bool:
        """Whether the space put by was given up for lack of any other, and could not be laid by again since."""
        return self._spent and not self._ballast.present

    def room(self) -> Room:
        """What is left on the file system; lays space by again where there is enough. StoreError if it cannot be told."""
        if not self._ballast.present:
            self._ballast.restore()
        try:
            room = room_of(self._path.parent)
        except OSError as fault:
            raise StoreError(f"the room beside {self._path} cannot be told ({fault.strerror})") from fault
        self._spent = self._spent and not self._ballast.needless(room)
        return room

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keeps this one and the newest other; errors as `append`."""
        values = (snapshot.head.seq, snapshot.head.mac, snapshot.state, seal(snapshot))

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?)", values)
            connection.execute(
                "DELETE FROM snapshot WHERE seq NOT IN (SELECT seq FROM snapshot ORDER BY seq DESC LIMIT 2)"
            )

        self._write(work)

    def prune(self, start: Head) -> None:
        """As `Store.prune`; errors as `append`."""
        self._write(lambda connection: prune(connection, start))

    def _open_file(self) -> tuple[str, Head, Head]:
        log = self._path.with_name(self._path.name + "-wal")
        stopped_short = log.exists() and log.stat().st_size > 0  # a clean close leaves no log behind
        connection = self._connected()
        if stopped_short:
            schema.check_file(connection, self._path)
        if schema.is_empty(connection):
            schema.create(connection)
        store_id = schema.store_id_of(connection, self._path)
        schema.upgrade(connection)
        return store_id, schema.check_start(connection), schema.check_head(connection)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = schema.connect(self._path, schema.WRITER_SETTINGS)
        return self._connection

    def _write(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Does `work` in one transaction. Whatever fails before COMMIT is certainly taken back."""
        connection = self._usable()
        try:
            connection.execute("BEGIN IMMEDIATE")
            work(connection)
        except sqlite3.Error as fault:
            self._take_back(connection)
            raise self._noted(schema.before_commit(fault, self._path)) from fault
        except UnicodeEncodeError as fault:
            self._take_back(connection)
            raise _not_text(fault) from fault
        except BaseException:
            self._take_back(connection)
            raise
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as fault:
            self._take_back(connection)
            raise self._noted(schema.during_commit(fault, self._path)) from fault

    def _usable(self) -> sqlite3.Connection:
        try:
            return self._connected()
        except sqlite3.Error as fault:
            raise self._noted(schema.before_commit(fault, self._path)) from fault
        except StoreRefused as fault:
            raise NotCommitted(f"nothing was written: {fault}") from fault

    def _take_back(self, connection: sqlite3.Connection) -> None:
        """Leaves no transaction open: if a rollback does not do it, closing the connection does."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            connection.close()
            self._connection = None

    def _noted(self, error: StoreError) -> StoreError:
        if isinstance(error, StoreFull):
            self._spent = True
            self._ballast.drop()
        return error


def _line(row: IncidentRow) -> tuple[str | float, ...]:
    labels = msgspec.json.encode(dict(row.labels)).decode()
    return (
        row.incident, row.rule, row.target, row.status, row.result, row.opened_at, row.changed_at, row.sentence, labels,
        int(row.dry),
    )  # fmt: skip


def _put(
    connection: sqlite3.Connection,
    expect: Head,
    records: Sequence[Record],
    claims: Sequence[tuple[str, int]],
    rows: Sequence[IncidentRow],
) -> None:
    """All of one append, within a transaction."""
    if not records:
        if schema.head_of(connection) != expect:
            raise Conflict(schema.head_of(connection).seq)
        connection.execute(_PROBE)  # who appends nothing wants to know whether the store can
    try:
        for start in range(0, len(records), _SIZES[-1]):
            some = records[start : start + _SIZES[-1]]
            _insert(connection, expect, some)
            expect = Head(some[-1].seq, some[-1].mac)
        connection.executemany(_CLAIM, claims)
    except sqlite3.IntegrityError as fault:
        raise _refusal(connection, records, fault) from fault
    connection.executemany(_ROW, [_line(row) for row in rows])


def _insert(connection: sqlite3.Connection, expect: Head, records: Sequence[Record]) -> None:
    """The entries, if the journal ends at `expect`; Conflict if it does not."""
    size = next(size for size in _SIZES if size >= len(records))
    values: list[object] = []
    for r in records:
        values += (r.seq, r.id, r.at, r.kind, r.incident, r.run, r.rule, r.body, r.mac)
    values += _NO_ROW * (size - len(records))
    values += (expect.seq, expect.mac)
    if connection.execute(_APPEND[size], values).rowcount != len(records):
        raise Conflict(schema.head_of(connection).seq)


def _lost(fault: sqlite3.Error, path: Path) -> StoreError:
    """What an error of an append in one statement means: its COMMIT is part of it, so if it began, nobody can know."""
    if schema.code_of(fault) in {0, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return schema.before_commit(fault, path)
    return schema.during_commit(fault, path)


def _not_text(fault: UnicodeEncodeError) -> NotCommitted:
    return NotCommitted(f"the append was refused: a text in it is not Unicode ({fault})")


def _refused(found: NotCommitted | sqlite3.IntegrityError, path: Path) -> StoreError:
    return found if isinstance(found, NotCommitted) else schema.before_commit(found, path)


def _refusal(
    connection: sqlite3.Connection, records: Sequence[Record], fault: sqlite3.IntegrityError
) -> NotCommitted | sqlite3.IntegrityError:
    """Which id or claim is taken already, in the file or by an earlier record of this very append."""
    ids: dict[str, int] = {}
    for record in records:
        row = connection.execute("SELECT seq FROM journal WHERE id = ?", (record.id,)).fetchone()
        holder = row[0] if row is not None else ids.setdefault(record.id, record.seq)
        if holder != record.seq:
            return id_taken(record, holder)
    claims: dict[str, int] = {}
    for record in records:
        for claim in record.claims:
            row = connection.execute("SELECT seq FROM claim WHERE name = ?", (claim,)).fetchone()
            if row is None and claim in claims:
                return claim_taken(record, claim, claims[claim])
            if row is not None and row[0] != record.seq:
                return claim_taken(record, claim, row[0])
            claims[claim] = record.seq
    return fault
