"""Connections within bounds: how many there are, how long the head of a request may take and how large it may be.

uvicorn bounds none of the three, and every connection is an open file: a few clients that send their heads slowly, or only
connect, would use up the files of the process, and nobody could ask or pause it any more (reliability.md G14, T7). Whoever
is cut off here gets 503 or just an end, and Alertmanager sends again after both. Touches the limits of the process to read.
"""

from __future__ import annotations

import asyncio
import resource
from typing import ClassVar

from remediator.web.answers import RETRY_AFTER
from remediator.web.protocol import JoinedProtocol

# How long the head of a request may take, and how long a new connection may be silent (s).
HEAD_WITHIN = 10.0
# How large a head may be (bytes); what Alertmanager and browsers send stays below a tenth of it.
HEAD_SIZE = 64 * 1024
# Files that are kept for the journal, neighbours and commands, and the most connections whatever the system allows.
SPARE, MOST = 256, 4096
_BUSY = (
    f"HTTP/1.1 503 Service Unavailable\r\nretry-after: {RETRY_AFTER}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
).encode("ascii")
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def room_for_connections() -> int:
    """How many connections fit under the limit of open files of this process."""
    files, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if files == resource.RLIM_INFINITY else max(16, min(MOST, files - SPARE))


class Crowd:
    """All connections of one server. Above `limit` whoever has waited longest without a request has to go."""

    def __init__(self, limit: int | None = None, *, head_within: float = HEAD_WITHIN) -> None:
        self.limit = room_for_connections() if limit is None else limit
        self.head_within = head_within
        self.here = 0
        self._waiting: dict[BoundedProtocol, None] = {}

    def come(self, one: BoundedProtocol) -> None:
        """A connection was made; if that is one too many, the oldest that waits is closed, else this one refused."""
        self.here += 1
        if self.here > self.limit:
            oldest = next(iter(self._waiting), one)
            self._waiting.pop(oldest, None)
            oldest.cut(_BUSY if oldest is one else b"")
            if oldest is one:
                return
        self._waiting[one] = None

    def works(self, one: BoundedProtocol) -> None:
        """A whole head has come: this one is not closed for others."""
        self._waiting.pop(one, None)

    def waits(self, one: BoundedProtocol) -> None:
        """It has its answer, and waits for the next request."""
        self._waiting[one] = None

    def go(self, one: BoundedProtocol) -> None:
        """It is gone."""
        self.here -= 1
        self._waiting.pop(one, None)


class BoundedProtocol(JoinedProtocol):
    """One connection of a crowd."""

    crowd: ClassVar[Crowd]
    _timer: asyncio.TimerHandle | None = None
    _in_head = _answering = False
    _head = 0  # bytes of the head that have come so far

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come, and has to say something soon."""
        super().connection_made(transport)
        self._watch()
        self.crowd.come(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._unwatch()
        self.crowd.go(self)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The whole head is there."""
        self._in_head, self._answering, self._head = False, True, 0
        self._unwatch()
        self.crowd.works(self)
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes; a head that is not whole yet is watched."""
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._head += len(data)
        if self._head > HEAD_SIZE:
            self.cut(_TOO_LARGE)
        elif self._timer is None:
            self._watch()

    def on_response_complete(self) -> None:
        """The answer has been given."""
        self._answering = bool(self.pipeline)
        if not self._answering and not self.transport.is_closing():
            self.crowd.waits(self)
        super().on_response_complete()

    def cut(self, last_words: bytes) -> None:
        """Ends the connection."""
        if last_words:
            self.transport.write(last_words)
        self.transport.close()

    def _watch(self) -> None:
        self._timer = self.loop.call_later(self.crowd.head_within, self._overdue)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _overdue(self) -> None:
        self._timer = None
        if self._answering:
            self._watch()  # it sent a further head while its answer is still being made: that one comes first
        else:
            self.cut(_BUSY if self._in_head else b"")


def protocol_for(crowd: Crowd) -> type[BoundedProtocol]:
    """The protocol of the connections of one server."""

    class Connection(BoundedProtocol):
        """One of them."""

    Connection.crowd = crowd
    return Connection
