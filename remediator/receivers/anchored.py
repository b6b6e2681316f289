"""Puts the journal's end under every message, so that people's mailboxes are a copy that nobody can rewrite (G18)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from remediator.core.anchors import footer
from remediator.core.chain import START, Head
from remediator.core.outcomes import Observation, Outcome
from remediator.ports import Message, Receiver
from remediator.receivers.several import look_at


def _nothing_yet() -> Head:
    return START


@dataclass
class Ending:
    """Where the journal ends now; set once there is a journal."""

    head: Callable[[], Head] = _nothing_yet


class Anchored:
    """A receiver whose messages have a footer."""

    def __init__(self, receiver: Receiver, ending: Ending) -> None:
        self.name = receiver.name
        self._receiver = receiver
        self._ending = ending

    async def send(self, message: Message) -> Outcome:
        """Sends it with the footer of this moment."""
        return await self._receiver.send(replace(message, footer=footer(self._ending.head())))

    async def probe(self) -> Observation:
        """What is seen of the receiver without telling anybody."""
        return await look_at(self._receiver)


def anchored(receivers: Mapping[str, Receiver], ending: Ending) -> Mapping[str, Receiver]:
    """These receivers, each with the footer."""
    return {name: Anchored(receiver, ending) for name, receiver in receivers.items()}
