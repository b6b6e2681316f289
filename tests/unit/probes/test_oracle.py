"""The evidence before an effect: it must hold now and have held, on data that is not old."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import respx

from remediator.actions.http_client import HttpClient
from remediator.actions.prometheus_client import Prometheus
from remediator.actions.targets import PrometheusTarget
from remediator.core.outcomes import Look
from remediator.probes.oracle import PrometheusOracle

if TYPE_CHECKING:
    Answers = Any

NOW = 1_795_518_303.0
EXPR = "a > 0.2"
MakeVector = Callable[[list[str]], str]


def matrix(*lists: list[tuple[float, str]]) -> str:
    """A range answer: for each series its samples, by seconds before now."""
    result = [
        {"metric": {"n": str(n)}, "values": [[NOW - ago, value] for ago, value in samples]}
        for n, samples in enumerate(lists)
    ]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})


def every(step: float, start: float, *, value: str = "0.31") -> list[tuple[float, str]]:
    """Samples from `start` seconds ago until now."""
    return [(start - n * step, value) for n in range(int(start / step) + 1)]


@pytest.fixture
def firing(answers: Answers, make_vector: MakeVector) -> Answers:
    answers.by_expr[EXPR] = make_vector(["0.31"])
    answers.fresh("a{}", age=10)
    return answers


async def test_what_holds_now_is_good_with_its_value(prometheus: Prometheus, firing: Answers) -> None:
    seen = await PrometheusOracle(prometheus).holds(EXPR, hold=0.0, now=NOW)
    assert seen.look is Look.GOOD
    assert seen.value == 0.31
    assert len(firing.asked) == 2


async def test_what_held_all_the_time_is_good(prometheus: Prometheus, firing: Answers) -> None:
    firing.ranges[EXPR] = matrix(every(6, 120))
    seen = await PrometheusOracle(prometheus).holds(EXPR, hold=120.0, now=NOW)
    assert seen.look is Look.GOOD
    assert "all of the last 2m" in seen.sentence
    assert firing.asked[-1] == f"{EXPR} from {NOW - 120:.3f} to {NOW:.3f} step 6.000"


async def test_a_short_while_is_bad_with_its_length(prometheus: Prometheus, firing: Answers) -> None:
    firing.ranges[EXPR] = matrix(every(6, 42))
    seen = await PrometheusOracle(prometheus).holds(EXPR, hold=120.0, now=NOW)
    assert seen.look is Look.BAD
    assert "true only for the last 42s of 2m" in seen.sentence


async def test_a_gap_in_the_middle_is_bad(prometheus: Prometheus, firing: Answers) -> None:
    samples = every(6, 120)
    firing.ranges[EXPR] = matrix(samples[:10] + samples[11:])
    seen = await PrometheusOracle(prometheus).holds(EXPR, hold=120.0, now=NOW)
    assert seen.look is Look.BAD
    assert "last 54s of 2m" in seen.sentence


async def test_two_series_in_turn_could_not_tell(prometheus: Prometheus, firing: Answers) -> None:
    samples = every(6, 120)
    firing.ranges[EXPR] = matrix(samples[:10], samples[10:])
    assert (await PrometheusOracle(prometheus).holds(EXPR, hold=120.0, now=NOW)).look is Look.UNKNOWN


async def test_a_value_that_is_no_number_could_not_tell(prometheus: Prometheus, firing: Answers) -> None:
    firing.ranges[EXPR] = matrix([*every(6, 120)[:-1], (0, "+Inf")])
    assert (await PrometheusOracle(prometheus).holds(EXPR, hold=120.0, now=NOW)).look is Look.UNKNOWN


async def test_a_false_condition_is_bad_and_the_past_is_not_asked(
    prometheus: Prometheus, firing: Answers, make_vector: MakeVector
) -> None:
    firing.by_expr[EXPR] = make_vector([])
    assert (await PrometheusOracle(prometheus).holds(EXPR, hold=120.0, now=NOW)).look is Look.BAD
    assert len(firing.asked) == 2


@pytest.mark.parametrize("values", [["0.31"], []])
async def test_old_samples_could_not_tell(
    prometheus: Prometheus, firing: Answers, make_vector: MakeVector, values: list[str]
) -> None:
    firing.by_expr[EXPR] = make_vector(values)
    firing.fresh("a{}", age=121)
    assert (await PrometheusOracle(prometheus).holds(EXPR, hold=0.0, now=NOW)).look is Look.UNKNOWN


@pytest.mark.parametrize("hold", [0.4, 1.0, 7.0, 61.0, 299.7, 3600.0, 86_400.0])
async def test_a_look_back_covers_the_whole_hold_in_bounded_steps(
    prometheus: Prometheus, firing: Answers, hold: float
) -> None:
    firing.ranges[EXPR] = matrix([(0, "0.31")])
    await PrometheusOracle(prometheus).holds(EXPR, hold=hold, now=NOW + 0.0004)
    words = firing.asked[-1].split()
    start, end, step = float(words[-5]), float(words[-3]), float(words[-1])
    assert start <= end - hold + 0.001
    assert end - hold - start <= step
    assert 1.0 <= step <= 60.0
    assert (end - start) / step == pytest.approx(round((end - start) / step), abs=1e-6)


async def test_a_question_ends_when_the_time_of_the_settings_is_over() -> None:
    target = PrometheusTarget(url="http://prometheus.example:9090/", timeout=0.05)

    async def never(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def no_rest(_seconds: float) -> None:
        return None

    oracle = PrometheusOracle(Prometheus(target, http=HttpClient(rest=no_rest)))
    async with asyncio.timeout(5.0):
        with respx.mock:
            respx.get(url__startswith="http://prometheus.example:9090/").mock(side_effect=never)
            seen = await oracle.holds("up == 0", hold=0.0, now=NOW)
    assert seen.look is Look.UNKNOWN
    assert "does not answer" in seen.sentence
