"""The target lock: one hand on the wheel (G6). Taken all or none with the first intent, free with the run's last word."""

from __future__ import annotations

from remediator.core.facts import Facts
from remediator.core.verdicts import Verdict, allow, defer


class TargetLockGuard:
    """Held back while another run, of whatever rule, holds one of the names this run needs."""

    name = "target_lock"
    summary = "one run at a time on a target, across rules"

    def check(self, facts: Facts) -> Verdict:
        """Defers until the holder ends."""
        for lock in facts.run.plan.locks:
            holder = facts.state.locks.get(lock)
            if holder is not None and holder != facts.run.id:
                return defer(self.name, f"'{lock}' is held by {holder}")
        return allow(self.name, f"'{facts.run.plan.locks[0]}' is free")
