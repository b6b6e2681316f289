"""The probe promql: good and bad need fresh data; everything else could not tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import respx

from remediator.actions.prometheus_client import Prometheus, selectors
from remediator.core.outcomes import Look, Observation
from remediator.ports import LookCall
from remediator.probes.promql import PromqlProbe

if TYPE_CHECKING:
    Answers = Any

NOW = 1_795_518_303.0
RATIO = 'kumo_bounce_ratio{instance="mta1"}'
EXPR = f"{RATIO} < 0.1"
MakeVector = Callable[[list[str]], str]


async def look(prometheus: Prometheus, expr: str = EXPR, *, newer_than: float = NOW - 60) -> Observation:
    call = LookCall(arguments={"expr": expr}, newer_than=newer_than, now=NOW)
    return await PromqlProbe(prometheus).look(call)


async def test_a_value_on_new_samples_is_good(
    prometheus: Prometheus, answers: Answers, make_vector: MakeVector
) -> None:
    answers.by_expr[EXPR] = make_vector(["0.04"])
    answers.fresh(RATIO, age=5)
    seen = await look(prometheus)
    assert seen.look is Look.GOOD
    assert seen.value == 0.04
    assert seen.at == NOW - 5
    assert "0.04" in seen.sentence


async def test_an_empty_answer_on_new_samples_is_bad(prometheus: Prometheus, answers: Answers) -> None:
    answers.fresh(RATIO, age=5)
    assert (await look(prometheus)).look is Look.BAD


async def test_an_empty_answer_without_data_could_not_tell(prometheus: Prometheus, answers: Answers) -> None:
    seen = await look(prometheus)
    assert seen.look is Look.UNKNOWN
    assert "no data" in seen.sentence


async def test_an_empty_answer_where_one_of_two_selectors_has_no_data_could_not_tell(
    prometheus: Prometheus, answers: Answers
) -> None:
    answers.fresh("a{}", age=5)
    seen = await look(prometheus, "a > 1 and b > 2")
    assert seen.look is Look.UNKNOWN
    assert "b{}" in seen.sentence


@pytest.mark.parametrize("values", [["0.04"], []])
async def test_samples_from_before_the_effect_could_not_tell(
    prometheus: Prometheus, answers: Answers, make_vector: MakeVector, values: list[str]
) -> None:
    answers.by_expr[EXPR] = make_vector(values)
    answers.fresh(RATIO, age=60)
    seen = await look(prometheus, newer_than=NOW - 60)
    assert seen.look is Look.UNKNOWN
    assert "no new sample" in seen.sentence


async def test_the_oldest_of_the_selectors_decides(
    prometheus: Prometheus, answers: Answers, make_vector: MakeVector
) -> None:
    answers.by_expr["a / b < 1"] = make_vector(["0.5"])
    answers.fresh("a{}", age=5)
    answers.fresh("b{}", age=90)
    seen = await look(prometheus, "a / b < 1")
    assert seen.look is Look.UNKNOWN
    assert "b{}" in seen.sentence


async def test_absence_alone_is_never_good(prometheus: Prometheus, answers: Answers, make_vector: MakeVector) -> None:
    answers.by_expr["absent(a)"] = make_vector(["1"])
    assert (await look(prometheus, "absent(a)")).look is Look.UNKNOWN


@pytest.mark.parametrize("expr", ["vector(1)", "sum(a) or vector(0)"])
async def test_a_made_up_value_is_never_good(
    prometheus: Prometheus, answers: Answers, make_vector: MakeVector, expr: str
) -> None:
    answers.by_expr[expr] = make_vector(["0"])
    assert (await look(prometheus, expr)).look is Look.UNKNOWN


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("query-nan", "no number"),
        ("query-inf", "no number"),
        ("query-vector", "series where one is meant"),
        ("query-scalar", "scalar"),
        ("query-string", "string"),
        ("query-matrix", "matrix"),
        ("warnings-empty-result", "warns"),
        ("warnings-remote-read-failed", "warns"),
    ],
)
async def test_a_recorded_answer_that_is_not_plain_could_not_tell(
    prometheus: Prometheus, answers: Answers, recorded: Callable[[str], str], name: str, word: str
) -> None:
    answers.by_expr[EXPR] = recorded(f"prometheus/{name}.json")
    answers.fresh(RATIO, age=5)
    seen = await look(prometheus)
    assert seen.look is Look.UNKNOWN
    assert word in seen.sentence


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("error-400-parse.json", 400),
        ("error-422-many-to-many.json", 422),
        ("error-503-timeout.json", 503),
        ("starting-503-query.txt", 503),
    ],
)
async def test_a_recorded_error_could_not_tell(
    prometheus: Prometheus, answers: Answers, recorded: Callable[[str], str], name: str, status: int
) -> None:
    answers.otherwise, answers.status = recorded(f"prometheus/{name}"), status
    seen = await look(prometheus)
    assert seen.look is Look.UNKNOWN
    assert str(status) in seen.sentence


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        '{"status":"success"}',
        '{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}',
        '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}}',
        '{"status":"success","data":{"resultType":"vector","result":7}}',
        '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"x"]}]}}',
    ],
)
async def test_an_answer_of_another_shape_could_not_tell(prometheus: Prometheus, answers: Answers, body: str) -> None:
    answers.otherwise = body
    assert (await look(prometheus)).look is Look.UNKNOWN


async def test_silence_could_not_tell(prometheus: Prometheus) -> None:
    with respx.mock:
        respx.get(url__startswith="http://prometheus.example").mock(side_effect=httpx.ConnectError("refused"))
        seen = await look(prometheus)
    assert seen.look is Look.UNKNOWN
    assert "does not answer" in seen.sentence


@pytest.mark.parametrize("expr", ["a{", "", "a > bool 1", "(a > bool 1)"])
async def test_an_expression_that_cannot_be_a_condition_is_not_asked(
    prometheus: Prometheus, answers: Answers, expr: str
) -> None:
    assert (await look(prometheus, expr)).look is Look.UNKNOWN
    assert answers.asked == []


def test_selectors_are_found_everywhere_without_range_and_offset() -> None:
    expr = (
        'sum(rate(a{b="x\\"y"}[5m] offset 1h)) / on() max_over_time(c[5m:1m]) > 1 unless absent({__name__=~"d.*"} @ 5)'
    )
    assert selectors(expr) == ('a{b="x\\"y"}', "c{}", '{__name__=~"d.*"}')
