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


@runtime_checkable
class KeptInMemory(Protocol):
    """An action whose lasting effect lives in the memory of a place, so that its restart loses it."""

    def kept_in(self, arguments: Mapping[str, Json]) -> str:
        """That place."""
        ...


@runtime_checkable
class Forgetful(Protocol):
    """An action that empties the memory of places: a restart."""

    def forgets(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """The places that it would make forget with these arguments."""
        ...


def places_of(action: object, arguments: Mapping[str, Json]) -> Sequence[str]:
    """The places that an action would touch; none if it does not tell."""
    return action.places(arguments) if isinstance(action, Placed) else ()


def kept_in(action: object, arguments: Mapping[str, Json]) -> str:
    """The place in whose memory the effect would live; empty if it is not lost by a restart."""
    return action.kept_in(arguments) if isinstance(action, KeptInMemory) else ""


def forgotten_by(action: object, arguments: Mapping[str, Json]) -> Sequence[str]:
    """The places that an action would make forget; none if it does not tell."""
    return action.forgets(arguments) if isinstance(action, Forgetful) else ()


def place_of(text: str) -> str:
    """A place as people write it: a name alone is that of a node."""
    return text if " " in text else f"node {text}"
