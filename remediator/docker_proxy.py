"""`remediator docker-proxy`: stands before the Docker socket, lets through restarts of named containers, and little else.

Whoever can speak to the Engine's socket is root on its host. So nothing is forwarded: each request is read strictly as one
of the five below, and asked of the Engine anew with a URL of our own making, without the caller's headers, body or query.
Answers are cut down, too: an inspection would tell the environment of a container, with the secrets in it.

    GET  /_ping                               whether the Engine answers
    GET  /containers/json                     state of the allowed containers
    GET  /containers/NAME/json                state of one of them
    GET  /containers/NAME/logs?since=&tail=   its newest lines
    POST /containers/NAME/restart?t=          a restart

It is a process and an image user of its own; remediator gets the proxy's socket, never the Engine's.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from remediator.errors import RemediatorError
from remediator.web.listening import CannotStart, server_for

MAX_ANSWER = 8 * 1024 * 1024  # bytes
LONGEST_STOP = 600  # s
MOST_LINES = 20_000
ENGINE_TIMEOUT = 30.0  # s, beyond the time that a restart may take
_KEPT_OF_STATE = (
    "Status",
    "Running",
    "Paused",
    "Restarting",
    "OOMKilled",
    "Dead",
    "ExitCode",
    "StartedAt",
    "FinishedAt",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyOptions:
    """The Engine's socket, the socket to make, and the names of the containers that may be seen and restarted."""

    engine: Path
    listen: Path
    allow: tuple[str, ...]


class NotAllowed(Exception):
    """The request is none of those that are let through; the text says why."""


class Proxy:
    """Reads requests, and asks the Engine through `transport` what is allowed."""

    def __init__(self, allow: Sequence[str], transport: httpx.AsyncBaseTransport) -> None:
        self._allow = frozenset(allow)
        self._engine = httpx.AsyncClient(transport=transport, base_url="http://docker", trust_env=False)

    async def close(self) -> None:
        """Lets go of the Engine."""
        await self._engine.aclose()

    def app(self) -> Starlette:
        """The ASGI application. There are no routes by name: what is not one of ours is refused, whatever it is."""
        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        app = Starlette(routes=[Route("/{path:path}", self._serve, methods=methods)])
        app.router.redirect_slashes = False
        return app

    async def _serve(self, request: Request) -> Response:
        # The path as it came over the wire: an escaped sign in it (%2f, %2e) is not one that Docker's clients need.
        raw = bytes(request.scope.get("raw_path") or b"").partition(b"?")[0].decode("latin-1")
        try:
            return await self._answer(request.method, _parts(raw), request.query_params)
        except NotAllowed as no:
            return JSONResponse({"message": f"not allowed by remediator docker-proxy: {no}"}, 403)
        except (TimeoutError, httpx.TimeoutException):
            return JSONResponse({"message": "the Docker Engine did not answer in time"}, 504)
        except (httpx.HTTPError, ValueError) as fault:
            return JSONResponse({"message": f"the Docker Engine could not be asked: {type(fault).__name__}"}, 502)

    async def _answer(self, method: str, parts: Sequence[str], query: Mapping[str, str]) -> Response:
        match method, *parts:
            case "GET" | "HEAD", "_ping":
                return PlainTextResponse("OK", (await self._ask("GET", "/_ping")).status_code)
            case "GET", "containers", "json":
                return await self._list()
            case "GET", "containers", name, "json":
                return await self._inspect(self._named(name))
            case "GET", "containers", name, "logs":
                return await self._logs(self._named(name), query)
            case "POST", "containers", name, "restart":
                return await self._restart(self._named(name), query)
            case _:
                raise NotAllowed(f"{method} of this path")

    def _named(self, name: str) -> str:
        if name not in self._allow:
            raise NotAllowed(f"the container is not one of {', '.join(sorted(self._allow))}")
        return name

    async def _list(self) -> Response:
        answer = await self._ask("GET", "/containers/json?all=1")
        found = answer.json() if answer.status_code == 200 else []
        if answer.status_code != 200 or not isinstance(found, list):
            return _passed(answer)
        kept = []
        for one in found:
            names = one.get("Names") if isinstance(one, dict) else None
            ours = (
                [name for name in names if str(name).removeprefix("/") in self._allow]
                if isinstance(names, list)
                else []
            )
            if ours:
                kept.append(
                    {"Id": one.get("Id"), "Names": ours, "State": one.get("State"), "Status": one.get("Status")}
                )
        return JSONResponse(kept)

    async def _inspect(self, name: str) -> Response:
        answer = await self._ask("GET", f"/containers/{name}/json")
        found = answer.json() if answer.status_code == 200 else None
        if not isinstance(found, dict):
            return _passed(answer)
        told = found.get("State")
        state: dict[str, object] = told if isinstance(told, dict) else {}
        kept: dict[str, object] = {key: state[key] for key in _KEPT_OF_STATE if key in state}
        if isinstance(health := state.get("Health"), dict):
            kept["Health"] = {"Status": health.get("Status")}
        return JSONResponse({"Id": found.get("Id"), "Name": found.get("Name"), "State": kept})

    async def _logs(self, name: str, query: Mapping[str, str]) -> Response:
        since = _number(query, "since", least=0, most=10**11, otherwise=0)
        tail = _number(query, "tail", least=1, most=MOST_LINES, otherwise=MOST_LINES)
        answer = await self._ask("GET", f"/containers/{name}/logs?stdout=1&stderr=1&since={since}&tail={tail}")
        kind = answer.headers.get("content-type", "application/octet-stream")
        return Response(answer.content, answer.status_code, media_type=kind)

    async def _restart(self, name: str, query: Mapping[str, str]) -> Response:
        seconds = _number(query, "t", least=1, most=LONGEST_STOP, otherwise=10)
        sys.stderr.write(f"docker-proxy: restart of {name}, {seconds} s to stop\n")
        answer = await self._ask("POST", f"/containers/{name}/restart?t={seconds}", more=float(seconds))
        return _passed(answer)

    async def _ask(self, method: str, url: str, *, more: float = 0.0) -> httpx.Response:
        async with asyncio.timeout(ENGINE_TIMEOUT + more), self._engine.stream(method, url, timeout=None) as response:
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_ANSWER:
                    break
            headers = {"content-type": response.headers.get("content-type", "application/json")}
            return httpx.Response(response.status_code, content=bytes(body[:MAX_ANSWER]), headers=headers)


