"""The target lock: one hand on the wheel (G6). Taken all or none with the first intent, free with the run's last word.

A rule that starts by a schedule gives way for longer: it does not write over what another rule, or a person, has put in
force on the same target and will take back.
"""

from __future__ import annotations

from remediator.core.facts import Facts
from remediator.core.plans import target_text
from remediator.core.state import Undo
from remediator.core.verdicts import Verdict, allow, defer
from remediator.guards.wording import clock_time


class TargetLockGuard:
    """Held back while another run, of whatever rule, holds one of the names this run needs."""

    name = "target_lock"
    summary = "one run at a time on a target, across rules; a schedule waits for what others put in force on it, too"

    def check(self, facts: Facts) -> Verdict:
        """Defers until the holder ends."""
        for lock in facts.run.plan.locks:
            holder = facts.state.locks.get(lock)
            if holder is not None and holder != facts.run.id:
                return defer(self.name, f"'{lock}' is held by {holder}")
        other = _in_force(facts)
        if other is not None:
            until = f"until {clock_time(other.at)} at the latest"  # a person may take it back before: asked again until then
            return defer(self.name, f"{other.action} of {other.incident} is in force here {until}")
        return allow(self.name, f"'{facts.run.plan.locks[0]}' is free")


def _in_force(facts: Facts) -> Undo | None:
    """What a run that no schedule started has left on this very target, if it is a schedule that asks."""
    if facts.incident.episodes or facts.incident.by:
        return None
    target = target_text(facts.run.plan.target)
    owners = {
        grant.run: grant.rule for grants in facts.state.grants.values() for grant in grants if grant.target == target
    }
    for undo in facts.state.undos.values():
        rule = owners.get(undo.run)
        if rule is not None and not _is_scheduled(facts, rule):
            return undo
    return None


def _is_scheduled(facts: Facts, name: str) -> bool:
    rule = facts.ruleset.rule(name)
    return rule is not None and rule.schedule is not None
