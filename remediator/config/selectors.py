"""Which series a query asks for. Pure; for those who want to know whether they exist, before an incident does."""

from __future__ import annotations

import re
from dataclasses import dataclass

import promql_parser

from remediator.core.promql import quote

_BLANK = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_HOLE = "zq0qz"


@dataclass(frozen=True, slots=True, order=True)
class Selector:
    """One kind of series that a query asks for: its name, and the matchers whose values are known beforehand.

    A matcher whose value is filled from an alert is left out: it says which of the series, not whether there are any.
    """

    name: str
    matchers: tuple[tuple[str, str, str], ...] = ()  # label, operator, value

    def __str__(self) -> str:
        braces = ", ".join(f"{label}{operator}{quote(value)}" for label, operator, value in self.matchers)
        return f"{self.name}{{{braces}}}" if braces else self.name


_OPERATORS = (
    (promql_parser.MatchOp.Equal, "="),
    (promql_parser.MatchOp.NotEqual, "!="),
    (promql_parser.MatchOp.Re, "=~"),
    (promql_parser.MatchOp.NotRe, "!~"),
)


def selectors(text: str) -> frozenset[Selector]:
    """The series that a query asks for; its blanks may still be empty. ValueError if it cannot be read."""
    found: set[Selector] = set()

    def visit(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.add(_selector(node))
        return True

    promql_parser.walk(promql_parser.parse(_BLANK.sub(_HOLE, text)), pre_visit=visit)
    return frozenset(found)


def _selector(node: promql_parser.VectorSelector) -> Selector:
    name, kept = node.name or "", []
    for one in node.matchers.matchers:
        if one.name == "__name__" and one.op is promql_parser.MatchOp.Equal:
            name = one.value
        elif _HOLE not in one.value:
            kept.append((one.name, _sign(one), one.value))
    return Selector(name, tuple(sorted(kept)))


def _sign(matcher: promql_parser.Matcher) -> str:
    return next(sign for operator, sign in _OPERATORS if matcher.op == operator)
