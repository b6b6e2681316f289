"""Reading request bodies within bounds: bytes counted as they come, a deadline, one budget for all (reliability.md T5, T7).

uvicorn has no limit of its own, and a declared length may lie, so the receive loop is ours.
"""

from __future__ import annotations

from starlette.types import Receive

from remediator.errors import RefusedRequest
from remediator.patience import Patience


class Disconnected(Exception):  # not an error of anybody: nobody is left to hear of it
    """The client went away before its body was complete."""


class Room:
    """How many bytes of bodies are held at this moment, by all requests together."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.held = 0
        self._patience = Patience(10.0)

    def patience(self, seconds: float) -> Patience:
        """How long a body may take; all requests wait on one timer."""
        if self._patience.seconds != seconds:
            self._patience = Patience(seconds)
        return self._patience


async def read_body(receive: Receive, room: Room, *, limit: int, seconds: float) -> bytes:
    """The whole body. The caller gives its length back to `room` when it is done with it.

    RefusedRequest: 413 beyond `limit` bytes, 503 when it takes longer than `seconds` or when `room` is full.
    """
    parts: list[bytes] = []
    size = 0
    try:
        with room.patience(seconds).wait():
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                chunk: bytes = message.get("body", b"")
                size += len(chunk)
                room.held += len(chunk)
                if size > limit:
                    raise too_large(limit)
                if room.held > room.budget:
                    raise RefusedRequest(503, "too many large bodies are being read at once; send it again")
                if not message.get("more_body", False):
                    return chunk if not parts else b"".join([*parts, chunk])
                parts.append(chunk)
    except TimeoutError:
        room.held -= size
        raise RefusedRequest(
            503, f"the body did not arrive within {seconds:g} s ({size} bytes came); send it again"
        ) from None
    except BaseException:
        room.held -= size
        raise


def too_large(limit: int) -> RefusedRequest:
    """What is said of a body beyond `limit` bytes."""
    return RefusedRequest(
        413, f"the body is larger than {limit} bytes; set max_alerts in Alertmanager's webhook_configs, or group finer"
    )
