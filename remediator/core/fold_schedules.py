"""How entries about schedules change the state: each occurrence of a rule is decided once, in order. Part of `fold`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from remediator.core import entries as e
from remediator.core.schedules import Schedule
from remediator.core.state import Scheduled, State
from remediator.core.telling import clock_time
from remediator.errors import IllegalEntry


def schedule_set(state: State, fact: e.ScheduleSet, at: float) -> State:
    """Occurrences count from `at` (unix s) on."""
    text = Schedule(cron=fact.cron, time_zone=fact.time_zone).text
    return _kept(state, fact.rule, Scheduled(text=text, last=at))


def schedule_due(state: State, fact: e.ScheduleDue) -> State:
    """The occurrence is decided; IllegalEntry if it, or a later one, was before."""
    known = state.schedules.get(fact.rule)
    if known is None or fact.due <= known.last:
        raise IllegalEntry(
            f"the occurrence {clock_time(fact.due)} of {fact.rule} was decided before, or is not awaited"
        )
    return _kept(state, fact.rule, msgspec.structs.replace(known, last=fact.due))


def without_unloaded(state: State, rules: Sequence[str]) -> State:
    """Rules that are no longer loaded have no schedule; if they come back, they begin anew."""
    gone = [name for name in state.schedules if name not in rules]
    schedules = state.schedules
    for name in gone:
        schedules = schedules.delete(name)
    return msgspec.structs.replace(state, schedules=schedules) if gone else state


def _kept(state: State, rule: str, scheduled: Scheduled) -> State:
    return msgspec.structs.replace(state, schedules=state.schedules.set(rule, scheduled))
