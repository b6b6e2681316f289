"""Speaks to kumod's admin API: one node at a time, never a field that this node does not know.

What a node knows is read from its own OpenAPI document, because an older kumod ignores an unknown criterion without a
word and then takes the request to mean everything (kumomta.md §2.11a).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remediator.actions.http_client import Answer, Credentials, HttpClient, Lost, NotSent, Reply, Request, judge
from remediator.actions.kumomta.selectors import Selectors
from remediator.actions.targets import KumoTargets, Node
from remediator.core.outcomes import Outcome, Result, failed, not_issued
from remediator.ports import Clock

SUSPEND = "/api/admin/suspend/v1"
SUSPEND_READY = "/api/admin/suspend-ready-q/v1"
BOUNCE = "/api/admin/bounce/v1"
REBIND = "/api/admin/rebind/v1"
BUMP = "/api/admin/bump-config-epoch"
COMPACT = "/api/admin/spool-compact/v1"
OPENAPI = "/api-docs/openapi.json"
# How long a node's description is believed (s): a kumod is upgraded by a restart, which takes longer than that.
BELIEVED = 60.0

Entry = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A question that got no usable answer; nothing was changed by asking."""

    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a node says of itself: for each path that can be posted to, the fields a request may carry."""

    posts: Mapping[str, frozenset[str]]
    version: str
    at: float


class Kumod:
    """The kumods of the settings. One object for all actions, so that descriptions are fetched once."""

    def __init__(self, targets: KumoTargets | None, *, http: HttpClient, clock: Clock) -> None:
        self._targets = targets
        self._http = http
        self._clock = clock
        self._described: dict[str, Described] = {}
        self._locks: dict[Path, asyncio.Lock] = {}

    @property
    def targets(self) -> KumoTargets | None:
        """The nodes; None where the settings are not known."""
        return self._targets

    def node_faults(self, name: object) -> list[str]:
        """Why this node cannot be meant; nothing where the settings are not known."""
        if self._targets is None or str(name) in self._targets.nodes:
            return []
        known = ", ".join(sorted(self._targets.nodes)) or "none"
        return [f"no kumod is called {name!r} (known: {known}); add it to the settings under kumomta nodes"]

    def node(self, name: object) -> Node | Unreadable:
        """The node of this name."""
        found = self._targets.nodes.get(str(name)) if self._targets else None
        return found or Unreadable(sentence=(self.node_faults(name) or ["no kumod is configured"])[0])

    def lock(self, path: Path) -> asyncio.Lock:
        """Held while a shaping file is changed: all actions that edit one take it, so that none undoes another's edit."""
        return self._locks.setdefault(path, asyncio.Lock())

    def source(self, ip: object) -> tuple[Node, str] | Unreadable:
        """The node and the egress source that send from this address."""
        known = self._targets.sources if self._targets is not None else {}
        found = known.get(str(ip))
        if found is not None:
            node = self.node(found.node)
            return node if isinstance(node, Unreadable) else (node, found.source)
        names = ", ".join(sorted(known)) or "none"
        return Unreadable(
            sentence=f"no source is known to send from {ip!r} (known: {names}); add it to the settings under kumomta sources"
        )

    def aim(self, arguments: Mapping[str, object]) -> tuple[Node, Selectors] | Unreadable:
        """The node and the queues that these arguments name; what is wrong with them is never guessed around."""
        node = self.node(arguments.get("node"))
        try:
            selectors = Selectors.of(arguments)
        except ValueError as fault:
            return Unreadable(sentence=str(fault))
        return node if isinstance(node, Unreadable) else (node, selectors)

    async def get(self, node: Node, path: str, *, until: float, query: tuple[tuple[str, str], ...] = ()) -> Reply:
        """Reads, up to three times while nobody answers."""
        return await self._http.read(_request(node, "GET", path, None, query), until=until)

    async def document(self, node: Node, path: str, *, until: float, what: str) -> object | Unreadable:
        """Reads JSON."""
        match await self.get(node, path, until=until):
            case Answer(status=200) as answer:
                try:
                    return answer.json()
                except ValueError as fault:
                    return Unreadable(sentence=f"{what} of {node.name} is not readable: {fault}")
            case Answer(status=status, text=text):
                return Unreadable(sentence=f"{what} of {node.name}: answered {status} {text!r}{_access(status)}")
            case NotSent(sentence=sentence) | Lost(sentence=sentence):
                return Unreadable(sentence=f"{what} of {node.name}: {sentence}")

    async def entries(self, node: Node, path: str, *, until: float) -> list[Entry] | Unreadable:
        """The orders in force: suspensions or bounces."""
        found = await self.document(node, path, until=until, what="the list of orders")
        if isinstance(found, Unreadable):
            return found
        if not isinstance(found, list) or not all(isinstance(entry, dict) and "id" in entry for entry in found):
            return Unreadable(sentence=f"the list of orders of {node.name} is not a list of entries with ids")
        return found

    async def describe(self, node: Node, *, until: float) -> Described | Unreadable:
        """What the node says it can do; believed for a minute."""
        known = self._described.get(node.name)
        now = self._clock.monotonic()
        if known is not None and now - known.at < BELIEVED:
            return known
        found = await self.document(node, OPENAPI, until=until, what="the API description")
        if isinstance(found, Unreadable):
            return found
        described = Described(posts=_posts(found), version=_version(found), at=now)
        self._described[node.name] = described
        return described

    async def post(self, node: Node, path: str, body: Mapping[str, object] | None, *, until: float) -> Outcome:
        """Posts, if the node knows the path and every field of `body`; else nothing is sent."""
        described = await self.describe(node, until=until)
        if isinstance(described, Unreadable):
            return not_issued(
                f"nothing was sent, since kumod must be asked first what it understands: {described.sentence}"
            )
        if path not in described.posts:
            return failed(f"kumod {described.version} on {node.name} has no {path}; a newer one is needed")
        missing = sorted(set(body or {}) - described.posts[path])
        if missing:
            fields = ", ".join(missing)
            return failed(
                f"kumod {described.version} on {node.name} does not know {fields} in {path} and would ignore it; "
                "nothing was sent"
            )
        reply = await self._http.send(_request(node, "POST", path, body), until=until)
        return _judge(reply, f"POST {path} to {node.name}")

    async def remove(self, node: Node, path: str, entry: str, *, until: float) -> Outcome:
        """Deletes one order by its id; a `failed` with evidence status 404 means that it was not there any more."""
        reply = await self._http.send(_request(node, "DELETE", path, {"id": entry}), until=until)
        return _judge(reply, f"DELETE {entry} on {node.name}")

    async def flush(self, node: Node, selectors: Selectors, reason: str, *, until: float) -> str:
        """Makes the mail of these queues due now; says how that went. Without it, mail waits for its next attempt."""
        body = {**selectors.body(), "reason": reason, "data": {}, "always_flush": True}
        done = await self.post(node, REBIND, body, until=until)
        if done.result is Result.OK:
            return "its mail is due at once"
        return f"its mail waits for its next attempt, because it could not be made due at once: {done.sentence}"


