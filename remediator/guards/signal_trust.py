"""Whether Prometheus can be believed now: that it answers, that its clock is ours, that it reaches the target (F12 too)."""

from __future__ import annotations

from remediator.core.facts import Facts
from remediator.core.verdicts import Verdict, allow, defer
from remediator.guards.evidence import is_stale, verdict_on


class SignalTrustGuard:
    """A broken monitor makes healthy targets look sick; a target that is still starting looks sick and is not."""

    name = "signal_trust"
    summary = "Prometheus answers, its clock agrees with ours, the target's scrape works, and it is not just starting"

    def check(self, facts: Facts) -> Verdict | None:
        """Allows only a plain yes on a fresh answer."""
        if facts.run.plan.trust is None:
            return allow(self.name, "nothing rests on Prometheus, or the rule leaves it unchecked")
        evidence = facts.evidence
        if evidence is None:
            return None
        seen = evidence.trust
        if seen is None or is_stale(evidence, facts):
            return defer(self.name, "Prometheus was not asked just now", facts.moment.at)
        return verdict_on(self.name, seen, facts)
