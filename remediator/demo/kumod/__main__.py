"""Starts a simulated kumod: two listeners, a ticker, and a clean end on SIGTERM. The only file here that reads a clock.

`python -m remediator.demo.kumod --listen 127.0.0.1:8000 --control 127.0.0.1:8001`
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import struct
import sys
import time
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from remediator.demo.kumod import humantime
from remediator.demo.kumod.app import RESET, create_app, create_control
from remediator.demo.kumod.auth import LOOPBACK, Gate
from remediator.demo.kumod.domains import Retries
from remediator.demo.kumod.log_hook import LogHook
from remediator.demo.kumod.node import Kumod, default_domains
from remediator.demo.kumod.posting import Poster

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.applications import Starlette

_TICK_S = 0.2
# A request that is answered slowly, or never, on purpose must not keep the process alive.
_GRACE_S = 0.3


class _Protocol(HttpToolsProtocol):
    """uvicorn's own protocol, which also lets an application cut its connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {RESET: {"call": self._reset}}

    def _reset(self) -> None:
        """Abort so that the peer gets a reset, not an orderly end: linger for no time, then close."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class _Server(uvicorn.Server):
    """A server that leaves the signals to whoever runs two of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. 0 after a clean end; 1 if a listener or the ledger cannot be opened."""
    options = _parser().parse_args(argv)
    try:
        sockets = [_listen(*address) for address in (options.listen, options.control) if address]
        sim = Kumod(
            now=_now(),
            name=options.node,
            version=options.version,
            speed=options.speed,
            seed=options.seed,
            domains=default_domains(options.rate),
            retries=Retries(interval=options.retry_interval, max_age=options.max_age),
            shaping_file=options.shaping,
            ledger_file=options.ledger,
        )
    except OSError as error:
        print(f"kumod-sim {options.node}: {error}", file=sys.stderr)
        return 1
    gate = Gate(
        listen=_spell(sockets[0]),
        trusted=options.trusted or LOOPBACK,
        users=dict(user.split(":", 1) for user in options.basic),
    )
    apps = [create_app(sim, _now, gate=gate), create_control(sim, _now)]
    hook = None
    if options.log_hook:
        sim.mail.log_hook = LogHook(options.node)
        hook = Poster(sim.mail.log_hook, options.log_hook, options.log_hook_token_file)
    asyncio.run(_serve(sim, apps, sockets, hook))
    sim.ledger.close()
    return 0


async def _serve(sim: Kumod, apps: Sequence[Starlette], sockets: Sequence[socket.socket], hook: Poster | None) -> None:
    servers = [_Server(_configure(app)) for app, _ in zip(apps, sockets, strict=False)]
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, partial(_stop, sim, servers, loop))
    tasks = [loop.create_task(_tick(sim)), *([loop.create_task(hook.run())] if hook is not None else [])]
    async with asyncio.TaskGroup() as group:
        for server, sock in zip(servers, sockets, strict=True):
            group.create_task(server.serve(sockets=[sock]))
        control = f" control on {_spell(sockets[1])}" if len(sockets) > 1 else ""
        print(f"kumod-sim {sim.name} listening on {_spell(sockets[0])}{control}", flush=True)
    for task in tasks:
        task.cancel()


async def _tick(sim: Kumod) -> None:
    while True:
        await asyncio.sleep(_TICK_S)
        sim.tick(_now())


def _stop(sim: Kumod, servers: Sequence[uvicorn.Server], loop: asyncio.AbstractEventLoop) -> None:
    sim.shutting_down = True
    for server in servers:
        server.should_exit = True
        loop.call_later(_GRACE_S, setattr, server, "force_exit", True)


def _configure(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app, http=_Protocol, loop="asyncio", ws="none", lifespan="off", log_level="critical", access_log=False,
        proxy_headers=False, server_header=False,
    )  # fmt: skip


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error
    sock.listen(128)
    return sock


def _spell(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _now() -> float:
    return time.time()  # noqa: TID251  a process of its own, as the real kumod is: nobody hands it a clock


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address; write HOST:PORT")
    return host.strip("[]"), int(port)


def _credential(text: str) -> str:
    if ":" not in text:
        raise argparse.ArgumentTypeError("expected user:password")
    return text


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m remediator.demo.kumod", description="A simulated kumod.")
    add = parser.add_argument
    add("--listen", type=_address, required=True, help="address of the admin API, HOST:PORT; port 0 picks a free one")
    add("--control", type=_address, help="address of scenario control; without it there is none")
    add("--node", default="kumod-1", help="name of the node")
    add("--ledger", type=Path, help="file to which every state-changing request is appended")
    add("--trusted", type=ip_network, nargs="+", default=[], metavar="CIDR", help="trusted peers; default: loopback")
    add("--basic", type=_credential, nargs="+", default=[], metavar="USER:PASSWORD", help="users with all rights")
    add("--version", default="2026.06.23", help="release to behave as")
    add("--speed", type=_positive, default=1.0, help="how fast mail time runs; orders keep to the wall clock")
    add("--seed", type=int, default=1, help="seed of what is drawn")
    add("--shaping", type=Path, help="TOML file with max_message_rate by domain, read again every 10 s")
    add("--rate", type=_positive, default=20.0, help="messages injected a second for each of the four domains")
    add("--retry-interval", type=humantime.parse, default=1_200.0, metavar="DURATION", help="first retry; default 20m")
    add("--log-hook", metavar="URL", help="where a record of each attempt is posted, as kumod's log hook would")
    add("--log-hook-token-file", type=Path, metavar="FILE", help="file with the bearer token for it")
    add("--max-age", type=humantime.parse, default=604_800.0, metavar="DURATION", help="when mail expires; default 7d")
    return parser


if __name__ == "__main__":
    sys.exit(main())
