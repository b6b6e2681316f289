"""The undo clock: temporary means temporary (G10). Due times come from the journal, so a restart misses none.

An undo compares before it touches; one that fails is tried again with growing rests until the target is back, and people
are told after a while. Undos run while the service is paused: a pause stops new effects, not the end of old ones.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence

from remediator.core import entries as e
from remediator.core.holds import safe_mode
from remediator.core.outcomes import UndoOutcome, UndoResult
from remediator.core.state import Moment, RunStatus, State, Undo
from remediator.engine.effects import token_of
from remediator.engine.parts import Parts
from remediator.errors import StoreError

BELL = "undo"
# How soon an undo that is due but cannot be taken up yet is looked at again (s).
BUSY_AGAIN = 1.0
# Rests between tries of an undo that failed (s): doubling from the first to the last.
FIRST_REST, LAST_REST = 5.0, 300.0
# After so long in vain (s) people are told.
TELL_AFTER = 600.0
# How many effects are taken back side by side; a thousand that end together are then gone within a minute.
AT_ONCE = 20
# How often the clock is looked at (s), so that a wall clock that was stepped is noticed in time.
LOOK_EVERY = 30.0


class Undoing:
    """Takes effects back, at expiry, in a rollback, or by hand."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._busy: set[str] = set()
        self._taken: set[str] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def watch(self) -> None:
        """Takes back what is due, for ever; side by side, so that a target that hangs holds up no other."""
        async with asyncio.TaskGroup() as group:
            while not self._parts.stopping:
                moment = self._parts.journal.moment()
                for undo in self._next(AT_ONCE - len(self._taken)):
                    if undo.left(moment) <= 0:
                        self._taken.add(undo.id)
                        group.create_task(self._quietly(undo.id))
                await self._parts.rest(BELL, self._until_next(moment))

    def _until_next(self, moment: Moment) -> float:
        left = min((undo.left(moment) for undo in self._next(1)), default=LOOK_EVERY)
        return min(left, LOOK_EVERY) if left > 0 else LOOK_EVERY  # no room: whoever makes some rings

    def _next(self, count: int) -> list[Undo]:
        """What this clock is in charge of and has not taken up, the next ones; a run that rolls back takes back its own."""
        state = self._parts.journal.state
        if safe_mode(state, self._parts.journal.moment()) is not None:
            return []
        mine = [undo for undo in state.undos.values() if undo.id not in self._taken and self._is_mine(state, undo)]
        return heapq.nsmallest(count, mine, key=lambda undo: (undo.at, undo.id))

    def _is_mine(self, state: State, undo: Undo) -> bool:
        return undo.id not in self._busy and self._parts.holds(undo) and _is_free(state, undo)

    def at_work(self, state: State, name: str) -> bool:
        """Whether this effect is being taken back just now, here or by another replica."""
        undo = state.undos.get(name)
        return name in self._busy or (undo is not None and self._elsewhere(undo))

    def _elsewhere(self, undo: Undo) -> bool:
        return undo.at_work not in {"", self._parts.journal.boot}

    async def quiet(self) -> None:
        """Waits until nothing is being taken back."""
        await self._quiet.wait()

    async def _quietly(self, name: str) -> None:
        try:
            if await self.take_back(name, cause="expiry") is None and not self._parts.stopping:
                await self._parts.clock.sleep(BUSY_AGAIN)
        except StoreError:
            await self._parts.clock.sleep(BUSY_AGAIN)
        finally:
            self._taken.discard(name)
            self._parts.ring(BELL)

    async def take_back(self, name: str, *, cause: str, by: str = "") -> UndoOutcome | None:
        """Takes one effect back; None if there is nothing to be taken back, or somebody is at it."""
        if name in self._busy or self._parts.stopping:
            return None
        self._busy.add(name)
        self._quiet.clear()
        try:
            return await self._take_back(name, cause, by)
        finally:
            self._busy.discard(name)
            if not self._busy:
                self._quiet.set()

    async def _take_back(self, name: str, cause: str, by: str) -> UndoOutcome | None:
        entries = await self._parts.journal.commit(lambda state, moment: self._intend(state, moment, name, cause, by))
        if not entries:
            return None
        undo = self._parts.journal.state.undos.get(name)
        if undo is None:  # the journal turned out to be another one
            return None
        outcome = await self._parts.effects[False].take_back(token_of(entries[0]), undo)
        await self._parts.journal.insist(lambda state, moment: _conclude(state, moment, undo, outcome))
        return outcome

    def _intend(self, state: State, moment: Moment, name: str, cause: str, by: str) -> Sequence[e.AnyFact]:
        undo = state.undos.get(name)
        if undo is None or self._elsewhere(undo) or self._parts.withheld(state, moment):
            return ()
        if not by and not self._parts.holds(undo):  # a person may ask any replica
            return ()
        return _intent_of(state, undo, cause, by)


def _is_free(state: State, undo: Undo) -> bool:
    run = state.runs.get(undo.run)
    return run is None or (run.status is not RunStatus.ROLLING_BACK and run.intent is None)


def _intent_of(state: State, undo: Undo, cause: str, by: str) -> Sequence[e.AnyFact]:
    run = state.runs.get(undo.run)
    if run is not None and run.intent is not None and run.intent.step == undo.step:
        return ()
    return [
        e.UndoIntent(incident=undo.incident, run=undo.run, step=undo.step, attempt=undo.tries + 1, cause=cause, by=by)
    ]


def _conclude(state: State, moment: Moment, undo: Undo, outcome: UndoOutcome) -> Sequence[e.AnyFact]:
    current = state.undos.get(undo.id)
    if current is None or (current.tries, current.next_at) != (undo.tries, undo.next_at):
        return ()  # it is on record already: the store had lost the answer only
    again = outcome.result in {UndoResult.FAILED, UndoResult.UNKNOWN}
    first = undo.failing_since if undo.failing_since is not None else moment.at
    before = undo.since.at if undo.since is not None and undo.failing_since is not None else first
    told_at = first + TELL_AFTER
    rest = min(LAST_REST, FIRST_REST * 2 ** min(undo.tries - 1, 16))  # it may be tried for weeks
    if moment.at < told_at:
        rest = min(rest, told_at - moment.at)
    facts: list[e.AnyFact] = [
        e.UndoConcluded(
            incident=undo.incident,
            run=undo.run,
            step=undo.step,
            attempt=undo.tries,
            outcome=outcome,
            next_at=moment.at + rest if again else None,
        )
    ]
    if again and before < told_at <= moment.at:
        reason = f"{undo.action} of {undo.id} cannot be taken back: {outcome.sentence}; it is tried again until it can"
        facts.append(e.Escalated(incident=undo.incident, run=undo.run, reason=reason))
    if outcome.result is UndoResult.FOREIGN:
        facts.append(e.Escalated(incident=undo.incident, run=undo.run, reason=f"left alone: {outcome.sentence}"))
    return facts
