"""notify, manual, wait and prometheus.report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import respx

from remediator.actions.http_client import HttpClient
from remediator.actions.people import Manual, Notify, Wait
from remediator.actions.prometheus_client import Prometheus
from remediator.actions.report import PrometheusReport
from remediator.actions.targets import PrometheusTarget
from remediator.core.outcomes import Outcome, Result, ok
from remediator.ports import Call, Message

if TYPE_CHECKING:
    HandClock = Any

MakeCall = Callable[..., Call]
QUERY = "http://prometheus.example:9090/api/v1/query"


class Listener:
    """A receiver that keeps what it hears."""

    def __init__(self) -> None:
        self.name = "ops"
        self.heard: list[Message] = []

    async def send(self, message: Message) -> Outcome:
        self.heard.append(message)
        return ok("heard")


async def test_a_message_carries_the_step_as_its_id(make_call: MakeCall) -> None:
    listener = Listener()
    outcome = await Notify({"ops": listener}).perform(make_call({"receiver": "ops", "text": "kumod was restarted"}))
    assert outcome.result is Result.OK
    (message,) = listener.heard
    assert message.id == "inc-7f3kq2m8.1/0"
    assert message.incident == "inc-7f3kq2m8"
    assert message.text == "kumod was restarted"


def test_an_unknown_receiver_is_refused_by_name() -> None:
    assert "(known: ops)" in Notify({"ops": Listener()}).faults({"receiver": "opps", "text": "x"})[0]


async def test_a_manual_step_is_evidence_that_a_person_must_act(make_call: MakeCall) -> None:
    outcome = await Manual().perform(make_call({"sentence": "call the provider"}))
    assert outcome.result is Result.OK
    assert outcome.evidence == {"by_hand": "call the provider"}


async def test_a_wait_takes_the_clock_that_it_was_given(clock: HandClock, make_call: MakeCall) -> None:
    assert (await Wait(clock).perform(make_call({"seconds": 20.0}))).result is Result.OK
    assert clock.rests == [20.0]


@pytest.mark.parametrize("seconds", [0, -1, 3601, True, "20s", None])
def test_a_wait_without_bounds_is_refused(clock: HandClock, seconds: Any) -> None:
    assert Wait(clock).faults({"seconds": seconds})


async def test_a_wait_longer_than_its_step_is_refused(clock: HandClock, make_call: MakeCall) -> None:
    assert (await Wait(clock).perform(make_call({"seconds": 60.0}))).result is Result.FAILED
    assert clock.rests == []


@pytest.fixture
def report(clock: HandClock) -> PrometheusReport:
    target = PrometheusTarget(url="http://prometheus.example:9090")
    return PrometheusReport(Prometheus(target, http=HttpClient(rest=clock.sleep)))


def rows(count: int) -> dict[str, Any]:
    result = [{"metric": {"domain": f"d{n}.example"}, "value": [1.0, str(n)]} for n in range(count)]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


async def test_a_report_keeps_twenty_rows_the_largest_first(report: PrometheusReport, make_call: MakeCall) -> None:
    with respx.mock:
        route = respx.get(QUERY).respond(json=rows(25))
        outcome = await report.perform(make_call({"expr": "topk(25, a)"}))
    assert route.calls[0].request.url.params["query"] == "topk(25, a)"
    assert outcome.result is Result.OK
    kept = outcome.evidence["rows"]
    assert isinstance(kept, list)
    assert len(kept) == 20
    assert kept[0] == '{domain="d24.example"} 24'
    assert outcome.evidence["left_out"] == 5


async def test_no_rows_are_an_answer_and_no_answer_is_a_failure(report: PrometheusReport, make_call: MakeCall) -> None:
    with respx.mock:
        respx.get(QUERY).respond(json=rows(0))
        assert (await report.perform(make_call({"expr": "a"}))).result is Result.OK
        respx.get(QUERY).respond(503, text="Service Unavailable")
        outcome = await report.perform(make_call({"expr": "a"}))
    assert outcome.result is Result.FAILED
    assert outcome.retryable


@pytest.mark.parametrize("expr", ["", "a{", None])
def test_what_is_no_promql_is_refused(report: PrometheusReport, expr: Any) -> None:
    assert report.faults({"expr": expr})
