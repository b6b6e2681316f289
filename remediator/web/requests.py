"""The bodies that people's tools send: strict, so that a misspelt field is an error and never a default."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.requests import Request

from remediator.core.holds import Patience
from remediator.errors import RefusedRequest
from remediator.web.bodies import Room, read_body
from remediator.web.options import WebOptions


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A strict body."""


class ExplainBody(_Body, frozen=True, kw_only=True):
    """Which alert, or of one rule only; one that starts by a schedule needs no labels."""

    labels: dict[str, str]
    rule: str = ""


class ApproveBody(_Body, frozen=True, kw_only=True):
    """A yes to the plan with this digest."""

    digest: str
    by: str = ""
    reason: str = ""


class RejectBody(_Body, frozen=True, kw_only=True):
    """A no."""

    by: str = ""
    reason: str = ""


class UndoBody(_Body, frozen=True, kw_only=True):
    """What to take back: all of it, or one step (counted from 0)."""

    by: str = ""
    step: int | None = None


class DecideBody(_Body, frozen=True, kw_only=True):
    """`mark_done`, `continue`, `rollback` or `abort`."""

    decision: str
    reason: str
    by: str = ""


class PauseBody(_Body, frozen=True, kw_only=True):
    """A stop; without `seconds` until somebody resumes."""

    reason: str
    scope: str = "all"
    by: str = ""
    seconds: float | None = None


class ResumeBody(_Body, frozen=True, kw_only=True):
    """The end of a stop."""

    scope: str = "all"
    by: str = ""


class ReleaseBody(_Body, frozen=True, kw_only=True):
    """The end of safe mode; patience `none` does not wait for the longest limiter window either."""

    reason: str
    by: str = ""
    patience: Patience = "window"


class RestoreBody(_Body, frozen=True, kw_only=True):
    """The end of a rule's demotions, or of that on one target."""

    reason: str
    target: str = ""
    by: str = ""


class RunBody(_Body, frozen=True, kw_only=True):
    """A playbook by hand."""

    playbook: str
    reason: str
    params: dict[str, str] = {}
    by: str = ""


_B = TypeVar("_B", bound=_Body)


class Reader:
    """Reads requests within the limits."""

    def __init__(self, options: WebOptions, room: Room) -> None:
        self._options = options
        self._room = room

    async def raw(self, request: Request) -> bytes:
        """The body, bounded in size and time."""
        body = await read_body(
            request.receive, self._room, limit=self._options.request_limit, seconds=self._options.body_deadline
        )
        self._room.held -= len(body)
        return body

    async def json(self, request: Request, kind: type[_B]) -> _B:
        """The body as `kind`; RefusedRequest 415 or 400 with what was expected."""
        content_type = request.headers.get("content-type", "")
        if content_type.partition(";")[0].strip().lower() != "application/json":
            raise RefusedRequest(
                415, f"Content-Type {content_type[:60]!r} is not taken here; expected application/json"
            )
        try:
            return msgspec.json.decode(await self.raw(request), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise RefusedRequest(400, f"the body is not what is expected: {fault}; expected {_shape(kind)}") from None


def _shape(kind: type[msgspec.Struct]) -> str:
    fields = sorted(msgspec.structs.fields(kind), key=lambda one: not one.required)
    names = [field.name if field.required else f"{field.name}?" for field in fields]
    return "{" + ", ".join(names) + "}"
