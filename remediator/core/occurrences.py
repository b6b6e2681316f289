"""From a schedule to incidents: which occurrence is due, and what becomes of it. Pure; the time is passed in.

Each occurrence is decided once: the state remembers the last one of every rule, and the next has to be later. A wall
clock that is set back brings none a second time; one that is set forward makes those it jumped over missed.
"""

from __future__ import annotations

from collections.abc import Sequence

from remediator.core import entries as e
from remediator.core.breaker import lowered
from remediator.core.planning import Planner, Unplannable, incident_id, plan_run
from remediator.core.plans import target_text
from remediator.core.rules import Mode, Rule, Ruleset
from remediator.core.schedules import ON_TIME, Schedule
from remediator.core.state import State
from remediator.core.telling import clock_time, length

# A last occurrence so far ahead (s) was decided on by a clock that was wrong: the schedule begins anew.
AHEAD = 86_400.0


def follow(planner: Planner, state: State, name: str, now: float) -> Sequence[e.AnyFact]:
    """What is due of the rule called `name` at `now` (unix s): a schedule that is new or another, or an occurrence."""
    rule = planner.ruleset.rule(name)
    if rule is None or rule.schedule is None:
        return []
    schedule, known = rule.schedule, state.schedules.get(name)
    if known is None or known.text != schedule.text or known.last > now + AHEAD:
        return [e.ScheduleSet(rule=name, cron=schedule.cron, time_zone=schedule.time_zone)]
    due = schedule.latest(known.last, now)
    return _occurrence(planner, state, rule, schedule, due, now) if due is not None else []


def scheduled_rules(ruleset: Ruleset) -> list[tuple[Rule, Schedule]]:
    """The rules that start by a schedule, in file order."""
    return [(rule, rule.schedule) for rule in ruleset.rules if rule.schedule is not None]


def next_due(ruleset: Ruleset, now: float) -> float | None:
    """When the next of all schedules comes due (unix s); None if there are none."""
    moments = [schedule.following(now) for _rule, schedule in scheduled_rules(ruleset)]
    return min((moment for moment in moments if moment is not None), default=None)


def _occurrence(
    planner: Planner, state: State, rule: Rule, schedule: Schedule, due: float, now: float
) -> Sequence[e.AnyFact]:
    late = now - due
    if late > schedule.patience:
        on_time = (
            f"{length(late)} late, and by missed: {schedule.missed} at most {length(schedule.patience)} are allowed"
        )
        return [_told(rule, due, "missed", f"it was due {clock_time(due)}: {on_time}")]
    mode = min(rule.mode, planner.server_mode)
    if mode is Mode.OFF:
        return [_told(rule, due, "suppressed", "its mode is off")]
    target = target_text(dict(rule.target))
    running = state.open_by_key.get((rule.name, target))
    if running:
        return [_told(rule, due, "overlapping", f"{running} is still at work on {target}", running)]
    return _opened(planner, rule, schedule, due, late, lowered(mode, state, rule.name, target, now))


def _opened(
    planner: Planner, rule: Rule, schedule: Schedule, due: float, late: float, mode: Mode
) -> Sequence[e.AnyFact]:
    name = incident_id(rule.name, f"due:{due:.0f}")
    try:
        planned = plan_run(planner, rule, 0, rule.target, incident=name, number=1, mode=mode)
    except Unplannable as fault:
        return [_told(rule, due, "quarantined", str(fault))]
    when = f"due {clock_time(due)} by its schedule {schedule.text}"
    opened = e.IncidentOpened(
        incident=name,
        rule=rule.name,
        target=dict(rule.target),
        episode="",
        labels=dict(rule.target),
        severity=schedule.severity,
        summary=when,
    )
    made_up = f", {length(late)} late" if late > ON_TIME else ""
    reason = f"plan {planned.digest}, mode {mode.word}{made_up}"
    return [opened, _told(rule, due, "planned", reason, name), planned]


def refused(told: e.ScheduleDue, reason: str) -> e.ScheduleDue:
    """The fact that puts an occurrence aside that cannot be put on record as `told`."""
    return e.ScheduleDue(rule=told.rule, due=told.due, disposition="quarantined", reason=reason[:300])


def _told(rule: Rule, due: float, disposition: str, reason: str, incident: str = "") -> e.ScheduleDue:
    return e.ScheduleDue(rule=rule.name, due=due, disposition=disposition, reason=reason, incident=incident)
