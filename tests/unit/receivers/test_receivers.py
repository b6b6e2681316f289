"""The receivers webhook, log and alertmanager, and several channels in one."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from remediator.actions.http_client import HttpClient
from remediator.core.outcomes import Look, Observation, Outcome, Result, failed, failed_for_now, ok
from remediator.people import Message
from remediator.receivers.alertmanager import AlertmanagerChannel, AlertmanagerReceiver, alert_of
from remediator.receivers.log import LogReceiver
from remediator.receivers.several import REMEMBERED, Several
from remediator.receivers.webhook import WebhookReceiver, WebhookTarget

URL = "http://chat.example/hook"
ALERTS = "http://am.example"
NOW = 1_795_516_000.0
MESSAGE = Message(
    id="m-1", subject="needs a person", text="inc-7f3k: kumod\nlevel=info fake\x1b[2J ünï", incident="inc-7f3k"
)


# ── webhook and log ──────────────────────────────────────────────────────────────────────────────────────────────────
def hook(**target: Any) -> WebhookReceiver:
    return WebhookReceiver("ops", WebhookTarget(**target or {"url": URL}), http=HttpClient())


async def test_a_message_is_posted_as_json_with_its_id(web: respx.MockRouter) -> None:
    route = web.post(URL).respond(200)
    outcome = await hook().send(MESSAGE)
    assert outcome.result is Result.OK
    request = route.calls[0].request
    assert json.loads(request.content)["text"] == MESSAGE.text
    assert request.headers["idempotency-key"] == "m-1"


@pytest.mark.parametrize(
    ("fault", "result"),
    [(httpx.ConnectError("refused"), Result.NOT_ISSUED), (httpx.ReadError("reset"), Result.UNKNOWN)],
)
async def test_what_is_not_certain_is_said_so(web: respx.MockRouter, fault: Exception, result: Result) -> None:
    web.post(URL).mock(side_effect=fault)
    outcome = await hook().send(MESSAGE)
    assert outcome.result is result


async def test_a_url_and_a_token_are_read_from_their_files_each_time(web: respx.MockRouter, tmp_path: Path) -> None:
    url, token = tmp_path / "url", tmp_path / "token"
    url.write_text(f"{URL}\n")
    token.write_text("first\n")
    receiver = hook(url_file=url, credentials_file=token)
    route = web.post(URL).respond(200)
    await receiver.send(MESSAGE)
    token.write_text("second\n")
    await receiver.send(MESSAGE)
    assert [call.request.headers["authorization"] for call in route.calls] == ["Bearer first", "Bearer second"]
    web.head("http://chat.example/").respond(404)
    assert (await receiver.probe()).look is Look.GOOD
    url.unlink()
    assert (await receiver.send(MESSAGE)).result is Result.NOT_ISSUED
    assert (await receiver.probe()).look is Look.BAD


async def test_a_message_is_one_line_whatever_is_in_it() -> None:
    stream = io.StringIO()
    receiver = LogReceiver(stream=stream)
    outcome = await receiver.send(MESSAGE)
    assert outcome.result is Result.OK
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert 'message="m-1" incident="inc-7f3k" subject="needs a person"' in stream.getvalue()
    assert "ünï" in stream.getvalue()
    assert (await receiver.probe()).look is Look.GOOD


class Closed(io.StringIO):
    """A standard error that nobody reads any more."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


async def test_a_line_that_cannot_be_written_is_tried_again() -> None:
    outcome = await LogReceiver(stream=Closed()).send(MESSAGE)
    assert (outcome.result, outcome.retryable) == (Result.FAILED, True)
    assert "Broken pipe" in outcome.sentence


# ── alertmanager ─────────────────────────────────────────────────────────────────────────────────────────────────────
def alert(call: str = "", since: float | None = NOW - 60, **labels: str) -> Any:
    message = Message(
        id="m", subject="[failed] x", text="why", incident="inc-1", severity="warning", call=call, since=since,
        link="https://r.example/incidents/inc-1", target={"domain": "example.com"},
    )  # fmt: skip
    return alert_of(AlertmanagerChannel(url=ALERTS, labels=labels), message, NOW)


def test_an_alert_begins_with_the_call_for_people_and_outlasts_the_rest_between_two_calls() -> None:
    begun = alert("begin", team="mail")
    assert begun["labels"] == {
        "alertname": "RemediationNeedsPerson", "severity": "warning", "incident": "inc-1", "team": "mail",
    }  # fmt: skip
    assert (begun["startsAt"], begun["endsAt"]) == ("2026-11-24T10:25:40.000000Z", "2026-11-24T14:56:40.000000Z")
    assert begun["annotations"]["target"] == "domain=example.com"
    assert begun["generatorURL"] == "https://r.example/incidents/inc-1"


