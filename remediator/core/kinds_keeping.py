"""The kinds of journal entries about keeping and forgetting: of what the state forgets, and of what is deleted."""

from __future__ import annotations

from remediator.core.kinds import Fact


class StateSwept(Fact, frozen=True, kw_only=True, tag="state.swept"):
    """What nobody will ask for again is forgotten: firings that were resolved before `before` or lapsed before
    `lapsed_before`, escalations before `escalated_before`, and places in limiters whose longest window has passed.

    A firing that is not known and began before a forgotten one ended is `stale` from here on: a late copy.
    """

    before: float
    lapsed_before: float
    escalated_before: float


class JournalPruned(Fact, frozen=True, kw_only=True, tag="journal.pruned"):
    """The `count` entries up to and with entry `seq` are deleted; `mac` (hex) is that entry's, so the chain goes on from it.

    It is on record before it is done. `archive` names the file that the deleted entries were written to, if any.
    """

    seq: int
    mac: str
    count: int
    archive: str = ""
