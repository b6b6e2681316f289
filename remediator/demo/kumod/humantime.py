"""Durations and instants as kumod spells them on the wire: `29m 58s 12ms`, `2026-08-04T12:00:00Z`. Pure.

A request may give a duration as text or as a number of seconds; an answer is always text. The units are those of the
`humantime` convention: a month is 30.44 days and a year 365.25 days.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND
_YEAR = 31_557_600 * _SECOND
_MONTH = 2_630_016 * _SECOND
_UNITS: dict[str, int] = {
    **dict.fromkeys(("nanos", "nsec", "ns"), 1),
    **dict.fromkeys(("usec", "us", "µs"), 1_000),
    **dict.fromkeys(("millis", "msec", "ms"), 1_000_000),
    **dict.fromkeys(("seconds", "second", "secs", "sec", "s"), _SECOND),
    **dict.fromkeys(("minutes", "minute", "min", "mins", "m"), 60 * _SECOND),
    **dict.fromkeys(("hours", "hour", "hrs", "hr", "h"), 3_600 * _SECOND),
    **dict.fromkeys(("days", "day", "d"), _DAY),
    **dict.fromkeys(("weeks", "week", "wks", "wk", "w"), 7 * _DAY),
    **dict.fromkeys(("months", "month", "M"), _MONTH),
    **dict.fromkeys(("years", "year", "yrs", "yr", "y"), _YEAR),
}
_PART = re.compile(r"\s*([0-9]{1,19})\s*([A-Za-zµ]+)")
_PLURALS = ((_YEAR, "year"), (_MONTH, "month"), (_DAY, "day"))
_SHORTS = ((3_600 * _SECOND, "h"), (60 * _SECOND, "m"), (_SECOND, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns"))
_LONGEST = 2**63 * _SECOND


def parse(text: str) -> float:
    """Seconds of a text such as `1h 30m`; ValueError says what is wrong with it."""
    if not text.strip():
        raise ValueError("value was empty")
    total, at = 0, 0
    while at < len(text.rstrip()):
        found = _PART.match(text, at)
        if found is None:
            raise ValueError(f"expected number and time unit at {at}")
        size = _UNITS.get(found[2])
        if size is None:
            raise ValueError(
                f'unknown time unit "{found[2]}", expected one of ns, us, ms, s, m, h, d, w, months, years'
            )
        total += int(found[1]) * size
        at = found.end()
    if total > _LONGEST:
        raise ValueError("number is too large")
    return total / _SECOND


def spell(seconds: float) -> str:
    """The text of a duration, down to the microsecond that a float can still carry; nothing left is `0s`."""
    rest = max(0, int(Decimal(seconds).scaleb(6).to_integral_value())) * 1_000
    parts: list[str] = []
    for size, unit in _PLURALS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}{'s' if count > 1 else ''}")
    for size, unit in _SHORTS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"


def parse_instant(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 text; ValueError without a zone, as the real one refuses it."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("premature end of input")
    return instant.timestamp()


def spell_instant(at: float) -> str:
    """RFC 3339 in UTC, to the microsecond."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
