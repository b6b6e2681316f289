"""The brakes over all rules together: their limits, and what the journal says of storms. Pure.

One rule's guards cannot see that everything breaks at once. These can: a storm of alerts (more often Prometheus or the
network than fifty broken targets), the budget of the whole service, the care that is due after a first start or an outage.
All of it is folded from the journal, so a restart or a reload never gives anything back.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from remediator.core.rules import Limit
from remediator.core.state import Grant, Moment, State


@dataclass(frozen=True, slots=True, kw_only=True)
class StormLimits:
    """A storm begins with more than `episodes.count` new firings that rules match within `episodes.window` seconds, and
    ends with fewer than `ends_below`; then follows a rest of `cooldown` seconds, which a new storm begins anew.
    """

    episodes: Limit = Limit(50, 60.0)
    ends_below: int = 10
    cooldown: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRuns:
    """After a first start, or an outage or pause of `after` seconds: at most `runs` begin within `within` seconds."""

    runs: int = 3
    within: float = 900.0
    after: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetLimits:
    """The limits over all rules and targets. `budget` counts live runs that begin.

    An alert that was last heard of `max_alert_age` seconds before it was planned, or before an outage, needs a live yes.
    """

    budget: Limit = Limit(20, 3600.0)
    storm: StormLimits = StormLimits()
    first_runs: FirstRuns = FirstRuns()
    max_alert_age: float = 900.0

    @property
    def longest_window(self) -> float:
        """How far back these limits look (s)."""
        return max(self.budget.window, self.storm.episodes.window)


USUAL = FleetLimits()


def enforced(window: float) -> float:
    """The window with its margin for clock rate errors (reliability.md G5, assumption A4: < 1 %)."""
    return window * 1.01 + 1.0


def all_grants(state: State) -> list[Grant]:
    """The places that live runs of all rules took."""
    return list(itertools.chain.from_iterable(state.grants.values()))


def _ages(state: State, window: float, moment: Moment) -> list[tuple[float, int]]:
    """How long ago firings were matched within the window, the youngest first, and how many at that moment."""
    ages = [(moment.since(match.at), match.episodes) for match in state.matched]
    return sorted((age, number) for age, number in ages if age < window)


def matched_within(state: State, window: float, moment: Moment) -> int:
    """How many new firings were matched by rules within the last `window` seconds."""
    return sum(match.episodes for match in state.matched if moment.since(match.at) < window)


def is_storm(state: State, limits: StormLimits, moment: Moment) -> bool:
    """Whether a storm begins now: none is on, and too many firings came within the window."""
    if state.storm is not None and state.storm.ended is None:
        return False
    return matched_within(state, enforced(limits.episodes.window), moment) > limits.episodes.count


def calm_in(state: State, limits: StormLimits, moment: Moment) -> float | None:
    """Seconds until the storm that is on may end, if nothing more comes; None if no storm is on.

    It ends below `ends_below`, not where it began: else one that hovers about the limit would begin and end for ever.
    """
    if state.storm is None or state.storm.ended is not None:
        return None
    window = enforced(limits.episodes.window)
    count = 0
    for age, number in _ages(state, window, moment):
        count += number
        if count >= limits.ends_below:
            return window - age
    return 0.0


def cautions(state: State, rule: str) -> Sequence[str]:
    """The scopes in which care is due for this rule."""
    return [scope for scope in ("all", f"rule:{rule}") if scope in state.cautions]


def with_use(state: State, rule: str) -> State:
    """Where care is due, the runs that begin are counted."""
    cautions = state.cautions
    for scope in ("all", f"rule:{rule}"):
        caution = cautions.get(scope)
        if caution is not None:
            cautions = cautions.set(scope, msgspec.structs.replace(caution, used=caution.used + 1))
    return msgspec.structs.replace(state, cautions=cautions)
