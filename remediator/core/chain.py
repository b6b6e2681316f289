"""The chain that makes tampering show: each entry's mac covers its place, its predecessor's mac and its bytes (G18).

HMAC-SHA-256 with a key kept outside the store: who can write the file but not read the key cannot recompute it. A cut tail
is shown only by an anchor (a head that was published elsewhere), which is why the head is logged and exported.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

GENESIS = bytes(32)


class Head(msgspec.Struct, frozen=True, gc=False):
    """The end of a journal: its last sequence number and mac. An empty journal ends at 0 with the genesis mac."""

    seq: int = 0
    mac: bytes = GENESIS

    def __str__(self) -> str:
        return f"{self.seq}:{self.mac.hex()[:16]}"


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """How far a journal was seen (G16): its end then, and the longest limiter window (s) that was in force."""

    store_id: str
    head: Head
    window: float


def sign(key: bytes, seq: int, previous: bytes, body: bytes) -> bytes:
    """The mac of the entry at `seq` that follows `previous`."""
    return hmac.digest(key, seq.to_bytes(8, "big") + previous + body, hashlib.sha256)


START = Head()
"""The end of an empty journal."""


@dataclass(frozen=True, slots=True)
class Break:
    """The first bad place of a journal."""

    seq: int
    sentence: str


def check(key: bytes, records: Iterable[tuple[int, bytes, bytes]], start: Head = START) -> Iterator[Head | Break]:
    """The head after each record (seq, body, mac) that follows `start`; ends with a Break at the first bad one."""
    head = start
    for seq, body, mac in records:
        if seq != head.seq + 1:
            yield Break(head.seq + 1, f"entry {head.seq + 1} is missing: the next one is {seq}")
            return
        if not hmac.compare_digest(sign(key, seq, head.mac, body), mac):
            yield Break(seq, f"entry {seq} is not what was written: it was changed, moved, or signed with another key")
            return
        head = Head(seq, mac)
        yield head
