"""Who waits for the journal's lane, and what one commit of it will hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from remediator.core.entries import AnyFact, Entry
from remediator.core.state import Moment, State
from remediator.engine.scribe import Entail, Page, Scribe
from remediator.errors import RefusedRecord

Decider = Callable[[State, Moment], Sequence[AnyFact]]


def nothing(_state: State, _moment: Moment) -> Sequence[AnyFact]:
    """A decider without a wish of its own: the append takes along what is due, or shows whether the store is back."""
    return ()


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


def drafted(page: Page, moment: Moment, wishes: Sequence[Wish], scribe: Scribe, entail: Entail) -> Draft:
    """Asks all who wait, each on what the earlier ones leave on the page; who decides on nothing has their answer."""
    answers: list[tuple[Wish, tuple[Entry, ...]]] = []
    for wish in wishes:
        try:
            entries = scribe.write(page, moment, wish.decider(page.state, moment), entail)
        except Exception as fault:  # noqa: BLE001  (a decider that breaks fails its caller, not the lane)
            fail(wish, fault)
            continue
        if entries:
            answers.append((wish, entries))
        elif not wish.done.done():
            wish.done.set_result(())
    return Draft(page, answers)


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
