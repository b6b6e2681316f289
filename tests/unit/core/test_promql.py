"""Escaping for PromQL: what goes in as text comes out of a real PromQL parser as the same text, and nothing else."""

from __future__ import annotations

import promql_parser
import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.promql import escape, quote, regex_quote

VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(alphabet='\\"\n\r\t\0\x7f{}.*+?()|[]^$au0'),
)


def read_back(query: str) -> str:
    """The value of the one matcher of the selector that this query must be."""
    selector = promql_parser.parse(query)
    assert isinstance(selector, promql_parser.VectorSelector)
    assert selector.name == "m"
    (matcher,) = selector.matchers.matchers
    assert matcher.name == "l"
    return matcher.value


@given(VALUES)
def test_an_escaped_value_is_read_back_exactly(value: str) -> None:
    assert read_back(f'm{{l="{escape(value)}"}}') == value
    assert read_back(f"m{{l={quote(value)}}}") == value


@given(VALUES, VALUES)
def test_a_quoted_expression_matches_its_value_and_no_other(value: str, other: str) -> None:
    pattern = read_back(f'm{{l=~"{regex_quote(value)}"}}')
    expression = re2.compile(pattern)
    assert expression.fullmatch(value) is not None
    assert (expression.fullmatch(other) is not None) is (other == value)


@pytest.mark.parametrize("sign", list("\\.+*?()|[]{}^$"))
def test_every_sign_with_a_meaning_in_expressions_loses_it(sign: str) -> None:
    assert read_back(f'm{{l=~"{regex_quote(f"a{sign}b")}"}}') == f"a\\{sign}b"


@given(VALUES)
def test_nothing_unprintable_is_left(value: str) -> None:
    assert not any(sign < " " or "\x7f" <= sign <= "\x9f" or "\u202a" <= sign <= "\u202e" for sign in escape(value))


def test_a_value_cannot_leave_its_quotes() -> None:
    assert escape('x"} or vector(1) #') == 'x\\"} or vector(1) #'
    assert escape("a\\") == "a\\\\"
    assert escape("a\0\n\r\t\x1b[2J\u202e") == "a\\u0000\\n\\r\\t\\u001b[2J\\u202e"


@pytest.mark.parametrize("function", [escape, quote, regex_quote])
def test_a_lone_surrogate_is_refused(function: object) -> None:
    assert callable(function)
    with pytest.raises(ValueError, match=r"is a lone surrogate \(U\+D800\)"):
        function("ab\ud800")
