"""Care at the beginning: after a first start, an outage or a long pause a backlog must not be worked off at once."""

from __future__ import annotations

from remediator.core.durations import format_duration
from remediator.core.facts import Facts
from remediator.core.fleet import cautions
from remediator.core.verdicts import Verdict, allow, defer
from remediator.guards.wording import clock_time


class FirstRunsGuard:
    """Counts the live runs that began since; the fold counts them, so no clock and no restart can lose one."""

    name = "first_runs"
    summary = "after a first start, an outage or a long pause only so many runs begin at first"

    def check(self, facts: Facts) -> Verdict:
        """Defers what would be one too many until the time of care is over."""
        limits = facts.fleet.first_runs
        used = ""
        for scope in cautions(facts.state, facts.run.plan.rule):
            caution = facts.state.cautions[scope]
            passed = facts.age(caution.since)
            if passed >= limits.within:
                continue
            text = f"{limits.runs} within {format_duration(limits.within)} of {clock_time(caution.since.at)}"
            if caution.used >= limits.runs:
                until = facts.moment.at + limits.within - passed
                why = f"{text} ({caution.reason}): used {caution.used}; clears {clock_time(until)}"
                return defer(self.name, why, until)
            used = used or f"{text} ({caution.reason}): used {caution.used}"
        return allow(self.name, used or "no first start, outage or long pause to be careful after")
