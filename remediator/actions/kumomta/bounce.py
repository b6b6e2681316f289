"""Bouncing queued mail: `kumomta.bounce`. Nobody can bring that mail back, so it is of class `once`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from remediator.actions.defaults import OnNode, WithoutUndo
from remediator.actions.kumomta.client import BOUNCE, Kumod, Unreadable
from remediator.actions.kumomta.orders import Order, find, place
from remediator.actions.kumomta.selectors import (
    NODE,
    REASON,
    SELECTOR_PARAMS,
    boundless,
    selector_faults,
    told,
)
from remediator.core.durations import format_duration
from remediator.core.outcomes import EffectClass, Found, Outcome, Presence, failed
from remediator.core.params import Json, Param, ParamType
from remediator.ports import Call

# For how long new mail that fits is bounced as well (s): what is given, at least and at most.
USUAL, SHORTEST, LONGEST = 60.0, 1.0, 3600.0


class Bounce(WithoutUndo, OnNode):
    """Bounces the queued mail of a domain, tenant or campaign, and for a short time what newly fits."""

    kind: ClassVar[str] = "kumomta.bounce"
    effect: ClassVar[EffectClass] = EffectClass.ONCE
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {
        "node": NODE,
        **SELECTOR_PARAMS,
        "duration": Param(
            type=ParamType.DURATION,
            doc="For how long new mail that fits is bounced as well: 1s to 1h.",
            required=False,
            default=USUAL,
        ),
        "reason": REASON,
    }
    summary: ClassVar[str] = "Bounce the queued mail of a domain, tenant or campaign; that mail is lost for good"

    def __init__(self, kumod: Kumod) -> None:
        self._kumod = kumod

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown nodes, anything that could mean every queue, and long durations."""
        found = [*self._kumod.node_faults(arguments.get("node")), *selector_faults(arguments)]
        seconds = arguments.get("duration", USUAL)
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not SHORTEST <= seconds <= LONGEST:
            found.append(f"duration is {seconds!r}: a bounce may go on for 1s to 1h")
        return found

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """What would be lost, where."""
        return f"bounce all queued mail of {told(arguments)} on {arguments.get('node')}, which cannot be undone"

    async def perform(self, call: Call) -> Outcome:
        """Lists, posts unless somebody was here before, and looks whether the criteria were understood."""
        order = self._order(call)
        faults = self.faults(call.arguments)
        if isinstance(order, Unreadable) or faults:
            return failed(order.sentence if isinstance(order, Unreadable) else faults[0])
        seconds = call.arguments.get("duration", USUAL)
        assert isinstance(seconds, (int, float))
        return await place(self._kumod, order, call, {"duration": format_duration(float(seconds))})

    async def reconcile(self, call: Call) -> Found:
        """Present if our entry is listed; not listed proves nothing, since entries end and restarts lose them."""
        found = await find(self._kumod, self._order(call), call)
        if found.presence is not Presence.ABSENT:
            return found
        sentence = f"{found.sentence}; it may have ended by itself, so the mail may be bounced or not"
        return Found(presence=Presence.UNDECIDED, sentence=sentence)

    def _order(self, call: Call) -> Order | Unreadable:
        aim = self._kumod.aim(call.arguments)
        if isinstance(aim, Unreadable):
            return aim
        node, selectors = aim
        return Order(
            node=node,
            path=BOUNCE,
            criteria=selectors.body(),
            told=str(selectors),
            verb="being bounced",
            fits=selectors.fit,
            boundless=boundless,
        )