def test_the_end_of_the_call_ends_the_same_alert_now() -> None:
    ended = alert("end")
    assert ended["labels"] == alert("begin")["labels"]
    assert ended["endsAt"] == "2026-11-24T10:26:40.000000Z"
    assert alert("end", since=NOW + 60)["startsAt"] == ended["endsAt"]  # an alert cannot end before it begins


def test_what_calls_nobody_is_a_notice_of_some_minutes() -> None:
    notice = alert()
    assert notice["labels"]["alertname"] == "RemediationNotice"
    assert (notice["startsAt"], notice["endsAt"]) == ("2026-11-24T10:26:40.000000Z", "2026-11-24T10:31:40.000000Z")


def test_the_labels_of_the_settings_win() -> None:
    assert alert("begin", alertname="Ours", severity="page")["labels"]["alertname"] == "Ours"


def test_a_call_for_the_whole_service_is_critical_and_has_no_incident() -> None:
    whole = alert_of(AlertmanagerChannel(url=ALERTS), Message(id="m", subject="s", text="t", call="begin"), NOW)
    assert whole["labels"] == {"alertname": "RemediationNeedsPerson", "severity": "critical"}
    assert "generatorURL" not in whole


async def test_an_alert_is_posted_to_the_second_api(web: respx.MockRouter, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("pw")
    channel = AlertmanagerChannel(url=f"{ALERTS}/", username="us", password_file=password)
    receiver = AlertmanagerReceiver("on-call", channel, http=HttpClient(), now=lambda: NOW)
    route = web.post(f"{ALERTS}/api/v2/alerts").respond(200)
    assert (await receiver.send(MESSAGE)).result is Result.OK
    assert len(json.loads(route.calls.last.request.content)) == 1
    assert route.calls.last.request.headers["authorization"].startswith("Basic ")
    ready = web.get(f"{ALERTS}/-/ready").respond(200)
    assert (await receiver.probe()).look is Look.GOOD
    ready.respond(503)
    assert (await receiver.probe()).look is Look.BAD
    ready.mock(side_effect=httpx.ConnectError("refused"))
    assert (await receiver.probe()).look is Look.BAD


# ── several channels ─────────────────────────────────────────────────────────────────────────────────────────────────
class Channel:
    """A channel that gives these outcomes one after the other, the last one for ever."""

    def __init__(self, *outcomes: Outcome, look: Look | None = None) -> None:
        self.name = "channel"
        self.got: list[Mapping[str, object]] = []
        self._outcomes = list(outcomes) or [ok("taken")]
        self._look = look

    async def send(self, message: Message) -> Outcome:
        self.got.append(message.thread)
        return self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]


class Looked(Channel):
    """One that can be looked at."""

    async def probe(self) -> Observation:
        assert self._look is not None
        return Observation(look=self._look, sentence=str(self._look))


async def test_a_message_that_is_tried_again_goes_only_to_those_that_have_not_taken_it() -> None:
    first, second = Channel(), Channel(failed_for_now("503"), ok("taken"))
    both = Several("ops", [first, second])
    assert (await both.send(MESSAGE)).sentence == "503"
    assert (await both.send(MESSAGE)).sentence == "told 2 of 2"
    assert (len(first.got), len(second.got)) == (1, 2)


async def test_each_channel_gets_its_own_receipt_back() -> None:
    chat = Channel(ok("taken", receipt={"ts": "1"}))
    both = Several("ops", [Channel(), chat, Channel(failed("no"))])
    outcome = await both.send(MESSAGE)
    assert outcome.receipt == {"1": {"ts": "1"}}
    await Several("ops", [chat, chat]).send(Message(id="m", subject="s", text="t", thread={"1": {"ts": "1"}, "0": "x"}))
    assert chat.got == [{}, {}, {"ts": "1"}]


async def test_as_long_as_one_channel_may_still_take_it_the_whole_may() -> None:
    both = Several("ops", [Channel(failed("never")), Channel(failed_for_now("later"))])
    assert (await both.send(MESSAGE)).retryable
    assert (await both.send(MESSAGE)).retryable


async def test_what_is_remembered_of_channels_is_bounded() -> None:
    both = Several("ops", [Channel(), Channel(failed_for_now("503"))])
    for number in range(REMEMBERED + 5):
        await both.send(Message(id=str(number), subject="s", text="t"))
    assert len(both._taken) == REMEMBERED


@pytest.mark.parametrize(
    ("looks", "worst"),
    [((Look.GOOD, Look.GOOD), Look.GOOD), ((Look.GOOD, None), Look.UNKNOWN), ((Look.GOOD, None, Look.BAD), Look.BAD)],
)
async def test_a_look_at_several_channels_sees_the_worst(looks: tuple[Look | None, ...], worst: Look) -> None:
    channels = [Looked(look=look) if look is not None else Channel() for look in looks]
    assert (await Several("ops", channels).probe()).look is worst
