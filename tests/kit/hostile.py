"""A target on a real socket that misbehaves in one of forty ways, with a ledger of its own. Knows nothing of the product."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
BOMB = gzip.compress(bytes(20_000_000))


@dataclass
class Ledger:
    """What reached the target (`asked`) and what it carried out (`done`), as `METHOD path`."""

    asked: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def writes(self, lines: list[str]) -> int:
        """How many of these change something."""
        return sum(not line.startswith(("GET", "HEAD")) for line in lines)


@dataclass
class Talk:
    """One connection with its request already read; `line` is `METHOD path`."""

    line: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ledger: Ledger

    def apply(self) -> None:
        """Carries the request out."""
        self.ledger.done.append(self.line)

    async def say(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def hang(self) -> None:
        """Until the other side goes."""
        while await self.reader.read(4096):
            pass

    async def flood(self, part: bytes, most: int = 3000) -> None:
        """For ever, as far as the other side can tell."""
        for _ in range(most):
            await self.say(part)

    def reset(self) -> None:
        self.writer.transport.abort()


def whole(status: str, body: bytes, *headers: bytes) -> bytes:
    """A well-formed answer."""
    lines = [
        f"HTTP/1.1 {status}".encode(),
        b"content-length: %d" % len(body),
        b"content-type: application/json",
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


Way = Callable[[Talk], Awaitable[None]]


def answers(status: str, body: bytes, *headers: bytes, applies: int = 1) -> Way:
    """Carries it out `applies` times and answers like this."""

    async def way(talk: Talk) -> None:
        for _ in range(applies):
            talk.apply()
        await talk.say(whole(status, body, *headers))

    return way


def raw(*parts: bytes, applies: int = 1) -> Way:
    """Writes just this."""

    async def way(talk: Talk) -> None:
        for _ in range(applies):
            talk.apply()
        await talk.say(*parts)

    return way


def then(before: bytes, what: str, *, applies: int) -> Way:
    """Writes `before`, then hangs, resets, drips or floods."""

    async def way(talk: Talk) -> None:
        for _ in range(applies):
            talk.apply()
        await talk.say(before)
        match what:
            case "hang":
                await talk.hang()
            case "reset":
                talk.reset()
            case "drip":
                for _ in range(1000):
                    await talk.say(b"x")
                    await asyncio.sleep(0.05)
            case "flood":
                await talk.flood(b"x" * 65536)
            case "headers":
                await talk.flood(b"x-more: " + b"y" * 1000 + b"\r\n")

    return way


REDIRECTS = {
    f"{status} to {where}": answers(status, b"", b"location: " + target, applies=0)
    for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent")
    for where, target in (
        ("metadata", b"http://169.254.169.254/latest/meta-data/"),
        ("localhost", b"http://127.0.0.1:1/admin"),
    )
}
_NAN = b'{"metric":{},"value":[NaN,"NaN"]}'
WAYS: dict[str, Way] = {
    "hangs after accepting": then(b"", "hang", applies=0),
    "hangs after applying": then(b"", "hang", applies=1),
    "hangs after the status line": then(b"HTTP/1.1 200 OK\r\n", "hang", applies=1),
    "hangs in the body": then(OK + b"content-length: 100\r\n\r\n{", "hang", applies=1),
    "resets before applying": then(b"", "reset", applies=0),
    "resets after applying": then(b"", "reset", applies=1),
    "resets in the head": then(b"HTTP/1.1 200 O", "reset", applies=1),
    "resets in the body": then(OK + b"content-length: 100\r\n\r\n{", "reset", applies=1),
    "drips the head": then(b"HTTP/1.1 200 OK\r\nx-slow: ", "drip", applies=1),
    "drips the body": then(OK + b"content-length: 100000\r\n\r\n", "drip", applies=1),
    "floods the body": then(OK + b"content-length: 999999999999\r\n\r\n", "flood", applies=1),
    "floods without a length": then(OK + b"\r\n", "flood", applies=1),
    "floods the headers": then(b"HTTP/1.1 200 OK\r\n", "headers", applies=1),
    "fails after applying": answers("500 Broken", b"oops"),
    "fails before applying": answers("500 Broken", b"oops", applies=0),
    "is overloaded": answers("503 Busy", b"later", applies=0),
    "is overloaded after applying": answers("503 Busy", b"later"),
    "says too many": answers("429 Slow down", b"", applies=0),
    "wants credentials": answers("401 No", b"", b"www-authenticate: Basic", applies=0),
    "forbids": answers("403 No", b"", applies=0),
    "does not know it": answers("404 No", b"", applies=0),
    "says gone with a secret": answers("410 Gone", b"password=hunter2 \x1b[31m\r\nlevel=error", applies=0),
    "answers HTML": answers("200 OK", b"<html><script>alert(1)</script></html>"),
    "answers nothing": answers("200 OK", b""),
    "answers null": answers("200 OK", b"null"),
    "answers a list": answers("200 OK", b"[[[[1]]]]"),
    "answers deep JSON": answers("200 OK", b"[" * 50_000 + b"]" * 50_000),
    "answers bytes that are no text": answers("200 OK", b"\xff\xfe\x00\x80" * 100),
    "answers NaN": answers("200 OK", b'{"status":"success","data":{"resultType":"vector","result":[' + _NAN + b"]}}"),
    "answers the wrong shape": answers("200 OK", json.dumps({"id": {"a": 1}, "silenceID": [], "data": 3}).encode()),
    "answers compressed": answers("200 OK", BOMB, b"content-encoding: gzip"),
    "answers longer than it says": raw(OK + b"content-length: 2\r\n\r\n{}{}{}"),
    "answers shorter than it says": raw(OK + b"content-length: 200\r\n\r\n{}"),
    "says two lengths": raw(OK + b"content-length: 2\r\ncontent-length: 9\r\n\r\n{}"),
    "says length and chunks": raw(OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    "breaks its chunks": raw(OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
    "speaks no HTTP": raw(b"220 mta1 ESMTP\r\n"),
    "speaks TLS": raw(b"\x15\x03\x01\x00\x02\x02\x46"),
    "injects a header": raw(b"HTTP/1.1 200 OK\r\nx: a\r\nset-cookie: b=c\r\ncontent-length: 2\r\n\r\n{}"),
    "continues for ever": raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 200),
    "switches protocols": raw(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    "applies twice": answers("200 OK", b"{}", applies=2),
    "lies that it applied": answers("200 OK", b"{}", applies=0),
    **REDIRECTS,
}  # fmt: skip


async def _request(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = next(
        (int(line.split(":")[1]) for line in head.lower().split("\r\n") if line.startswith("content-length:")), 0
    )
    await reader.readexactly(length)
    method, path, _version = head.split("\r\n")[0].split(" ")
    return f"{method} {path}"


@contextlib.asynccontextmanager
async def target(way: Way, ledger: Ledger, socket: Path | None = None) -> AsyncIterator[int]:
    """A server that treats every request this way, on a loopback port (given back) or a Unix socket."""

    talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                line = await _request(reader)
                ledger.asked.append(line)
                await way(Talk(line, reader, writer, ledger))
            writer.close()
            with contextlib.suppress(OSError):
                await (
                    writer.wait_closed()
                )  # what was said is on its way; a client that does not listen is cut off below
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)  # the transport lets go in the next turn

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(talk(reader, writer))
        talks[task] = writer
        task.add_done_callback(lambda done: talks.pop(done, None))

    if socket is not None:
        server: asyncio.Server = await asyncio.start_unix_server(begin, socket)
    else:
        server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield 0 if socket is not None else server.sockets[0].getsockname()[1]
    finally:
        # Whoever was accepted has to begin before the server closes: asyncio would forget the connection, and not close it.
        for listening in server.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        for _ in range(4):
            await asyncio.sleep(0)
        server.close()
        # More than once: for what transports still have to say.
        for _ in range(4):
            await asyncio.sleep(0)
            left = dict(talks)
            for task, writer in left.items():
                task.cancel()
                writer.transport.abort()  # a task that never began cannot do it itself
            await asyncio.gather(*left, return_exceptions=True)
