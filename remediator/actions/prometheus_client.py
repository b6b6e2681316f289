"""Asks Prometheus, and takes nothing for an answer that is not one plain vector (alertmanager.md §4).

Errors, warnings, scalars, strings, text instead of JSON: each is `Useless` with its sentence. An empty vector is a result;
what it means depends on whether there was data (`freshness`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import promql_parser

from remediator.actions.http_client import Answer, Credentials, HttpClient, Lost, NotSent, Request, clean, deadline
from remediator.actions.targets import PrometheusTarget
from remediator.core.promql import quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series: its labels, and its samples as (unix seconds, value), oldest first."""

    labels: Mapping[str, str]
    samples: tuple[tuple[float, float], ...]

    @property
    def value(self) -> float:
        """The newest value."""
        return self.samples[-1][1]

    def __str__(self) -> str:
        inner = ", ".join(f"{name}={quote(value)}" for name, value in self.labels.items() if name != "__name__")
        return f"{self.labels.get('__name__', '')}{{{inner}}} {self.value:.6g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Useless:
    """No answer that anything may rest on, and why."""

    sentence: str


Result = tuple[Series, ...] | Useless
# A sample may be this much newer than the moment that was asked about (s); it is never newer at all but for rounding.
AHEAD = 1.0
Asked = Callable[[str], None]


def nobody_counts(_result: str) -> None:
    """Nobody wants to know what came of a question."""


class Prometheus:
    """One Prometheus. `target` None means that none is configured: every question is then useless."""

    def __init__(self, target: PrometheusTarget | None, *, http: HttpClient, asked: Asked = nobody_counts) -> None:
        self._target = target
        self._http = http
        self._asked = asked

    @property
    def max_age(self) -> float:
        """Seconds after which a sample is no evidence for a condition."""
        return self._target.max_age if self._target else 0.0

    @property
    def timeout(self) -> float:
        """Seconds that a question may take."""
        return self._target.timeout if self._target else 0.0

    async def instant(self, expr: str, *, at: float | None, until: float) -> Result:
        """The vector that `expr` gives at `at`; without it, at what Prometheus calls now."""
        time = (("time", f"{at:.3f}"),) if at is not None else ()
        return await self._counted("query", (("query", expr), *time), "vector", until)

    async def between(self, expr: str, *, start: float, end: float, step: float, until: float) -> Result:
        """What `expr` gave from `start` to `end`, every `step` seconds."""
        query = (("query", expr), ("start", f"{start:.3f}"), ("end", f"{end:.3f}"), ("step", f"{step:.3f}"))
        return await self._counted("query_range", query, "matrix", until)

    async def _counted(self, path: str, query: tuple[tuple[str, str], ...], kind: str, until: float) -> Result:
        result = await self._ask(path, query, kind, until)
        self._asked("useless" if isinstance(result, Useless) else "answered" if result else "empty")
        return result

    async def _ask(self, path: str, query: tuple[tuple[str, str], ...], kind: str, until: float) -> Result:
        target = self._target
        if target is None:
            return Useless(sentence="no Prometheus is configured")
        request = Request(
            method="GET",
            url=f"{target.url.rstrip('/')}/api/v1/{path}",
            query=query,
            credentials=Credentials(username=target.username, password_file=target.password_file),
        )
        match await self._http.read(request, until=min(until, deadline(target.timeout))):
            case NotSent(sentence=sentence) | Lost(sentence=sentence):
                return Useless(sentence=f"Prometheus does not answer: {sentence}")
            case answer:
                return _read(answer, kind)


def _read(answer: Answer, kind: str) -> Result:
    try:
        document = answer.json()
    except ValueError:
        return Useless(sentence=f"Prometheus answered {answer.status} {answer.text!r} instead of JSON")
    if not isinstance(document, dict):
        return Useless(sentence="Prometheus answered something that is not an object")
    if answer.status != 200 or document.get("status") != "success":
        told = clean(f"{document.get('errorType', '')} {document.get('error', '')}")[:300]
        return Useless(sentence=f"Prometheus answered {answer.status}: {told}")
    warnings = document.get("warnings")
    if warnings:
        told = "; ".join(map(str, warnings)) if isinstance(warnings, list) else str(warnings)
        return Useless(sentence=f"Prometheus warns, so its answer may be incomplete: {clean(told)[:300]}")
    return _series(document.get("data"), kind)


