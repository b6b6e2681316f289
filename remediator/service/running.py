"""The process: a listener, signals, reload, the break-glass file, and a stop that ends in bounded time (G22)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remediator import __version__
from remediator.engine.lag import LagWatch
from remediator.errors import RemediatorError, StoreError
from remediator.service.breakglass import BreakGlass
from remediator.service.reloading import Overrides
from remediator.service.wiring import Built, build
from remediator.system import on_signals
from remediator.web.listening import CLIENTS, Server, listen_on, server_for, told

# The state is a tree of many small values without cycles; looking through it for cycles after every 700 of them, as Python
# does by itself, showed as pauses of 30 ms in the slowest answers of a storm.
GC_THRESHOLDS = (20_000, 20, 20)

STOPPING = (signal.SIGTERM, signal.SIGINT)


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


def serve(options: ServeOptions) -> int:
    """Runs the service until SIGTERM or SIGINT; 0 after a clean stop, 1 if it could not start."""
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        return asyncio.run(_serve(options))
    except RemediatorError as fault:
        sys.stderr.write(f"remediator cannot start:\n{fault}\n")
        return 1


async def _serve(options: ServeOptions) -> int:
    overrides = Overrides(
        listen=options.listen,
        storage=options.storage,
        mode=options.mode,
        external_url=options.external_url,
        log_level=options.log_level,
        log_format=options.log_format,
    )
    built = build(options.config_file, overrides)
    listener = listen_on(built.listen)
    try:
        await built.journal.open()
        built.observer.begin(built.journal.state)
        built.observer.log.take_over("uvicorn", "asyncio")
        return await _work(built, listener)
    finally:
        listener.close()
        await built.journal.close()


async def _work(built: Built, listener: socket.socket) -> int:
    stop, reload = asyncio.Event(), asyncio.Event()
    on_signals(STOPPING, lambda: _heard(stop))
    on_signals([signal.SIGHUP], reload.set)
    server = server_for(built.app)
    lane = asyncio.ensure_future(built.journal.run())
    web = asyncio.ensure_future(server.serve(sockets=[listener]))
    watching = [
        asyncio.ensure_future(BreakGlass(built.storage / "PAUSED", built.engine.parts).watch()),
        asyncio.ensure_future(_reload_on_signal(built, reload)),
        asyncio.ensure_future(built.anchoring.watch()),
        asyncio.ensure_future(LagWatch(built.engine.parts, built.observer.lagged).watch()),
    ]
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(built.engine.run(__version__)), *watching, web, lane]
    stopping = asyncio.ensure_future(stop.wait())
    clean = False
    try:
        await built.started(f"http://{told(listener, built.listen)}")
        await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        clean = stopping.done()
        for task in watching:  # nothing of theirs may follow the last entry
            task.cancel()
        await _stop(built, server, web)
        await built.anchoring.publish()
    finally:
        await _end(stopping, *tasks)
        _ignore(*STOPPING, signal.SIGHUP)
    return _report(tasks) if not clean else 0


def _heard(stop: asyncio.Event) -> None:
    """It was asked to stop. Further signals change nothing, and however many come, they do not even take its time."""
    _ignore(*STOPPING)
    stop.set()


def _ignore(*names: signal.Signals) -> None:
    for name in names:  # the default would kill a process that is about to end with 0
        signal.signal(name, signal.SIG_IGN)


async def _stop(built: Built, server: Server, web: asyncio.Future[Any]) -> None:
    await built.engine.stop(built.settings.limits.grace)
    built.app.stop()
    server.should_exit = True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLIENTS + 2):
            await asyncio.wait({web})


async def _end(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=CLIENTS)


def _report(tasks: Sequence[asyncio.Future[Any]]) -> int:
    """Says why a service stopped that nobody asked to stop."""
    for task in tasks:
        if task.done() and not task.cancelled() and (fault := task.exception()) is not None:
            sys.stderr.write(f"remediator stopped: {fault!r}\n")
    return 1


async def _reload_on_signal(built: Built, asked: asyncio.Event) -> None:
    while True:
        await asked.wait()
        asked.clear()
        try:
            await built.reload("SIGHUP")
        except StoreError as fault:
            sentence = f"not reloaded, the rules in force did not change: the journal cannot be written: {fault}"
            built.observer.log.line("error", built.engine.parts.clock.now(), sentence, kind="config.refused")
