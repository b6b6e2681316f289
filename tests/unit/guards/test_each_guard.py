"""Each guard by itself: what it allows, what it holds back until when, and the sentence that it gives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.facts import Evidence, ask_guards
from remediator.core.intervals import TimeInterval, TimeRange
from remediator.core.outcomes import Look, Observation
from remediator.core.plans import PlannedCondition, PlannedLimit
from remediator.core.rules import Mode
from remediator.core.state import Grant, Pause, State
from remediator.core.verdicts import Answer, Verdict
from remediator.guards.all_guards import all_guards
from remediator.guards.blast_radius import BlastRadiusGuard
from remediator.guards.concurrency import ConcurrencyGuard
from remediator.guards.cooldown import CooldownGuard
from remediator.guards.evidence import ASK_AGAIN, FRESH, RequireGuard, StillFiringGuard, WhenGuard
from remediator.guards.mode import ModeGuard
from remediator.guards.pause import PauseGuard
from remediator.guards.rate_limit import RateLimitGuard, enforced
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


# ── mode ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("run_mode", "server", "rule", "approved", "dry", "answer", "sentence"),
    [
        ("auto", Mode.AUTO, Mode.AUTO, "", False, ALLOW, "the mode is auto"),
        ("auto", Mode.AUTO, Mode.APPROVE, "", False, ASK, "a person has to say yes"),
        ("auto", Mode.APPROVE, Mode.AUTO, "", False, ASK, "a person has to say yes"),
        ("approve", Mode.AUTO, Mode.AUTO, "", False, ASK, "a person has to say yes"),
        ("approve", Mode.AUTO, Mode.AUTO, "ana", False, ALLOW, "approved by ana"),
        ("auto", Mode.DRY_RUN, Mode.AUTO, "ana", False, DENY, "lowered to dry-run"),
        ("auto", Mode.AUTO, Mode.DRY_RUN, "", False, DENY, "lowered to dry-run"),
        ("auto", Mode.OFF, Mode.AUTO, "ana", False, DENY, "the mode is off"),
        ("auto", Mode.AUTO, Mode.OFF, "", False, DENY, "the mode is off"),
        ("dry-run", Mode.AUTO, Mode.AUTO, "", True, ALLOW, "nothing will be touched"),
        ("dry-run", Mode.OFF, Mode.AUTO, "", True, DENY, "the mode is off"),
    ],
)
def test_the_most_careful_mode_wins_even_after_planning(
    build: Build, run_mode: str, server: Mode, rule: Mode, approved: str, dry: bool, answer: Answer, sentence: str
) -> None:
    run = build.run(mode=run_mode, approved_by=approved, dry=dry)
    ruleset = build.planner(build.rule(mode=rule)).ruleset
    verdict = ModeGuard().check(build.facts(run=run, server_mode=server, ruleset=ruleset))
    assert (verdict.guard, verdict.answer) == ("mode", answer)
    assert sentence in verdict.sentence


def test_a_rule_that_is_no_longer_loaded_runs_nothing(build: Build) -> None:
    other = build.planner(build.rule("other")).ruleset
    assert ModeGuard().check(build.facts(ruleset=other)).answer is DENY
    by_hand = build.facts(ruleset=other, incident=build.incident(by="ana"))
    assert ModeGuard().check(by_hand).answer is ALLOW


# ── pause ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def paused(build: Build, **until: float | None) -> State:
    """A state with a pause for `all` or `rule`, each with its end in seconds after the guard is asked."""
    pauses = State().pauses
    for scope, end in until.items():
        name = "all" if scope == "all" else "rule:bounces"
        at = None if end is None else build.zero + 1.0 + end
        pauses = pauses.set(name, Pause(scope=name, reason=f"{scope} works", by="ana", at=build.zero, until=at))
    return State(pauses=pauses)


@pytest.mark.parametrize(
    ("ends", "answer", "until"),
    [
        ({}, ALLOW, None),
        ({"all": None}, DEFER, None),
        ({"rule": None}, DEFER, None),
        ({"all": 60.0}, DEFER, 60.0),
        ({"all": 0.001}, DEFER, 0.001),
        ({"all": 0.0}, ALLOW, None),
        ({"all": -5.0, "rule": None}, DEFER, None),
        ({"all": -5.0, "rule": 7.0}, DEFER, 7.0),
        ({"all": 60.0, "rule": 7.0}, DEFER, 60.0),
        ({"all": 60.0, "rule": None}, DEFER, None),
        ({"all": -5.0, "rule": -5.0}, ALLOW, None),
    ],
)
def test_a_pause_holds_back_until_the_last_of_them_ends(
    build: Build, ends: dict[str, float | None], answer: Answer, until: float | None
) -> None:
    verdict = PauseGuard().check(build.facts(paused(build, **ends)))
    assert verdict.answer is answer
    assert verdict.until == (None if until is None else build.zero + 1.0 + until)


def test_a_pause_says_who_and_why_and_how_long(build: Build) -> None:
    assert PauseGuard().check(build.facts(paused(build, all=60.0))).sentence == (
        "paused by ana until 2026-11-24 10:27:41Z: all works"
    )
    assert "until somebody resumes: rule works" in PauseGuard().check(build.facts(paused(build, rule=None))).sentence


def test_a_pause_of_another_rule_does_not_matter(build: Build) -> None:
    pause = Pause(scope="rule:other", reason="-", by="ana", at=build.zero)
    assert PauseGuard().check(build.facts(State(pauses=State().pauses.set("rule:other", pause)))).answer is ALLOW


# ── evidence ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def seen(look: Look, sentence: str = "0.27 > 0.20") -> Observation:
    return Observation(look=look, sentence=sentence)


def test_before_evidence_is_gathered_those_that_need_it_say_nothing(build: Build) -> None:
    plan = build.plan(when=PlannedCondition(expr="up"), require=(PlannedCondition(expr="up"),))
    facts = build.facts(run=build.run(plan), evidence=None)
    assert [guard.check(facts) for guard in (WhenGuard(), RequireGuard(), StillFiringGuard())] == [None, None, None]


@pytest.mark.parametrize(
    ("look", "answer", "sentence"),
    [
        (Look.GOOD, ALLOW, "0.27 > 0.20"),
        (Look.BAD, DEFER, "the condition does not hold: 0.27 > 0.20"),
        (Look.UNKNOWN, DEFER, "could not tell, so not acting: 0.27 > 0.20"),
    ],
)
def test_only_a_plain_yes_of_the_condition_allows(build: Build, look: Look, answer: Answer, sentence: str) -> None:
    run = build.run(build.plan(when=PlannedCondition(expr="up")))
    evidence = Evidence(at=build.zero + 1.0, when=seen(look))
    verdict = WhenGuard().check(build.facts(run=run, evidence=evidence))
    assert verdict is not None
    assert (verdict.answer, verdict.sentence) == (answer, sentence)
    assert verdict.until == (build.zero + 1.0 + ASK_AGAIN if answer is DEFER else None)


@pytest.mark.parametrize(("age", "answer"), [(0.0, ALLOW), (FRESH, ALLOW), (FRESH + 0.001, DEFER), (3600.0, DEFER)])
def test_an_old_answer_is_no_answer(build: Build, age: float, answer: Answer) -> None:
    plan = build.plan(when=PlannedCondition(expr="up"), require=(PlannedCondition(expr="up"),))
    yes = seen(Look.GOOD)
    evidence = Evidence(at=build.zero + 1.0 - age, when=yes, require=(yes,), alert=yes)
    facts = build.facts(run=build.run(plan), evidence=evidence)
    verdicts = [guard.check(facts) for guard in (WhenGuard(), RequireGuard(), StillFiringGuard())]
    assert [verdict.answer for verdict in verdicts if verdict] == [answer] * 3


def test_a_rule_without_conditions_has_none_to_hold(build: Build) -> None:
    for guard in (WhenGuard(), RequireGuard()):
        verdict = guard.check(build.facts(evidence=None))
        assert verdict is not None
        assert verdict.answer is ALLOW


def test_a_condition_that_was_not_asked_holds_back(build: Build) -> None:
    run = build.run(build.plan(when=PlannedCondition(expr="up"), require=(PlannedCondition(expr="up"),)))
    for guard in (WhenGuard(), RequireGuard()):
        verdict = guard.check(build.facts(run=run))
        assert verdict is not None
        assert (verdict.answer, verdict.sentence) == (DEFER, "Prometheus was not asked just now")


@pytest.mark.parametrize(
    ("looks", "answer", "sentence"),
    [
        ([Look.GOOD, Look.GOOD], ALLOW, "one; two"),
        ([Look.GOOD, Look.BAD], DEFER, "a precondition does not hold: two"),
        ([Look.BAD, Look.GOOD], DEFER, "few mails are no crisis: one"),
        ([Look.UNKNOWN, Look.BAD], DEFER, "could not tell, so not acting: one"),
    ],
)
def test_every_precondition_has_to_hold(build: Build, looks: list[Look], answer: Answer, sentence: str) -> None:
    require = (PlannedCondition(expr="a", because="few mails are no crisis"), PlannedCondition(expr="b"))
    observed = tuple(seen(look, name) for look, name in zip(looks, ("one", "two"), strict=True))
    facts = build.facts(
        run=build.run(build.plan(require=require)), evidence=Evidence(at=build.zero + 1.0, require=observed)
    )
    verdict = RequireGuard().check(facts)
    assert verdict is not None
    assert (verdict.answer, verdict.sentence) == (answer, sentence)


@pytest.mark.parametrize(
    ("look", "answer", "sentence"),
    [
        (Look.GOOD, ALLOW, "it fires"),
        (Look.BAD, DEFER, "held back: it fires"),
        (Look.UNKNOWN, DEFER, "could not tell, so not acting: it fires"),
        (None, ALLOW, "no resolve was heard (no Alertmanager to ask)"),
    ],
)
def test_what_alertmanager_says_of_the_alert_counts(
    build: Build, look: Look | None, answer: Answer, sentence: str
) -> None:
    evidence = Evidence(at=build.zero + 1.0, alert=None if look is None else seen(look, "it fires"))
    verdict = StillFiringGuard().check(build.facts(evidence=evidence))
    assert verdict is not None
    assert (verdict.answer, verdict.sentence) == (answer, sentence)


@pytest.mark.parametrize("evidence", [None, "good"])
def test_a_resolved_alert_denies_whatever_else_is_said(build: Build, evidence: str | None) -> None:
    incident = build.incident(resolved_at=build.zero)
    gathered = Evidence(at=build.zero + 1.0, alert=seen(Look.GOOD)) if evidence else None
    verdict = StillFiringGuard().check(build.facts(incident=incident, evidence=gathered))
    assert verdict is not None
    assert (verdict.answer, verdict.sentence) == (DENY, "the alert has resolved")


def test_a_run_by_hand_needs_no_alert(build: Build) -> None:
    incident = build.incident(by="ana", episodes=())
    verdict = StillFiringGuard().check(build.facts(incident=incident, evidence=None))
    assert verdict is not None
    assert (verdict.answer, verdict.sentence) == (ALLOW, "ordered by ana")


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
def going(build: Build, *rules: str, **changes: Any) -> State:
    """A state with one run under way for each of these rules."""
    runs = State().runs
    for place, rule in enumerate(rules, 5):
        values = {"id": f"inc-{place}.1", "incident": f"inc-{place}", "started": build.moment()} | changes
        runs = runs.set(f"inc-{place}.1", build.run(build.plan(rule=rule), **values))
    return State(runs=runs)


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


@pytest.mark.parametrize("changes", [{"started": None}, {"dry": True}, {"id": "inc-1.1"}])
def test_runs_that_touch_nothing_take_no_place(build: Build, changes: dict[str, Any]) -> None:
    assert ConcurrencyGuard().check(build.facts(going(build, "bounces", **changes))).answer is ALLOW


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


# ── all of them ──────────────────────────────────────────────────────────────────────────────────────────────────────
def test_every_guard_has_a_name_and_says_what_it_is_for() -> None:
    guards = all_guards()
    assert len({guard.name for guard in guards}) == len(guards) == 11
    assert all(re.fullmatch(r"[a-z_]+", guard.name) and guard.summary for guard in guards)


def test_with_nothing_against_it_every_guard_allows_and_says_what_it_looked_at(build: Build) -> None:
    decision = ask_guards(all_guards(), build.facts())
    assert decision.answer is ALLOW
    assert len(decision.verdicts) == 11
    assert all(verdict.sentence for verdict in decision.verdicts)


def test_the_guards_read_a_state_that_came_through_the_journal(build: Build) -> None:
    """The same by entries: a run that has just ended cools its target, spends its budget and holds no lock."""
    state = build.started()
    state = build.fold(state, build.intent(), build.outcome())
    facts = build.facts(state, build.run(id="inc-2.1", incident="inc-2"), incident=build.incident(id="inc-2"))
    answers = {verdict.guard: verdict.answer for verdict in ask_guards(all_guards(), facts).verdicts}
    assert [name for name, answer in answers.items() if answer is not ALLOW] == [
        "cooldown",
        "concurrency",
        "target_lock",
    ]
    state = build.fold(state, e.RunEnded(incident="inc-1", run="inc-1.1", result="failed", reason="-"))
    later = build.facts(
        state, build.run(id="inc-2.1", incident="inc-2"), incident=build.incident(id="inc-2"), moment=build.moment(3.0)
    )
    held = [one for one in ask_guards(all_guards(), later).verdicts if one.answer is not ALLOW]
    assert [(one.guard, one.until) for one in held] == [("cooldown", build.zero + 1800.0)]
    assert isinstance(held[0], Verdict)
    assert msgspec.json.decode(msgspec.json.encode(held[0]), type=Verdict) == held[0]
