"""The webhook against raw ASGI: what is taken, what is refused with which status, and that 2xx means durable."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from remediator.errors import AppendUnknown, NotCommitted, RefusedNotification, StoreFull

Message = MutableMapping[str, Any]
BODY = b'{"alerts": []}'
JSON = (b"content-type", b"application/json")


class Knock:
    """One request by hand: scripted body chunks in, status, headers and body out."""

    def __init__(
        self, *chunks: bytes, headers: tuple[tuple[bytes, bytes], ...] = (JSON,), method: str = "POST"
    ) -> None:
        self.chunks = list(chunks)
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "path": "/api/v1/alerts",
            "raw_path": b"/api/v1/alerts",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": [(b"host", b"127.0.0.1:9097"), *headers],
            "client": ("192.0.2.7", 40000),
            "server": ("127.0.0.1", 9097),
        }
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.read = 0
        self.at_end: Callable[[], Awaitable[Message]] = _silence

    async def receive(self) -> Message:
        if not self.chunks:
            return await self.at_end()
        self.read += 1
        chunk = self.chunks.pop(0)
        more = bool(self.chunks) or self.at_end is not _silence
        return {"type": "http.request", "body": chunk, "more_body": more}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = dict(message["headers"])
        else:
            self.body += message["body"]

    async def at(self, app: Callable[..., Awaitable[None]]) -> Knock:
        await app(self.scope, self.receive, self.send)
        return self

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])


async def _silence() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("never")


async def _gone() -> Message:
    return {"type": "http.disconnect"}


async def _half_open() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("never")


async def test_a_notification_is_answered_202_with_its_place_in_the_journal(local: Any) -> None:
    knock = await Knock(BODY).at(local.app)
    assert knock.status == 202
    assert json.loads(knock.body) == {"status": "success", "data": {"entry": 1, "alerts": 2}}
    assert local.surface.bodies == [BODY]
    assert local.surface.asked == [("accept", "192.0.2.7")]
    assert local.codes == [202]


async def test_the_alias_takes_notifications_too(local: Any) -> None:
    knock = Knock(BODY)
    knock.scope["path"] = "/webhook"
    assert (await knock.at(local.app)).status == 202


async def test_nothing_is_answered_before_the_surface_has_accepted(local: Any) -> None:
    local.surface.gate.clear()
    knock = Knock(BODY)
    asking = asyncio.ensure_future(knock.at(local.app))
    for _ in range(10):
        await asyncio.sleep(0)
    assert knock.status == 0
    local.surface.gate.set()
    await asking
    assert knock.status == 202


async def test_a_client_that_goes_away_does_not_cancel_the_accept(local: Any) -> None:
    local.surface.gate.clear()
    knock = Knock(BODY)

    async def must_not_be_asked() -> Message:
        raise AssertionError("the webhook listens for a disconnect while the notification is being written")

    asking = asyncio.ensure_future(knock.at(local.app))
    for _ in range(10):
        await asyncio.sleep(0)
    knock.at_end = must_not_be_asked
    local.surface.gate.set()
    await asking
    assert local.surface.bodies == [BODY]


async def test_a_client_that_goes_away_in_its_body_leaves_nothing_behind(local: Any) -> None:
    knock = Knock(b'{"alerts"')
    knock.at_end = _gone
    await knock.at(local.app)
    assert knock.status == 0
    assert local.surface.asked == []
    assert (await Knock(BODY).at(local.app)).status == 202


async def test_chunks_are_put_together_in_order(local: Any) -> None:
    knock = await Knock(b'{"ale', b"", b'rts"', b": []}").at(local.app)
    assert knock.status == 202
    assert local.surface.bodies == [BODY]


@pytest.mark.parametrize("length", [b"", b"5", b"999999999999"])
async def test_a_body_beyond_the_limit_is_413_however_its_length_is_declared(make_house: Any, length: bytes) -> None:
    house = make_house(_nobody(), body_limit=100)
    headers = (JSON, (b"content-length", length)) if length else (JSON,)
    knock = Knock(*[b"x" * 60] * 1000, headers=headers)
    await knock.at(house.app)
    assert knock.status == 413
    assert "larger than 100 bytes" in knock.error
    assert knock.read == (0 if length == b"999999999999" else 2)
    assert knock.headers[b"connection"] == b"close"
    assert house.surface.asked == []


async def test_a_body_of_exactly_the_limit_is_taken(make_house: Any) -> None:
    house = make_house(_nobody(), body_limit=len(BODY))
    assert (await Knock(BODY).at(house.app)).status == 202


async def test_a_body_that_does_not_end_is_503_after_the_deadline(make_house: Any) -> None:
    house = make_house(_nobody(), body_deadline=0.001)
    knock = Knock(b'{"al')
    knock.at_end = _half_open
    await knock.at(house.app)
    assert knock.status == 503
    assert "did not arrive within 0.001 s (4 bytes came)" in knock.error
    assert knock.headers[b"retry-after"] == b"5"


async def test_bodies_together_stay_within_their_budget(make_house: Any) -> None:
    house = make_house(_nobody(), body_budget=100)
    house.surface.gate.clear()
    first = asyncio.ensure_future(Knock(b'{"a": "' + b"x" * 70 + b'"}').at(house.app))
    for _ in range(10):
        await asyncio.sleep(0)
    second = await Knock(b'{"a": "' + b"x" * 70 + b'"}').at(house.app)
    assert second.status == 503
    house.surface.gate.set()
    assert (await first).status == 202
    assert (await Knock(b'{"a": "' + b"x" * 70 + b'"}').at(house.app)).status == 202


@pytest.mark.parametrize("size", [10, 60])
async def test_whatever_happens_to_a_body_its_room_is_given_back(make_house: Any, size: int) -> None:
    house = make_house(_nobody(), body_budget=100, body_limit=50, body_deadline=0.001)
    for _ in range(20):
        knock = Knock(b"x" * size)
        knock.at_end = _gone if size == 10 else _silence
        await knock.at(house.app)
    slow = Knock(b"x" * 20)
    slow.at_end = _half_open
    await slow.at(house.app)
    assert (await Knock(BODY).at(house.app)).status == 202
    assert house.app._webhook._room.held == 0


@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [
        ((), 415, "application/json"),
        (((b"content-type", b"text/plain"),), 415, "'text/plain'"),
        (((b"content-type", b"application/x-www-form-urlencoded"),), 415, "application/json"),
        ((JSON, (b"content-encoding", b"gzip")), 415, "'gzip'"),
        ((JSON, (b"content-encoding", b"identity")), 202, ""),
        (((b"content-type", b"Application/JSON; charset=utf-8"),), 202, ""),
        ((JSON, (b"origin", b"https://evil.example")), 403, "browser"),
    ],
)
async def test_what_can_never_be_a_notification_is_refused_before_its_body(
    local: Any, headers: tuple[tuple[bytes, bytes], ...], status: int, word: str
) -> None:
    knock = await Knock(BODY, headers=headers).at(local.app)
    assert knock.status == status
    if word:
        assert word in knock.error
        assert knock.read == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_are_405_so_that_a_redirected_delivery_never_counts(local: Any, method: str) -> None:
    knock = await Knock(method=method).at(local.app)
    assert knock.status == 405
    assert knock.headers[b"allow"] == b"POST"


@pytest.mark.parametrize("path", ["/api/v1/alerts/", "/webhook/", "//webhook", "/api/v1/alert"])
async def test_no_path_near_the_webhook_redirects(local: Any, path: str) -> None:
    async with local.client() as client:
        answer = await client.post(
            f"http://127.0.0.1:9097{path}", content=BODY, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "error",
    [NotCommitted("no space"), StoreFull("full"), AppendUnknown("lost the answer"), NotCommitted("queue is full")],
)
async def test_a_store_that_cannot_commit_is_503_with_the_reason(local: Any, error: Exception) -> None:
    local.surface.error = error
    knock = await Knock(BODY).at(local.app)
    assert knock.status == 503
    assert str(error) in knock.error
    assert knock.headers[b"retry-after"] == b"5"
    assert local.codes == [503]


async def test_what_is_no_notification_is_400_with_the_sentence(local: Any) -> None:
    local.surface.error = RefusedNotification(400, "the body is not an Alertmanager notification: no alerts")
    knock = await Knock(BODY).at(local.app)
    assert knock.status == 400
    assert knock.error == "the body is not an Alertmanager notification: no alerts"


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        (b"", 401),
        (b"Bearer", 401),
        (b"Bearer ", 401),
        (b"Bearer " + b"w" * 31, 401),
        (b"Bearer " + b"r" * 32, 401),
        (b"Basic " + base64.b64encode(b"w" * 32), 401),
        (b"Basic !!!", 401),
        (b"Basic " + base64.b64encode(b"alertmanager:wrong"), 401),
        (b"Bearer " + b"w" * 32, 202),
        (b"bearer  " + b"v" * 32, 202),
        (b"Basic " + base64.b64encode(b"alertmanager:" + b"p" * 32), 202),
    ],
)
async def test_the_webhook_needs_its_own_credential(guarded: Any, header: bytes | None, status: int) -> None:
    headers = (JSON,) if header is None else (JSON, (b"authorization", header))
    knock = await Knock(BODY, headers=headers).at(guarded.app)
    assert knock.status == status
    if status == 401:
        assert knock.headers[b"www-authenticate"].startswith((b"Bearer", b"Basic"))
        assert knock.read == 0


async def test_above_the_bound_of_requests_the_answer_is_503(make_house: Any) -> None:
    house = make_house(_nobody(), in_flight=3)
    house.surface.gate.clear()
    waiting = [asyncio.ensure_future(Knock(BODY).at(house.app)) for _ in range(3)]
    for _ in range(10):
        await asyncio.sleep(0)
    refused = await Knock(BODY).at(house.app)
    assert refused.status == 503
    assert "3 requests are under way" in refused.error
    house.surface.gate.set()
    assert [(await one).status for one in waiting] == [202] * 3
    assert (await Knock(BODY).at(house.app)).status == 202


def _nobody() -> Any:
    from remediator.web.auth import Credentials

    return Credentials()
