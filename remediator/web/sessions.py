"""Sessions of the console: a signed cookie for who signed in with a token, and the tokens that its forms carry.

Nothing is kept on the server. The signature covers a digest of the person's token, so a changed or removed token ends its
sessions; the scope is looked up each time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from remediator.web.auth import Auth, Caller, Person

COOKIE = "remediator_session"
LIFE = 12 * 3600  # s


class Sessions:
    """Makes and checks session cookies and form tokens with `key` (at least 32 random bytes, new at each start is fine)."""

    def __init__(self, auth: Auth, key: bytes, now: Callable[[], float]) -> None:
        self._auth = auth
        self._key = key
        self.now = now

    def open(self, response: Response, person: Person, *, secure: str) -> None:
        """Signs `person` in; `secure` is the scheme of the request (`https` keeps the cookie off plain connections)."""
        expires = str(int(self.now()) + LIFE)
        name = base64.urlsafe_b64encode(person.name.encode()).decode()
        response.set_cookie(
            COOKIE,
            f"{name}.{expires}.{self._seal(person, expires)}",
            max_age=LIFE,
            httponly=True,
            samesite="strict",
            secure=secure == "https",
        )

    def close(self, response: Response) -> None:
        """Signs out."""
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")

    def caller(self, request: Request) -> Caller | None:
        """Who is signed in, if anybody is."""
        name_part, _, rest = request.cookies.get(COOKIE, "").partition(".")
        expires, _, seal = rest.partition(".")
        if not (expires.isdigit() and len(expires) < 12 and self.now() < int(expires) <= self.now() + LIFE):
            return None
        try:
            name = base64.urlsafe_b64decode(name_part.encode("ascii")).decode()
        except ValueError:
            return None
        for person in self._auth.people_named(name):
            if hmac.compare_digest(self._seal(person, expires).encode(), seal.encode("utf-8", "replace")):
                return Caller(name=person.name, scope=person.scope)
        return None

    def form_token(self, request: Request) -> str:
        """What every form of this session carries; another site can neither read nor guess it (T30)."""
        session = request.cookies.get(COOKIE, "") if not self._auth.local else ""
        return self._mac(f"form\n{session}")

    def is_form_token(self, request: Request, presented: str) -> bool:
        """Whether a form was made for this session."""
        return hmac.compare_digest(self.form_token(request).encode(), presented.encode("utf-8", "replace"))

    def _seal(self, person: Person, expires: str) -> str:
        token = hashlib.sha256(person.token.encode("utf-8", "surrogateescape")).hexdigest()
        return self._mac(f"session\n{person.name}\n{expires}\n{token}")

    def _mac(self, text: str) -> str:
        return hmac.digest(self._key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hex()
