"""What the tests of probes share: recorded answers, and a Prometheus that answers by expression."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import respx

from remediator.actions.http_client import HttpClient
from remediator.actions.prometheus_client import Prometheus
from remediator.actions.targets import PrometheusTarget

RECORDED = Path(__file__).parents[2] / "fixtures"
NOW = 1_795_518_303.0


@pytest.fixture
def recorded() -> Callable[[str], str]:
    """The text of a recorded answer, such as `prometheus/query-nan.json`."""

    def read(name: str) -> str:
        return (RECORDED / name).read_text(encoding="utf-8")

    return read


async def _no_rest(_seconds: float) -> None:
    return None


@pytest.fixture
def prometheus() -> Prometheus:
    return Prometheus(PrometheusTarget(url="http://prometheus.example:9090/"), http=HttpClient(rest=_no_rest))


class Answers:
    """What Prometheus answers: by expression, else `otherwise` (an empty vector). `asked` lists the questions."""

    def __init__(self) -> None:
        self.by_expr: dict[str, str] = {}
        self.ranges: dict[str, str] = {}
        self.otherwise = vector([])
        self.status = 200
        self.asked: list[str] = []

    def instant(self, request: httpx.Request) -> httpx.Response:
        expr = request.url.params["query"]
        self.asked.append(expr)
        return httpx.Response(self.status, text=self.by_expr.get(expr, self.otherwise))

    def between(self, request: httpx.Request) -> httpx.Response:
        params = request.url.params
        self.asked.append(f"{params['query']} from {params['start']} to {params['end']} step {params['step']}")
        return httpx.Response(200, text=self.ranges[params["query"]])

    def fresh(self, selector: str, *, age: float) -> None:
        """The newest sample of a selector is so many seconds old."""
        self.by_expr[f"max(timestamp({selector}))"] = vector([str(NOW - age)])


def vector(values: list[str]) -> str:
    inner = ",".join(f'{{"metric":{{"n":"{n}"}},"value":[{NOW},"{value}"]}}' for n, value in enumerate(values))
    return f'{{"status":"success","data":{{"resultType":"vector","result":[{inner}]}}}}'


@pytest.fixture
def make_vector() -> Callable[[list[str]], str]:
    return vector


@pytest.fixture
def answers() -> Iterator[Answers]:
    """A Prometheus at prometheus.example:9090."""
    told = Answers()
    with respx.mock:
        respx.get("http://prometheus.example:9090/api/v1/query").mock(side_effect=told.instant)
        respx.get("http://prometheus.example:9090/api/v1/query_range").mock(side_effect=told.between)
        yield told
