"""The run machine: the single next thing to do, case by case. `exhaustive/` walks all of it; this says what is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core import runs as r
from remediator.core.outcomes import EffectClass, Found, Presence, Result, UndoOutcome, UndoResult
from remediator.core.rules import OnError, OnFailure, OnUnknown
from remediator.core.state import Run, RunStatus, State

if TYPE_CHECKING:
    from remediator.core.plans import Plan
    from tests.unit.conftest import Build

RUN = "inc-1.1"
NAMES: dict[str, Any] = {"incident": "inc-1", "run": RUN}
READ, SAFE, KEYED, ONCE = EffectClass.READ, EffectClass.SAFE, EffectClass.KEYED, EffectClass.ONCE
TIMEOUT = 30.0
REST = TIMEOUT + r.ISSUE_WITHIN + r.GRACE


def after(build: Build, state: State, seconds: float = 0.0) -> r.Effect:
    """What comes next, so many seconds after the start."""
    return r.next_effect(state, state.runs[RUN], build.zero + seconds)


def resolved(build: Build, state: State) -> State:
    """The alert of the incident has resolved."""
    incident = msgspec.structs.replace(state.incidents["inc-1"], resolved_at=build.zero)
    return msgspec.structs.replace(state, incidents=state.incidents.set("inc-1", incident))


def tried(build: Build, plan: Plan, result: Result, *, retryable: bool = False, attempt: int = 1) -> State:
    """A run whose first step was tried, with this outcome."""
    state = build.started(plan)
    for number in range(1, attempt + 1):
        state = build.fold(
            state, build.intent(attempt=number), build.outcome(result, attempt=number, retryable=retryable)
        )
    return state


# ── the waiting half ─────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_planned_run_asks_its_guards(build: Build) -> None:
    assert after(build, build.fold(State(), *build.open())) == r.AskGuards()


def test_a_run_that_is_held_back_waits_and_asks_again(build: Build) -> None:
    told = e.RunDecided(**NAMES, answer="defer", verdicts=(), until=build.zero + 60.0)
    state = build.fold(State(), *build.open(), told)
    assert after(build, state, 59.9) == r.Await(build.zero + 60.0)
    assert after(build, state, 60.0) == r.AskGuards()


def test_a_run_gives_up_waiting_and_says_what_held_it_back(build: Build) -> None:
    state = build.fold(State(), *build.open())
    assert after(build, state, 14399.9) == r.AskGuards()
    assert after(build, state, 14400.0) == r.End(
        RunStatus.EXPIRED, "held back until its time was over; last reason: none"
    )


def test_an_alert_that_resolves_cancels_what_was_not_begun(build: Build) -> None:
    state = resolved(build, build.fold(State(), *build.open()))
    assert after(build, state) == r.End(RunStatus.CANCELLED, "the alert resolved before anything was done")
    asking = build.fold(State(), *build.open(), e.ApprovalRequested(**NAMES, digest="x", expires=build.zero + 60.0))
    assert after(build, resolved(build, asking)) == r.End(
        RunStatus.CANCELLED, "the alert resolved before anybody approved"
    )
    begun = resolved(build, build.started())
    assert after(build, begun) == r.End(RunStatus.CANCELLED, "the alert resolved before the first step")


def test_a_request_for_approval_waits_until_it_expires(build: Build) -> None:
    state = build.fold(State(), *build.open(), e.ApprovalRequested(**NAMES, digest="x", expires=build.zero + 60.0))
    assert after(build, state, 59.9) == r.Await(build.zero + 60.0)
    assert after(build, state, 60.0) == r.Expire()


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_steps_are_issued_one_after_the_other_and_then_verified(build: Build) -> None:
    state = build.started(build.plan(build.planned_step(), build.planned_step()))
    assert after(build, state) == r.Issue(0, 1)
    state = build.fold(state, build.intent(0), build.outcome(step=0))
    assert after(build, state) == r.Issue(1, 1)
    state = build.fold(state, build.intent(1), build.outcome(step=1))
    assert after(build, state) == r.StartVerify()


def test_an_intent_without_an_outcome_was_interrupted(build: Build) -> None:
    assert after(build, build.fold(build.started(), build.intent())) == r.Interrupted()


@pytest.mark.parametrize("effect", [READ, SAFE, KEYED])
@pytest.mark.parametrize("result", [Result.FAILED, Result.NOT_ISSUED])
def test_a_failure_that_may_pass_is_tried_again_within_its_attempts(
    build: Build, effect: EffectClass, result: Result
) -> None:
    plan = build.plan(build.planned_step(effect, attempts=2, delay=7.0))
    state = tried(build, plan, result, retryable=True)
    assert after(build, state, 6.9) == r.Await(build.zero + 7.0)
    assert after(build, state, 7.0) == r.Issue(0, 2)
    assert isinstance(after(build, tried(build, plan, result, retryable=True, attempt=2), 99.0), r.End)
    assert isinstance(after(build, tried(build, plan, result), 99.0), r.End)


@pytest.mark.parametrize("result", [Result.FAILED, Result.NOT_ISSUED])
def test_a_once_step_is_never_tried_again_by_itself(build: Build, result: Result) -> None:
    plan = build.plan(build.planned_step(ONCE, attempts=3))
    assert isinstance(after(build, tried(build, plan, result, retryable=True), 99.0), r.End)


def test_a_failed_step_ends_the_run_unless_its_author_said_to_go_on(build: Build) -> None:
    end = after(build, tried(build, build.plan(build.planned_step(name="Pause it")), Result.FAILED))
    assert end == r.End(RunStatus.FAILED, "step 1 (Pause it): it was failed")
    careless = build.plan(build.planned_step(on_error=OnError.CONTINUE), build.planned_step())
    assert after(build, tried(build, careless, Result.FAILED)) == r.Issue(1, 1)


@pytest.mark.parametrize("result", [Result.OK, Result.FAILED])
def test_once_the_alert_has_resolved_no_further_step_or_try_is_started(build: Build, result: Result) -> None:
    plan = build.plan(build.planned_step(attempts=3), build.planned_step())
    assert after(build, resolved(build, tried(build, plan, result, retryable=True)), 99.0) == r.StartVerify()


def test_the_time_limit_ends_a_run(build: Build) -> None:
    state = tried(build, build.plan(build.planned_step(), build.planned_step()), Result.OK)
    assert after(build, state, 1799.9) == r.Issue(1, 1)
    assert after(build, state, 1800.0) == r.End(RunStatus.EXPIRED, "its time limit passed")


# ── doubt ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_read_without_an_answer_is_made_three_times_and_then_counts_as_failed(build: Build) -> None:
    for attempts, tries in ((1, 3), (2, 3), (5, 5)):
        plan = build.plan(build.planned_step(READ, attempts=attempts, on_error=OnError.CONTINUE))
        assert after(build, tried(build, plan, Result.UNKNOWN, attempt=tries - 1), 99.0) == r.Issue(0, tries)
        assert after(build, tried(build, plan, Result.UNKNOWN, attempt=tries), 99.0) == r.StartVerify()


def test_a_safe_step_in_doubt_is_issued_again_when_the_earlier_attempt_cannot_arrive_any_more(build: Build) -> None:
    state = tried(build, build.plan(build.planned_step(SAFE, attempts=2)), Result.UNKNOWN)
    assert after(build, state, REST - 0.1) == r.Await(build.zero + REST)
    assert after(build, state, REST) == r.Issue(0, 2)
    assert after(build, resolved(build, state), REST) == r.Issue(0, 2)
    assert after(build, state, 1800.0) == r.Park("step 1 (Pause) may or may not have happened: it was unknown")


def test_a_safe_step_in_doubt_is_made_again_until_its_attempts_are_used_up(build: Build) -> None:
    plan = build.plan(build.planned_step(SAFE))
    for attempt in (1, 2):
        assert after(build, tried(build, plan, Result.UNKNOWN, attempt=attempt), attempt * REST) == r.Issue(
            0, attempt + 1
        )
    assert isinstance(after(build, tried(build, plan, Result.UNKNOWN, attempt=3), 3 * REST), r.Park)


@pytest.mark.parametrize("effect", [KEYED, ONCE])
def test_the_target_is_asked_about_a_step_in_doubt(build: Build, effect: EffectClass) -> None:
    state = tried(build, build.plan(build.planned_step(effect, attempts=3)), Result.UNKNOWN)
    assert after(build, state, REST) == r.Reconcile()


def seen(presence: str) -> Found:
    """What the target said."""
    return Found(presence=Presence(presence), sentence="asked")


@pytest.mark.parametrize(
    ("effect", "found", "seconds", "expected"),
    [
        (KEYED, "absent", 0.0, "wait"),
        (KEYED, "absent", REST, "again"),
        (KEYED, "absent", 1800.0, "person"),
        (KEYED, "undecided", REST, "person"),
        (ONCE, "absent", REST, "person"),
        (ONCE, "undecided", REST, "person"),
    ],
)
def test_what_the_target_says_decides(
    build: Build, effect: EffectClass, found: str, seconds: float, expected: str
) -> None:
    run = tried(build, build.plan(build.planned_step(effect)), Result.UNKNOWN).runs[RUN]
    sentence = "step 1 (Pause) may or may not have happened: asked"
    meanings = {"wait": r.Await(build.zero + REST), "again": r.Issue(0, 2), "person": r.Park(sentence)}
    assert r.after_reconcile(run, seen(found), build.zero + seconds) == meanings[expected]


def test_a_keyed_step_is_issued_again_at_most_as_often_as_allowed(build: Build) -> None:
    for attempts, most in ((1, 2), (2, 2), (3, 3)):
        plan = build.plan(build.planned_step(KEYED, attempts=attempts))
        run = tried(build, plan, Result.UNKNOWN, attempt=most - 1).runs[RUN]
        assert r.after_reconcile(run, seen("absent"), build.zero + REST) == r.Issue(0, most)
        run = tried(build, plan, Result.UNKNOWN, attempt=most).runs[RUN]
        assert isinstance(r.after_reconcile(run, seen("absent"), build.zero + REST), r.Park)


def waiting_for_a_person(build: Build) -> State:
    state = tried(build, build.plan(build.planned_step(ONCE), build.planned_step()), Result.UNKNOWN)
    return build.fold(state, e.RunParked(**NAMES, reason="in doubt"))


def test_a_parked_run_waits_for_ever(build: Build) -> None:
    state = waiting_for_a_person(build)
    assert after(build, state, 1e9) == r.Await(None)
    assert after(build, resolved(build, state)) == r.Await(None)


def test_a_persons_order_is_carried_out_with_their_name_on_it(build: Build) -> None:
    order = e.PersonDecided(**NAMES, decision="continue", by="ana", reason="-")
    state = build.fold(waiting_for_a_person(build), order, after=5000.0)
    assert after(build, state, 5000.0) == r.Issue(0, 2, by="ana")
    late = build.fold(state, build.outcome(Result.FAILED), after=5001.0)
    assert after(build, late, 5001.0) == r.Issue(0, 2, by="ana")


def test_what_a_person_saw_done_is_gone_on_from(build: Build) -> None:
    seen = e.PersonDecided(**NAMES, decision="mark_done", by="ana", reason="-")
    state = build.fold(waiting_for_a_person(build), seen, after=5000.0)
    assert after(build, state, 5000.0) == r.Issue(1, 1)
    assert after(build, resolved(build, state), 5000.0) == r.StartVerify()


# ── verification ─────────────────────────────────────────────────────────────────────────────────────────────────────
def verified(build: Build, verdict: str, plan: Plan | None = None, *, dry: bool = False) -> State:
    state = build.started(plan, dry=dry)
    state = build.fold(state, build.intent(undo_at=build.zero + 60.0, dry=dry), build.outcome())
    state = build.fold(state, e.VerifyStarted(**NAMES, after=0.0))
    return build.fold(state, e.VerifyConcluded(**NAMES, verdict=verdict, sentence="0.03")) if verdict else state


def test_only_a_recovery_that_was_seen_is_a_success(build: Build) -> None:
    assert after(build, verified(build, "")) == r.Look()
    assert after(build, verified(build, "recovered")) == r.End(RunStatus.SUCCEEDED, "0.03")
    assert after(build, verified(build, "unknown")) == r.End(RunStatus.UNVERIFIED, "0.03")


def test_what_did_not_help_is_taken_back_where_the_playbook_says_so(build: Build) -> None:
    assert after(build, verified(build, "not_recovered")) == r.Rollback("0.03")
    people = build.plan(on_failure=(OnFailure.ESCALATE,))
    assert after(build, verified(build, "not_recovered", people)) == r.End(RunStatus.FAILED, "0.03")


@pytest.mark.parametrize("verdict", ["recovered", "not_asked"])
def test_a_dry_run_ends_simulated(build: Build, verdict: str) -> None:
    assert after(build, verified(build, verdict, dry=True)) == r.End(RunStatus.SIMULATED, "0.03")


def test_a_success_after_an_alert_that_resolved_midway_says_so(build: Build) -> None:
    two = build.plan(build.planned_step(), build.planned_step())
    end = after(build, resolved(build, verified(build, "recovered", two)))
    assert end == r.End(RunStatus.SUCCEEDED, "0.03 (the alert resolved midway)")
    one = after(build, resolved(build, verified(build, "recovered")))
    assert one == r.End(RunStatus.SUCCEEDED, "0.03")


# ── rollback ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def rolling(build: Build) -> State:
    """A run that takes back two steps."""
    steps = (build.planned_step(undo_after=60.0), build.planned_step(undo_after=60.0))
    state = build.started(build.plan(*steps))
    for place in (0, 1):
        state = build.fold(state, build.intent(place, undo_at=build.zero + 60.0), build.outcome(step=place))
    return build.fold(state, e.RollbackStarted(**NAMES, reason="it did not help"))


def take_back(build: Build, state: State, step: int, result: UndoResult, next_at: float | None = None) -> State:
    tries = state.undos[f"{RUN}/{step}"].tries + 1
    intent = e.UndoIntent(**NAMES, step=step, attempt=tries, cause="rollback")
    told = UndoOutcome(result=result, sentence="-")
    return build.fold(state, intent, e.UndoConcluded(**NAMES, step=step, attempt=tries, outcome=told, next_at=next_at))


def test_a_rollback_takes_back_the_newest_first(build: Build) -> None:
    state = rolling(build)
    assert after(build, state) == r.TakeBack(f"{RUN}/1")
    state = take_back(build, state, 1, UndoResult.UNDONE)
    assert after(build, state) == r.TakeBack(f"{RUN}/0")
    state = take_back(build, state, 0, UndoResult.GONE)
    assert after(build, state) == r.End(RunStatus.ROLLED_BACK, "it did not help")


def test_an_undo_that_fails_is_waited_for_and_tried_again(build: Build) -> None:
    state = take_back(build, rolling(build), 1, UndoResult.FAILED, build.zero + 5.0)
    assert after(build, state, 4.9) == r.Await(build.zero + 5.0)
    assert after(build, state, 5.0) == r.TakeBack(f"{RUN}/1")


def test_an_undo_that_keeps_failing_does_not_hold_up_the_others(build: Build) -> None:
    state = rolling(build)
    for _ in range(r.ROLLBACK_TRIES):
        state = take_back(build, state, 1, UndoResult.FAILED, build.zero + 5.0)
    assert after(build, state, 99.0) == r.TakeBack(f"{RUN}/0")
    state = take_back(build, state, 0, UndoResult.UNDONE)
    end = r.End(RunStatus.FAILED, "it did not help; taking back step 2 keeps failing and goes on")
    assert after(build, state, 0.0) == after(build, state, 99.0) == end
    assert state.undos[f"{RUN}/1"].at == build.zero + 5.0


def test_an_undo_that_was_interrupted_is_taken_up_again(build: Build) -> None:
    state = build.fold(rolling(build), e.UndoIntent(**NAMES, step=1, attempt=7, cause="rollback"))
    assert after(build, state) == r.TakeBack(f"{RUN}/1")


def test_only_its_own_effects_are_taken_back_by_a_run(build: Build) -> None:
    state = rolling(build)
    other = msgspec.structs.replace(state.undos[f"{RUN}/0"], run="inc-9.1")
    state = msgspec.structs.replace(state, undos=state.undos.set("inc-9.1/0", other))
    assert [undo.id for undo in r.own_undos(state, state.runs[RUN])] == [f"{RUN}/1", f"{RUN}/0"]


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("status", [status for status in RunStatus if status.final])
def test_after_its_last_word_a_run_has_no_other(build: Build, status: RunStatus) -> None:
    run = build.run(status=status, reason="because")
    assert r.next_effect(State(), run, build.zero) == r.End(status, "because")


def test_the_machine_answers_the_same_for_the_same_values(build: Build) -> None:
    state = rolling(build)
    assert after(build, state) == after(build, msgspec.structs.replace(state, seq=99))


# ── a temporary effect whose time is over ────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("effect", [SAFE, KEYED])
def test_an_effect_whose_own_time_is_over_is_not_made_again(build: Build, effect: EffectClass) -> None:
    state = build.started(build.plan(build.planned_step(effect, undo_after=60.0)))
    state = build.fold(state, build.intent(undo_at=build.zero + 60.0), build.outcome(Result.UNKNOWN))
    run = state.runs[RUN]

    def follows(seconds: float) -> r.Effect:
        now = build.zero + seconds
        return r.after_reconcile(run, seen("absent"), now) if effect is KEYED else r.next_effect(state, run, now)

    assert follows(REST) == r.Issue(0, 2)
    assert follows(59.9) == r.Issue(0, 2)
    parked = follows(60.0)
    assert isinstance(parked, r.Park)
    assert "the time of its effect is over" in parked.reason


# ── parking ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_run_that_lets_its_locks_go_is_parked_only_when_nothing_of_it_can_arrive_any_more(build: Build) -> None:
    for on_unknown, first in ((OnUnknown.HOLD, r.Park), (OnUnknown.RELEASE, r.Await)):
        plan = build.plan(build.planned_step(ONCE), on_unknown=on_unknown)
        run = tried(build, plan, Result.UNKNOWN).runs[RUN]
        assert isinstance(r.after_reconcile(run, seen("undecided"), build.zero + REST - 0.1), first)
        assert isinstance(r.after_reconcile(run, seen("undecided"), build.zero + REST), r.Park)


def test_a_run_that_lets_its_locks_go_keeps_them_while_the_attempt_is_seen_at_work(build: Build) -> None:
    at_work = Found(presence=Presence.UNDECIDED, sentence="it still runs", running=True)
    later = build.zero + REST

    def doubtful(on_unknown: OnUnknown) -> Run:
        return tried(build, build.plan(build.planned_step(ONCE), on_unknown=on_unknown), Result.UNKNOWN).runs[RUN]

    assert isinstance(r.after_reconcile(doubtful(OnUnknown.HOLD), at_work, later), r.Park)
    run = doubtful(OnUnknown.RELEASE)
    assert run.deadline is not None
    assert r.after_reconcile(run, at_work, later) == r.Await(later + r.RUNNING_AGAIN)
    parked = r.after_reconcile(run, at_work, run.deadline)
    assert parked == r.Park("step 1 (Pause) may or may not have happened: it still runs"), "everything ends"


# ── going on although the alert has resolved ─────────────────────────────────────────────────────────────────────────
def test_continue_on_resolve_carries_the_plan_out_whatever_resolves(build: Build) -> None:
    plan = build.plan(build.planned_step(attempts=2), build.planned_step(), continue_on_resolve=True)
    waiting = resolved(build, build.fold(State(), *build.open(plan)))
    assert after(build, waiting) == r.AskGuards()
    asked = e.ApprovalRequested(**NAMES, digest=plan.digest, expires=build.zero + 60.0)
    assert after(build, build.fold(waiting, asked)) == r.Await(build.zero + 60.0)
    assert after(build, resolved(build, build.started(plan))) == r.FIRST
    assert after(build, resolved(build, tried(build, plan, Result.OK))) == r.Issue(1, 1)
    failed = resolved(build, tried(build, plan, Result.FAILED, retryable=True))
    assert after(build, failed, 60.0) == r.Issue(0, 2)


def test_what_has_begun_its_atomic_part_finishes_it_and_what_has_not_stops(build: Build) -> None:
    plan = build.plan(build.planned_step(), build.planned_step(), build.planned_step(), atomic_from=1)
    state = resolved(build, tried(build, plan, Result.OK))
    assert after(build, state) == r.StartVerify()
    begun = build.fold(tried(build, plan, Result.OK), build.intent(1), build.outcome(Result.OK, 1))
    assert after(build, resolved(build, begun)) == r.Issue(2, 1)
    assert r.bound_to_finish(begun.runs[RUN])
    assert not r.bound_to_finish(state.runs[RUN])
