"""Time intervals: Alertmanager's grammar and meaning, both changes of the clock, and the next change."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from remediator.core.intervals import (
    Span,
    TimeInterval,
    TimeRange,
    next_change,
    parse_time_interval,
)

BERLIN = ZoneInfo("Europe/Berlin")
WEEKDAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]
MONTHS = [
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
]  # fmt: skip

Raw = dict[str, object]


def unix(text: str) -> float:
    """Unix seconds of a moment with an explicit offset."""
    return datetime.fromisoformat(text).timestamp()


def between(start: str, end: str, **more: object) -> Raw:
    return {"times": [{"start_time": start, "end_time": end}], **more}


# --- meaning


def test_the_start_is_in_and_the_end_is_not() -> None:
    interval = parse_time_interval(between("09:00", "17:00"))
    assert not interval.contains(unix("2026-03-02T08:59:59+00:00"))
    assert interval.contains(unix("2026-03-02T09:00:00+00:00"))
    assert interval.contains(unix("2026-03-02T16:59:59.5+00:00"))
    assert not interval.contains(unix("2026-03-02T17:00:00+00:00"))


def test_midnight_at_the_end_takes_in_the_last_minute() -> None:
    interval = parse_time_interval(between("22:00", "24:00"))
    assert interval.contains(unix("2026-03-02T23:59:59+00:00"))
    assert not interval.contains(unix("2026-03-03T00:00:00+00:00"))


def test_all_conditions_must_hold_and_one_entry_of_each_suffices() -> None:
    interval = parse_time_interval(
        between("09:00", "17:00", weekdays=["monday", "friday"], months=["march", 12], years=["2026"])
    )
    assert interval.contains(unix("2026-03-02T12:00:00+00:00"))
    assert interval.contains(unix("2026-12-04T12:00:00+00:00"))
    assert not interval.contains(unix("2026-03-03T12:00:00+00:00"))
    assert not interval.contains(unix("2026-04-03T12:00:00+00:00"))
    assert not interval.contains(unix("2027-03-01T12:00:00+00:00"))


@pytest.mark.parametrize(
    ("days", "date", "inside"),
    [
        (["-1"], "2026-02-28", True),
        (["-1"], "2028-02-28", False),
        (["-1"], "2028-02-29", True),
        (["-3:-1"], "2026-04-27", False),
        (["-3:-1"], "2026-04-28", True),
        (["30:31"], "2026-02-28", False),
        (["30"], "2026-04-30", True),
        (["25:31"], "2026-02-28", True),
        (["-31:-1"], "2026-02-01", True),
        (["-31:-30"], "2026-02-01", False),
        (["20:-5"], "2026-02-24", True),
        (["20:-5"], "2026-02-25", False),
        ([1, "15"], "2026-02-15", True),
    ],
)
def test_days_of_the_month_are_held_to_its_length(days: list[object], date: str, inside: bool) -> None:
    assert parse_time_interval({"days_of_month": days}).contains(unix(f"{date}T12:00:00+00:00")) is inside


def test_the_last_day_of_a_month_that_loses_an_hour_is_still_its_last() -> None:
    interval = parse_time_interval({"days_of_month": ["-1"], "location": "Europe/Berlin"})
    assert interval.contains(unix("2026-03-31T12:00:00+02:00"))
    assert not interval.contains(unix("2026-03-30T12:00:00+02:00"))


def test_times_are_wall_times_of_the_location() -> None:
    interval = parse_time_interval(between("02:00", "04:00", weekdays=["sunday"], location="Europe/Berlin"))
    assert interval.contains(unix("2026-07-05T00:30:00+00:00"))
    assert not interval.contains(unix("2026-07-05T02:30:00+00:00"))
    assert parse_time_interval({}) == TimeInterval()
    assert TimeInterval().location is UTC


def test_an_hour_that_is_skipped_is_in_no_range() -> None:
    interval = parse_time_interval(between("02:00", "03:00", location="Europe/Berlin"))
    midnight = unix("2026-03-29T00:00:00+01:00")
    assert not any(interval.contains(midnight + minute * 60) for minute in range(23 * 60))
    assert next_change([interval], midnight) == unix("2026-03-30T02:00:00+02:00")


def test_a_range_over_the_skipped_hour_is_an_hour_shorter() -> None:
    interval = parse_time_interval(between("01:00", "04:00", location="Europe/Berlin"))
    start = unix("2026-03-29T01:00:00+01:00")
    assert next_change([interval], start) == start + 2 * 3600 == unix("2026-03-29T04:00:00+02:00")


def test_a_range_that_begins_in_the_skipped_hour_begins_after_it() -> None:
    interval = parse_time_interval(between("02:30", "04:00", location="Europe/Berlin"))
    assert next_change([interval], unix("2026-03-29T01:00:00+01:00")) == unix("2026-03-29T03:00:00+02:00")


def test_an_hour_that_is_lived_twice_is_in_its_range_twice() -> None:
    interval = parse_time_interval(between("02:00", "03:00", location="Europe/Berlin"))
    start = unix("2026-10-25T02:00:00+02:00")
    assert next_change([interval], start - 60) == start
    assert next_change([interval], start) == start + 2 * 3600
    half = parse_time_interval(between("02:00", "02:30", location="Europe/Berlin"))
    changes = [start]
    for _ in range(4):
        change = next_change([half], changes[-1])
        assert change is not None
        changes.append(change)
    assert [change - start for change in changes] == [0, 1800, 3600, 5400, 25 * 3600]


# --- when it changes


def test_the_end_of_a_maintenance_is_told() -> None:
    interval = parse_time_interval(between("02:00", "04:00", weekdays=["sunday"], location="Europe/Berlin"))
    at = unix("2026-07-05T03:10:00+02:00")
    assert interval.contains(at)
    assert next_change([interval], at) == unix("2026-07-05T04:00:00+02:00")
    assert next_change([interval], unix("2026-07-05T04:00:00+02:00")) == unix("2026-07-12T02:00:00+02:00")


def test_two_intervals_that_touch_are_one() -> None:
    halves = [parse_time_interval(between("18:00", "24:00")), parse_time_interval(between("00:00", "08:00"))]
    assert next_change(halves, unix("2026-07-05T20:00:00+00:00")) == unix("2026-07-06T08:00:00+00:00")


def test_what_never_changes_within_the_horizon_is_none() -> None:
    assert next_change([TimeInterval()], 1e9) is None
    assert next_change([], 1e9) is None
    far = parse_time_interval({"years": ["2030"]})
    assert next_change([far], unix("2026-01-01T00:00:00+00:00")) is None
    assert next_change([far], unix("2029-06-01T00:00:00+00:00")) == unix("2030-01-01T00:00:00+00:00")
    assert next_change([far], unix("2029-12-01T00:00:00+00:00"), horizon_days=30) is None


# --- against plain counting


def expand(entry: str, names: list[str], base: int) -> set[int]:
    """The numbers that a range of names or numbers stands for, by walking from one end to the other."""
    first, last = (
        names.index(end) + base if end in names else int(end)
        for end in (entry.split(":") if ":" in entry else [entry, entry])
    )
    return set(range(first, last + 1))


def counted(raw: Raw, at: float) -> bool:
    """Whether the moment is in the interval, from the raw values and by listing what each condition admits."""
    wall = datetime.fromtimestamp(at, ZoneInfo(str(raw.get("location", "UTC"))))
    length = monthrange(wall.year, wall.month)[1]
    clock = wall.strftime("%H:%M")
    day = wall.strftime("%A").lower()

    def holds(key: str, entry: object) -> bool:
        match key, entry:
            case "times", {"start_time": str(start), "end_time": str(end)}:
                return start <= clock < end
            case "weekdays", str():
                return day in {WEEKDAYS[number] for number in expand(entry, WEEKDAYS, 0)}
            case "months", str():
                return wall.month in expand(entry, MONTHS, 1)
            case "years", str():
                return wall.year in expand(entry, [], 0)
            case "days_of_month", str():
                ends = [int(end) if int(end) > 0 else int(end) + length + 1 for end in entry.split(":")]
                return wall.day in range(ends[0], ends[-1] + 1)

        raise AssertionError((key, entry))

    return all(any(holds(key, entry) for entry in entries) for key, entries in raw.items() if isinstance(entries, list))


def ranges(lowest: int, highest: int) -> st.SearchStrategy[str]:
    ends = st.integers(lowest, highest)
    return st.tuples(ends, ends).map(lambda pair: f"{min(pair)}:{max(pair)}" if pair[0] != pair[1] else str(pair[0]))


def lists_of(entries: st.SearchStrategy[object]) -> st.SearchStrategy[list[object]]:
    return st.lists(entries, min_size=1, max_size=3)


CLOCKS = st.sampled_from(["00:00", "00:01", "01:30", "02:00", "02:30", "03:00", "12:34", "23:59", "24:00"])
TIMES = (
    st.tuples(CLOCKS, CLOCKS)
    .filter(lambda pair: pair[0] != pair[1])
    .map(lambda pair: {"start_time": min(pair), "end_time": max(pair)})
)
NAMED_DAYS = ranges(0, 6).map(lambda text: ":".join(WEEKDAYS[int(end)] for end in text.split(":")))
RAW = st.fixed_dictionaries(
    {},
    optional={
        "times": lists_of(TIMES),
        "weekdays": lists_of(NAMED_DAYS),
        "days_of_month": lists_of(st.one_of(ranges(1, 31), ranges(-31, -1))),
        "months": lists_of(st.one_of(ranges(1, 12), st.sampled_from(MONTHS))),
        "years": lists_of(ranges(2009, 2027)),
        "location": st.sampled_from(
            ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo", "Pacific/Apia"]
        ),
    },
)
# Around: clocks forward and back in Berlin, half an hour in Lord Howe, at midnight in São Paulo, the day Apia left out.
AWKWARD = [
    "2026-03-29T00:00", "2026-10-25T00:00", "2026-04-04T14:00", "2026-10-03T14:00",
    "2018-11-04T02:00", "2018-02-18T01:00", "2011-12-30T09:00", "2026-12-31T20:00", "2028-02-28T20:00",
]  # fmt: skip
MOMENTS = st.builds(
    lambda text, seconds: unix(f"{text}:00+00:00") + seconds,
    st.sampled_from(AWKWARD),
    st.integers(-2 * 86_400, 86_400),
)


@given(RAW, MOMENTS)
def test_an_interval_contains_what_counting_says(raw: Raw, at: float) -> None:
    assert parse_time_interval(raw).contains(at) is counted(raw, at)


@settings(max_examples=60, deadline=None)
@given(st.lists(RAW, max_size=2), MOMENTS)
@example([between("00:00", "24:00", weekdays=["sunday"], location="America/Sao_Paulo")], unix("2018-11-03T22:00-03:00"))
@example([{"days_of_month": ["31"], "location": "Pacific/Apia"}], unix("2011-12-30T08:00+00:00"))
@pytest.mark.heavy
def test_the_next_change_is_the_first_minute_that_differs(raws: list[Raw], at: float) -> None:
    intervals = [parse_time_interval(raw) for raw in raws]

    def held(moment: float) -> bool:
        return any(interval.contains(moment) for interval in intervals)

    minutes = (at - at % 60 + 60 * n for n in range(1, 2 * 24 * 60 + 2))
    differing = (minute for minute in minutes if held(minute) is not held(at))
    first = next(differing, None)
    expected = first if first is not None and first <= at + 2 * 86_400 else None
    assert next_change(intervals, at, horizon_days=2) == expected


# --- grammar


def test_an_interval_is_read_into_numbers() -> None:
    raw = between("02:00", "24:00", weekdays=["Monday:friday", "SUNDAY"], days_of_month=[1, "-3:-1"],
                  months=["january:3", "december"], years=[2026, "2027:2030"], location="Europe/Berlin")  # fmt: skip
    assert parse_time_interval(raw) == TimeInterval(
        times=(TimeRange(120, 1440),),
        weekdays=(Span(1, 5), Span(0, 0)),
        days_of_month=(Span(1, 1), Span(-3, -1)),
        months=(Span(1, 3), Span(12, 12)),
        years=(Span(2026, 2026), Span(2027, 2030)),
        location=BERLIN,
    )


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (between("18:00", "08:00"), "times[0]: 18:00 to 08:00 crosses midnight, which one range cannot; write two"),
        (
            between("18:00", "08:00"),
            '{start_time: "18:00", end_time: "24:00"} and {start_time: "00:00", end_time: "08:00"}',
        ),
        (between("18:00", "00:00"), 'cannot; write {start_time: "18:00", end_time: "24:00"}'),
        (between("24:00", "08:00"), 'cannot; write {start_time: "00:00", end_time: "08:00"}'),
        (between("10:00", "10:00"), "times[0]: start and end are both 10:00"),
        (between("9:00", "10:00"), "times[0].start_time: expected a time from 00:00 to 24:00 in quotes"),
        (between("9:00", "10:00"), 'write "09:00"'),
        ({"times": [{"start_time": "10:00", "end_time": 1020}]}, 'write "17:00" with the quotes'),
        ({"times": [{"start_time": "10:00"}]}, "times[0].end_time: expected a time"),
        ({"times": [{"start_time": "10:00", "end_time": "25:00"}]}, "times[0].end_time: expected a time"),
        ({"times": [{"start": "10:00"}]}, "times[0].start: unknown key; expected one of start_time, end_time"),
        ({"times": ["10:00"]}, "times[0]: expected keys and values"),
        ({"times": []}, "times: expected a list with at least one entry"),
        ({"weekdays": "monday"}, "weekdays: expected a list, found 'monday'; write [monday]"),
        ({"weekday": ["monday"]}, "weekday: unknown key"),
        ({"weekdays": ["mon"]}, "weekdays[0]: 'mon' is no weekday"),
        ({"weekdays": ["monday: friday"]}, "weekdays[0]: ' friday' is no weekday"),
        ({"weekdays": ["monday", "saturday:sunday"]}, "weekdays[1]: saturday:sunday crosses the end of the week"),
        ({"weekdays": ["friday:monday"]}, "write two entries: friday:saturday and sunday:monday"),
        ({"weekdays": [None]}, "weekdays[0]: expected a name"),
        ({"weekdays": [True]}, "weekdays[0]: expected a name"),
        ({"months": ["november:february"]}, "write two entries: november:december and january:february"),
        ({"months": ["jan"]}, "months[0]: 'jan' is not a month"),
        ({"months": [13]}, "months[0]: '13' is not a month"),
        ({"years": ["2027:2026"]}, "years[0]: 2027:2026 ends before it starts"),
        ({"years": ["0"]}, "years[0]: '0' is not a year"),
        ({"days_of_month": [0]}, "days_of_month[0]: '0' is not a day of the month"),
        ({"days_of_month": ["32"]}, "days_of_month[0]: '32' is not a day of the month"),
        ({"days_of_month": ["-1:1"]}, "days_of_month[0]: -1:1 begins counting from the end"),
        ({"days_of_month": ["5:1"]}, "days_of_month[0]: 5:1 can end before it starts"),
        ({"days_of_month": ["28:-1"]}, "days_of_month[0]: 28:-1 can end before it starts"),
        ({"days_of_month": ["1:2:3"]}, "days_of_month[0]: '1:2:3' is not a day"),
        ({"days_of_month": ["1_0"]}, "days_of_month[0]: '1_0' is not a day"),
        ({"times": ["x"]}, "times[0]: expected keys and values"),
        ({"location": "Mars/Olympus"}, "location: 'Mars/Olympus' is unknown; expected the name of a time zone"),
        ({"location": "../zone"}, "location: '../zone' is unknown"),
        ({"location": "Europe"}, "location: 'Europe' is unknown"),
        ({"location": "Local"}, "location: 'Local' would depend on the machine"),
        ({"location": 1}, "location: expected the name of a time zone such as Europe/Berlin, found 1"),
    ],
)
def test_what_is_no_interval_is_refused_with_its_key_and_the_right_spelling(raw: Raw, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse_time_interval(raw)


def test_the_next_change_is_found_almost_a_year_ahead() -> None:
    interval = parse_time_interval({"days_of_month": ["-1"], "months": ["february"], "location": "Europe/Berlin"})
    start = datetime(2026, 3, 1, 12, tzinfo=BERLIN)
    assert next_change([interval], start.timestamp()) == datetime(2027, 2, 28, tzinfo=BERLIN).timestamp()
