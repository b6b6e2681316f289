"""How entries about what holds everything back change the state (`fold.py`)."""

from __future__ import annotations

import msgspec

from remediator.core import entries as e
from remediator.core.clocks import moment_of
from remediator.core.state import CLOCK, SAFE_MODE, Hold, RunStatus, State

replace = msgspec.structs.replace


def safe_mode_entered(state: State, fact: e.SafeModeEntered, entry: e.Entry) -> State:
    """Stands from here on; a second loss begins the wait anew and needs a release of its own."""
    return _held(state, SAFE_MODE, fact, entry)


def _held(state: State, word: str, fact: e.SafeModeEntered | e.ClockAnomaly, entry: e.Entry) -> State:
    hold = Hold(reason=fact.reason, since=moment_of(state, entry), lasts=fact.lasts)
    return replace(state, holds=state.holds.set(word, hold))


def safe_mode_released(state: State, fact: e.SafeModeReleased, _entry: e.Entry) -> State:
    """Ends with the longest window from here on, or now."""
    hold = state.holds.get(SAFE_MODE)
    if hold is None:
        return state
    if fact.at_once:
        return woken(replace(state, holds=state.holds.delete(SAFE_MODE)))
    return woken(replace(state, holds=state.holds.set(SAFE_MODE, replace(hold, released_by=fact.by))))


def clock_stepped(state: State, fact: e.ClockAnomaly, entry: e.Entry) -> State:
    """Holds from here on; another step begins the wait anew."""
    return _held(state, CLOCK, fact, entry)


def clock_released(state: State, _fact: e.ClockReleased, _entry: e.Entry) -> State:
    """The clock is trusted again."""
    return woken(replace(state, holds=state.holds.delete(CLOCK))) if CLOCK in state.holds else state


def woken(state: State) -> State:
    """Whoever was held back until a known moment looks again now."""
    runs = state.runs
    for run in state.runs.values():
        if run.status is RunStatus.DEFERRED and run.not_before is not None:
            runs = runs.set(run.id, replace(run, not_before=None))
    return replace(state, runs=runs)
