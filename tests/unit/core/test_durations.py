"""Durations: the grammar of Prometheus, both ways, and the advice for those who do not know it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("30s", 30.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1d", 86_400.0),
        ("1w", 604_800.0),
        ("1y", 31_536_000.0),
        ("1h30m", 5400.0),
        ("500ms", 0.5),
        ("1y1w1d1h1m1s1ms", 32_230_861.001),
        ("007m", 420.0),
        ("90m", 5400.0),
    ],
)
def test_a_duration_has_the_meaning_it_has_in_prometheus(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("30 min", "'30 min' is not a duration; write 30m"),
        ("30min", "write 30m"),
        ("1 hour and 30 minutes", "write 1h30m"),
        ("1.5h", "write 1h30m"),
        ("30m1h", "write 1h30m"),
        ("5m5m", "write 10m"),
        ("2 Days", "write 2d"),
        (" 5m", "write 5m"),
        ("5m ", "write 5m"),
        ("-5m", "has no sign; write 5m"),
        ("+5m", "has no sign; write 5m"),
        ("30", "has no unit; write 30s for seconds or 30m for minutes"),
        ("", "write for example 30s"),
        ("soon", "write for example 30s"),
        ("1 month", "write for example 30s"),
        ("٣m", "write for example 30s"),
        ("m", "write for example 30s"),
        ("300y", "at most 292y"),
        ("9" * 5000 + "s", "at most 292y"),
    ],
)
def test_what_is_no_duration_is_refused_with_the_right_spelling(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "0s"),
        (5400, "1h30m"),
        (90, "1m30s"),
        (0.5, "500ms"),
        (7 * 86_400, "1w"),
        (8 * 86_400, "8d"),
        (365 * 86_400, "1y"),
        (372 * 86_400, "372d"),
        (1.0000001, "1s"),
    ],
)
def test_a_number_is_written_as_prometheus_writes_it(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_a_number_that_is_no_duration_is_not_written(seconds: float) -> None:
    with pytest.raises(ValueError, match="finite number from 0 on"):
        format_duration(seconds)


@given(st.integers(min_value=0, max_value=9_000_000_000_000))
def test_what_is_written_is_read_back_exactly(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.text(alphabet="0123456789ywdhms .,-", max_size=20))
def test_any_text_is_either_read_or_refused_with_a_sentence(text: str) -> None:
    sentence, seconds = "write", 0.0
    try:
        seconds = parse_duration(text)
    except ValueError as refused:
        sentence = str(refused)
    assert "write" in sentence
    assert seconds >= 0
