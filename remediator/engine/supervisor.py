"""The supervisor: owns every task of the engine, starts a runner for every run, wakes them when something concerns them.

Recovery is nothing special: the runs that the journal shows are driven, and the run machine says what is next for each.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from typing import Any

from remediator.core import entries as e
from remediator.core.consequences import ENTAILING, consequences
from remediator.core.state import WAITING, Moment, State
from remediator.engine.clocks import longest
from remediator.engine.desk import Desk
from remediator.engine.drafts import Decider
from remediator.engine.intake import Intake
from remediator.engine.leases import Leases
from remediator.engine.outbox import BELL as OUTBOX_BELL
from remediator.engine.outbox import Outbox
from remediator.engine.parts import Parts
from remediator.engine.planner import PlannerLoop
from remediator.engine.retention import Retention
from remediator.engine.runner import Runner
from remediator.engine.scheduling import BELL as SCHEDULE_BELL
from remediator.engine.scheduling import Scheduling
from remediator.engine.timers import BELL as TIMER_BELL
from remediator.engine.timers import Timers
from remediator.engine.undoing import BELL as UNDO_BELL
from remediator.engine.undoing import Undoing
from remediator.errors import StoreError

# How often a run may break before it is put aside, and how long it rests in between (s).
MOST_FALLS = 3
REST_AFTER_FALL = 5.0
# How long the last entry may take (s).
LAST_WORD = 2.0


class Engine:
    """A running engine: `intake` for notifications, `desk` for people."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._undoing = Undoing(parts)
        self._runner = Runner(parts, self._undoing)
        self._planner = PlannerLoop(parts)
        self._outbox = Outbox(parts)
        self._timers = Timers(parts)
        self._scheduling = Scheduling(parts)
        self._leases = Leases(parts)
        self._retention = Retention(parts)
        self.intake = Intake(parts)
        self.desk = Desk(parts, self._undoing)
        self._drivers: dict[str, asyncio.Task[None]] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._falls: dict[str, int] = {}
        self._working = False
        parts.journal.entail(self._entail)
        parts.journal.listen(self._on_commit)
        parts.journal.clocks.lasts = lambda state: min(longest(state), parts.config.clock_hold)

    def _entail(self, before: State, after: State, fact: e.AnyFact) -> Sequence[e.AnyFact]:
        if type(fact) not in ENTAILING:
            return ()
        config = self.parts.config
        return consequences(before, after, fact, self.parts.planner, config.routing, config.fleet)

    async def run(self, version: str) -> None:
        """Works until cancelled; the journal must be open and its lane running."""
        mode = self.parts.config.mode.word
        await self.parts.space.look()
        await self._leases.begin(e.ServiceStarted(version=version, mode=mode, marked=self.parts.journal.history.kept))
        self._working = True
        beside = [] if self.parts.journal.alone else [self._leases.watch(), self._leases.follow()]
        beside.append(self.parts.journal.history.watch())
        others = [asyncio.ensure_future(loop) for loop in beside]  # until the very end: the last work needs its holder
        try:
            async with asyncio.TaskGroup() as group:
                for run in self.parts.journal.state.active_runs:
                    self._drive(run.id)
                for loop in self._watching():
                    self._loops.append(group.create_task(loop))
            while self._drivers:  # asked to stop: those that still make an attempt
                await asyncio.wait(self._drivers.values())
        finally:
            self._working = False
            drivers = [*self._drivers.values(), *others]
            for driver in drivers:
                driver.cancel()
            if drivers:
                await asyncio.wait(drivers)

    def _watching(self) -> list[Coroutine[Any, Any, None]]:
        """The loops that go on until the end."""
        loops = (self._planner, self._undoing, self._outbox, self._timers, self._retention, self._scheduling)
        space = [self.parts.space.watch(self.parts)] if self.parts.space.has_disk else []
        return [*(loop.watch() for loop in loops), *space]

    async def stop(self, grace: float) -> None:
        """No new intents from now on; what is under way gets `grace` seconds to end (G22)."""
        self.parts.stopping = True
        for name in list(self.parts.bells):
            self.parts.ring(name)
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(grace):
                await self._last_work()
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(LAST_WORD):
                await self.parts.journal.commit(lambda _s, _m: [e.ServiceStopped(reason="asked to stop")])

    async def _last_work(self) -> None:
        await self.parts.journal.commit(lambda _s, _m: ())  # behind every intent that was on its way
        busy = [task for name, task in self._drivers.items() if self._in_the_air(name)]
        if busy or self._loops:
            await asyncio.wait([*busy, *self._loops])
        await self._undoing.quiet()

    def _in_the_air(self, name: str) -> bool:
        run = self.parts.journal.state.runs.get(name)
        return run is not None and run.intent is not None

    # ── after a commit ───────────────────────────────────────────────────────────────────────────────────────────────
    def _on_commit(self, entries: Sequence[e.Entry], _before: State, after: State) -> None:
        self._planner.note(entries)
        for entry in entries:
            if isinstance(entry.fact, (e.LeaseTaken, e.SafeModeEntered, e.SafeModeReleased)):
                self._go_on(after)
            elif type(entry.fact) is not e.NotificationReceived:  # the planner's alone, and a storm consists of it
                self._notice(entry.fact, after)

    def _notice(self, fact: e.AnyFact, after: State) -> None:
        match fact:
            case e.RunPlanned():
                self._drive(fact.run)
            case e.RuleRestored() | e.PauseCleared() | e.ConfigLoaded() | e.StormEnded() | e.ClockReleased():
                self._wake_waiting(after)
                self.parts.ring(SCHEDULE_BELL)
            case e.RunEnded() | e.RunParked():  # locks may be free now
                self._wake_waiting(after)
                self.parts.ring(UNDO_BELL)  # what a rollback could not take back is the undo clock's now
            case e.MessageIntent():
                self.parts.ring(OUTBOX_BELL)
            case e.StepOutcome():
                self.parts.ring(UNDO_BELL)
            case e.UndoConcluded():
                self.parts.ring(UNDO_BELL)
                self.parts.ring(fact.run)
            case e.PauseSet() | e.StormBegan() | e.ClockAnomaly():
                self.parts.ring(TIMER_BELL)
            case e.NotificationDisposed():
                self._wake_concerned(fact, after)
            case e.ApprovalGiven() | e.ApprovalRefused() | e.PersonDecided():
                self.parts.ring(fact.run)
            case _:
                return

    def _go_on(self, after: State) -> None:
        """Work has changed hands, or the journal has: takes up what is this replica's now, and lets go of what is not."""
        self._planner.resume()
        for run in after.active_runs:
            self.parts.ring(run.id)
            self._drive(run.id)
        for bell in (OUTBOX_BELL, UNDO_BELL):
            self.parts.ring(bell)

    def _wake_waiting(self, after: State) -> None:
        for run in after.active_runs:
            if run.status in WAITING or run.started is not None:
                self.parts.ring(run.id)

    def _wake_concerned(self, fact: e.NotificationDisposed, after: State) -> None:
        for alert in fact.alerts:
            for name in after.incident_by_episode.get(alert.identity, ()):
                incident = after.incidents.get(name)
                for run in incident.runs if incident else ():
                    self.parts.ring(run)

    # ── drivers ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _drive(self, name: str) -> None:
        run = self.parts.journal.state.runs.get(name)
        if not self._working or name in self._drivers or self.parts.stopping:
            return
        if run is None or not self.parts.holds(run):
            return
        self.parts.bell(name)
        task = asyncio.ensure_future(self._carry(name))
        self._drivers[name] = task
        task.add_done_callback(lambda done: self._over(name, done))

    async def _carry(self, name: str) -> None:
        if name in self._falls:
            await self.parts.clock.sleep(REST_AFTER_FALL)
        await self._runner.drive(name)

    def _over(self, name: str, task: asyncio.Task[None]) -> None:
        self._drivers.pop(name, None)
        self.parts.bells.pop(name, None)
        fault = None if task.cancelled() else task.exception()
        if fault is None:
            self._falls.pop(name, None)
            self._drive(name)  # it may have come back to this replica just as its driver let go of it
            return
        self._falls[name] = self._falls.get(name, 0) + 1
        if self._falls[name] < MOST_FALLS:
            self._drive(name)
        elif self._working:
            self._put_aside(name, f"{type(fault).__name__}: {fault}")

    def _put_aside(self, name: str, fault: str) -> None:
        """A run that nobody can carry must not stop the others (G13): it is left as it is, and people are called."""
        reason = f"the run broke {MOST_FALLS} times and is left as it is until the next start: {fault}"[:500]

        def decide(state: State, _moment: Moment) -> Sequence[e.AnyFact]:
            run = state.runs.get(name)
            incident = run.incident if run is not None else ""
            return [
                e.Quarantined(what=f"run {name}", reason=reason, incident=incident, run=name),
                e.Escalated(incident=incident, run=name, reason=reason),
            ]

        self._drivers[name] = asyncio.ensure_future(self._insist(decide))
        self._drivers[name].add_done_callback(lambda _done: self._drivers.pop(name, None))

    async def _insist(self, decide: Decider) -> None:
        await self.parts.journal.insist(decide)
