"""Query parameters: read strictly, refused with a sentence that names the parameter and what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable

from starlette.datastructures import QueryParams

from remediator.core.durations import parse_duration
from remediator.errors import RefusedRequest
from remediator.ports import IncidentFilter

MAX_LIMIT = 1000


def incident_filter(query: QueryParams, now: float) -> IncidentFilter:
    """Which incidents are wanted; `since` is how long ago (`86400` seconds or `24h`), `label` is `name=value`, repeated."""
    only(query, "since", "rule", "status", "result", "label", "limit", "cursor")
    return IncidentFilter(
        since=now - _ago(query["since"]) if query.get("since") else 0.0,
        rule=query.get("rule", ""),
        status=query.get("status", ""),
        result=query.get("result", ""),
        labels=dict(_pair(one) for one in query.getlist("label") if one),
        before=_cursor(query["cursor"]) if query.get("cursor") else None,
        limit=whole(query, "limit", default=100, most=MAX_LIMIT),
    )


def only(query: QueryParams, *known: str) -> None:
    """Refuses parameters that mean nothing here: a misspelt filter must not look like no filter."""
    for name in query:
        if name not in known:
            raise RefusedRequest(400, f"there is no parameter {name[:60]!r} here; expected {', '.join(known)}")


def whole(query: QueryParams, name: str, *, default: int, most: int) -> int:
    """A whole number from 0 to `most`."""
    return int(_number(query, name, default, most, int))


def seconds(query: QueryParams, name: str, *, default: float, most: float) -> float:
    """Seconds from 0 to `most`."""
    return _number(query, name, default, most, float)


def _number(query: QueryParams, name: str, default: float, most: float, read: Callable[[str], float]) -> float:
    text = query.get(name)
    if not text:
        return default
    try:
        value = read(text[:30])
    except ValueError:
        raise RefusedRequest(400, f"{name} is {text[:60]!r}; expected a number from 0 to {most:g}") from None
    if not 0 <= value <= most:
        raise RefusedRequest(400, f"{name} is {text[:60]!r}; expected a number from 0 to {most:g}")
    return value


def _ago(text: str) -> float:
    try:
        ago = float(text)
    except ValueError:
        try:
            ago = parse_duration(text[:40])
        except ValueError as fault:
            raise RefusedRequest(400, f"since: {fault}") from None
    if not (math.isfinite(ago) and ago >= 0):
        raise RefusedRequest(400, f"since is {text[:60]!r}; expected how many seconds ago, or a duration such as 24h")
    return ago


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise RefusedRequest(400, f"label is {text[:60]!r}; expected name=value, for example label=domain=example.com")
    return name.strip(), value.strip()


def cursor_of(opened_at: float, incident: str) -> str:
    """Where the next page begins."""
    return f"{opened_at!r}~{incident}"


def _cursor(text: str) -> tuple[float, str]:
    at, _, incident = text.partition("~")
    try:
        moment = float(at)
    except ValueError:
        moment = math.nan
    if not (math.isfinite(moment) and incident):
        raise RefusedRequest(400, f"cursor is {text[:80]!r}; expected the `next` of an earlier answer, unchanged")
    return moment, incident
