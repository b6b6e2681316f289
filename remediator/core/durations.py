"""Durations as Prometheus and Alertmanager spell them: `30s`, `5m`, `1h30m`, `2w`. Pure text and numbers.

The grammar is the one of Prometheus' configuration: units in the order `y w d h m s ms`, each at most once, whole
numbers, no blanks and no sign; a lone `0` is zero. A year is 365 days, a day 24 hours. Like the sender, we refuse what
does not fit into 64 bits of nanoseconds (about 292 years).
"""

from __future__ import annotations

import re

_MILLISECONDS = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_LARGEST = 2**63 // 1_000_000
_GRAMMAR = re.compile("".join(f"(?:([0-9]+){unit})?" for unit in _MILLISECONDS))

# How people spell units when they do not know the grammar; only used to suggest the right spelling.
_SPOKEN = {
    "years": "y", "year": "y", "yrs": "y", "yr": "y",
    "weeks": "w", "week": "w", "wks": "w", "wk": "w",
    "days": "d", "day": "d",
    "hours": "h", "hour": "h", "hrs": "h", "hr": "h",
    "minutes": "m", "minute": "m", "mins": "m", "min": "m",
    "seconds": "s", "second": "s", "secs": "s", "sec": "s",
    "milliseconds": "ms", "millisecond": "ms", "msecs": "ms", "msec": "ms",
}  # fmt: skip
_SPOKEN_PART = re.compile(r"\s*([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([a-z]+)[\s,]*(?:and\b)?", re.IGNORECASE)


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `1h30m`; ValueError names the right spelling where it can be guessed."""
    if text == "0":
        return 0.0
    found = _GRAMMAR.fullmatch(text)
    if not text or found is None:
        raise ValueError(f"{text!r} is not a duration; {_advice(text)}")
    total = 0
    for digits, size in zip(found.groups(), _MILLISECONDS.values(), strict=True):
        if digits is not None:
            # The length is looked at first: int() itself refuses thousands of digits, in words that help nobody.
            total += int(digits) * size if len(digits.lstrip("0")) <= 18 else _LARGEST
    if total >= _LARGEST:
        raise ValueError(f"{text!r} is too long a duration; write at most 292y")
    return total / 1000


def format_duration(seconds: float) -> str:
    """The spelling that Prometheus itself prints: 5400 is `1h30m`, 0 is `0s`; years and weeks only if nothing is left.

    Rounded to the millisecond, the smallest unit there is; ValueError for negative and infinite numbers and NaN.
    """
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{seconds} seconds cannot be written as a duration; expected a finite number from 0 on")
    left = round(seconds * 1000)
    if left == 0:
        return "0s"
    parts = []
    for unit, size in _MILLISECONDS.items():
        if unit in ("y", "w") and left % size:
            continue
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _advice(text: str) -> str:
    stripped = text.strip()
    if re.fullmatch(r"[0-9]{1,18}", stripped):
        return f"it has no unit; write {stripped}s for seconds or {stripped}m for minutes"
    if stripped[:1] in ("-", "+"):
        spoken = _spoken(stripped[1:])
        return f"a duration has no sign; write {spoken}" if spoken else "a duration has no sign; write for example 5m"
    spoken = _spoken(stripped)
    return f"write {spoken}" if spoken else "write for example 30s, 5m, 1h30m, 2d or 500ms"


def _spoken(text: str) -> str:
    """What was probably meant by text, in the right spelling; empty if that cannot be told."""
    total, position = 0.0, 0
    while position < len(text):
        part = _SPOKEN_PART.match(text, position)
        if part is None:
            return ""
        word = part[2].lower()
        size = _MILLISECONDS.get(_SPOKEN.get(word, word))
        if size is None:
            return ""
        total += float(part[1]) * size
        position = part.end()
    return format_duration(total / 1000) if 0 < total < _LARGEST else ""
