"""What a fact entails, appended together with it: the end of an incident, the next rung, the messages to people.

A consequence is never a second thought of the engine: it is computed here, from the state after the fact, and becomes
durable in the same append. So there is no moment at which a run has failed and nobody is going to be told.
"""

from __future__ import annotations

from collections.abc import Sequence

from remediator.core import entries as e
from remediator.core.anew import planned_anew
from remediator.core.breaker import demotions, is_new, lowered, relapse_of, restorations, track_of
from remediator.core.fleet import USUAL, FleetLimits, enforced, is_storm, matched_within
from remediator.core.holds import RELEASE, clock_hold
from remediator.core.losses import lost
from remediator.core.planning import Planner, Unplannable, plan_run
from remediator.core.rules import Mode, OnFailure
from remediator.core.state import Incident, Run, RunStatus, State
from remediator.core.telling import length
from remediator.core.tellings import Routing, next_receiver, told_of
from remediator.core.verification import NOT_RECOVERED, UNKNOWN

__all__ = ["Routing", "consequences"]


def consequences(
    before: State,
    after: State,
    fact: e.AnyFact,
    planner: Planner,
    routing: Routing,
    fleet: FleetLimits = USUAL,
) -> list[e.AnyFact]:
    """What else has to be in the same append as `fact`; `before` and `after` are the states around it."""
    match fact:
        case e.RunEnded():
            return _run_ended(before, after, fact, planner)
        case e.IncidentOpened() | e.RunRelapsed() | e.RuleDemoted():
            return _brakes(before, after, fact, planner)
        case e.ApprovalRefused() | e.ApprovalExpired():
            return _approval_over(fact)
        case e.Escalated() | e.RunReminded() | e.ApprovalRequested() | e.IncidentClosed() | e.RunStarted():
            return told_of(before, after, fact, routing)
        case e.MessageOutcome():
            return next_receiver(before, after, fact, routing)
        case e.StepOutcome() | e.PersonDecided():
            return lost(before, after, fact, planner)
        case _:
            return _of_the_fleet(before, after, fact, planner, fleet)


def _of_the_fleet(
    before: State, after: State, fact: e.AnyFact, planner: Planner, fleet: FleetLimits
) -> list[e.AnyFact]:
    """The brakes over all rules: a storm begins, care is due."""
    match fact:
        case e.NotificationDisposed():
            return [*_storm(after, fleet), *_withheld(before, after, fact, planner)]
        case e.StormBegan():
            return _storm_called(fact, planner, fleet)
        case e.ServiceStarted() if before.served and after.silence >= fleet.first_runs.after:
            reason = f"nothing was written for {length(after.silence)} before this start"
            return [e.CautionBegan(scope="all", reason=reason, outage=after.silence)]
        case e.PauseCleared():
            return _pause_over(before, after, fact, fleet)
        case e.SafeModeEntered():
            return [e.Escalated(incident="", reason=f"safe mode: {fact.reason}; {RELEASE}")]
        case e.ClockAnomaly():
            return _clock_held(before, after)
        case _:
            return []


def _storm(after: State, fleet: FleetLimits) -> list[e.AnyFact]:
    limits, now = fleet.storm, after.last
    if now is None or not is_storm(after, limits, now):
        return []
    episodes = matched_within(after, enforced(limits.episodes.window), now)
    return [e.StormBegan(episodes=episodes, limit=limits.episodes.count, window=limits.episodes.window)]


# People are called once in so long (s) for alerts that were withheld, however many notifications are cut.
CALL_AGAIN = 4 * 3600.0
WITHHELD = "truncated"


def _withheld(before: State, after: State, fact: e.NotificationDisposed, planner: Planner) -> list[e.AnyFact]:
    """A cut notification says that alerts exist which nobody gave us (reliability.md §3.2): people have to know."""
    if not fact.truncated or after.last is None or not _may_touch(planner):
        return []
    last = before.escalated.get(WITHHELD)
    if last is not None and after.last.at - last < CALL_AGAIN:
        return []
    reason = (
        f"Alertmanager withheld {fact.truncated} alerts of a notification, and nothing is done about those; raise "
        "max_alerts of its webhook, or let it group less"
    )
    return [e.Escalated(incident="", reason=reason, about=WITHHELD)]


