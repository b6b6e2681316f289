"""Limiting the rate at which a node sends, by its shaping file: `kumomta.throttle` and `kumomta.global_rate`.

kumod has no endpoint for it. It looks at its files every ten seconds, and is told to look at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from remediator.actions.defaults import OnNode
from remediator.actions.http_client import deadline
from remediator.actions.kumomta.client import BUMP, Kumod, Unreadable
from remediator.actions.kumomta.selectors import NODE
from remediator.actions.kumomta.shaping_file import (
    ALL,
    OF_ALL,
    OF_DOMAIN,
    Rate,
    Setting,
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


class Throttle(OnNode):
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

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown nodes, nodes without a shaping file, and anything that is not one domain."""
        found = _file_faults(self._kumod, arguments)
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
        return await _set(self._kumod, call, self.faults(call.arguments), _of_domain(call))

    async def reconcile(self, call: Call) -> Found:
        """Looks for our sign in the file."""
        return await _found(self._kumod, call, _of_domain(call))

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        """Puts the line back as it was, if it still is the one that we wrote."""
        return await _unset(self._kumod, call, receipt, _of_domain(call))


class GlobalRate(OnNode):
    """Sets the rate of all mail of a node, in its shaping file's section `default`; a domain's own rate still holds."""

    kind: ClassVar[str] = "kumomta.global_rate"
    effect: ClassVar[EffectClass] = EffectClass.SAFE
    lasting: ClassVar[bool] = True
    params: ClassVar[Mapping[str, Param]] = {
        "node": NODE,
        "rate": Param(
            type=ParamType.RATE,
            doc="Messages per s, min, h or day over all sources and sites, such as 2000/min; nodes that share throttles "
            "in Redis share it.",
        ),
    }
    summary: ClassVar[str] = "Set the rate at which a node sends in all, in its shaping file"

    def __init__(self, kumod: Kumod) -> None:
        self._kumod = kumod

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown nodes and nodes without a shaping file."""
        found = _file_faults(self._kumod, arguments)
        return found if arguments.get("rate") else [*found, "no rate: write for example 2000/min"]

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Which rate would be set, where."""
        return f"set the sending rate of all mail on {arguments.get('node')} to {arguments.get('rate')}"

    async def perform(self, call: Call) -> Outcome:
        """Writes the rate unless another run, or a person, has; and has kumod read it."""
        return await _set(self._kumod, call, self.faults(call.arguments), _ALL_MAIL)

    async def reconcile(self, call: Call) -> Found:
        """Looks for our sign in the file."""
        return await _found(self._kumod, call, _ALL_MAIL)

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        """Puts the line back as it was, if it still is the one that we wrote."""
        return await _unset(self._kumod, call, receipt, _ALL_MAIL)


@dataclass(frozen=True, slots=True, kw_only=True)
class _What:
    """Which rate of a file is meant, and what it is called."""

    section: str
    setting: Setting
    told: str


_ALL_MAIL = _What(section=ALL, setting=OF_ALL, told="all mail")


def _of_domain(call: Call) -> _What:
    domain = str(call.arguments.get("domain"))
    return _What(section=domain, setting=OF_DOMAIN, told=domain)


def _file_faults(kumod: Kumod, arguments: Mapping[str, Json]) -> list[str]:
    found = [*kumod.node_faults(arguments.get("node"))]
    targets, node = kumod.targets, str(arguments.get("node"))
    if targets is not None and not found and node not in targets.shaping_files:
        found.append(
            f"the shaping file of {node} is not configured; add it to the settings under kumomta shaping_files"
        )
    return found


async def _set(kumod: Kumod, call: Call, faults: Sequence[str], what: _What) -> Outcome:
    node, path = kumod.node(call.arguments.get("node")), _path(kumod, call)
    if faults or path is None or isinstance(node, Unreadable):
        return failed(faults[0] if faults else "no shaping file is configured")
    rate = str(call.arguments["rate"])
    try:
        async with kumod.lock(path):
            before = await asyncio.to_thread(_write, path, what, rate, call.key)
    except (Uneditable, OSError) as fault:
        return failed(f"{path} on {node.name} was not changed: {fault}")
    if before.key and before.key != call.key:
        return failed(
            f"the rate of {what.told} on {node.name} is set by another run of ours ({before.key}); left alone"
        )
    prior = before.prior if before.key else before.value
    receipt: dict[str, object] = {"domain": what.section, "wrote": rate, "prior": prior, "marker": call.key}
    was = f", was {prior}" if prior is not None else ""
    sentence = f"{what.told} on {node.name} is sent at {rate}{was}; {await _told(kumod, node, call)}"
    return ok(sentence, receipt=receipt)


