"""Requests and replies of the admin API, and how kumod reads a JSON body: what it refuses, and in which words. Pure.

Status codes and texts are those of its web framework: 415 without the right content type, 400 for what is no JSON, 422 for
JSON of the wrong shape.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from remediator.demo.kumod import humantime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# How long an order lasts if the request does not say.
DEFAULT_LIFETIME = 300.0
_TARGET = "Failed to deserialize the JSON body into the target type"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, read to its end. `query` keeps the order and repeated keys."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    content_type: str
    body: bytes
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. `applied` tells the ledger whether the request changed anything; `order_id` which entry it was."""

    status: int
    text: str
    media_type: str = "text/plain; charset=utf-8"
    applied: bool = False
    order_id: str | None = None


class Refused(Exception):
    """The request cannot be read."""

    def __init__(self, status: int, text: str) -> None:
        """`text` is the whole body of the answer."""
        super().__init__(text)
        self.reply = Reply(status=status, text=text)


def plain(text: str, status: int = 200) -> Reply:
    """An answer in plain text."""
    return Reply(status=status, text=text)


def as_json(value: object, *, status: int = 200) -> Reply:
    """An answer in JSON that changed nothing."""
    return Reply(status=status, text=_dump(value), media_type="application/json")


def applied(value: object, *, order_id: str | None = None) -> Reply:
    """200 for a request that took effect: text stays text, anything else becomes JSON."""
    if isinstance(value, str):
        return Reply(status=200, text=value, applied=True, order_id=order_id)
    return Reply(status=200, text=_dump(value), media_type="application/json", applied=True, order_id=order_id)


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Fields:
    """The fields of a JSON body. Every reader raises `Refused` for a value of the wrong type."""

    def __init__(self, call: Call) -> None:
        """Parse the body; `Refused` unless it is a JSON object with the right content type."""
        kind = call.content_type.split(";")[0].strip().lower()
        if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
            raise Refused(415, "Expected request with `Content-Type: application/json`")
        try:
            value = json.loads(call.body, parse_constant=_no_constant)
        except ValueError as error:
            where = f"at line {error.lineno} column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            raise Refused(400, f"Failed to parse the request body as JSON: expected value {where}".rstrip()) from None
        if not isinstance(value, dict):
            raise Refused(422, f"{_TARGET}: invalid type: expected struct")
        self._values: Mapping[str, object] = value

    def only(self, known: Sequence[str]) -> None:
        """Refuse a field that is not among the known ones. Most requests do not ask for this: they ignore it."""
        for name in self._values:
            if name not in known:
                expected = ", ".join(f"`{field}`" for field in known)
                raise Refused(422, f"{_TARGET}: unknown field `{name}`, expected one of {expected}")

    def text(self, name: str) -> str:
        """A text that must be there; it may be empty."""
        if name not in self._values:
            raise Refused(422, f"{_TARGET}: missing field `{name}`")
        value = self._values[name]
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        return value

    def optional(self, name: str) -> str | None:
        """A text, or None if it is left out or null."""
        return None if self._values.get(name) is None else self.text(name)

    def names(self, name: str) -> list[str]:
        """A list of texts, empty if left out."""
        value = self._values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(name, "a sequence of strings")
        return [str(item) for item in value]

    def mapping(self, name: str) -> dict[str, str]:
        """An object from text to text that must be there."""
        if name not in self._values:
            raise Refused(422, f"{_TARGET}: missing field `{name}`")
        value = self._values[name]
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise self._wrong(name, "a map of strings")
        return {str(key): str(item) for key, item in value.items()}

    def items(self, name: str) -> list[Mapping[str, object]]:
        """A list of objects that must be there."""
        if name not in self._values:
            raise Refused(422, f"{_TARGET}: missing field `{name}`")
        value = self._values[name]
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._wrong(name, "a sequence of structs")
        return [item for item in value if isinstance(item, dict)]

    def anything(self, name: str) -> object:
        """A value of any type that must be there."""
        if name not in self._values:
            raise Refused(422, f"{_TARGET}: missing field `{name}`")
        return self._values[name]

    def flag(self, name: str) -> bool:
        """A truth value, False if left out."""
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise self._wrong(name, "a boolean")
        return value

    def expiry(self, now: float) -> float:
        """When an order ends: `expires` if given, else `duration` from now, else five minutes from now."""
        expires = self.optional("expires")
        lifetime = self._duration()
        if expires is None:
            return now + lifetime
        try:
            return humantime.parse_instant(expires)
        except ValueError as error:
            raise Refused(422, f"{_TARGET}: expires: {error}") from None

    def _duration(self) -> float:
        value = self._values.get("duration")
        match value:
            case None:
                return DEFAULT_LIFETIME
            case bool():
                raise self._wrong("duration", "a duration")
            case int() | float():
                if math.isfinite(value) and 0 <= value < 2**63:
                    return float(value)
                raise Refused(
                    422, f"{_TARGET}: duration: can not convert float seconds to Duration: value is out of range"
                )
            case str():
                try:
                    return humantime.parse(value)
                except ValueError as error:
                    raise Refused(422, f"{_TARGET}: duration: {error}") from None
            case _:
                raise self._wrong("duration", "a duration")

    def _wrong(self, name: str, wanted: str) -> Refused:
        return Refused(422, f"{_TARGET}: {name}: invalid type, expected {wanted}")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
