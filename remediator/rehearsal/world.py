"""The world of a rule test: plug-ins that describe themselves as the real ones do, touch nothing, and answer by script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from remediator.config.cases_model import Answer, CaseShape, Script, Word
from remediator.core.brakes import Members
from remediator.core.outcomes import (
    EffectClass,
    Found,
    Observation,
    Outcome,
    Presence,
    UndoOutcome,
    UndoResult,
    failed,
    failed_for_now,
    not_issued,
    ok,
    unknown,
)
from remediator.core.params import Json, Param
from remediator.core.plans import PlannedTrust
from remediator.core.state import State
from remediator.ports import Action, Call, LookCall, Message, Probe
from remediator.rehearsal.answers import Answers, observed
from remediator.rehearsal.loop import VirtualClock

SAID = "as the test says"


class Words:
    """Scripted words by name, in the order asked; the last repeats."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self._scripts = scripts
        self._counts: dict[str, int] = {}
        self.used: set[str] = set()

    def next(self, names: Sequence[str], otherwise: str) -> str:
        """The word for the first of `names` that the script knows; `otherwise` if it knows none."""
        name = next((name for name in names if name in self._scripts), None)
        if name is None:
            return otherwise
        self.used.add(name)
        script = self._scripts[name]
        count = self._counts.get(name, 0)
        self._counts[name] = count + 1
        return str(script.parts[min(count, len(script.parts) - 1)][1])

    def unused(self) -> list[str]:
        """The names that were never asked for."""
        return [name for name in self._scripts if name not in self.used]


@dataclass(slots=True, kw_only=True)
class World:
    """What one test's plug-ins share. `state` gives the journal's newest state."""

    clock: VirtualClock
    answers: Answers
    outcomes: Words
    undos: Words
    alertmanager: Script | None
    present: set[str] = field(default_factory=set)  # keys of effects that are there
    messages: list[tuple[str, Message]] = field(default_factory=list)
    steps: dict[str, str] = field(default_factory=dict)  # the name of the step of each key

    @classmethod
    def of(cls, shape: CaseShape, clock: VirtualClock) -> World:
        """The world of one test."""
        scripts = dict(shape.answers)
        if shape.alertmanager is not None:
            scripts["alertmanager"] = shape.alertmanager
        return cls(
            clock=clock,
            answers=Answers(scripts, lambda: clock.passed),
            outcomes=Words(shape.actions),
            undos=Words(shape.undo),
            alertmanager=shape.alertmanager,
        )

    def know(self, state: State) -> None:
        """Learns how the steps of runs under way are called; by that name a test may say what comes of them."""
        for run in state.runs.values():
            for place, step in enumerate(run.plan.steps):
                self.steps[f"{run.id}/{place}"] = step.name


class ScriptedAction:
    """An action that does nothing and says what the test wants; what it says of itself is the real one's."""

    kind: ClassVar[str]
    effect: ClassVar[EffectClass]
    lasting: ClassVar[bool]
    params: ClassVar[Mapping[str, Param]]
    summary: ClassVar[str]

    def __init__(self, real: Action, world: World) -> None:
        self.kind, self.effect, self.lasting = real.kind, real.effect, real.lasting  # type: ignore[misc]
        self.params, self.summary = real.params, real.summary  # type: ignore[misc]
        self._real = real
        self._world = world

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """The real one's."""
        return self._real.faults(arguments)

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """The real one's."""
        return self._real.describe(arguments)

    async def perform(self, call: Call) -> Outcome:
        """What the test says; `ok` where it says nothing."""
        word = self._world.outcomes.next((self._world.steps.get(call.key, ""), self.kind), "ok")
        if word in {"ok", "unknown_arrived"}:
            self._world.present.add(call.key)
        match word:
            case "ok":
                return ok("done", receipt={"key": call.key})
            case "failed":
                return failed(f"failed, {SAID}")
            case "retryable":
                return failed_for_now(f"failed for now, {SAID}")
            case "not_issued":
                return not_issued(f"not issued, {SAID}")
            case _:
                return unknown(f"no answer, {SAID}; it may have been carried out")

    async def reconcile(self, call: Call) -> Found:
        """What is so; a step of class `once` cannot be asked about."""
        if self.effect is EffectClass.ONCE:
            return Found(presence=Presence.UNDECIDED, sentence="the target cannot tell")
        there = call.key in self._world.present
        return Found(
            presence=Presence.PRESENT if there else Presence.ABSENT,
            sentence="it is there" if there else "it is not there",
            receipt={"key": call.key} if there else {},
        )

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        """What the test says; `undone` what is there, `gone` what is not."""
        del receipt
        there = call.key in self._world.present
        truth = UndoResult.UNDONE if there else UndoResult.GONE
        word = self._world.undos.next((self._world.steps.get(call.key, ""), self.kind), truth.value)
        result = UndoResult(word)
        if result is UndoResult.UNDONE:
            self._world.present.discard(call.key)
        return UndoOutcome(result=result, sentence=f"{result.value}{f', {SAID}' if result is not truth else ''}")


class ScriptedProbe:
    """A probe that sees what the test says."""

    kind: ClassVar[str]
    params: ClassVar[Mapping[str, Param]]
    summary: ClassVar[str]

    def __init__(self, real: Probe, world: World) -> None:
        self.kind, self.params, self.summary = real.kind, real.params, real.summary  # type: ignore[misc]
        self._real = real
        self._world = world

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """The real one's."""
        return self._real.describe(arguments)

    async def look(self, call: LookCall) -> Observation:
        """The answer to `verify`, or to the question's own text."""
        question = self.describe(call.arguments)
        return observed(self._world.answers.to("verify", question), question, call.now)


class ScriptedMonitor:
    """Prometheus and Alertmanager: they say what the test says. `state` is asked which question a query is."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.newest: State = State()

    async def holds(self, expr: str, *, hold: float, now: float) -> Observation:
        """The answer to a `when` or a `require`."""
        del hold
        plans = [run.plan for run in self.newest.runs.values()]
        first = any(plan.when is not None and plan.when.expr == expr for plan in plans)
        return observed(self._world.answers.to("when" if first else "require", expr), expr, now)

    async def members(self, expr: str, *, now: float) -> Members:
        """The answer to `healthy` or `of`, as a number."""
        plans = [run.plan.min_healthy for run in self.newest.runs.values() if run.plan.min_healthy is not None]
        word = "of" if any(plan.of == expr for plan in plans) else "healthy"
        answer = self._world.answers.to(word, expr)
        if isinstance(answer, float) and answer >= 0 and answer == int(answer):
            return Members(count=int(answer))
        return Members(fault=observed(answer, "", now).sentence)

    async def trust(self, asked: PlannedTrust, *, starting: float, now: float) -> Observation:
        """The answer to `trust`; yes where the test says nothing."""
        del starting
        return observed(self._world.answers.to("trust", asked.instance, Word.TRUE), "", now)

    async def state(self, labels: Mapping[str, str]) -> Observation:
        """Whether the alert is active, by `alertmanager`."""
        del labels
        answer: Answer = self._world.answers.to("alertmanager", "")
        return observed(answer, "", self._world.clock.now())


class ScriptedReceiver:
    """People who are told; `name` is the route, not a channel."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self._world = world

    async def send(self, message: Message) -> Outcome:
        """Keeps it."""
        self._world.messages.append((self.name, message))
        return ok("told")