def _request(
    node: Node, method: str, path: str, body: Mapping[str, object] | None, query: tuple[tuple[str, str], ...] = ()
) -> Request:
    return Request(
        method=method,
        url=node.url.rstrip("/") + path,
        json=dict(body) if body is not None else None,
        query=query,
        credentials=Credentials(username=node.username, password_file=node.password_file),
    )


def _judge(reply: Reply, what: str) -> Outcome:
    match reply:
        case Answer(status=401 as status, text=text):
            return failed(f"{what}: answered 401 {text!r}{_access(status)}", evidence={"status": status})
        case _:
            return judge(reply, what)


def _access(status: int) -> str:
    if status != 401:
        return ""
    return "; add our address to trusted_hosts of kumod's listener, or give our user the right by an ACL"


def _posts(document: object) -> dict[str, frozenset[str]]:
    paths = _mapping(_mapping(document).get("paths"))
    found: dict[str, frozenset[str]] = {}
    for path, methods in paths.items():
        post = _mapping(methods).get("post")
        if post is not None:
            content = _mapping(_mapping(_mapping(post).get("requestBody")).get("content"))
            schema = _mapping(content.get("application/json")).get("schema")
            found[path] = frozenset(_properties(_mapping(document), schema, depth=0))
    return found


def _properties(document: Mapping[str, object], schema: object, *, depth: int) -> set[str]:
    """The property names of a schema, through `$ref` and `allOf`; bounded, since a document may refer to itself."""
    if depth > 8:
        return set()
    one = _mapping(schema)
    reference = one.get("$ref")
    if isinstance(reference, str):
        target: object = document
        for part in reference.removeprefix("#/").split("/"):
            target = _mapping(target).get(part)
        return _properties(document, target, depth=depth + 1)
    found = set(_mapping(one.get("properties")))
    parts = one.get("allOf")
    for part in parts if isinstance(parts, list) else []:
        found |= _properties(document, part, depth=depth + 1)
    return found


def _version(document: object) -> str:
    return str(_mapping(_mapping(document).get("info")).get("version", "of unknown version"))


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
