"""The run machine: what comes next for a run. One file, theory first.

A run is the execution of one plan. Its state is a fold of its entries (`fold_runs.py`); this module looks at that state
and says the single next thing to do, as a value. The engine does it and appends what came of it; then the question is
asked again. Nothing else decides about a run, so a crash between any two entries is recovered by asking again.

Theory.

1. Before an effect there is a durable intent, after it an outcome. A run whose intent has no outcome was interrupted: the
   engine that finds one at its start records the outcome `unknown`, for that is what it is.
2. An unknown outcome is settled by the class of the step. A `read` has no effect to doubt: it is repeated, and without
   an answer it counts as failed. `safe` is issued again, within its attempts, once the earlier attempt can no longer
   arrive (`issue_by` + timeout + grace). `keyed` asks the target: present is ok; absent, after the same rest, is issued
   again with the same key. `once` asks too, but only ever to be *promoted* to ok. Otherwise, and once the time of the run
   or of the effect itself is over, the run is parked for a person. Only an ok settles the doubt: that a later attempt
   failed says nothing of the earlier one. A timeout or a default never turns unknown into success.
3. A failed attempt that may pass is made again within the attempts of its step, but never one of class `once` (G4). A
   failed step ends the mitigation unless its author wrote `on_error: continue`. Then, in the order of `on_failure`: its
   effects are taken back (rollback), and people or the next rung are called (escalate).
4. When the alert resolves before any effect, the run is cancelled; afterwards no further step and no further try of a
   failed one is started, and the verification decides. An attempt in doubt is still settled, as in 2. `continue_on_resolve`
   takes no notice of it, and what has begun a part that its author called atomic (`atomic_from`) finishes it.
5. Verification is three-valued. Only `recovered` succeeds. `not_recovered` fails (and may roll back); `unknown` never
   rolls back: taking away a remedy that may have worked is an effect too.
6. A dry run takes the same path; its attempts are simulated, its verification is not asked, and it ends `simulated`.

The waiting half:   planned -> (deferred -> planned)* -> [awaiting_approval -> planned] -> running
The working half:   running -> verifying -> succeeded | unverified | failed
                    running | verifying -> rolling_back -> rolled_back;  running -> needs_person -> running | ...
"""

from __future__ import annotations

from dataclasses import dataclass

from remediator.core.outcomes import EffectClass, Found, Presence, Result
from remediator.core.rules import OnError, OnFailure, OnUnknown
from remediator.core.state import Incident, Run, RunStatus, State, Undo

# How long after its timeout an attempt may still arrive: kill grace and network (reliability.md G6).
GRACE = 5.0
# How long an intent may wait before its first byte leaves (reliability.md G4).
ISSUE_WITHIN = 5.0
# How soon an attempt that is seen at work is asked about again (s).
RUNNING_AGAIN = 5.0
# How often a `read` without an answer is made at least, and a `keyed` step that the target does not know of.
READ_ATTEMPTS = 3
SAFE_ATTEMPTS = 3
KEYED_ATTEMPTS = 2
# After this many tries in vain a rollback leaves an undo to its own clock and goes on with the next one.
ROLLBACK_TRIES = 3


@dataclass(frozen=True, slots=True)
class AskGuards:
    """Gather evidence and ask every guard."""


@dataclass(frozen=True, slots=True)
class Await:
    """Nothing to do before `until` (unix s; None: until something about the run changes)."""

    until: float | None


@dataclass(frozen=True, slots=True)
class Issue:
    """Order attempt `attempt` of step `step`; `by` is the person who ordered a repetition, if one did."""

    step: int
    attempt: int
    by: str = ""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """An intent without an outcome and nobody at work on it: record it as unknown."""


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Ask the target whether the attempt in doubt took effect."""


@dataclass(frozen=True, slots=True)
class StartVerify:
    """All steps are done: begin to look for the good state."""


@dataclass(frozen=True, slots=True)
class Look:
    """Look until the verification can be concluded."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """Begin to take back what this run did."""

    reason: str


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Take back the effect of one step of this run."""

    undo: str


@dataclass(frozen=True, slots=True)
class Park:
    """Stop for a person."""

    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """The run's last word."""

    result: RunStatus
    reason: str