def _parts(raw: str) -> list[str]:
    """The parts of a path, without the version of the API before them; NotAllowed for a path that is not plain."""
    parts = raw.split("/")
    if not raw.startswith("/") or not all(_is_plain(part) for part in parts[1:]):
        raise NotAllowed("this path is not plain")
    version = parts[1].removeprefix("v") if parts[1].startswith("v") else ""
    return parts[2:] if version.replace(".", "", 1).isdecimal() and version.isascii() else parts[1:]


def _is_plain(part: str) -> bool:
    plain = part.replace("-", "").replace("_", "").replace(".", "")
    return plain.isascii() and plain.isalnum() and part not in {".", ".."}


def _number(query: Mapping[str, str], name: str, *, least: int, most: int, otherwise: int) -> int:
    text = query.get(name)
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdecimal() and len(text) < 13 and least <= int(text) <= most):
        raise NotAllowed(f"{name} must be a whole number from {least} to {most}")
    return int(text)


def _passed(answer: httpx.Response) -> Response:
    """Status and short text of an answer that needs no cutting."""
    if answer.status_code in {204, 304}:
        return Response(status_code=answer.status_code)
    return Response(answer.content[:2000], answer.status_code, media_type="application/json")


def run_docker_proxy(options: ProxyOptions) -> int:
    """Runs until SIGTERM or SIGINT; 0 after a clean stop, 1 if it could not start."""
    try:
        return asyncio.run(_run(options))
    except (RemediatorError, OSError) as fault:
        sys.stderr.write(f"remediator docker-proxy cannot start:\n{fault}\n")
        return 1


async def _run(options: ProxyOptions, ready: Callable[[], None] = lambda: None) -> int:
    """As `run_docker_proxy`; `ready` is called as soon as the socket is there."""
    odd = [name for name in options.allow if not _is_plain(name)]
    if odd or not options.allow:
        raise CannotStart(f"{odd[0]!r} is no name of a container" if odd else "name containers with --allow")
    if not options.engine.is_socket():
        raise CannotStart(f"{options.engine} is not a socket; name the Docker Engine's with --engine")
    proxy = Proxy(options.allow, httpx.AsyncHTTPTransport(uds=str(options.engine), trust_env=False))
    server = server_for(proxy.app())
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, setattr, server, "should_exit", True)
    with _listener(options.listen) as listener:
        sys.stderr.write(f"docker-proxy: {options.listen} before {options.engine}, for {', '.join(options.allow)}\n")
        ready()
        try:
            await server.serve(sockets=[listener])
        finally:
            await proxy.close()
            options.listen.unlink(missing_ok=True)
    return 0


def _listener(path: Path) -> socket.socket:
    """A Unix socket at `path` for our own user and group; one that a killed process left there is replaced."""
    if path.is_socket():
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o660)
    listener.listen()
    return listener
