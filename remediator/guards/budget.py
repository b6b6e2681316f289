"""The budget of the whole service: at most N live runs begin in any window, over all rules and targets."""

from __future__ import annotations

from remediator.core.durations import format_duration
from remediator.core.facts import Facts
from remediator.core.fleet import enforced
from remediator.core.verdicts import Verdict, allow, defer
from remediator.guards.wording import clock_time


class BudgetGuard:
    """An exact sliding log, spent when a run begins; a run by hand spends it too. Nothing gives it back."""

    name = "budget"
    summary = "at most N live runs begin in any window, over all rules and targets"

    def check(self, facts: Facts) -> Verdict:
        """Defers until the oldest counted run leaves the window."""
        limit = facts.fleet.budget
        window = enforced(limit.window)
        recent = sorted(age for grant in facts.all_grants if (age := facts.age(grant.taken)) < window)
        text = f"{limit.count} per {format_duration(limit.window)} over all rules"
        if len(recent) < limit.count:
            return allow(self.name, f"{text}: used {len(recent)}")
        until = facts.moment.at + window - recent[limit.count - 1]
        return defer(self.name, f"{text}: used {len(recent)}; clears {clock_time(until)}", until)
