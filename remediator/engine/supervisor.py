"""The supervisor: owns every task of the engine, starts a runner for every run, wakes them when something concerns them.

Recovery is nothing special: the runs that the journal shows are driven, and the run machine says what is next for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from remediator.core import entries as e
from remediator.core.consequences import consequences
from remediator.core.state import WAITING, State
from remediator.engine.desk import Desk
from remediator.engine.intake import Intake
from remediator.engine.outbox import BELL as OUTBOX_BELL
from remediator.engine.outbox import Outbox
from remediator.engine.parts import Parts
from remediator.engine.planner import PlannerLoop
from remediator.engine.runner import Runner
from remediator.engine.timers import BELL as TIMER_BELL
from remediator.engine.timers import Timers
from remediator.engine.undoing import BELL as UNDO_BELL
from remediator.engine.undoing import Undoing
from remediator.errors import StoreError


class Engine:
    """A running engine: `intake` for notifications, `desk` for people."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._undoing = Undoing(parts)
        self._runner = Runner(parts, self._undoing)
        self._planner = PlannerLoop(parts)
        self._outbox = Outbox(parts)
        self._timers = Timers(parts)
        self.intake = Intake(parts)
        self.desk = Desk(parts, self._undoing)
        self._drivers: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        parts.journal.entail(self._entail)
        parts.journal.listen(self._on_commit)

    def _entail(self, before: State, after: State, fact: e.AnyFact) -> Sequence[e.AnyFact]:
        return consequences(before, after, fact, self.parts.planner, self.parts.config.routing)

    async def run(self, version: str) -> None:
        """Works until cancelled; the journal must be open and its lane running."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            mode = self.parts.config.mode.word
            await self.parts.journal.commit(lambda _s, _m: [e.ServiceStarted(version=version, mode=mode)])
            for run in self.parts.journal.state.active_runs:
                self._drive(run.id)
            for loop in (self._planner.watch, self._undoing.watch, self._outbox.watch, self._timers.watch):
                group.create_task(loop())

    async def stop(self, grace: float) -> None:
        """No new intents from now on; what is under way gets `grace` seconds to end (G22)."""
        self.parts.stopping = True
        for name in list(self.parts.wakeups):
            self.parts.ring(name)
        busy = [task for name, task in self._drivers.items() if self._in_the_air(name)]
        if busy:
            await asyncio.wait(busy, timeout=grace)
        try:
            async with asyncio.timeout(2.0):
                await self.parts.journal.commit(lambda _s, _m: [e.ServiceStopped(reason="asked to stop")])
        except (StoreError, TimeoutError):
            return

    def _in_the_air(self, name: str) -> bool:
        run = self.parts.journal.state.runs.get(name)
        return run is not None and run.intent is not None

    # ── after a commit ───────────────────────────────────────────────────────────────────────────────────────────────
    def _on_commit(self, entries: Sequence[e.Entry], _before: State, after: State) -> None:
        self._planner.note(entries)
        for entry in entries:
            self._notice(entry.fact, after)

    def _notice(self, fact: e.AnyFact, after: State) -> None:
        match fact:
            case e.RunPlanned():
                self._drive(fact.run)
            case e.PauseCleared() | e.ConfigLoaded() | e.RunEnded():
                self._wake_waiting(after)
            case e.MessageIntent():
                self.parts.ring(OUTBOX_BELL)
            case e.StepOutcome() | e.UndoConcluded():
                self.parts.ring(UNDO_BELL)
            case e.PauseSet():
                self.parts.ring(TIMER_BELL)
            case e.NotificationDisposed():
                self._wake_concerned(fact, after)
            case e.ApprovalGiven() | e.ApprovalRefused() | e.PersonDecided():
                self.parts.ring(fact.run)
            case _:
                return

    def _wake_waiting(self, after: State) -> None:
        for run in after.runs.values():
            if run.status in WAITING or run.started is not None:
                self.parts.ring(run.id)

    def _wake_concerned(self, fact: e.NotificationDisposed, after: State) -> None:
        for alert in fact.alerts:
            for name in after.incident_by_episode.get(alert.identity, ()):
                incident = after.incidents.get(name)
                for run in incident.runs if incident else ():
                    self.parts.ring(run)

    def _drive(self, name: str) -> None:
        if self._group is None or name in self._drivers or self.parts.stopping:
            return
        task = self._group.create_task(self._runner.drive(name))
        self._drivers[name] = task
        task.add_done_callback(lambda _task: self._forget(name))

    def _forget(self, name: str) -> None:
        self._drivers.pop(name, None)
        self.parts.wakeups.pop(name, None)
