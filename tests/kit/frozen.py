"""A state as the bytes of a snapshot, in one piece; the engine packs and seals it piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from remediator.core.snapshots import pack, seal

if TYPE_CHECKING:
    from remediator.core.state import State


def freeze(state: State, key: bytes) -> bytes:
    """The sealed bytes of `state`, which `thaw` takes."""
    return seal(b"".join(pack(state)), key)
