"""The rule index: the same answer as trying every rule, and far fewer tries."""

from __future__ import annotations

from collections import UserDict
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.index import NEAREST_LOOKS_AT, Miss, RuleIndex
from remediator.core.matchers import Matcher, Operator, parse_matchers

if TYPE_CHECKING:
    from collections.abc import Sequence

VALUES = st.sampled_from(["", "x", "y", "z"])
MATCHERS = st.one_of(
    st.builds(Matcher, st.sampled_from("abc"), st.sampled_from([Operator.EQUAL, Operator.NOT_EQUAL]), VALUES),
    st.builds(
        Matcher,
        st.sampled_from("abc"),
        st.sampled_from([Operator.MATCHES, Operator.DOES_NOT_MATCH]),
        st.sampled_from(["x|y", "x|", ".+", "", "[xy]", "z"]),
    ),
)
RULES = st.lists(st.lists(MATCHERS, max_size=4), max_size=12)
LABELS = st.dictionaries(st.sampled_from("abcd"), VALUES)


class CountedLabels(UserDict[str, str]):
    """Labels that count how often a matcher asked for one: every evaluation of a matcher does so once."""

    evaluations = 0

    def get(self, key: str, default: str = "") -> str:  # type: ignore[override]
        self.evaluations += 1
        return self.data.get(key, default)


def rules(*texts: str) -> list[tuple[Matcher, ...]]:
    return [parse_matchers(text) for text in texts]


def by_trying_all(matchers_by_rule: Sequence[Sequence[Matcher]], labels: dict[str, str]) -> tuple[int, ...]:
    return tuple(
        place for place, matchers in enumerate(matchers_by_rule) if all(matcher.matches(labels) for matcher in matchers)
    )


@given(RULES, LABELS)
def test_the_index_finds_what_trying_every_rule_finds(
    matchers_by_rule: list[list[Matcher]], labels: dict[str, str]
) -> None:
    assert RuleIndex(matchers_by_rule).matching(labels) == by_trying_all(matchers_by_rule, labels)


@given(RULES, LABELS)
def test_the_nearest_rule_is_one_that_fails_least_among_those_that_agree_in_something(
    matchers_by_rule: list[list[Matcher]], labels: dict[str, str]
) -> None:
    def agrees(matchers: list[Matcher]) -> bool:
        return any(
            matcher.literals and "" not in matcher.literals and labels.get(matcher.label) in matcher.literals
            for matcher in matchers
        )

    failed = [tuple(m for m in matchers if not m.matches(labels)) for matchers in matchers_by_rule]
    agreeing = [place for place, matchers in enumerate(matchers_by_rule) if agrees(matchers)]
    candidates = [place for place in (agreeing or range(len(failed))) if failed[place]]
    miss = RuleIndex(matchers_by_rule).nearest(labels)
    if not candidates:
        assert miss is None
    else:
        best = min(
            candidates,
            key=lambda place: (len(failed[place]), len(failed[place]) - len(matchers_by_rule[place]), place),
        )
        assert miss == Miss(best, failed[best])


@pytest.mark.parametrize("count", [10, 10_000])
def test_one_rule_of_ten_thousand_costs_no_more_tries_than_one_of_ten(count: int) -> None:
    index = RuleIndex(rules(*(f'alertname="A{n}",severity="critical",team!="x"' for n in range(count))))
    labels = CountedLabels({"alertname": "A7", "severity": "critical", "instance": "mta1"})
    assert index.matching(labels) == (7,)
    assert labels.evaluations == 2


def test_a_rule_is_filed_under_its_rarest_value() -> None:
    index = RuleIndex(rules(*(f'alertname="Bounce",domain="d{n}.example"' for n in range(5000))))
    labels = CountedLabels({"alertname": "Bounce", "domain": "d4321.example"})
    assert index.matching(labels) == (4321,)
    assert labels.evaluations == 1


def test_listed_alternatives_are_found_without_trying_other_rules() -> None:
    index = RuleIndex(rules(*(f'alertname=~"A{n}|B{n}"' for n in range(1000)), "alertname!~x"))
    labels = CountedLabels({"alertname": "B500"})
    assert index.matching(labels) == (500, 1000)
    assert labels.evaluations == 1


def test_an_equality_with_nothing_is_tried_always_because_a_missing_label_passes() -> None:
    index = RuleIndex(rules('a=""', 'b="x",a=""', ""))
    assert index.matching({}) == (0, 2)
    assert index.matching({"b": "x"}) == (0, 1, 2)
    assert index.matching({"a": "y"}) == (2,)


def test_a_near_miss_names_the_rule_and_what_did_not_pass() -> None:
    index = RuleIndex(rules("alertname=A,severity=critical", "alertname=B,severity=critical,team=mail", "alertname=C"))
    assert index.nearest({"alertname": "B", "severity": "warning", "team": "mail"}) == Miss(
        1, parse_matchers("severity=critical")
    )
    assert index.nearest({"alertname": "D"}) == Miss(2, parse_matchers("alertname=C"))
    assert RuleIndex([]).nearest({"alertname": "D"}) is None


def test_looking_for_a_near_miss_never_scans_all_rules() -> None:
    index = RuleIndex(rules(*(f'alertname="A{n}",severity="critical"' for n in range(10_000))))
    labels = CountedLabels({"alertname": "Z", "severity": "critical"})
    assert index.nearest(labels) == Miss(0, parse_matchers("alertname=A0"))
    assert labels.evaluations <= 2 * NEAREST_LOOKS_AT
    rare = CountedLabels({"alertname": "A7777", "severity": "warning"})
    assert index.nearest(rare) == Miss(7777, parse_matchers("severity=critical"))
    both = RuleIndex(rules(*(f'instance="i{n}",severity="critical",up="1"' for n in range(10_000))))
    alert = CountedLabels({"severity": "critical", "instance": "i7777", "up": "0"})
    assert both.nearest(alert) == Miss(7777, parse_matchers('up="1"'))
    strange = CountedLabels({"alertname": "Z", "severity": "none"})
    assert index.nearest(strange) is None
    assert strange.evaluations == 0