@dataclass(frozen=True, slots=True)
class Expire:
    """Nobody answered a request for approval in time."""


FIRST = Issue(0, 1)

Effect = (
    AskGuards | Await | Issue | Interrupted | Reconcile | StartVerify | Look | Rollback | TakeBack | Park | End | Expire
)


def next_effect(state: State, run: Run, now: float) -> Effect:
    """The one thing to do next for `run`. Total: every state of a run that is not final has exactly one answer."""
    match run.status:
        case RunStatus.PLANNED | RunStatus.DEFERRED:
            return _waiting(state, run, now)
        case RunStatus.AWAITING_APPROVAL:
            return _awaiting(state, run, now)
        case RunStatus.RUNNING:
            return _running(state, run, now)
        case RunStatus.VERIFYING:
            return _verifying(state, run)
        case RunStatus.ROLLING_BACK:
            return _rolling_back(state, run, now)
        case RunStatus.NEEDS_PERSON:
            return Await(None)
        case _:
            return End(run.status, run.reason)


def _resolved(state: State, run: Run) -> Incident | None:
    incident = state.incidents.get(run.incident)
    return incident if incident is not None and incident.resolved_at is not None else None


def bound_to_finish(run: Run) -> bool:
    """Whether the run is past the point from which its author wants every step made, whatever resolves or is removed."""
    return run.plan.atomic_from is not None and run.step >= run.plan.atomic_from


def _stops(state: State, run: Run) -> bool:
    """Whether the end of the alert keeps this run from doing more."""
    if run.plan.continue_on_resolve or bound_to_finish(run):
        return False
    return _resolved(state, run) is not None


def _waiting(state: State, run: Run, now: float) -> Effect:
    if _stops(state, run):
        return End(RunStatus.CANCELLED, "the alert resolved before anything was done")
    gives_up = run.planned.at + run.plan.give_up
    if now >= gives_up:
        return End(RunStatus.EXPIRED, f"held back until its time was over; last reason: {run.reason or 'none'}")
    if run.not_before is not None and now < run.not_before:
        return Await(min(run.not_before, gives_up))
    return AskGuards()


def _awaiting(state: State, run: Run, now: float) -> Effect:
    if _stops(state, run):
        return End(RunStatus.CANCELLED, "the alert resolved before anybody approved")
    if run.approval_expires is not None and now >= run.approval_expires:
        return Expire()
    return Await(run.approval_expires)


def _running(state: State, run: Run, now: float) -> Effect:
    if run.intent is not None:
        return Interrupted()
    if run.ordered:
        return Issue(run.step, run.attempt + 1, by=run.ordered)
    if run.doubt:
        return _in_doubt(run, now)
    if _late(run, now):
        return _give_way(state, run, "its time limit passed", RunStatus.EXPIRED)
    if run.step < 0:
        return End(RunStatus.CANCELLED, "the alert resolved before the first step") if _stops(state, run) else FIRST
    return _after_step(state, run, now)


def _after_step(state: State, run: Run, now: float) -> Effect:
    step = run.plan.steps[run.step]
    match run.results[run.step]:
        case Result.OK:
            return _advance(state, run)
        case _ if _may_retry(run):
            if _stops(state, run):
                return StartVerify()
            rest = run.outcome_at + step.delay
            return Issue(run.step, run.attempt + 1) if now >= rest else Await(rest)
        case _ if step.on_error is OnError.CONTINUE:
            return _advance(state, run)
        case _:
            return _give_way(state, run, f"step {run.step + 1} ({step.name}): {run.reason}", RunStatus.FAILED)


def _may_retry(run: Run) -> bool:
    step = run.plan.steps[run.step]
    match step.effect:
        case EffectClass.ONCE:
            return False
        case EffectClass.READ if run.results[run.step] is Result.UNKNOWN:
            return run.attempt < max(step.attempts, READ_ATTEMPTS)
        case _:
            return run.attempt < step.attempts and run.outcome is not None and run.outcome.retryable


def _advance(state: State, run: Run) -> Effect:
    following = run.step + 1
    if following < len(run.plan.steps) and not _stops(state, run):
        return Issue(following, 1)
    return StartVerify()


def rest_until(run: Run) -> float:
    """When the attempt in doubt can no longer arrive (unix s)."""
    return run.outcome_at + run.plan.steps[run.step].timeout + ISSUE_WITHIN + GRACE


