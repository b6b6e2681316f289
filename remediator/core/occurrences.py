"""From a schedule to incidents: which occurrence is due, and what becomes of it. Pure; the time is passed in.

Each occurrence is decided once: the state remembers the last one of every rule, and the next has to be later. A wall
clock that is set back brings none a second time; one that is set forward makes those it jumped over missed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    if min(rule.mode, planner.server_mode) is Mode.OFF:
        return [_told(rule, due, "suppressed", "its mode is off")]
    if not rule.targets:
        return [_told(rule, due, "suppressed", "it is for each node, and the settings name none")]
    found = [_begun(planner, state, rule, schedule, Due(at=due, now=now, target=target)) for target in rule.targets]
    return _together(rule, due, found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One target of a rule that has come due."""

    at: float
    now: float
    target: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What becomes of one target: its plan and incident, or why there is none."""

    target: str
    disposition: str
    reason: str
    incident: str = ""
    opened: tuple[e.IncidentOpened, ...] = ()
    planned: tuple[e.RunPlanned, ...] = ()


# Which word stands for all targets together: the first of these that one of them has.
_FIRST = ("planned", "overlapping", "quarantined")


def _together(rule: Rule, due: float, found: Sequence[Begun]) -> Sequence[e.AnyFact]:
    """One word on the occurrence, between the incidents and the plans of all its targets."""
    word = min((one.disposition for one in found), key=_FIRST.index)
    incident = next(one.incident for one in found if one.disposition == word)
    alone = len(found) == 1
    reason = "; ".join(one.reason if alone else f"{one.target}: {one.disposition}: {one.reason}" for one in found)
    opened = [fact for one in found for fact in one.opened]
    planned = [fact for one in found for fact in one.planned]
    return [*opened, _told(rule, due, word, reason, incident), *planned]


def _begun(planner: Planner, state: State, rule: Rule, schedule: Schedule, due: Due) -> Begun:
    target = target_text(dict(due.target))
    running = state.open_by_key.get((rule.name, target))
    if running:
        reason = f"{running} is still at work on {target}"
        return Begun(target=target, disposition="overlapping", reason=reason, incident=running)
    mode = lowered(min(rule.mode, planner.server_mode), state, rule.name, target, due.now)
    name = incident_id(rule.name, f"due:{due.at:.0f}" if len(rule.targets) == 1 else f"due:{due.at:.0f}:{target}")
    try:
        planned = plan_run(planner, rule, 0, due.target, incident=name, number=1, mode=mode)
    except Unplannable as fault:
        return Begun(target=target, disposition="quarantined", reason=str(fault))
    opened = e.IncidentOpened(
        incident=name,
        rule=rule.name,
        target=dict(due.target),
        episode="",
        labels=dict(due.target),
        severity=schedule.severity,
        summary=f"due {clock_time(due.at)} by its schedule {schedule.text}",
    )
    late = due.now - due.at
    made_up = f", {length(late)} late" if late > ON_TIME else ""
    reason = f"plan {planned.digest}, mode {mode.word}{made_up}"
    return Begun(
        target=target, disposition="planned", reason=reason, incident=name, opened=(opened,), planned=(planned,)
    )


def refused(told: e.ScheduleDue, reason: str) -> e.ScheduleDue:
    """The fact that puts an occurrence aside that cannot be put on record as `told`."""
    return e.ScheduleDue(rule=told.rule, due=told.due, disposition="quarantined", reason=reason[:300])


def _told(rule: Rule, due: float, disposition: str, reason: str, incident: str = "") -> e.ScheduleDue:
    return e.ScheduleDue(rule=rule.name, due=due, disposition=disposition, reason=reason, incident=incident)
