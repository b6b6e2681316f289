"""Suspending scheduled queues for a time, and taking that back: `kumomta.suspend` and `kumomta.unsuspend`.

A suspension is ours if kumod's list shows our sign in its reason. An equal entry of anyone else, an operator or kumod's own
automation, is left alone: posting would replace it. One without criteria is of unknown extent, so nothing is added to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from remediator.actions.defaults import WithoutCheck, WithoutUndo
from remediator.actions.http_client import deadline
from remediator.actions.kumomta.client import SUSPEND, Entry, Kumod, Unreadable
from remediator.actions.kumomta.selectors import (
    NODE,
    REASON,
    SELECTOR_PARAMS,
    Selectors,
    boundless,
    instant,
    is_any_of_ours,
    is_ours,
    marked,
    owner,
    selector_faults,
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
    failed_for_now,
    not_issued,
    ok,
    unknown,
)
from remediator.core.params import Json, Param
from remediator.ports import Call


class Suspend:
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
        return f"suspend the queues of {_told(arguments)} on {arguments.get('node')}"

    async def perform(self, call: Call) -> Outcome:
        """Lists, posts unless somebody was here before, and looks whether it is there."""
        aim = self._kumod.aim(call.arguments)
        if isinstance(aim, Unreadable):
            return failed(aim.sentence)
        node, selectors = aim
        if call.expires_at is None:
            return failed("a suspension needs an end: write undo: { after: ... } at the step")
        if call.expires_at <= call.now:
            return failed("the suspension would be over before it began")
        until = deadline(call.timeout)
        entries = await self._kumod.entries(node, SUSPEND, until=until)
        if isinstance(entries, Unreadable):
            return not_issued(f"{entries.sentence}; nothing was sent")
        settled = _settled(entries, selectors, call, node)
        if settled is not None:
            return settled
        body = {
            **selectors.body(),
            "reason": marked(call.arguments.get("reason", REASON.default), call.key),
            "expires": instant(call.expires_at),
        }
        posted = await self._kumod.post(node, SUSPEND, body, until=until)
        return posted if posted.result is not Result.OK else await self._confirmed(node, selectors, call, until)

    async def _confirmed(self, node: Node, selectors: Selectors, call: Call, until: float) -> Outcome:
        entries = await self._kumod.entries(node, SUSPEND, until=until)
        if isinstance(entries, Unreadable):
            return unknown(f"kumod said yes, but its list could not be read afterwards: {entries.sentence}")
        entry = next((entry for entry in entries if is_ours(entry, call.key)), None)
        if entry is None:
            return unknown(f"kumod on {node.name} said yes, but its list does not show our suspension")
        if selectors.fit(entry):
            return ok(f"suspended {selectors} on {node.name}", receipt=_receipt(entry, selectors, call, node))
        removed = await self._kumod.remove(node, SUSPEND, str(entry["id"]), until=until)
        sentence = f"kumod on {node.name} entered other criteria than {selectors}"
        if removed.result is Result.OK:
            return failed(f"{sentence}; the entry was removed at once")
        return unknown(f"{sentence}, and the entry {entry['id']} could not be removed: {removed.sentence}")

    async def reconcile(self, call: Call) -> Found:
        """Looks for our sign in kumod's list."""
        aim = self._kumod.aim(call.arguments)
        if isinstance(aim, Unreadable):
            return Found(presence=Presence.UNDECIDED, sentence=aim.sentence)
        node, selectors = aim
        entries = await self._kumod.entries(node, SUSPEND, until=deadline(call.timeout))
        if isinstance(entries, Unreadable):
            return Found(presence=Presence.UNDECIDED, sentence=entries.sentence)
        entry = next((entry for entry in entries if is_ours(entry, call.key)), None)
        if entry is None:
            return Found(presence=Presence.ABSENT, sentence=f"{node.name} lists no suspension with our sign")
        return Found(
            presence=Presence.PRESENT,
            sentence=f"{node.name} lists our suspension of {selectors}",
            receipt=_receipt(entry, selectors, call, node),
        )

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        """Removes the entry if it still carries our sign, and makes the mail due at once."""
        aim = self._kumod.aim(call.arguments)
        if isinstance(aim, Unreadable):
            return UndoOutcome(result=UndoResult.FAILED, sentence=aim.sentence)
        node, selectors = aim
        until = deadline(call.timeout)
        entries = await self._kumod.entries(node, SUSPEND, until=until)
        if isinstance(entries, Unreadable):
            return UndoOutcome(result=UndoResult.FAILED, sentence=entries.sentence)
        ours = [entry for entry in entries if is_ours(entry, call.key)]
        other = next((entry for entry in entries if selectors.fit(entry) and not is_ours(entry, call.key)), None)
        if not ours and other is not None:
            return UndoOutcome(
                result=UndoResult.FOREIGN,
                sentence=f"{selectors} on {node.name} is suspended by {owner(other)}; left alone",
            )
        if not ours:
            return await self._ended_by_itself(node, selectors, call, receipt, until)
        for entry in ours:
            removed = await self._kumod.remove(node, SUSPEND, str(entry["id"]), until=until)
            if removed.result is not Result.OK and removed.evidence.get("status") != 404:
                return UndoOutcome(result=_undo_result(removed.result), sentence=removed.sentence)
        flushed = await self._kumod.flush(node, selectors, marked("suspension lifted", call.key), until=until)
        return UndoOutcome(
            result=UndoResult.UNDONE, sentence=f"{selectors} on {node.name} is no longer suspended; {flushed}"
        )

    async def _ended_by_itself(
        self, node: Node, selectors: Selectors, call: Call, receipt: Mapping[str, object], until: float
    ) -> UndoOutcome:
        """Our entry is gone. If its time was over, the rest of the undo is still ours to do: the mail is made due."""
        expires = receipt.get("expires")
        if not isinstance(expires, (int, float)) or call.now < expires:
            return UndoOutcome(
                result=UndoResult.GONE,
                sentence=f"{node.name} lists no suspension of {selectors} now: a person removed it, or a restart lost it",
            )
        flushed = await self._kumod.flush(node, selectors, marked("suspension over", call.key), until=until)
        return UndoOutcome(
            result=UndoResult.GONE,
            sentence=f"the suspension of {selectors} on {node.name} had expired there; {flushed}",
        )


