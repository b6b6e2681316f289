"""What a plan keeps of the questions behind a rule's brakes: the fleet, and whose scrape is to be trusted. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from remediator.core.brakes import Trust
from remediator.core.plans import PlannedFleet, PlannedTrust
from remediator.core.rendering import Scope, fill
from remediator.core.rules import Rule

# The label by which Prometheus names what it scrapes.
INSTANCE = "instance"


def planned_fleet(rule: Rule, scope: Scope) -> PlannedFleet | None:
    """The questions of `min_healthy`, with every blank filled."""
    asked = rule.guards.min_healthy
    if asked is None:
        return None
    return PlannedFleet(healthy=fill(asked.healthy, scope), of=fill(asked.of, scope) if asked.of is not None else "")


def planned_trust(rule: Rule, target: Mapping[str, str]) -> PlannedTrust | None:
    """What has to be trusted; nothing where the rule asks for nothing."""
    match rule.guards.trust:
        case Trust.UNCHECKED:
            return None
        case Trust.PROMETHEUS:
            return PlannedTrust()
        case Trust.IF_SCRAPED:
            return PlannedTrust(instance=target.get(INSTANCE, ""))
        case _:
            return PlannedTrust(instance=target.get(INSTANCE, ""), must=True)
