"""Alertmanager's time intervals: when something is muted or active, and when that next changes. Pure.

Grammar and meaning are those of Alertmanager's `time_intervals`, so that blocks can be pasted. All conditions of one
interval must hold, one entry of each list suffices, and a list that is left out holds always. A range of times includes
its start and not its end, ends at `24:00` at the latest and cannot cross midnight. Days of the month may count from the
end (`-1` is the last day); a day that a month does not have simply never comes in it, and `1:31` ends with the month.

Everything is *wall time* in `location` (UTC if left out), so where clocks are changed, an hour that is skipped is in no
range, and an hour that is lived twice is in its range twice: in Europe/Berlin 02:00 to 03:00 lasts no time at all on
the last Sunday of March and two hours on the last Sunday of October.

Where Alertmanager accepts what cannot be meant, we refuse it: empty lists (there they hold never), nulls in lists,
months beyond 12, years before 1, and `Local` as a location. And `-1` is always the last day of the month; Alertmanager
0.25 counts one day too few in months in which a location sets its clocks forward.

Reading a location's rules from the zone database is the one thing here that comes from outside; the reader is the
standard library's, which keeps them for the life of the process.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_DAY = 86_400
_MIDNIGHT = 24 * 60
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")
_NUMBER = re.compile(r"[+-]?[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Minutes of a day, from `start` on and before `end` (1440 is midnight at the end of the day)."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Span:
    """Whole numbers from `first` to `last`, both included: weekdays (0 is Sunday), days, months (1 to 12) or years."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeInterval:
    """One entry of a `time_intervals` list; an empty tuple means that the condition always holds."""

    times: tuple[TimeRange, ...] = ()
    weekdays: tuple[Span, ...] = ()
    days_of_month: tuple[Span, ...] = ()
    months: tuple[Span, ...] = ()
    years: tuple[Span, ...] = ()
    location: tzinfo = UTC

    def contains(self, at: float) -> bool:
        """Whether the moment `at` (Unix seconds) lies in the interval."""
        wall = datetime.fromtimestamp(at, self.location)
        minute = wall.hour * 60 + wall.minute
        return (
            (not self.times or any(span.start <= minute < span.end for span in self.times))
            and _in_any(self.weekdays, wall.isoweekday() % 7)
            and _in_any(self.months, wall.month)
            and _in_any(self.years, wall.year)
            and (not self.days_of_month or self._has_day(wall))
        )

    def _has_day(self, wall: datetime) -> bool:
        days = monthrange(wall.year, wall.month)[1]
        return any(
            _from_start(span.first, days) <= wall.day <= _from_start(span.last, days) for span in self.days_of_month
        )


def next_change(intervals: Sequence[TimeInterval], at: float, horizon_days: int = 370) -> float | None:
    """The first moment (Unix seconds) after `at` at which lying in any of the intervals begins or ends.

    Exact to the minute, also over changes of the clock; None if nothing changes within `horizon_days`.
    """
    now = _any_contains(intervals, at)
    for day in range(horizon_days):
        begin = at + day * _DAY
        moments = {moment for interval in intervals for moment in _moments(interval, begin)}
        for moment in sorted(moments):
            if begin < moment <= begin + _DAY and _any_contains(intervals, moment) is not now:
                return moment
    return None


def _any_contains(intervals: Sequence[TimeInterval], at: float) -> bool:
    return any(interval.contains(at) for interval in intervals)


def _in_any(spans: tuple[Span, ...], number: int) -> bool:
    return not spans or any(span.first <= number <= span.last for span in spans)


def _from_start(day: int, days: int) -> int:
    return day if day > 0 else days + day + 1


