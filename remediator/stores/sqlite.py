"""The store of a service of one process: a journal in one SQLite file on a local disk.

Write-ahead log, `synchronous=FULL`: what `append` returned from survives a power cut, as far as the disk keeps what it
reported (A1). One connection on one thread writes and checkpoints, one on another thread reads, and a `flock` keeps every
other process out; that also closes SQLite's WAL-reset fault (3.7.0 to 3.51.2), which needs two that write at once.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from remediator.errors import NotCommitted, StoreError, StoreRefused
from remediator.stores.lane import Lane
from remediator.stores.sqlite_place import MOUNTS
from remediator.stores.sqlite_reader import Reader, beside_writer
from remediator.stores.sqlite_writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from remediator.core.chain import Head
    from remediator.core.entries import Record
    from remediator.core.space import Room
    from remediator.ports import IncidentFilter, IncidentRow, Snapshot, StoreInfo

T = TypeVar("T")


class SqliteStore:
    """A Store in the file `path`; `<path>.lock`, `.ballast`, `-wal` and `-shm` lie beside it.

    `mounts` is the table that tells local file systems from network ones.
    """

    def __init__(self, path: Path, *, mounts: Path = MOUNTS) -> None:
        self._path = path
        self._writer = Writer(path, mounts)
        self._reader = Reader(path, beside_writer)
        self._lanes: tuple[Lane, Lane] | None = None

    async def open(self) -> StoreInfo:
        """Makes the file where there is none. StoreRefused names what is unsafe; CorruptJournal a head that is not ours."""
        if self._lanes is not None:
            raise StoreRefused(f"{self._path} is open already in this process; open it once")
        self._lanes = writing, reading = Lane("journal-writer"), Lane("journal-reader")
        try:
            opened = await writing.run(self._writer.open)
            await reading.run(self._reader.open)
        except BaseException:
            await self.close()
            raise
        return opened

    async def close(self) -> None:
        """Waits for what was asked for, then closes the file and gives up the lock."""
        if self._lanes is None:
            return
        writing, reading = self._lanes
        self._lanes = None
        # The reader goes first: the last connection to close empties the log, and that must be the writer's.
        await reading.run(self._reader.close)
        await writing.run(self._writer.close)
        reading.end()
        writing.end()

    async def read(self, after: int, limit: int = 1000) -> Sequence[Record]:
        """The records that follow `after`; CorruptJournal if one is missing."""
        return await self._asked(lambda reader: reader.read(after, limit))

    async def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow] = ()) -> Head:
        """One transaction, durable on return. An id or claim that exists already is NotCommitted, by name."""
        if self._lanes is None:
            raise NotCommitted(f"the store {self._path} is closed; open it first")
        return await self._lanes[0].run(partial(self._writer.append, expect, records, rows))

    async def find(self, *, incident: str = "", kind: str = "", limit: int = 1000) -> Sequence[Record]:
        """The records of one incident, one kind, or both, oldest first."""
        return await self._asked(lambda reader: reader.find(incident, kind, limit))

    async def resolve(self, prefix: str) -> Sequence[str]:
        """The ids that begin with `prefix`, in order."""
        return await self._asked(lambda reader: reader.resolve(prefix))

    async def incidents(self, wanted: IncidentFilter) -> Sequence[IncidentRow]:
        """Lines of the action log, newest first."""
        return await self._asked(lambda reader: reader.incidents(wanted))

    async def heartbeat(self, holder: str, ttl: float) -> None:
        """Nobody else could hear it: the lock keeps them out."""

    async def alive(self) -> Mapping[str, float]:
        """Nobody but this process."""
        return {}

    async def wait(self, after: int) -> None:
        """Never returns: nobody else appends."""
        del after
        await asyncio.get_running_loop().create_future()

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keeps the two newest; errors as `append`."""
        if self._lanes is None:
            raise NotCommitted(f"the store {self._path} is closed; open it first")
        await self._lanes[0].run(partial(self._writer.save_snapshot, snapshot))

    async def load_snapshot(self) -> Snapshot | None:
        """The newest that is whole and lies on this journal."""
        return await self._asked(lambda reader: reader.load_snapshot())

    async def start(self) -> Head:
        """The entry after which the journal begins."""
        return await self._asked(lambda reader: reader.start())

    async def size(self) -> int:
        """Bytes of the file that are in use; what was deleted is used again and not given back."""
        return await self._asked(lambda reader: reader.size())

    async def prune(self, start: Head) -> None:
        """Deletes the beginning of the journal, in one transaction; errors as `append`."""
        if self._lanes is None:
            raise NotCommitted(f"the store {self._path} is closed; open it first")
        await self._lanes[0].run(partial(self._writer.prune, start))

    async def room(self) -> Room:
        """What the file system has left; lays the space for a full disk by again, if it was given up and there is room."""
        if self._lanes is None:
            raise StoreError(f"the store {self._path} is closed; open it first")
        return await self._lanes[0].run(self._writer.room)

    def spent(self) -> bool:
        """Whether the space for a full disk is in use, or was never there."""
        return self._writer.spent

    async def _asked(self, question: Callable[[Reader], T]) -> T:
        if self._lanes is None:
            raise StoreError(f"the store {self._path} is closed; open it first")

        return await self._lanes[1].run(partial(question, self._reader))
