"""The fold of runs and undos: what the record admits, because anything else would make it lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.outcomes import EffectClass, Outcome, Result, UndoOutcome, UndoResult, ok
from remediator.core.rules import OnUnknown
from remediator.core.state import RunStatus, State
from remediator.core.verdicts import allow, defer
from remediator.errors import IllegalEntry

if TYPE_CHECKING:
    from tests.unit.conftest import Build

INCIDENT, RUN = "inc-1", "inc-1.1"
NAMES: dict[str, Any] = {"incident": INCIDENT, "run": RUN}


def refused(build: Build, state: State, fact: e.AnyFact, why: str) -> None:
    """The fold does not admit `fact`, and says why."""
    with pytest.raises(IllegalEntry, match=why):
        build.fold(state, fact)


def parked(build: Build, effect: EffectClass = EffectClass.ONCE) -> State:
    """A run that waits for a person."""
    state = build.started(build.plan(build.planned_step(effect, undo_after=60.0)))
    return build.fold(
        state,
        build.intent(undo_at=build.zero + 60.0),
        build.outcome(Result.UNKNOWN),
        e.RunParked(**NAMES, reason="in doubt"),
    )


def person(decision: str, by: str = "ana") -> e.PersonDecided:
    return e.PersonDecided(**NAMES, decision=decision, by=by, reason="looked")


# ── runs: admission ──────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_run_is_planned_once_for_an_open_incident(build: Build) -> None:
    opened, planned = build.open()
    refused(build, State(), planned, r"run inc-1\.1 belongs to no open incident")
    state = build.fold(State(), opened, planned)
    refused(build, state, planned, "was planned twice")
    assert (state.incidents[INCIDENT].runs, state.runs[RUN].results) == ((RUN,), (None,))


def test_a_decision_is_recorded_with_its_strictest_reason(build: Build) -> None:
    verdicts = (allow("mode", "auto"), defer("cooldown", "it rests", build.zero + 60.0))
    told = e.RunDecided(**NAMES, answer="defer", verdicts=verdicts, until=build.zero + 60.0)
    state = build.fold(State(), *build.open(), told)
    run = state.runs[RUN]
    assert (run.status, run.not_before, run.reason) == (RunStatus.DEFERRED, build.zero + 60.0, "it rests")
    assert run.decided == ("mode=allow", "cooldown=defer")
    assert state.incidents[INCIDENT].status == "deferred"
    empty = build.fold(state, e.RunDecided(**NAMES, answer="allow", verdicts=()))
    assert (empty.runs[RUN].status, empty.runs[RUN].reason) == (RunStatus.PLANNED, "")


def test_an_approval_fits_the_plan_that_waits_and_only_that(build: Build) -> None:
    state = build.fold(State(), *build.open())
    digest = state.runs[RUN].digest
    given = e.ApprovalGiven(**NAMES, digest=digest, by="ana")
    refused(build, state, given, "fits no waiting plan")
    refused(build, state, e.ApprovalExpired(**NAMES), "does not fit run")
    state = build.fold(state, e.ApprovalRequested(**NAMES, digest=digest, expires=build.zero + 60.0))
    refused(build, state, e.ApprovalRequested(**NAMES, digest=digest, expires=0.0), "does not fit run")
    refused(build, state, msgspec.structs.replace(given, digest="0" * 16), "fits no waiting plan")
    refused(build, state, e.RunDecided(**NAMES, answer="allow", verdicts=()), "a decision does not fit")
    refused(build, state, build.start(), "a start does not fit")
    yes = build.fold(state, given).runs[RUN]
    assert (yes.status, yes.approved_by, yes.approval_expires) == (RunStatus.PLANNED, "ana", None)
    for no in (e.ApprovalRefused(**NAMES, by="ben"), e.ApprovalExpired(**NAMES)):
        assert build.fold(state, no).runs[RUN].approved_by == ""


def test_a_run_takes_all_its_locks_or_does_not_start(build: Build) -> None:
    state = build.started(build.plan(locks=("a", "b")))
    assert dict(state.locks) == {"a": RUN, "b": RUN}
    other = build.plan(rule="other", locks=("c", "b"))
    state = build.fold(state, *build.open(other, number=2))
    refused(build, state, build.start(other, number=2), r"'b' is held by inc-1\.1")
    dry = build.fold(state, msgspec.structs.replace(build.start(other, number=2), dry=True))
    assert dict(dry.locks) == {"a": RUN, "b": RUN}
    ended = build.fold(state, e.RunEnded(**NAMES, result="failed", reason="-"))
    assert not ended.locks
    assert dict(build.fold(ended, build.start(other, number=2)).locks) == {"c": "inc-2.1", "b": "inc-2.1"}


def test_a_place_in_the_limiters_is_never_given_back(build: Build) -> None:
    state = build.started()
    for result in ("failed", "cancelled", "denied"):
        ended = build.fold(state, e.RunEnded(**NAMES, result=result, reason="-"), after=5.0)
        (grant,) = ended.grants["bounces"]
        assert grant.ended is not None
        assert (grant.taken.at, grant.ended.at) == (build.zero, build.zero + 5.0)


def test_a_run_that_never_started_and_a_dry_one_take_no_place(build: Build) -> None:
    waiting = build.fold(State(), *build.open(), e.RunEnded(**NAMES, result="cancelled", reason="-"))
    dry = build.fold(build.started(dry=True), e.RunEnded(**NAMES, result="simulated", reason="-"))
    assert not waiting.grants
    assert not dry.grants
    assert not dry.locks


def test_places_are_forgotten_only_after_the_longest_window_has_passed(build: Build) -> None:
    state = build.fold(build.started(), e.RunEnded(**NAMES, result="failed", reason="-"))
    state = build.fold(state, e.IncidentClosed(incident=INCIDENT, result="failed", reason="-"))
    horizon = 86400.0 * 1.05 + 60.0
    for after, places in ((horizon, 2), (horizon + 1.0, 1)):
        later = build.fold(state, *build.open(number=2), build.start(number=2, after=after), after=after)
        assert len(later.grants["bounces"]) == places
    held = build.fold(build.started(), *build.open(build.plan(target={"domain": "b"}, locks=("b",)), number=2))
    late = build.fold(held, build.start(build.plan(target={"domain": "b"}, locks=("b",)), number=2), after=1e7)
    assert len(late.grants["bounces"]) == 2  # a run that has not ended is never forgotten


# ── runs: steps ──────────────────────────────────────────────────────────────────────────────────────────────────────
def test_an_order_needs_a_run_that_was_allowed(build: Build) -> None:
    refused(build, State(), build.intent(), "is not under way")
    refused(build, build.fold(State(), *build.open()), build.intent(), "the order of step 0 does not fit run")
    refused(build, parked(build), build.intent(attempt=2), "the order of step 0 does not fit run")


@pytest.mark.parametrize("step", [-1, 1, 99])
def test_an_order_is_of_a_step_that_exists(build: Build, step: int) -> None:
    refused(build, build.started(), build.intent(step), f"has no step {step}")


def test_one_attempt_is_in_the_air_at_a_time(build: Build) -> None:
    state = build.fold(build.started(), build.intent())
    refused(build, state, build.intent(attempt=2), "the order of step 0 does not fit run")
    refused(build, state, e.VerifyStarted(**NAMES, after=0.0), "a verification does not fit")
    refused(build, state, e.RollbackStarted(**NAMES, reason="-"), "a rollback does not fit")
    refused(build, state, e.RunParked(**NAMES, reason="-"), "a call for a person does not fit")
    refused(build, state, e.RunEnded(**NAMES, result="failed", reason="-"), "while an attempt is in the air")


def test_a_step_in_doubt_is_settled_before_anything_else(build: Build) -> None:
    plan = build.plan(build.planned_step(), build.planned_step())
    state = build.fold(build.started(plan), build.intent(), build.outcome(Result.UNKNOWN))
    refused(build, state, build.intent(1), "step 1 of .* was ordered while step 0 is in doubt")
    for fact in (
        e.VerifyStarted(**NAMES, after=0.0),
        e.RollbackStarted(**NAMES, reason="-"),
        e.RunEnded(**NAMES, result="failed", reason="-"),
    ):
        refused(build, state, fact, "step 0 of .* is in doubt: it is settled first")


def test_a_once_step_is_never_ordered_twice_without_a_persons_word(build: Build) -> None:
    state = build.started(build.plan(build.planned_step(EffectClass.ONCE, attempts=3)))
    state = build.fold(state, build.intent(), build.outcome(Result.NOT_ISSUED, retryable=True))
    refused(build, state, build.intent(attempt=2), "is never ordered twice without a person's word")
    assert build.fold(state, build.intent(attempt=2, by="ana")).runs[RUN].attempt == 2


def test_an_attempt_has_one_outcome(build: Build) -> None:
    state = build.fold(build.started(), build.intent())
    for wrong in (build.outcome(attempt=2), build.outcome(step=1)):
        refused(build, state, wrong, "already has its outcome")
    state = build.fold(state, build.outcome())
    refused(build, state, build.outcome(), "already has its outcome")
    refused(build, state, build.outcome(Result.FAILED), "already has its outcome")


def test_an_unknown_outcome_can_become_known_once(build: Build) -> None:
    state = build.fold(build.started(), build.intent(), build.outcome(Result.UNKNOWN))
    assert state.runs[RUN].doubt
    for result in (Result.OK, Result.FAILED):
        settled = build.fold(state, build.outcome(result))
        assert not settled.runs[RUN].doubt
        refused(build, settled, build.outcome(Result.OK), "already has its outcome")


def test_a_read_leaves_no_doubt(build: Build) -> None:
    state = build.started(build.plan(build.planned_step(EffectClass.READ)))
    state = build.fold(state, build.intent(), build.outcome(Result.UNKNOWN))
    assert not state.runs[RUN].doubt
    assert state.runs[RUN].results == (Result.UNKNOWN,)


def test_a_run_that_only_looks_says_all_that_it_saw(build: Build) -> None:
    look = build.planned_step(name="Queues", effect=EffectClass.READ)
    again = build.planned_step(name="Disk", effect=EffectClass.READ)
    state = build.fold(
        build.started(build.plan(look, again, verify=())),
        build.intent(),
        build.outcome(outcome=ok("12 wait")),
        build.intent(1),
        build.outcome(step=1, outcome=ok("70 % free")),
        e.VerifyStarted(incident="inc-1", run="inc-1.1", after=3.0),
        e.VerifyConcluded(incident="inc-1", run="inc-1.1", verdict="unknown", sentence="nothing to verify"),
    )
    assert state.runs["inc-1.1"].reason == "Queues: 12 wait · Disk: 70 % free"
    judged = build.fold(build.started(build.plan(look)), build.intent(), build.outcome(outcome=ok("12 wait")))
    assert judged.runs["inc-1.1"].reason == "12 wait", "a run that verifies has a verdict to say"


def test_a_later_failure_does_not_settle_an_earlier_doubt(build: Build) -> None:
    state = build.fold(build.started(), build.intent(), build.outcome(Result.UNKNOWN), build.intent(attempt=2))
    failed = build.fold(state, build.outcome(Result.FAILED, attempt=2))
    assert failed.runs[RUN].doubt
    refused(build, failed, build.outcome(Result.OK, attempt=2), "already has its outcome")
    told = build.fold(failed, build.outcome(Result.OK, attempt=2, reconciled=True))
    assert not told.runs[RUN].doubt
    assert not build.fold(state, build.outcome(Result.OK, attempt=2)).runs[RUN].doubt


# ── runs: verification, people, the end ──────────────────────────────────────────────────────────────────────────────
def test_a_verification_begins_and_ends_once(build: Build) -> None:
    state = build.fold(build.started(), build.intent(), build.outcome())
    concluded = e.VerifyConcluded(**NAMES, verdict="recovered", sentence="0.03")
    refused(build, state, concluded, "the end of a verification does not fit")
    state = build.fold(state, e.VerifyStarted(**NAMES, after=7.0))
    assert (state.runs[RUN].status, state.runs[RUN].verify_after) == (RunStatus.VERIFYING, 7.0)
    refused(build, state, e.VerifyStarted(**NAMES, after=7.0), "a verification does not fit")
    refused(build, state, build.intent(), "the order of step 0 does not fit")
    state = build.fold(state, concluded)
    refused(build, state, concluded, "has already ended: recovered")


@pytest.mark.parametrize("verdict", ["", "not_recovered", "unknown", "not_asked"])
def test_without_a_recovery_that_was_seen_nothing_has_succeeded(build: Build, verdict: str) -> None:
    state = build.fold(build.started(), build.intent(), build.outcome(), e.VerifyStarted(**NAMES, after=0.0))
    if verdict:
        state = build.fold(state, e.VerifyConcluded(**NAMES, verdict=verdict, sentence="-"))
    refused(build, state, e.RunEnded(**NAMES, result="succeeded", reason="-"), "no recovery was seen")


def test_a_dry_run_has_not_succeeded_whatever_was_concluded(build: Build) -> None:
    state = build.fold(
        build.started(dry=True),
        e.VerifyStarted(**NAMES, after=0.0),
        e.VerifyConcluded(**NAMES, verdict="recovered", sentence="-"),
    )
    refused(build, state, e.RunEnded(**NAMES, result="succeeded", reason="-"), "no recovery was seen")


@pytest.mark.parametrize("result", ["running", "planned", "needs_person", "rolling_back", "", "splendid"])
def test_a_last_word_is_one_of_the_last_words(build: Build, result: str) -> None:
    refused(build, build.started(), e.RunEnded(**NAMES, result=result, reason="-"), "is no last word of a run")


def test_a_person_decides_only_on_what_waits_for_them_and_only_what_there_is(build: Build) -> None:
    refused(build, build.started(), person("mark_done"), "a person's decision does not fit")
    refused(build, parked(build), person("forget"), "'forget' is not something that a person can decide")


def test_a_persons_word_settles_the_doubt_and_begins_the_time_anew(build: Build) -> None:
    state = build.fold(parked(build), person("mark_done"), after=5000.0)
    run = state.runs[RUN]
    assert (run.status, run.doubt, run.results) == (RunStatus.RUNNING, False, (Result.OK,))
    assert run.deadline == build.zero + 5000.0 + 1800.0
    assert state.undos  # what they saw done is still taken back in time


def test_a_persons_order_stands_until_it_is_used(build: Build) -> None:
    state = build.fold(parked(build), person("continue"), after=5000.0)
    assert (state.runs[RUN].ordered, state.runs[RUN].doubt) == ("ana", True)
    assert state.runs[RUN].deadline == build.zero + 6800.0
    assert build.fold(state, build.outcome(Result.FAILED)).runs[RUN].ordered == "ana"
    assert build.fold(state, build.outcome(Result.OK)).runs[RUN].ordered == ""
    assert build.fold(state, build.intent(attempt=2, by="ana")).runs[RUN].ordered == ""


@pytest.mark.parametrize("decision", ["rollback", "abort"])
def test_after_a_persons_word_a_parked_run_can_be_left(build: Build, decision: str) -> None:
    state = build.fold(parked(build), person(decision))
    assert build.fold(state, e.RunEnded(**NAMES, result="closed_by_person", reason="-")).runs == State().runs
    rolling = build.fold(state, e.RollbackStarted(**NAMES, reason="-"))
    assert rolling.runs[RUN].status is RunStatus.ROLLING_BACK


def test_an_ended_run_takes_no_further_entry(build: Build) -> None:
    state = build.fold(build.started(), e.RunEnded(**NAMES, result="failed", reason="-"))
    for fact in (build.intent(), build.outcome(), e.RunEnded(**NAMES, result="failed", reason="-"), person("abort")):
        refused(build, state, fact, "is not under way")


def test_a_run_goes_on_in_the_record_even_where_its_incident_is_gone(build: Build) -> None:
    state = build.started()
    gone = msgspec.structs.replace(state, incidents=state.incidents.delete(INCIDENT))
    assert build.fold(gone, build.intent()).runs[RUN].intent is not None


# ── undo ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def taken(result: UndoResult, next_at: float | None = None, attempt: int = 1) -> e.UndoConcluded:
    outcome = UndoOutcome(result=result, sentence="-")
    return e.UndoConcluded(**NAMES, step=0, attempt=attempt, outcome=outcome, next_at=next_at)


def taking(attempt: int = 1) -> e.UndoIntent:
    return e.UndoIntent(**NAMES, step=0, attempt=attempt, cause="expiry")


def test_the_end_of_an_effect_is_on_record_before_the_effect(build: Build) -> None:
    state = build.fold(build.started(), build.intent(undo_at=build.zero + 60.0))
    undo = state.undos[f"{RUN}/0"]
    assert (undo.due_at, undo.at, undo.certain, undo.key) == (build.zero + 60.0, build.zero + 60.0, False, f"{RUN}/0")
    done = Outcome(result=Result.OK, sentence="-", receipt={"id": "7"})
    state = build.fold(state, build.outcome(outcome=done))
    assert (state.undos[f"{RUN}/0"].certain, state.undos[f"{RUN}/0"].receipt) == (True, {"id": "7"})


@pytest.mark.parametrize("intent", [{}, {"undo_at": 5.0, "dry": True}])
def test_without_a_lasting_effect_there_is_nothing_to_take_back(build: Build, intent: dict[str, Any]) -> None:
    assert not build.fold(build.started(), build.intent(**intent)).undos


@pytest.mark.parametrize(
    ("result", "left"), [(Result.OK, 1), (Result.UNKNOWN, 1), (Result.FAILED, 0), (Result.NOT_ISSUED, 0)]
)
def test_an_undo_stays_unless_the_effect_certainly_did_not_happen(build: Build, result: Result, left: int) -> None:
    state = build.fold(build.started(), build.intent(undo_at=9.0), build.outcome(result))
    assert len(state.undos) == left
    again = build.fold(
        build.started(), build.intent(undo_at=9.0), build.outcome(Result.UNKNOWN), build.intent(attempt=2, undo_at=9.0)
    )
    assert len(build.fold(again, build.outcome(result, attempt=2)).undos) == 1


@pytest.mark.parametrize("result", [UndoResult.UNDONE, UndoResult.GONE, UndoResult.FOREIGN])
def test_what_was_taken_back_or_is_not_ours_is_over(build: Build, result: UndoResult) -> None:
    state = build.fold(build.started(), build.intent(undo_at=9.0), build.outcome(), taking(), taken(result))
    assert not state.undos
    refused(build, state, taking(2), r"nothing is left of inc-1\.1/0 to be taken back")
    refused(build, state, taken(result), "nothing is left of")


@pytest.mark.parametrize("result", [UndoResult.FAILED, UndoResult.UNKNOWN])
def test_what_could_not_be_taken_back_stays_with_a_time(build: Build, result: UndoResult) -> None:
    state = build.fold(build.started(), build.intent(undo_at=9.0), build.outcome(), taking())
    refused(build, state, taken(result), "nothing says when that is tried again")
    undo = build.fold(state, taken(result, 77.0)).undos[f"{RUN}/0"]
    assert (undo.at, undo.tries, undo.cause) == (77.0, 1, "expiry")


def test_what_comes_of_an_old_undo_does_not_end_a_newer_effect(build: Build) -> None:
    state = build.fold(parked(build, EffectClass.SAFE), taking(), person("continue"))
    state = build.fold(state, build.intent(attempt=2, by="ana", undo_at=build.zero + 99.0))
    for result, next_at in ((UndoResult.UNDONE, None), (UndoResult.FAILED, 5.0)):
        after = build.fold(state, taken(result, next_at))
        assert after.undos[f"{RUN}/0"].at == build.zero + 99.0
    assert state.undos[f"{RUN}/0"].tries == 2  # the next try is the third: no name is used twice


def test_an_undo_outlives_its_run(build: Build) -> None:
    state = build.fold(build.started(), build.intent(undo_at=9.0), build.outcome())
    state = build.fold(state, e.RunEnded(**NAMES, result="failed", reason="-"))
    assert not build.fold(state, taking(), taken(UndoResult.GONE)).undos


# ── a run that waits for a person ────────────────────────────────────────────────────────────────────────────────────
def letting_go(build: Build) -> State:
    """A parked run that has let its locks go."""
    state = build.started(build.plan(build.planned_step(EffectClass.ONCE), on_unknown=OnUnknown.RELEASE))
    return build.fold(state, build.intent(), build.outcome(Result.UNKNOWN), e.RunParked(**NAMES, reason="in doubt"))


def test_a_parked_run_keeps_its_locks_unless_its_author_lets_them_go(build: Build) -> None:
    assert dict(parked(build).locks) == {"domain=example.com": RUN}
    assert not letting_go(build).locks


@pytest.mark.parametrize("decision", ["mark_done", "continue", "rollback"])
def test_what_was_let_go_is_taken_again_before_the_run_goes_on(build: Build, decision: str) -> None:
    state = letting_go(build)
    assert dict(build.fold(state, person(decision)).locks) == {"domain=example.com": RUN}
    other = build.plan(rule="other")
    state = build.fold(state, *build.open(other, number=2), build.start(other, number=2))
    refused(build, state, person(decision), r"cannot go on: inc-2\.1 holds its target")
    assert dict(build.fold(state, person("abort")).locks) == {"domain=example.com": "inc-2.1"}


def test_another_call_changes_nothing_but_its_own_number(build: Build) -> None:
    state = parked(build)
    called = build.fold(state, e.RunReminded(**NAMES, number=2, reason="still"), after=3600.0)
    assert called.runs[RUN].reminded == 2
    run = msgspec.structs.replace(called.runs[RUN], reminded=0)
    back = msgspec.structs.replace(called, seq=state.seq, last=state.last, runs=called.runs.set(RUN, run))
    assert back == state
    refused(build, build.started(), e.RunReminded(**NAMES, number=1, reason="-"), "another call for a person")


def test_calls_are_counted_anew_when_a_run_is_parked_again(build: Build) -> None:
    state = build.fold(parked(build), e.RunReminded(**NAMES, number=3, reason="still"), person("continue"))
    state = build.fold(state, build.intent(attempt=2, by="ana"), build.outcome(Result.UNKNOWN, attempt=2))
    state = build.fold(state, e.RunParked(**NAMES, reason="in doubt"), after=900.0)
    assert (state.runs[RUN].parked_at, state.runs[RUN].reminded) == (build.zero + 900.0, 0)
