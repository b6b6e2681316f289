"""The action http: where it may go, and what an answer means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import respx

from remediator.actions.http import Http, url_fault
from remediator.actions.http_client import HttpClient
from remediator.actions.targets import HttpTargets
from remediator.core.outcomes import Result
from remediator.ports import Call

MakeCall = Callable[..., Call]
ALLOW = ("http://ops.example/hooks", "https://api.example:8443/")
URL = "http://ops.example/hooks/drain"


async def no_rest(_seconds: float) -> None:
    return None


@pytest.fixture
def action() -> Http:
    return Http(HttpTargets(allow=ALLOW), http=HttpClient(rest=no_rest))


@pytest.mark.parametrize(
    "url",
    [
        "http://ops.example/hooks",
        "http://ops.example/hooks/",
        URL,
        "http://OPS.example:80/hooks/x?a=b",
        "https://api.example:8443/x",
    ],
)
def test_a_url_below_a_prefix_may_be_asked_for(url: str) -> None:
    assert url_fault(url, ALLOW) == ""


@pytest.mark.parametrize(
    "url",
    [
        "http://ops.example/hooksx",
        "http://ops.example/",
        "http://ops.example.evil/hooks/x",
        "https://ops.example/hooks/x",
        "http://ops.example:81/hooks/x",
        "http://api.example:8443/",
        "http://ops.example/hooks/../admin",
        "http://ops.example/hooks/%2e%2e/admin",
        "http://ops.example/hooks/%2E%2E%2Fadmin",
        "http://ops.example/hooks/..\\admin",
        "http://user@ops.example/hooks/x",
        "http://ops.example@evil.example/hooks/x",
        "http://evil.example#@ops.example/hooks",
        "http://169.254.169.254/hooks",
        "http://[::1/hooks",
        "ftp://ops.example/hooks/x",
        "//ops.example/hooks",
    ],
)
async def test_a_url_that_leads_elsewhere_is_refused(action: Http, make_call: MakeCall, url: str) -> None:
    assert url_fault(url, ALLOW)
    with respx.mock:
        outcome = await action.perform(make_call({"url": url}))
    assert outcome.result is Result.FAILED


def test_with_nothing_allowed_nothing_may_be_asked_for() -> None:
    assert url_fault(URL, ()) != ""


@pytest.mark.parametrize(
    "change",
    [
        {"method": "CONNECT"},
        {"method": "get"},
        {"headers": {"Host": "evil.example"}},
        {"headers": {"X-A": "a\r\nX-B: b"}},
        {"headers": {"X A": "a"}},
        {"headers": {"X-A": 3}},
        {"headers": {"transfer-encoding": "chunked"}},
        {"ok_status": ["abc"]},
        {"ok_status": ["500"]},
        {"ok_status": []},
    ],
)
def test_odd_arguments_are_refused(action: Http, change: dict[str, Any]) -> None:
    assert action.faults({"url": URL, **change})


async def test_json_and_headers_are_sent_as_they_are(action: Http, make_call: MakeCall) -> None:
    with respx.mock:
        route = respx.put(URL).respond(201)
        outcome = await action.perform(
            make_call({"url": URL, "method": "PUT", "json": {"a": {"b": "} x"}}, "headers": {"X-Reason": "drain"}})
        )
    assert outcome.result is Result.OK
    request = route.calls[0].request
    assert request.content == b'{"a":{"b":"} x"}}'
    assert request.headers["x-reason"] == "drain"


@pytest.mark.parametrize(
    ("method", "status", "result"),
    [
        ("POST", 200, Result.OK),
        ("POST", 302, Result.FAILED),
        ("POST", 404, Result.FAILED),
        ("POST", 500, Result.UNKNOWN),
        ("GET", 500, Result.FAILED),
        ("GET", 404, Result.FAILED),
    ],
)
async def test_a_status_means_what_the_method_allows(
    action: Http, make_call: MakeCall, method: str, status: int, result: Result
) -> None:
    with respx.mock:
        respx.route(url=URL).respond(status)
        outcome = await action.perform(make_call({"url": URL, "method": method}))
    assert outcome.result is result


async def test_declared_statuses_replace_the_usual_ones(action: Http, make_call: MakeCall) -> None:
    for status, result in ((409, Result.OK), (200, Result.FAILED)):
        with respx.mock:
            respx.post(URL).respond(status)
            outcome = await action.perform(make_call({"url": URL, "ok_status": ["409"]}))
        assert outcome.result is result


async def test_a_post_is_never_repeated_by_itself(action: Http, make_call: MakeCall) -> None:
    with respx.mock:
        route = respx.post(URL).mock(side_effect=httpx.ReadError("reset"))
        outcome = await action.perform(make_call({"url": URL}))
    assert outcome.result is Result.UNKNOWN
    assert route.call_count == 1
