"""Rules that start by a schedule: their occurrences become incidents when their time has come, once over all replicas.

Every replica looks, and none is in charge: what is due is decided from the newest state inside the lane, so of two that
look at once the second finds the occurrence decided. No timer is trusted: the clock is looked at again every
`LOOK_EVERY` seconds, so that one that was set is noticed.
"""

from __future__ import annotations

from collections.abc import Sequence

from remediator.core import entries as e
from remediator.core.occurrences import follow, next_due, refused, scheduled_rules
from remediator.core.state import Moment, State
from remediator.engine.parts import Parts
from remediator.errors import IllegalEntry, RefusedRecord, StoreError

BELL = "schedules"
LOOK_EVERY = 30.0
# How soon a store that could not commit is asked again (s).
STORE_AGAIN = 1.0


class Scheduling:
    """Starts what is due."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def watch(self) -> None:
        """Watches, for ever."""
        while not self._parts.stopping:
            try:
                await self._round()
            except StoreError:
                await self._parts.clock.sleep(STORE_AGAIN)
                continue
            await self._parts.rest(BELL, self._until_next())

    def _until_next(self) -> float:
        ruleset = self._parts.config.ruleset
        if not scheduled_rules(ruleset):
            return 3600.0
        now = self._parts.clock.now()
        due = next_due(ruleset, now)
        return LOOK_EVERY if due is None else min(LOOK_EVERY, max(0.05, due - now))

    async def _round(self) -> None:
        journal = self._parts.journal
        for rule, _schedule in scheduled_rules(self._parts.config.ruleset):
            if self._due(rule.name, journal.state, journal.moment()):
                await self._start(rule.name)

    async def _start(self, name: str) -> None:
        journal = self._parts.journal
        try:
            await journal.commit(lambda state, moment: self._due(name, state, moment))
        except (IllegalEntry, RefusedRecord) as fault:
            reason = f"it could not be put on record: {fault}"
            await journal.commit(lambda state, moment: self._put_aside(name, state, moment, reason))

    def _due(self, name: str, state: State, moment: Moment) -> Sequence[e.AnyFact]:
        return () if self._parts.stopping else follow(self._parts.planner, state, name, moment.at)

    def _put_aside(self, name: str, state: State, moment: Moment, reason: str) -> Sequence[e.AnyFact]:
        """What the store refuses to take (an incident of that very occurrence is on record) must not be tried for ever."""
        told = (fact for fact in self._due(name, state, moment) if isinstance(fact, e.ScheduleDue))
        return [refused(one, reason) for one in told]
