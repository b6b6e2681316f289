"""The guards that look at fresh evidence: does the alert still fire, does Prometheus confirm it, are preconditions met.

Only a plain yes allows. "No", "no data", "no answer", "an old answer" hold the run back, each with its own sentence (G7).
"""

from __future__ import annotations

from remediator.core.facts import Evidence, Facts
from remediator.core.outcomes import Look, Observation
from remediator.core.verdicts import Verdict, allow, defer, deny
from remediator.guards.wording import span

# Evidence older than this is asked for again (s).
FRESH = 15.0
# How soon a condition that does not hold is asked again (s); the alert's own evaluation is usually no faster.
ASK_AGAIN = 15.0


def is_stale(evidence: Evidence, facts: Facts) -> bool:
    """Whether this was seen too long ago to act on."""
    return facts.moment.at - evidence.at > FRESH


def verdict_on(name: str, seen: Observation, facts: Facts, otherwise: str = "") -> Verdict:
    """What the guard `name` says of what was seen; `otherwise` says what a plain no means, where its sentence does not."""
    match seen.look:
        case Look.GOOD:
            return allow(name, seen.sentence)
        case Look.BAD:
            return defer(
                name, f"{otherwise}: {seen.sentence}" if otherwise else seen.sentence, facts.moment.at + ASK_AGAIN
            )
        case _:
            return defer(name, f"could not tell, so not acting: {seen.sentence}", facts.moment.at + ASK_AGAIN)


def _unheard(facts: Facts) -> str:
    """Why the journal alone cannot tell that the alert still fires; empty if it can (reliability.md §3.2, §3.5)."""
    incident = facts.incident
    episodes = [facts.state.episodes.get(name) for name in incident.episodes]
    heard = max((one.last_heard for one in episodes if one is not None), default=None)
    if heard is None:
        return ""
    waited = incident.opened.at - heard
    if waited > facts.fleet.max_alert_age:
        return f"the alert was {span(waited)} old when it was decided on, and nothing was heard of it since"
    if heard < facts.state.deaf_until:
        return "nothing was heard of the alert since an outage in which it may have resolved"
    return ""


class StillFiringGuard:
    """Asked before the first effect: what the journal heard last, and what Alertmanager says now where it can be asked."""

    name = "still_firing"
    summary = "the alert still fires, and nobody silenced it meanwhile"

    def check(self, facts: Facts) -> Verdict | None:
        """Denies what is over; defers what is silenced or not listed."""
        if facts.incident.by and not facts.incident.episodes:
            return allow(self.name, f"ordered by {facts.incident.by}")
        if not facts.incident.episodes:
            return allow(self.name, "started by its schedule; there is no alert behind it")
        if facts.incident.resolved_at is not None and not facts.run.plan.continue_on_resolve:
            return deny(self.name, "the alert has resolved")
        evidence = facts.evidence
        if evidence is None:
            return None
        if evidence.alert is None:
            unheard = _unheard(facts)
            if unheard:
                why = f"{unheard}, and there is no Alertmanager to ask (alertmanager.url)"
                return defer(self.name, f"could not tell, so not acting: {why}", facts.moment.at + ASK_AGAIN)
            return allow(self.name, "no resolve was heard (no Alertmanager to ask)")
        if is_stale(evidence, facts):
            return defer(self.name, "the answer of Alertmanager is too old", facts.moment.at)
        return verdict_on(self.name, evidence.alert, facts, "held back")


class WhenGuard:
    """The rule's `when`, asked of Prometheus now."""

    name = "when"
    summary = "the PromQL condition holds now, and did for all of its `for`"

    def check(self, facts: Facts) -> Verdict | None:
        """Allows only a plain yes on fresh data."""
        if facts.run.plan.when is None:
            return allow(self.name, "the rule has no condition of its own")
        evidence = facts.evidence
        if evidence is None:
            return None
        if evidence.when is None or is_stale(evidence, facts):
            return defer(self.name, "Prometheus was not asked just now", facts.moment.at)
        return verdict_on(self.name, evidence.when, facts, "the condition does not hold")


class RequireGuard:
    """The rule's preconditions; the author's own `because` is the sentence."""

    name = "require"
    summary = "every precondition holds"

    def check(self, facts: Facts) -> Verdict | None:
        """Allows only when each gives a plain yes on fresh data."""
        wanted = facts.run.plan.require
        if not wanted:
            return allow(self.name, "no preconditions")
        evidence = facts.evidence
        if evidence is None:
            return None
        if len(evidence.require) != len(wanted) or is_stale(evidence, facts):
            return defer(self.name, "Prometheus was not asked just now", facts.moment.at)
        for condition, seen in zip(wanted, evidence.require, strict=True):
            if seen.look is not Look.GOOD:
                return verdict_on(self.name, seen, facts, condition.because or "a precondition does not hold")
        return allow(self.name, "; ".join(seen.sentence for seen in evidence.require))
