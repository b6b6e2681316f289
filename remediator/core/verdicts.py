"""A guard's answer: `allow < ask < defer < deny`, always with a sentence. The strictest wins; anything broken denies."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import msgspec


class Answer(IntEnum):
    """Ordered, so that combining verdicts is `max`: commutative, associative, idempotent, monotone."""

    ALLOW = 0
    ASK = 1
    DEFER = 2
    DENY = 3

    @property
    def word(self) -> str:
        """The spelling in YAML, log and metrics."""
        return self.name.lower()


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One guard's answer. `until` (unix s) is when a deferral may clear; None means "when something changes"."""

    guard: str
    answer: Answer
    sentence: str
    until: float | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """All verdicts on one run at one moment; recorded whole, also when the answer is no."""

    verdicts: tuple[Verdict, ...]

    @property
    def strictest(self) -> Verdict:
        """The verdict that decides; among equals the one that clears last, for the others clear with it."""
        return max(self.verdicts, key=_strictness)

    @property
    def answer(self) -> Answer:
        """The answer of the strictest verdict."""
        return self.strictest.answer

    @property
    def until(self) -> float | None:
        """When a deferral may clear: the latest known moment, or None if one of them knows none."""
        waits = [verdict.until for verdict in self.verdicts if verdict.answer is Answer.DEFER]
        known = [moment for moment in waits if moment is not None]
        return max(known) if waits and len(known) == len(waits) else None


def _strictness(verdict: Verdict) -> tuple[int, float]:
    return verdict.answer, verdict.until if verdict.until is not None else float("inf")


def decide(verdicts: Iterable[Verdict]) -> Decision:
    """All verdicts as one decision; an empty list denies, for a run that no guard looked at must not act."""
    found = tuple(verdicts)
    return Decision(verdicts=found or (deny("guards", "no guard was asked"),))


def allow(guard: str, sentence: str) -> Verdict:
    """Nothing speaks against it."""
    return Verdict(guard=guard, answer=Answer.ALLOW, sentence=sentence)


def ask(guard: str, sentence: str) -> Verdict:
    """A person has to say yes first."""
    return Verdict(guard=guard, answer=Answer.ASK, sentence=sentence)


def defer(guard: str, sentence: str, until: float | None = None) -> Verdict:
    """Not now; ask again at `until` (unix s), or when something changes."""
    return Verdict(guard=guard, answer=Answer.DEFER, sentence=sentence, until=until)


def deny(guard: str, sentence: str) -> Verdict:
    """Not at all."""
    return Verdict(guard=guard, answer=Answer.DENY, sentence=sentence)
