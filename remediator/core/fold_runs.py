"""How entries about runs and undos change the state: the second half of `fold`.

The rules of the record that are enforced here, because breaking one would make the journal lie:
a run is planned once and starts only from waiting; an effect needs a started run, no attempt in the air and no other
step in doubt; a `once` step is ordered again only by a person; an attempt has one outcome; locks are taken all or none
and held until the run's last word; an effect's undo is registered by its intent and stays until nothing is left to be
taken back; a run in doubt has no last word, and without a recovery that was seen none is `succeeded`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import msgspec

from remediator.core import entries as e
from remediator.core import grants
from remediator.core.breaker import count_run, fold_breaker
from remediator.core.forgetting import opened_at
from remediator.core.messages import remembered
from remediator.core.outcomes import EffectClass, Result, UndoResult
from remediator.core.plans import AGAIN, target_text
from remediator.core.rules import OnUnknown
from remediator.core.state import WORKING, Moment, Run, RunStatus, State, Undo
from remediator.core.verification import RECOVERED
from remediator.errors import IllegalEntry

replace = msgspec.structs.replace

_LAST_WORDS = frozenset(status.value for status in RunStatus if status.final)
_HELD_BACK = frozenset({RunStatus.PLANNED, RunStatus.DEFERRED})


def fold_run(state: State, fact: e.Fact, moment: Moment) -> State:
    """The state after a fact about a run or an undo."""
    folder = _FOLDERS.get(type(fact))
    if folder is None:
        raise IllegalEntry(f"'{e.kind_of(fact)}' is not a kind of entry that this version knows")
    return folder(state, fact, moment)


def _run(state: State, name: str) -> Run:
    run = state.runs.get(name)
    if run is None:
        raise IllegalEntry(f"run {name} is not under way")
    return run


def _run_at(state: State, name: str, allowed: frozenset[RunStatus], what: str) -> Run:
    run = _run(state, name)
    if run.status not in allowed or run.intent is not None:
        raise IllegalEntry(f"{what} does not fit run {name}, which is {run.status.value}")
    return run


def _put(state: State, run: Run, *, at: float) -> State:
    state = replace(state, runs=state.runs.set(run.id, run))
    incident = state.incidents.get(run.incident)
    if incident is None:
        return state
    changed = replace(incident, status=run.status.value, sentence=run.reason or incident.sentence, changed_at=at)
    return replace(state, incidents=state.incidents.set(incident.id, changed))


def _planned(state: State, fact: e.RunPlanned, moment: Moment) -> State:
    if fact.run in state.runs:
        raise IllegalEntry(f"run {fact.run} was planned twice")
    incident = state.incidents.get(fact.incident)
    if incident is None:
        raise IllegalEntry(f"run {fact.run} belongs to no open incident")
    run = Run(
        id=fact.run,
        incident=fact.incident,
        plan=fact.plan,
        digest=fact.digest,
        dry=fact.dry,
        mode=fact.mode,
        planned=moment,
        place=state.seq + 1,
        holder=moment.boot,
        results=(None,) * len(fact.plan.steps),
        undo_tries=(0,) * len(fact.plan.steps),
    )
    grown = replace(incident, runs=(*incident.runs, run.id), dry=fact.dry)
    state = replace(state, incidents=state.incidents.set(incident.id, grown))
    return _put(state, run, at=moment.at)


def _decided(state: State, fact: e.RunDecided, moment: Moment) -> State:
    run = _run_at(state, fact.run, _HELD_BACK, "a decision")
    strictest = max(fact.verdicts, key=lambda verdict: verdict.answer, default=None)
    changed = replace(
        run,
        decided=tuple(sys.intern(f"{verdict.guard}={verdict.answer.word}") for verdict in fact.verdicts),
        status=RunStatus.DEFERRED if fact.answer == "defer" else RunStatus.PLANNED,
        not_before=fact.until,
        reason=strictest.sentence if strictest else "",
    )
    return _put(state, changed, at=moment.at)


def _approval_requested(state: State, fact: e.ApprovalRequested, moment: Moment) -> State:
    run = _run_at(state, fact.run, _HELD_BACK, "a request for approval")
    asking = replace(run, status=RunStatus.AWAITING_APPROVAL, approval_expires=fact.expires)
    return _put(state, asking, at=moment.at)


def _approval_given(state: State, fact: e.ApprovalGiven, moment: Moment) -> State:
    run = _run(state, fact.run)
    if run.status is not RunStatus.AWAITING_APPROVAL or fact.digest != run.digest:
        raise IllegalEntry(f"approval of {fact.run} fits no waiting plan")
    approved = replace(run, status=RunStatus.PLANNED, approved_by=fact.by, approval_expires=None, decided=())
    return _put(state, approved, at=moment.at)


def _approval_over(state: State, fact: e.ApprovalRefused | e.ApprovalExpired, moment: Moment) -> State:
    run = _run_at(state, fact.run, frozenset({RunStatus.AWAITING_APPROVAL}), "an answer to a request for approval")
    return _put(state, replace(run, approval_expires=None, status=RunStatus.PLANNED), at=moment.at)


def _started(state: State, fact: e.RunStarted, moment: Moment) -> State:
    run = _run_at(state, fact.run, frozenset({RunStatus.PLANNED}), "a start")
    held = [lock for lock in fact.locks if lock in state.locks]
    if held and not fact.dry:
        raise IllegalEntry(f"'{held[0]}' is held by {state.locks[held[0]]}")
    started = replace(run, status=RunStatus.RUNNING, started=moment, deadline=fact.deadline, reason="", not_before=None)
    state = _put(state, started, at=moment.at)
    if fact.dry:
        return state
    locks = state.locks
    for lock in fact.locks:
        locks = locks.set(lock, run.id)
    return grants.taken(replace(state, locks=locks), run, fact, moment)


def _intent(state: State, fact: e.StepIntent, moment: Moment) -> State:
    run = _run_at(state, fact.run, frozenset({RunStatus.RUNNING}), f"the order of step {fact.step}")
    _check_order(run, fact)
    changed = replace(
        run,
        step=fact.step,
        attempt=fact.attempt,
        intent=fact,
        outcome=None,
        issued_at=moment.at,
        expires_at=fact.undo_at,
        ordered="",
        earlier_doubt=run.doubt,
        issuer=moment.boot,
    )
    state = _put(state, changed, at=moment.at)
    return state if fact.undo_at is None or fact.dry else _register_undo(state, changed, fact, moment)


def _check_order(run: Run, fact: e.StepIntent) -> None:
    if not 0 <= fact.step < len(run.plan.steps):
        raise IllegalEntry(f"{fact.run} has no step {fact.step}")
    again = fact.step == run.step
    if run.doubt and not again:
        raise IllegalEntry(f"step {fact.step} of {fact.run} was ordered while step {run.step} is in doubt")
    if again and not fact.by and run.plan.steps[fact.step].effect is EffectClass.ONCE:
        raise IllegalEntry(f"step {fact.step} of {fact.run} is never ordered twice without a person's word")


def _register_undo(state: State, run: Run, fact: e.StepIntent, moment: Moment) -> State:
    """An attempt after another renews the end of the effect.

    Its tries go on counting, so that no name is used twice, and one more is skipped: what comes of taking the earlier
    attempt back says nothing of this one.
    """
    step = run.plan.steps[fact.step]
    tried = run.undo_tries[fact.step]
    undo = Undo(
        run=run.id,
        incident=run.incident,
        step=fact.step,
        action=step.action,
        arguments=step.arguments,
        key=fact.key,
        due_at=fact.undo_at or 0.0,
        since=moment,
        tries=tried + 1 if tried else 0,
        place=opened_at(state, run.incident),
        holder=run.holder,
        rule=run.plan.rule.removeprefix(AGAIN),
        target=target_text(run.plan.target),
        where=run.plan.target,
        does=step.does,
        effect=step.effect,
        kept_in=step.kept_in,
        replaces=step.replaces,
    )
    return replace(state, undos=state.undos.set(undo.id, undo))


def _outcome(state: State, fact: e.StepOutcome, moment: Moment) -> State:
    run = _run(state, fact.run)
    if not admits_outcome(run, fact):
        raise IllegalEntry(f"attempt {fact.attempt} of step {fact.step} of {fact.run} already has its outcome")
    result = fact.outcome.result
    unsettled = result is Result.UNKNOWN and run.plan.steps[fact.step].effect is not EffectClass.READ
    doubt = unsettled or (run.earlier_doubt and result is not Result.OK)
    changed = replace(
        run,
        intent=None,
        outcome=fact.outcome,
        outcome_at=moment.at,
        doubt=doubt,
        ordered="" if result is Result.OK else run.ordered,
        results=(*run.results[: fact.step], result, *run.results[fact.step + 1 :]),
        reason=run.plan.said(fact.step, fact.outcome.sentence, before=run.reason),
    )
    return _settle_undo(_put(state, changed, at=moment.at), fact, doubt=doubt)


def admits_outcome(run: Run, fact: e.StepOutcome) -> bool:
    """Whether this outcome can still be recorded: its attempt is in the air, was unknown so far, or the target told."""
    if (run.step, run.attempt) != (fact.step, fact.attempt):
        return False
    return run.intent is not None or (run.doubt and (fact.reconciled or run.results[run.step] is Result.UNKNOWN))


def _settle_undo(state: State, fact: e.StepOutcome, *, doubt: bool) -> State:
    """An undo stays where the effect happened or may have; it goes where it certainly did not."""
    name = f"{fact.run}/{fact.step}"
    undo = state.undos.get(name)
    if undo is None:
        return state
    match fact.outcome.result:
        case Result.OK:
            undos = state.undos.delete(undo.replaces) if undo.replaces in state.undos else state.undos
            sure = replace(undo, receipt=fact.outcome.receipt, certain=True)
            return replace(state, undos=undos.set(name, sure))
        case Result.UNKNOWN:
            return state
        case _:
            return state if doubt else replace(state, undos=state.undos.delete(name))


def _verify_started(state: State, fact: e.VerifyStarted, moment: Moment) -> State:
    run = _run_at(state, fact.run, frozenset({RunStatus.RUNNING}), "a verification")
    changed = replace(_settled(run), status=RunStatus.VERIFYING, verify_after=fact.after, verify_started=moment.at)
    return _put(state, changed, at=moment.at)


def _verify_concluded(state: State, fact: e.VerifyConcluded, moment: Moment) -> State:
    run = _run_at(state, fact.run, frozenset({RunStatus.VERIFYING}), "the end of a verification")
    if run.verdict:
        raise IllegalEntry(f"the verification of {fact.run} has already ended: {run.verdict}")
    reason = run.plan.judged(fact.sentence, run.reason)
    return _put(state, replace(run, verdict=fact.verdict, reason=reason), at=moment.at)


def _rollback(state: State, fact: e.RollbackStarted, moment: Moment) -> State:
    run = _run_at(state, fact.run, WORKING | {RunStatus.NEEDS_PERSON}, "a rollback")
    return _put(state, replace(_settled(run), status=RunStatus.ROLLING_BACK, reason=fact.reason), at=moment.at)


def _parked(state: State, fact: e.RunParked, moment: Moment) -> State:
    """A parked run keeps its locks, since nobody else may act on what is in doubt, unless its author said otherwise."""
    run = _run_at(state, fact.run, WORKING, "a call for a person")
    parked = replace(run, status=RunStatus.NEEDS_PERSON, reason=fact.reason, parked_at=moment.at, reminded=0)
    if run.plan.on_unknown is OnUnknown.RELEASE:
        state = _let_go(state, run)
    return _put(grants.told_anew(state, run.plan.rule), parked, at=moment.at)


def _let_go(state: State, run: Run) -> State:
    locks = state.locks
    for lock in run.plan.locks:
        if locks.get(lock) == run.id:
            locks = locks.delete(lock)
    return replace(state, locks=locks)


def _take_again(state: State, run: Run) -> State:
    """What a parked run had let go, if it did; the run goes on only with all of it."""
    other = lost_lock(state, run)
    if other:
        raise IllegalEntry(f"{run.id} cannot go on: {other} holds its target now")
    return replace(state, locks=state.locks.update(dict.fromkeys(run.plan.locks, run.id)))


def lost_lock(state: State, run: Run) -> str:
    """The run that has taken a lock which this one let go when it was parked; empty while none has."""
    holders = (state.locks.get(lock, run.id) for lock in run.plan.locks)
    return next((holder for holder in holders if holder != run.id), "")


def _reminded(state: State, fact: e.RunReminded, _moment: Moment) -> State:
    run = _run_at(state, fact.run, frozenset({RunStatus.NEEDS_PERSON}), "another call for a person")
    return replace(state, runs=state.runs.set(run.id, replace(run, reminded=fact.number)))


def _settled(run: Run) -> Run:
    if run.doubt:
        raise IllegalEntry(
            f"step {run.step} of {run.id} is in doubt: it is settled first, by the target or by a person"
        )
    return run


def _person(state: State, fact: e.PersonDecided, moment: Moment) -> State:
    """A person's word settles the doubt, or orders another attempt; the time limit then begins anew."""
    run = _run_at(state, fact.run, frozenset({RunStatus.NEEDS_PERSON}), "a person's decision")
    if fact.decision != "abort":
        state = _take_again(state, run)
    match fact.decision:
        case "mark_done":
            results = (*run.results[: run.step], Result.OK, *run.results[run.step + 1 :])
            resumed = replace(run, status=RunStatus.RUNNING, doubt=False, earlier_doubt=False, results=results)
        case "continue":
            resumed = replace(run, status=RunStatus.RUNNING, ordered=fact.by)
        case "rollback" | "abort":
            return _put(state, replace(run, doubt=False, earlier_doubt=False), at=moment.at)
        case _:
            raise IllegalEntry(f"'{fact.decision}' is not something that a person can decide on a run")
    return _put(state, replace(resumed, deadline=moment.at + run.plan.limit), at=moment.at)


