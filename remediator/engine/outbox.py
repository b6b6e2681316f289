"""The outbox: messages that the journal says people must get. Retried with bounds; a channel that fails stops no work."""

from __future__ import annotations

import asyncio

from remediator.core import entries as e
from remediator.core.outcomes import Outcome, Result, failed, unknown
from remediator.core.state import Outgoing
from remediator.engine.parts import Parts
from remediator.errors import StoreError
from remediator.ports import Message

BELL = "outbox"
TRIES = 6
FIRST_REST, LAST_REST = 2.0, 120.0


class Outbox:
    """Sends messages."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def watch(self) -> None:
        """Sends what is due, for ever."""
        while not self._parts.stopping:
            now = self._parts.clock.now()
            due = [one for one in self._parts.journal.state.outbox.values() if one.next_at <= now]
            for outgoing in sorted(due, key=lambda one: one.next_at)[:16]:
                await self._send(outgoing)
            upcoming = [one.next_at for one in self._parts.journal.state.outbox.values()]
            await self._parts.rest(BELL, min((at - self._parts.clock.now() for at in upcoming), default=3600.0))

    async def _send(self, outgoing: Outgoing) -> None:
        outcome = await self._deliver(outgoing)
        again = outcome.result is not Result.OK and outgoing.attempt < TRIES
        rest = min(LAST_REST, FIRST_REST * 2 ** (outgoing.attempt - 1))
        told = e.MessageOutcome(
            message=outgoing.message,
            receiver=outgoing.receiver,
            outcome=outcome,
            attempt=outgoing.attempt,
            next_at=self._parts.clock.now() + rest if again else None,
        )
        try:
            await self._parts.journal.commit(lambda state, _moment: [told] if told.message in state.outbox else ())
        except StoreError:
            await self._parts.clock.sleep(1.0)

    async def _deliver(self, outgoing: Outgoing) -> Outcome:
        receiver = self._parts.receivers.get(outgoing.receiver)
        if receiver is None:
            return failed(f"there is no receiver {outgoing.receiver}")
        message = Message(id=outgoing.message, subject=outgoing.subject, text=outgoing.text, incident=outgoing.incident)
        try:
            async with asyncio.timeout(20.0):
                return await receiver.send(message)
        except Exception as fault:  # noqa: BLE001  (a plug-in: a broken channel must not stop the others)
            return unknown(f"{type(fault).__name__}: {fault}")
