"""Ways to tell people: what is built of the settings, and what they show of secrets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest
import respx

from remediator.config import load_settings
from remediator.core.outcomes import Outcome, Result
from remediator.observe import Redactor
from remediator.ports import Message, Receiver
from remediator.receivers.alertmanager import AlertmanagerReceiver
from remediator.receivers.email import EmailReceiver
from remediator.receivers.log import LogReceiver
from remediator.receivers.several import Several
from remediator.receivers.slack import SlackReceiver
from remediator.service.access import secrets_of
from remediator.service.receiving import build_receivers
from remediator.system import SystemClock

if TYPE_CHECKING:
    from tests.service.conftest import Home

MESSAGE = Message(id="m1", subject="people are needed", text="look", incident="inc-1")
HOOK = "http://chat.example/hook/canary-in-the-url"
TOKEN = "canary-token-of-chat"


def receivers(home: Home, hooks: str) -> dict[str, Receiver]:
    home.write("hook_url", HOOK + "\n")
    home.write("token", TOKEN + "\n")
    home.write("remediator.yml", f"receivers:\n  - name: chat\n    webhook_configs: {hooks}\n  - name: screen\n")
    settings = load_settings(home.settings)
    return dict(build_receivers(settings, SystemClock(), Redactor(secrets_of(settings)).text))


async def test_the_url_is_read_of_its_file_and_the_token_sent_as_bearer(home: Home) -> None:
    chat = receivers(home, "[{ url_file: hook_url, credentials_file: token }]")["chat"]
    with respx.mock:
        route = respx.post(HOOK).respond(200)
        assert (await chat.send(MESSAGE)).result is Result.OK
    request = route.calls[0].request
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["idempotency-key"] == "m1"
    assert json.loads(request.content)["subject"] == "people are needed"


async def test_without_a_token_nothing_is_shown(home: Home) -> None:
    chat = receivers(home, '[{ url: "http://chat.example/open" }]')["chat"]
    with respx.mock:
        route = respx.post("http://chat.example/open").respond(204)
        assert (await chat.send(MESSAGE)).result is Result.OK
    assert "authorization" not in route.calls[0].request.headers


async def test_an_answer_that_echoes_the_secrets_is_quoted_without_them(home: Home) -> None:
    chat = receivers(home, "[{ url_file: hook_url, credentials_file: token }]")["chat"]
    with respx.mock:
        respx.post(HOOK).respond(403, text=f"no such token {TOKEN} at {HOOK}")
        outcome = await chat.send(MESSAGE)
    assert outcome.result is Result.FAILED
    assert "no such token <secret>" in outcome.sentence
    assert "canary" not in outcome.sentence + json.dumps(dict(outcome.evidence or {}))


async def test_all_parts_are_told_and_one_that_may_still_take_it_is_the_outcome(home: Home) -> None:
    chat = receivers(
        home, '[{ url: "http://a.example/" }, { url: "http://b.example/" }, { url: "http://c.example/" }]'
    )["chat"]
    assert isinstance(chat, Several)
    assert chat.name == "chat"
    with respx.mock:
        respx.post("http://a.example/").respond(200)
        respx.post("http://b.example/").respond(404)
        last = respx.post("http://c.example/").mock(side_effect=httpx.ReadError("reset"))
        outcome: Outcome = await chat.send(MESSAGE)
        assert last.called, "a part that fails holds up no other"
    assert outcome.result is Result.UNKNOWN
    assert "reset" in outcome.sentence
    with respx.mock:
        respx.post(url__regex=".*").respond(200)
        told = await chat.send(MESSAGE)
    assert (told.result, told.sentence) == (Result.OK, "told 3 of 3")


async def test_a_receiver_without_parts_is_a_line_on_standard_error(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = receivers(home, '[{ url: "http://a.example/" }]')["screen"]
    assert isinstance(screen, LogReceiver)
    assert (await screen.send(MESSAGE)).result is Result.OK
    assert 'subject="people are needed"' in capsys.readouterr().err


async def test_each_channel_of_the_settings_is_built_and_a_number_is_a_channel_of_its_own(home: Home) -> None:
    for name in ("slack", "token", "mail", "gate"):
        home.write(name, "https://secret.example/x\n")
    home.write(
        "remediator.yml",
        """\
receivers:
  - { name: hook, slack_configs: [{ api_url_file: slack }] }
  - name: mail
    email_configs: [{ to: ops@example.com, from: r@example.com, smarthost: "smtp.example.com:465", auth_username: us,
      auth_password_file: mail }]
  - { name: phones, sms_configs: [{ to: ["+15550100", "+15550101"], url_file: gate, credentials_file: token }] }
  - { name: on-call, alertmanager_configs: [{ url: "http://127.0.0.1:9093", labels: { team: mail } }] }
  - { name: all, slack_configs: [{ app_token_file: token, channel: C1 }], webhook_configs: [{ url: "http://a.example/" }] }
""",
    )
    settings = load_settings(home.settings)
    built = build_receivers(settings, SystemClock(), str)
    assert [type(one) for one in built.values()] == [
        SlackReceiver, EmailReceiver, Several, AlertmanagerReceiver, Several,
    ]  # fmt: skip
    with respx.mock:
        route = respx.post("https://secret.example/x").respond(200)
        assert (await built["phones"].send(MESSAGE)).sentence == "told 2 of 2"
    assert ["%2B15550100" in call.request.content.decode() for call in route.calls] == [True, False]
    assert {call.request.headers["authorization"] for call in route.calls} == {"Bearer https://secret.example/x"}
