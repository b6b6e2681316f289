"""When people are called again: after 15 minutes, an hour, four hours, and every four hours from then on."""

from __future__ import annotations

import pytest

from remediator.core.reminders import due, passed


def test_the_calls_come_at_their_times() -> None:
    hours = [due(1000.0, number) - 1000.0 for number in range(1, 7)]
    assert hours == [900.0, 3600.0, 14400.0, 28800.0, 43200.0, 57600.0]


@pytest.mark.parametrize("number", range(1, 9))
def test_a_call_has_passed_from_its_time_on_and_not_a_moment_earlier(number: int) -> None:
    at = due(1000.0, number)
    assert passed(1000.0, at) == number
    assert passed(1000.0, at - 0.001) == number - 1


def test_a_clock_that_was_set_back_calls_nobody() -> None:
    assert passed(1000.0, 0.0) == 0
