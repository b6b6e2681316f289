"""The web application: the webhook in front, everything else behind the guard.

`create_app` gives an ASGI application. The webhook is recognised before any routing; all requests together are bounded;
nothing ever redirects a POST, and nothing is refused for load with anything but 503.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.types import Message, Receive, Scope, Send

from remediator.ports import Surface
from remediator.web.answers import answer, refusal_body, refusal_headers
from remediator.web.api import Api
from remediator.web.auth import Auth
from remediator.web.bodies import Disconnected, Room
from remediator.web.console import Console
from remediator.web.doors import Door, Guard
from remediator.web.faults import Faults
from remediator.web.options import WebOptions
from remediator.web.requests import Reader
from remediator.web.sessions import Sessions
from remediator.web.stream import Streams
from remediator.web.webhook import PATHS, Webhook

_CSP = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = (
    (b"content-security-policy", _CSP),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # not no-referrer: with that, browsers send the forms of the console itself with `Origin: null`
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class WebApp:
    """The ASGI application. `doors` is the table of all routes; `stop()` ends the streams before the server stops."""

    def __init__(
        self, *, webhook: Webhook, inner: Starlette, doors: Sequence[Door], streams: Streams, options: WebOptions
    ) -> None:
        self.doors = tuple(doors)
        self._webhook = webhook
        self._inner = inner
        self._streams = streams
        self._options = options
        self._under_way = 0

    def stop(self) -> None:
        """Ends all live streams and long polls; call it before the server waits for its connections."""
        self._streams.stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection's request, or the server's lifespan."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        is_notification = scope["path"] in PATHS
        if self._under_way >= self._options.in_flight:
            await self._overloaded(is_notification, send)
            return
        self._under_way += 1
        try:
            if is_notification:
                await self._webhook(scope, receive, send)
            else:
                await self._inner(scope, receive, _hardened(send))
        except Disconnected:
            return
        finally:
            self._under_way -= 1

    async def _overloaded(self, is_notification: bool, send: Send) -> None:
        if is_notification:
            self._options.answered(503)
        sentence = f"{self._options.in_flight} requests are under way already; send it again"
        headers = [(name.lower().encode(), value.encode()) for name, value in refusal_headers(503).items()]
        await answer(send, 503, refusal_body(503, sentence), [*headers, (b"connection", b"close")])


def _hardened(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name for name, _value in message["headers"]}
            message["headers"] = [*message["headers"], *_HEADERS]
            if b"cache-control" not in present:
                message["headers"].append((b"cache-control", b"no-store"))
        await send(message)

    return with_headers


def create_app(surface: Surface, auth: Auth, options: WebOptions, *, session_key: bytes = b"") -> WebApp:
    """The web floor over `surface`. Without a `session_key`, sessions end with the process."""
    room = Room(options.body_budget)
    reader = Reader(options, room)
    streams = Streams(surface, options)
    sessions = Sessions(auth, session_key or secrets.token_bytes(32), options.now)
    guard = Guard(auth, sessions, options)
    api = Api(surface, options, reader, streams)
    console = Console(surface, auth, sessions, options, reader)
    doors = (*api.doors(), *console.doors())
    inner = Starlette(
        routes=[guard.route(door) for door in doors],
        exception_handlers=Faults(console.refused).handlers(),
    )
    inner.router.redirect_slashes = False
    webhook = Webhook(surface, auth, options, room)
    return WebApp(webhook=webhook, inner=inner, doors=doors, streams=streams, options=options)
