"""The HTTP client: what is certain, what is unknown, and that nothing is without bounds."""

from __future__ import annotations

import asyncio
import base64
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import respx

from remediator.actions.http_client import (
    MAX_BODY,
    Answer,
    Credentials,
    HttpClient,
    Lost,
    NotSent,
    Request,
    deadline,
    final_url,
    judge,
)
from remediator.core.outcomes import Result

URL = "http://mta1.example:8000/x"


@asynccontextmanager
async def server(answer: bytes | None, *, reset: bool = False) -> AsyncIterator[str]:
    """A server that reads the head of a request and answers with these bytes; None answers nothing and waits."""
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if reset:
            writer.transport.abort()
            return
        if answer is None:
            await over.wait()
        else:
            writer.write(answer)
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        over.set()
        listening.close()
        await listening.wait_closed()


async def no_rest(_seconds: float) -> None:
    return None


async def test_a_refused_connection_is_certainly_not_sent() -> None:
    async with server(b"") as url:
        pass
    reply = await HttpClient().send(Request(method="POST", url=url, json={}), until=deadline(5.0))
    assert isinstance(reply, NotSent)
    assert judge(reply, "POST").result is Result.NOT_ISSUED


async def test_an_unknown_host_is_certainly_not_sent() -> None:
    with respx.mock:
        respx.post(URL).mock(side_effect=httpx.ConnectError("Name or service not known"))
        reply = await HttpClient().send(Request(method="POST", url=URL), until=deadline(5.0))
    assert isinstance(reply, NotSent)


async def test_a_deadline_after_the_request_left_is_unknown() -> None:
    async with server(None) as url:
        reply = await HttpClient().send(Request(method="POST", url=url, json={}), until=deadline(0.2))
    assert isinstance(reply, Lost)
    assert judge(reply, "POST").result is Result.UNKNOWN


async def test_a_reset_after_the_request_left_is_unknown() -> None:
    async with server(b"", reset=True) as url:
        reply = await HttpClient().send(Request(method="POST", url=url, json={}), until=deadline(5.0))
    assert isinstance(reply, Lost)


async def test_an_answer_that_breaks_off_is_unknown() -> None:
    async with server(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf") as url:
        reply = await HttpClient().send(Request(method="POST", url=url, json={}), until=deadline(5.0))
    assert isinstance(reply, Lost)


async def test_an_endless_answer_is_cut() -> None:
    async with server(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b"x" * (MAX_BODY + 4096)) as url:
        reply = await HttpClient().send(Request(method="GET", url=url), until=deadline(5.0))
    assert isinstance(reply, Answer)
    assert reply.cut
    assert len(reply.body) == MAX_BODY
    with pytest.raises(ValueError, match="longer than"):
        reply.json()


async def test_a_compressed_answer_is_not_asked_for_and_not_unpacked() -> None:
    packed = gzip.compress(b"0" * 100_000)
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(packed)}\r\n\r\n"
    async with server(head.encode() + packed) as url:
        reply = await HttpClient().send(Request(method="GET", url=url), until=deadline(5.0))
    assert isinstance(reply, Answer)
    assert reply.body == packed
    with respx.mock:
        route = respx.get(URL).respond(200)
        await HttpClient().send(Request(method="GET", url=URL), until=deadline(5.0))
    assert route.calls[0].request.headers["accept-encoding"] == "identity"


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    with respx.mock:
        respx.post(URL).respond(302, headers={"location": "http://169.254.169.254/"})
        reply = await HttpClient().send(Request(method="POST", url=URL), until=deadline(5.0))
    outcome = judge(reply, "POST")
    assert outcome.result is Result.FAILED
    assert "redirects are not followed" in outcome.sentence


async def test_a_proxy_of_the_environment_is_not_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with server(b"HTTP/1.1 204 No Content\r\n\r\n") as url:
        reply = await HttpClient().send(Request(method="GET", url=url), until=deadline(5.0))
    assert isinstance(reply, Answer)
    assert reply.status == 204


@pytest.mark.parametrize(
    ("status", "result", "retryable"),
    [
        (200, Result.OK, False),
        (204, Result.OK, False),
        (400, Result.FAILED, False),
        (401, Result.FAILED, False),
        (404, Result.FAILED, False),
        (429, Result.FAILED, True),
        (500, Result.UNKNOWN, False),
        (503, Result.UNKNOWN, False),
    ],
)
def test_a_status_says_what_became_of_a_change(status: int, result: Result, retryable: bool) -> None:
    outcome = judge(Answer(status=status, body=b"why"), "POST /x")
    assert outcome.result is result
    assert outcome.retryable is retryable


