"""The action `http`: one request to a URL below a configured prefix."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from remediator.actions.defaults import WithoutCheck, WithoutUndo
from remediator.actions.http_client import (
    Answer,
    HttpClient,
    Lost,
    NotSent,
    Reply,
    Request,
    deadline,
    final_url,
    judge,
)
from remediator.actions.targets import HttpTargets
from remediator.core.outcomes import EffectClass, Outcome, failed, failed_for_now, ok
from remediator.core.params import Json, Param, ParamType
from remediator.ports import Call

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
READS = frozenset({"GET", "HEAD"})
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
# Headers that say where a request goes or how it is framed; they are ours to set.
_OWN = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "accept-encoding"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def url_fault(url: str, allow: Sequence[str]) -> str:
    """Why `url` must not be asked for; empty if its final form lies below one of the prefixes `allow`."""
    try:
        parts = urlsplit(final_url(url))
        origin = (parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme))
    except ValueError as fault:
        return f"{url!r} is not a URL: {fault}"
    if parts.username is not None or parts.password is not None:
        return "the URL has credentials in it; they would stand in logs"
    path = unquote(parts.path)
    if "\\" in path or any(part in {".", ".."} for part in path.split("/")):
        return f"the path {path!r} has a part that could lead elsewhere"
    for prefix in allow:
        base = urlsplit(final_url(prefix))
        if origin != (base.scheme, base.hostname, base.port or _DEFAULT_PORTS.get(base.scheme)):
            continue
        root = unquote(base.path).rstrip("/")
        if path == root or path.startswith(f"{root}/"):
            return ""
    return f"{url!r} is not below an allowed prefix ({', '.join(allow) or 'none'}); add one to the settings under http allow"


class Http(WithoutCheck, WithoutUndo):
    """Makes one request. It is of class `once` whatever the method, since only its author knows what a URL does."""

    kind: ClassVar[str] = "http"
    effect: ClassVar[EffectClass] = EffectClass.ONCE
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {
        "url": Param(type=ParamType.URL, doc="The whole URL; it must lie below a prefix allowed in the settings."),
        "method": Param(
            type=ParamType.TEXT,
            doc="GET, HEAD, POST, PUT, PATCH or DELETE.",
            required=False,
            default="POST",
            choices=METHODS,
        ),
        "json": Param(type=ParamType.OBJECT, doc="The body, a JSON object.", required=False),
        "headers": Param(type=ParamType.OBJECT, doc="Further headers, texts only.", required=False),
        "ok_status": Param(
            type=ParamType.NAMES,
            doc="The statuses that mean success, such as [200, 204]. Left out: 200 to 299.",
            required=False,
        ),
    }
    summary: ClassVar[str] = "Make one HTTP request to a URL that the settings allow"

    def __init__(self, targets: HttpTargets | None, *, http: HttpClient) -> None:
        self._targets = targets
        self._http = http

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses URLs outside the allowed prefixes, odd methods, headers and statuses."""
        found: list[str] = []
        url = arguments.get("url")
        if not isinstance(url, str) or not url:
            found.append("no URL")
        elif self._targets is not None:
            found += [fault for fault in (url_fault(url, self._targets.allow),) if fault]
        if arguments.get("method", "POST") not in METHODS:
            found.append(f"method is {arguments.get('method')!r}: expected one of {', '.join(METHODS)}")
        headers = arguments.get("headers") or {}
        if not isinstance(headers, dict) or not all(_header_fits(name, value) for name, value in headers.items()):
            found.append(
                "headers must be an object of names and one-line ASCII texts, without Host and framing headers"
            )
        if _statuses(arguments) is None:
            found.append(f"ok_status is {arguments.get('ok_status')!r}: expected a list of statuses from 200 to 499")
        return found

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """The request line."""
        return f"{arguments.get('method', 'POST')} {arguments.get('url')}"

    async def perform(self, call: Call) -> Outcome:
        """Makes the request; a GET is tried up to three times while nobody answers."""
        faults = self.faults(call.arguments)
        statuses = _statuses(call.arguments)
        if faults or self._targets is None or statuses is None:
            return failed(faults[0] if faults else "no URL prefix is allowed in the settings")
        method, url = str(call.arguments.get("method", "POST")), str(call.arguments["url"])
        headers = call.arguments.get("headers") or {}
        assert isinstance(headers, dict)
        request = Request(
            method=method,
            url=url,
            json=call.arguments.get("json"),
            headers={name: str(value) for name, value in headers.items()},
        )
        until = deadline(call.timeout)
        if method in READS:
            return _seen(await self._http.read(request, until=until), f"{method} {url}", statuses)
        return judge(
            await self._http.send(request, until=until), f"{method} {url}", good=lambda status: status in statuses
        )


def _seen(reply: Reply, what: str, statuses: frozenset[int]) -> Outcome:
    """The outcome of a request that changes nothing: never unknown."""
    match reply:
        case NotSent(sentence=sentence) | Lost(sentence=sentence):
            return failed_for_now(f"{what}: {sentence}")
        case Answer(status=status, text=text):
            evidence: dict[str, object] = {"status": status, "answer": text}
            if status in statuses:
                return ok(f"{what}: answered {status}", evidence=evidence)
            return (failed_for_now if status >= 500 else failed)(
                f"{what}: answered {status} {text!r}", evidence=evidence
            )


def _header_fits(name: str, value: object) -> bool:
    plain = isinstance(value, str) and value.isascii() and value.isprintable()
    return plain and bool(_HEADER.fullmatch(name)) and name.lower() not in _OWN


def _statuses(arguments: Mapping[str, Json]) -> frozenset[int] | None:
    given = arguments.get("ok_status")
    if given is None:
        return frozenset(range(200, 300))
    try:
        found = frozenset(int(str(one)) for one in given) if isinstance(given, list) else frozenset()
    except ValueError:
        return None
    return found if found and all(200 <= status <= 499 for status in found) else None
