"""Limiting the rate at which a node sends to a domain: `kumomta.throttle`, by its shaping file.

kumod has no endpoint for it. It looks at its files every ten seconds, and is told to look at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from remediator.actions.http_client import deadline
from remediator.actions.kumomta.client import BUMP, Kumod, Unreadable
from remediator.actions.kumomta.selectors import NODE
from remediator.actions.kumomta.shaping_file import (
    Rate,
    Uneditable,
    rate_of,
    read,
    replace,
    with_rate,
    without_ours,
)
from remediator.actions.targets import Node
from remediator.core.outcomes import (
    EffectClass,
    Found,
    Outcome,
    Presence,
    Result,
    UndoOutcome,
    UndoResult,
    failed,
    ok,
)
from remediator.core.params import Json, Param, ParamType, check_scope
from remediator.ports import Call


class Throttle:
    """Sets `max_message_rate` of a domain in a node's shaping file; holds for each source on its way to each site."""

    kind: ClassVar[str] = "kumomta.throttle"
    effect: ClassVar[EffectClass] = EffectClass.SAFE
    lasting: ClassVar[bool] = True
    params: ClassVar[Mapping[str, Param]] = {
        "node": NODE,
        "domain": Param(type=ParamType.DOMAIN, doc="The recipient domain whose mail is to be sent at this rate."),
        "rate": Param(
            type=ParamType.RATE,
            doc="Messages per s, min, h or day, such as 100/h; per source and site, so two sources send twice as much.",
        ),
    }
    summary: ClassVar[str] = "Set the rate at which a node sends to a domain, in its shaping file"

    def __init__(self, kumod: Kumod) -> None:
        self._kumod = kumod
        self._locks: dict[Path, asyncio.Lock] = {}

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown nodes, nodes without a shaping file, and anything that is not one domain."""
        found = self._kumod.node_faults(arguments.get("node"))
        targets, node = self._kumod.targets, str(arguments.get("node"))
        if targets is not None and not found and node not in targets.shaping_files:
            found.append(
                f"the shaping file of {node} is not configured; add it to the settings under kumomta shaping_files"
            )
        try:
            if check_scope("domain", str(arguments.get("domain") or "")) == "default":
                found.append("domain is 'default': that would change every domain's rate; name one")
        except ValueError as fault:
            found.append(str(fault))
        if not arguments.get("rate"):
            found.append("no rate: write for example 100/h")
        return found

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Which rate would be set, where."""
        return (
            f"set the sending rate of {arguments.get('domain')} on {arguments.get('node')} to {arguments.get('rate')}"
        )

    async def perform(self, call: Call) -> Outcome:
        """Writes the rate unless another run has, and has kumod read it."""
        faults = self.faults(call.arguments)
        node, path = self._kumod.node(call.arguments.get("node")), self._path(call)
        if faults or path is None or isinstance(node, Unreadable):
            return failed(faults[0] if faults else "no shaping file is configured")
        domain, rate = str(call.arguments["domain"]), str(call.arguments["rate"])
        try:
            async with self._lock(path):
                before = await asyncio.to_thread(_write, path, domain, rate, call.key)
        except (Uneditable, OSError) as fault:
            return failed(f"{path} on {node.name} was not changed: {fault}")
        if before.key and before.key != call.key:
            return failed(
                f"the rate of {domain} on {node.name} is set by another run of ours ({before.key}); left alone"
            )
        prior = before.prior if before.key else before.value
        receipt: dict[str, object] = {"domain": domain, "wrote": rate, "prior": prior, "marker": call.key}
        told = await self._told(node, call)
        was = f", was {prior}" if prior is not None else ""
        return ok(f"{domain} on {node.name} is sent at {rate}{was}; {told}", receipt=receipt)

    async def reconcile(self, call: Call) -> Found:
        """Looks for our sign in the file."""
        path, domain = self._path(call), str(call.arguments.get("domain"))
        if path is None:
            return Found(presence=Presence.UNDECIDED, sentence="no shaping file is configured")
        try:
            now = await asyncio.to_thread(_rate, path, domain)
        except (Uneditable, OSError) as fault:
            return Found(presence=Presence.UNDECIDED, sentence=f"{path}: {fault}")
        if now.key != call.key:
            return Found(presence=Presence.ABSENT, sentence=f"the rate of {domain} does not carry our sign")
        receipt: dict[str, object] = {"domain": domain, "wrote": now.value, "prior": now.prior, "marker": call.key}
        return Found(presence=Presence.PRESENT, sentence=f"{domain} is set to {now.value} by us", receipt=receipt)

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        """Puts the line back as it was, if it still is the one that we wrote."""
        node, path = self._kumod.node(call.arguments.get("node")), self._path(call)
        if isinstance(node, Unreadable) or path is None:
            return UndoOutcome(result=UndoResult.FAILED, sentence="no shaping file is configured")
        domain = str(call.arguments.get("domain"))
        wrote = str(receipt.get("wrote", call.arguments.get("rate")))
        try:
            async with self._lock(path):
                outcome = await asyncio.to_thread(_restore, path, domain, wrote, call.key, receipt.get("prior", ""))
        except (Uneditable, OSError) as fault:
            return UndoOutcome(result=UndoResult.FAILED, sentence=f"{path} on {node.name} was not changed: {fault}")
        if outcome.result is not UndoResult.UNDONE:
            return outcome
        told = await self._told(node, call)
        return UndoOutcome(result=UndoResult.UNDONE, sentence=f"{outcome.sentence} on {node.name}; {told}")

    async def _told(self, node: Node, call: Call) -> str:
        posted = await self._kumod.post(node, BUMP, None, until=deadline(call.timeout))
        if posted.result is Result.OK:
            return "kumod reads it now"
        return f"kumod could not be told, it looks at its files every ten seconds ({posted.sentence})"

    def _path(self, call: Call) -> Path | None:
        targets = self._kumod.targets
        return targets.shaping_files.get(str(call.arguments.get("node"))) if targets else None

    def _lock(self, path: Path) -> asyncio.Lock:
        return self._locks.setdefault(path, asyncio.Lock())


def _rate(path: Path, domain: str) -> Rate:
    return rate_of(read(path).text, domain)


def _write(path: Path, domain: str, rate: str, key: str) -> Rate:
    """Writes the rate unless it carries a sign of ours already; what was there before."""
    reading = read(path)
    before = rate_of(reading.text, domain)
    if not before.key:
        replace(reading, with_rate(reading.text, domain, rate, key))
    return before


def _restore(path: Path, domain: str, wrote: str, key: str, prior: object) -> UndoOutcome:
    reading = read(path)
    now = rate_of(reading.text, domain)
    if now.key == key and now.value == wrote:
        replace(reading, without_ours(reading.text, domain, key))
        return UndoOutcome(result=UndoResult.UNDONE, sentence=f"the rate of {domain} is {_back(path, domain)} again")
    if now.value == prior and not now.key:
        return UndoOutcome(result=UndoResult.GONE, sentence=f"the rate of {domain} is as before, by other hands")
    return UndoOutcome(
        result=UndoResult.FOREIGN, sentence=f"the rate of {domain} is now {now.value}, which is not ours; left alone"
    )


def _back(path: Path, domain: str) -> str:
    value = _rate(path, domain).value
    return value if value is not None else "unlimited by this file"
