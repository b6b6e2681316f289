"""The guards that count and wait: limits, locks and time intervals, each exactly at its boundary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs
from msgspec.structs import replace

from remediator.core.facts import ask_guards
from remediator.core.fleet import enforced
from remediator.core.intervals import TimeInterval, TimeRange
from remediator.core.plans import PlannedLimit
from remediator.core.rules import OnUnknown, Ruleset
from remediator.core.schedules import parse_schedule
from remediator.core.state import Grant, RunStatus, State, Undo
from remediator.core.verdicts import Answer
from remediator.guards.blast_radius import BlastRadiusGuard
from remediator.guards.concurrency import ConcurrencyGuard
from remediator.guards.cooldown import CooldownGuard
from remediator.guards.rate_limit import RateLimitGuard
from remediator.guards.target_lock import TargetLockGuard
from remediator.guards.time_intervals import TimeIntervalsGuard

if TYPE_CHECKING:
    from tests.unit.conftest import Build

ALLOW, ASK, DEFER, DENY = Answer.ALLOW, Answer.ASK, Answer.DEFER, Answer.DENY
MINE, OTHER = "domain=example.com", "domain=other.example"


def grant(build: Build, *, ago: float, target: str = MINE, number: int = 9, ended: float | None = 0.0) -> Grant:
    """A run that took its place so many seconds before the guard is asked; `ended` so many seconds later."""
    return Grant(
        rule="bounces",
        target=target,
        run=f"inc-{number}.1",
        incident=f"inc-{number}",
        taken=build.moment(1.0 - ago),
        ended=None if ended is None else build.moment(1.0 - ago + ended),
    )


def granted(*grants: Grant) -> State:
    """A state that remembers these."""
    return State(grants=State().grants.set("bounces", grants))


# ── cooldown ─────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("rested", "answer"), [(0.0, DEFER), (1.0, DEFER), (1799.999, DEFER), (1800.0, ALLOW), (1800.001, ALLOW)]
)
def test_a_target_rests_for_exactly_its_cooldown(build: Build, rested: float, answer: Answer) -> None:
    verdict = CooldownGuard().check(build.facts(granted(grant(build, ago=rested + 50.0, ended=50.0))))
    assert verdict.answer is answer
    if answer is DEFER:
        assert verdict.until == pytest.approx(build.zero + 1.0 + 1800.0 - rested)


def test_a_cooldown_says_when_it_clears(build: Build) -> None:
    verdict = CooldownGuard().check(build.facts(granted(grant(build, ago=600.0))))
    assert verdict.sentence == "30m: last touched 10m ago; clears 2026-11-24 10:46:41Z"


def test_a_run_that_has_not_ended_has_not_begun_to_rest(build: Build) -> None:
    verdict = CooldownGuard().check(build.facts(granted(grant(build, ago=90_000.0, ended=None))))
    assert (verdict.answer, verdict.until) == (DEFER, build.zero + 1.0 + 1800.0)


@pytest.mark.parametrize(
    ("state", "cooldown"),
    [({"target": OTHER}, 1800.0), ({"number": 1}, 1800.0), ({}, 0.0)],
    ids=["another target", "the same incident", "no cooldown"],
)
def test_what_a_cooldown_is_not_about_is_allowed(build: Build, state: dict[str, Any], cooldown: float) -> None:
    facts = build.facts(granted(grant(build, ago=5.0, **state)), limits=build.limits(cooldown=cooldown))
    assert CooldownGuard().check(facts).answer is ALLOW


def test_a_wall_clock_that_jumps_ahead_shortens_no_rest(build: Build) -> None:
    now = build.moment(61.0, step=86_400.0)
    assert CooldownGuard().check(build.facts(granted(grant(build, ago=0.0)), moment=now)).answer is DEFER


# ── rate limit ───────────────────────────────────────────────────────────────────────────────────────────────────────
WINDOW = enforced(21600.0)


def test_a_window_is_enforced_with_its_margin() -> None:
    assert enforced(21600.0) == 21600.0 * 1.01 + 1.0


@pytest.mark.parametrize(
    ("ages", "answer", "clears"),
    [
        ([], ALLOW, None),
        ([0.0], ALLOW, None),
        ([0.0, 5.0], DEFER, WINDOW - 5.0),
        ([0.0, WINDOW - 0.001], DEFER, 0.001),
        ([0.0, WINDOW], ALLOW, None),
        ([10.0, 20.0, 30.0, 40.0], DEFER, WINDOW - 20.0),
        ([WINDOW, WINDOW + 1.0], ALLOW, None),
    ],
)
def test_a_rate_limit_counts_exactly_what_is_in_the_window(
    build: Build, ages: list[float], answer: Answer, clears: float | None
) -> None:
    state = granted(*(grant(build, ago=age, number=place + 5) for place, age in enumerate(ages)))
    verdict = RateLimitGuard().check(build.facts(state))
    assert verdict.answer is answer
    assert verdict.until == (None if clears is None else pytest.approx(build.zero + 1.0 + clears, abs=1e-5))


def test_a_rate_limit_says_what_was_used_and_when_it_clears(build: Build) -> None:
    state = granted(grant(build, ago=10.0), grant(build, ago=20.0, number=8))
    assert RateLimitGuard().check(build.facts(state)).sentence == "2 per 6h: used 2; clears 2026-11-24 16:29:58Z"
    assert RateLimitGuard().check(build.facts()).sentence == "2 per 6h: used 0"


def test_the_ladder_of_an_incident_spends_the_budget_too_but_not_its_own_run(build: Build) -> None:
    ladder = [grant(build, ago=5.0, number=1), grant(build, ago=6.0, number=1)]
    second = build.run(id="inc-1.3")
    assert RateLimitGuard().check(build.facts(granted(*ladder), second)).answer is DEFER
    assert RateLimitGuard().check(build.facts(granted(*ladder))).answer is ALLOW


def test_other_targets_spend_another_budget(build: Build) -> None:
    state = granted(*(grant(build, ago=5.0, target=OTHER, number=place) for place in range(5, 9)))
    assert RateLimitGuard().check(build.facts(state)).answer is ALLOW


# ── blast radius ─────────────────────────────────────────────────────────────────────────────────────────────────────
HOUR = enforced(3600.0)


@pytest.mark.parametrize(
    ("touched", "answer", "clears"),
    [
        ({}, ALLOW, None),
        ({"a": [1.0], "b": [2.0]}, ALLOW, None),
        ({"a": [1.0], "b": [2.0], "c": [3.0]}, DEFER, HOUR - 3.0),
        ({"a": [1.0], "b": [2.0], "c": [HOUR - 0.001]}, DEFER, 0.001),
        ({"a": [1.0], "b": [2.0], "c": [HOUR]}, ALLOW, None),
        ({"a": [1.0], "b": [2.0], "c": [900.0, 3.0]}, DEFER, HOUR - 3.0),
        ({"a": [1.0], "b": [2.0], "c": [3.0], "d": [4.0], "e": [5.0]}, DEFER, HOUR - 3.0),
        ({"a": [1.0, 5.0, 9.0], "b": [2.0, 6.0]}, ALLOW, None),
        ({"example.com": [1.0], "b": [2.0], "c": [3.0]}, ALLOW, None),
    ],
)
def test_the_blast_radius_counts_different_targets(
    build: Build, touched: dict[str, list[float]], answer: Answer, clears: float | None
) -> None:
    grants = [
        grant(build, ago=age, target=f"domain={name}", number=number)
        for number, (name, age) in enumerate(((name, age) for name, ages in touched.items() for age in ages), 5)
    ]
    verdict = BlastRadiusGuard().check(build.facts(granted(*grants)))
    assert verdict.answer is answer
    assert verdict.until == (None if clears is None else pytest.approx(build.zero + 1.0 + clears, abs=1e-5))


def test_a_blast_radius_says_that_this_is_bigger_than_one_target(build: Build) -> None:
    grants = [grant(build, ago=10.0, target=f"domain={name}", number=place) for place, name in enumerate("abc", 5)]
    assert BlastRadiusGuard().check(build.facts(granted(*grants))).sentence == (
        "3 targets per 1h: 3 others touched already, so this is bigger than one target; clears 2026-11-24 11:27:08Z"
    )


@pytest.mark.parametrize("guard", [RateLimitGuard(), BlastRadiusGuard()])
def test_a_limit_of_none_never_allows(build: Build, guard: Any) -> None:
    nothing = build.limits(rate_limit=PlannedLimit(0, 60.0), blast_radius=PlannedLimit(0, 60.0))
    assert ask_guards([guard], build.facts(limits=nothing)).answer is DENY


# ── concurrency and locks ────────────────────────────────────────────────────────────────────────────────────────────
def going(build: Build, *rules: str, ended: float | None = None, first: int = 5) -> State:
    """A state with one run under way for each of these rules."""
    grants = State().grants
    for number, rule in enumerate(rules, first):
        taken = replace(grant(build, ago=60.0, number=number, ended=ended), rule=rule)
        grants = grants.set(rule, (*grants.get(rule, ()), taken))
    return State(grants=grants)


@pytest.mark.parametrize(
    ("rules", "limit", "most", "answer", "sentence"),
    [
        ([], 1, 10, ALLOW, "1 at once: 0 under way"),
        (["bounces"], 1, 10, DEFER, "1 at once: inc-5.1 under way"),
        (["bounces"], 2, 10, ALLOW, "2 at once: 1 under way"),
        (["bounces"] * 5, 5, 10, DEFER, "5 at once: inc-5.1, inc-6.1, inc-7.1 under way"),
        (["other"], 1, 10, ALLOW, "1 at once: 0 under way"),
        (["other"] * 9, 1, 10, ALLOW, "1 at once: 0 under way"),
        (["other"] * 10, 1, 10, DEFER, "10 runs are under way and at most 10 may be"),
    ],
)
def test_so_many_runs_are_under_way_at_once(
    build: Build, rules: list[str], limit: int, most: int, answer: Answer, sentence: str
) -> None:
    facts = build.facts(going(build, *rules), limits=build.limits(concurrency=limit), max_runs=most)
    verdict = ConcurrencyGuard().check(facts)
    assert (verdict.answer, verdict.until, verdict.sentence) == (answer, None, sentence)


@pytest.mark.parametrize("changes", [{"ended": 30.0}, {"first": 1}], ids=["ended", "itself"])
def test_runs_that_are_over_and_the_run_itself_take_no_place(build: Build, changes: dict[str, Any]) -> None:
    assert ConcurrencyGuard().check(build.facts(going(build, "bounces", **changes))).answer is ALLOW


@pytest.mark.parametrize(
    ("on_unknown", "status", "answer"),
    [
        (OnUnknown.HOLD, RunStatus.NEEDS_PERSON, DEFER),
        (OnUnknown.RELEASE, RunStatus.NEEDS_PERSON, ALLOW),
        (OnUnknown.RELEASE, RunStatus.RUNNING, DEFER),
    ],
)
def test_a_run_that_waits_for_a_person_takes_its_place_unless_its_author_said_otherwise(
    build: Build, on_unknown: OnUnknown, status: RunStatus, answer: Answer
) -> None:
    state = going(build, "bounces")
    (grants,) = state.grants.values()
    parked = build.run(build.plan(on_unknown=on_unknown), id=grants[0].run, status=status)
    state = structs.replace(state, runs=state.runs.set(parked.id, parked))
    for most in (1, 10):
        facts = build.facts(state, limits=build.limits(concurrency=1), max_runs=most)
        assert ConcurrencyGuard().check(facts).answer is answer


def test_runs_that_only_wait_or_only_show_take_no_place(build: Build) -> None:
    waits = build.run(build.plan(), id="inc-8.1", incident="inc-8")
    shows = build.run(build.plan(), id="inc-9.1", incident="inc-9", started=build.moment(), dry=True)
    state = State(runs=State().runs.set(waits.id, waits).set(shows.id, shows))
    assert ConcurrencyGuard().check(build.facts(state)).answer is ALLOW


@pytest.mark.parametrize(
    ("locks", "answer", "sentence"),
    [
        ({}, ALLOW, f"'{MINE}' is free"),
        ({MINE: "inc-9.1"}, DEFER, f"'{MINE}' is held by inc-9.1"),
        ({MINE: "inc-1.1"}, ALLOW, f"'{MINE}' is free"),
        ({"spool": "inc-9.1"}, DEFER, "'spool' is held by inc-9.1"),
        ({"unrelated": "inc-9.1"}, ALLOW, f"'{MINE}' is free"),
    ],
)
def test_all_locks_have_to_be_free(build: Build, locks: dict[str, str], answer: Answer, sentence: str) -> None:
    state = State(locks=type(State().locks)(locks))
    run = build.run(build.plan(locks=(MINE, "spool")))
    verdict = TargetLockGuard().check(build.facts(state, run))
    assert (verdict.answer, verdict.sentence) == (answer, sentence)


@pytest.mark.parametrize(
    ("of", "target", "asks", "answer"),
    [
        ("bounces", MINE, {"episodes": ()}, DEFER),
        ("bounces", OTHER, {"episodes": ()}, ALLOW),
        ("by-hand:pause", MINE, {"episodes": ()}, DEFER),
        ("nightly", MINE, {"episodes": ()}, ALLOW),
        ("bounces", MINE, {}, ALLOW),
        ("bounces", MINE, {"episodes": (), "by": "ana"}, ALLOW),
    ],
)
def test_a_schedule_gives_way_to_what_others_have_in_force_on_its_target(
    build: Build, of: str, target: str, asks: dict[str, Any], answer: Answer
) -> None:
    left = Undo(
        run="inc-9.1", incident="inc-9", step=0, action="mail.pause", arguments={}, key="k", due_at=build.zero + 3600.0
    )
    taken = replace(grant(build, ago=600.0, target=target), rule=of)
    state = State(grants=State().grants.set(of, (taken,)), undos=State().undos.set(left.id, left))
    scheduled = build.rule("nightly", schedule=parse_schedule("0 9 * * *"), targets=({"domain": "example.com"},))
    facts = build.facts(state, incident=build.incident(**asks), ruleset=Ruleset(rules=(scheduled,), playbooks={}))
    verdict = TargetLockGuard().check(facts)
    assert verdict.answer is answer
    if answer is DEFER:
        assert verdict.sentence == "mail.pause of inc-9 is in force here until 2026-11-24 11:26:40Z at the latest"
        assert verdict.until is None, "somebody may take it back before its time"


# ── time intervals ───────────────────────────────────────────────────────────────────────────────────────────────────
def hours(first: int, last: int) -> tuple[TimeInterval, ...]:
    """Every day between these hours, UTC. The guard is asked at 10:26:41."""
    return (TimeInterval(times=(TimeRange(start=first * 60, end=last * 60),)),)


INTERVALS = {"morning": hours(9, 11), "night": hours(22, 24), "noon": hours(12, 13), "evening": hours(18, 22)}


@pytest.mark.parametrize(
    ("mute", "active", "answer", "clock", "why"),
    [
        ((), (), ALLOW, None, "no time interval speaks against it"),
        (("night",), (), ALLOW, None, "no time interval speaks against it"),
        (("morning",), (), DEFER, "11:00:00Z", "muted by morning"),
        (("night", "morning"), (), DEFER, "11:00:00Z", "muted by morning"),
        ((), ("morning",), ALLOW, None, "no time interval speaks against it"),
        ((), ("night", "morning"), ALLOW, None, "no time interval speaks against it"),
        ((), ("night",), DEFER, "22:00:00Z", "outside of night"),
        ((), ("evening", "noon"), DEFER, "12:00:00Z", "outside of evening, noon"),
        (("morning",), ("morning",), DEFER, "11:00:00Z", "muted by morning"),
        (("gone",), (), DENY, None, "time interval gone is not defined"),
        ((), ("morning", "gone"), DENY, None, "time interval gone is not defined"),
    ],
)
def test_hands_stay_off_in_muted_and_outside_of_active_intervals(
    build: Build, mute: tuple[str, ...], active: tuple[str, ...], answer: Answer, clock: str | None, why: str
) -> None:
    ruleset = build.planner(time_intervals=INTERVALS).ruleset
    limits = build.limits(mute_time_intervals=mute, active_time_intervals=active)
    verdict = TimeIntervalsGuard().check(build.facts(ruleset=ruleset, limits=limits))
    assert verdict.answer is answer
    assert verdict.sentence.startswith(why)
    assert (verdict.until is not None) is (answer is DEFER)
    if clock:
        assert verdict.sentence.endswith(f"clears 2026-11-24 {clock}")


def test_an_interval_that_never_ends_gives_no_time(build: Build) -> None:
    ruleset = build.planner(time_intervals={"always": (TimeInterval(),)}).ruleset
    limits = build.limits(mute_time_intervals=("always",))
    verdict = TimeIntervalsGuard().check(build.facts(ruleset=ruleset, limits=limits))
    assert (verdict.answer, verdict.until, verdict.sentence) == (DEFER, None, "muted by always")
