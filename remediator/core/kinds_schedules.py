"""The kinds of journal entries about rules that start by a schedule. See `kinds` for what all share."""

from __future__ import annotations

from remediator.core.kinds import Fact


class ScheduleSet(Fact, frozen=True, kw_only=True, tag="schedule.set"):
    """From here on `rule` comes due by this schedule; what it would have been before counts for nothing."""

    rule: str
    cron: str
    time_zone: str


class ScheduleDue(Fact, frozen=True, kw_only=True, tag="schedule.due"):
    """An occurrence of a rule's schedule, at `due` (unix s), and what became of it. Each is on record once.

    `disposition` is `planned`, `missed` (too late, by the rule's policy), `overlapping` (its last incident is open),
    `suppressed` (its mode is off) or `quarantined` (it cannot be planned).
    """

    rule: str
    due: float
    disposition: str
    reason: str
    incident: str = ""
