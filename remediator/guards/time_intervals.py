"""Mute and active time intervals, in Alertmanager's grammar: when hands stay off, or when they may work at all."""

from __future__ import annotations

from collections.abc import Sequence

from remediator.core.facts import Facts
from remediator.core.intervals import TimeInterval, next_change
from remediator.core.verdicts import Verdict, allow, defer, deny
from remediator.guards.wording import clock_time


class TimeIntervalsGuard:
    """Held back inside a muted interval and outside the active ones."""

    name = "time_intervals"
    summary = "mute_time_intervals and active_time_intervals, by wall time in their zone"

    def check(self, facts: Facts) -> Verdict:
        """Defers until the interval ends or begins; a name that is not defined denies."""
        limits = facts.limits
        known = facts.ruleset.time_intervals
        missing = [name for name in (*limits.mute_time_intervals, *limits.active_time_intervals) if name not in known]
        if missing:
            return deny(self.name, f"time interval {missing[0]} is not defined; define it under time_intervals")
        now = facts.moment.at
        for name in limits.mute_time_intervals:
            if _inside(known[name], now):
                return self._held(f"muted by {name}", known[name], now)
        if limits.active_time_intervals:
            active = [known[name] for name in limits.active_time_intervals]
            if not any(_inside(intervals, now) for intervals in active):
                names = ", ".join(limits.active_time_intervals)
                return self._held(f"outside of {names}", [one for many in active for one in many], now)
        return allow(self.name, "no time interval speaks against it")

    def _held(self, why: str, intervals: Sequence[TimeInterval], now: float) -> Verdict:
        until = next_change(intervals, now)
        clears = f"; clears {clock_time(until)}" if until is not None else ""
        return defer(self.name, f"{why}{clears}", until)


def _inside(intervals: Sequence[TimeInterval], now: float) -> bool:
    return any(interval.contains(now) for interval in intervals)