def _may_touch(planner: Planner) -> bool:
    """Whether any rule may do more than rehearse."""
    rules = max((rule.mode for rule in planner.ruleset.rules), default=Mode.OFF)
    return min(rules, planner.server_mode) > Mode.DRY_RUN


def _storm_called(fact: e.StormBegan, planner: Planner, fleet: FleetLimits) -> list[e.AnyFact]:
    """One call for the whole storm; none where nothing would have been touched anyway."""
    if not _may_touch(planner):
        return []
    reason = (
        f"storm: {fact.episodes} alerts began to fire within {length(fact.window)}, and {fact.limit} are taken for "
        "separate faults; look for one cause. No new runs begin until it is over and "
        f"{length(fleet.storm.cooldown)} have passed"
    )
    return [e.Escalated(incident="", reason=reason, about="storm")]


def _clock_held(before: State, after: State) -> list[e.AnyFact]:
    """One call, however often the clock is stepped while it holds."""
    hold = clock_hold(after, after.last) if after.last is not None and clock_hold(before, after.last) is None else None
    return [e.Escalated(incident="", reason=f"clock: {hold.sentence}")] if hold is not None else []


def _pause_over(before: State, after: State, fact: e.PauseCleared, fleet: FleetLimits) -> list[e.AnyFact]:
    pause, now = before.pauses.get(fact.scope), after.last
    if pause is None or now is None or now.at - pause.at < fleet.first_runs.after:
        return []
    return [e.CautionBegan(scope=fact.scope, reason=f"a pause of {length(now.at - pause.at)} has ended")]


# Facts of any other kind entail nothing; nearly all are, in an alert storm, and then the planner need not be set up.
ENTAILING = frozenset(
    {
        e.RunEnded,
        e.ApprovalRefused,
        e.ApprovalExpired,
        e.Escalated,
        e.RunReminded,
        e.ApprovalRequested,
        e.IncidentClosed,
        e.IncidentOpened,
        e.RunRelapsed,
        e.RuleDemoted,
        e.StepOutcome,
        e.PersonDecided,
    }
    | {e.NotificationDisposed, e.StormBegan, e.ServiceStarted, e.PauseCleared, e.RunStarted, e.MessageOutcome}
    | {e.SafeModeEntered, e.ClockAnomaly}
)


def _approval_over(fact: e.ApprovalRefused | e.ApprovalExpired) -> list[e.AnyFact]:
    if isinstance(fact, e.ApprovalRefused):
        why = f"refused by {fact.by}" + (f": {fact.reason}" if fact.reason else "")
        return [e.RunEnded(incident=fact.incident, run=fact.run, result=RunStatus.DENIED.value, reason=why)]
    reason = "nobody approved in time"
    return [e.RunEnded(incident=fact.incident, run=fact.run, result=RunStatus.EXPIRED.value, reason=reason)]


_CLOSING = {
    RunStatus.SUCCEEDED: "recovered",
    RunStatus.UNVERIFIED: "unverified",
    RunStatus.SIMULATED: "simulated",
    RunStatus.DENIED: "denied",
    RunStatus.EXPIRED: "expired",
    RunStatus.CANCELLED: "cancelled",
    RunStatus.CLOSED_BY_PERSON: "closed_by_person",
}


def _run_ended(before: State, after: State, fact: e.RunEnded, planner: Planner) -> list[e.AnyFact]:
    run, incident = before.runs[fact.run], after.incidents.get(fact.incident)
    if incident is None:
        return []
    result = RunStatus(fact.result)
    facts: list[e.AnyFact] = [*_counted(after, run, fact, planner)]
    if result in {RunStatus.FAILED, RunStatus.ROLLED_BACK}:
        following = _next_rung(run, incident, planner, after)
        if following is not None:
            return [*facts, following]
    if result is RunStatus.CANCELLED and (anew := _asked_anew(planner, before, run)) is not None:
        return [*facts, anew]
    told = any(isinstance(one, e.RuleDemoted) and is_new(one, after) for one in facts)
    if _needs_people(run, result) and not told:
        facts.append(e.Escalated(incident=incident.id, run=run.id, reason=f"{result.value}: {fact.reason}"))
    closing = _CLOSING.get(result, "failed")
    if result is RunStatus.CANCELLED and incident.resolved_at is not None:
        closing = "resolved"
    if result is RunStatus.UNVERIFIED and run.plan.is_report:
        closing = "reported"
    facts.append(e.IncidentClosed(incident=incident.id, result=closing, reason=fact.reason))
    return facts


