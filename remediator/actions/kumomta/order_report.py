"""The action `kumomta.order_report`: what is suspended or being bounced on a node, and by whom. It only looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from remediator.actions.defaults import OnNode, WithoutCheck, WithoutUndo
from remediator.actions.http_client import deadline
from remediator.actions.kumomta.client import BOUNCE, SUSPEND, SUSPEND_READY, Entry, Kumod, Unreadable
from remediator.actions.kumomta.selectors import NODE, SELECTORS, owner
from remediator.core.outcomes import EffectClass, Outcome, failed, failed_for_now, ok
from remediator.core.params import Json, Param
from remediator.ports import Call

# The lists that kumod keeps, and what one entry of each is called.
LISTS = {SUSPEND: "suspension", SUSPEND_READY: "suspended ready queue", BOUNCE: "bounce"}
# How many entries of each list are kept.
ROWS = 20
_SHOWN = (*SELECTORS, "routing_domain", "name")


class OrderReport(WithoutCheck, WithoutUndo, OnNode):
    """Keeps every order in force on a node: mail that waits because somebody said so needs no restart."""

    kind: ClassVar[str] = "kumomta.order_report"
    effect: ClassVar[EffectClass] = EffectClass.READ
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {"node": NODE}
    summary: ClassVar[str] = "Note what is suspended or being bounced on a node, and by whom"

    def __init__(self, kumod: Kumod) -> None:
        self._kumod = kumod

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown nodes."""
        return self._kumod.node_faults(arguments.get("node"))

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Whose orders would be noted."""
        return f"note what is suspended or being bounced on {arguments.get('node')}"

    async def perform(self, call: Call) -> Outcome:
        """Reads the three lists; one that cannot be read makes the report a failure, since half of it would mislead."""
        node = self._kumod.node(call.arguments.get("node"))
        if isinstance(node, Unreadable):
            return failed(node.sentence)
        until, rows, counts = deadline(call.timeout), dict[str, list[str]](), list[str]()
        for path, word in LISTS.items():
            entries = await self._kumod.entries(node, path, until=until)
            if isinstance(entries, Unreadable):
                return failed_for_now(entries.sentence)
            rows[word] = [f"{_extent(entry)}, by {owner(entry)}" for entry in entries[:ROWS]]
            if entries:
                counts.append(f"{len(entries)} {word}{'' if len(entries) == 1 else 's'}")
        told = ", ".join(counts) or "nothing is suspended or being bounced"
        first = next((one for found in rows.values() for one in found), "")
        return ok(f"{node.name}: {told}{f'; the first: {first}' if first else ''}", evidence={**rows})


def _extent(entry: Entry) -> str:
    """What an entry is about; kumod's list does not show queue names, so none shown may mean everything."""
    parts = [f"{name} {entry[name]}" for name in _SHOWN if entry.get(name)]
    return ", ".join(parts) or "of unknown extent"
