"""The marked alert: posted once, looked for until it is decided on, and never waited for without end."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest
import respx

from remediator.doctor import Case, Mark
from remediator.doctor.case import NoAnswer
from remediator.doctor.sending import ALERT, MARK, Seen, send_test

if TYPE_CHECKING:
    from tests.unit.doctor.conftest import Site

URL = "http://alertmanager:9093/api/v2/alerts"


class HandClock:
    """A rest is over at once, and moves the time."""

    def __init__(self) -> None:
        self.at = 1_795_516_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture
def case(site: Site) -> Case:
    found = site.case()
    found.clock = HandClock()
    return found


async def nothing(_mark: str) -> Seen | None:
    return None


async def test_the_alert_is_posted_and_its_decision_told_with_the_time_it_took(case: Case) -> None:
    looks = 0

    async def third_look(mark: str) -> Seen | None:
        nonlocal looks
        looks += 1
        return Seen(disposition=f"unmatched {mark}", at=0.0) if looks == 3 else None

    with respx.mock:
        route = respx.post(URL).respond(200)
        found = await send_test(case, "m1", third_look, within=60.0)
    posted = json.loads(route.calls.last.request.content)
    assert [one["labels"] for one in posted] == [{"alertname": ALERT, MARK: "m1", "severity": "none"}]
    assert posted[0]["endsAt"] > posted[0]["startsAt"]
    assert [(one.mark, one.sentence) for one in found] == [
        (Mark.GOOD, "Alertmanager → webhook → decision (unmatched m1) in 1.0 s")
    ]


async def test_an_alert_that_does_not_arrive_is_given_up(case: Case) -> None:
    with respx.mock:
        respx.post(URL).respond(200)
        found = await send_test(case, "m1", nothing, within=60.0)
    assert [one.mark for one in found] == [Mark.BAD]
    assert "within 60 s" in found[0].sentence


@pytest.mark.parametrize(
    ("answer", "word"),
    [(httpx.Response(400, text="bad"), "refuses the test alert: 400"), (httpx.ConnectError("no"), "does not answer")],
)
async def test_an_alertmanager_that_does_not_take_it_is_told(
    answer: httpx.Response | httpx.ConnectError, word: str, case: Case
) -> None:
    with respx.mock:
        if isinstance(answer, httpx.Response):
            respx.post(URL).mock(return_value=answer)
        else:
            respx.post(URL).mock(side_effect=answer)
        found = await send_test(case, "m1", nothing, within=60.0)
    assert word in found[0].sentence


async def test_without_an_alertmanager_nothing_can_be_sent(case: Case) -> None:
    case.targets = replace(case.targets, alertmanager=None)
    found = await send_test(case, "m1", nothing, within=60.0)
    assert found[0].sentence == "no Alertmanager is configured"


async def test_an_answer_that_is_no_json_is_no_answer(case: Case) -> None:
    with respx.mock:
        respx.get("http://alertmanager:9093/api/v2/status").respond(200, text="<html>")
        found = await case.alertmanager("status")
    assert isinstance(found, NoAnswer)
    assert "something else than JSON" in found.sentence
