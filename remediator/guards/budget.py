"""The budget of the whole service: at most N live runs begin in any window, over all rules and targets."""

from __future__ import annotations

from remediator.core.durations import format_duration
from remediator.core.facts import Facts
from remediator.core.verdicts import Verdict
from remediator.guards.sliding import within


class BudgetGuard:
    """An exact sliding log, spent when a run begins; a run by hand spends it too. Nothing gives it back."""

    name = "budget"
    summary = "at most N live runs begin in any window, over all rules and targets"

    def check(self, facts: Facts) -> Verdict:
        """Defers until the oldest counted run leaves the window."""
        limit = facts.fleet.budget
        text = f"{limit.count} per {format_duration(limit.window)} over all rules"
        return within(self.name, text, limit, facts.all_grants, facts)
