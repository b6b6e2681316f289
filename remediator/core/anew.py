"""A request for approval whose rules have changed since: the plan is void, and people are asked anew (§3.5). Pure.

A run that has begun keeps the plan that it was made with (G19). One that only waits for a yes has done nothing, and who
says yes should get what the rules say now.
"""

from __future__ import annotations

from remediator.core import entries as e
from remediator.core.breaker import lowered
from remediator.core.planning import Planner, Unplannable, plan_run
from remediator.core.rules import Mode
from remediator.core.state import Run, RunStatus, State


def outdated(planner: Planner, state: State, run: Run) -> str:
    """Why the plan of a run that waits for a yes is void; empty if it is what the rules say now, or cannot be told."""
    try:
        anew = planned_anew(planner, state, run)
    except Unplannable as fault:
        return (
            f"the rules changed while plan {run.digest} waited for a yes, and no plan can be made of them now: {fault}"
        )
    if anew is None:
        return ""
    return (
        f"the rules changed while plan {run.digest} waited for a yes: it is void, and plan {anew.digest} is asked about"
    )


def planned_anew(planner: Planner, state: State, run: Run) -> e.RunPlanned | None:
    """The run to ask about instead, if the rules make another plan now; Unplannable if they make none.

    None where nothing has changed, and where the alert is over or the rule gone or switched off: then nobody is asked.
    """
    rule, incident = planner.ruleset.rule(run.plan.rule), state.incidents.get(run.incident)
    if run.status is not RunStatus.AWAITING_APPROVAL or planner.ruleset.digest == run.plan.rules_digest:
        return None
    if rule is None or incident is None or incident.resolved_at is not None:
        return None
    mode = min(rule.mode, planner.server_mode, Mode.parse(run.mode))
    if lowered(mode, state, rule.name, incident.target_text, incident.changed_at) <= Mode.DRY_RUN:
        return None
    if run.plan.rung >= len(rule.ladder):
        raise Unplannable(f"rule {rule.name} has only {len(rule.ladder)} playbooks")
    number = len(incident.runs) + 1
    anew = plan_run(planner, rule, run.plan.rung, incident.labels, incident=incident.id, number=number, mode=mode)
    return anew if anew.digest != run.digest else None
