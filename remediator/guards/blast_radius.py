"""The blast radius: at most N distinct targets of one rule in a window. One more is not a target's problem any more."""

from __future__ import annotations

from remediator.core.durations import format_duration
from remediator.core.facts import Facts
from remediator.core.fleet import enforced
from remediator.core.plans import target_text
from remediator.core.verdicts import Verdict, allow, defer
from remediator.guards.wording import clock_time


class BlastRadiusGuard:
    """Counts the distinct targets touched in the window; the same target again does not widen it."""

    name = "blast_radius"
    summary = "at most N distinct targets in any window"

    def check(self, facts: Facts) -> Verdict:
        """Defers, and the engine escalates once, when this target would be one too many."""
        limit = facts.limits.blast_radius
        window = enforced(limit.window)
        mine = target_text(facts.run.plan.target)
        last: dict[str, float] = {}
        for grant in facts.grants:
            age = facts.age(grant.taken)
            if age < window and grant.target != mine:
                last[grant.target] = min(age, last.get(grant.target, age))
        text = f"{limit.count} targets per {format_duration(limit.window)}"
        if len(last) < limit.count:
            return allow(self.name, f"{text}: {len(last)} others touched")
        ages = sorted(last.values())
        until = facts.moment.at + window - ages[limit.count - 1]
        return defer(
            self.name,
            f"{text}: {len(last)} others touched already, so this is bigger than one target; clears {clock_time(until)}",
            until,
        )
