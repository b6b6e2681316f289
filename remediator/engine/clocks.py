"""This process's clocks: what time it is on the journal's own, and whether one was stepped since the last look (G5).

They are looked at before everything that is appended, so nothing is decided on a stepped clock before the step is on
record, and once a second (`lag.py`). A process that begins compares them with those of the last entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from remediator.core.clocks import Step, last_known, placed, step_between
from remediator.core.entries import ClockAnomaly, Entry
from remediator.core.fleet import enforced
from remediator.core.state import Moment, State
from remediator.ports import Clock


def longest(state: State) -> float:
    """One longest limiter window with its margin (s)."""
    return enforced(state.longest_window)


class Clocks:
    """The clocks of process `boot` on `host`. `lasts` says for how long a step holds back what is limited (s)."""

    def __init__(self, clock: Clock, boot: str, host: str) -> None:
        self._clock = clock
        self._boot, self._host = boot, host
        self._seen: Moment | None = None
        self._steps: list[Step] = []
        self.lasts: Callable[[State], float] = longest

    def moment(self, state: State) -> Moment:
        """Now, by all clocks; `state` is what the journal says."""
        return placed(state, self._now())

    def begin(self, state: State) -> None:
        """Takes the last entry for the last look, unless there was one of our own."""
        if self._seen is None:
            self._seen = last_known(state, self._now())

    def stepped(self) -> bool:
        """Looks; whether a clock was stepped, now or earlier, and that is not on record yet."""
        self._look(self._now())
        return bool(self._steps)

    def steps(self, state: State, moment: Moment) -> Sequence[ClockAnomaly]:
        """Looks, at `moment`; what has to be on record before anything else."""
        self._look(moment)
        if not self._steps:
            return ()
        lasts = self.lasts(state)
        return [
            ClockAnomaly(clock=one.clock, step=one.by, since=one.since, reason=one.reason, lasts=lasts)
            for one in self._steps
        ]

    def _look(self, now: Moment) -> None:
        seen, self._seen = self._seen, now
        if seen is not None and (step := step_between(seen, now)) is not None:
            self._steps.append(step)

    def told(self, entries: Sequence[Entry]) -> None:
        """These entries are on record."""
        if self._steps and any(entry.boot == self._boot and type(entry.fact) is ClockAnomaly for entry in entries):
            self._steps = []

    def _now(self) -> Moment:
        return Moment(self._clock.now(), self._clock.monotonic(), self._boot, self._host)
