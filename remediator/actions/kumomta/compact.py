"""The action `kumomta.compact_spool`: has kumod compact one of its RocksDB spools. Only builds after 2026.06.23 have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from remediator.actions.defaults import OnNode, WithoutCheck, WithoutUndo
from remediator.actions.http_client import deadline
from remediator.actions.kumomta.client import COMPACT, Kumod, Unreadable
from remediator.actions.kumomta.selectors import NODE
from remediator.core.outcomes import EffectClass, Outcome, Result, failed, ok
from remediator.core.params import Json, Param, ParamType
from remediator.ports import Call

SPOOLS = ("data", "meta")


class CompactSpool(WithoutCheck, WithoutUndo, OnNode):
    """Compacts a whole spool while kumod goes on: much disk traffic, and room on the disk for a while, but no lost mail."""

    kind: ClassVar[str] = "kumomta.compact_spool"
    effect: ClassVar[EffectClass] = EffectClass.SAFE
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {
        "node": NODE,
        "spool": Param(
            type=ParamType.TEXT,
            doc="data or meta. kumod answers only when it is done, so give the step a long timeout.",
            choices=SPOOLS,
        ),
    }
    summary: ClassVar[str] = "Have kumod compact one of its spools"

    def __init__(self, kumod: Kumod) -> None:
        self._kumod = kumod

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown nodes and spools."""
        found = [*self._kumod.node_faults(arguments.get("node"))]
        if arguments.get("spool") not in SPOOLS:
            found.append(f"spool is {arguments.get('spool')!r}: expected one of {', '.join(SPOOLS)}")
        return found

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Which spool, where."""
        return f"compact the {arguments.get('spool')} spool of kumod on {arguments.get('node')}"

    async def perform(self, call: Call) -> Outcome:
        """Asks for it and waits; a kumod that does not know it is asked for nothing."""
        faults, node = self.faults(call.arguments), self._kumod.node(call.arguments.get("node"))
        if faults or isinstance(node, Unreadable):
            return failed(faults[0] if faults else "no kumod is configured")
        spool = str(call.arguments["spool"])
        posted = await self._kumod.post(node, COMPACT, {"name": spool}, until=deadline(call.timeout))
        return ok(f"the {spool} spool of {node.name} is compacted") if posted.result is Result.OK else posted
