"""Where a process listens: its address, its socket, and a server that leaves the signals to whoever runs it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from remediator.errors import RemediatorError
from remediator.web.answers import answer, refusal_body
from remediator.web.crowd import Crowd, protocol_for

# How long slow clients get after the work has ended (s).
CLIENTS = 3
# How many are accepted in one turn of the loop; each is an open file before anybody can say that it is one too many.
BACKLOG = 128


class CannotStart(RemediatorError):
    """The process would not be safe to start like this, or cannot listen; the message says what to write."""


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: the process decides when and how to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves signals alone."""
        yield


def address_of(listen: str) -> tuple[str, int]:
    """Host and port of an address to listen on (`127.0.0.1:9097`, `[::1]:9097`); CannotStart if it is none."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or not port.isascii() or int(port[:6]) > 65535 or host.count(":") == 1:
        raise CannotStart(f"{listen!r} is not an address to listen on; write for example 127.0.0.1:9097")
    return host.strip("[]"), int(port)


def listen_on(listen: str) -> socket.socket:
    """A socket bound to that address; CannotStart if it cannot be."""
    host, port = address_of(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY; without, each answer waits 40 ms for the sender's acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as fault:
        listener.close()
        hint = "; another process listens there, or name another web.listen_address"
        raise CannotStart(f"cannot listen on {listen}: {fault.strerror or fault}{hint}") from None
    listener.set_inheritable(False)
    return listener


def told(listener: socket.socket, listen: str) -> str:
    """The address as it is: port 0 is whatever the system gave."""
    host, port = listen.rpartition(":")[0], listener.getsockname()[1]
    return f"{host or 'localhost'}:{port}"


def server_for(app: ASGIApp, crowd: Crowd | None = None) -> Server:
    """A server for `app`, whose connections are bounded by `crowd`; by default as many as this process may have."""
    config = uvicorn.Config(
        _to_the_end(app),
        http=protocol_for(crowd or Crowd()),
        loop="asyncio",
        ws="none",
        lifespan="off",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=CLIENTS,
    )
    return Server(config)


def _to_the_end(app: ASGIApp) -> ASGIApp:
    """`app`, but a request that is cut off by the stop gets 503, which its sender tries again, and is no fault of ours."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            body = refusal_body(503, "the service is stopping; send it again")
            with contextlib.suppress(RuntimeError):  # an answer had begun, and ends here
                await answer(send, 503, body, [(b"connection", b"close")])

    return serve
