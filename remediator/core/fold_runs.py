"""How entries about runs and undos change the state: the second half of `fold`.

The rules of the record that are enforced here, because breaking one would make the journal lie:
a run is planned once; an effect needs a started run and no attempt in the air; an attempt has one outcome; locks are
taken all or none and held until the run's last word; an effect's undo is registered by its intent.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from remediator.core import entries as e
from remediator.core.outcomes import Result, UndoResult
from remediator.core.state import Grant, Moment, Run, RunStatus, State, Undo
from remediator.errors import IllegalEntry

replace = msgspec.structs.replace

# Windows are remembered a little longer than they are enforced (1.01 W + 1 s, reliability.md G5).
MEMORY_FACTOR = 1.05


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


def _put(state: State, run: Run, *, status: str = "", at: float | None = None) -> State:
    state = replace(state, runs=state.runs.set(run.id, run))
    incident = state.incidents.get(run.incident)
    if incident is None:
        return state
    changed = replace(
        incident,
        status=status or run.status.value,
        sentence=run.reason or incident.sentence,
        changed_at=at if at is not None else incident.changed_at,
    )
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
        results=(None,) * len(fact.plan.steps),
    )
    grown = replace(incident, runs=(*incident.runs, run.id), dry=fact.dry)
    state = replace(state, incidents=state.incidents.set(incident.id, grown))
    return _put(state, run, at=moment.at)


def _decided(state: State, fact: e.RunDecided, moment: Moment) -> State:
    run = _run(state, fact.run)
    strictest = max(fact.verdicts, key=lambda verdict: verdict.answer, default=None)
    changed = replace(
        run,
        decided=tuple(f"{verdict.guard}={verdict.answer.word}" for verdict in fact.verdicts),
        status=RunStatus.DEFERRED if fact.answer == "defer" else RunStatus.PLANNED,
        not_before=fact.until,
        reason=strictest.sentence if strictest else "",
    )
    return _put(state, changed, at=moment.at)


def _approval_requested(state: State, fact: e.ApprovalRequested, moment: Moment) -> State:
    run = replace(_run(state, fact.run), status=RunStatus.AWAITING_APPROVAL, approval_expires=fact.expires)
    return _put(state, run, at=moment.at)


def _approval_given(state: State, fact: e.ApprovalGiven, moment: Moment) -> State:
    run = _run(state, fact.run)
    if run.status is not RunStatus.AWAITING_APPROVAL or fact.digest != run.digest:
        raise IllegalEntry(f"approval of {fact.run} fits no waiting plan")
    approved = replace(run, status=RunStatus.PLANNED, approved_by=fact.by, approval_expires=None, decided=())
    return _put(state, approved, at=moment.at)


def _approval_over(state: State, fact: e.ApprovalRefused | e.ApprovalExpired, moment: Moment) -> State:
    run = _run(state, fact.run)
    return _put(state, replace(run, approval_expires=None, status=RunStatus.PLANNED), at=moment.at)


def _started(state: State, fact: e.RunStarted, moment: Moment) -> State:
    run = _run(state, fact.run)
    if run.started is not None:
        raise IllegalEntry(f"run {fact.run} was started twice")
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
    return _grant(replace(state, locks=locks), fact, moment)


def _grant(state: State, fact: e.RunStarted, moment: Moment) -> State:
    horizon = state.longest_window * MEMORY_FACTOR + 60.0
    kept = tuple(
        grant
        for grant in state.grants.get(fact.rule, ())
        if grant.ended is None or moment.since(grant.ended) <= horizon
    )
    grant = Grant(rule=fact.rule, target=fact.target, run=fact.run, incident=fact.incident, taken=moment)
    return replace(state, grants=state.grants.set(fact.rule, (*kept, grant)))


def _intent(state: State, fact: e.StepIntent, moment: Moment) -> State:
    run = _run(state, fact.run)
    if run.started is None or (run.status is RunStatus.NEEDS_PERSON and not fact.by):
        raise IllegalEntry(f"step {fact.step} of {fact.run} was ordered before the run was allowed")
    if run.intent is not None:
        raise IllegalEntry(f"step {fact.step} of {fact.run} was ordered while an attempt is in the air")
    if not 0 <= fact.step < len(run.plan.steps):
        raise IllegalEntry(f"{fact.run} has no step {fact.step}")
    changed = replace(
        run,
        status=RunStatus.RUNNING,
        step=fact.step,
        attempt=fact.attempt,
        intent=fact,
        outcome=None,
        ordered="",
        doubt=False,
    )
    state = _put(state, changed, at=moment.at)
    if fact.undo_at is None or fact.dry:
        return state
    step = run.plan.steps[fact.step]
    undo = Undo(
        run=run.id,
        incident=run.incident,
        step=fact.step,
        action=step.action,
        arguments=step.arguments,
        key=fact.key,
        due_at=fact.undo_at,
    )
    return replace(state, undos=state.undos.set(undo.id, undo))


def _outcome(state: State, fact: e.StepOutcome, moment: Moment) -> State:
    run = _run(state, fact.run)
    final = run.intent is None and not run.doubt
    if final or (run.step, run.attempt) != (fact.step, fact.attempt):
        raise IllegalEntry(f"attempt {fact.attempt} of step {fact.step} of {fact.run} already has its outcome")
    result = fact.outcome.result
    results = (*run.results[: fact.step], result, *run.results[fact.step + 1 :])
    changed = replace(
        run,
        intent=None,
        outcome=fact.outcome,
        outcome_at=moment.at,
        doubt=result is Result.UNKNOWN,
        results=results,
        reason=fact.outcome.sentence,
    )
    return _settle_undo(_put(state, changed, at=moment.at), fact)


def _settle_undo(state: State, fact: e.StepOutcome) -> State:
    """An undo stays where the effect happened or may have; it goes where it certainly did not."""
    name = f"{fact.run}/{fact.step}"
    undo = state.undos.get(name)
    if undo is None:
        return state
    match fact.outcome.result:
        case Result.OK:
            sure = replace(undo, receipt=fact.outcome.receipt, certain=True)
            return replace(state, undos=state.undos.set(name, sure))
        case Result.UNKNOWN:
            return state
        case _:
            return state if undo.certain else replace(state, undos=state.undos.delete(name))


def _verify_started(state: State, fact: e.VerifyStarted, moment: Moment) -> State:
    run = replace(_run(state, fact.run), status=RunStatus.VERIFYING, verify_after=fact.after)
    return _put(state, run, at=moment.at)


def _verify_concluded(state: State, fact: e.VerifyConcluded, moment: Moment) -> State:
    run = replace(_run(state, fact.run), verdict=fact.verdict, reason=fact.sentence)
    return _put(state, run, at=moment.at)


def _rollback(state: State, fact: e.RollbackStarted, moment: Moment) -> State:
    run = replace(_run(state, fact.run), status=RunStatus.ROLLING_BACK, reason=fact.reason, doubt=False)
    return _put(state, run, at=moment.at)


def _parked(state: State, fact: e.RunParked, moment: Moment) -> State:
    run = replace(_run(state, fact.run), status=RunStatus.NEEDS_PERSON, reason=fact.reason)
    return _put(state, run, at=moment.at)


def _person(state: State, fact: e.PersonDecided, moment: Moment) -> State:
    run = _run(state, fact.run)
    if run.status is not RunStatus.NEEDS_PERSON:
        raise IllegalEntry(f"{fact.run} does not wait for a person")
    match fact.decision:
        case "mark_done":
            results = (*run.results[: run.step], Result.OK, *run.results[run.step + 1 :])
            done = replace(run, status=RunStatus.RUNNING, doubt=False, results=results)
            return _put(state, done, at=moment.at)
        case "continue":
            return _put(state, replace(run, status=RunStatus.RUNNING, ordered=fact.by), at=moment.at)
        case _:
            return _put(state, replace(run, doubt=False), at=moment.at)


def _ended(state: State, fact: e.RunEnded, moment: Moment) -> State:
    run = _run(state, fact.run)
    if run.intent is not None:
        raise IllegalEntry(f"{fact.run} cannot end while an attempt is in the air")
    locks = state.locks
    for lock in run.plan.locks:
        if locks.get(lock) == run.id:
            locks = locks.delete(lock)
    state = _put(state, replace(run, status=RunStatus(fact.result), reason=fact.reason), at=moment.at)
    state = replace(state, locks=locks, runs=state.runs.delete(run.id))
    if run.started is None or run.dry:
        return state
    ended = tuple(
        replace(grant, ended=moment) if grant.run == run.id else grant for grant in state.grants.get(run.plan.rule, ())
    )
    return replace(state, grants=state.grants.set(run.plan.rule, ended))


def _undo_intent(state: State, fact: e.UndoIntent, _moment: Moment) -> State:
    name = f"{fact.run}/{fact.step}"
    undo = state.undos.get(name)
    if undo is None:
        raise IllegalEntry(f"nothing is left of {name} to be taken back")
    return replace(state, undos=state.undos.set(name, replace(undo, tries=fact.attempt, cause=fact.cause)))


def _undo_concluded(state: State, fact: e.UndoConcluded, _moment: Moment) -> State:
    name = f"{fact.run}/{fact.step}"
    undo = state.undos.get(name)
    if undo is None:
        raise IllegalEntry(f"nothing is left of {name} to be taken back")
    if fact.outcome.result in {UndoResult.FAILED, UndoResult.UNKNOWN} and fact.next_at is not None:
        return replace(state, undos=state.undos.set(name, replace(undo, next_at=fact.next_at)))
    return replace(state, undos=state.undos.delete(name))


_FOLDERS: dict[type[e.Fact], Callable[..., State]] = {
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
    e.PersonDecided: _person,
    e.RunEnded: _ended,
    e.UndoIntent: _undo_intent,
    e.UndoConcluded: _undo_concluded,
}
