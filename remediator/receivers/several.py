"""A receiver with several channels: it has told people when each channel has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from remediator.core.outcomes import Look, Observation, Outcome, Result, ok
from remediator.people import Checkable, Message, Receiver

# How many messages are remembered that some channels have taken and others not.
REMEMBERED = 1000


class Several:
    """Tells every channel; a message that is tried again goes only to those that have not taken it, until a restart."""

    def __init__(self, name: str, parts: Sequence[Receiver]) -> None:
        self.name = name
        self._parts = tuple(parts)
        self._taken: dict[str, dict[str, dict[str, object]]] = {}

    async def send(self, message: Message) -> Outcome:
        """The first failure is the outcome. The receipt has that of each channel under its place."""
        taken = self._taken.pop(message.id, {})
        failure: Outcome | None = None
        for place, part in enumerate(self._parts):
            if str(place) in taken:
                continue
            thread = message.thread.get(str(place), {})
            outcome = await part.send(replace(message, thread=thread if isinstance(thread, Mapping) else {}))
            if outcome.result is Result.OK:
                taken[str(place)] = outcome.receipt
            elif failure is None or _may_pass(outcome):
                failure = outcome
        receipt: dict[str, object] = {place: one for place, one in taken.items() if one}
        if failure is None:
            return ok(f"told {len(self._parts)} of {len(self._parts)}", receipt=receipt)
        self._remember(message.id, taken)
        return msgspec.structs.replace(failure, receipt=receipt)

    async def probe(self) -> Observation:
        """The worst that is seen of a channel."""
        seen = [await look_at(part) for part in self._parts]
        order = (Look.BAD, Look.UNKNOWN, Look.GOOD)
        worst = min(seen, key=lambda one: order.index(one.look))
        return msgspec.structs.replace(worst, sentence="; ".join(one.sentence for one in seen))

    def _remember(self, name: str, taken: dict[str, dict[str, object]]) -> None:
        self._taken[name] = taken
        while len(self._taken) > REMEMBERED:
            del self._taken[next(iter(self._taken))]


async def look_at(receiver: Receiver) -> Observation:
    """What is seen of a receiver without telling anybody; UNKNOWN for one that cannot be looked at."""
    if isinstance(receiver, Checkable):
        return await receiver.probe()
    return Observation(look=Look.UNKNOWN, sentence=f"{receiver.name} can only be tried by a message")


def _may_pass(outcome: Outcome) -> bool:
    return outcome.result is not Result.FAILED or outcome.retryable
