"""A door is a route with what it needs: every route of the web floor is one, so that one table says who may do what.

The guard in front of each door knows the caller before the endpoint runs: a route without a scope cannot be written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from remediator.errors import RefusedRequest
from remediator.web.auth import Auth, Caller, Scope, is_loopback
from remediator.web.options import WebOptions
from remediator.web.sessions import Sessions

Serve = Callable[[Request, Caller], Awaitable[Response]]


class Manner(StrEnum):
    """How a door speaks: JSON and plain text for tools, pages and forms for browsers."""

    TOOL = "tool"
    PAGE = "page"
    FORM = "form"


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One method on one path, the scope it needs, and what is behind it."""

    method: str
    path: str
    scope: Scope
    serve: Serve
    manner: Manner = Manner.TOOL


class Guard:
    """Stands in front of the doors."""

    def __init__(self, auth: Auth, sessions: Sessions, options: WebOptions) -> None:
        self._auth = auth
        self._sessions = sessions
        self._hosts = _hosts(options)

    def route(self, door: Door) -> Route:
        """The door as a route that only lets in who may."""

        async def endpoint(request: Request) -> Response:
            request.scope["manner"] = door.manner
            return await door.serve(request, self._admitted(request, door))

        return Route(door.path, endpoint, methods=[door.method])

    def _admitted(self, request: Request, door: Door) -> Caller:
        if door.method == "POST":
            self._check_origin(request)
        if door.scope is Scope.OPEN:
            return Caller(name="", scope=Scope.OPEN)
        if self._auth.local:
            self._check_local(request)
        caller = self._caller(request, door)
        request.scope["caller"] = caller
        if caller.scope < door.scope:
            if not caller.name:
                raise RefusedRequest(401, f"this needs the token of a person with scope {door.scope.word}")
            raise RefusedRequest(403, f"{caller.name} has scope {caller.scope.word}; this needs {door.scope.word}")
        return caller

    def _caller(self, request: Request, door: Door) -> Caller:
        authorization = request.headers.get("authorization")
        if authorization or self._auth.local:
            return self._auth.caller(authorization)
        if door.method != "GET" and door.manner is Manner.TOOL:
            return self._auth.caller(None)  # a cookie alone never changes anything outside the forms (T30)
        return self._sessions.caller(request) or self._auth.caller(None)

    def _check_origin(self, request: Request) -> None:
        """A POST from another site's page is refused, whatever credentials the browser added to it (T30)."""
        if request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
            raise RefusedRequest(403, "this request comes from a page of another site; open the console itself")
        origin = request.headers.get("origin")
        if origin is None:
            return
        if urlsplit(origin).netloc.lower() not in {request.headers.get("host", "").lower(), *self._hosts}:
            raise RefusedRequest(403, f"this request comes from {origin[:100]}, not from the console itself")

    def _check_local(self, request: Request) -> None:
        """Without credentials, only this machine itself is believed: no proxy, no rebound name (T30)."""
        if "x-forwarded-for" in request.headers or "forwarded" in request.headers:
            raise RefusedRequest(401, "this came through a proxy and needs a person; write web.people")
        host = request.headers.get("host", "").lower()
        if is_loopback(host if ":" in host.rpartition("]")[2] else f"{host}:0") or host in self._hosts:
            return
        raise RefusedRequest(
            403, f"{host[:100]!r} is not a name of this service; use 127.0.0.1 or set web.external_url"
        )


def _hosts(options: WebOptions) -> frozenset[str]:
    external = urlsplit(options.external_url).netloc.lower() if options.external_url else ""
    return frozenset({*(host.lower() for host in options.hosts), *([external] if external else [])})
