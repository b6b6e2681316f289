"""The joined transport: what is written in one turn of the loop leaves in one piece, in order, and nothing is lost."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from remediator.web.protocol import JoinedTransport


class Below(asyncio.Transport):
    """A transport that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[object] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.said.append(bytes(data))

    def close(self) -> None:
        self.said.append("close")

    def abort(self) -> None:
        self.said.append("abort")

    def is_closing(self) -> bool:
        return "close" in self.said

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.said.append("protocol")

    def pause_reading(self) -> None:
        self.said.append("pause")

    def resume_reading(self) -> None:
        self.said.append("resume")


def joined() -> tuple[Below, JoinedTransport]:
    """A joined transport and what is below it."""
    below = Below()
    return below, JoinedTransport(below, asyncio.get_running_loop())


async def test_head_and_body_leave_in_one_piece() -> None:
    below, transport = joined()
    transport.write(b"head ")
    transport.writelines([b"bo", b"dy"])
    transport.write(b"")
    assert below.said == []
    await asyncio.sleep(0)
    assert below.said == [b"head body"]


async def test_the_next_turn_is_a_piece_of_its_own() -> None:
    below, transport = joined()
    transport.write(b"one")
    await asyncio.sleep(0)
    transport.write(b"two")
    await asyncio.sleep(0)
    assert below.said == [b"one", b"two"]


async def test_a_close_waits_for_what_was_written_and_an_abort_does_not() -> None:
    below, transport = joined()
    transport.write(b"last words")
    transport.close()
    assert below.said == [b"last words", "close"]
    assert transport.is_closing()
    below, transport = joined()
    transport.write(b"never sent")
    transport.abort()
    await asyncio.sleep(0)
    assert below.said == ["abort"]


async def test_another_protocol_finds_nothing_held_back() -> None:
    below, transport = joined()
    transport.write(b"switching")
    transport.set_protocol(asyncio.Protocol())
    assert below.said == [b"switching", "protocol"]


async def test_everything_else_goes_straight_through() -> None:
    below, transport = joined()
    transport.pause_reading()
    transport.resume_reading()
    assert below.said == ["pause", "resume"]
    assert transport.get_extra_info("socket", socket) == ("socket", socket)
    assert not transport.is_closing()
