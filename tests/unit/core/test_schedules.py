"""When a schedule comes due: zones, changed clocks, what is missed, and what is refused."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.schedules import ON_TIME, Missed, Schedule, parse_schedule, read_zone

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = BERLIN, *, fold: int = 0) -> float:
    """A wall time in a zone as unix seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def moments(schedule: Schedule, after: float, until: float) -> list[float]:
    """All occurrences in a span, one by one."""
    found: list[float] = []
    while (following := schedule.following(found[-1] if found else after)) is not None and following <= until:
        found.append(following)
    return found


def test_a_daily_time_is_read_in_its_zone_in_winter_and_in_summer() -> None:
    schedule = parse_schedule("0 9 * * *", time_zone=BERLIN)
    assert schedule.following(at("2026-01-05T10:00")) == at("2026-01-06T08:00", "UTC")
    assert schedule.following(at("2026-07-05T10:00")) == at("2026-07-06T07:00", "UTC")
    assert parse_schedule("0 9 * * *").following(at("2026-07-05T10:00")) == at("2026-07-05T09:00", "UTC")


def test_three_checks_a_day_are_one_schedule() -> None:
    schedule = parse_schedule("0 9,14,20 * * *", time_zone=BERLIN)
    day = [at(f"2026-11-24T{hour}:00") for hour in ("09", "14", "20")]
    assert moments(schedule, at("2026-11-24T00:00"), at("2026-11-25T00:00")) == day


def test_the_first_sunday_of_the_month_can_be_said() -> None:
    schedule = parse_schedule("0 3 * * SUN#1", time_zone="UTC")
    found = moments(schedule, at("2026-11-24T00:00", "UTC"), at("2027-03-01T00:00", "UTC"))
    assert found == [at(f"{day}T03:00", "UTC") for day in ("2026-12-06", "2027-01-03", "2027-02-07")]


def test_a_fixed_time_in_the_skipped_hour_comes_once_right_after_the_gap() -> None:
    day = (at("2026-03-29T00:00"), at("2026-03-29T12:00"))
    for cron in ("30 2 * * *", "0,30 2 * * *", "0 2,3 * * *"):
        assert moments(parse_schedule(cron, time_zone=BERLIN), *day) == [at("2026-03-29T03:00")]


def test_what_recurs_has_no_occurrence_in_the_skipped_hour() -> None:
    schedule = parse_schedule("*/30 * * * *", time_zone=BERLIN)
    found = moments(schedule, at("2026-03-29T01:15"), at("2026-03-29T03:45"))
    assert found == [at(f"2026-03-29T{time}") for time in ("01:30", "03:00", "03:30")]


def test_a_fixed_time_in_the_doubled_hour_comes_the_first_time_only() -> None:
    schedule = parse_schedule("30 2 * * *", time_zone=BERLIN)
    found = moments(schedule, at("2026-10-25T00:00"), at("2026-10-26T00:00"))
    assert found == [at("2026-10-25T02:30", fold=0)]


def test_nor_does_it_come_again_for_who_asks_within_the_second_pass() -> None:
    schedule = parse_schedule("30 2 * * *", time_zone=BERLIN)
    second = at("2026-10-25T02:10", fold=1)
    assert schedule.following(second) == at("2026-10-26T02:30")
    assert schedule.latest(second, at("2026-10-25T05:00")) is None


def test_what_recurs_has_its_moments_in_both_passes_of_the_doubled_hour() -> None:
    schedule = parse_schedule("*/30 * * * *", time_zone=BERLIN)
    found = moments(schedule, at("2026-10-25T01:45"), at("2026-10-25T03:15"))
    hours = [at("2026-10-25T02:00") + 1800.0 * step for step in range(4)]
    assert found == [*hours, at("2026-10-25T03:00")]


def test_the_latest_occurrence_of_a_long_time_is_found() -> None:
    yearly = parse_schedule("0 0 29 2 *")
    assert yearly.latest(at("2020-01-01T00:00", "UTC"), at("2026-11-24T00:00", "UTC")) == at("2024-02-29T00:00", "UTC")
    assert yearly.latest(at("2024-03-01T00:00", "UTC"), at("2026-11-24T00:00", "UTC")) is None


def test_what_comes_more_seldom_than_every_nine_years_is_not_looked_for_farther_back() -> None:
    seldom = parse_schedule("0 0 * 2 MON#5")  # a fifth Monday in February: 2016, 2044
    assert seldom.latest(at("2015-01-01T00:00", "UTC"), at("2024-01-01T00:00", "UTC")) == at("2016-02-29T00:00", "UTC")
    assert seldom.latest(at("2017-01-01T00:00", "UTC"), at("2040-01-01T00:00", "UTC")) is None


def test_what_never_comes_has_neither_a_next_nor_a_last_time() -> None:
    never = Schedule(cron="0 9 */31 * SUN#2")
    assert never.following(0.0) is None
    assert never.latest(0.0, 1e9) is None


@given(
    st.sampled_from(["*/7 * * * *", "30 2 * * *", "0 9,14,20 * * MON-FRI", "15 * 1 * *", "0 0 L * *"]),
    st.floats(min_value=1.7e9, max_value=1.9e9),
    st.floats(min_value=0.0, max_value=40 * 86_400.0),
)
def test_the_latest_is_the_last_of_all_that_follow(cron: str, after: float, span: float) -> None:
    schedule = parse_schedule(cron, time_zone=BERLIN)
    span = span / 40 if cron.startswith("*") else span
    found = moments(schedule, after, after + span)
    assert schedule.latest(after, after + span) == (found[-1] if found else None)
    assert found == sorted(set(found))


def test_an_occurrence_at_the_very_end_of_the_span_counts_and_one_at_its_beginning_does_not() -> None:
    schedule, nine = parse_schedule("0 9 * * *"), at("2026-11-24T09:00", "UTC")
    assert schedule.latest(nine - 1, nine) == nine
    assert schedule.latest(nine, nine) is None


def test_how_late_an_occurrence_may_be_is_said_by_its_policy() -> None:
    assert parse_schedule("0 9 * * *").patience == ON_TIME
    assert parse_schedule("0 9 * * *", missed=Missed.RUN_ONCE, within=7200.0).patience == 7200.0
    assert parse_schedule("0 9 * * *", missed=Missed.RUN_ONCE, within=5.0).patience == ON_TIME


def test_a_schedule_is_told_as_it_is_written() -> None:
    assert parse_schedule("0  9 * *   *", time_zone=BERLIN).text == "0 9 * * * (Europe/Berlin)"


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 9 * *", "has 4 fields; write five"),
        ("0 9 * * * *", "has 6 fields"),
        ("@daily", "has 1 fields"),
        ("61 9 * * *", "bad minute"),
        ("0 25 * * *", "bad hour"),
        ("0 9 * * XYZ", "bad day-of-week"),
        ("0 9 31 2 *", "bad day-of-month"),
        ("0 9 30 FEB *", "bad day-of-month"),
    ],
)
def test_what_is_no_schedule_is_refused(cron: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_schedule(cron)


def test_a_day_that_never_comes_is_refused() -> None:
    with pytest.raises(ValueError, match="never comes"):
        parse_schedule("0 9 */31 * SUN#2")  # the first of a month that is its second Sunday


@pytest.mark.parametrize("name", ["", "Local", "localtime", "Europe/Atlantis", "../etc/passwd", "UTC\x00"])
def test_a_zone_that_is_unknown_or_the_machines_own_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no time zone"):
        read_zone(name)
