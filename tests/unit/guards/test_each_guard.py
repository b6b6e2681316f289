"""The guards on mode, pause and evidence, and all guards together: what they say, until when, and in which words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.facts import Evidence, ask_guards
from remediator.core.outcomes import Look, Observation
from remediator.core.plans import PlannedCondition
from remediator.core.rules import Mode
from remediator.core.state import Pause, State
from remediator.core.verdicts import Answer, Verdict
from remediator.guards.all_guards import all_guards
from remediator.guards.evidence import ASK_AGAIN, FRESH, RequireGuard, StillFiringGuard, WhenGuard
from remediator.guards.mode import ModeGuard
from remediator.guards.pause import PauseGuard
from remediator.guards.room import RoomGuard

if TYPE_CHECKING:
    from tests.unit.conftest import Build

ALLOW, ASK, DEFER, DENY = Answer.ALLOW, Answer.ASK, Answer.DEFER, Answer.DENY


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


# ── room ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_disk_without_room_holds_every_new_run_back_in_its_own_words(build: Build) -> None:
    assert RoomGuard().check(build.facts()).answer is ALLOW
    for dry in (False, True):
        verdict = RoomGuard().check(build.facts(run=build.run(dry=dry), low="the disk has 3 MiB free"))
        assert (verdict.guard, verdict.answer, verdict.until) == ("room", DEFER, None)
        assert verdict.sentence == "the disk has 3 MiB free"


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


@pytest.mark.parametrize(
    ("after", "step", "boot", "left"),
    [
        (100.0, 0.0, "boot-1", 500.0),
        (100.0, 3600.0, "boot-1", 500.0),  # the wall clock was set on: by the other one the pause has just begun
        (100.0, -50.0, "boot-1", 550.0),
        (601.0, 0.0, "boot-1", None),
        (100.0, 0.0, "boot-2", 500.0),
    ],
)
def test_a_step_of_the_wall_clock_ends_no_pause_early(
    build: Build, after: float, step: float, boot: str, left: float | None
) -> None:
    state = build.fold(State(), e.PauseSet(scope="all", reason="works", by="ana", until=build.zero + 600.0))
    now = build.moment(after, step=step, boot=boot)
    verdict = PauseGuard().check(build.facts(state, moment=now))
    assert verdict.until == (None if left is None else now.at + left)
    assert verdict.answer is (ALLOW if left is None else DEFER)


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


def test_a_run_by_its_schedule_needs_no_alert(build: Build) -> None:
    verdict = StillFiringGuard().check(build.facts(incident=build.incident(episodes=()), evidence=None))
    assert verdict is not None
    assert (verdict.answer, verdict.sentence) == (ALLOW, "started by its schedule; there is no alert behind it")


# ── all of them ──────────────────────────────────────────────────────────────────────────────────────────────────────
def test_every_guard_has_a_name_and_says_what_it_is_for() -> None:
    guards = all_guards()
    assert len({guard.name for guard in guards}) == len(guards) == 25
    assert all(re.fullmatch(r"[a-z_]+", guard.name) and guard.summary for guard in guards)


def test_with_nothing_against_it_every_guard_allows_and_says_what_it_looked_at(build: Build) -> None:
    decision = ask_guards(all_guards(), build.facts())
    assert decision.answer is ALLOW
    assert len(decision.verdicts) == 25
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
