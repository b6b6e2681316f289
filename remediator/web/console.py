"""The console."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from remediator.ports import Surface
from remediator.web.auth import Auth
from remediator.web.doors import Door
from remediator.web.options import WebOptions
from remediator.web.requests import Reader
from remediator.web.sessions import Sessions


class Console:
    """Pages and forms."""

    def __init__(self, surface: Surface, auth: Auth, sessions: Sessions, options: WebOptions, reader: Reader) -> None:
        self._surface = surface

    def doors(self) -> tuple[Door, ...]:
        """All pages and forms."""
        return ()

    def refused(self, _request: Request, status: int, sentence: str) -> Response:
        """An error as a page."""
        return PlainTextResponse(sentence + "\n", status_code=status)
