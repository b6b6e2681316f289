"""The mode guard: `off` denies, `approve` asks a person, `dry-run` and `auto` allow (a dry run has no effects to hold)."""

from __future__ import annotations

from remediator.core.facts import Facts
from remediator.core.rules import Mode
from remediator.core.verdicts import Verdict, allow, ask, deny


class ModeGuard:
    """The most careful of server, file and rule wins, also over what was planned under a laxer mode."""

    name = "mode"
    summary = "off, dry-run, approve or auto; the most careful of server, file and rule wins"

    def check(self, facts: Facts) -> Verdict:
        """Asks where a person must say yes; denies what was switched off after planning."""
        run = facts.run
        rule = facts.ruleset.rule(run.plan.rule)
        if rule is None and not facts.incident.by:
            return deny(self.name, f"rule {run.plan.rule} is no longer loaded")
        mode = min(Mode.parse(run.mode), facts.server_mode, rule.mode if rule is not None else Mode.AUTO)
        if mode is Mode.OFF:
            return deny(self.name, "the mode is off")
        if run.dry:
            return allow(self.name, "dry-run: nothing will be touched")
        if mode is Mode.DRY_RUN:
            return deny(self.name, "the mode was lowered to dry-run after this run was planned")
        if mode is Mode.APPROVE and not run.approved_by:
            return ask(self.name, "the mode is approve: a person has to say yes to this plan")
        if run.approved_by:
            return allow(self.name, f"approved by {run.approved_by}")
        return allow(self.name, "the mode is auto")
