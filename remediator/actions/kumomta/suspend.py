"""Suspending scheduled queues for a time, and taking that back: `kumomta.suspend` and `kumomta.unsuspend`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from remediator.actions.defaults import InNodeMemory, OnNode, WithoutCheck, WithoutUndo
from remediator.actions.kumomta.client import SUSPEND, Kumod, Unreadable
from remediator.actions.kumomta.orders import Order, clear, find, lift, place
from remediator.actions.kumomta.selectors import (
    NODE,
    REASON,
    SELECTOR_PARAMS,
    boundless,
    instant,
    selector_faults,
    told,
)
from remediator.core.outcomes import EffectClass, Found, Outcome, UndoOutcome, failed
from remediator.core.params import Json, Param
from remediator.ports import Call


def _order(kumod: Kumod, call: Call) -> Order | Unreadable:
    aim = kumod.aim(call.arguments)
    if isinstance(aim, Unreadable):
        return aim
    node, selectors = aim
    return Order(
        node=node,
        path=SUSPEND,
        criteria=selectors.body(),
        told=str(selectors),
        verb="suspended",
        fits=selectors.fit,
        boundless=boundless,
        flush=selectors,
    )


async def suspend_until(kumod: Kumod, order: Order | Unreadable, call: Call) -> Outcome:
    """Places a suspension that ends by itself, at kumod too; one without an end, or whose end is over, is not made."""
    if isinstance(order, Unreadable):
        return failed(order.sentence)
    if call.expires_at is None:
        return failed("a suspension needs an end: write undo: { after: ... } at the step")
    if call.expires_at <= call.now:
        return failed("the suspension would be over before it began")
    return await place(kumod, order, call, {"expires": instant(call.expires_at)})


class Suspend(InNodeMemory):
    """Suspends the scheduled queues of a domain, tenant or campaign until a given moment."""

    kind: ClassVar[str] = "kumomta.suspend"
    effect: ClassVar[EffectClass] = EffectClass.KEYED
    lasting: ClassVar[bool] = True
    params: ClassVar[Mapping[str, Param]] = {"node": NODE, **SELECTOR_PARAMS, "reason": REASON}
    summary: ClassVar[str] = "Stop sending for a domain, tenant or campaign on one node, for a time; mail is kept"

    def __init__(self, kumod: Kumod) -> None:
        self._kumod = kumod

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown nodes and anything that could mean every queue."""
        return [*self._kumod.node_faults(arguments.get("node")), *selector_faults(arguments)]

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """What would be suspended, where."""
        return f"suspend the queues of {told(arguments)} on {arguments.get('node')}"

    async def perform(self, call: Call) -> Outcome:
        """Lists, posts unless somebody was here before, and looks whether it is there."""
        return await suspend_until(self._kumod, _order(self._kumod, call), call)

    async def reconcile(self, call: Call) -> Found:
        """Looks for our sign in kumod's list."""
        return await find(self._kumod, _order(self._kumod, call), call)

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        """Removes the entry if it still carries our sign, and makes the mail due at once."""
        return await lift(self._kumod, _order(self._kumod, call), call, receipt)


class Unsuspend(WithoutCheck, WithoutUndo, OnNode):
    """Ends suspensions that this service made, whichever run made them."""

    kind: ClassVar[str] = "kumomta.unsuspend"
    effect: ClassVar[EffectClass] = EffectClass.SAFE
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {"node": NODE, **SELECTOR_PARAMS}
    summary: ClassVar[str] = "End our own suspension of a domain, tenant or campaign, and make its mail due at once"

    def __init__(self, kumod: Kumod) -> None:
        self._kumod = kumod

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown nodes and missing selectors."""
        return [*self._kumod.node_faults(arguments.get("node")), *selector_faults(arguments)]

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Whose suspension would end, where."""
        return f"end our suspension of {told(arguments)} on {arguments.get('node')}"

    async def perform(self, call: Call) -> Outcome:
        """Removes every entry with these criteria and our sign; leaves all others alone."""
        return await clear(self._kumod, _order(self._kumod, call), call)
