"""What a form of the console sends: URL-encoded, with the form token, each field read by name."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request

from remediator.errors import RefusedRequest
from remediator.web.requests import Reader
from remediator.web.sessions import Sessions


class Forms:
    """Reads forms; one without the token of this session is refused (reliability.md T30)."""

    def __init__(self, reader: Reader, sessions: Sessions) -> None:
        self._reader = reader
        self._sessions = sessions

    async def read(self, request: Request) -> Mapping[str, str]:
        """The fields of a form of this session."""
        fields = await self.read_open(request)
        if not self._sessions.is_form_token(request, fields.get("form_token", "")):
            raise RefusedRequest(403, "this form is from another session or too old; open the page again and repeat it")
        return fields

    async def read_open(self, request: Request) -> Mapping[str, str]:
        """The fields of a form that nobody is signed in for."""
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != "application/x-www-form-urlencoded":
            raise RefusedRequest(415, f"Content-Type {content_type[:60]!r} is not a form of the console")
        try:
            text = (await self._reader.raw(request)).decode("ascii")
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=40, errors="strict"))
        except ValueError as fault:
            raise RefusedRequest(400, f"the form cannot be read: {fault}") from None


def wanted(fields: Mapping[str, str], name: str, what: str) -> str:
    """A field that must not be empty."""
    value = fields.get(name, "").strip()
    if not value:
        raise RefusedRequest(400, f"{what} is missing; go back and fill it in")
    return value


def local_path(text: str) -> str:
    """`text` if it is a path of this service, else the front page: a sign-in leads to no other site."""
    plain = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and "\\" not in text
    return text if plain else "/"
