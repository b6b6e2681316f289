"""HTTP of the exporter: `POST /api/v1/log-records` in front, /metrics and the two health paths behind the guard.

A record is counted before its post is answered with 2xx, and a post is counted whole: nothing awaits between the first and
the last of its records. 5xx for what passes, 4xx for what is wrong for ever: the sample hook tries the former again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from remediator.errors import RefusedRequest
from remediator.exporter.records import KINDS, NotRecords, Reading, digest, read, split
from remediator.exporter.series import Posts, Series
from remediator.exporter.tally import Recent, Tally
from remediator.ports import Clock
from remediator.web.answers import answer, refusal, refusal_body, refusal_headers
from remediator.web.auth import Auth, Caller
from remediator.web.auth import Scope as Right
from remediator.web.bodies import Disconnected, Room, read_body
from remediator.web.doors import Door, Guard
from remediator.web.faults import Faults
from remediator.web.options import WebOptions
from remediator.web.sessions import Sessions

PATH = "/api/v1/log-records"
_CHALLENGE = (b"www-authenticate", b'Bearer realm="remediator exporter"')
_CLOSE = (b"connection", b"close")  # what is left of the body is not read


class Intake:
    """Takes posts of log records."""

    def __init__(self, tally: Tally, posts: Posts, reading: Reading, clock: Clock) -> None:
        self._tally = tally
        self._posts = posts
        self._reading = reading
        self._clock = clock
        self._recent = Recent()

    def take(self, body: bytes) -> dict[str, int]:
        """Counts the records of a body, each once; gives how many came to what. RefusedRequest 400 for what holds none."""
        try:
            records = split(body)
        except NotRecords as fault:
            raise RefusedRequest(400, f"{fault}; expected what kumod's log hook sends") from None
        now = self._clock.monotonic()
        found = dict.fromkeys(self._posts.records, 0)
        for record in records:
            found[self._one(record, now)] += 1
        for result, count in found.items():
            self._posts.records[result] += count
        if records:
            self._posts.last_at = self._clock.now()
        return found

    def _one(self, raw: bytes, now: float) -> str:
        record = read(raw)
        if record is None:
            return "malformed"
        counted = self._reading.count(record)
        if counted is None:
            return "ignored"
        if self._recent.again(digest(raw)):
            return "duplicate"
        for by in KINDS:
            if by in counted.names:
                self._tally.add(by, counted.names[by], counted.outcome, now)
        return "counted"


class ExporterApp:
    """The ASGI application. `reasons` says why it is not ready, empty if it is."""

    def __init__(
        self, intake: Intake, series: Series, posts: Posts, auth: Auth, options: WebOptions,
        reasons: Callable[[], tuple[str, ...]],
    ) -> None:  # fmt: skip
        self._intake = intake
        self._series = series
        self._posts = posts
        self._auth = auth
        self._options = options
        self._reasons = reasons
        self._room = Room(options.body_budget)
        self._under_way = 0
        self._inner = self._doors()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        if self._under_way >= self._options.in_flight:
            sentence = f"{self._options.in_flight} requests are under way already; send it again"
            await self._answer(send, 503, refusal_body(503, sentence), [_CLOSE], counts=scope["path"] == PATH)
            return
        self._under_way += 1
        try:
            await (self._records if scope["path"] == PATH else self._inner)(scope, receive, send)
        except Disconnected:
            return
        finally:
            self._under_way -= 1

    # ── log records ──────────────────────────────────────────────────────────────────────────────────────────────────
    async def _records(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(scope)
            body = await read_body(
                receive, self._room, limit=self._options.body_limit, seconds=self._options.body_deadline
            )
            try:
                found = self._intake.take(body)
            finally:
                self._room.held -= len(body)
        except RefusedRequest as no:
            headers = [_CLOSE, *([_CHALLENGE] if no.status == 401 else [])]
            await self._answer(send, no.status, refusal_body(no.status, str(no)), headers)
            return
        counts = b",".join(b'"%s":%d' % (name.encode(), count) for name, count in found.items())
        await self._answer(send, 200, b'{"status":"success","data":{%s}}' % counts)

    def _check(self, scope: Scope) -> None:
        """RefusedRequest for what is wrong before the body is read."""
        if scope["method"] != "POST":
            raise RefusedRequest(405, f"{scope['method']} is not what this path takes; kumod's log hook sends POST")
        headers = dict(scope["headers"])
        if b"origin" in headers or b"sec-fetch-site" in headers:
            raise RefusedRequest(403, "this path takes nothing from a browser; kumod never sends this header")
        if not self._auth.admits_webhook(headers.get(b"authorization")):
            sentence = "log records need the token in web.bearer_token_file; send it as Authorization: Bearer"
            raise RefusedRequest(401, sentence)
        coding = headers.get(b"content-encoding", b"identity").strip().lower()
        if coding != b"identity":
            raise RefusedRequest(415, f"Content-Encoding {coding[:40].decode('latin-1')!r} is not taken; send it plain")
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise RefusedRequest(415, f"Content-Type {kind[:60].decode('latin-1')!r}: expected application/json")

    async def _answer(
        self, send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = (), *, counts: bool = True
    ) -> None:
        if counts:
            self._posts.answered(status)
        more = [(name.lower().encode(), value.encode()) for name, value in refusal_headers(status).items()]
        await answer(send, status, body, [*headers, *(more if status == 503 else [])])

    # ── the rest ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def _doors(self) -> Starlette:
        guard = Guard(self._auth, Sessions(self._auth, secrets.token_bytes(32), self._options.now), self._options)
        doors = (
            Door(method="GET", path="/-/healthy", scope=Right.OPEN, serve=self._healthy),
            Door(method="GET", path="/-/ready", scope=Right.OPEN, serve=self._ready),
            Door(method="GET", path="/metrics", scope=Right.READ, serve=self._metrics),
        )
        inner = Starlette(
            routes=[guard.route(door) for door in doors],
            exception_handlers=Faults(lambda _request, status, sentence: refusal(status, sentence)).handlers(),
        )
        inner.router.redirect_slashes = False
        return inner

    async def _healthy(self, _request: Request, _caller: Caller) -> Response:
        return PlainTextResponse("remediator exporter is healthy.\n")

    async def _ready(self, _request: Request, _caller: Caller) -> Response:
        reasons = self._reasons()
        if reasons:
            return PlainTextResponse("not ready:\n" + "\n".join(reasons) + "\n", status_code=503)
        return PlainTextResponse("remediator exporter is ready.\n")

    async def _metrics(self, _request: Request, _caller: Caller) -> Response:
        return Response(self._series.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
