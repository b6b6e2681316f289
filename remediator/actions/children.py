"""Starts a child process and brings it to its end, whole group and all: the only module here that starts processes.

The child gets no standard input, an environment of nothing but PATH and LANG, and a session of its own, so that one signal
reaches everything it started. Of its output the beginning and the end are kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
# How much of the output is kept (bytes), half of it from the beginning, and how long TERM is given to work (s).
KEPT = 64 * 1024
GRACE = 5.0
# How long after the child's end its output is still waited for, if something it started holds the pipe open (s).
DRAIN = 1.0


@dataclass(frozen=True, slots=True)
class NotStarted:
    """No process came to be."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """It ended by itself; a negative code is the signal that killed it."""

    code: int
    output: str


@dataclass(frozen=True, slots=True)
class Overdue:
    """It had to be stopped, by SIGTERM or SIGKILL."""

    signal: str
    output: str


async def run(
    argv: Sequence[str], cwd: Path, seconds: float, inherited: Sequence[int] = ()
) -> Ended | Overdue | NotStarted:
    """Runs a program for at most `seconds`; `inherited` are open files that its whole tree keeps."""
    child = _Child()
    starting = asyncio.ensure_future(
        asyncio.get_running_loop().subprocess_exec(
            lambda: child,
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=cwd,
            env=ENVIRONMENT,
            pass_fds=tuple(inherited),
            start_new_session=True,
        )
    )
    try:
        # Cancelled half-way, asyncio itself would kill the child alone and leave what it started.
        transport, _protocol = await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError, ValueError, asyncio.CancelledError):
            await starting
        await child.put_down()
        raise
    except (OSError, ValueError) as fault:
        return NotStarted(str(fault))
    try:
        async with asyncio.timeout(seconds):
            await child.exited.wait()
        code = transport.get_returncode()
        return Ended(code if code is not None else -signal.SIGKILL, await child.rest())
    except TimeoutError:
        return Overdue(await _stop(transport.get_pid(), child), await child.rest())
    except asyncio.CancelledError:
        await child.put_down()
        raise
    finally:
        transport.close()


class _Child(asyncio.SubprocessProtocol):
    """Hears of output and end."""

    def __init__(self) -> None:
        self.exited = asyncio.Event()
        self._drained = asyncio.Event()
        self._kept = _Kept()
        self._transport: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The process is there."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    async def put_down(self) -> None:
        """Ends a child that nobody waits for any more, and all that it started; it is gone when this returns."""
        if self._transport is None:
            return
        _signal(self._transport.get_pid(), signal.SIGKILL)
        await self.gone()
        self._transport.close()

    async def gone(self) -> None:
        """Waits for the end of a child that was killed; one that hangs in the kernel cannot be waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                await self.exited.wait()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keeps what is to be kept."""
        del fd
        self._kept.add(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Nobody can write any more."""
        del fd, exc
        self._drained.set()

    def process_exited(self) -> None:
        """The child itself has ended; what it started may live on."""
        self.exited.set()

    async def rest(self) -> str:
        """The output. What still holds the pipe open is not waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                await self._drained.wait()
        return self._kept.text()


class _Kept:
    """The first and the last half of what was written, and how much fell out between them."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._lost = 0

    def add(self, chunk: bytes) -> None:
        room = KEPT // 2 - len(self._head)
        self._head += chunk[:room] if room > 0 else b""
        self._tail += chunk[max(0, room) :]
        surplus = len(self._tail) - KEPT // 2
        if surplus > 0:
            del self._tail[:surplus]
            self._lost += surplus

    def text(self) -> str:
        """As text; control characters but line ends and tabs are taken out."""
        gap = f"\n[{self._lost} bytes left out]\n" if self._lost else ""
        whole = self._head.decode("utf-8", "replace") + gap + self._tail.decode("utf-8", "replace")
        return "".join(sign for sign in whole if sign in "\n\t" or sign.isprintable())


async def _stop(group: int, child: _Child) -> str:
    """TERM to the whole group, KILL to what is left of it after the grace; which of them ended the child."""
    _signal(group, signal.SIGTERM)
    name = "SIGTERM"
    try:
        async with asyncio.timeout(GRACE):
            await child.exited.wait()
    except TimeoutError:
        name = "SIGKILL"
    finally:
        _signal(group, signal.SIGKILL)
    await child.gone()
    return name


def _signal(group: int, number: signal.Signals) -> None:
    """To every process of the group that the child leads; nothing if none is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