def _settled(entries: Sequence[Entry], selectors: Selectors, call: Call, node: Node) -> Outcome | None:
    """The outcome if nothing must be posted: ours is there already, or somebody else was here first."""
    for entry in entries:
        if is_ours(entry, call.key) and selectors.fit(entry):
            receipt = _receipt(entry, selectors, call, node)
            return ok(f"{selectors} on {node.name} is already suspended by this step", receipt=receipt)
    for entry in entries:
        if selectors.fit(entry):
            sentence = f"{selectors} on {node.name} is already suspended by {owner(entry)}; left alone"
            return failed(sentence, evidence={"entry": dict(entry)})
        if boundless(entry):
            sentence = f"{node.name} has a suspension of unknown extent by {owner(entry)}; nothing was added to it"
            return failed(sentence, evidence={"entry": dict(entry)})
    return None


def _receipt(entry: Entry, selectors: Selectors, call: Call, node: Node) -> dict[str, object]:
    receipt: dict[str, object] = {
        "id": str(entry["id"]),
        "node": node.name,
        "criteria": selectors.body(),
        "marker": call.key,
    }
    return receipt if call.expires_at is None else {**receipt, "expires": call.expires_at}


def _told(arguments: Mapping[str, Json]) -> str:
    try:
        return str(Selectors.of(arguments))
    except ValueError:
        return "nothing"


def _undo_result(result: Result) -> UndoResult:
    return UndoResult.UNKNOWN if result is Result.UNKNOWN else UndoResult.FAILED


class Unsuspend(WithoutCheck, WithoutUndo):
    """Ends suspensions that this service made, whichever run made them."""

    kind: ClassVar[str] = "kumomta.unsuspend"
    effect: ClassVar[EffectClass] = EffectClass.SAFE
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {"node": NODE, **SELECTOR_PARAMS, "reason": REASON}
    summary: ClassVar[str] = "End our own suspension of a domain, tenant or campaign, and make its mail due at once"

    def __init__(self, kumod: Kumod) -> None:
        self._kumod = kumod

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown nodes and missing selectors."""
        return [*self._kumod.node_faults(arguments.get("node")), *selector_faults(arguments)]

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Whose suspension would end, where."""
        return f"end our suspension of {_told(arguments)} on {arguments.get('node')}"

    async def perform(self, call: Call) -> Outcome:
        """Removes every entry with these criteria and our sign; leaves all others alone."""
        aim = self._kumod.aim(call.arguments)
        if isinstance(aim, Unreadable):
            return failed(aim.sentence)
        node, selectors = aim
        until = deadline(call.timeout)
        entries = await self._kumod.entries(node, SUSPEND, until=until)
        if isinstance(entries, Unreadable):
            return not_issued(f"{entries.sentence}; nothing was sent")
        fitting = [entry for entry in entries if selectors.fit(entry)]
        foreign = next((entry for entry in fitting if not is_any_of_ours(entry)), None)
        if foreign is not None:
            return failed(f"{selectors} on {node.name} is suspended by {owner(foreign)}; left alone")
        if not fitting:
            return ok(f"{node.name} lists no suspension of {selectors}")
        for entry in fitting:
            removed = await self._kumod.remove(node, SUSPEND, str(entry["id"]), until=until)
            if removed.result is not Result.OK and removed.evidence.get("status") != 404:
                return removed if removed.result is not Result.FAILED else failed_for_now(removed.sentence)
        flushed = await self._kumod.flush(node, selectors, marked("suspension lifted", call.key), until=until)
        return ok(f"{selectors} on {node.name} is no longer suspended; {flushed}")