async def _found(kumod: Kumod, call: Call, what: _What) -> Found:
    path = _path(kumod, call)
    if path is None:
        return Found(presence=Presence.UNDECIDED, sentence="no shaping file is configured")
    try:
        now = await asyncio.to_thread(_rate, path, what)
    except (Uneditable, OSError) as fault:
        return Found(presence=Presence.UNDECIDED, sentence=f"{path}: {fault}")
    if now.key != call.key:
        return Found(presence=Presence.ABSENT, sentence=f"the rate of {what.told} does not carry our sign")
    receipt: dict[str, object] = {"domain": what.section, "wrote": now.value, "prior": now.prior, "marker": call.key}
    return Found(presence=Presence.PRESENT, sentence=f"{what.told} is set to {now.value} by us", receipt=receipt)


async def _unset(kumod: Kumod, call: Call, receipt: Mapping[str, object], what: _What) -> UndoOutcome:
    node, path = kumod.node(call.arguments.get("node")), _path(kumod, call)
    if isinstance(node, Unreadable) or path is None:
        return UndoOutcome(result=UndoResult.FAILED, sentence="no shaping file is configured")
    wrote = str(receipt.get("wrote", call.arguments.get("rate")))
    try:
        async with kumod.lock(path):
            outcome = await asyncio.to_thread(_restore, path, what, wrote, call.key, receipt.get("prior", ""))
    except (Uneditable, OSError) as fault:
        return UndoOutcome(result=UndoResult.FAILED, sentence=f"{path} on {node.name} was not changed: {fault}")
    if outcome.result is not UndoResult.UNDONE:
        return outcome
    told = await _told(kumod, node, call)
    return UndoOutcome(result=UndoResult.UNDONE, sentence=f"{outcome.sentence} on {node.name}; {told}")


async def _told(kumod: Kumod, node: Node, call: Call) -> str:
    posted = await kumod.post(node, BUMP, None, until=deadline(call.timeout))
    if posted.result is Result.OK:
        return "kumod reads it now"
    return f"kumod could not be told, it looks at its files every ten seconds ({posted.sentence})"


def _path(kumod: Kumod, call: Call) -> Path | None:
    return kumod.targets.shaping_files.get(str(call.arguments.get("node"))) if kumod.targets else None


def _rate(path: Path, what: _What) -> Rate:
    return rate_of(read(path).text, what.section, what.setting)


def _write(path: Path, what: _What, rate: str, key: str) -> Rate:
    """Writes the rate unless it carries a sign of ours already; what was there before."""
    reading = read(path)
    before = rate_of(reading.text, what.section, what.setting)
    if not before.key:
        replace(reading, with_rate(reading.text, what.section, rate, key, what.setting))
    return before


def _restore(path: Path, what: _What, wrote: str, key: str, prior: object) -> UndoOutcome:
    reading = read(path)
    now = rate_of(reading.text, what.section, what.setting)
    if now.key == key and now.value == wrote:
        replace(reading, without_ours(reading.text, what.section, key, what.setting))
        sentence = f"the rate of {what.told} is {_back(path, what)} again"
        return UndoOutcome(result=UndoResult.UNDONE, sentence=sentence)
    if now.value == prior and not now.key:
        return UndoOutcome(result=UndoResult.GONE, sentence=f"the rate of {what.told} is as before, by other hands")
    sentence = f"the rate of {what.told} is now {now.value}, which is not ours; left alone"
    return UndoOutcome(result=UndoResult.FOREIGN, sentence=sentence)


def _back(path: Path, what: _What) -> str:
    value = _rate(path, what).value
    return value if value is not None else "unlimited by this file"
