"""What every store asks of an append and of a snapshot, whatever it keeps them in. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from remediator.core.chain import Head
from remediator.errors import CorruptJournal, NotCommitted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


def twice(names: Iterable[str]) -> str:
    """The first name that occurs a second time; empty if each occurs once."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""


def id_taken(name: str, seq: int) -> NotCommitted:
    """The refusal of an id that entry `seq` carries already."""
    return NotCommitted(f"the append was refused: entry {seq} has the id {name!r} already; it was appended before")


def claim_taken(name: str, seq: int) -> NotCommitted:
    """The refusal of a claim that entry `seq` holds already."""
    return NotCommitted(
        f"the append was refused: the claim {name!r} is held by entry {seq}; what it names may happen only once. "
        "Fold the journal again; if the fold admits a second, that is a fault of this program"
    )


def require_contiguous(after: int, records: Sequence[Record]) -> Sequence[Record]:
    """`records` as they are if they follow `after` without a gap; CorruptJournal with the first missing entry if not."""
    for wanted, record in enumerate(records, after + 1):
        if record.seq != wanted:
            raise CorruptJournal(
                wanted, f"is missing, entry {record.seq} follows; run `remediator log verify` and restore a copy"
            )
    return records


def seal(snapshot: Snapshot) -> bytes:
    """The SHA-256 that shows whether a stored snapshot is whole."""
    digest = hashlib.sha256(snapshot.head.seq.to_bytes(8, "big") + snapshot.head.mac)
    digest.update(snapshot.state)
    return digest.digest()
