"""Rendering: the templates, what all of them know, and the static files, all read once when the application is made."""

from __future__ import annotations

import hashlib
from pathlib import Path

import jinja2
from starlette.responses import HTMLResponse, Response

from remediator.web import wording

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Pages:
    """Templates and static files."""

    def __init__(self) -> None:
        self._files = {path.name: path.read_bytes() for path in sorted((_HERE / "static").iterdir())}
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            finalize=wording.visible,
        )
        words = ("tone", "glyph", "spoken", "state_of", "state_of_line", "short", "stamp", "at_time", "day", "pretty")
        self._templates.globals.update({name: getattr(wording, name) for name in (*words, "safe_url", "counts")})
        self._templates.globals["edition"] = hashlib.sha256(b"".join(self._files.values())).hexdigest()[:12]

    def page(self, template: str, *, status: int = 200, **values: object) -> HTMLResponse:
        """A page; every value that it prints is escaped."""
        return HTMLResponse(self._templates.get_template(template).render(values), status_code=status)

    def file(self, name: str) -> Response | None:
        """A static file, if there is one by this name."""
        content = self._files.get(name)
        if content is None:
            return None
        return Response(
            content,
            media_type=_TYPES[Path(name).suffix],
            headers={"Cache-Control": "public, max-age=86400", "X-Content-Type-Options": "nosniff"},
        )
