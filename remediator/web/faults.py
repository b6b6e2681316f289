"""Errors as answers: a sentence for tools as JSON, for people as a page; never a trace, never a status that misleads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from remediator.errors import RefusedRequest, StoreError
from remediator.web.answers import refusal, refusal_headers
from remediator.web.doors import Manner

PageOf = Callable[[Request, int, str], Response]

_SENTENCES = {
    404: "there is nothing here; the pages are /, /incidents and /rules, the API begins at /api/v1/",
    405: "this path does not take this method",
}


class Faults:
    """Makes answers of exceptions; `page` renders those that a browser will show."""

    def __init__(self, page: PageOf) -> None:
        self._page = page

    def handlers(self) -> Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]]:
        """For Starlette: by class of exception, the nearest wins. The key's type is Starlette's own."""
        return {
            RefusedRequest: self._refused,
            StoreError: self._store,
            HTTPException: self._http,
            Exception: self._ours,
        }

    async def _refused(self, request: Request, fault: Exception) -> Response:
        assert isinstance(fault, RefusedRequest)
        return self._said(request, fault.status, str(fault))

    async def _store(self, request: Request, fault: Exception) -> Response:
        return self._said(request, 503, f"the journal cannot be written, so nothing was done: {fault}")

    async def _http(self, request: Request, fault: Exception) -> Response:
        assert isinstance(fault, HTTPException)
        sentence = _SENTENCES.get(fault.status_code, fault.detail)
        return self._said(request, fault.status_code, sentence, dict(fault.headers or {}))

    async def _ours(self, request: Request, _fault: Exception) -> Response:
        """A bug of ours: the server logs the trace, the caller hears only that it was not their fault."""
        return self._said(request, 500, "this failed inside remediator; the log of the service says where")

    def _said(self, request: Request, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
        manner = request.scope.get("manner") or _guessed(request)
        if manner is Manner.TOOL:
            return refusal(status, sentence, headers=dict(headers or {}))
        page = self._page(request, status, sentence)
        page.headers.update({**refusal_headers(status), **(headers or {})})
        return page


def _guessed(request: Request) -> Manner:
    path = request.url.path
    if path.startswith(("/api/", "/-/", "/metrics", "/static/")) or path.endswith(".json"):
        return Manner.TOOL
    return Manner.PAGE if "text/html" in request.headers.get("accept", "") else Manner.TOOL