def _needs_people(run: Run, result: RunStatus) -> bool:
    if run.dry:
        return False
    if result is RunStatus.EXPIRED:
        return True
    if result is RunStatus.UNVERIFIED:
        return bool(run.plan.verify) and run.verdict == UNKNOWN
    return result in {RunStatus.FAILED, RunStatus.ROLLED_BACK} and OnFailure.ESCALATE in run.plan.on_failure


def _next_rung(run: Run, incident: Incident, planner: Planner, after: State) -> e.RunPlanned | None:
    """The next playbook of the ladder, only after a verification that *saw* no recovery."""
    rule = planner.ruleset.rule(run.plan.rule)
    if run.verdict != NOT_RECOVERED or rule is None or run.plan.rung + 1 >= len(rule.ladder):
        return None
    if incident.resolved_at is not None:
        return None
    mode = min(rule.mode, planner.server_mode, Mode.parse(run.mode))
    mode = lowered(mode, after, rule.name, incident.target_text, incident.changed_at)
    try:
        return plan_run(
            planner,
            rule,
            run.plan.rung + 1,
            incident.labels,
            incident=incident.id,
            number=len(incident.runs) + 1,
            mode=mode,
        )
    except Unplannable:
        return None


def _asked_anew(planner: Planner, before: State, run: Run) -> e.RunPlanned | None:
    """What is asked about instead of a plan that is void, in the same append."""
    try:
        return planned_anew(planner, before, run)
    except Unplannable:
        return None


def _counted(after: State, run: Run, fact: e.RunEnded, planner: Planner) -> Sequence[e.RuleDemoted | e.RuleRestored]:
    """What the breaker makes of a run's end; nothing if the run does not count."""
    incident = after.incidents[fact.incident]
    rule, target = run.plan.rule, incident.target_text
    own = track_of(after, rule, target)
    if own is None or own.last != run.id:
        return ()
    if fact.result == RunStatus.SUCCEEDED:
        return restorations(after, rule, target, run.id)
    if own.may_relapse:
        return ()
    loaded = planner.ruleset.rule(rule)
    return demotions(
        after,
        rule=rule,
        target=target,
        run=run.id,
        incident=incident.id,
        why=f"{fact.result}: {fact.reason}",
        brakes=loaded.guards.brakes if loaded is not None else run.plan.guards.brakes,
        mode=min(loaded.mode if loaded is not None else Mode.AUTO, planner.server_mode),
    )


def _brakes(
    before: State, after: State, fact: e.IncidentOpened | e.RunRelapsed | e.RuleDemoted, planner: Planner
) -> list[e.AnyFact]:
    """An alert that comes back too soon; what that does to the breaker; and that people hear of it once."""
    if isinstance(fact, e.RuleDemoted):
        where = f" on {fact.target}" if fact.target else ""
        reason = f"{fact.rule}{where} may go no further than {fact.mode}: {fact.reason}"
        return [e.Escalated(incident=fact.incident, run=fact.run, reason=reason)] if is_new(fact, before) else []
    rule = planner.ruleset.rule(fact.rule)
    if rule is None:
        return []
    if isinstance(fact, e.IncidentOpened):
        relapse = relapse_of(before, fact, after.incidents[fact.incident].opened, rule.guards.brakes.relapse)
        return [relapse] if relapse is not None else []
    return [
        *demotions(
            after,
            rule=fact.rule,
            target=fact.target,
            run=fact.run,
            incident=fact.incident,
            why=f"helped, and the alert came back after {length(fact.after)}",
            brakes=rule.guards.brakes,
            mode=min(rule.mode, planner.server_mode),
        )
    ]
