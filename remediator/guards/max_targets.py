"""A cap on what one rule may have in its hands at once, and on what one plan may name (peers.md F5).

Under treatment is the target of every live run of the rule, and every target on which a temporary effect of the rule still
stands: a window (`blast_radius`) forgets, a domain that is still paused does not. What was taken back before its time stands
no more, so the end that is named is the latest, and nobody sleeps until then.
"""

from __future__ import annotations

from remediator.core.durations import format_duration
from remediator.core.facts import Facts
from remediator.core.grants import lets_go
from remediator.core.plans import most_places, target_text
from remediator.core.verdicts import Verdict, allow, defer, deny
from remediator.guards.wording import clock_time


class MaxTargetsGuard:
    """Exact, for starts go one by one through the lane, and read from the journal alone."""

    name = "max_targets"
    summary = "at most N targets under treatment or a temporary effect at once, and at most N places in one plan"

    def check(self, facts: Facts) -> Verdict:
        """Denies a plan that is too wide; defers until so many others are free that one more fits."""
        limit = facts.limits.brakes.max_targets
        places = most_places(facts.run.plan.steps)
        if len(places) > limit:
            return deny(self.name, f"the plan names {len(places)} places ({', '.join(places[:5])}), and {limit} may be")
        held = _held(facts)
        text = f"{limit} at once: {len(held)} others under treatment or a temporary effect"
        if len(held) < limit:
            return allow(self.name, text)
        frees = sorted(float("inf") if end is None else end for end in held.values())[len(held) - limit]
        if frees == float("inf"):
            return defer(self.name, f"{text}; clears when their runs end")
        until = max(frees, facts.moment.at)
        left = format_duration(round(until - facts.moment.at))
        return defer(self.name, f"{text}; the next is free in {left} at the latest, clears by {clock_time(until)}")


def _held(facts: Facts) -> dict[str, float | None]:
    """The other targets, and when each is free (unix s); None where its run decides that."""
    rule, mine = facts.run.plan.rule, target_text(facts.run.plan.target)
    held: dict[str, float | None] = {}
    for undo in facts.state.undos.values():
        if undo.rule == rule and undo.target != mine:
            held[undo.target] = max(undo.at, held.get(undo.target) or undo.at)
    for grant in facts.grants:
        if grant.ended is None and grant.target != mine and not lets_go(facts.state, grant):
            held[grant.target] = None
    return held
