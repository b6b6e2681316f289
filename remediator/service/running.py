"""The process: a listener, signals, reload, the break-glass file, and a stop that ends in bounded time (G22)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from remediator import __version__
from remediator.errors import RemediatorError
from remediator.service.breakglass import BreakGlass
from remediator.service.wiring import Built, build

# How long running steps get after SIGTERM, and how long slow clients get after that (s; G22: exit within T + 5).
GRACE = 30.0
CLIENTS = 3
HEAD_LINE_EVERY = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What the command line says; None leaves it to the settings file."""

    config_file: Path | None = None
    listen: str | None = None
    storage: Path | None = None
    mode: str | None = None
    external_url: str | None = None
    log_level: str = "info"
    log_format: str = "auto"


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the service decides when and how to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves signals alone."""
        yield


def serve(options: ServeOptions) -> int:
    """Runs the service until SIGTERM or SIGINT; 0 after a clean stop, 1 if it could not start."""
    try:
        return asyncio.run(_serve(options))
    except RemediatorError as fault:
        sys.stderr.write(f"remediator cannot start:\n{fault}\n")
        return 1


async def _serve(options: ServeOptions) -> int:
    built = build(options)
    host, _, port = built.listen.rpartition(":")
    try:
        listener = _listen(host.strip("[]"), int(port))
    except OSError as fault:
        sys.stderr.write(f"remediator cannot start:\ncannot listen on {built.listen}: {fault.strerror}\n")
        return 1
    try:
        await built.journal.open()
        return await _work(built, listener)
    finally:
        listener.close()
        await built.journal.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.set_inheritable(False)
    return listener


async def _work(built: Built, listener: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    reload = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    server = _Server(
        uvicorn.Config(
            built.app,
            http="httptools",
            loop="asyncio",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=CLIENTS,
        )
    )
    lane = asyncio.ensure_future(built.journal.run())
    engine = asyncio.ensure_future(built.engine.run(__version__))
    web = asyncio.ensure_future(server.serve(sockets=[listener]))
    side = [
        asyncio.ensure_future(BreakGlass(built.storage / "PAUSED", built.engine.parts).watch()),
        asyncio.ensure_future(_reload_on_signal(built, reload)),
        asyncio.ensure_future(_head_lines(built)),
    ]
    await built.started(f"http://{built.listen}")
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({lane, engine, web, stopping, *side}, return_when=asyncio.FIRST_COMPLETED)
        clean = stopping.done()
        await built.engine.stop(GRACE)
        server.should_exit = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLIENTS + 2):
                await asyncio.wait({web})
    finally:
        await _end(engine, *side, web, lane, stopping)
    return _report(clean, lane, engine, web, *side)


async def _end(*tasks: asyncio.Future[object]) -> None:
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


def _report(clean: bool, *tasks: asyncio.Future[object]) -> int:
    for task in tasks:
        if task.done() and not task.cancelled() and (fault := task.exception()) is not None:
            sys.stderr.write(f"remediator stopped: {fault!r}\n")
    return 0 if clean else 1


async def _reload_on_signal(built: Built, asked: asyncio.Event) -> None:
    while True:
        await asked.wait()
        asked.clear()
        await built.reload("SIGHUP")


async def _head_lines(built: Built) -> None:
    """The head of the journal as a log line now and then: an anchor outside the store (G18)."""
    while True:
        await built.engine.parts.clock.sleep(HEAD_LINE_EVERY)
        built.observer.tell_head(built.journal.head)
