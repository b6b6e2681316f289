"""The cooldown guard: leaves a target alone for a while after it was last touched."""

from __future__ import annotations

from remediator.core.durations import format_duration
from remediator.core.facts import Facts
from remediator.core.plans import target_text
from remediator.core.verdicts import Verdict, allow, defer
from remediator.guards.wording import clock_time, span


class CooldownGuard:
    """Counts from the end of the last live run of this rule on this target; runs of one incident's ladder do not count."""

    name = "cooldown"
    summary = "rest for a target after it was touched"

    def check(self, facts: Facts) -> Verdict:
        """Defers until the rest is over."""
        period = facts.limits.cooldown
        if period <= 0:
            return allow(self.name, "no cooldown is set")
        mine = target_text(facts.run.plan.target)
        touched = [grant for grant in facts.grants if grant.target == mine and grant.incident != facts.run.incident]
        if not touched:
            return allow(self.name, f"{format_duration(period)}: the target was not touched before")
        rested = min(facts.age(grant.ended or facts.moment) for grant in touched)
        if rested >= period:
            return allow(self.name, f"{format_duration(period)}: last touched {span(rested)} ago")
        until = facts.moment.at + period - rested
        return defer(
            self.name,
            f"{format_duration(period)}: last touched {span(rested)} ago; clears {clock_time(until)}",
            until,
        )
