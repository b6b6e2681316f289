"""Decides what was promised from what targets and senders saw and from the journal, while it happens and at the end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from remediator.core import entries as e
from remediator.core.fold import fold
from remediator.core.outcomes import Result
from remediator.core.state import Moment, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.core.entries import Record
    from tests.sim.target import Target

WINDOW, MOST = 600.0, 2
LATE = 3900.0  # s; a process may stand still for an hour, with an undo in its hands


class Judge:
    """Reads the journal as it grows."""

    def __init__(self, marks: Counter[str]) -> None:
        self.marks = marks
        self.state = State()
        self.entries: list[tuple[float, e.Entry]] = []
        self.faults: list[str] = []
        self.intents: Counter[str] = Counter()
        self.by_person: Counter[str] = Counter()
        self.dry: set[str] = set()
        self.issued: Counter[str] = Counter()
        self.late: set[str] = set()
        self.first: dict[str, float] = {}
        self.due: dict[str, tuple[Moment | None, float]] = {}  # of each undo, in true time
        self.belated: set[str] = set()

    def read(self, records: Sequence[Record], now: float) -> None:
        """Takes in what is new."""
        for record in records[len(self.entries) :]:
            entry = e.decode(record.seq, record.body)
            before, self.state = self.state, fold(self.state, entry)
            self.entries.append((now, entry))
            self._note(entry, before)
            self._undos(now)

    def _note(self, entry: e.Entry, before: State) -> None:
        fact = entry.fact
        self.marks[entry.kind] += 1
        self._moved(fact, before)
        match fact:
            case e.StepIntent():
                self._intended(entry, fact, before)
            case e.StepOutcome():
                self._told(entry, fact, before)
            case e.RunEnded():
                self.marks[f"ended {fact.result}"] += 1
            case e.PersonDecided():
                self.marks[f"decided {fact.decision}"] += 1
            case _:
                pass
        pending = sum(one.fact.alerts for one in self.state.pending.values())
        if self.state.tally.received != self.state.tally.disposed + pending:
            self.faults.append(f"G2: the equation does not hold at entry {entry.seq}")

    def _moved(self, fact: e.AnyFact, before: State) -> None:
        """Marks the transition of a run (reliability.md §3.3), and what became of each alert (§3.2)."""
        match fact:
            case e.RunPlanned():
                self.marks[f"planned, rung {fact.plan.rung}{', dry' if fact.dry else ''}"] += 1
            case e.RunEnded():
                self.marks[f"{before.runs[fact.run].status} -> {fact.result}"] += 1
            case e.NotificationDisposed():
                self.marks.update(disposal.disposition for alert in fact.alerts for disposal in alert.disposals)
            case _ if (run := before.runs.get(getattr(fact, "run", ""))) is not None:
                after = self.state.runs[run.id].status
                self.marks[f"{run.status} -> {after}"] += after is not run.status

    def _undos(self, now: float) -> None:
        """Temporary means temporary whatever wall clocks say; one that a run has in its hands is that run's business."""
        for name, undo in self.state.undos.items():
            since, due = self.due.get(name, (None, 0.0))
            if since != undo.since:
                assert undo.since is not None
                self.due[name] = (undo.since, now + undo.at - undo.since.at)
            elif now > due + LATE and undo.run not in self.state.runs and name not in self.belated:
                self.belated.add(name)
                self.faults.append(f"G10: {name} is {now - due:.0f} s late")

    def _intended(self, entry: e.Entry, fact: e.StepIntent, before: State) -> None:
        self.intents[fact.key] += 1
        self.by_person[fact.key] += bool(fact.by)
        self.dry |= {fact.run} if fact.dry else set()
        pause = before.pauses.get("all")
        if pause is not None and pause.until is None and not fact.by:  # the end of a pause is a time by the wall
            self.faults.append(f"G20: an intent of {fact.key} at entry {entry.seq} during a pause")
        if before.runs[fact.run].holder != entry.boot:
            self.faults.append(f"lease: {entry.boot} announced {fact.key} of another")

    def _told(self, entry: e.Entry, fact: e.StepOutcome, before: State) -> None:
        run = before.runs[fact.run]
        self.marks[f"outcome {fact.outcome.result.value}"] += 1
        self.marks["unknown promoted"] += fact.reconciled
        self.marks["outcome of an old holder"] += entry.boot != run.holder
        if entry.boot not in {run.holder, run.issuer}:
            self.faults.append(f"lease: {entry.boot} told of {fact.run}, which is another's")

    def arrived(self, kind: str, key: str, late: bool) -> None:
        """A request has reached a target."""
        self.issued[key] += 1
        run = key.partition("/")[0]
        if key not in self.intents:
            self.faults.append(f"G8: {key} arrived without an intent")
        if not late and self.issued[key] > self.intents[key]:
            self.faults.append(f"G8: {key} arrived {self.issued[key]} times for {self.intents[key]} intents")
        if run in self.dry:  # what only looks is done all the same, and needs no lock
            self.faults += [f"G9: {key} arrived, and its run is dry"] if kind != "read" else []
            return
        if kind.startswith("once") and self.issued[key] > 1 + self.by_person[key]:
            self.faults.append(f"G4: {key} arrived {self.issued[key]} times")
        if late:
            self.late.add(run)
            return
        known = self.state.runs.get(run)
        if known is None or any(self.state.locks.get(lock) != run for lock in known.plan.locks):
            self.faults.append(f"G6: {key} arrived while it held no lock")

    def conclude(self, acks: Sequence[tuple[int, bytes]], target: Target) -> None:
        """AssertionError with all that was broken."""
        facts = {entry.seq: entry.fact for _, entry in self.entries}
        for seq, wire in acks:
            fact = facts.get(seq)
            if not isinstance(fact, e.NotificationReceived) or bytes(fact.body) != wire:
                self.faults.append(f"G1: notification {seq} was acknowledged and is not in the journal")
        opened = Counter((f.rule, f.episode) for f in facts.values() if isinstance(f, e.IncidentOpened))
        self.faults += [f"G3: {times} incidents for {what}" for what, times in opened.items() if times > 1]
        self._outcomes(list(facts.values()))
        left = {key for key in target.standing if key.partition("/")[0] not in self.late}
        if left:
            self.faults.append(f"G10: {left} were left behind")
        self._windows()
        assert not self.faults, "\n".join(self.faults)

    def _outcomes(self, facts: Sequence[e.AnyFact]) -> None:
        told: dict[tuple[str, int, int], list[Result]] = {}
        for fact in facts:
            if isinstance(fact, e.StepOutcome) and not fact.reconciled:
                told.setdefault((fact.run, fact.step, fact.attempt), []).append(fact.outcome.result)
        for fact in facts:
            if not isinstance(fact, e.StepIntent):
                continue
            results = told.get((fact.run, fact.step, fact.attempt), [])
            if not results or any(result is not Result.UNKNOWN for result in results[:-1]):
                self.faults.append(f"G8: attempt {fact.attempt} of {fact.key} came to {results}")

    def _windows(self) -> None:
        """Runs that really touched a target, by the time at which they began."""
        started: dict[str, list[float]] = {}
        touched = {key.partition("/")[0] for key in self.issued}
        for at, entry in self.entries:
            fact = entry.fact
            if isinstance(fact, e.RunStarted) and fact.run in touched - self.late:
                started.setdefault(fact.target, []).append(at)
        for target, times in started.items():
            for begin in times:
                if sum(begin <= at < begin + WINDOW for at in times) > MOST:
                    self.faults.append(f"G5: more than {MOST} runs on {target} within {WINDOW:g} s: {times}")
