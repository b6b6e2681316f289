"""Whether the journal's disk has room for new work (G17). Pure arithmetic; who measures is `engine/space.py`.

New work stops while there is still room, so that what is under way can be ended and recorded: reliability.md sets the line
at 5 % or 200 MiB, whichever is more.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Bytes of the journal's file system: free for this user, and all."""

    free: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceLimits:
    """Below either of these nothing new begins: bytes, and per cent of the whole."""

    free: int = 200 * MIB
    percent: int = 5

    def least(self, room: Room) -> int:
        """The bytes below which nothing new begins."""
        return max(self.free, room.total * self.percent // 100)

    def again(self, room: Room) -> int:
        """The bytes from which on it begins again: a quarter more, against fluttering; never more than there are."""
        return min(self.least(room) * 5 // 4, max(self.least(room), room.total))


def size(count: int) -> str:
    """Bytes as people read them: `512 KiB`, `180 MiB`, `3.2 GiB`; rounded down, for nobody should be promised more."""
    if count < MIB:
        return f"{count // 1024} KiB"
    return f"{count // MIB} MiB" if count < GIB else f"{count * 10 // GIB / 10:g} GiB"


def shortage(room: Room, limits: SpaceLimits, before: str) -> str:
    """Why nothing new may begin, as a sentence; empty if it may. `before` is what was said the last time."""
    need = limits.again(room) if before else limits.least(room)
    if room.free >= need:
        return ""
    return (
        f"the disk of the journal has {size(room.free)} free, and nothing new begins below {size(limits.least(room))} "
        f"(storage.min_free, storage.min_free_percent); it goes on from {size(limits.again(room))} on"
    )
