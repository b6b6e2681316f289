"""Real sockets against a server of ours: slow heads, silent lines and floods are bounded, and good requests go on."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from starlette.types import Receive, Scope, Send

from remediator.web.answers import answer
from remediator.web.crowd import HEAD_SIZE, MOST, SPARE, Crowd, room_for_connections
from remediator.web.listening import listen_on, server_for

GOOD = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
SLOWLY = b"GET /slowly HTTP/1.1\r\nHost: x\r\n\r\n"
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Served:
    """A server, its crowd, and what lets the slow answers go."""

    crowd: Crowd
    port: int = 0
    go: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def app(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answers, at /slowly when it is let go."""
        self.asked.set()
        if scope["path"] == "/slowly":
            await self.go.wait()
        await answer(send, 200, b"{}")

    async def line(self) -> Line:
        """A connection."""
        made = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(made[1])
        return made


@contextlib.asynccontextmanager
async def served(crowd: Crowd) -> AsyncIterator[Served]:
    """A server until the end of the block."""
    made = Served(crowd)
    listener = listen_on("127.0.0.1:0")
    made.port = listener.getsockname()[1]
    listener.listen()
    server = server_for(made.app, crowd)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        async with asyncio.timeout(30.0):
            yield made
    finally:
        made.go.set()
        for writer in made.writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        server.should_exit = True
        await serving
        listener.close()


async def ask(line: Line, request: bytes = GOOD) -> bytes:
    """The head of the answer to a request."""
    line[1].write(request)
    return await line[0].readuntil(b"\r\n\r\n")


async def test_a_head_that_does_not_end_is_cut_off_with_a_503_while_others_are_served() -> None:
    async with served(Crowd(10, head_within=0.3)) as there:
        slow, good = await there.line(), await there.line()
        slow[1].write(GOOD[:-2])
        assert (await ask(good)).startswith(b"HTTP/1.1 200")
        told = await slow[0].read()
        assert told.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 5" in told


async def test_a_head_that_drips_gains_no_time_by_it() -> None:
    async with served(Crowd(10, head_within=0.3)) as there:
        reader, writer = await there.line()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        ended = asyncio.ensure_future(reader.read())
        while not ended.done():
            writer.write(b"x: y\r\n")
            await asyncio.wait({ended}, timeout=0.01)
        assert (await ended).startswith(b"HTTP/1.1 503")


async def test_a_line_on_which_nothing_is_said_is_closed() -> None:
    async with served(Crowd(10, head_within=0.1)) as there:
        assert await (await there.line())[0].read() == b""


async def test_a_line_that_was_served_may_be_silent_but_its_next_head_is_bounded_as_well() -> None:
    async with served(Crowd(10, head_within=0.1)) as there:
        kept, silent = await there.line(), await there.line()
        await ask(kept)
        await silent[0].read()  # longer than a head may take
        kept[1].write(b"GET / HT")
        await kept[0].readexactly(2)  # the body of the first answer
        assert (await kept[0].read()).startswith(b"HTTP/1.1 503")


async def test_a_head_that_follows_too_early_does_not_cut_off_the_answer_before_it() -> None:
    async with served(Crowd(10, head_within=0.1)) as there:
        line, silent = await there.line(), await there.line()
        line[1].write(SLOWLY + b"GET / HT")
        await there.asked.wait()
        await silent[0].read()
        there.go.set()
        told = await line[0].read()
        assert told.startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1 503" in told


async def test_a_head_without_end_is_refused_before_it_fills_the_memory() -> None:
    async with served(Crowd(10)) as there:
        reader, writer = await there.line()
        writer.write(b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * HEAD_SIZE)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 431")


async def test_above_the_limit_the_line_that_waited_longest_makes_room() -> None:
    async with served(Crowd(3)) as there:
        lines = [await there.line() for _ in range(3)]
        await ask(lines[0])  # served, and so the last one to go
        assert (await ask(await there.line())).startswith(b"HTTP/1.1 200")
        assert await lines[1][0].read() == b""
        assert (await ask(lines[2])).startswith(b"HTTP/1.1 200")
        assert there.crowd.here <= 3


async def test_where_every_line_is_at_work_a_further_one_is_told_to_come_again() -> None:
    async with served(Crowd(1)) as there:
        busy = await there.line()
        busy[1].write(SLOWLY)
        await there.asked.wait()
        further = await there.line()
        assert (await further[0].read()).startswith(b"HTTP/1.1 503")
        there.go.set()
        assert (await busy[0].readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("files", "room"),
    [(1024, 1024 - SPARE), (64, 16), (1 << 20, MOST), (resource.RLIM_INFINITY, MOST)],
)
def test_the_limit_leaves_files_for_the_journal_and_for_neighbours(
    monkeypatch: pytest.MonkeyPatch, files: int, room: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (files, files))
    assert room_for_connections() == room