def _ended(state: State, fact: e.RunEnded, moment: Moment) -> State:
    run = _settled(_run(state, fact.run))
    if run.intent is not None:
        raise IllegalEntry(f"{fact.run} cannot end while an attempt is in the air")
    if fact.result not in _LAST_WORDS:
        raise IllegalEntry(f"'{fact.result}' is no last word of a run")
    if fact.result == RunStatus.SUCCEEDED and (run.verdict != RECOVERED or run.dry):
        raise IllegalEntry(f"{fact.run} cannot have succeeded: no recovery was seen")
    run = replace(run, status=RunStatus(fact.result), reason=fact.reason)
    state = remembered(_put(state, run, at=moment.at), run)
    state = replace(_let_go(state, run), runs=state.runs.delete(run.id))
    if run.started is None or run.dry:
        return state
    run_result = RunStatus(fact.result)
    return count_run(grants.over(state, run, run_result, moment), run, run_result, moment)


def _undo_intent(state: State, fact: e.UndoIntent, moment: Moment) -> State:
    name = f"{fact.run}/{fact.step}"
    undo = state.undos.get(name)
    if undo is None:
        raise IllegalEntry(f"nothing is left of {name} to be taken back")
    run = state.runs.get(fact.run)
    if run is not None:
        tries = (*run.undo_tries[: fact.step], fact.attempt, *run.undo_tries[fact.step + 1 :])
        state = replace(state, runs=state.runs.set(run.id, replace(run, undo_tries=tries)))
    return replace(
        state, undos=state.undos.set(name, replace(undo, tries=fact.attempt, cause=fact.cause, at_work=moment.boot))
    )


