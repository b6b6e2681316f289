"""The receivers slack and sms: how they post, what they make of answers, and that text from outside stays text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st

from remediator.actions.http_client import HttpClient
from remediator.core.outcomes import Look, Result
from remediator.people import Message
from remediator.receivers.slack import SlackReceiver, SlackTarget, body_of
from remediator.receivers.sms import SmsReceiver, SmsTarget, text_of

HOOK, GATE, API = "https://hooks.slack.example/services/T/B/secret", "https://sms.example/send", "https://slack.example"
MESSAGE = Message(
    id="msg-12-0",
    subject="[recovered] bounces on domain=example.com",
    text="inc-1: bounces\nWhat we did:\n  pause <!channel> & co: ok",
    incident="inc-1",
    link="https://r.example/incidents/inc-1",
)
SIGNS = [*"ab<>&!@#\"'=?.,;|*_`~:/ \r\n\t", "\x00", "\x1b", "\u202e", "\u200b", "é", "😀", "\udc80"]
WORDS = ["https://evil.example/", "<!channel>", "<b onclick=x>", "\r\nBcc: eve@evil.example\r\n\r\n", "\n.\n"]
NASTY = st.lists(st.sampled_from([*SIGNS, *WORDS]), max_size=30).map("".join)


@pytest.fixture
def hook(tmp_path: Path) -> SlackReceiver:
    path = tmp_path / "slack"
    path.write_text(f"{HOOK}\n")
    target = SlackTarget(api_url_file=path, channel="#ops", username="remediator", icon_emoji=":wrench:")
    return SlackReceiver("slack", target, http=HttpClient())


@pytest.fixture
def app(tmp_path: Path) -> SlackReceiver:
    path = tmp_path / "token"
    path.write_text("xoxb-token\n")
    return SlackReceiver("slack", SlackTarget(app_token_file=path, channel="#ops", api=API), http=HttpClient())


def told(route: respx.Route) -> Any:
    """The body of the last request."""
    return json.loads(route.calls.last.request.content)


# ── slack by a webhook ───────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_webhook_gets_blocks_of_plain_text(web: respx.MockRouter, hook: SlackReceiver) -> None:
    route = web.post(HOOK).respond(200, text="ok")
    assert (await hook.send(MESSAGE)).result is Result.OK
    body = told(route)
    assert (body["channel"], body["username"], body["icon_emoji"]) == ("#ops", "remediator", ":wrench:")
    header, text, link = body["blocks"]
    assert header["text"] == {"type": "plain_text", "text": MESSAGE.subject, "emoji": False}
    assert text["text"]["text"] == MESSAGE.text
    assert link["text"]["text"] == f"<{MESSAGE.link}>"
    assert (body["mrkdwn"], body["unfurl_links"]) == (False, False)


@pytest.mark.parametrize(
    ("status", "headers", "result", "retryable", "rest"),
    [
        (429, {"retry-after": "30"}, Result.FAILED, True, 30.0),
        (404, {}, Result.FAILED, False, None),
        (503, {"retry-after": "7"}, Result.UNKNOWN, False, 7.0),
    ],
)
async def test_what_slack_answers_decides_whether_and_when_it_is_tried_again(
    web: respx.MockRouter,
    hook: SlackReceiver,
    status: int,
    headers: dict[str, str],
    result: Result,
    retryable: bool,
    rest: float | None,
) -> None:
    web.post(HOOK).respond(status, headers=headers, text="no_service")
    outcome = await hook.send(MESSAGE)
    assert (outcome.result, outcome.retryable, outcome.evidence.get("retry_after")) == (result, retryable, rest)
    assert "secret" not in outcome.sentence


@pytest.mark.parametrize("content", [None, "", "not a url", "two\nlines"])
async def test_without_a_url_nothing_is_sent(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "slack"
    if content is not None:
        path.write_text(content)
    receiver = SlackReceiver("slack", SlackTarget(api_url_file=path), http=HttpClient())
    outcome, seen = await receiver.send(MESSAGE), await receiver.probe()
    assert (outcome.result, seen.look) == (Result.NOT_ISSUED, Look.BAD)
    assert str(path) in outcome.sentence


async def test_a_look_names_the_host_and_not_the_secret_path(web: respx.MockRouter, hook: SlackReceiver) -> None:
    route = web.head("https://hooks.slack.example/").respond(404)
    seen = await hook.probe()
    assert (seen.look, route.call_count) == (Look.GOOD, 1)
    assert "secret" not in seen.sentence
    route.mock(side_effect=httpx.ConnectError("refused"))
    assert (await hook.probe()).look is Look.BAD


# ── slack by an app ──────────────────────────────────────────────────────────────────────────────────────────────────
THREAD = {"ts": "17.5", "channel": "C1"}


async def test_the_first_message_of_an_app_gives_what_later_ones_need(
    web: respx.MockRouter, app: SlackReceiver
) -> None:
    route = web.post(f"{API}/chat.postMessage").respond(200, json={"ok": True, "ts": "17.5", "channel": "C1"})
    outcome = await app.send(MESSAGE)
    assert (outcome.result, outcome.receipt) == (Result.OK, THREAD)
    assert route.calls.last.request.headers["authorization"] == "Bearer xoxb-token"
    assert told(route)["channel"] == "#ops"


async def test_the_last_word_edits_the_first(web: respx.MockRouter, app: SlackReceiver) -> None:
    route = web.post(f"{API}/chat.update").respond(200, json={"ok": True, "ts": "17.5", "channel": "C1"})
    assert (await app.send(Message(id="m", subject="s", text="t", call="end", thread=THREAD))).result is Result.OK
    assert (told(route)["ts"], told(route)["channel"]) == ("17.5", "C1")


async def test_a_call_for_people_is_seen_by_the_channel_and_not_an_edit(
    web: respx.MockRouter, app: SlackReceiver
) -> None:
    route = web.post(f"{API}/chat.postMessage").respond(200, json={"ok": True})
    assert (await app.send(Message(id="m", subject="s", text="t", call="begin", thread=THREAD))).result is Result.OK
    assert (told(route)["thread_ts"], told(route)["reply_broadcast"]) == ("17.5", True)


async def test_what_cannot_be_edited_any_more_is_posted_anew(web: respx.MockRouter, app: SlackReceiver) -> None:
    web.post(f"{API}/chat.update").respond(200, json={"ok": False, "error": "message_not_found"})
    route = web.post(f"{API}/chat.postMessage").respond(200, json={"ok": True, "ts": "18.0", "channel": "C1"})
    assert (await app.send(Message(id="m", subject="s", text="t", thread=THREAD))).result is Result.OK
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("answer", "result", "retryable"),
    [
        ({"json": {"ok": False, "error": "invalid_auth"}}, Result.FAILED, False),
        ({"json": {"ok": False, "error": "ratelimited"}}, Result.FAILED, True),
        ({"json": ["ok"]}, Result.FAILED, False),
        ({"text": "<html>a proxy</html>"}, Result.FAILED, False),
    ],
)
async def test_a_no_with_status_200_is_a_no(
    web: respx.MockRouter, app: SlackReceiver, answer: dict[str, Any], result: Result, retryable: bool
) -> None:
    web.post(f"{API}/chat.postMessage").respond(200, **answer)
    web.post(f"{API}/chat.update").respond(200, **answer)
    for thread in ({}, THREAD):
        outcome = await app.send(Message(id="m", subject="s", text="t", thread=thread))
        assert (outcome.result, outcome.retryable) == (result, retryable)


@pytest.mark.parametrize(("said", "look"), [({"ok": True}, Look.GOOD), ({"ok": False, "error": "x"}, Look.BAD)])
async def test_a_token_is_tried_without_a_message(
    web: respx.MockRouter, app: SlackReceiver, said: dict[str, Any], look: Look
) -> None:
    web.post(f"{API}/auth.test").respond(200, json=said)
    assert (await app.probe()).look is look


async def test_a_broken_edit_is_not_posted_a_second_time(web: respx.MockRouter, app: SlackReceiver) -> None:
    web.post(f"{API}/chat.update").mock(side_effect=httpx.ReadError("reset"))
    outcome = await app.send(Message(id="m", subject="s", text="t", thread=THREAD))
    assert outcome.result is Result.UNKNOWN


FOOTER = "journal 1204:9f2c63d01b7aee45"


def test_where_the_journal_ended_stands_below_every_message() -> None:
    message = Message(id="m", subject="s", text="t", link="https://r.example/", footer=FOOTER)
    body: Any = body_of(message)
    assert body["blocks"][-1]["elements"] == [{"type": "plain_text", "text": FOOTER, "emoji": False}]
    assert text_of(message, 153) == f"s https://r.example/ {FOOTER}"


@pytest.mark.parametrize(
    ("link", "kept"),
    [
        ("https://r.example/incidents/inc-1", True),
        ("https://r.example/a>|<!channel>", False),
        ("https://r.example/a b", False),
        ('https://r.example/"onclick=x', False),
        ("javascript:alert(1)", False),
        ("https://r.example/a\n", False),
    ],
)
def test_a_link_that_could_end_early_is_left_out(link: str, kept: bool) -> None:
    body: Any = body_of(Message(id="m", subject="s", text="t", link=link))
    assert [block["text"]["text"] for block in body["blocks"][2:]] == ([f"<{link}>"] if kept else [])


@given(subject=NASTY, text=NASTY)
def test_no_text_makes_a_mention_a_link_or_markup(subject: str, text: str) -> None:
    body: Any = body_of(Message(id="m", subject=subject, text=text))
    assert all(block["text"]["type"] == "plain_text" for block in body["blocks"])
    assert "<" not in body["text"]
    assert ">" not in body["text"]
    assert "://" not in json.dumps(body)
    assert all(1 <= len(block["text"]["text"]) <= 3000 for block in body["blocks"])


def test_a_long_message_is_in_parts_that_slack_takes() -> None:
    body: Any = body_of(Message(id="m", subject="s" * 500, text="t" * 7000))
    assert [len(block["text"]["text"]) for block in body["blocks"]] == [150, 3000, 3000, 1000]


# ── sms ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_text_message_is_a_form(web: respx.MockRouter, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("pw\n")
    target = SmsTarget(to="+15550100", url=GATE, fields={"From": "+1555"}, username="us", password_file=password)
    route = web.post(GATE).respond(201, json={"sid": "1"})
    assert (await SmsReceiver("sms", target, http=HttpClient()).send(MESSAGE)).result is Result.OK
    request = route.calls.last.request
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    form = parse_qs(request.content.decode(), strict_parsing=True)
    assert (form["To"], form["From"]) == (["+15550100"], ["+1555"])
    assert form["Body"] == [f"{MESSAGE.subject} - What we did:; pause <!channel> & co: ok {MESSAGE.link}"]
    assert request.headers["authorization"].startswith("Basic ")


async def test_a_gateway_has_its_own_names_for_number_and_text(web: respx.MockRouter, tmp_path: Path) -> None:
    url = tmp_path / "url"
    url.write_text(GATE)
    target = SmsTarget(to="+15550100", url_file=url, to_field="phone", text_field="message")
    route = web.post(GATE).respond(200)
    receiver = SmsReceiver("sms", target, http=HttpClient())
    assert (await receiver.send(MESSAGE)).result is Result.OK
    assert set(parse_qs(route.calls.last.request.content.decode())) == {"phone", "message"}
    web.head("https://sms.example/").respond(405)
    assert (await receiver.probe()).look is Look.GOOD
    url.unlink()
    assert (await receiver.send(MESSAGE)).result is Result.NOT_ISSUED
    assert (await receiver.probe()).look is Look.BAD


@given(subject=NASTY, text=NASTY)
def test_a_text_message_is_one_line_without_links_and_short_enough(subject: str, text: str) -> None:
    said = text_of(Message(id="m", subject=subject, text=text), 153)
    assert said.isprintable()
    assert len(said) <= 153
    assert "://" not in said


def test_what_a_phone_needs_comes_first() -> None:
    long = Message(id="m", subject="[failed] " + "x" * 300, text="-\n" + "y" * 300, link="https://r.example/i")
    said = text_of(long, 153)
    assert (len(said), said.endswith("… https://r.example/i"), said.startswith("[failed] xxx")) == (153, True, True)
    assert text_of(Message(id="m", subject="s", text="head\n\nmore"), 153) == "s - more"
