"""The rate limit: at most N runs per target in any window. An exact sliding log, because buckets let 2N-1 through
(reliability.md finding 3); windows are enforced as 1.01 W + 1 s for the rate error of clocks (G5)."""

from __future__ import annotations

from remediator.core.durations import format_duration
from remediator.core.facts import Facts
from remediator.core.plans import target_text
from remediator.core.verdicts import Verdict
from remediator.guards.sliding import within


class RateLimitGuard:
    """Budget is spent when a run starts and never given back by failure, recovery, restart or reload."""

    name = "rate_limit"
    summary = "at most N runs per target in any window"

    def check(self, facts: Facts) -> Verdict:
        """Defers until the oldest counted run leaves the window."""
        limit = facts.limits.rate_limit
        mine = target_text(facts.run.plan.target)
        text = f"{limit.count} per {format_duration(limit.window)}"
        return within(self.name, text, limit, (grant for grant in facts.grants if grant.target == mine), facts)
