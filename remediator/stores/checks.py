"""What every store asks of an append and of a snapshot, whatever it keeps them in. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from remediator.core.chain import Head
from remediator.errors import CorruptJournal, NotCommitted, RefusedRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.core.entries import Record
    from remediator.ports import Snapshot


def head_after(expect: Head, records: Sequence[Record]) -> Head:
    """The head that appending `records` to `expect` would give; NotCommitted if they do not follow it one by one."""
    for wanted, record in enumerate(records, expect.seq + 1):
        if record.seq != wanted:
            raise NotCommitted(
                f"the append was refused: it has entry {record.seq} where {wanted} follows; number the entries of one "
                f"append one by one from the head it builds on ({expect.seq})"
            )
    return Head(records[-1].seq, records[-1].mac) if records else expect


def id_taken(record: Record, seq: int) -> RefusedRecord:
    """The refusal of a record whose id entry `seq` carries already."""
    sentence = f"the append was refused: entry {seq} has the id {record.id!r} already; it was appended before"
    return RefusedRecord(record.id, sentence)


def claim_taken(record: Record, claim: str, seq: int) -> RefusedRecord:
    """The refusal of a record with a claim that entry `seq` holds already."""
    sentence = (
        f"the append was refused: the claim {claim!r} is held by entry {seq}; what it names may happen only once. "
        "Fold the journal again; if the fold admits a second, that is a fault of this program"
    )
    return RefusedRecord(record.id, sentence)


def require_contiguous(after: int, records: Sequence[Record]) -> Sequence[Record]:
    """`records` as they are if they follow `after` without a gap; CorruptJournal with the first missing entry if not."""
    for wanted, record in enumerate(records, after + 1):
        if record.seq != wanted:
            raise CorruptJournal(
                wanted, f"is missing, entry {record.seq} follows; run `remediator log verify` and restore a copy"
            )
    return records


PRUNED = "journal.pruned"
"""The kind of the entries that name a checkpoint."""


def require_prunable(start: Head, mac: bytes | None, snapshot: int, published: Sequence[Record]) -> None:
    """NotCommitted unless `start` is in the journal (there it has `mac`), below a snapshot, and named by a later entry."""
    why = ""
    if mac != start.mac:
        why = "there is no such entry"
    elif snapshot <= start.seq:
        why = "no snapshot lies above it: what those entries say would be lost"
    elif not any(record.seq > start.seq and start.mac.hex().encode() in record.body for record in published):
        why = f"no entry {PRUNED} names it: the chain could not be followed from there"
    if why:
        raise NotCommitted(f"the entries up to {start} were not pruned: {why}")


def seal(snapshot: Snapshot) -> bytes:
    """The SHA-256 that shows whether a stored snapshot is whole."""
    digest = hashlib.sha256(snapshot.head.seq.to_bytes(8, "big") + snapshot.head.mac)
    digest.update(snapshot.state)
    return digest.digest()
