"""Faults of a store on purpose, for tests: which append fails, and how.

`Faults` is the plan, given to a MemoryStore or to a FaultyStore around any other store.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

from remediator.errors import AppendUnknown, Conflict, NotCommitted, StoreFull

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from remediator.core.chain import Head
    from remediator.core.entries import Record
    from remediator.ports import IncidentFilter, IncidentRow, Snapshot, Store, StoreInfo


class Fault(StrEnum):
    """What happens to an append instead of success."""

    FAIL_BEFORE = "fail before"
    """Nothing is written: NotCommitted."""
    COMMIT_THEN_FAIL = "commit, then fail"
    """It is written and the answer is lost: AppendUnknown."""
    LOSE_THEN_FAIL = "lose, then fail"
    """It is not written and the answer is lost: AppendUnknown."""
    FULL = "full"
    """No space: StoreFull."""
    CONFLICT = "conflict"
    """Somebody seems to have been faster: Conflict, with the head as it is."""


class Faults:
    """Says what happens to the n-th append; counts from 1 and counts every append, whole or not."""

    def __init__(self) -> None:
        self.appends = 0
        """How many appends were asked for so far."""
        self._planned: dict[int, Fault] = {}
        self._outage: Fault | None = None

    def on(self, append: int, fault: Fault) -> Faults:
        """Plans `fault` for that append of all (1 is the first); gives itself back, to plan the next."""
        self._planned[append] = fault
        return self

    def next(self, fault: Fault) -> Faults:
        """Plans `fault` for the append that comes next."""
        return self.on(self.appends + 1, fault)

    def begin(self, fault: Fault) -> None:
        """From here on every append that has no plan of its own fails like this, until `end`."""
        self._outage = fault

    def end(self) -> None:
        """The outage is over."""
        self._outage = None

    def strike(self) -> Fault | None:
        """Counts one append and says what happens to it."""
        self.appends += 1
        return self._planned.pop(self.appends, self._outage)


async def meet(fault: Fault | None, head: int, commit: Callable[[], Awaitable[Head]]) -> Head:
    """Does `commit`, or what `fault` says instead; `head` is the journal's present end."""
    match fault:
        case None:
            return await commit()
        case Fault.FAIL_BEFORE:
            raise NotCommitted("the append failed before anything was written (a fault on purpose)")
        case Fault.COMMIT_THEN_FAIL:
            await commit()
            raise AppendUnknown("the answer to the append was lost (a fault on purpose)")
        case Fault.LOSE_THEN_FAIL:
            raise AppendUnknown("the answer to the append was lost (a fault on purpose)")
        case Fault.FULL:
            raise StoreFull("there is no space for the append (a fault on purpose)")
        case Fault.CONFLICT:
            raise Conflict(head)
        case _:
            assert_never(fault)


class FaultyStore:
    """Any store, with faults on its appends."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self._head = 0

    async def open(self) -> StoreInfo:
        """As the store inside."""
        opened = await self._store.open()
        self._head = opened.head.seq
        return opened

    async def close(self) -> None:
        """As the store inside."""
        await self._store.close()

    async def read(self, after: int, limit: int = 1000) -> Sequence[Record]:
        """As the store inside."""
        return await self._store.read(after, limit)

    async def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow] = ()) -> Head:
        """As the store inside, unless a fault strikes."""

        async def commit() -> Head:
            head = await self._store.append(expect, records, rows)
            self._head = head.seq
            return head

        return await meet(self._faults.strike(), self._head, commit)

    async def find(self, *, incident: str = "", kind: str = "", limit: int = 1000) -> Sequence[Record]:
        """As the store inside."""
        return await self._store.find(incident=incident, kind=kind, limit=limit)

    async def resolve(self, prefix: str) -> Sequence[str]:
        """As the store inside."""
        return await self._store.resolve(prefix)

    async def incidents(self, wanted: IncidentFilter) -> Sequence[IncidentRow]:
        """As the store inside."""
        return await self._store.incidents(wanted)

    async def heartbeat(self, holder: str, ttl: float) -> None:
        """As the store inside."""
        await self._store.heartbeat(holder, ttl)

    async def alive(self) -> Mapping[str, float]:
        """As the store inside."""
        return await self._store.alive()

    async def wait(self, after: int) -> None:
        """As the store inside."""
        await self._store.wait(after)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """As the store inside."""
        await self._store.save_snapshot(snapshot)

    async def load_snapshot(self) -> Snapshot | None:
        """As the store inside."""
        return await self._store.load_snapshot()

    async def start(self) -> Head:
        """As the store inside."""
        return await self._store.start()

    async def size(self) -> int:
        """As the store inside."""
        return await self._store.size()

    async def prune(self, start: Head) -> None:
        """As the store inside."""
        await self._store.prune(start)
