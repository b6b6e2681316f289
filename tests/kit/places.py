"""Where a journal may lie in a test that starts service after service on it: in memory, or in a real SQLite file."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

from remediator.core.chain import START, Head
from remediator.stores.faults import Faults, meet
from remediator.stores.memory import MemoryStore
from remediator.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from remediator.core.entries import Record
    from remediator.ports import IncidentRow, StoreInfo


class _FaultySqlite(SqliteStore):
    """The real store on a real file, with faults on purpose."""

    def __init__(self, path: Path, faults: Faults) -> None:
        super().__init__(path)
        self.faults = faults
        self.disk = SimpleNamespace(head=START)  # what the rig asks a store for: how far the journal is durable

    async def open(self) -> StoreInfo:
        """As the store."""
        opened = await super().open()
        self.disk.head = opened.head
        return opened

    async def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow] = ()) -> Head:
        """As the store, unless a fault strikes."""

        async def commit() -> Head:
            head = await super(_FaultySqlite, self).append(expect, records, rows)
            self.disk.head = head
            return head

        return await meet(self.faults.strike(), expect.seq, commit)


class Place(Protocol):
    """Where a journal lies: gives a store for each start, and its bytes in the end."""

    faults: Faults

    def store(self) -> Any:
        """A store for one start."""

    def lines(self) -> list[tuple[int, bytes]]:
        """Everything that is on the disk."""


class InMemory:
    """A journal in memory."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._last = MemoryStore(faults=self.faults)

    def store(self) -> MemoryStore:
        """Another hold on the same disk."""
        self._last = MemoryStore(self._last.disk, self.faults)
        return self._last

    def lines(self) -> list[tuple[int, bytes]]:
        """Everything that is on the disk."""
        return [(record.seq, record.body) for record in self._last.disk.records]


class InFile:
    """A journal in an SQLite file."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._room = tempfile.TemporaryDirectory(prefix="machine-")
        self._path = Path(self._room.name) / "journal.db"

    def store(self) -> _FaultySqlite:
        """Another process's store, so to speak."""
        return _FaultySqlite(self._path, self.faults)

    def lines(self) -> list[tuple[int, bytes]]:
        """Everything that is in the file; it is deleted then."""
        store = SqliteStore(self._path)

        async def read() -> list[tuple[int, bytes]]:
            await store.open()
            records = await store.read(0, 1_000_000)
            await store.close()
            return [(record.seq, record.body) for record in records]

        with asyncio.Runner() as runner:
            found = runner.run(read())
        self._room.cleanup()
        return found
