"""What time it is, where wall clocks may be set and processes come and go: the journal's own clock. Pure.

Each entry says the wall clock and the monotonic clock of who wrote it. The wall clock may be stepped, so no limit can rest
on it alone (reliability.md G5). The monotonic clock may not, but means something only to the processes of one boot of one
machine. So the journal has a clock of its own, `Moment.steady`: it begins at the wall time of the first entry, and from one
entry to the next moves on by as much as some monotonic clock that wrote both an earlier one and this one has run since. That
much has passed for certain. What no clock saw does not count: the time while a machine was off, or between two machines,
where nobody can tell a night from a wall clock that came up wrong. A window is then held longer, never shorter.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from remediator.core.entries import Entry
from remediator.core.state import Map, Moment, State

# By how much the wall and the monotonic clock may move apart from one look to the next (s; reliability.md G5).
MOST_DRIFT = 2.0
# So many clocks are remembered beside that of the last entry; one that is forgotten begins anew.
MOST_CLOCKS = 8

replace = msgspec.structs.replace


def placed(state: State, moment: Moment) -> Moment:
    """`moment`, which is not before the last entry, with its time on the journal's own clock."""
    last = state.last
    if last is None:
        return replace(moment, steady=moment.at)
    pulse = last if last.clock == moment.clock else state.pulses.get(moment.clock)
    steady = last.steady or last.at
    if pulse is not None:
        steady = max(steady, (pulse.steady or pulse.at) + moment.mono - pulse.mono)
    return replace(moment, steady=steady)


def moment_of(state: State, entry: Entry) -> Moment:
    """When `entry`, which follows `state`, was written."""
    return placed(state, Moment(entry.at, entry.mono, entry.boot, entry.host))


def pulses_after(state: State, moment: Moment) -> Map[str, Moment]:
    """The clocks to be remembered after an entry at `moment`; the same map as long as one clock writes all."""
    last, pulses = state.last, state.pulses
    if last is None or last.clock == moment.clock:
        return pulses
    pulses = pulses.set(last.clock, last)
    if len(pulses) > MOST_CLOCKS:
        pulses = pulses.delete(min(pulses, key=lambda clock: (pulses[clock].steady, clock)))
    return pulses


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Which clock was stepped (`wall`, `monotonic`), by how much (s), as a sentence, and when all was well yet (unix s)."""

    clock: str
    by: float
    reason: str
    since: float


def last_known(state: State, moment: Moment) -> Moment | None:
    """What a process that begins at `moment` compares its clocks with: the last entry by the same clock, or by any."""
    last = state.last
    return last if last is None or last.clock == moment.clock else state.pulses.get(moment.clock, last)


def step_between(before: Moment, now: Moment) -> Step | None:
    """Whether a clock was stepped between two moments, as far as that can be told; None if all is well.

    By the same monotonic clock it can be told exactly. Otherwise only that the wall clock may not go back; one that was set
    on looks like time that passed.
    """
    wall = now.at - before.at
    if now.clock != before.clock:
        reason = f"the wall clock is {-wall:.1f} s before the last entry, which another process wrote"
        return Step(clock="wall", by=wall, reason=reason, since=before.at) if wall < -MOST_DRIFT else None
    ran = now.mono - before.mono
    if ran < -MOST_DRIFT:
        reason = f"the monotonic clock of this machine went back by {-ran:.1f} s"
        return Step(clock="monotonic", by=ran, reason=reason, since=before.at)
    if abs(wall - ran) <= MOST_DRIFT:
        return None
    slept = " (or the machine slept)" if wall > ran else ""
    away = "" if now.boot == before.boot else ", while no service ran"
    reason = f"the wall clock was stepped by {wall - ran:+.1f} s{slept}{away}"
    return Step(clock="wall", by=wall - ran, reason=reason, since=before.at)
