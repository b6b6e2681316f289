"""Answers: the JSON envelope of Prometheus, its errors with a sentence, and raw ASGI answers for the webhook."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from starlette.responses import Response
from starlette.types import Send

RETRY_AFTER = 5  # s; Alertmanager ignores it (alertmanager.md §2.3), proxies and people's tools do not

_KINDS = {
    400: "bad_data",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many_tries",
    503: "unavailable",
}
_encode = msgspec.json.Encoder().encode


def success(payload: object, *, status: int = 200) -> Response:
    """`payload` in the envelope."""
    return Response(
        b'{"status":"success","data":' + _encode(payload) + b"}", status_code=status, media_type="application/json"
    )


def refusal_body(status: int, sentence: str) -> bytes:
    """The envelope of an error."""
    return _encode({"status": "error", "errorType": _KINDS.get(status, "internal"), "error": sentence})


def refusal_headers(status: int) -> dict[str, str]:
    """What HTTP asks to be sent along with this status."""
    match status:
        case 401:
            return {"WWW-Authenticate": 'Bearer realm="remediator"'}
        case 429 | 503:
            return {"Retry-After": str(RETRY_AFTER)}
        case _:
            return {}


def refusal(status: int, sentence: str, *, headers: dict[str, str] | None = None) -> Response:
    """An error as JSON."""
    return Response(
        refusal_body(status, sentence),
        status_code=status,
        headers={**refusal_headers(status), **(headers or {})},
        media_type="application/json",
    )


async def answer(send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Answers with JSON without any framework in between."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode("ascii")),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