async def test_a_read_is_tried_three_times_and_a_change_once() -> None:
    with respx.mock:
        route = respx.route(url=URL).mock(side_effect=httpx.ReadError("reset"))
        await HttpClient(rest=no_rest).read(Request(method="GET", url=URL), until=deadline(5.0))
        assert route.call_count == 3
        await HttpClient(rest=no_rest).send(Request(method="POST", url=URL), until=deadline(5.0))
        assert route.call_count == 4


async def test_an_answer_ends_the_tries_of_a_read_whatever_it_says() -> None:
    with respx.mock:
        route = respx.get(URL).respond(503, text="load shedding")
        reply = await HttpClient(rest=no_rest).read(Request(method="GET", url=URL), until=deadline(5.0))
        assert route.call_count == 1
    assert isinstance(reply, Answer)


async def test_the_password_is_read_at_each_use_and_stays_out_of_sentences(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    client, request = (
        HttpClient(),
        Request(method="POST", url=URL, credentials=Credentials(username="ops", password_file=secret)),
    )
    missing = await client.send(request, until=deadline(5.0))
    assert isinstance(missing, NotSent)
    for word in ("first", "second"):
        secret.write_text(f"{word}\n", encoding="utf-8")
        with respx.mock:
            route = respx.post(URL).mock(side_effect=httpx.ReadError("reset"))
            reply = await client.send(request, until=deadline(5.0))
        sent = route.calls[0].request.headers["authorization"].removeprefix("Basic ")
        assert base64.b64decode(sent) == f"ops:{word}".encode()
        assert word not in str(reply)


async def test_a_unix_socket_is_spoken_through(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    listening = await asyncio.start_unix_server(talk, tmp_path / "s")
    try:
        client = HttpClient(socket=tmp_path / "s")
        reply = await client.send(Request(method="GET", url="http://docker/info"), until=deadline(5.0))
    finally:
        listening.close()
        await listening.wait_closed()
    assert isinstance(reply, Answer)
    assert reply.json() == {}


def test_the_final_url_shows_where_dots_lead() -> None:
    assert final_url("http://mta1.example/api/x/../../admin") == "http://mta1.example/admin"


def test_a_hostile_answer_is_quoted_on_one_line() -> None:
    answer = Answer(status=400, body=b"\x1b[2Jbad\r\nlevel=info fake=1\x00" + b"x" * 1000)
    assert "\n" not in answer.text
    assert "\x1b" not in answer.text
    assert len(answer.text) <= 200


async def test_a_secret_that_a_target_echoes_is_not_quoted() -> None:
    client = HttpClient(redact=lambda text: text.replace("hunter2", "[redacted]"))
    with respx.mock:
        respx.post(URL).respond(400, text="bad credentials ops:hunter2")
        outcome = judge(await client.send(Request(method="POST", url=URL), until=deadline(5.0)), "POST")
    assert "[redacted]" in outcome.sentence
    assert "hunter2" not in outcome.sentence


@pytest.mark.parametrize(
    ("username", "password", "header"),
    [("", "t0ken", "Bearer t0ken"), ("ops", "t0ken", "Basic b3BzOnQwa2Vu"), ("", None, None), ("", "", None)],
)
async def test_a_secret_without_a_user_is_a_bearer_token_and_nothing_is_no_header(
    tmp_path: Path, username: str, password: str | None, header: str | None
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{password}\n" if password else "", encoding="utf-8")
    credentials = Credentials(username=username, password_file=secret if password is not None else None)
    with respx.mock:
        route = respx.post(URL).respond(200)
        await HttpClient().send(Request(method="POST", url=URL, credentials=credentials), until=deadline(5.0))
    assert route.calls[0].request.headers.get("authorization") == header


@pytest.mark.parametrize("token", ["t0ken\nHost: evil.example", "t\u20acken", "t\x7fken"])
async def test_what_is_no_bearer_token_is_not_sent_and_not_quoted(tmp_path: Path, token: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text(token, encoding="utf-8")
    request = Request(method="POST", url=URL, credentials=Credentials(username="", password_file=secret))
    reply = await HttpClient().send(request, until=deadline(5.0))
    assert reply == NotSent(sentence="the password file cannot be read (it holds signs that no bearer token has)")
