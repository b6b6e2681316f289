"""Which rules match an alert, without trying all of them. Pure.

Every rule is filed under one of its matchers that can only pass for listed values (`=`, or `=~"a|b"`): the one whose
values are rarest among all rules. An alert looks up each of its labels once and tries what it finds there. Rules with
no such matcher are tried for every alert.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from remediator.core.matchers import Matcher

# A near miss is advice, not a decision: so many rules are looked at for it, however many there are.
NEAREST_LOOKS_AT = 100

_Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Miss:
    """The rule (its place in file order) that came nearest to an alert, and those of its matchers that did not pass."""

    rule: int
    failed: tuple[Matcher, ...]


class RuleIndex:
    """Finds the rules for an alert; a rule is a sequence of matchers that must all pass, named by its place.

    None stands for a rule that no alert concerns: it is never found.
    """

    __slots__ = ("_always", "_filed", "_pairs", "_rules")

    def __init__(self, matchers_by_rule: Sequence[Sequence[Matcher] | None]) -> None:
        self._rules = tuple(tuple(matchers or ()) for matchers in matchers_by_rule)
        self._pairs: dict[_Pair, list[int]] = {}
        for place, matchers in enumerate(self._rules):
            for pair in dict.fromkeys(pair for matcher in matchers for pair in _pairs_of(matcher)):
                self._pairs.setdefault(pair, []).append(place)
        self._filed: dict[_Pair, list[tuple[int, tuple[Matcher, ...]]]] = {}
        self._always: list[tuple[int, tuple[Matcher, ...]]] = []
        for place, matchers in enumerate(self._rules):
            if matchers_by_rule[place] is not None:
                self._file(place, matchers)

    def _file(self, place: int, matchers: tuple[Matcher, ...]) -> None:
        """Puts one rule where it will be found; the matcher it is filed under has then passed and need not be tried."""
        listed = [matcher for matcher in matchers if _pairs_of(matcher)]
        if not listed:
            self._always.append((place, matchers))
            return
        best = min(listed, key=lambda matcher: sum(len(self._pairs[pair]) for pair in _pairs_of(matcher)))
        rest = tuple(matcher for matcher in matchers if matcher is not best)
        for pair in _pairs_of(best):
            self._filed.setdefault(pair, []).append((place, rest))

    def matching(self, labels: Mapping[str, str]) -> tuple[int, ...]:
        """The places of all rules whose matchers all pass, in file order."""
        found = [place for place, matchers in self._always if _all_pass(matchers, labels)]
        for pair in labels.items():
            for place, rest in self._filed.get(pair, ()):
                if _all_pass(rest, labels):
                    found.append(place)
        found.sort()
        return tuple(found)

    def nearest(self, labels: Mapping[str, str]) -> Miss | None:
        """The rule that does not match but fails in the fewest matchers; then the most passing ones, then file order.

        Looked at are the rules that agree with the alert in one listed value, those with the rarest values first and at
        most `NEAREST_LOOKS_AT`; if no rule agrees in any, all rules, provided that there are no more than that. None if
        there is nothing to look at.
        """
        best: tuple[int, int, int] | None = None
        miss: Miss | None = None
        for place in self._neighbours(labels):
            matchers = self._rules[place]
            failed = tuple(matcher for matcher in matchers if not matcher.matches(labels))
            rank = (len(failed), len(failed) - len(matchers), place)
            if failed and (best is None or rank < best):
                best, miss = rank, Miss(place, failed)
        return miss

    def _neighbours(self, labels: Mapping[str, str]) -> Iterable[int]:
        shared = sorted((self._pairs[pair] for pair in labels.items() if pair in self._pairs), key=len)
        if not shared:
            return range(len(self._rules)) if len(self._rules) <= NEAREST_LOOKS_AT else ()
        seen: dict[int, None] = {}
        for places in shared:
            for place in places:
                if len(seen) == NEAREST_LOOKS_AT:
                    return seen
                seen[place] = None
        return seen


def _pairs_of(matcher: Matcher) -> list[_Pair]:
    """The label values one of which this matcher needs; empty if they cannot be listed or a missing label passes."""
    values = matcher.literals
    return [] if values is None or "" in values else [(matcher.label, value) for value in sorted(values)]


def _all_pass(matchers: tuple[Matcher, ...], labels: Mapping[str, str]) -> bool:
    for matcher in matchers:  # noqa: SIM110 - all() with a generator costs three times as much here
        if not matcher.matches(labels):
            return False
    return True
