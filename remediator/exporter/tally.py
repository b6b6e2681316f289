"""Counters whose names come from outside, in bounded space. Pure: time is passed in.

A table shows at most `places` names; everything else is counted as `other`. Half of the places go to whoever comes first,
so that a small site sees all its names at once. The other half must be earned: a name is shown once so many of its records
have been counted as other (an estimate by the space-saving method, by its lower bound, so that a flood of names that are
seen once earns nothing). A name keeps its place as long as mail of it flows; one that has been quiet for `quiet` seconds
gives its place up when another has earned one, and its series ends. No counter ever falls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from remediator.exporter.names import NONE, OTHER

EARN = 20  # records
CANDIDATES = 256


@dataclass(slots=True)
class _Candidate:
    """`count` is at most `error` too high."""

    count: int
    error: int


@dataclass(slots=True)
class _Place:
    last: float
    counts: dict[str, int] = field(default_factory=dict)


class Table:
    """The counters of one kind of names."""

    def __init__(self, *, places: int, quiet: float) -> None:
        self._places = places
        self._quiet = quiet
        self._shown: dict[str, _Place] = {}
        self._rest: dict[str, _Place] = {}  # `other` and `none`: always there, and never in anybody's way
        self._candidates: dict[str, _Candidate] = {}

    def add(self, name: str, outcome: str, now: float) -> None:
        """Counts one record of `name`, which ended as `outcome`."""
        place = self._rest_of(name, now) if name in {OTHER, NONE} else self._place_of(name, now)
        place.last = max(place.last, now)
        place.counts[outcome] = place.counts.get(outcome, 0) + 1

    def series(self) -> Iterator[tuple[str, str, int]]:
        """Name, outcome and count of every counter, in a fixed order."""
        for name, place in sorted([*self._shown.items(), *self._rest.items()]):
            for outcome, count in sorted(place.counts.items()):
                yield name, outcome, count

    def _rest_of(self, name: str, now: float) -> _Place:
        return self._rest.setdefault(name, _Place(now))

    def _place_of(self, name: str, now: float) -> _Place:
        found = self._shown.get(name)
        if found is not None:
            return found
        if len(self._shown) < (self._places + 1) // 2 or (self._earned(name) and self._room(now)):
            self._candidates.pop(name, None)
            self._shown[name] = _Place(now)
            return self._shown[name]
        return self._rest_of(OTHER, now)

    def _earned(self, name: str) -> bool:
        """One more record of a name that is not shown; whether it has certainly had enough of them before."""
        known = self._candidates.get(name)
        if known is None:
            least = 0
            if len(self._candidates) >= CANDIDATES:
                weakest = min(self._candidates, key=lambda one: self._candidates[one].count)
                least = self._candidates.pop(weakest).count
            known = self._candidates[name] = _Candidate(least, least)
        known.count += 1
        return known.count - known.error > EARN

    def _room(self, now: float) -> bool:
        """Whether there is a place; if need be the one of whoever has been quiet longest."""
        if len(self._shown) < self._places:
            return True
        quietest = min(self._shown, key=lambda one: self._shown[one].last)
        if now - self._shown[quietest].last < self._quiet:
            return False
        del self._shown[quietest]
        return True


class Tally:
    """One table for each kind of names (`by`)."""

    def __init__(self, *, places: int, quiet: float) -> None:
        self._tables: dict[str, Table] = {}
        self._places = places
        self._quiet = quiet

    def add(self, by: str, name: str, outcome: str, now: float) -> None:
        """Counts one record."""
        table = self._tables.get(by)
        if table is None:
            table = self._tables[by] = Table(places=self._places, quiet=self._quiet)
        table.add(name, outcome, now)

    def series(self) -> Iterator[tuple[str, str, str, int]]:
        """`by`, name, outcome and count of every counter."""
        for by, table in sorted(self._tables.items()):
            for name, outcome, count in table.series():
                yield by, name, outcome, count


class Recent:
    """Remembers the last `size` digests: kumod posts a record again when our answer was lost on the way."""

    def __init__(self, size: int = 65_536) -> None:
        self._size = size
        self._seen: dict[bytes, None] = {}

    def again(self, digest: bytes) -> bool:
        """Whether this digest came before; remembers it."""
        if digest in self._seen:
            return True
        self._seen[digest] = None
        if len(self._seen) > self._size:
            del self._seen[next(iter(self._seen))]
        return False
