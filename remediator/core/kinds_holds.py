"""The kinds of entries about lost history (`kinds.py`)."""

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