def _moments(interval: TimeInterval, begin: float) -> Iterator[float]:
    """Every moment of the 24 hours after `begin` at which the interval may begin or end, and some in which it cannot.

    Within one offset from UTC a change needs the wall clock to reach midnight or an edge of a range; else it needs the
    offset to change. A wall time that comes twice gives both moments; one that is skipped gives harmless ones.
    """
    zone = interval.location
    first, last = (datetime.fromtimestamp(moment, zone) for moment in (begin, begin + _DAY))
    edges = {0, *(edge for span in interval.times for edge in (span.start, span.end) if edge < _MIDNIGHT)}
    day = first.date()
    while day <= last.date():
        for edge in edges:
            yield from _wall_moments(day, edge, zone)
        day += timedelta(days=1)
    if first.utcoffset() != last.utcoffset():
        yield _offset_change(int(begin), int(begin) + _DAY + 1, zone)


def _wall_moments(day: date, minute: int, zone: tzinfo) -> Iterator[float]:
    wall = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone)
    yield wall.timestamp()
    if zone is not UTC:
        yield wall.replace(fold=1).timestamp()


def _offset_change(before: int, after: int, zone: tzinfo) -> float:
    """The second at which the offset of the zone changes, which it does once between the two."""
    old = datetime.fromtimestamp(before, zone).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    return float(after)


# --- from the configuration's plain values


def parse_time_interval(raw: Mapping[str, object]) -> TimeInterval:
    """The interval of one entry of a `time_intervals` list, as YAML gives it.

    ValueError begins with the path of the key at fault (`times[0].end_time`) and says what to write.
    """
    _check_keys(raw, ("times", "weekdays", "days_of_month", "months", "years", "location"), "")
    return TimeInterval(
        times=tuple(_time_range(entry, path) for entry, path in _entries(raw, "times")),
        weekdays=_spans(raw, "weekdays", _weekday),
        days_of_month=_spans(raw, "days_of_month", _day_of_month),
        months=_spans(raw, "months", _month),
        years=_spans(raw, "years", _year),
        location=_location(raw.get("location")),
    )


def _check_keys(raw: Mapping[str, object], known: tuple[str, ...], path: str) -> None:
    for key in raw:
        if key not in known:
            raise ValueError(f"{path}{key}: unknown key; expected one of {', '.join(known)}")


def _mapping(raw: object, path: str) -> Mapping[str, object]:
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: expected keys and values, found {raw!r}")
    return raw


def _entries(raw: Mapping[str, object], key: str) -> Iterator[tuple[object, str]]:
    """The entries of a list with their paths; a key that is missing or null has none."""
    entries = raw.get(key)
    if entries is None:
        return
    if not isinstance(entries, list | tuple):
        raise ValueError(f"{key}: expected a list, found {entries!r}; write [{entries}]")
    if not entries:
        raise ValueError(f"{key}: expected a list with at least one entry; leave the key out if there is no condition")
    for place, entry in enumerate(entries):
        yield entry, f"{key}[{place}]"


def _time_range(raw: object, path: str) -> TimeRange:
    entry = _mapping(raw, path)
    _check_keys(entry, ("start_time", "end_time"), f"{path}.")
    start = _clock(entry.get("start_time"), f"{path}.start_time")
    end = _clock(entry.get("end_time"), f"{path}.end_time")
    if start > end:
        halves = f"{_halves(start, end)}; days and weekdays count for each half by itself"
        raise ValueError(f"{path}: {_spell(start)} to {_spell(end)} crosses midnight, which one range cannot; {halves}")
    if start == end:
        raise ValueError(f"{path}: start and end are both {_spell(end)}; leave times out if the whole day is meant")
    return TimeRange(start, end)


def _halves(start: int, end: int) -> str:
    evening = f'{{start_time: "{_spell(start)}", end_time: "24:00"}}'
    morning = f'{{start_time: "00:00", end_time: "{_spell(end)}"}}'
    if end == 0:
        return f"write {evening}"
    return f"write {morning}" if start == _MIDNIGHT else f"write two ranges: {evening} and {morning}"


