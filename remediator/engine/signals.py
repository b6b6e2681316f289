"""What the engine wants to know of Prometheus itself and of a fleet: a port beside those of `ports`, for `Parts`."""

from __future__ import annotations

from typing import Protocol

from remediator.core.brakes import Members
from remediator.core.outcomes import Observation
from remediator.core.plans import PlannedTrust


class Signals(Protocol):
    """Asks Prometheus about a fleet, and about itself."""

    async def members(self, expr: str, *, now: float) -> Members:
        """Who `expr` finds on fresh samples, or how many if it gives one number without labels; or why nobody can tell."""
        ...

    async def trust(self, asked: PlannedTrust, *, starting: float, now: float) -> Observation:
        """GOOD if it answers, its clock agrees with `now` (unix s) and the scrape of the instance asked for works.

        An instance that came up less than `starting` seconds ago is BAD: it is still starting.
        """
        ...
