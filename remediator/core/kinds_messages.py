"""The kinds of entries about messages to people: that one is due, and what came of a try."""

from __future__ import annotations

from remediator.core.kinds import Fact
from remediator.core.outcomes import Outcome


class MessageIntent(Fact, frozen=True, kw_only=True, tag="message.intent"):
    """People are about to be told. `message` is unique.

    `call` is `begin` where people are needed, `end` where they no longer are, and empty where it only tells. `since` is
    when the incident was opened. `thread` is what this receiver gave back for its first message about the incident. `told`
    are all receivers that get the same words, and `instead_of` is the one among them that did not take them.
    """

    message: str
    receiver: str
    incident: str
    subject: str
    text: str
    attempt: int = 1
    severity: str = ""
    call: str = ""
    link: str = ""
    target: dict[str, str] = {}  # noqa: RUF012  (msgspec makes a new one each time)
    since: float | None = None
    thread: dict[str, object] = {}  # noqa: RUF012
    told: tuple[str, ...] = ()
    instead_of: str = ""


class MessageOutcome(Fact, frozen=True, kw_only=True, tag="message.outcome"):
    """Whether they were; `next_at` is when it is tried again."""

    message: str
    receiver: str
    outcome: Outcome
    attempt: int = 1
    next_at: float | None = None
