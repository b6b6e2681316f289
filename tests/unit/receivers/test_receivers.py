"""The receivers webhook and log."""

from __future__ import annotations

import io
import json

import httpx
import pytest
import respx

from remediator.actions.http_client import HttpClient
from remediator.core.outcomes import Result
from remediator.ports import Message
from remediator.receivers.log import LogReceiver
from remediator.receivers.webhook import WebhookReceiver

URL = "http://chat.example/hook"
MESSAGE = Message(
    id="m-1", subject="needs a person", text="inc-7f3k: kumod\nlevel=info fake\x1b[2J ünï", incident="inc-7f3k"
)


async def test_a_message_is_posted_as_json_with_its_id() -> None:
    with respx.mock:
        route = respx.post(URL).respond(200)
        outcome = await WebhookReceiver("ops", URL, http=HttpClient()).send(MESSAGE)
    assert outcome.result is Result.OK
    request = route.calls[0].request
    assert json.loads(request.content)["text"] == MESSAGE.text
    assert request.headers["idempotency-key"] == "m-1"


@pytest.mark.parametrize(
    ("fault", "result"),
    [(httpx.ConnectError("refused"), Result.NOT_ISSUED), (httpx.ReadError("reset"), Result.UNKNOWN)],
)
async def test_what_is_not_certain_is_said_so(fault: Exception, result: Result) -> None:
    with respx.mock:
        respx.post(URL).mock(side_effect=fault)
        outcome = await WebhookReceiver("ops", URL, http=HttpClient()).send(MESSAGE)
    assert outcome.result is result


async def test_a_message_is_one_line_whatever_is_in_it() -> None:
    stream = io.StringIO()
    outcome = await LogReceiver(stream=stream).send(MESSAGE)
    assert outcome.result is Result.OK
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert 'message="m-1" incident="inc-7f3k" subject="needs a person"' in stream.getvalue()
    assert "ünï" in stream.getvalue()
