"""What holds everything back: lost history (safe mode, G16), and what limits are for: a stepped clock (G5). Pure.

Both are entries, so they survive a restart, and last one longest limiter window: after that nothing that was forgotten, or
counted at a wrong time, can still be inside a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from remediator.core.fleet import enforced
from remediator.core.state import CLOCK, SAFE_MODE, Moment, State
from remediator.core.telling import clock_time

RELEASE = "no effects until somebody releases it: remediator release --reason TEXT"
RELEASE_CLOCK = "or until a named person releases it: remediator release --reason TEXT"

# What a person who releases safe mode still waits for: the longest limiter window, or nothing.
Patience = Literal["window", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A hold that stands now. `until` (unix s) is when it may clear by itself; None if it does not."""

    word: str
    sentence: str
    until: float | None


def safe_mode(state: State, moment: Moment) -> Standing | None:
    """Whether safe mode stands: until a person released it, and then until the longest window has passed."""
    hold = state.holds.get(SAFE_MODE)
    if hold is None:
        return None
    since = f"safe mode since {clock_time(hold.since.at)}: {hold.reason}"
    if not hold.released_by:
        return Standing(word=SAFE_MODE, sentence=f"{since}; {RELEASE}", until=None)
    left = hold.left(moment)
    if left <= 0:
        return None
    until = moment.at + left
    sentence = f"{since}; released by {hold.released_by}, effects begin {clock_time(until)}, after the longest window"
    return Standing(word=SAFE_MODE, sentence=sentence, until=until)


def clock_hold(state: State, moment: Moment) -> Standing | None:
    """Whether a clock was stepped within the last longest window, and nobody has released that yet."""
    hold = state.holds.get(CLOCK)
    if hold is None or (left := hold.left(moment)) <= 0:
        return None
    until = moment.at + left
    span = "one longest window" if hold.lasts >= enforced(state.longest_window) else "limits.clock_hold"
    seen = f"{hold.reason}, seen {clock_time(hold.since.at)}"
    sentence = f"{seen}; what is limited is held until {clock_time(until)} ({span}), {RELEASE_CLOCK}"
    return Standing(word=CLOCK, sentence=sentence, until=until)


def standing(state: State, moment: Moment) -> tuple[Standing, ...]:
    """All holds that stand, the strictest first."""
    return tuple(one for one in (safe_mode(state, moment), clock_hold(state, moment)) if one is not None)
