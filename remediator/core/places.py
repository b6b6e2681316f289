"""Where actions act: what an action may tell of itself beside what every action tells. Values and Protocols only.

A place is named `kind name`: `node mta1.example:8000`, `container kumod`, `redis cache`. An action that tells nothing
touches no place that anybody counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from remediator.core.params import Json


@runtime_checkable
class Placed(Protocol):
    """An action that tells which places it touches, so that the width of a plan is bounded."""

    def places(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """The places that it would touch with these arguments."""
        ...


def places_of(action: object, arguments: Mapping[str, Json]) -> Sequence[str]:
    """The places that an action would touch; none if it does not tell."""
    return action.places(arguments) if isinstance(action, Placed) else ()
