"""Typed parameters: what an alert's label may become before it reaches an argument, a URL, a query or a command.

Label values come from outside. Every parameter of a playbook and every argument of an action has one of these types; a
value that is empty, missing or malformed is refused before the first step (reliability.md G23). No type admits a leading
`-` (it would be read as an option), a control character, or a lone surrogate.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from remediator.core.durations import parse_duration

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]

MAX_TEXT = 4096
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@\[\]/+-]{0,252}")
_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*"
)
_RATE = re.compile(r"[1-9][0-9]{0,8}/(?:s|sec|m|min|h|hr|d|day)")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
WILDCARDS = frozenset({"*", ".*", ".+", "all", "everything", "any", "%"})


class ParamType(StrEnum):
    """The types that a parameter can have, as written in YAML."""

    NAME = "name"  # an identifier: instance, tenant, campaign, container
    DOMAIN = "domain"  # a DNS name
    QUEUE = "queue"  # campaign:tenant@domain
    IP = "ip"
    TEXT = "text"  # free text of one line, at most 4 KiB
    DURATION = "duration"  # 30s, 5m, 1h30m; becomes seconds
    RATE = "rate"  # 100/h
    INT = "int"
    NUMBER = "number"
    BOOL = "bool"
    URL = "url"
    PATH = "path"  # one path below a configured host: no `.` or `..` segment, no query
    ARGV = "argv"  # a list of texts
    NAMES = "names"  # a list of names
    OBJECT = "object"  # a JSON object whose leaves are texts or numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One argument of an action: its type, whether it must be given, and what it means (shown in docs and editors)."""

    type: ParamType
    doc: str
    required: bool = True
    default: Json = None
    choices: tuple[str, ...] = ()


def parse_value(kind: ParamType, raw: Json) -> Json:
    """`raw` as a value of type `kind`; ValueError says what was expected."""
    match kind:
        case ParamType.ARGV | ParamType.NAMES:
            return _parse_list(kind, raw)
        case ParamType.OBJECT:
            return _parse_object(raw)
        case ParamType.BOOL:
            return _parse_bool(raw)
        case ParamType.INT | ParamType.NUMBER:
            return _parse_number(kind, raw)
        case ParamType.DURATION:
            return (
                raw if isinstance(raw, (int, float)) and not isinstance(raw, bool) else parse_duration(_text(kind, raw))
            )
        case _:
            return _parse_text(kind, _text(kind, raw))


def check_scope(label: str, value: str) -> str:
    """`value`, unless it is empty or means "everything": an empty set is never all of it (peers.md F1)."""
    if not value.strip() or value.strip().casefold() in WILDCARDS:
        raise ValueError(f"{label} is {value!r}: an empty value or a wildcard is never taken as everything; name one")
    return value


def _text(kind: ParamType, raw: Json) -> str:
    if not isinstance(raw, str):
        raise ValueError(f"{raw!r} is not a {kind}: expected text")
    if not raw:
        raise ValueError(f"empty: expected a {kind}")
    if len(raw) > MAX_TEXT:
        raise ValueError(f"{len(raw)} characters long: at most {MAX_TEXT} are allowed")
    if _CONTROL.search(raw):
        raise ValueError(f"{raw!r} has a control character")
    return raw


def _parse_text(kind: ParamType, text: str) -> str:
    if kind is ParamType.TEXT:
        return text
    if text.startswith("-"):
        raise ValueError(f"{text!r} starts with '-': it could be read as an option")
    match kind:
        case ParamType.NAME:
            return _full(_NAME, text, "a name such as mta1.example:8000")
        case ParamType.DOMAIN:
            return _full(_DOMAIN, text, "a domain such as example.com").lower()
        case ParamType.QUEUE:
            return _full(_NAME, text, "a queue such as campaign:tenant@example.com")
        case ParamType.RATE:
            return _full(_RATE, text, "a rate such as 100/h")
        case ParamType.IP:
            return str(ipaddress.ip_address(text))
        case ParamType.URL:
            return _parse_url(text)
        case _:
            return _parse_path(text)


def _full(pattern: re.Pattern[str], text: str, expected: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{text!r} is not {expected}")
    return text


def _parse_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise ValueError(f"{text!r} is not an http or https URL without credentials in it")
    return text


def _parse_path(text: str) -> str:
    segments = text.split("/")
    if not text.startswith("/") or any(part in {".", ".."} for part in segments) or set(text) & set("?#\\% "):
        raise ValueError(f"{text!r} is not a plain path such as /api/v1/reload")
    return text


def _parse_bool(raw: Json) -> bool:
    if isinstance(raw, bool):
        return raw
    if raw in {"true", "false"}:
        return raw == "true"
    raise ValueError(f"{raw!r} is not true or false")


def _parse_number(kind: ParamType, raw: Json) -> int | float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)):
        raise ValueError(f"{raw!r} is not a number")
    number = float(raw)
    if number != number or abs(number) > 1e15:
        raise ValueError(f"{raw!r} is not a usable number")
    if kind is ParamType.INT:
        if number != int(number):
            raise ValueError(f"{raw!r} is not a whole number")
        return int(number)
    return number


def _parse_list(kind: ParamType, raw: Json) -> Json:
    if not isinstance(raw, list) or not raw:
        raise ValueError(f"{raw!r} is not a list with at least one item")
    item = ParamType.TEXT if kind is ParamType.ARGV else ParamType.NAME
    return [_parse_text(item, _text(item, part)) for part in raw]


def _parse_object(raw: Json) -> Json:
    if not isinstance(raw, dict):
        raise ValueError(f"{raw!r} is not an object")
    return {_text(ParamType.TEXT, key): _leaf(value) for key, value in raw.items()}


def _leaf(raw: Json) -> Json:
    match raw:
        case dict():
            return _parse_object(raw)
        case list():
            return [_leaf(part) for part in raw]
        case str():
            return _text(ParamType.TEXT, raw) if raw else raw
        case _:
            return raw
