"""How many runs at once: of this rule, and of the whole service."""

from __future__ import annotations

from remediator.core.facts import Facts
from remediator.core.grants import lets_go
from remediator.core.verdicts import Verdict, allow, defer


class ConcurrencyGuard:
    """A run that has started and not ended takes one place, also while it verifies or waits for a person.

    Where the playbook says `on_unknown: release`, a run that waits for a person blocks no others (reliability.md §3.3).
    """

    name = "concurrency"
    summary = "at most N runs at once, per rule and in all"

    def check(self, facts: Facts) -> Verdict:
        """Defers until one of them ends."""
        # Asked of the limiters' memory and not of the runs: in a storm there are thousands of those that only wait.
        granted = (grant for grants in facts.state.grants.values() for grant in grants)
        going = [grant for grant in granted if grant.ended is None and grant.run != facts.run.id]
        going = [grant for grant in going if not lets_go(facts.state, grant)]
        if len(going) >= facts.max_runs:
            return defer(self.name, f"{len(going)} runs are under way and at most {facts.max_runs} may be")
        same = [grant.run for grant in going if grant.rule == facts.run.plan.rule]
        limit = facts.limits.concurrency
        if len(same) >= limit:
            return defer(self.name, f"{limit} at once: {', '.join(sorted(same)[:3])} under way")
        return allow(self.name, f"{limit} at once: {len(same)} under way")
