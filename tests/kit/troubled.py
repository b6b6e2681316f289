"""The real SQLite store in trouble: every fault at any of its calls, brought about where it comes from (reliability.md H3).

A second connection holds the lock, the file may not grow, the system refuses bytes in the middle of a commit. Works within
the process of a test, whose fixture has to plant `Fragile` and `InlineLane` (see `plant`).
"""

from __future__ import annotations

import resource
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from remediator.errors import AppendUnknown, Conflict, NotCommitted, StoreError
from remediator.stores import sqlite as store_module
from remediator.stores import sqlite_place
from remediator.stores.lane import Lane
from remediator.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    import pytest

    from remediator.core.chain import Head
    from remediator.core.entries import Record
    from remediator.ports import IncidentRow, Snapshot, StoreInfo
    from tests.engine.conftest import VirtualClock

T = TypeVar("T")
FRAME, LOG_HEAD = 24 + 4096, 32
"""A frame of the log is a header and a page; the log has a head of its own (bytes)."""


class Fault(StrEnum):
    """What happens to a call."""

    FAIL_BEFORE = "fail before"
    COMMIT_THEN_FAIL = "commit, then fail"
    LOSE_THEN_FAIL = "lose, then fail"
    BUSY = "another connection holds the lock"
    FULL = "the file may not grow"
    IO_ERROR = "the system refuses bytes"
    CONFLICT = "somebody was faster"
    DELAY = "three seconds"


class InlineLane(Lane):
    """Does the work at once, so that time stands still meanwhile."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def run(self, work: Callable[[], T]) -> T:
        """Does it."""
        return work()

    def end(self) -> None:
        """Nothing is waiting."""


class Fragile(sqlite3.Connection):
    """A real connection whose transactions fail for real where `ailment` says so."""

    ailment: ClassVar[Fault | None] = None
    log: ClassVar[Path]
    end: ClassVar[int] = 0  # of the log, after the last commit that was whole

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """As SQLite does it."""
        alone = sql.startswith("INSERT INTO journal") and not self.in_transaction  # its own transaction
        if Fragile.ailment is Fault.FULL and (alone or sql == "BEGIN IMMEDIATE"):
            super().execute("BEGIN IMMEDIATE")
            super().execute("INSERT INTO snapshot VALUES (-1, x'', zeroblob(500000), x'')")
        if Fragile.ailment is Fault.IO_ERROR and (alone or sql == "COMMIT"):
            with no_more_bytes(Fragile.end):
                return super().execute(sql, *values)
        return super().execute(sql, *values)


@contextmanager
def no_more_bytes(end: int) -> Iterator[None]:
    """The system refuses to let a file grow by more than a quarter of a frame."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (end + FRAME // 4, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@dataclass
class Trouble:
    """One fault at the n-th call of one kind, and then for `seconds` at every append that follows."""

    call: str = "append"
    number: int = 0
    fault: Fault = Fault.FAIL_BEFORE
    seconds: float = 0.0
    over: float = float("-inf")
    clock: VirtualClock = field(init=False)
    calls: Counter[str] = field(default_factory=Counter)
    failing: bool = False  # from the first failure until the store has done something again
    struck: int = 0

    def strike(self, call: str) -> Fault | None:
        """Counts one call and says what happens to it."""
        self.calls[call] += 1
        if call == self.call and self.calls[call] == self.number:
            self.over = self.clock.mono + self.seconds
            fault: Fault | None = self.fault
        elif self.clock.mono < self.over and call in {self.call, "append"}:
            fault = Fault.FAIL_BEFORE if self.fault is Fault.COMMIT_THEN_FAIL else self.fault
        else:
            fault = None
        self.struck += fault is not None
        return fault


class TroubledStore(SqliteStore):
    """The real store, in trouble."""

    def __init__(self, path: Path, trouble: Trouble) -> None:
        super().__init__(path)
        self._file, self.trouble = path, trouble
        self.seq = 0
        self.sizes = [(0, 0)]  # the log's length and the head after each append that returned
        Fragile.log = path.with_name(path.name + "-wal")

    async def open(self) -> StoreInfo:
        """May be refused."""
        await self._ask("open")
        found = await super().open()
        self._writer._connected().execute("PRAGMA busy_timeout = 0").fetchall()
        self.seq, Fragile.end = found.head.seq, Fragile.log.stat().st_size
        return found

    async def read(self, after: int, limit: int = 1000) -> Sequence[Record]:
        """May fail; what it finds of an append whose answer was lost shows that the store is back."""
        await self._ask("read")
        records = await super().read(after, limit)
        if records:
            self.trouble.failing = False
        return records

    async def load_snapshot(self) -> Snapshot | None:
        """May fail."""
        await self._ask("load_snapshot")
        return await super().load_snapshot()

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """May fail."""
        await self._ask("save_snapshot")
        await super().save_snapshot(snapshot)

    async def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow] = ()) -> Head:
        """May fail in every way."""
        fault = self.trouble.strike("append")
        try:
            head = await self._append(fault, expect, records, rows)
        except StoreError:
            self.trouble.failing = True
            raise
        assert fault in {None, Fault.DELAY}, f"{fault} did not happen"
        self.trouble.failing = False
        self.seq = head.seq
        Fragile.end = Fragile.log.stat().st_size
        self.sizes.append((Fragile.end, head.seq))
        return head

    async def _ask(self, call: str) -> None:
        match self.trouble.strike(call):
            case None:
                return
            case Fault.DELAY:
                await self.trouble.clock.sleep(3.0)
            case fault:
                self.trouble.failing = True
                raise StoreError(f"{call}: {fault} (a fault on purpose)")

    async def _append(
        self, fault: Fault | None, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow]
    ) -> Head:
        match fault:
            case None:
                return await super().append(expect, records, rows)
            case Fault.FAIL_BEFORE:
                raise NotCommitted("a fault on purpose")
            case Fault.COMMIT_THEN_FAIL:
                self.seq = (await super().append(expect, records, rows)).seq
                raise AppendUnknown("a fault on purpose")
            case Fault.LOSE_THEN_FAIL:
                raise AppendUnknown("a fault on purpose")
            case Fault.CONFLICT:
                raise Conflict(self.seq)
            case Fault.DELAY:
                await self.trouble.clock.sleep(3.0)
                return await super().append(expect, records, rows)
            case Fault.BUSY:
                with closing(sqlite3.Connection(self._file, isolation_level=None)) as other:
                    other.execute("BEGIN IMMEDIATE")
                    return await super().append(expect, records, rows)
            case Fault.FULL | Fault.IO_ERROR:
                return await self._ailing(fault, expect, records, rows)

    async def _ailing(self, fault: Fault, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow]) -> Head:
        connection = self._writer._connected()
        [(pages,)] = connection.execute("PRAGMA page_count").fetchall()
        if fault is Fault.FULL:
            connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()
        Fragile.ailment = fault
        try:
            return await super().append(expect, records, rows)
        finally:
            Fragile.ailment = None
            self._writer._connected().execute("PRAGMA max_page_count = 1000000").fetchall()


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection is fragile, every lane inline, and no time is spent on space put by."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **how: connect(path, factory=Fragile, **how))
    monkeypatch.setattr(store_module, "Lane", InlineLane)
    monkeypatch.setattr(sqlite_place, "BALLAST_BYTES", 4096)
