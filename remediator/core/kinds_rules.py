"""The kinds of journal entries about how rules fare: what the breaker counts and does. See `kinds` for what all share."""

from __future__ import annotations

from remediator.core.kinds import Fact


class RunRelapsed(Fact, frozen=True, kw_only=True, tag="run.relapsed"):
    """The alert came back `after` seconds after `run` had ended well: that run did not help after all.

    `incident` is the one that the alert opened when it came back. A run relapses once.
    """

    incident: str
    run: str
    rule: str
    target: str
    after: float


class RuleDemoted(Fact, frozen=True, kw_only=True, tag="rule.demoted"):
    """The breaker opened: from here on `rule` may go no further than `mode` on `target` (empty: on every target).

    After `pause` seconds one run may try; if it helps, the rule is restored. `incident` and `run` were the last drop.
    """

    rule: str
    mode: str
    reason: str
    pause: float
    target: str = ""
    incident: str = ""
    run: str = ""


class RuleRestored(Fact, frozen=True, kw_only=True, tag="rule.restored"):
    """The breaker closed: by a run that helped (`run`), or by a person (`by`), with their reason."""

    rule: str
    target: str = ""
    run: str = ""
    by: str = ""
    reason: str = ""
