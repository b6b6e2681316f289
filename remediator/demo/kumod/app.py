"""The two HTTP applications of a node: the admin API as kumod has it, and scenario control. Starlette only.

One gate stands before every admin route: faults first, then access, then the endpoint, then the ledger, then the answer.
A path that does not exist is 404 before any of it.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from remediator.demo.kumod import humantime, scenario
from remediator.demo.kumod.auth import LOOPBACK, Gate
from remediator.demo.kumod.faults import Kind
from remediator.demo.kumod.routes import ROUTES, offered
from remediator.demo.kumod.wire import Call, Refused, Reply, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from remediator.demo.kumod.ledger import Entry
    from remediator.demo.kumod.node import Kumod
    from remediator.demo.kumod.routes import Endpoint

# How a connection is cut: the server puts `{"call": function}` under this key of the scope's extensions.
RESET = "kumod.reset"
_LARGEST_BODY = 2 * 2**20
_DRIP_EVERY_S = 1.0


class ConnectionCut(ConnectionResetError):
    """The connection was cut on purpose; seen only where the application runs without a server."""


def create_app(sim: Kumod, clock: Callable[[], float], *, gate: Gate | None = None) -> Starlette:
    """The admin API of a node. `clock` gives seconds since 1970; without a gate, loopback is trusted."""
    guard = gate or Gate(listen="127.0.0.1:8000", trusted=LOOPBACK, users={})
    routes = [Route(path, _Endpoint(sim, clock, guard, path, methods)) for path, methods in ROUTES.items()]
    return Starlette(routes=routes)


def create_control(sim: Kumod, clock: Callable[[], float]) -> Starlette:
    """Scenario control: commands by POST, `GET /control/state` and `GET /control/ledger`."""

    async def command(request: Request) -> Response:
        try:
            body = json.loads(await request.body() or b"{}")
            if not isinstance(body, dict):
                raise scenario.Unusable("expected a JSON object")
            return JSONResponse(scenario.COMMANDS[request.url.path](sim, body, clock()))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=422)

    async def state(request: Request) -> Response:
        del request
        return JSONResponse(scenario.state(sim, clock()))

    async def ledger(request: Request) -> Response:
        del request
        return JSONResponse(sim.ledger.entries())

    commands = [Route(path, command, methods=["POST"]) for path in scenario.COMMANDS]
    return Starlette(routes=[*commands, Route("/control/state", state), Route("/control/ledger", ledger)])


class _Endpoint:
    """One path of the admin API."""

    def __init__(
        self, sim: Kumod, clock: Callable[[], float], gate: Gate, path: str, methods: Mapping[str, Endpoint]
    ) -> None:
        self._sim = sim
        self._clock = clock
        self._gate = gate
        self._path = path
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if self._sim.down(self._clock()):
            await _cut(scope, receive)
            return
        fault = self._sim.faults.take(self._path)
        if fault in {Kind.HANG, Kind.RESET_BEFORE}:
            self._record(request, b"", None, fault)
            await (_hang(scope, receive) if fault is Kind.HANG else _cut(scope, receive))
            return
        body = await request.body()
        reply = self._answer(request, body)
        self._record(request, body, reply, fault)
        match fault:
            case Kind.RESET_AFTER_APPLY:
                await _cut(scope, receive)
            case Kind.STATUS_AFTER_APPLY:
                await _response(plain("Error: simulated failure", 500), {})(scope, receive, send)
            case Kind.DRIP:
                await _drip(reply, send)
            case _:
                await _response(reply, self._headers(reply))(scope, receive, send)

    def _answer(self, request: Request, body: bytes) -> Reply:
        if self._path not in offered(self._sim):
            return plain("", 404)
        client = request.scope.get("client")
        refusal = self._gate.refuse(
            peer=client[0] if client else "",
            authorization=request.headers.get("authorization"),
            method=request.method,
            path=self._path,
        )
        if refusal is not None:
            return refusal
        endpoint = self._methods.get(request.method)
        if endpoint is None:
            return plain("", 405)
        if len(body) > _LARGEST_BODY:
            return plain("Failed to buffer the request body: length limit exceeded", 413)
        call = Call(
            method=request.method,
            path=self._path,
            query=request.query_params.multi_items(),
            content_type=request.headers.get("content-type", ""),
            body=body,
            at=self._clock(),
        )
        try:
            return endpoint(self._sim, call)
        except Refused as refused:
            return refused.reply

    def _headers(self, reply: Reply) -> dict[str, str]:
        return {"allow": ",".join(self._methods)} if reply.status == 405 else {}

    def _record(self, request: Request, body: bytes, reply: Reply | None, fault: Kind | None) -> None:
        """Enter a state-changing request into the ledger. A request that is dropped unread has neither body nor status."""
        if request.method == "GET":
            return
        entry: Entry = {
            "at": humantime.spell_instant(self._clock()),
            "method": request.method,
            "path": self._path,
            "body": _readable(body),
            "applied": reply is not None and reply.applied,
            "status": reply.status if reply is not None else None,
        }
        if reply is not None and reply.order_id is not None:
            entry["id"] = reply.order_id
        if fault is not None:
            entry["fault"] = str(fault)
        self._sim.ledger.append(entry)


def _response(reply: Reply, headers: Mapping[str, str]) -> Response:
    response = Response(reply.text, status_code=reply.status, headers=dict(headers))
    if reply.text:
        response.headers["content-type"] = reply.media_type
    return response


def _readable(body: bytes) -> object:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", errors="replace")


async def _hang(scope: Scope, receive: Receive) -> None:
    """Never answer; end when the caller gives up, or cut the connection when the process ends."""
    try:
        await _disconnect(receive)
    except asyncio.CancelledError:
        _reset(scope)
        raise


async def _cut(scope: Scope, receive: Receive) -> None:
    """End the connection without a byte of an answer."""
    _reset(scope)
    await _disconnect(receive)


def _reset(scope: Scope) -> None:
    server = scope.get("extensions", {}).get(RESET)
    if server is None:
        raise ConnectionCut("the simulated kumod cut the connection")
    server["call"]()


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _drip(reply: Reply, send: Send) -> None:
    """Answer so slowly that a timeout per read never strikes: one byte a second."""
    body = reply.text.encode() or b" "
    headers = [(b"content-type", reply.media_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    for place in range(len(body)):
        await send({"type": "http.response.body", "body": body[place : place + 1], "more_body": place + 1 < len(body)})
        await asyncio.sleep(_DRIP_EVERY_S)
