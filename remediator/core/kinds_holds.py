"""The kinds of entries about what holds everything back: lost history, a clock that was stepped (`kinds.py`)."""

from __future__ import annotations

from remediator.core.kinds import Fact


class SafeModeEntered(Fact, frozen=True, kw_only=True, tag="safe_mode.entered"):
    """History was lost (G16): no effects until a person releases it, and not before `lasts` seconds have passed."""

    reason: str
    lasts: float


class SafeModeReleased(Fact, frozen=True, kw_only=True, tag="safe_mode.released"):
    """A named person released safe mode; `at_once` says that they did not want to wait for the longest window either."""

    by: str
    reason: str
    at_once: bool = False


class ClockAnomaly(Fact, frozen=True, kw_only=True, tag="clock.anomaly"):
    """A clock was stepped (G5): what limiters count begins no more for `lasts` seconds, unless a person releases it.

    `clock` is the one that moved, `wall` or `monotonic`, by `step` seconds (negative: back); the clocks were last seen to
    agree at `since` (unix s, as the wall clock was then).
    """

    clock: str
    step: float
    since: float
    reason: str
    lasts: float


class ClockReleased(Fact, frozen=True, kw_only=True, tag="clock.released"):
    """A named person trusts the clock again, or (`by` is `clock`) its time was over."""

    by: str
    reason: str
