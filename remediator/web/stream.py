"""The live stream: journal entries as server-sent events; ids are sequence numbers, so a reader resumes without a gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from remediator.core.views import LineView
from remediator.errors import RefusedRequest, StoreError
from remediator.ports import Surface
from remediator.web.auth import Caller
from remediator.web.options import WebOptions

CHUNK = 200


class Streams:
    """All open streams; they end when the service stops."""

    def __init__(self, surface: Surface, options: WebOptions) -> None:
        self._surface = surface
        self._options = options
        self._seats = options.streams
        self.stopping = asyncio.Event()

    @contextmanager
    def seat(self) -> Iterator[None]:
        """A place for one who waits; RefusedRequest 503 if all are taken."""
        self._check_seats()
        self._seats -= 1
        try:
            yield
        finally:
            self._seats += 1

    def _check_seats(self) -> None:
        if self.stopping.is_set():
            raise RefusedRequest(503, "the service is stopping; come back in a moment")
        if not self._seats:
            raise RefusedRequest(503, f"{self._options.streams} readers already wait for news; try again later")

    async def serve(self, request: Request, _caller: Caller) -> Response:
        """`GET /api/v1/stream`; `Last-Event-ID` (or `?after=`) says where to resume, else it begins now."""
        self._check_seats()  # refused before the answer begins; the stream takes its own seat
        last = request.headers.get("last-event-id") or request.query_params.get("after") or ""
        head = await self._surface.changed(0, 0.0)
        after = min(int(last), head) if last.isdecimal() and len(last) < 17 else head
        return StreamingResponse(
            self._told(after),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def _told(self, after: int) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        ends = clock() + self._options.stream_life
        try:
            with self.seat():
                yield b"retry: 2000\nid: %d\n\n" % after
                while clock() < ends and not self.stopping.is_set():
                    if not await self._news(after):
                        yield b": still here\n\n"
                        continue
                    fresh = await self._surface.lines(after, CHUNK)
                    if not fresh:
                        return  # a head without its entries; the reader asks again in a moment
                    for line in fresh:
                        after = line.seq
                        yield told(line)
        except (RefusedRequest, StoreError):
            return  # the reader comes back by itself, with the last id it saw

    async def _news(self, after: int) -> bool:
        """Whether there are entries beyond `after`, after a heartbeat's time at most; False too when the service stops."""
        head = await self.until_stopped(self._surface.changed(after, self._options.heartbeat))
        return head is not None and head > after

    async def until_stopped(self, asking: Coroutine[object, object, int]) -> int | None:
        """What `asking` gives, or None as soon as the service stops."""
        stopping = asyncio.ensure_future(self.stopping.wait())
        looking = asyncio.ensure_future(asking)
        try:
            await asyncio.wait({stopping, looking}, return_when=asyncio.FIRST_COMPLETED)
            return looking.result() if looking.done() else None
        finally:
            stopping.cancel()
            looking.cancel()


def told(line: LineView) -> bytes:
    """One entry as a server-sent event; JSON has no line breaks, so hostile text cannot end it."""
    return b"id: %d\nevent: entry\ndata: %b\n\n" % (line.seq, msgspec.json.encode(line))
