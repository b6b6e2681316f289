"""What a step makes a place forget is named where people read why a run may begin (reliability.md G10, kumomta.md §4.2)."""

from __future__ import annotations

from remediator.core.facts import Facts
from remediator.core.losses import losses
from remediator.core.verdicts import Verdict, allow, deny

# So many effects are named in a sentence.
NAMED = 5


class ForgetsGuard:
    """Holds nothing back but the making again of what somebody has taken back meanwhile."""

    name = "forgets"
    summary = "what a step makes a node forget is named; what was taken back meanwhile is not made again"

    def check(self, facts: Facts) -> Verdict:
        """Names what will be lost; denies where nothing is left that could be made again."""
        steps = facts.run.plan.steps
        replaces = [step.replaces for step in steps if step.replaces]
        if replaces and not any(name in facts.state.undos for name in replaces):
            return deny(self.name, f"{', '.join(replaces)} was taken back meanwhile, so it is not made again")
        found = losses(facts.state, steps, facts.moment.at)
        if not found:
            return allow(self.name, "no temporary effect of ours will be lost")
        named = "; ".join(loss.sentence for loss in found[:NAMED])
        more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
        return allow(
            self.name,
            f"step {found[0].step + 1} makes {found[0].place} forget what will be lost and, while it is due, made again: "
            f"{named}{more}",
        )