def _series(found: object, kind: str) -> Result:
    if not isinstance(found, dict):
        return Useless(sentence="Prometheus answered without a result")
    try:
        if found["resultType"] != kind:
            return Useless(
                sentence=f"the expression gives a {clean(str(found['resultType']))[:20]}, not an instant vector"
            )
        return tuple(
            Series(
                labels={str(name): str(value) for name, value in one["metric"].items()},
                samples=tuple(
                    (float(at), float(value)) for at, value in (one["values"] if kind == "matrix" else [one["value"]])
                ),
            )
            for one in found["result"]
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return Useless(sentence="Prometheus answered in a shape that is not understood (native histograms are not)")


def one_value(series: Sequence[Series]) -> float | Useless:
    """The one number of a non-empty result; several series, NaN and infinity are no plain answer."""
    if len(series) > 1:
        return Useless(sentence=f"{len(series)} series where one is meant: {series[0]}; {series[1]}")
    value = series[0].value
    if not math.isfinite(value):
        return Useless(sentence=f"the value is {value}, which is no number to rest on (a division by zero?)")
    return value


def expression_fault(expr: str) -> str:
    """Why `expr` cannot be a condition; empty if it may."""
    try:
        parsed = promql_parser.parse(expr)
    except ValueError as fault:
        return f"the expression cannot be read: {fault}"
    while isinstance(parsed, promql_parser.ParenExpr):
        parsed = parsed.expr
    if isinstance(parsed, promql_parser.BinaryExpr) and parsed.modifier is not None and parsed.modifier.return_bool:
        return "`bool` makes it answer always, true or false; write the comparison without it"
    return ""


def selectors(expr: str) -> tuple[str, ...]:
    """The selectors of a readable expression, each without range, offset and `@`, in order, each once."""
    found: dict[str, None] = {}

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found[_selector(node)] = None

    promql_parser.walk(promql_parser.parse(expr), visit)
    return tuple(found)


_SIGNS = (
    (promql_parser.MatchOp.Equal, "="),
    (promql_parser.MatchOp.NotEqual, "!="),
    (promql_parser.MatchOp.Re, "=~"),
    (promql_parser.MatchOp.NotRe, "!~"),
)


def _selector(node: promql_parser.VectorSelector) -> str:
    alternatives = [node.matchers.matchers, *node.matchers.or_matchers]
    groups = [
        ",".join(f"{one.name}{_sign(one.op)}{quote(one.value)}" for one in group) for group in alternatives if group
    ]
    return f"{node.name or ''}{{{' or '.join(groups)}}}"


def _sign(op: promql_parser.MatchOp) -> str:
    return next(sign for known, sign in _SIGNS if known == op)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """The newest sample of each selector of an expression (unix s), None where there is none."""

    newest: Mapping[str, float | None]

    @property
    def missing(self) -> tuple[str, ...]:
        """The selectors that have no data."""
        return tuple(name for name, at in self.newest.items() if at is None)

    @property
    def oldest(self) -> float | None:
        """The least new of the newest samples of those that have data."""
        return min((at for at in self.newest.values() if at is not None), default=None)


async def freshness(prometheus: Prometheus, expr: str, *, at: float, until: float) -> Freshness | Useless:
    """How new the samples are that `expr` reads; an instant answer itself carries only the time of the question."""
    newest: dict[str, float | None] = {}
    for selector in selectors(expr):
        result = await prometheus.instant(f"max(timestamp({selector}))", at=at, until=until)
        if isinstance(result, Useless):
            return Useless(sentence=f"how new {selector} is could not be told: {result.sentence}")
        newest[selector] = newer = result[0].value if result else None
        if newer is not None and not newer <= at + AHEAD:  # no number compares with nothing, and would pass for new
            return Useless(sentence=f"how new {selector} is could not be told: its newest sample is of {newer}")
    return Freshness(newest=newest)
