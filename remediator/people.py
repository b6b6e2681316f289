"""What the engine needs of the ways to tell people: part of `ports`, from where it is to be imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from remediator.core.outcomes import Observation, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What people are told; plain text, no markup, whole in itself. `id` names it: the same id again is the same message.

    `call` is `begin` where people are needed, `end` where they no longer are, else empty. `link` leads to the console.
    `target` are the labels of what the incident touches, `since` is when it was opened (unix s). `thread` is the receipt
    of this receiver's first message about the incident, empty where there is none.

    `footer` is a line to go under the text: where the journal ended when this was sent (`journal 1204:9f2c63d01b7aee45`),
    by which a journal that is cut or rewritten later shows. Often another one at the next try; empty without a journal.
    """

    id: str
    subject: str
    text: str
    incident: str = ""
    severity: str = ""
    call: str = ""
    link: str = ""
    target: Mapping[str, str] = field(default_factory=dict)
    since: float | None = None
    thread: Mapping[str, object] = field(default_factory=dict)
    footer: str = ""


class Receiver(Protocol):
    """A way to tell people. It is never the system under repair."""

    name: str

    async def send(self, message: Message) -> Outcome:
        """Tells them, once; the engine retries what is not `ok` and not a final `failed`.

        Evidence `retry_after` (s) says how long the other side wants to be left alone. A receipt is kept and comes back as
        the `thread` of the next messages about the incident.
        """
        ...


@runtime_checkable
class Checkable(Protocol):
    """A receiver that can be looked at without telling anybody anything."""

    async def probe(self) -> Observation:
        """GOOD if a message would very likely be taken now, BAD if it would be refused, UNKNOWN where only a message would
        show it. Bounded in time; never raises."""
        ...
