"""The safe mode guard: after lost history nothing begins until a person says so (G16). It holds back dry runs too."""

from __future__ import annotations

from remediator.core.facts import Facts
from remediator.core.holds import safe_mode
from remediator.core.verdicts import Verdict, allow, defer


class SafeModeGuard:
    """Held back while safe mode stands."""

    name = "safe_mode"
    summary = "lost history: no effects until a person releases it"

    def check(self, facts: Facts) -> Verdict:
        """Defers until a release, and then until the longest window has passed."""
        hold = safe_mode(facts.state, facts.moment)
        return defer(self.name, hold.sentence, hold.until) if hold is not None else allow(self.name, "not in safe mode")
