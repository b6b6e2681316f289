"""The clock guard: after a step of a clock nothing that is limited begins for one longest window (G5).

Limiters count time that has provably passed, so a step alone empties no window; the guard holds for what else went by the
wrong time, and so that a person sees it. What takes effects back, and what is under way, goes on.
"""

from __future__ import annotations

from remediator.core.facts import Facts
from remediator.core.holds import clock_hold
from remediator.core.verdicts import Verdict, allow, defer


class ClockGuard:
    """Held back while a clock was lately found stepped."""

    name = "clock"
    summary = "a clock was stepped: nothing begins for one longest limiter window, or until a person releases it"

    def check(self, facts: Facts) -> Verdict:
        """Defers until the longest window has passed."""
        hold = clock_hold(facts.state, facts.moment)
        return defer(self.name, hold.sentence, hold.until) if hold is not None else allow(self.name, "the clocks agree")
