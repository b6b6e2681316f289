"""Suspending one ready queue, which is one source on its way to one site, so that the pool's other sources take over."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from remediator.actions.defaults import InNodeMemory, OnNode, WithoutCheck, WithoutUndo
from remediator.actions.http_client import deadline
from remediator.actions.kumomta.client import SUSPEND_READY, Kumod, Unreadable
from remediator.actions.kumomta.looks import ready_counts
from remediator.actions.kumomta.orders import Order, clear, find, lift
from remediator.actions.kumomta.selectors import NODE, REASON
from remediator.actions.kumomta.suspend import suspend_until
from remediator.actions.targets import Node
from remediator.core.outcomes import EffectClass, Found, Outcome, Result, UndoOutcome
from remediator.core.params import Json, Param, ParamType
from remediator.ports import Call

# A source, and a site: host names, or the patterns by which kumod names hosts that differ in one part.
_READY_QUEUE = re.compile(r"[A-Za-z0-9_.:-]{1,253}->[A-Za-z0-9_.:()|?\[\]-]{1,1024}@smtp_client")
QUEUE = Param(
    type=ParamType.TEXT,
    doc="The ready queue's exact name, source->site@smtp_client, as it stands in the label `service` of kumod's metrics.",
)


def _queue_faults(arguments: Mapping[str, Json]) -> list[str]:
    queue = arguments.get("queue")
    if isinstance(queue, str) and _READY_QUEUE.fullmatch(queue):
        return []
    return [f"{queue!r} is not the name of a ready queue: write source->site@smtp_client; there are no wildcards"]


def _order(kumod: Kumod, call: Call) -> Order | Unreadable:
    node = kumod.node(call.arguments.get("node"))
    faults = _queue_faults(call.arguments)
    if isinstance(node, Unreadable) or faults:
        return node if isinstance(node, Unreadable) else Unreadable(sentence=faults[0])
    return queue_order(node, str(call.arguments["queue"]))


def queue_order(node: Node, queue: str) -> Order:
    """The suspension of one ready queue on `node`."""
    return Order(
        node=node,
        path=SUSPEND_READY,
        criteria={"name": queue},
        told=queue,
        verb="suspended",
        fits=lambda entry: entry.get("name") == queue,
        boundless=lambda entry: not entry.get("name"),
    )


class SuspendReadyQueue(InNodeMemory):
    """Suspends one ready queue until a given moment."""

    kind: ClassVar[str] = "kumomta.suspend_ready_queue"
    effect: ClassVar[EffectClass] = EffectClass.KEYED
    lasting: ClassVar[bool] = True
    params: ClassVar[Mapping[str, Param]] = {"node": NODE, "queue": QUEUE, "reason": REASON}
    summary: ClassVar[str] = "Stop one source sending to one site, for a time; the pool's other sources take over"

    def __init__(self, kumod: Kumod) -> None:
        self._kumod = kumod

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown nodes and what is not an exact name."""
        return [*self._kumod.node_faults(arguments.get("node")), *_queue_faults(arguments)]

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """What would be suspended, where."""
        return f"suspend the ready queue {arguments.get('queue')} on {arguments.get('node')}"

    async def perform(self, call: Call) -> Outcome:
        """Lists, posts unless somebody was here before, looks whether it is there, and whether such a queue is known."""
        order = _order(self._kumod, call)
        outcome = await suspend_until(self._kumod, order, call)
        if isinstance(order, Unreadable) or outcome.result is not Result.OK:
            return outcome
        counts = await ready_counts(self._kumod, order.node, until=deadline(min(5.0, call.timeout)))
        if isinstance(counts, Unreadable) or order.told in counts:
            return outcome
        warning = f"{outcome.sentence}; kumod's metrics show no such queue at present, it accepts any name"
        return msgspec.structs.replace(outcome, sentence=warning, evidence={"known_queues": sorted(counts)[:20]})

    async def reconcile(self, call: Call) -> Found:
        """Looks for our sign in kumod's list."""
        return await find(self._kumod, _order(self._kumod, call), call)

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        """Removes the entry if it still carries our sign."""
        return await lift(self._kumod, _order(self._kumod, call), call, receipt)


class ResumeReadyQueue(WithoutCheck, WithoutUndo, OnNode):
    """Ends ready-queue suspensions that this service made, whichever run made them."""

    kind: ClassVar[str] = "kumomta.resume_ready_queue"
    effect: ClassVar[EffectClass] = EffectClass.SAFE
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {"node": NODE, "queue": QUEUE}
    summary: ClassVar[str] = "End our own suspension of one ready queue"

    def __init__(self, kumod: Kumod) -> None:
        self._kumod = kumod

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown nodes and what is not an exact name."""
        return [*self._kumod.node_faults(arguments.get("node")), *_queue_faults(arguments)]

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Whose suspension would end, where."""
        return f"end our suspension of the ready queue {arguments.get('queue')} on {arguments.get('node')}"

    async def perform(self, call: Call) -> Outcome:
        """Removes every entry of this name with our sign; leaves all others alone."""
        return await clear(self._kumod, _order(self._kumod, call), call)
