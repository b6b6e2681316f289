"""A moment, and how much time lies between two of them. Pure."""

from __future__ import annotations

import msgspec


class Moment(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A time by three clocks, in seconds.

    `at` is the wall clock (unix), `mono` the monotonic clock of process `boot`, which all processes of one boot of one
    machine, `host`, have in common (empty where that is not known), and `steady` the journal's own clock (`clocks.py`);
    states of earlier versions have none of it, 0, and mean `at`.
    """

    at: float
    mono: float
    boot: str
    host: str = ""
    steady: float = 0.0

    @property
    def clock(self) -> str:
        """Whose monotonic clock it is."""
        return self.host or self.boot

    def ran(self, earlier: Moment) -> float:
        """Seconds passed since `earlier` by clocks that nobody can set."""
        if earlier.clock == self.clock:
            return self.mono - earlier.mono
        return (self.steady or self.at) - (earlier.steady or earlier.at)

    def since(self, earlier: Moment) -> float:
        """Seconds passed since `earlier`, never more than any clock says: a stepped wall clock empties no window."""
        return min(self.at - earlier.at, self.ran(earlier))
