"""How entries about what holds everything back change the state (`fold.py`)."""

from __future__ import annotations

import msgspec

from remediator.core import entries as e
from remediator.core.state import SAFE_MODE, Hold, Moment, RunStatus, State

replace = msgspec.structs.replace


def safe_mode_entered(state: State, fact: e.SafeModeEntered, entry: e.Entry) -> State:
    """Stands from here on; a second loss begins the wait anew and needs a release of its own."""
    hold = Hold(reason=fact.reason, since=Moment(entry.at, entry.mono, entry.boot), lasts=fact.lasts)
    return replace(state, holds=state.holds.set(SAFE_MODE, hold))


def safe_mode_released(state: State, fact: e.SafeModeReleased, _entry: e.Entry) -> State:
    """Ends with the longest window from here on, or now."""
    hold = state.holds.get(SAFE_MODE)
    if hold is None:
        return state
    if fact.at_once:
        return woken(replace(state, holds=state.holds.delete(SAFE_MODE)))
    return woken(replace(state, holds=state.holds.set(SAFE_MODE, replace(hold, released_by=fact.by))))


def woken(state: State) -> State:
    """Whoever was held back until a known moment looks again now."""
    runs = state.runs
    for run in state.runs.values():
        if run.status is RunStatus.DEFERRED and run.not_before is not None:
            runs = runs.set(run.id, replace(run, not_before=None))
    return replace(state, runs=runs)
