"""The action `kumomta.suspend_source`: a whole egress source stops sending, wherever another one can take over.

kumod has no IP rotation. It has pools: a suspended ready queue sends its mail back, and the pool's other sources take it.
Where a site has no other source its mail would only stop, so such a site is left alone and named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from remediator.actions.defaults import node_place
from remediator.actions.http_client import deadline
from remediator.actions.kumomta.client import SUSPEND_READY, Entry, Kumod, Unreadable
from remediator.actions.kumomta.looks import METRICS, by_label
from remediator.actions.kumomta.orders import gone, lift
from remediator.actions.kumomta.ready_queue import queue_order
from remediator.actions.kumomta.selectors import MARK, REASON
from remediator.actions.kumomta.suspend import suspend_until
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
    failed_for_now,
    not_issued,
    ok,
    unknown,
)
from remediator.core.params import Json, Param, ParamType
from remediator.ports import Call

# More ready queues than this are not one source's trouble any more.
MOST = 100
_CLIENT = "smtp_client:"


class SuspendSource:
    """Suspends every ready queue of one source whose site another source has served too, until a given moment."""

    kind: ClassVar[str] = "kumomta.suspend_source"
    effect: ClassVar[EffectClass] = EffectClass.KEYED
    lasting: ClassVar[bool] = True
    params: ClassVar[Mapping[str, Param]] = {
        "ip": Param(type=ParamType.IP, doc="The address that sends; the settings say which node and source have it."),
        "reason": REASON,
    }
    summary: ClassVar[str] = "Stop one sending address, for a time, wherever its pool has another that takes over"

    def __init__(self, kumod: Kumod) -> None:
        self._kumod = kumod

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses addresses of which the settings know no source."""
        ip = arguments.get("ip")
        if not isinstance(ip, str) or not ip:
            return ["no address"]
        found = self._kumod.source(ip) if self._kumod.targets is not None else None
        return [found.sentence] if isinstance(found, Unreadable) else []

    def places(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """The node that sends from there."""
        found = self._kumod.source(arguments.get("ip"))
        return () if isinstance(found, Unreadable) else (node_place(found[0].name),)

    def kept_in(self, arguments: Mapping[str, Json]) -> str:
        """That node's memory."""
        return next(iter(self.places(arguments)), "")

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Whose mail other sources would take over."""
        return f"suspend the ready queues of the source that sends from {arguments.get('ip')}, where another takes over"

    async def perform(self, call: Call) -> Outcome:
        """Finds the queues, then suspends them one by one; if one cannot be, those before it are taken back."""
        aim = self._kumod.source(call.arguments.get("ip"))
        if isinstance(aim, Unreadable):
            return failed(aim.sentence)
        node, source = aim
        queues = await self._queues(node, source, deadline(call.timeout))
        if isinstance(queues, Unreadable):
            return not_issued(f"{queues.sentence}; nothing was sent")
        mine, alone = queues
        if not mine or len(mine) > MOST:
            # A kumod that has just come up shows a queue only once mail has moved through it: that may pass.
            because = failed if mine else failed_for_now
            return because(f"{source} on {node.name} was not suspended: {_unfit(mine, alone)}")
        for place, queue in enumerate(mine):
            outcome = await suspend_until(self._kumod, queue_order(node, queue), _signed(call, queue))
            if outcome.result is not Result.OK:
                return await self._taken_back(node, mine[:place], call, outcome)
        left = f"; left alone, since no other source sends there: {', '.join(alone[:5])}" if alone else ""
        receipt: dict[str, object] = {"node": node.name, "source": source, "queues": mine, "marker": call.key}
        return ok(f"{len(mine)} ready queues of {source} on {node.name} are suspended{left}", receipt=receipt)

    async def _queues(self, node: Node, source: str, until: float) -> tuple[list[str], list[str]] | Unreadable:
        """The source's ready queues at present: those whose site another source has served, and the others."""
        metrics = await self._kumod.document(node, METRICS, until=until, what="the metrics")
        if isinstance(metrics, Unreadable):
            return metrics
        waiting = by_label(metrics, "ready_count", "service")
        served = {*waiting, *by_label(metrics, "total_messages_delivered", "service")}
        pairs = [
            name.removeprefix(_CLIENT).split("->", 1) for name in served if name.startswith(_CLIENT) and "->" in name
        ]
        others = {site for by, site in pairs if by != source}
        queues = sorted(name.removeprefix(_CLIENT) for name in waiting if name.startswith(f"{_CLIENT}{source}->"))
        return (
            [queue for queue in queues if queue.split("->", 1)[1] in others],
            [queue for queue in queues if queue.split("->", 1)[1] not in others],
        )

    async def _taken_back(self, node: Node, done: Sequence[str], call: Call, outcome: Outcome) -> Outcome:
        for queue in done:
            lifted = await lift(self._kumod, queue_order(node, queue), _signed(call, queue), {})
            if lifted.result not in {UndoResult.UNDONE, UndoResult.GONE}:
                return unknown(f"{outcome.sentence}; and {queue} could not be taken back: {lifted.sentence}")
        told = f"; the {len(done)} before it were taken back" if done else ""
        return outcome if not done or outcome.result is Result.UNKNOWN else failed(f"{outcome.sentence}{told}")

    async def reconcile(self, call: Call) -> Found:
        """Looks for our sign in kumod's list."""
        found = await self._ours(call)
        if isinstance(found, Unreadable):
            return Found(presence=Presence.UNDECIDED, sentence=found.sentence)
        node, entries = found
        if not entries:
            return Found(presence=Presence.ABSENT, sentence=f"{node.name} lists no order with our sign")
        queues = sorted(str(entry.get("name")) for entry in entries)
        receipt: dict[str, object] = {"node": node.name, "queues": queues, "marker": call.key}
        sentence = f"{node.name} lists {len(queues)} ready queues that carry our sign"
        return Found(presence=Presence.PRESENT, sentence=sentence, receipt=receipt)

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        """Removes every entry that carries our sign; mail flows again with the next attempt."""
        del receipt
        found = await self._ours(call)
        if isinstance(found, Unreadable):
            return UndoOutcome(result=UndoResult.FAILED, sentence=found.sentence)
        node, entries = found
        if not entries:
            return UndoOutcome(result=UndoResult.GONE, sentence=f"{node.name} lists no order of this step any more")
        until = deadline(call.timeout)
        for entry in entries:
            removed = await self._kumod.remove(node, SUSPEND_READY, str(entry["id"]), until=until)
            if not gone(removed):
                result = UndoResult.UNKNOWN if removed.result is Result.UNKNOWN else UndoResult.FAILED
                return UndoOutcome(result=result, sentence=removed.sentence)
        return UndoOutcome(
            result=UndoResult.UNDONE, sentence=f"{len(entries)} ready queues of {node.name} are no longer suspended"
        )

    async def _ours(self, call: Call) -> tuple[Node, list[Entry]] | Unreadable:
        aim = self._kumod.source(call.arguments.get("ip"))
        if isinstance(aim, Unreadable):
            return aim
        entries = await self._kumod.entries(aim[0], SUSPEND_READY, until=deadline(call.timeout))
        if isinstance(entries, Unreadable):
            return entries
        return aim[0], [entry for entry in entries if str(entry.get("reason", "")).startswith(f"{MARK}{call.key}#")]


def _unfit(mine: Sequence[str], alone: Sequence[str]) -> str:
    if mine:
        return f"it has {len(mine)} ready queues, and more than {MOST} are a person's decision"
    if alone:
        return (
            f"no other source sends to {', '.join(queue.split('->', 1)[1] for queue in alone[:5])}, so mail would stop"
        )
    return "kumod's metrics show no ready queue of it at present"


def _signed(call: Call, queue: str) -> Call:
    """The call for one of the queues: each entry has a sign of its own, so that it can be told from the others."""
    return replace(call, key=f"{call.key}#{hashlib.sha256(queue.encode()).hexdigest()[:10]}")