def _undo_concluded(state: State, fact: e.UndoConcluded, moment: Moment) -> State:
    name = f"{fact.run}/{fact.step}"
    undo = state.undos.get(name)
    if undo is None:
        raise IllegalEntry(f"nothing is left of {name} to be taken back")
    if fact.attempt != undo.tries:  # about an effect that was made anew meanwhile
        return state
    if fact.outcome.result in {UndoResult.FAILED, UndoResult.UNKNOWN}:
        if fact.next_at is None:
            raise IllegalEntry(f"{name} was not taken back, and nothing says when that is tried again")
        failing = undo.failing_since if undo.failing_since is not None else moment.at
        again = replace(undo, next_at=fact.next_at, at_work="", since=moment, failing_since=failing)
        return replace(state, undos=state.undos.set(name, again))
    return replace(state, undos=state.undos.delete(name))


def _noted(state: State, _fact: e.EffectLost, _moment: Moment) -> State:
    """What was lost is taken back all the same: that compares first, and then finds that it is gone."""
    return state


_FOLDERS: dict[type[e.Fact], Callable[..., State]] = {
    e.EffectLost: _noted,
    e.RunPlanned: _planned,
    e.RunDecided: _decided,
    e.ApprovalRequested: _approval_requested,
    e.ApprovalGiven: _approval_given,
    e.ApprovalRefused: _approval_over,
    e.ApprovalExpired: _approval_over,
    e.RunStarted: _started,
    e.StepIntent: _intent,
    e.StepOutcome: _outcome,
    e.VerifyStarted: _verify_started,
    e.VerifyConcluded: _verify_concluded,
    e.RollbackStarted: _rollback,
    e.RunParked: _parked,
    e.RunReminded: _reminded,
    e.PersonDecided: _person,
    e.RunEnded: _ended,
    e.UndoIntent: _undo_intent,
    e.UndoConcluded: _undo_concluded,
    e.RunRelapsed: fold_breaker,
    e.RuleDemoted: fold_breaker,
    e.RuleRestored: fold_breaker,
}
