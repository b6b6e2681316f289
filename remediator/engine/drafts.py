"""Who waits for the journal's lane, and what one commit of it will hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from remediator.core.entries import AnyFact, Entry
from remediator.core.state import Moment, State
from remediator.engine.scribe import Page
from remediator.errors import RefusedRecord

Decider = Callable[[State, Moment], Sequence[AnyFact]]


@dataclass(slots=True)
class Wish:
    """A decider, and the wait for what it led to."""

    decider: Decider
    done: asyncio.Future[tuple[Entry, ...]]


@dataclass(frozen=True, slots=True)
class Draft:
    """What one commit will hold, and who gets which of its entries."""

    page: Page
    answers: Sequence[tuple[Wish, tuple[Entry, ...]]]

    @property
    def wishes(self) -> list[Wish]:
        """Those who wait for this commit."""
        return [wish for wish, _entries in self.answers]


def without(draft: Draft, refusal: RefusedRecord, told: Callable[[str], None]) -> list[Wish]:
    """Fails the one whose record the store refused, and gives back those who may be tried without it."""
    rest: list[Wish] = []
    for wish, entries in draft.answers:
        if any(entry.id == refusal.record for entry in entries):
            told(str(refusal))
            fail(wish, refusal)
        else:
            rest.append(wish)
    return rest


def fail(wish: Wish, error: Exception) -> None:
    """Tells one who waits that it came to nothing."""
    if not wish.done.done():
        wish.done.set_exception(error)
        wish.done.exception()  # a caller that no longer waits is no unhandled error
