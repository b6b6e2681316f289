"""Placing an order with kumod, finding it again and taking it back: what all suspensions and bounces have in common.

An order is ours if kumod's list shows our sign in its reason. An equal one of anyone else, an operator or kumod's own
automation, is left alone: posting would replace it, with a new id. One without criteria is of unknown extent, so nothing
is added to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from remediator.actions.http_client import deadline
from remediator.actions.kumomta.client import BOUNCE, Entry, Kumod, Unreadable
from remediator.actions.kumomta.selectors import Selectors, is_any_of_ours, is_ours, marked, owner
from remediator.actions.targets import Node
from remediator.core.outcomes import (
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
from remediator.ports import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is wanted: on which node, by which endpoint, with which criteria.

    `fits` tells an entry of the list with exactly these criteria, `boundless` one that shows none. `flush` are the queues
    whose mail is made due when the order ends.
    """

    node: Node
    path: str
    criteria: Mapping[str, object]
    told: str
    verb: str
    fits: Callable[[Entry], bool]
    boundless: Callable[[Entry], bool]
    flush: Selectors | None = None


async def place(kumod: Kumod, order: Order, call: Call, end: Mapping[str, object]) -> Outcome:
    """Lists, posts unless somebody was here before, and looks whether it is there. `end` says how the order ends."""
    until = deadline(call.timeout)
    entries = await kumod.entries(order.node, order.path, until=until)
    if isinstance(entries, Unreadable):
        return not_issued(f"{entries.sentence}; nothing was sent")
    settled = _settled(entries, order, call)
    if settled is not None:
        return settled
    body = {**order.criteria, "reason": marked(call.arguments.get("reason") or "automatic", call.key), **end}
    posted = await kumod.post(order.node, order.path, body, until=until)
    return posted if posted.result is not Result.OK else await _confirmed(kumod, order, call, until)


def _settled(entries: Sequence[Entry], order: Order, call: Call) -> Outcome | None:
    """The outcome if nothing must be posted: ours is there already, or somebody else was here first."""
    where = order.node.name
    for entry in entries:
        if is_ours(entry, call.key) and order.fits(entry):
            return ok(
                f"{order.told} on {where} is already {order.verb} by this step", receipt=_receipt(entry, order, call)
            )
    for entry in entries:
        if order.fits(entry):
            sentence = f"{order.told} on {where} is already {order.verb} by {owner(entry)}; left alone"
            return failed(sentence, evidence={"entry": dict(entry)})
        if order.boundless(entry):
            sentence = f"{where} has an order of unknown extent by {owner(entry)}; nothing was added to it"
            return failed(sentence, evidence={"entry": dict(entry)})
    return None


async def _confirmed(kumod: Kumod, order: Order, call: Call, until: float) -> Outcome:
    where = order.node.name
    entries = await kumod.entries(order.node, order.path, until=until)
    if isinstance(entries, Unreadable):
        return unknown(f"kumod said yes, but its list could not be read afterwards: {entries.sentence}")
    entry = next((entry for entry in entries if is_ours(entry, call.key)), None)
    if entry is None:
        return unknown(f"kumod on {where} said yes, but its list does not show our order")
    if order.fits(entry):
        return ok(f"{order.told} on {where} is {order.verb}", receipt=_receipt(entry, order, call))
    removed = await kumod.remove(order.node, order.path, str(entry["id"]), until=until)
    sentence = f"kumod on {where} entered other criteria than {order.told}"
    if removed.result is not Result.OK:
        return unknown(f"{sentence}, and the entry {entry['id']} could not be removed: {removed.sentence}")
    if order.path == BOUNCE:
        return unknown(f"{sentence}; the entry was removed at once, but mail of others may have been bounced")
    return failed(f"{sentence}; the entry was removed at once")


async def find(kumod: Kumod, order: Order | Unreadable, call: Call) -> Found:
    """Looks for our sign in kumod's list."""
    if isinstance(order, Unreadable):
        return Found(presence=Presence.UNDECIDED, sentence=order.sentence)
    entries = await kumod.entries(order.node, order.path, until=deadline(call.timeout))
    if isinstance(entries, Unreadable):
        return Found(presence=Presence.UNDECIDED, sentence=entries.sentence)
    entry = next((entry for entry in entries if is_ours(entry, call.key)), None)
    if entry is None:
        return Found(presence=Presence.ABSENT, sentence=f"{order.node.name} lists no order with our sign")
    return Found(
        presence=Presence.PRESENT,
        sentence=f"{order.node.name} lists our order: {order.told} is {order.verb}",
        receipt=_receipt(entry, order, call),
    )


