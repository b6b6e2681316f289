"""The webhook: `POST /api/v1/alerts`. 2xx only once the notification is durable; 5xx for what passes; 4xx for what does not.

Alertmanager tries 5xx again and drops what got 4xx or a redirect (alertmanager.md §2.3), so the status is the whole
conversation. This is plain ASGI: no routing, no middleware, no request object; an alert storm passes through here.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Receive, Scope, Send

from remediator.errors import RefusedNotification, RefusedRequest, StoreError
from remediator.ports import Surface
from remediator.web.answers import answer, refusal_body, refusal_headers
from remediator.web.auth import Auth
from remediator.web.bodies import Disconnected, Room, read_body, too_large
from remediator.web.options import WebOptions

PATHS = frozenset({"/api/v1/alerts", "/webhook"})
_CHALLENGE = [(b"www-authenticate", b'Bearer realm="remediator"'), (b"www-authenticate", b'Basic realm="remediator"')]
_CLOSE = [(b"connection", b"close")]  # what is left of the body is not read


class Webhook:
    """Takes notifications."""

    def __init__(self, surface: Surface, auth: Auth, options: WebOptions, room: Room) -> None:
        self._accept = surface.accept
        self._auth = auth
        self._options = options
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One notification."""
        if scope["method"] != "POST":
            await self._refuse(
                send,
                405,
                f"{scope['method']} is not what the webhook takes; Alertmanager sends POST",
                [(b"allow", b"POST")],
            )
            return
        refused = self._look(scope["headers"])
        if refused is not None:
            status, sentence = refused
            await self._refuse(send, status, sentence, [*(_CHALLENGE if status == 401 else ()), *_CLOSE])
            return
        try:
            body = await read_body(
                receive, self._room, limit=self._options.body_limit, seconds=self._options.body_deadline
            )
        except RefusedRequest as no:
            await self._refuse(send, no.status, str(no), _CLOSE)
            return
        except Disconnected:
            return
        try:
            await self._take(scope, send, body)
        finally:
            self._room.held -= len(body)

    def _look(self, headers: Iterable[tuple[bytes, bytes]]) -> tuple[int, str] | None:
        """What is wrong with the request before its body is read."""
        authorization: bytes | None = None
        content_type = length = coding = b""
        for name, value in headers:
            match name:
                case b"authorization":
                    authorization = value
                case b"content-type":
                    content_type = value
                case b"content-length":
                    length = value
                case b"content-encoding":
                    coding = value.strip().lower()
                case b"origin" | b"sec-fetch-site":
                    return 403, "the webhook takes nothing from a browser; Alertmanager never sends this header"
        if not self._auth.admits_webhook(authorization):
            return 401, (
                "the webhook needs its credential; write http_config.authorization.credentials_file (or basic_auth) in "
                "Alertmanager's webhook_configs"
            )
        return _unfit(content_type, length, coding, self._options.body_limit)

    async def _take(self, scope: Scope, send: Send, body: bytes) -> None:
        client = scope.get("client")
        try:
            # Not a task of its own: the server does not cancel us when the client goes, and the append is shielded.
            accepted = await self._accept(body, client[0] if client else "")
        except RefusedNotification as no:
            await self._refuse(send, no.status, str(no))
            return
        except StoreError as error:
            await self._refuse(send, 503, f"not durable, so not taken: {error}")
            return
        self._options.answered(202)
        await answer(
            send,
            202,
            b'{"status":"success","data":{"entry":%d,"alerts":%d}}' % (accepted.entry, accepted.alerts),
        )

    async def _refuse(self, send: Send, status: int, sentence: str, more: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._options.answered(status)
        headers = [*more]
        if status == 503:
            headers += [(name.lower().encode(), value.encode()) for name, value in refusal_headers(503).items()]
        await answer(send, status, refusal_body(status, sentence), headers)


def _unfit(content_type: bytes, length: bytes, coding: bytes, limit: int) -> tuple[int, str] | None:
    if coding and coding != b"identity":
        return 415, f"Content-Encoding {coding[:40].decode('latin-1')!r} is not taken; send the body as it is"
    if content_type.partition(b";")[0].strip().lower() != b"application/json":
        shown = content_type[:60].decode("latin-1")
        return 415, f"Content-Type {shown!r} is not a notification; expected application/json"
    if length.isdigit() and int(length[:20]) > limit:
        return 413, str(too_large(limit))
    return None
