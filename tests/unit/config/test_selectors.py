"""Which series a query asks for."""

from __future__ import annotations

import pytest

from remediator.config.selectors import Selector, selectors


def test_all_series_of_a_query_are_found_wherever_they_stand() -> None:
    expr = 'sum by (a) (rate(one{x="1", y=~"b.*"}[5m])) / on () two offset 5m > 3 or min_over_time(three[5m:1m])'
    wanted = {"three", "two", 'one{x="1", y=~"b.*"}'}
    assert {str(one) for one in selectors(expr)} == wanted


def test_a_name_may_be_given_as_a_matcher() -> None:
    assert selectors('{__name__="one", x!~"y"}') == {Selector("one", (("x", "!~", "y"),))}


def test_what_an_alert_will_say_is_left_out() -> None:
    expr = 'one{instance="{{ labels.instance }}", by!="campaign"} > 0.2'
    assert selectors(expr) == {Selector("one", (("by", "!=", "campaign"),))}


def test_what_is_no_query_is_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        selectors("one >")
