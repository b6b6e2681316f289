"""Gathers what the brakes of a run have to see at Prometheus: the fleet, and whether its word can be trusted now."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from remediator.core.brakes import Members
from remediator.core.outcomes import Observation
from remediator.core.plans import PlannedTrust
from remediator.core.state import Run
from remediator.engine.boundary import answered, not_seen
from remediator.engine.parts import Parts

_NOBODY = "no Prometheus is configured (prometheus.url)"
# How long all of it may take (s).
PATIENCE = 30.0


class Seen(NamedTuple):
    """What was seen; the fields of `Evidence`."""

    healthy: Members | None = None
    fleet: Members | None = None
    trust: Observation | None = None


async def gather_signals(parts: Parts, run: Run) -> Seen:
    """What is to be seen for this run; None where it does not ask."""
    fleet, trust = run.plan.min_healthy, run.plan.trust
    async with asyncio.TaskGroup() as group:
        healthy = group.create_task(_members(parts, fleet.healthy)) if fleet is not None else None
        of = group.create_task(_members(parts, fleet.of)) if fleet is not None and fleet.of else None
        trusted = group.create_task(_trust(parts, trust, run)) if trust is not None else None
    return Seen(
        healthy=healthy.result() if healthy is not None else None,
        fleet=of.result() if of is not None else None,
        trust=trusted.result() if trusted is not None else None,
    )


async def _members(parts: Parts, expr: str) -> Members:
    signals, now = parts.signals, parts.clock.now()
    if signals is None:
        return Members(fault=_NOBODY)
    return await answered(
        Members,
        lambda: signals.members(expr, now=now),
        seconds=PATIENCE,
        otherwise=lambda fault: Members(fault=fault),
    )


async def _trust(parts: Parts, asked: PlannedTrust, run: Run) -> Observation:
    signals, now = parts.signals, parts.clock.now()
    if signals is None:
        return not_seen(_NOBODY)
    starting = run.plan.guards.brakes.starting
    return await answered(
        Observation,
        lambda: signals.trust(asked, starting=starting, now=now),
        seconds=PATIENCE,
        otherwise=not_seen,
    )
