"""What cannot be taken back waits until it is no blip, and wants a second signal (peers.md F3: 43 seconds cost a day).

A step of class `once` can neither be made again nor taken back: a restart, a bounce, a command. Its alert has to have fired
for a while, or the rule's own condition has to look back that far; and something besides the notification has to say so:
the rule's `when` or `require`, or Alertmanager, asked now.
"""

from __future__ import annotations

from remediator.core.durations import format_duration
from remediator.core.facts import Facts
from remediator.core.outcomes import EffectClass, Look
from remediator.core.verdicts import Verdict, allow, ask, defer
from remediator.guards.wording import clock_time, span


class IrreversibleGuard:
    """Defers until the alert has fired long enough; asks a person where there is nothing but the notification."""

    name = "irreversible"
    summary = "what cannot be taken back waits until it is no blip, and has a second signal"

    def check(self, facts: Facts) -> Verdict | None:
        """Allows at once what can be made again or taken back, and what a person ordered."""
        steps = [step.name for step in facts.run.plan.steps if step.effect is EffectClass.ONCE]
        if not steps:
            return allow(self.name, "every step can be made again or taken back")
        if not facts.incident.episodes:
            return allow(self.name, f"ordered by {facts.incident.by or 'its schedule'}")
        after = facts.limits.brakes.irreversible_after
        fired = _fired(facts)
        if _looks_back(facts) < after and fired < after:
            until = facts.moment.at + after - fired
            why = f"'{steps[0]}' cannot be taken back, and the alert has fired for {span(fired)} only"
            return defer(self.name, f"{why}; {format_duration(after)} are wanted, clears {clock_time(until)}", until)
        if facts.run.dry or facts.run.approved_by or _second(facts):
            return allow(self.name, f"'{steps[0]}' cannot be taken back: no blip, and not on one signal alone")
        if facts.evidence is None:
            return None
        return ask(
            self.name,
            f"'{steps[0]}' cannot be taken back, and nothing but the notification says that it is needed: a person has "
            "to say yes, or the rule has to have a condition (when, require)",
        )


def _fired(facts: Facts) -> float:
    """For how long the alert has fired (s), by the start that Alertmanager gives."""
    starts = [
        episode.starts_at
        for identity in facts.incident.episodes
        if (episode := facts.state.episodes.get(identity)) is not None
    ]
    return max(0.0, facts.moment.at - min(starts, default=facts.incident.opened.at))


def _looks_back(facts: Facts) -> float:
    when = facts.run.plan.when
    return when.hold if when is not None else 0.0


def _second(facts: Facts) -> bool:
    """Whether something besides the notification is asked; whether it says yes is for its own guard."""
    plan, evidence = facts.run.plan, facts.evidence
    if plan.when is not None or plan.require:
        return True
    return evidence is not None and evidence.alert is not None and evidence.alert.look is Look.GOOD
