"""Moving queued mail or making it due, and having kumod read its configuration again: `rebind`, `bump_config_epoch`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from remediator.actions.defaults import OnNode, WithoutCheck, WithoutUndo
from remediator.actions.http_client import deadline
from remediator.actions.kumomta.client import BUMP, REBIND, Kumod, Unreadable
from remediator.actions.kumomta.selectors import NODE, REASON, SELECTOR_PARAMS, marked, selector_faults, told
from remediator.core.outcomes import EffectClass, Outcome, failed
from remediator.core.params import Json, Param, ParamType
from remediator.ports import Call


class Rebind(WithoutCheck, WithoutUndo, OnNode):
    """Changes the metadata of queued mail, or makes it due. kumod answers before it has done it and keeps no record."""

    kind: ClassVar[str] = "kumomta.rebind"
    effect: ClassVar[EffectClass] = EffectClass.ONCE
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {
        "node": NODE,
        **SELECTOR_PARAMS,
        "data": Param(
            type=ParamType.OBJECT,
            doc="Metadata to set on the messages, such as routing_domain; texts only. Left out: only flush.",
            required=False,
        ),
        "flush": Param(
            type=ParamType.BOOL,
            doc="Whether the messages become due at once. Needed if no data is given.",
            required=False,
            default=False,
        ),
        "reason": REASON,
    }
    summary: ClassVar[str] = "Move the queued mail of a domain, tenant or campaign, or make it due at once"

    def __init__(self, kumod: Kumod) -> None:
        self._kumod = kumod

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown nodes, anything that could mean every queue, and a rebind that would do nothing."""
        found = [*self._kumod.node_faults(arguments.get("node")), *selector_faults(arguments)]
        given = arguments.get("data")
        if given is None or given == {}:
            if arguments.get("flush") is not True:
                found.append("nothing to do: give data, or flush: true")
        elif not isinstance(given, dict) or not all(isinstance(value, str) and value for value in given.values()):
            found.append("data must be an object whose values are texts that are not empty")
        return found

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """What would be changed, where."""
        given = arguments.get("data")
        changes = ", ".join(f"{name} = {value}" for name, value in given.items()) if isinstance(given, dict) else ""
        what = f"set {changes} on" if changes else "make due at once"
        flushed = " and make it due at once" if changes and arguments.get("flush") is True else ""
        return f"{what} the queued mail of {told(arguments)} on {arguments.get('node')}{flushed}"

    async def perform(self, call: Call) -> Outcome:
        """Posts once."""
        aim, faults = self._kumod.aim(call.arguments), self.faults(call.arguments)
        if isinstance(aim, Unreadable) or faults:
            return failed(aim.sentence if isinstance(aim, Unreadable) else faults[0])
        node, selectors = aim
        body = {
            **selectors.body(),
            "reason": marked(call.arguments.get("reason") or REASON.default, call.key),
            "data": call.arguments.get("data") or {},
            "always_flush": call.arguments.get("flush") is True,
        }
        return await self._kumod.post(node, REBIND, body, until=deadline(call.timeout))


class BumpConfigEpoch(WithoutCheck, WithoutUndo, OnNode):
    """Makes kumod evaluate its reloadable configuration again. 200 means that it was told, not that the files are good."""

    kind: ClassVar[str] = "kumomta.bump_config_epoch"
    effect: ClassVar[EffectClass] = EffectClass.SAFE
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {"node": NODE}
    summary: ClassVar[str] = "Have kumod read its reloadable configuration again"

    def __init__(self, kumod: Kumod) -> None:
        self._kumod = kumod

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown nodes."""
        return self._kumod.node_faults(arguments.get("node"))

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Which node would read its configuration."""
        return f"have kumod on {arguments.get('node')} read its configuration again"

    async def perform(self, call: Call) -> Outcome:
        """Posts; doing it twice is harmless."""
        node = self._kumod.node(call.arguments.get("node"))
        if isinstance(node, Unreadable):
            return failed(node.sentence)
        return await self._kumod.post(node, BUMP, None, until=deadline(call.timeout))
