"""The pause guard: a person's stop, with reason, author and end. It holds back dry runs too, so that they show it."""

from __future__ import annotations

from remediator.core.facts import Facts
from remediator.core.verdicts import Verdict, allow, defer
from remediator.guards.wording import clock_time


class PauseGuard:
    """Held back while somebody has paused everything, or this rule."""

    name = "pause"
    summary = "a person's stop, for everything or for one rule"

    def check(self, facts: Facts) -> Verdict:
        """Defers until the pause ends, or without an end until somebody resumes."""
        pause = facts.state.pause_for(facts.run.plan.rule)
        if pause is None or (pause.until is not None and pause.until <= facts.moment.at):
            return allow(self.name, "not paused")
        end = f"until {clock_time(pause.until)}" if pause.until is not None else "until somebody resumes"
        return defer(self.name, f"paused by {pause.by} {end}: {pause.reason}", pause.until)
