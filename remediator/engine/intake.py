"""Intake: a notification is accepted when, and only when, it is durable. Nothing is decided here.

Two errors are the sender's for ever (RefusedNotification), everything else is ours and passes (StoreError, QueueFull).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from remediator.core.alerts import count_alerts
from remediator.core.entries import AnyFact, NotificationReceived
from remediator.core.state import Moment, State
from remediator.engine.parts import Parts
from remediator.errors import NotCommitted, RefusedNotification
from remediator.patience import Patience
from remediator.ports import Accepted

# Alertmanager's HA twin also sends when an answer takes longer than 15 s; the lane gives up long before (reliability.md G1).
GIVE_UP = 2.0


# How many may wait for the lane: what waits is held in memory, and a store that hangs must not fill it (G14).
WAITING = 4096


class QueueFull(NotCommitted):
    """Too many notifications wait for a decision; the sender tries again."""


class NoRoom(NotCommitted):
    """The disk of the journal is nearly full; the sender tries again."""


class Intake:
    """Accepts notifications."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._patience = Patience(GIVE_UP)

    async def accept(self, body: bytes, peer: str) -> Accepted:
        """The place of the notification in the journal, once it is durable."""
        if self._parts.stopping:
            raise NotCommitted("the service is stopping; send it again")
        if low := self._parts.space.low:
            raise NoRoom(f"{low}; send it again")
        if self._parts.journal.waiting >= WAITING:
            raise QueueFull(f"{self._parts.journal.waiting} requests wait for the journal; send it again")
        try:
            alerts = count_alerts(body)
        except ValueError as fault:
            raise RefusedNotification(400, str(fault)) from None
        self._parts.last_accept = self._parts.clock.monotonic()
        fact = NotificationReceived(alerts=alerts, body=msgspec.Raw(body.strip()), peer=peer)
        try:
            with self._patience.wait():
                entries = await self._parts.journal.commit(lambda state, moment: self._take(state, moment, fact))
        except TimeoutError:
            seconds = self._patience.seconds
            raise NotCommitted(f"the journal did not answer within {seconds:g}s; send it again") from None
        return Accepted(entry=entries[0].seq, alerts=alerts)

    def _take(self, state: State, _moment: Moment, fact: NotificationReceived) -> Sequence[AnyFact]:
        if len(state.pending) >= self._parts.config.queue:
            raise QueueFull(f"{len(state.pending)} notifications wait for a decision; send it again")
        return [fact]
