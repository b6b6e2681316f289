"""Signing in to the console with a token, and out again; a source that keeps guessing has to wait (reliability.md T31)."""

from __future__ import annotations

from collections import OrderedDict

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from remediator.errors import RefusedRequest
from remediator.web.auth import Auth, Caller, Scope
from remediator.web.doors import Door, Manner
from remediator.web.forms import Forms, local_path
from remediator.web.pages import Pages
from remediator.web.sessions import Sessions

TRIES = 10
WINDOW = 60.0  # s
SOURCES = 1024


class SignIn:
    """The sign-in form."""

    def __init__(self, auth: Auth, sessions: Sessions, forms: Forms, pages: Pages) -> None:
        self._auth = auth
        self._sessions = sessions
        self._forms = forms
        self._pages = pages
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    def doors(self) -> tuple[Door, ...]:
        """The form, what it sends, and the way out."""
        return (
            Door(method="GET", path="/sign-in", scope=Scope.OPEN, serve=self.show, manner=Manner.PAGE),
            Door(method="POST", path="/sign-in", scope=Scope.OPEN, serve=self.enter, manner=Manner.FORM),
            Door(method="POST", path="/sign-out", scope=Scope.OPEN, serve=self.leave, manner=Manner.FORM),
        )

    def page(self, request: Request, *, sentence: str, status: int) -> Response:
        """The form; after it, the page that was asked for."""
        asked = request.url.path if request.method == "GET" else request.query_params.get("next", "/")
        after = local_path(request.query_params.get("next", "/") if asked == "/sign-in" else asked)
        return self._pages.page("sign_in.html", status=status, sentence=sentence, after=after, bar=None, viewer=None)

    async def show(self, request: Request, _caller: Caller) -> Response:
        """`GET /sign-in`."""
        if self._auth.local:
            return RedirectResponse("/", status_code=303)
        return self.page(request, sentence="", status=200)

    async def enter(self, request: Request, _caller: Caller) -> Response:
        """`POST /sign-in`: a token for a session."""
        source = request.client.host if request.client else ""
        now = self._sessions.now()
        recent = [at for at in self._wrong.get(source, ()) if now - WINDOW < at <= now]
        if len(recent) >= TRIES:
            raise RefusedRequest(
                429, f"{TRIES} wrong tokens came from here within a minute; wait a minute and try again"
            )
        fields = await self._forms.read_open(request)
        person = self._auth.person_with(fields.get("token", ""))
        if person is None:
            self._wrong[source] = [*recent, now]
            self._wrong.move_to_end(source)
            while len(self._wrong) > SOURCES:
                self._wrong.popitem(last=False)
            return self.page(request, sentence="This token is not known here.", status=401)
        response = RedirectResponse(local_path(fields.get("next", "/")), status_code=303)
        self._sessions.open(response, person, secure=request.url.scheme)
        return response

    async def leave(self, request: Request, _caller: Caller) -> Response:
        """`POST /sign-out`."""
        await self._forms.read(request)
        response = RedirectResponse("/sign-in", status_code=303)
        self._sessions.close(response)
        return response
