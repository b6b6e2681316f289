"""Watches the room on the journal's disk, so that new work stops before the disk is full and goes on by itself (G17).

Below the line intake answers 503 and the guard `room` holds new runs back; outcomes, undos, verifications and a person's
pause still fit. Below that lies the space that the store has put by: once it is in use, the disk is full.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from remediator.core import entries as e
from remediator.core.space import Room, SpaceLimits, shortage
from remediator.errors import StoreError

if TYPE_CHECKING:
    from remediator.core.state import Moment, State
    from remediator.engine.parts import Parts

BELL = "space"
# Looks at the disk (s).
LOOK_EVERY = 5.0
# How soon people are called again for the same thing (s).
CALL_AGAIN = 4 * 3600.0
ABOUT = "room"
FULL = "the disk of the journal is full, and what was put by for that is in use; nothing new begins until there is room"


class Disk(Protocol):
    """Where the journal lies."""

    async def room(self) -> Room:
        """What is free now. Puts space by again, if some was given up and there is room for it. StoreError if it cannot
        be told."""
        ...

    def spent(self) -> bool:
        """Whether the space that was put by is in use."""
        ...


def _tells_nobody(_room: Room, _low: str) -> None:
    """Nobody listens."""


class Space:
    """Knows whether there is room. Without a disk to ask there always is."""

    def __init__(self, disk: Disk | None = None, limits: SpaceLimits | None = None) -> None:
        self._disk = disk
        self._limits = limits or SpaceLimits()
        self._low = ""
        self.tell: Callable[[Room, str], None] = _tells_nobody

    @property
    def has_disk(self) -> bool:
        """Whether there is anything to look at."""
        return self._disk is not None

    @property
    def full(self) -> bool:
        """Whether only the space that was put by is left, so that nothing but what must be recorded may use it."""
        return self._disk is not None and self._disk.spent()

    @property
    def low(self) -> str:
        """Why nothing new may begin, as a sentence; empty while there is room."""
        return FULL if self.full else self._low

    async def look(self) -> None:
        """Measures. Where that fails, what was known last holds: a store that fails says so itself."""
        if self._disk is None:
            return
        with contextlib.suppress(StoreError):
            room = await self._disk.room()
            self._low = shortage(room, self._limits, self._low)
            self.tell(room, self.low)

    async def watch(self, parts: Parts) -> None:
        """Measures, for ever; calls people when there is none left."""
        while not parts.stopping:
            await self.look()
            if self.low and _call(self.low)(parts.journal.state, parts.journal.moment()):
                with contextlib.suppress(StoreError):  # it is tried again at the next look
                    await parts.journal.commit(_call(self.low))
            await parts.rest(BELL, LOOK_EVERY)


def _call(low: str) -> Callable[[State, Moment], Sequence[e.AnyFact]]:
    def decide(state: State, moment: Moment) -> Sequence[e.AnyFact]:
        last = state.escalated.get(ABOUT)
        if last is not None and moment.at - last < CALL_AGAIN:
            return ()
        return [e.Escalated(incident="", reason=low, about=ABOUT)]

    return decide
