"""Is the event loop in time, and do the clocks agree? A process that is late announces nothing new until it is calm.

It sleeps a second at a time and sees how much longer that took (a blocking call, a machine without breath, a process that
was stopped). More than two seconds late: no new intents until a whole second has passed in time, for it could not keep
deadlines. Each turn also looks whether a clock was stepped: that has to be on record, also where nothing else is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from remediator.core.entries import Entry
from remediator.core.leases import MOST_LAG
from remediator.engine.drafts import nothing
from remediator.engine.parts import Parts

EVERY = 1.0


class LagWatch:
    """Watches the loop that it runs in. `told` learns of every measurement (s)."""

    def __init__(self, parts: Parts, told: Callable[[float], None]) -> None:
        self._parts = parts
        self._told = told
        self._telling: asyncio.Future[tuple[Entry, ...]] | None = None
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
                self._slept = clock.monotonic()
                await clock.sleep(EVERY)
                self._look(clock.monotonic() - self._slept - EVERY)
                self._look_at_clocks()
        finally:
            self._slept, self._late = None, False

    def _look_at_clocks(self) -> None:
        """Not awaited, for a store that hangs is no lag; one append at a time is asked for, until a step is on record."""
        journal = self._parts.journal
        if journal.clocks.stepped() and (self._telling is None or self._telling.done()):
            self._telling = asyncio.ensure_future(journal.commit(nothing))

    def _look(self, lag: float) -> None:
        was, self._late = self._late, lag > MOST_LAG
        self._told(max(0.0, lag))
        if was and not self._late:
            for name in tuple(self._parts.bells):
                self._parts.ring(name)
