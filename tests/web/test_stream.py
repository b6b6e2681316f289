"""The live stream: ids are sequence numbers, resuming leaves no gap, silence has a heartbeat, stopping ends it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

import pytest


class Listener:
    """One reader of the stream, as raw ASGI (httpx would wait for the end)."""

    def __init__(self, app: Any, *headers: tuple[bytes, bytes], query: bytes = b"") -> None:
        self.chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self.status = 0
        self.gone = asyncio.Event()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "path": "/api/v1/stream",
            "raw_path": b"/api/v1/stream",
            "query_string": query,
            "root_path": "",
            "scheme": "http",
            "headers": [(b"host", b"127.0.0.1:9097"), *headers],
            "client": ("127.0.0.1", 40000),
            "server": ("127.0.0.1", 9097),
        }
        self.task = asyncio.ensure_future(app(scope, self.receive, self.send))

    async def receive(self) -> MutableMapping[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["body"]:
            self.chunks.put_nowait(message["body"])

    async def next(self) -> bytes:
        async with asyncio.timeout(5):
            return await self.chunks.get()

    async def end(self) -> None:
        async with asyncio.timeout(5):
            await self.task


async def test_a_reader_resumes_after_the_last_entry_it_saw(local: Any) -> None:
    reader = Listener(local.app, (b"last-event-id", b"4"))
    assert await reader.next() == b"retry: 2000\nid: 4\n\n"
    seen = [await reader.next() for _ in range(3)]
    assert [chunk.split(b"\n")[0] for chunk in seen] == [b"id: 5", b"id: 6", b"id: 7"]
    told = json.loads(seen[0].split(b"data: ")[1])
    assert (told["seq"], told["word"]) == (5, "step 1")
    await local.surface.waited_for.wait()
    assert reader.chunks.empty()  # nothing is told twice
    reader.gone.set()
    await reader.end()


async def test_without_a_last_entry_it_begins_now_and_tells_what_comes(local: Any) -> None:
    local.surface.head = 6
    reader = Listener(local.app)
    assert await reader.next() == b"retry: 2000\nid: 6\n\n"
    await local.surface.waited_for.wait()
    local.surface.head = 7
    local.surface.news.set()
    assert (await reader.next()).startswith(b"id: 7\n")
    local.app.stop()
    await reader.end()


@pytest.mark.parametrize("last", [b"99", b"-3", b"x", b"9" * 40])
async def test_an_impossible_last_entry_begins_now(local: Any, last: bytes) -> None:
    reader = Listener(local.app, (b"last-event-id", last))
    assert await reader.next() == b"retry: 2000\nid: 7\n\n"
    local.app.stop()
    await reader.end()


async def test_silence_has_a_heartbeat(make_house: Any, full_credentials: Any, tokens: Any) -> None:
    house = make_house(full_credentials, heartbeat=0.001)
    reader = Listener(house.app, (b"authorization", f"Bearer {tokens['read']}".encode()))
    assert (await reader.next()).startswith(b"retry")
    assert await reader.next() == b": still here\n\n"
    house.app.stop()
    await reader.end()


async def test_a_stream_ends_in_time_so_that_credentials_are_looked_at_again(
    make_house: Any, full_credentials: Any
) -> None:
    house = make_house(full_credentials, heartbeat=0.001, stream_life=0.0)
    reader = Listener(house.app, (b"authorization", b"Bearer " + b"r" * 32))
    await reader.end()
    assert reader.status == 200


async def test_hostile_text_cannot_end_an_entry_of_the_stream(local: Any) -> None:
    local.surface.domain = "a\n\ndata: forged\r\nid: 999\u2028</script>"
    reader = Listener(local.app, query=b"after=6")
    await reader.next()
    told = await reader.next()
    local.surface.head = 7
    assert told.count(b"\n") == 4
    assert b"\r" not in told
    local.app.stop()
    await reader.end()


async def test_readers_are_bounded_and_their_seats_are_given_back(make_house: Any, full_credentials: Any) -> None:
    house = make_house(full_credentials, streams=2)
    key = (b"authorization", b"Bearer " + b"r" * 32)
    readers = [Listener(house.app, key) for _ in range(2)]
    for reader in readers:
        await reader.next()
    third = Listener(house.app, key)
    await third.end()
    assert third.status == 503
    readers[0].gone.set()
    await readers[0].end()
    fourth = Listener(house.app, key)
    await fourth.next()
    house.app.stop()
    await fourth.end()
    assert fourth.status == 200


async def test_a_head_without_its_entries_ends_the_stream_instead_of_spinning(local: Any) -> None:
    local.surface.head = 6
    reader = Listener(local.app)
    await reader.next()
    await local.surface.waited_for.wait()
    local.surface.found_lines = 6
    local.surface.head = 7
    local.surface.news.set()
    await reader.end()
