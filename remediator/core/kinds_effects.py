"""The kinds of entries about effects that other hands than an undo's ended. See `kinds` for what all share."""

from __future__ import annotations

from remediator.core.kinds import Fact


class EffectLost(Fact, frozen=True, kw_only=True, tag="effect.lost"):
    """A temporary effect lived in the memory of `place`, and step `by_step` of `by_run` has emptied that.

    `incident`, `run` and `step` made the effect; `again` is the incident that makes it again, empty where none does.
    """

    incident: str
    run: str
    step: int
    place: str
    by_run: str
    by_step: int
    again: str = ""
    reason: str = ""
