"""The planner: every accepted notification gets its dispositions, in order, soon, and none can hold up the rest (G2, G13).

It works in small portions and lets intake go first: an alert that is accepted and waits is safe, one that is refused may
be lost for ever.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence

from remediator.core import entries as e
from remediator.core.alerts import AlertStatus, parse_notification
from remediator.core.planning import dispose
from remediator.core.state import Moment, Pending, State
from remediator.engine.parts import Parts
from remediator.errors import IllegalEntry, RefusedRecord, StoreError

BELL = "planner"
PORTION = 32
# While notifications keep coming, each within this time of the last (s), the planner lets intake go first …
LULL = 0.05
# … until the oldest has waited so long (s; G2 allows 60), or so many wait that memory matters more.
PATIENCE = 10.0
MANY = 30_000


class PlannerLoop:
    """Disposes of what intake accepted."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._queue: deque[int] = deque()

    def note(self, entries: Sequence[e.Entry]) -> None:
        """Takes up what was just accepted."""
        fresh = [entry.seq for entry in entries if type(entry.fact) is e.NotificationReceived]
        if fresh:
            self._queue.extend(fresh)
            self._parts.ring(BELL)

    def resume(self) -> None:
        """Begins with all that is undecided: after a start, or when another's work became this replica's."""
        self._queue = deque(sorted(self._parts.journal.state.pending))
        self._parts.ring(BELL)

    async def watch(self) -> None:
        """Disposes, for ever; first of what an earlier process accepted and left."""
        self.resume()
        while not self._parts.stopping:
            pending = self._next()
            if not pending:
                await self._parts.rest(BELL, 3600.0)
                continue
            await self._let_intake_go_first(pending[0])
            await self._portion(pending)

    def _next(self) -> list[Pending]:
        """The oldest that are still undecided."""
        pending = self._parts.journal.state.pending
        while self._queue and not self._is_mine(pending.get(self._queue[0])):
            self._queue.popleft()
        first = list(itertools.islice(self._queue, PORTION))
        return [one for one in map(pending.get, first) if one is not None and self._parts.holds(one)]

    def _is_mine(self, pending: Pending | None) -> bool:
        return pending is not None and self._parts.holds(pending)

    async def _let_intake_go_first(self, oldest: Pending) -> None:
        clock = self._parts.clock
        while clock.monotonic() - self._parts.last_accept < LULL and len(self._queue) < MANY:
            if clock.now() - oldest.at >= PATIENCE:
                return
            await clock.sleep(LULL)

    async def _portion(self, pending: Sequence[Pending]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for one in pending:
                    group.create_task(self._settle(one))
        except* StoreError:
            await self._parts.clock.sleep(1.0)

    async def _settle(self, pending: Pending) -> None:
        journal = self._parts.journal
        try:
            await journal.commit(lambda state, moment: self._dispose(state, moment, pending))
        except (IllegalEntry, RefusedRecord) as fault:
            reason = str(fault)
            await journal.commit(lambda state, _: quarantine(pending, reason) if pending.seq in state.pending else ())

    def _dispose(self, state: State, moment: Moment, pending: Pending) -> Sequence[e.AnyFact]:
        current = state.pending.get(pending.seq)
        if current is None or not self._parts.holds(current):
            return ()
        try:
            notification = parse_notification(bytes(pending.fact.body))
            facts = dispose(self._parts.planner, state, pending.seq, notification, moment.at)
        except Exception as fault:  # noqa: BLE001  (poison must not wedge the rest: it is put aside, with its reason)
            return quarantine(pending, f"{type(fault).__name__}: {fault}")
        return facts


def quarantine(pending: Pending, reason: str) -> list[e.AnyFact]:
    """The facts that put a whole notification aside: every alert of it is disposed of as quarantined."""
    disposal = e.Disposal(disposition="quarantined", reason=reason[:300])
    alert = e.AlertRead(identity="", status=AlertStatus.FIRING, starts_at=0.0, disposals=(disposal,))
    return [
        e.NotificationDisposed(notification=pending.seq, alerts=(alert,) * pending.fact.alerts),
        e.Quarantined(what=f"notification {pending.seq}", reason=reason[:300], notification=pending.seq),
    ]