async def lift(kumod: Kumod, order: Order | Unreadable, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
    """Removes the entry if it still carries our sign, and makes the mail due at once."""
    if isinstance(order, Unreadable):
        return UndoOutcome(result=UndoResult.FAILED, sentence=order.sentence)
    until = deadline(call.timeout)
    where = order.node.name
    entries = await kumod.entries(order.node, order.path, until=until)
    if isinstance(entries, Unreadable):
        return UndoOutcome(result=UndoResult.FAILED, sentence=entries.sentence)
    ours = [entry for entry in entries if is_ours(entry, call.key)]
    other = next((entry for entry in entries if order.fits(entry) and not is_ours(entry, call.key)), None)
    if not ours and other is not None:
        sentence = f"{order.told} on {where} is {order.verb} by {owner(other)}; left alone"
        return UndoOutcome(result=UndoResult.FOREIGN, sentence=sentence)
    if not ours:
        return await _ended_by_itself(kumod, order, call, receipt, until)
    for entry in ours:
        removed = await kumod.remove(order.node, order.path, str(entry["id"]), until=until)
        if not gone(removed):
            result = UndoResult.UNKNOWN if removed.result is Result.UNKNOWN else UndoResult.FAILED
            return UndoOutcome(result=result, sentence=removed.sentence)
    told = await _flushed(kumod, order, call, until)
    return UndoOutcome(result=UndoResult.UNDONE, sentence=f"{order.told} on {where} is no longer {order.verb}{told}")


async def _ended_by_itself(
    kumod: Kumod, order: Order, call: Call, receipt: Mapping[str, object], until: float
) -> UndoOutcome:
    """Our entry is gone. If its time was over, the rest of the undo is still ours to do: the mail is made due."""
    where, expires = order.node.name, receipt.get("expires")
    if not isinstance(expires, (int, float)) or call.now < expires:
        sentence = f"{where} does not list our order for {order.told}: a person removed it, or a restart lost it"
        return UndoOutcome(result=UndoResult.GONE, sentence=sentence)
    told = await _flushed(kumod, order, call, until)
    return UndoOutcome(
        result=UndoResult.GONE, sentence=f"our order for {order.told} on {where} had expired there{told}"
    )


async def clear(kumod: Kumod, order: Order | Unreadable, call: Call) -> Outcome:
    """Removes every entry with these criteria and our sign, of whatever run; leaves all others alone."""
    if isinstance(order, Unreadable):
        return failed(order.sentence)
    until = deadline(call.timeout)
    where = order.node.name
    entries = await kumod.entries(order.node, order.path, until=until)
    if isinstance(entries, Unreadable):
        return not_issued(f"{entries.sentence}; nothing was sent")
    fitting = [entry for entry in entries if order.fits(entry)]
    foreign = next((entry for entry in fitting if not is_any_of_ours(entry)), None)
    if foreign is not None:
        return failed(f"{order.told} on {where} is {order.verb} by {owner(foreign)}; left alone")
    if not fitting:
        return ok(f"{where} lists no order for {order.told}")
    for entry in fitting:
        removed = await kumod.remove(order.node, order.path, str(entry["id"]), until=until)
        if not gone(removed):
            return removed if removed.result is not Result.FAILED else failed_for_now(removed.sentence)
    return ok(f"{order.told} on {where} is no longer {order.verb}{await _flushed(kumod, order, call, until)}")


def gone(removed: Outcome) -> bool:
    """Whether an entry that was to be removed is not there any more, by whichever hand."""
    return removed.result is Result.OK or removed.evidence.get("status") == 404


async def _flushed(kumod: Kumod, order: Order, call: Call, until: float) -> str:
    if order.flush is None:
        return ""
    return "; " + await kumod.flush(order.node, order.flush, marked("the suspension is over", call.key), until=until)


def _receipt(entry: Entry, order: Order, call: Call) -> dict[str, object]:
    receipt: dict[str, object] = {
        "id": str(entry["id"]),
        "node": order.node.name,
        "criteria": dict(order.criteria),
        "marker": call.key,
    }
    return receipt if call.expires_at is None else {**receipt, "expires": call.expires_at}
