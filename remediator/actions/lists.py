"""Reading a list that a neighbour keeps, for actions that only look. Touches that neighbour alone."""

from __future__ import annotations

from collections.abc import Callable

from remediator.actions.http_client import Answer, HttpClient, Lost, NotSent, Request, deadline
from remediator.core.outcomes import Outcome, failed, failed_for_now


async def read_list(
    http: HttpClient, request: Request, seconds: float, *, of: tuple[str, str], told: Callable[[object], Outcome]
) -> Outcome:
    """What `told` makes of the list, within `seconds`; `told` raises ValueError where it cannot read it.

    `of` names who keeps the list and what is on it. Everything but a list fails the step, and only a list that cannot be
    read fails it for good.
    """
    who, what = of
    match await http.read(request, until=deadline(seconds)):
        case Answer(status=200) as answer:
            try:
                return told(answer.json())
            except ValueError as fault:
                return failed(f"{who}'s list of {what} is not readable: {fault}")
        case Answer(status=status, text=text):
            return failed_for_now(f"{who} answered {status} {text!r} when asked for its {what}")
        case NotSent(sentence=sentence) | Lost(sentence=sentence):
            return failed_for_now(f"{who} does not answer: {sentence}")
