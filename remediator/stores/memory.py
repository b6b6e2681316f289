"""The store in memory, for tests and dry tools: the whole contract of a store except that a power cut empties it.

A `Disk` is what is kept; a MemoryStore is one process's hold on it. Several stores may share one disk, as replicas share
a Redis, and a new store on an old disk is a restart. Touches nothing outside this process.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from remediator.core.chain import Head
from remediator.errors import Conflict, NotCommitted, StoreError
from remediator.ports import StoreInfo
from remediator.stores.checks import (
    PRUNED,
    claim_taken,
    head_after,
    id_taken,
    require_contiguous,
    require_prunable,
    seal,
)
from remediator.stores.faults import Faults, meet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from remediator.core.entries import Record
    from remediator.ports import IncidentFilter, IncidentRow, Snapshot


@dataclass(slots=True, kw_only=True)
class Disk:
    """What outlives a MemoryStore. Tests may spoil it."""

    store_id: str = "memory"
    records: list[Record] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    claims: dict[str, int] = field(default_factory=dict)
    rows: dict[str, IncidentRow] = field(default_factory=dict)
    snapshots: dict[int, tuple[Snapshot, bytes]] = field(default_factory=dict)
    beats: dict[str, tuple[float, float]] = field(default_factory=dict)  # when a holder was there last, and until when
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    start: Head = Head()

    @property
    def head(self) -> Head:
        """The end of the journal."""
        return Head(self.records[-1].seq, self.records[-1].mac) if self.records else self.start

    def holds(self, head: Head) -> bool:
        """Whether the journal ran through `head`."""
        place = head.seq - self.start.seq - 1
        return head == Head() or (0 <= place < len(self.records) and self.records[place].mac == head.mac)


class MemoryStore:
    """A Store over a Disk. Each call yields to the loop once, after its work, so that callers interleave.

    `shared` is the clock (s) by which heartbeats age, for several processes at once; without it this one is alone.
    """

    def __init__(
        self, disk: Disk | None = None, faults: Faults | None = None, *, shared: Callable[[], float] | None = None
    ) -> None:
        self._shared = shared
        self.disk = disk if disk is not None else Disk()
        self.faults = faults if faults is not None else Faults()
        self._open = False

    async def open(self) -> StoreInfo:
        """Never refuses."""
        self._open = True
        disk = self.disk
        alone = self._shared is None
        return StoreInfo(store_id=disk.store_id, grade="strict", head=disk.head, alone=alone, start=disk.start)

    async def close(self) -> None:
        """The disk stays as it is."""
        self._open = False

    async def read(self, after: int, limit: int = 1000) -> Sequence[Record]:
        """The records that follow `after`; CorruptJournal if one is missing."""
        self._require_open()
        start = self.disk.start.seq
        place = max(0, after - start)
        found = require_contiguous(max(after, start), self.disk.records[place : place + limit])
        await asyncio.sleep(0)
        return found

    async def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow] = ()) -> Head:
        """Appends all or nothing; what `faults` says happens first."""
        if not self._open:
            raise NotCommitted("the store is closed; open it first")
        fault = self.faults.strike()

        async def commit() -> Head:
            head = self._commit(expect, records, rows)
            await asyncio.sleep(0)
            return head

        return await meet(fault, self.disk.head.seq, commit)

    async def find(self, *, incident: str = "", kind: str = "", limit: int = 1000) -> Sequence[Record]:
        """The records of one incident, one kind, or both, oldest first."""
        self._require_open()
        found = [
            record
            for record in self.disk.records
            if (not incident or record.incident == incident) and (not kind or record.kind == kind)
        ]
        await asyncio.sleep(0)
        return found[:limit]

    async def resolve(self, prefix: str) -> Sequence[str]:
        """The ids that begin with `prefix`, in order."""
        self._require_open()
        found = sorted(incident for incident in self.disk.rows if incident.startswith(prefix))[:10]
        await asyncio.sleep(0)
        return found

    async def incidents(self, wanted: IncidentFilter) -> Sequence[IncidentRow]:
        """Lines of the action log, newest first."""
        self._require_open()
        found = sorted(
            (row for row in self.disk.rows.values() if _passes(row, wanted)),
            key=lambda row: (row.opened_at, row.incident),
            reverse=True,
        )
        await asyncio.sleep(0)
        return found[: wanted.limit]

    async def heartbeat(self, holder: str, ttl: float) -> None:
        """Notes it; alone, nobody asks."""
        self._require_open()
        if self._shared is not None:
            self.disk.beats[holder] = (self._shared(), self._shared() + ttl)
        await asyncio.sleep(0)

    async def alive(self) -> Mapping[str, float]:
        """Whoever was heard of within its time."""
        self._require_open()
        await asyncio.sleep(0)
        now = self._shared() if self._shared is not None else 0.0
        return {holder: now - at for holder, (at, until) in self.disk.beats.items() if until > now}

    async def wait(self, after: int) -> None:
        """Returns at the next append of anybody."""
        self._require_open()
        if self.disk.head.seq <= after:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.disk.waiting.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self.disk.waiting:
                    self.disk.waiting.remove(waiter)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keeps the two newest."""
        self._require_open()
        kept = self.disk.snapshots
        kept[snapshot.head.seq] = (snapshot, seal(snapshot))
        for seq in sorted(kept)[:-2]:
            del kept[seq]
        await asyncio.sleep(0)

    async def load_snapshot(self) -> Snapshot | None:
        """The newest that is whole and lies on this journal."""
        self._require_open()
        await asyncio.sleep(0)
        for _, (snapshot, digest) in sorted(self.disk.snapshots.items(), reverse=True):
            if seal(snapshot) == digest and self.disk.holds(snapshot.head):
                return snapshot
        return None

    async def start(self) -> Head:
        """The entry after which the journal begins."""
        self._require_open()
        return self.disk.start

    async def size(self) -> int:
        """Bytes of the entries."""
        self._require_open()
        return sum(len(record.body) for record in self.disk.records)

    async def prune(self, start: Head) -> None:
        """Deletes the beginning of the journal; NotCommitted where nothing allows it."""
        if not self._open:
            raise NotCommitted("the store is closed; open it first")
        disk = self.disk
        whole = [seq for seq, (one, digest) in disk.snapshots.items() if seal(one) == digest and disk.holds(one.head)]
        published = [record for record in disk.records if record.kind == PRUNED]
        mac = start.mac if start != Head() and disk.holds(start) else None
        require_prunable(start, mac, max(whole, default=0), published)
        gone = disk.records[: start.seq - disk.start.seq]
        disk.records, disk.start = disk.records[len(gone) :], start
        for record in gone:
            del disk.ids[record.id]
        disk.claims = {claim: seq for claim, seq in disk.claims.items() if seq > start.seq}
        left = {record.incident for record in disk.records}
        for incident in {record.incident for record in gone} - left:
            disk.rows.pop(incident, None)
        await asyncio.sleep(0)

    def _require_open(self) -> None:
        if not self._open:
            raise StoreError("the store is closed; open it first")

    def _commit(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow]) -> Head:
        disk = self.disk
        head = head_after(expect, records)
        if disk.head != expect:
            raise Conflict(disk.head.seq)
        self._require_unique(records)
        for record in records:
            disk.records.append(msgspec.structs.replace(record, claims=()))
            disk.ids[record.id] = record.seq
            disk.claims.update((claim, record.seq) for claim in record.claims)
        for row in rows:
            disk.rows[row.incident] = replace(row, labels=dict(row.labels))
        for waiter in disk.waiting:
            if not waiter.done():
                waiter.set_result(None)
        disk.waiting.clear()
        return head

    def _require_unique(self, records: Sequence[Record]) -> None:
        ids: dict[str, int] = {}
        claims: dict[str, int] = {}
        for record in records:
            holder = self.disk.ids.get(record.id, ids.get(record.id))
            if holder is not None:
                raise id_taken(record, holder)
            ids[record.id] = record.seq
            for claim in record.claims:
                holder = self.disk.claims.get(claim, claims.get(claim))
                if holder is not None:
                    raise claim_taken(record, claim, holder)
                claims[claim] = record.seq


def _passes(row: IncidentRow, wanted: IncidentFilter) -> bool:
    return (
        row.opened_at >= wanted.since
        and wanted.incident in {"", row.incident}
        and wanted.rule in {"", row.rule}
        and wanted.status in {"", row.status}
        and wanted.result in {"", row.result}
        and all(row.labels.get(name) == value for name, value in wanted.labels.items())
        and (wanted.before is None or (row.opened_at, row.incident) < wanted.before)
    )
