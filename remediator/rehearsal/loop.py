"""Virtual time: an event loop that, when nothing can run, jumps to the next timer instead of waiting for it.

So everything that waits (the engine's clock, asyncio's own timeouts) lives in one time, and hours take milliseconds.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike


class StandsStill(RuntimeError):
    """Nothing can run any more, or time no longer moves: a bug of ours, or of a plug-in that waits for the real world."""


# So many turns without time moving on are not work any more.
MOST_TURNS = 1_000_000


class _Jumping(selectors.BaseSelector):
    """A selector without anything to select: waiting is moving the time on."""

    def __init__(self) -> None:
        self.time = 0.0
        self._turns = 0
        self._keys: dict[FileDescriptorLike, selectors.SelectorKey] = {}

    def register(self, fileobj: FileDescriptorLike, events: int, data: object = None) -> selectors.SelectorKey:
        """Keeps the loop's own wake-up pipe, which nobody writes to."""
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        return self._keys.setdefault(number, selectors.SelectorKey(fileobj, number, events, data))

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """Forgets it."""
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Moves the time on by `timeout` (s); StandsStill if there is nothing to wait for, or no end."""
        if timeout is None:
            raise StandsStill("nothing can run any more, and nothing is waited for")
        self._turns = 0 if timeout > 0 else self._turns + 1
        if self._turns > MOST_TURNS:
            self._turns = 0  # what runs for ever still has to be cancelled
            raise StandsStill("something runs for ever while time stands still")
        self.time += max(0.0, timeout)
        return []

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        """What is registered."""
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; its time begins at 0."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.time


class VirtualClock:
    """The engine's clock over the loop's time; the wall clock shows `start` (unix s) at its beginning."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: float) -> None:
        self._loop = loop
        self._start = start
        self._began = loop.time()

    def now(self) -> float:
        """Wall clock, unix seconds."""
        return self._start + self.passed

    @property
    def passed(self) -> float:
        """Seconds since the start."""
        return self._loop.time() - self._began

    def monotonic(self) -> float:
        """Virtual seconds."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Lets virtual time pass; some of it, however short the rest, as on a real clock."""
        await asyncio.sleep(max(0.001, seconds))
