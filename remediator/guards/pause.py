"""The pause guard: a person's stop, with reason, author and end. It holds back dry runs too, so that they show it."""

from __future__ import annotations

from math import isfinite

from remediator.core.facts import Facts
from remediator.core.verdicts import Verdict, allow, defer
from remediator.guards.wording import clock_time


class PauseGuard:
    """Held back while somebody has paused everything, or this rule."""

    name = "pause"
    summary = "a person's stop, for everything or for one rule"

    def check(self, facts: Facts) -> Verdict:
        """Defers until the pause ends, or without an end until somebody resumes."""
        scopes = ("all", f"rule:{facts.run.plan.rule}")
        found = [pause for scope in scopes if (pause := facts.state.pauses.get(scope)) is not None]
        standing = [(left, pause) for pause in found if (left := pause.left(facts.moment)) > 0]
        if not standing:
            return allow(self.name, "not paused")
        left, pause = max(standing, key=lambda one: one[0])
        until = facts.moment.at + left if isfinite(left) else None
        end = f"until {clock_time(until)}" if until is not None else "until somebody resumes"
        return defer(self.name, f"paused by {pause.by} {end}: {pause.reason}", until)