def _in_doubt(run: Run, now: float) -> Effect:
    step = run.plan.steps[run.step]
    if step.effect is not EffectClass.SAFE:
        return Reconcile()
    if _over(run, now):
        return park(run, f"step {run.step + 1} ({step.name}) may or may not have happened, and {_NOT_AGAIN}", now)
    if run.attempt < max(step.attempts, SAFE_ATTEMPTS) and not _late(run, now):
        return _again(run, now)
    return park(run, f"step {run.step + 1} ({step.name}) may or may not have happened: {run.reason}", now)


def park(run: Run, reason: str, now: float) -> Park | Await:
    """Stop for a person; a run that lets its locks go waits until nothing of it can arrive any more (G6)."""
    if run.plan.on_unknown is OnUnknown.RELEASE and now < rest_until(run):
        return Await(rest_until(run))
    return Park(reason)


_NOT_AGAIN = "the time of its effect is over, so it is not made again"


def _over(run: Run, now: float) -> bool:
    """Whether the effect of the attempt in doubt, if there was one, has come to its own end (G10)."""
    return run.expires_at is not None and now >= run.expires_at


def _again(run: Run, now: float) -> Issue | Await:
    """The next attempt of the step in doubt, once the earlier one can no longer arrive."""
    rest = rest_until(run)
    return Issue(run.step, run.attempt + 1) if now >= rest else Await(rest)


def _late(run: Run, now: float) -> bool:
    return run.deadline is not None and now >= run.deadline


def after_reconcile(run: Run, found: Found, now: float) -> Effect:
    """What follows when the target was asked about an attempt in doubt, and what it `found`.

    Present is recorded as an outcome by the caller and never gets here. A run that lets its locks go keeps them while the
    attempt is seen at work, up to its own time limit (G6, G12).
    """
    step = run.plan.steps[run.step]
    if found.running and run.plan.on_unknown is OnUnknown.RELEASE and not _late(run, now):
        return Await(now + RUNNING_AGAIN)
    absent = step.effect is EffectClass.KEYED and found.presence is Presence.ABSENT
    if absent and _over(run, now):
        return park(run, f"step {run.step + 1} ({step.name}) is not there, and {_NOT_AGAIN}", now)
    if absent and run.attempt < max(step.attempts, KEYED_ATTEMPTS) and not _late(run, now):
        return _again(run, now)
    return park(run, f"step {run.step + 1} ({step.name}) may or may not have happened: {found.sentence}", now)


def _verifying(state: State, run: Run) -> Effect:
    match run.verdict:
        case "":
            return Look()
        case "recovered":
            unfinished = any(result is None for result in run.results) or run.results[run.step] is not Result.OK
            midway = " (the alert resolved midway)" if unfinished and _resolved(state, run) else ""
            return End(RunStatus.SIMULATED if run.dry else RunStatus.SUCCEEDED, run.reason + midway)
        case "not_recovered":
            return _give_way(state, run, run.reason, RunStatus.FAILED)
        case _:
            return End(RunStatus.SIMULATED if run.dry else RunStatus.UNVERIFIED, run.reason)


def _give_way(state: State, run: Run, reason: str, result: RunStatus) -> Effect:
    if OnFailure.ROLLBACK in run.plan.on_failure and own_undos(state, run):
        return Rollback(reason)
    return End(result, reason)


def _rolling_back(state: State, run: Run, now: float) -> Effect:
    left = own_undos(state, run)
    for undo in left:
        if undo.next_at is None:
            return TakeBack(undo.id)
        if undo.tries < ROLLBACK_TRIES:
            return TakeBack(undo.id) if now >= undo.next_at else Await(undo.next_at)
    if left:
        return End(RunStatus.FAILED, f"{run.reason}; taking back step {left[0].step + 1} keeps failing and goes on")
    return End(RunStatus.ROLLED_BACK, run.reason)


def own_undos(state: State, run: Run) -> tuple[Undo, ...]:
    """What this run left behind and has not taken back, newest first."""
    mine = [undo for undo in state.undos.values() if undo.run == run.id]
    return tuple(sorted(mine, key=lambda undo: undo.step, reverse=True))
