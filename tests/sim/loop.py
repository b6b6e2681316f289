"""An event loop in virtual time whose every choice comes from a seed: which callback is next, whose process stands still.

A replica is a value of the context variable REPLICA; what belongs to a paused one waits, what belongs to a dead one never
runs again. Callbacks without a replica are the world's.
"""

from __future__ import annotations

import asyncio
import heapq
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

REPLICA: ContextVar[str] = ContextVar("REPLICA", default="")


class StandsStill(AssertionError):
    """Nothing can run any more, or something runs for ever."""


class SimLoop(asyncio.SelectorEventLoop):
    """Runs one callback a turn. `most` bounds the number of callbacks of one seed."""

    def __init__(self, random: Random, most: int = 2_000_000) -> None:
        super().__init__()
        self._random = random
        self._virtual = 1000.0
        self._most = most
        self.paused: dict[str, float] = {}
        self.dead: set[str] = set()
        self.held: dict[str, list[Any]] = {}
        self.dropped: list[Any] = []
        self.turns = 0
        self.ending = False

    def time(self) -> float:
        return self._virtual

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]
        scheduled: Any = self._scheduled  # type: ignore[attr-defined]
        self._wake()
        while scheduled and (scheduled[0]._cancelled or scheduled[0]._when <= self._virtual):
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            if not handle._cancelled:
                ready.append(handle)
        if not ready:
            moments = [handle._when for handle in scheduled[:1]] + list(self.paused.values())
            if not moments:
                raise StandsStill("nothing can run any more")
            self._virtual = max(self._virtual, min(moments))
            return
        self.turns += 1
        if self.turns > self._most:
            raise StandsStill(f"{self._most} turns: something runs for ever")
        place = 0 if self.ending else self._random.randrange(min(len(ready), 8))
        handle = ready[place]
        del ready[place]
        if handle._cancelled:
            return
        who = handle._context.get(REPLICA, "")
        if who in self.dead and not self.ending:
            self.dropped.append(handle)
            return
        if who in self.paused and not self.ending:
            self.held.setdefault(who, []).append(handle)
            return
        handle._run()

    def bury(self, who: str) -> None:
        """That process is dead."""
        self.dead.add(who)
        self.dropped += self.held.pop(who, [])
        self.paused.pop(who, None)

    def end(self) -> None:
        """The seed is over: whatever was left lying runs into its cancellation, in order."""
        self.ending = True
        self.dead.clear()
        self._ready.extend(self.dropped)  # type: ignore[attr-defined]

    def _wake(self) -> None:
        for who, until in list(self.paused.items()):
            if until <= self._virtual or self.ending:
                del self.paused[who]
                self._ready.extendleft(reversed(self.held.pop(who, [])))  # type: ignore[attr-defined]


class SimClock:
    """A machine's clocks: the wall may be stepped, the other one only begins anew when it boots, which its name tells."""

    def __init__(self, loop: SimLoop, wall: float, host: str) -> None:
        self._loop = loop
        self.wall = wall
        self.boot(host)

    def boot(self, host: str) -> None:
        """The machine begins anew, under that name."""
        self.host = host
        self._booted = self._loop.time() - 5.0

    def now(self) -> float:
        return self.wall + self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time() - self._booted

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.001, seconds))  # a real clock moves on, however short the rest
