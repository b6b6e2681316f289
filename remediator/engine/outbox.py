"""The outbox: messages that the journal says people must get. Retried with bounds; a channel that fails stops no work.

What a receiver refuses for good, or does not take in `TRIES` tries, goes on to the next one (`core/tellings.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from remediator.core import entries as e
from remediator.core.outcomes import Outcome, Result, failed, unknown
from remediator.core.state import Outgoing, State
from remediator.engine.boundary import answered
from remediator.engine.drafts import nothing
from remediator.engine.parts import Parts
from remediator.errors import StoreError
from remediator.ports import Message

BELL = "outbox"
TRIES = 6
FIRST_REST, LAST_REST = 2.0, 120.0
AT_ONCE = 16
# The longest rest that a receiver may ask for (s), and how long one try may take (s).
LONGEST_REST = 900.0
PATIENCE = 20.0
# How soon a store that could not commit is asked again before a message leaves (s).
STORE_AGAIN = 5.0


class Outbox:
    """Sends messages."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def watch(self) -> None:
        """Sends what is due, for ever."""
        while not self._parts.stopping:
            async with asyncio.TaskGroup() as group:  # side by side: a channel that hangs holds up no other
                for many in self._due().values():
                    group.create_task(self._send_all(many))
            now = self._parts.clock.now()
            mine = [one for one in self._parts.journal.state.outbox.values() if self._parts.holds(one)]
            upcoming = min((one.next_at - now for one in mine), default=3600.0)
            await self._parts.rest(BELL, max(upcoming, STORE_AGAIN) if self._parts.journal.last_error else upcoming)

    def _due(self) -> dict[str, list[Outgoing]]:
        """What is to be sent now, by receiver, oldest first."""
        now = self._parts.clock.now()
        due: dict[str, list[Outgoing]] = {}
        for one in sorted(self._parts.journal.state.outbox.values(), key=lambda one: one.next_at):
            if one.next_at <= now and self._parts.holds(one):
                due.setdefault(one.receiver, []).append(one)
        return due

    async def _send_all(self, many: Sequence[Outgoing]) -> None:
        for outgoing in many[:AT_ONCE]:
            if self._parts.stopping or not await self._store_works():
                return
            await self._send(outgoing)

    async def _store_works(self) -> bool:
        """Whether the store can commit, as far as is known; nothing leaves while it cannot (G15)."""
        if not self._parts.journal.last_error:
            return True
        with contextlib.suppress(StoreError):  # asks the store again; what it says is seen the next time
            await self._parts.journal.commit(nothing)
        return False

    async def _send(self, outgoing: Outgoing) -> None:
        outcome = await self._deliver(outgoing)
        again = _may_pass(outcome) and outgoing.attempt < TRIES
        rest = max(min(LAST_REST, FIRST_REST * 2 ** (outgoing.attempt - 1)), _wanted_rest(outcome))
        told = e.MessageOutcome(
            message=outgoing.message,
            receiver=outgoing.receiver,
            outcome=outcome,
            attempt=outgoing.attempt,
            next_at=self._parts.clock.now() + rest if again else None,
        )
        await self._parts.journal.insist(lambda state, _moment: [told] if _is_open(state, told) else ())

    async def _deliver(self, outgoing: Outgoing) -> Outcome:
        receiver = self._parts.receivers.get(outgoing.receiver)
        if receiver is None:
            return failed(f"there is no receiver {outgoing.receiver}")
        message = Message(
            id=outgoing.message,
            subject=outgoing.subject,
            text=outgoing.text,
            incident=outgoing.incident,
            severity=outgoing.severity,
            call=outgoing.call,
            link=outgoing.link,
            target=outgoing.target,
            since=outgoing.since,
            thread=outgoing.thread,
        )
        return await answered(Outcome, lambda: receiver.send(message), seconds=PATIENCE, otherwise=unknown)


def _may_pass(outcome: Outcome) -> bool:
    """Whether another try could help: a refusal for good is none, what may have arrived is better told twice than never."""
    return outcome.result is not Result.OK and (outcome.result is not Result.FAILED or outcome.retryable)


def _wanted_rest(outcome: Outcome) -> float:
    wanted = outcome.evidence.get("retry_after")
    return min(max(0.0, float(wanted)), LONGEST_REST) if isinstance(wanted, int | float) else 0.0


def _is_open(state: State, told: e.MessageOutcome) -> bool:
    """Whether this try is not on record yet."""
    outgoing = state.outbox.get(told.message)
    return outgoing is not None and outgoing.attempt == told.attempt
