"""Waves: of many targets one is tried first, and more only where that was seen to help (peers.md §2 row 59, F5, F21).

A run that waits for a person was not seen to help, and nobody can say yet that it did not: its wave grows no more and ends
with the person's decision. Where the playbook says `on_unknown: release` it blocks no others, and counts as one that failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from remediator.core.facts import Facts
from remediator.core.grants import lets_go
from remediator.core.plans import target_text
from remediator.core.state import Grant, RunStatus
from remediator.core.verdicts import Verdict, allow, defer
from remediator.core.waves import Wave, wave_of
from remediator.guards.wording import clock_time

# So many targets are named in a sentence.
NAMED = 3


class WavesGuard:
    """A target that its wave has taken on already widens nothing, and neither does what a person orders by hand."""

    name = "waves"
    summary = "many targets are taken on in waves, each larger than the last and only once that was seen to help"

    def check(self, facts: Facts) -> Verdict:
        """Defers until all of the wave that is full, or in which a remedy did not help, are over."""
        if facts.incident.by and not facts.incident.episodes:
            return allow(self.name, f"ordered by {facts.incident.by}")
        waves = facts.limits.brakes.waves
        wave = wave_of(map(partial(_as_known, facts), facts.grants), waves, facts.moment)
        of = f"a wave of {wave.size}"
        if target_text(facts.run.plan.target) in wave.targets:
            return allow(self.name, f"{of} has taken this target on already")
        if wave.has_room:
            return allow(self.name, f"{of}: {len(wave.members)} taken on before this one")
        after = f"{wave.following(waves)} at once"
        if not wave.going:
            return allow(self.name, f"{_outcome(wave)}, so {after} from here on")
        if wave.failed:
            why = f"{_outcome(wave)}, and the rest of it has to end first; then {after}"
        else:
            why = f"{of} is under way ({_names(wave.going)}); more only once all of it were seen to be well"
        return defer(self.name, f"{why}; {_by_when(facts, wave)}")


def _as_known(facts: Facts, grant: Grant) -> Grant:
    """A run that waits for a person without blocking others has failed for all that is known."""
    if not lets_go(facts.state, grant):
        return grant
    return msgspec.structs.replace(grant, ended=facts.moment, over=facts.state.seq + 1, helped=False)


def _outcome(wave: Wave) -> str:
    of = f"the wave of {wave.size}"
    if wave.failed:
        return f"{of} did not help {_names(wave.failed)}"
    if all(grant.helped for grant in wave.members):
        return f"{of} was seen to help"
    return f"{of} is over, and nobody looked whether it helped"


def _names(grants: Sequence[Grant]) -> str:
    targets = sorted(grant.target for grant in grants)
    more = len(targets) - NAMED
    return "; ".join(targets[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _by_when(facts: Facts, wave: Wave) -> str:
    """When the wave is over at the latest: its runs have time limits, except those that wait for a person."""
    runs = [facts.state.runs.get(grant.run) for grant in wave.going]
    parked = next((run for run in runs if run is not None and run.status is RunStatus.NEEDS_PERSON), None)
    if parked is not None:
        return f"{parked.id} was not seen to help and waits for a person (remediator decide {parked.incident})"
    ends = [run.deadline for run in runs if run is not None and run.deadline is not None]
    return f"clears by {clock_time(max(ends))}" if ends else "clears when they end"
