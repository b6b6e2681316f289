"""Is the event loop in time, and do the clocks agree? A process that is late announces nothing new until it is calm.

It sleeps a second at a time and sees how much longer that took (a blocking call, a machine without breath, a process that
was stopped). More than two seconds late: no new intents until a whole second has passed in time, for it could not keep
deadlines. Each turn also compares the clocks: a wall clock that was stepped is told, while limits, pauses and undos go by
the clock that is safer for each of them.
"""

from __future__ import annotations

from collections.abc import Callable

from remediator.core.leases import MOST_LAG
from remediator.engine.parts import Parts

EVERY = 1.0
# By how much the wall and the monotonic clock may move apart in one turn (s; reliability.md G5).
MOST_DRIFT = 2.0


class LagWatch:
    """Watches the loop that it runs in. `told` learns of every measurement (s), `stepped` by how much the wall clock was."""

    def __init__(self, parts: Parts, told: Callable[[float], None], stepped: Callable[[float], None]) -> None:
        self._parts = parts
        self._told = told
        self._stepped = stepped
        self._slept: float | None = None
        self._late = False

    def lagging(self) -> bool:
        """Whether the loop is behind: it was at the last look, or that look is overdue just now."""
        if self._slept is None:
            return False
        return self._late or self._parts.clock.monotonic() - self._slept > EVERY + MOST_LAG

    async def watch(self) -> None:
        """Watches until cancelled."""
        self._parts.lagging = self.lagging
        clock = self._parts.clock
        try:
            while True:
                self._slept, wall = clock.monotonic(), clock.now()
                await clock.sleep(EVERY)
                passed = clock.monotonic() - self._slept
                self._look(passed - EVERY)
                if abs(step := clock.now() - wall - passed) > MOST_DRIFT:
                    self._stepped(step)
        finally:
            self._slept, self._late = None, False

    def _look(self, lag: float) -> None:
        was, self._late = self._late, lag > MOST_LAG
        self._told(max(0.0, lag))
        if was and not self._late:
            for name in tuple(self._parts.bells):
                self._parts.ring(name)
