"""The guards over all rules: storm, budget, first runs, and alerts that nobody has heard of for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from remediator.core.facts import Evidence
from remediator.core.fleet import FirstRuns, FleetLimits, StormLimits, calm_in, is_storm
from remediator.core.outcomes import Look, Observation
from remediator.core.rules import Limit
from remediator.core.state import Caution, Episode, EpisodeStatus, Grant, Matches, State, Storm
from remediator.core.verdicts import Answer
from remediator.guards.budget import BudgetGuard
from remediator.guards.evidence import StillFiringGuard
from remediator.guards.first_runs import FirstRunsGuard
from remediator.guards.storm import StormGuard

if TYPE_CHECKING:
    from tests.unit.conftest import Build

ALLOW, DEFER = Answer.ALLOW, Answer.DEFER
LIMITS = StormLimits(episodes=Limit(5, 60.0), ends_below=3, cooldown=600.0)
FLEET = FleetLimits(budget=Limit(2, 600.0), storm=LIMITS, first_runs=FirstRuns(runs=2, within=900.0, after=3600.0))
WINDOW = 61.6  # 60 s with the margin for clocks


def matched(build: Build, *ages: tuple[float, int]) -> State:
    """So many firings so many seconds ago."""
    return State(matched=tuple(Matches(at=build.moment(1.0 - age), episodes=number) for age, number in ages))


# ── storm ────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("ages", "storm"),
    [
        ([], False),
        ([(0.0, 5)], False),
        ([(0.0, 6)], True),
        ([(61.5, 1), (0.0, 5)], True),
        ([(61.61, 1), (0.0, 5)], False),
    ],
)
def test_more_firings_within_the_window_than_the_limit_are_a_storm(
    build: Build, ages: list[tuple[float, int]], storm: bool
) -> None:
    assert is_storm(matched(build, *ages), LIMITS, build.moment(1.0)) is storm


@pytest.mark.parametrize(
    ("ages", "calm"),
    [
        ([], 0.0),
        ([(0.0, 2)], 0.0),
        ([(0.0, 6)], WINDOW),
        ([(20.0, 6)], WINDOW - 20.0),
        ([(40.0, 2), (20.0, 1), (10.0, 2)], WINDOW - 20.0),
    ],
)
def test_a_storm_ends_lower_than_it_begins(build: Build, ages: list[tuple[float, int]], calm: float) -> None:
    on = State(matched=matched(build, *ages).matched, storm=Storm(began=build.moment()))
    assert calm_in(on, LIMITS, build.moment(1.0)) == pytest.approx(calm, abs=1e-5)
    assert not is_storm(on, LIMITS, build.moment(1.0))  # it is on already


def test_a_storm_that_is_over_or_never_was_does_not_end(build: Build) -> None:
    over = State(storm=Storm(began=build.moment(), ended=build.moment()))
    assert calm_in(State(), LIMITS, build.moment()) is calm_in(over, LIMITS, build.moment()) is None


@pytest.mark.parametrize(
    ("storm", "answer", "until"),
    [
        (None, ALLOW, None),
        ((0.0, None), DEFER, None),
        ((-900.0, None), DEFER, None),
        ((0.0, 1.0), DEFER, 600.0),
        ((-900.0, -598.0), DEFER, 1.0),
        ((-900.0, -599.0), ALLOW, None),
    ],
)
def test_nothing_begins_in_a_storm_nor_in_the_rest_after_it(
    build: Build, storm: tuple[float, float | None] | None, answer: Answer, until: float | None
) -> None:
    began, ended = storm or (0.0, None)
    state = State()
    if storm is not None:
        end = build.moment(ended) if ended is not None else None
        state = State(storm=Storm(began=build.moment(began), ended=end))
    for dry in (False, True):  # a dry run shows it too
        verdict = StormGuard().check(build.facts(state, build.run(dry=dry), fleet=FLEET))
        assert verdict.answer is answer
        assert verdict.until == (None if until is None else pytest.approx(build.zero + 1.0 + until, abs=1e-5))


def test_a_storm_says_since_when_and_where_it_ends(build: Build) -> None:
    state = State(storm=Storm(began=build.moment()))
    assert StormGuard().check(build.facts(state, fleet=FLEET)).sentence == (
        "5 per 1m: a storm is on since 2026-11-24 10:26:40Z; it ends below 3"
    )
    assert StormGuard().check(build.facts(matched(build, (5.0, 2)), fleet=FLEET)).sentence == (
        "5 per 1m: 2 alerts began to fire"
    )


# ── budget ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def granted(build: Build, *ages: float) -> State:
    """Runs of as many rules that began so long ago."""
    grants = State().grants
    for number, age in enumerate(ages, 5):
        taken = build.moment(1.0 - age)
        grant = Grant(
            rule=f"r{number}", target=f"t{number}", run=f"inc-{number}.1", incident=f"inc-{number}", taken=taken
        )
        grants = grants.set(grant.rule, (grant,))
    return State(grants=grants)


@pytest.mark.parametrize(
    ("ages", "answer", "clears"),
    [
        ([], ALLOW, None),
        ([5.0], ALLOW, None),
        ([5.0, 9.0], DEFER, 598.0),
        ([5.0, 606.9], DEFER, 0.1),
        ([5.0, 607.0], ALLOW, None),
        ([1.0, 2.0, 3.0], DEFER, 605.0),
    ],
)
def test_the_budget_counts_the_runs_of_all_rules(
    build: Build, ages: list[float], answer: Answer, clears: float | None
) -> None:
    verdict = BudgetGuard().check(build.facts(granted(build, *ages), fleet=FLEET))
    assert verdict.answer is answer
    assert verdict.until == (None if clears is None else pytest.approx(build.zero + 1.0 + clears, abs=1e-5))
    assert verdict.sentence.startswith("2 per 10m over all rules: used ")


# ── first runs ───────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("scopes", "answer", "until"),
    [
        ({}, ALLOW, None),
        ({"all": (0.0, 1)}, ALLOW, None),
        ({"all": (0.0, 2)}, DEFER, 900.0),
        ({"all": (899.0, 2)}, DEFER, 1.0),
        ({"all": (900.0, 9)}, ALLOW, None),
        ({"all": (900.0, 9), "rule:bounces": (10.0, 2)}, DEFER, 890.0),
        ({"all": (5.0, 1), "rule:bounces": (10.0, 1)}, ALLOW, None),
        ({"rule:other": (0.0, 9)}, ALLOW, None),
    ],
)
def test_few_runs_begin_where_care_is_due(
    build: Build, scopes: dict[str, tuple[float, int]], answer: Answer, until: float | None
) -> None:
    cautions = State().cautions
    for scope, (age, used) in scopes.items():
        cautions = cautions.set(scope, Caution(since=build.moment(1.0 - age), reason="an outage", used=used))
    verdict = FirstRunsGuard().check(build.facts(State(cautions=cautions), fleet=FLEET))
    assert verdict.answer is answer
    assert verdict.until == (None if until is None else pytest.approx(build.zero + 1.0 + until, abs=1e-5))


# ── alerts that nobody has heard of for long ─────────────────────────────────────────────────────────────────────────
def heard(build: Build, at: float, deaf_until: float = 0.0) -> State:
    """The alert `a1` was last heard of then; before `deaf_until` nothing could be heard."""
    episode = Episode(
        identity="a1",
        number=1,
        status=EpisodeStatus.OPEN,
        starts_at=build.zero + at,
        latest_start=build.zero + at,
        last_heard=build.zero + at,
        labels={},
    )
    deaf = build.zero + deaf_until if deaf_until else 0.0
    return State(episodes=State().episodes.set("a1", episode), deaf_until=deaf)


@pytest.mark.parametrize(
    ("at", "deaf_until", "look", "answer"),
    [
        (-900.0, 0.0, None, ALLOW),
        (-901.0, 0.0, None, DEFER),
        (-901.0, 0.0, Look.UNKNOWN, DEFER),
        (-901.0, 0.0, Look.BAD, DEFER),
        (-901.0, 0.0, Look.GOOD, ALLOW),
        (-5.0, -1.0, None, DEFER),
        (-5.0, -1.0, Look.GOOD, ALLOW),
        (-1.0, -5.0, None, ALLOW),
        (0.5, 0.4, None, ALLOW),
    ],
)
def test_what_was_not_heard_of_for_long_needs_a_plain_yes(
    build: Build, at: float, deaf_until: float, look: Look | None, answer: Answer
) -> None:
    seen = Observation(look=look, sentence="-") if look is not None else None
    evidence = Evidence(at=build.zero + 1.0, alert=seen)
    verdict = StillFiringGuard().check(build.facts(heard(build, at, deaf_until), evidence=evidence))
    assert verdict is not None
    assert verdict.answer is answer
