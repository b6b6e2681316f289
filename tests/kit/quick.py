"""The shipped files with their waits shortened, so that a test sees in seconds what a night takes hours for.

A minute of a window or of a wait becomes a second; the time until something is taken back shrinks more. Deadlines and
brakes (`within`, `limit`, `cooldown` …) stay as they are shipped, so a busy machine only takes longer. Nothing else of a
file is touched, and the text is refused where it is not as known: a duration that nobody has decided on, or one that is
gone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

from remediator.core.durations import format_duration, parse_duration

# No wait becomes shorter than this (s): Prometheus looks no more often.
LEAST = 0.5
_DURATION = r"(?:[0-9]+(?:ms|[smhdw]))+"
_BEFORE = r"(?P<before>(?P<window>\[)|(?P<offset>\boffset )|(?<![\w.])(?P<key>[a-z_]+): )"
_PLACES = re.compile(rf"{_BEFORE}(?P<duration>{_DURATION})(?=[\s,}}\]]|$)", re.MULTILINE)
WINDOW, OFFSET = "[…]", "offset"


class Unknown(AssertionError):
    """A file is not as its test knows it; the text says where."""


class Wait(Enum):
    """What becomes of a duration; the value is what it is divided by."""

    SHORTER = 60
    MUCH_SHORTER = 240
    AS_IT_IS = 1


def quick(text: str, places: Mapping[str, Wait]) -> str:
    """`text` with its waits shortened. `places` names the keys that durations stand at, `WINDOW` for `[10m]` in PromQL,
    `OFFSET` for `offset 10m`. Unknown if a duration stands at another, or none at one of these.
    """
    seen: set[str] = set()

    def put(found: re.Match[str]) -> str:
        place = WINDOW if found["window"] else OFFSET if found["offset"] else found["key"]
        if place not in places:
            raise Unknown(f"nobody has decided whether this is shortened: {found[0].strip()!r}")
        seen.add(place)
        return found["before"] + _shorter(found["duration"], places[place])

    text = _PLACES.sub(put, text)
    if gone := places.keys() - seen:
        raise Unknown(f"no duration stands at {', '.join(sorted(gone))} any more")
    return text


def _shorter(text: str, wait: Wait) -> str:
    seconds = parse_duration(text)
    return text if wait is Wait.AS_IT_IS else format_duration(max(min(seconds, LEAST), seconds / wait.value))


def replaced(text: str, old: str, new: str) -> str:
    """`text` with its one `old` replaced; Unknown unless it is there once."""
    if text.count(old) != 1:
        raise Unknown(f"expected once, found {text.count(old)} times: {old!r}")
    return text.replace(old, new)
