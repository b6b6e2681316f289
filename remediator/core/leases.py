"""Who is at work on what, where several replicas share one journal. Pure.

Every piece of open work has a *holder*, the boot of the process that may go on with it: a notification belongs to the one
that accepted it, a run and its undos to the one that planned it, a message to the one that wrote it. Nothing is appended
for that; the envelope of an entry says who wrote it. A holder that is gone loses everything at once, by one entry
`lease.taken` of whoever appends it first, and a process that stops cleanly leaves its work to anybody.

Two rights are not mixed up (reliability.md §3.1): going on with work needs to be its holder, at the moment of the append;
telling what came of an attempt needs only to have made it. No safety depends on who is believed to be alive: a holder that
was only slow finds out at its next append, and what it has issued until then is on record as an intent.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from remediator.core.kinds_service import LeaseTaken
from remediator.core.state import Map, State
from remediator.errors import IllegalEntry

# How often a replica says that it is there (s).
BEAT_EVERY = 10.0
# After so long without a word of it, a holder counts as gone (s).
GONE_AFTER = 30.0
# A replica that could not say so for this long issues nothing any more (s): well before others take its work.
SILENT_AFTER = 15.0
# How late the event loop may be (s) before its process announces nothing new: it could not keep deadlines (T47).
MOST_LAG = 2.0
# The holder of what was left by a clean stop.
NOBODY = ""

V = TypeVar("V")
replace = msgspec.structs.replace


def holders(state: State) -> frozenset[str]:
    """Everybody who holds something, NOBODY included where a clean stop left something."""
    held = {one.holder for kept in (state.pending, state.runs, state.undos, state.outbox) for one in kept.values()}
    return frozenset(held | {undo.at_work for undo in state.undos.values() if undo.at_work})


def taken(state: State, fact: LeaseTaken, boot: str) -> State:
    """The state after `boot` took what those named in `fact` held; IllegalEntry if others have taken in between."""
    if fact.epoch != state.epoch + 1:
        raise IllegalEntry(f"lease {fact.epoch} cannot follow lease {state.epoch}")
    return replace(_handed_over(state, frozenset(fact.holders), boot), epoch=fact.epoch)


def left(state: State, boot: str) -> State:
    """The state after `boot` has stopped: what it held is anybody's."""
    return _handed_over(state, frozenset({boot}), NOBODY)


def _handed_over(state: State, old: frozenset[str], new: str) -> State:
    undos = _moved(state.undos, old, new)
    for name, undo in undos.items():
        if undo.at_work in old:
            undos = undos.set(name, replace(undo, at_work=""))
    return replace(
        state,
        pending=_moved(state.pending, old, new),
        runs=_moved(state.runs, old, new),
        undos=undos,
        outbox=_moved(state.outbox, old, new),
    )


def _moved(kept: Map[Any, Any], old: frozenset[str], new: str) -> Map[Any, Any]:
    for name, one in kept.items():
        if one.holder in old:
            kept = kept.set(name, replace(one, holder=new))
    return kept
