"""Waves: many targets of one rule are taken on one, then two, then four at a time, each after the last was seen to help.

A wave is a set of targets. It has room for so many; the next one begins when all of it are over. If every one of them was
verified to be well again, the next is `growth` times as large; if one was not, the next is the first again; where nobody
looked, it stays as it is. After `rest` seconds without a run of the rule yesterday's success counts no more. All of it is
read from the places that live runs took (peers.md row 59, F5, F21), so no restart and no reload gives anything back. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from remediator.core.brakes import Waves
from remediator.core.state import Grant, Moment

# However often waves grow, no more targets are in one.
LARGEST = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """A wave as it stands: how many targets it has room for, and the last run of each that it took on."""

    size: int
    members: tuple[Grant, ...] = ()

    @property
    def targets(self) -> frozenset[str]:
        """Which targets it has taken on."""
        return frozenset(grant.target for grant in self.members)

    @property
    def going(self) -> tuple[Grant, ...]:
        """The runs of it that are not over."""
        return tuple(grant for grant in self.members if grant.ended is None)

    @property
    def failed(self) -> tuple[Grant, ...]:
        """The runs of it that were not seen to help."""
        return tuple(grant for grant in self.members if grant.helped is False)

    @property
    def has_room(self) -> bool:
        """Whether one more target fits in; not once a remedy did not help."""
        return len(self.members) < self.size and not self.failed

    def following(self, waves: Waves) -> int:
        """How many targets the next wave has room for, as far as can be said now."""
        if self.failed or self.going:
            return waves.first
        if all(grant.helped for grant in self.members):
            return min(self.size * waves.growth, LARGEST)
        return self.size


def wave_of(grants: Iterable[Grant], waves: Waves, moment: Moment) -> Wave:
    """The wave that a rule is in at `moment`, by the places that its live runs took, in the order in which they began."""
    wave = Wave(size=waves.first)
    for grant in grants:
        wave = _joined(_as_of(wave, grant.began), grant, waves, wave)
    return Wave(size=waves.first) if _is_past(wave, waves, moment) else wave


def _joined(seen: Wave, grant: Grant, waves: Waves, known: Wave) -> Wave:
    """The wave after `grant` began; `seen` is what could be known of it then, `known` what is known now."""
    if _is_past(seen, waves, grant.taken):
        return Wave(size=waves.first, members=(grant,))
    others = tuple(one for one in known.members if one.target != grant.target)
    if seen.has_room or len(others) < len(known.members):
        return Wave(size=known.size, members=(*others, grant))
    going = {one.run for one in seen.going}
    return Wave(size=seen.following(waves), members=(*(one for one in others if one.run in going), grant))


def _as_of(wave: Wave, began: int) -> Wave:
    """The wave without what the journal told only after entry `began`."""
    return Wave(size=wave.size, members=tuple(_then(grant, began) for grant in wave.members))


def _then(grant: Grant, began: int) -> Grant:
    if grant.over <= began:
        return grant
    return Grant(rule=grant.rule, target=grant.target, run=grant.run, incident=grant.incident, taken=grant.taken)


def _is_past(wave: Wave, waves: Waves, moment: Moment) -> bool:
    """Whether nothing of the rule has been under way for so long that its waves begin anew."""
    ends = [grant.ended for grant in wave.members]
    return all(end is not None and moment.since(end) >= waves.rest for end in ends)
