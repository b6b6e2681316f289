"""Inhibition: while a rule that goes first has an open incident in the same place, this one waits ("RedisDown first")."""

from __future__ import annotations

from remediator.core.brakes import Inhibition
from remediator.core.facts import Facts
from remediator.core.plans import same_place
from remediator.core.state import Incident
from remediator.core.verdicts import Verdict, allow, defer


class InhibitedByGuard:
    """Looks at incidents that are open, not at runs: also while the other rule is itself held back, or needs a person."""

    name = "inhibited_by"
    summary = "no rule that goes first has an open incident in the same place"

    def check(self, facts: Facts) -> Verdict:
        """Defers until the incident that goes first is closed."""
        wanted = facts.limits.brakes.inhibited_by
        if not wanted:
            return allow(self.name, "no rule goes before this one")
        for inhibition in wanted:
            for other in facts.state.incidents.values():
                if other.rule == inhibition.rule and other.id != facts.incident.id:
                    where = _same_place(inhibition, facts.incident, other)
                    if where:
                        return defer(self.name, f"{other.rule} goes first: {other.id} is open on {where}")
        names = ", ".join(dict.fromkeys(inhibition.rule for inhibition in wanted))
        return allow(self.name, f"nothing is open of {names} in the same place")


def _same_place(inhibition: Inhibition, mine: Incident, other: Incident) -> str:
    """Where both are, in words; empty if they are not in the same place."""
    if inhibition.equal is None:
        meets = same_place(mine.target, other.target)
    else:
        meets = all(mine.labels.get(name, "") == other.labels.get(name, "") for name in inhibition.equal)
    return other.target_text if meets else ""
