"""Typed parameters: what an alert's label may become before it reaches an argument, a URL, a query or a command.

Label values come from outside. Every parameter of a playbook and every argument of an action has one of these types; a
value that is empty, missing or malformed is refused before the first step (reliability.md G23). No type admits a leading
`-` (it would be read as an option; an item of an `argv` may have one only where its author wrote it, see `planning`), a
control character other than a tab in free text, a sign that turns the direction of text, or a lone surrogate. All types
but free text are printable ASCII, so that no value looks like another.
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
LARGEST = 1e15
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:\[\]/+-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")
_QUEUE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@/+-]{0,252}")
_NUMBER = re.compile(r"-?[0-9]{1,16}(?:\.[0-9]{1,16})?")
_PRINTABLE = re.compile(r"[!-~]+")
_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*"
)
_RATE = re.compile(r"[1-9][0-9]{0,8}/(?:s|sec|m|min|h|hr|d|day)")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
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
            return _parse_seconds(raw)
        case _:
            return _parse_text(kind, _text(kind, raw))


def check_scope(label: str, value: str) -> str:
    """`value`, unless it is empty or means "everything": an empty set is never all of it (peers.md F1)."""
    if not any(sign.isalnum() for sign in value) or value.strip().casefold() in WILDCARDS:
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
    if text.startswith("-"):
        raise ValueError(f"{text!r} starts with '-': it could be read as an option")
    if kind is ParamType.TEXT:
        return text
    if not _PRINTABLE.fullmatch(text):
        raise ValueError(f"{text!r} has a blank or a sign that is not ASCII: expected a {kind}")
    match kind:
        case ParamType.NAME:
            return _no_way_up(_full(_NAME, text, "a name such as mta1.example:8000"))
        case ParamType.DOMAIN:
            return _full(_DOMAIN, text, "a domain such as example.com").lower()
        case ParamType.QUEUE:
            return _no_way_up(_full(_QUEUE, text, "a queue such as campaign:tenant@example.com"))
        case ParamType.RATE:
            return _full(_RATE, text, "a rate such as 100/h")
        case ParamType.IP:
            return _parse_ip(text)
        case ParamType.URL:
            return _parse_url(text)
        case _:
            return _parse_path(text)


def _full(pattern: re.Pattern[str], text: str, expected: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{text!r} is not {expected}")
    return text


def _no_way_up(text: str) -> str:
    if "//" in text or any(part in {".", ".."} for part in text.split("/")):
        raise ValueError(f"{text!r} has an empty, '.' or '..' part: it could be read as another place")
    return text


def _parse_ip(text: str) -> str:
    if "%" in text:
        raise ValueError(f"{text!r} has a zone: expected an address such as 192.0.2.1 or 2001:db8::1")
    return str(ipaddress.ip_address(text))


def _parse_url(text: str) -> str:
    parts = urlsplit(text)
    port = parts.port  # reading it checks it
    plain = parts.scheme in {"http", "https"} and parts.hostname and parts.username is None and port != 0
    if not plain or "\\" in text:
        raise ValueError(f"{text!r} is not an http or https URL without credentials in it")
    return text


def _parse_path(text: str) -> str:
    if not text.startswith("/") or set(text) & set("?#\\%"):
        raise ValueError(f"{text!r} is not a plain path such as /api/v1/reload")
    return _no_way_up(text)


def _parse_bool(raw: Json) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw in {"true", "false"}:
        return raw == "true"
    raise ValueError(f"{raw!r} is not true or false")


def _parse_seconds(raw: Json) -> float:
    if isinstance(raw, str):
        return parse_duration(_text(ParamType.DURATION, raw))
    seconds = _parse_number(ParamType.NUMBER, raw)
    if seconds < 0:
        raise ValueError(f"{raw!r} is not a duration: expected 30s, 5m, 1h30m or a number of seconds")
    return float(seconds)


def _parse_number(kind: ParamType, raw: Json) -> int | float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)):
        raise ValueError(f"{raw!r} is not a number")
    if isinstance(raw, str) and not _NUMBER.fullmatch(raw):
        raise ValueError(f"{raw!r} is not a number such as 5 or 0.25")
    if isinstance(raw, (int, float)) and not abs(raw) <= LARGEST:
        raise ValueError(f"{raw!r} is not a usable number: expected one from -{LARGEST:g} to {LARGEST:g}")
    number = float(raw)
    if kind is ParamType.INT:
        if number != int(number):
            raise ValueError(f"{raw!r} is not a whole number")
        return int(number)
    return number


def _parse_list(kind: ParamType, raw: Json) -> Json:
    if not isinstance(raw, list) or not raw:
        raise ValueError(f"{raw!r} is not a list with at least one item")
    if kind is ParamType.ARGV:
        return [_text(ParamType.TEXT, part) for part in raw]
    return [_parse_text(ParamType.NAME, _text(ParamType.NAME, part)) for part in raw]


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
        case int() | float() if not abs(raw) <= LARGEST:
            raise ValueError(f"{raw!r} is not a usable number: expected one from -{LARGEST:g} to {LARGEST:g}")
        case _:
            return raw
