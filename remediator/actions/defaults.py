"""What most actions answer when there is nothing to ask and nothing to take back, and where they act. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from remediator.core.outcomes import Found, Presence, UndoOutcome, UndoResult
from remediator.core.params import Json
from remediator.ports import Call


class OnNode:
    """For actions that touch one kumod, the one that the argument `node` names."""

    def places(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """That node."""
        return (node_place(str(arguments.get("node"))),)


class InNodeMemory(OnNode):
    """For actions whose lasting effect lives in the memory of the kumod that `node` names, and is lost by its restart."""

    def kept_in(self, arguments: Mapping[str, Json]) -> str:
        """That node."""
        return node_place(str(arguments.get("node")))


def node_place(name: str) -> str:
    """A kumod as a place."""
    return f"node {name}"


class WithoutCheck:
    """For actions whose target cannot be asked about an earlier attempt."""

    async def reconcile(self, call: Call) -> Found:
        """Undecided: only a person can know."""
        return Found(
            presence=Presence.UNDECIDED,
            sentence=f"the target keeps no record of {call.key}, so it cannot be asked whether it was carried out",
        )


class WithoutUndo:
    """For actions that leave nothing behind that could be taken back."""

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        """Nothing is there."""
        del receipt
        return UndoOutcome(result=UndoResult.GONE, sentence=f"there is nothing to take back of {call.key}")