def _clock(raw: object, path: str) -> int:
    """Minutes since midnight of a text like `17:00`."""
    if isinstance(raw, str) and _CLOCK.fullmatch(raw):
        return int(raw[:2]) * 60 + int(raw[3:])
    match raw:
        case str() if _CLOCK.fullmatch(f"0{raw}"):
            advice = f'write "0{raw}"'
        # YAML 1.1 reads an unquoted 17:00 as the number 1020 to the base 60.
        case int() if not isinstance(raw, bool) and 0 <= raw <= _MIDNIGHT:
            advice = f'YAML takes an unquoted time for a number; write "{_spell(raw)}" with the quotes'
        case _:
            advice = 'write it like "17:00"'
    raise ValueError(f"{path}: expected a time from 00:00 to 24:00 in quotes, found {raw!r}; {advice}")


def _spell(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _spans(raw: Mapping[str, object], key: str, member: Callable[[str], int]) -> tuple[Span, ...]:
    spans = []
    for entry, path in _entries(raw, key):
        if isinstance(entry, bool) or not isinstance(entry, str | int):
            raise ValueError(f"{path}: expected a name, a number or a range such as first:last, found {entry!r}")
        ends = str(entry).lower().split(":")
        try:
            first, last = (member(end) for end in (ends if len(ends) == 2 else [":".join(ends)] * 2))
            if key == "days_of_month":
                _check_days(first, last)
            elif first > last:
                raise ValueError(_backwards(key, first, last))
        except ValueError as refused:
            raise ValueError(f"{path}: {refused}") from refused
        spans.append(Span(first, last))
    return tuple(spans)


def _check_days(first: int, last: int) -> None:
    """Alertmanager's rule: a range must be possible in a month of 28 days, for which it counts -1 as 27."""
    if first < 0 < last:
        raise ValueError(f"{first}:{last} begins counting from the end of the month; let it end so too, as in -3:-1")
    earliest, latest = (day + 28 if day < 0 else day for day in (first, last))
    if earliest > latest:
        raise ValueError(f"{first}:{last} can end before it starts; write the earlier day first")


def _backwards(key: str, first: int, last: int) -> str:
    if key == "years":
        return f"{first}:{last} ends before it starts; write the earlier year first"
    names = dict(enumerate(_WEEKDAYS)) if key == "weekdays" else dict(enumerate(_MONTHS, 1))
    over = "the week, which starts on sunday" if key == "weekdays" else "the year"
    two = f"{_named(names, first, max(names))} and {_named(names, min(names), last)}"
    return f"{_named(names, first, last)} crosses the end of {over}; write two entries: {two}"


def _named(names: Mapping[int, str], first: int, last: int) -> str:
    return names[first] if first == last else f"{names[first]}:{names[last]}"


def _weekday(text: str) -> int:
    if text not in _WEEKDAYS:
        raise ValueError(f"{text!r} is no weekday; expected one of {', '.join(_WEEKDAYS)}")
    return _WEEKDAYS.index(text)


def _month(text: str) -> int:
    if text in _MONTHS:
        return _MONTHS.index(text) + 1
    return _number(text, range(1, 13), "a month; expected its full name or a number from 1 to 12")


def _day_of_month(text: str) -> int:
    what = "a day of the month; expected 1 to 31, or -1 to -31 from the end"
    day = _number(text, range(-31, 32), what)
    if day == 0:
        raise ValueError(f"{text!r} is not {what}")
    return day


def _year(text: str) -> int:
    return _number(text, range(1, 10_000), "a year; expected a number from 1 to 9999")


def _number(text: str, allowed: range, what: str) -> int:
    if _NUMBER.fullmatch(text) is None or int(text) not in allowed:
        raise ValueError(f"{text!r} is not {what}")
    return int(text)


def _location(raw: object) -> tzinfo:
    if raw is None or raw == "UTC":
        return UTC
    expected = "expected the name of a time zone such as Europe/Berlin"
    if raw in ("Local", ""):
        raise ValueError(f"location: {raw!r} would depend on the machine; {expected}, or UTC")
    if not isinstance(raw, str):
        raise ValueError(f"location: {expected}, found {raw!r}")
    try:
        return ZoneInfo(raw)
    except (KeyError, ValueError, OSError) as refused:
        raise ValueError(f"location: {raw!r} is unknown; {expected}") from refused
