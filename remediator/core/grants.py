"""The places that live runs take in the limiters: taken in the append of the start, ended with the last word. Pure.

Nothing gives a place back: not failure, recovery, cancellation or reload (G5).
"""

from __future__ import annotations

import msgspec

from remediator.core import entries as e
from remediator.core.breaker import worth
from remediator.core.fleet import with_use
from remediator.core.forgetting import is_live, opened_at
from remediator.core.rules import OnUnknown
from remediator.core.state import Grant, Moment, Run, RunStatus, State

replace = msgspec.structs.replace


def taken(state: State, run: Run, fact: e.RunStarted, moment: Moment) -> State:
    """The state after a live run took its place; what no limiter counts any more is forgotten."""
    state = with_use(state, fact.rule)
    kept = tuple(grant for grant in state.grants.get(fact.rule, ()) if is_live(state, grant, moment))
    grant = Grant(
        rule=fact.rule,
        target=fact.target,
        run=fact.run,
        incident=fact.incident,
        taken=moment,
        began=state.seq + 1,
        place=opened_at(state, fact.incident),
        where=run.plan.target,
    )
    return replace(state, grants=state.grants.set(fact.rule, (*kept, grant)))


def over(state: State, run: Run, result: RunStatus, moment: Moment) -> State:
    """The state after a live run's last word; its place stays, with its end and whether it was seen to help."""
    ended = tuple(
        replace(grant, ended=moment, over=state.seq + 1, helped=worth(run, result)) if grant.run == run.id else grant
        for grant in state.grants.get(run.plan.rule, ())
    )
    return replace(state, grants=state.grants.set(run.plan.rule, ended))


def lets_go(state: State, grant: Grant) -> bool:
    """Whether its run waits for a person and its playbook says that it blocks no others (`on_unknown: release`, §3.3)."""
    run = state.runs.get(grant.run)
    return run is not None and run.status is RunStatus.NEEDS_PERSON and run.plan.on_unknown is OnUnknown.RELEASE


def told_anew(state: State, rule: str) -> State:
    """Who is held back by a wave of this rule says why once more: it no longer ends by itself."""
    runs = state.runs
    for run in state.runs.values():
        if run.status is RunStatus.DEFERRED and run.plan.rule == rule and "waves=defer" in run.decided:
            runs = runs.set(run.id, replace(run, decided=()))
    return replace(state, runs=runs)
