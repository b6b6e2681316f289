"""A whole engine in one test: virtual clock, memory store, a scripted world that keeps its own ledger."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from remediator.core import entries as e
from remediator.core.consequences import Routing
from remediator.core.matchers import parse_matcher
from remediator.core.outcomes import (
    EffectClass,
    Found,
    Look,
    Observation,
    Outcome,
    Presence,
    UndoOutcome,
    UndoResult,
    ok,
)
from remediator.core.params import Json, Param, ParamType
from remediator.core.planning import Fitting
from remediator.core.rendering import parse_template
from remediator.core.rules import Check, Condition, Guards, Limit, Mode, OnFailure, Playbook, Rule, Ruleset, Rung, Step
from remediator.core.state import State
from remediator.engine.effects import DryEffects, LiveEffects
from remediator.engine.journal import Journal
from remediator.engine.parts import Config, Parts
from remediator.engine.supervisor import Engine
from remediator.guards.all_guards import all_guards
from remediator.ports import Call, LookCall, Message
from remediator.stores.memory import MemoryStore

KEY = b"k" * 32
START = 1_790_000_000.0


class VirtualClock:
    """Time that stands still while anything can run, and jumps to the next sleeper when nothing can."""

    def __init__(self) -> None:
        self.wall = START
        self.mono = 100.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.mono + max(0.0, seconds), next(self._order), future))
        await future

    async def settle(self) -> None:
        """Lets everything run that can."""
        loop = asyncio.get_running_loop()
        for _ in range(10_000):
            await asyncio.sleep(0)
            if not loop._ready:  # type: ignore[attr-defined]
                return
        raise AssertionError("the engine does not come to rest")

    async def jump(self, limit: float) -> bool:
        """Moves on to the next sleeper, at most to `limit` on the monotonic clock; False if there is none before it."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if not self._sleepers or self._sleepers[0][0] > limit:
            self._move(limit)
            return False
        at, _, future = heapq.heappop(self._sleepers)
        self._move(at)
        future.set_result(None)
        return True

    def _move(self, mono: float) -> None:
        if mono > self.mono:
            self.wall += mono - self.mono
            self.mono = mono

    async def run(self, seconds: float) -> None:
        """Lets `seconds` pass."""
        limit = self.mono + seconds
        await self.settle()
        while await self.jump(limit):
            await self.settle()
        await self.settle()

    async def until(self, true: Callable[[], bool], within: float = 7200.0) -> None:
        """Lets time pass until `true()`."""
        limit = self.mono + within
        await self.settle()
        while not true():
            if not await self.jump(limit):
                raise AssertionError(f"not within {within}s")
            await self.settle()


@dataclass
class World:
    """What the engine acts on. `ledger` holds every effect that really arrived, in order: the only truth about effects."""

    ledger: list[tuple[str, str, str]] = field(default_factory=list)
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    present: dict[str, Presence] = field(default_factory=dict)
    undo_results: list[UndoResult] = field(default_factory=list)
    condition: Callable[[str], Observation] = lambda expr: Observation(look=Look.GOOD, sentence=f"{expr}: 0.27")
    verification: Callable[[float], Observation] = lambda now: Observation(look=Look.GOOD, sentence="0.03")
    alert: Observation | None = None
    messages: list[Message] = field(default_factory=list)
    before_effect: Callable[[Call], None] | None = None


class WorldAction:
    """An action whose every call is written to the world's ledger."""

    summary: ClassVar[str] = "test"

    def __init__(self, world: World, kind: str, effect: EffectClass, lasting: bool) -> None:
        self.kind = kind  # type: ignore[misc]
        self.effect = effect  # type: ignore[misc]
        self.lasting = lasting  # type: ignore[misc]
        self.params = {"domain": Param(type=ParamType.DOMAIN, doc="d")}  # type: ignore[misc]
        self._world = world

    kind: ClassVar[str]
    effect: ClassVar[EffectClass]
    lasting: ClassVar[bool]
    params: ClassVar[Mapping[str, Param]]

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        return () if arguments.get("domain") else ("domain is missing",)

    def describe(self, arguments: Mapping[str, Json]) -> str:
        return f"{self.kind} {arguments.get('domain')}"

    async def perform(self, call: Call) -> Outcome:
        if self._world.before_effect is not None:
            self._world.before_effect(call)
        self._world.ledger.append(("do", self.kind, call.key))
        scripted = self._world.outcomes.get(self.kind)
        if scripted:
            return scripted.pop(0)
        return ok("done", receipt={"id": call.key})

    async def reconcile(self, call: Call) -> Found:
        return Found(presence=self._world.present.get(self.kind, Presence.UNDECIDED), sentence="asked")

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        self._world.ledger.append(("undo", self.kind, call.key))
        result = self._world.undo_results.pop(0) if self._world.undo_results else UndoResult.UNDONE
        return UndoOutcome(result=result, sentence=result.value)


class WorldProbe:
    """A probe that answers from the world's script."""

    kind: ClassVar[str] = "promql"
    params: ClassVar[Mapping[str, Param]] = {}
    summary: ClassVar[str] = "test"

    def __init__(self, world: World) -> None:
        self._world = world

    def describe(self, arguments: Mapping[str, Json]) -> str:
        return "test"

    async def look(self, call: LookCall) -> Observation:
        return self._world.verification(call.now)


class WorldOracle:
    """Prometheus and Alertmanager, as far as guards ask them."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def holds(self, expr: str, *, hold: float, now: float) -> Observation:
        return self._world.condition(expr)

    async def state(self, labels: Mapping[str, str]) -> Observation:
        assert self._world.alert is not None
        return self._world.alert


class WorldReceiver:
    """People."""

    name = "people"

    def __init__(self, world: World) -> None:
        self._world = world

    async def send(self, message: Message) -> Outcome:
        self._world.messages.append(message)
        return ok("told")


def step(action: str, **changes: object) -> Step:
    """A step of a test playbook; `keyed` and lasting actions get an undo."""
    effect = EffectClass(action.partition("_")[0])
    values: dict[str, object] = {
        "name": action,
        "action": action,
        "arguments": {"domain": parse_template("{{ params.domain }}")},
        "effect": effect,
        "undo_after": 7200.0 if action.endswith("_lasting") else None,
    }
    return Step(**(values | changes))  # type: ignore[arg-type]


def playbook(*steps: Step, **changes: object) -> Playbook:
    """A test playbook with one verification."""
    values: dict[str, object] = {
        "name": "pause-domain",
        "params": {"domain": ParamType.DOMAIN},
        "steps": steps or (step("keyed_lasting"), step("safe")),
        "verify": (Check(probe="promql", arguments={}, hold=30.0, within=300.0, every=10.0, samples=3),),
        "on_failure": (OnFailure.ROLLBACK, OnFailure.ESCALATE),
    }
    return Playbook(**(values | changes))  # type: ignore[arg-type]


def rule(**changes: object) -> Rule:
    """A test rule on `domain`."""
    values: dict[str, object] = {
        "name": "high-bounce-rate",
        "match": (parse_matcher("alertname = KumoBounceRateHigh"),),
        "group_by": ("domain",),
        "ladder": (Rung(playbook="pause-domain", arguments={"domain": parse_template("{{ labels.domain }}")}),),
        "when": Condition(parse_template("ratio > 0.20"), 120.0),
        "guards": Guards(cooldown=1800.0, rate_limit=Limit(2, 21600.0), blast_radius=Limit(3, 3600.0), concurrency=3),
        "mode": Mode.AUTO,
    }
    return Rule(**(values | changes))  # type: ignore[arg-type]


def body(*alerts: Mapping[str, object]) -> bytes:
    """A notification with these alerts."""
    return json.dumps({"version": "4", "receiver": "r", "groupKey": "g", "alerts": list(alerts)}).encode()


def alert(
    domain: str = "example.com", *, at: float = START - 60, resolved_at: float | None = None
) -> dict[str, object]:
    """A firing (or resolved) alert for a domain."""
    from datetime import UTC, datetime

    def text(moment: float) -> str:
        return datetime.fromtimestamp(moment, tz=UTC).isoformat().replace("+00:00", "Z")

    return {
        "status": "firing" if resolved_at is None else "resolved",
        "labels": {"alertname": "KumoBounceRateHigh", "severity": "critical", "domain": domain},
        "annotations": {"summary": "bounces"},
        "startsAt": text(at),
        "endsAt": "0001-01-01T00:00:00Z" if resolved_at is None else text(resolved_at),
        "fingerprint": "f" * 16,
    }


ACTIONS = {
    "read": (EffectClass.READ, False),
    "safe": (EffectClass.SAFE, False),
    "safe_lasting": (EffectClass.SAFE, True),
    "keyed": (EffectClass.KEYED, False),
    "keyed_lasting": (EffectClass.KEYED, True),
    "once": (EffectClass.ONCE, False),
    "once_lasting": (EffectClass.ONCE, True),
}


@dataclass
class Rig:
    """A world, a store and as many engines over it as a test starts, one after the other."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    world: World = field(default_factory=World)
    store: MemoryStore = field(default_factory=MemoryStore)
    rules: tuple[Rule, ...] = field(default_factory=lambda: (rule(),))
    playbooks: tuple[Playbook, ...] = field(default_factory=lambda: (playbook(),))
    mode: Mode = Mode.AUTO
    max_runs: int = 10
    starts: int = 0

    # The tests' vocabulary.
    alert = staticmethod(alert)
    body = staticmethod(body)
    rule = staticmethod(rule)
    playbook = staticmethod(playbook)
    step = staticmethod(step)

    def parts(self) -> Parts:
        """The parts of the next engine."""
        self.starts += 1
        world = self.world
        actions = {kind: WorldAction(world, kind, effect, lasting) for kind, (effect, lasting) in ACTIONS.items()}
        live = LiveEffects(actions, self.clock)
        oracle = WorldOracle(world)
        ruleset = Ruleset(
            rules=self.rules, playbooks={one.name: one for one in self.playbooks}, digest=f"digest-{self.starts}"
        )
        return Parts(
            journal=Journal(self.store, self.clock, key=KEY, replica="r1", boot=f"boot{self.starts}"),
            clock=self.clock,
            config=Config(
                ruleset=ruleset,
                mode=self.mode,
                routing=Routing(by_severity={"critical": ("people",)}, escalate=("people",)),
                max_runs=self.max_runs,
            ),
            guards=all_guards(),
            fittings={
                kind: Fitting(
                    params={name: param.type for name, param in action.params.items()},
                    faults=action.faults,
                    describe=action.describe,
                )
                for kind, action in actions.items()
            },
            effects={False: live, True: DryEffects(live)},
            probes={"promql": WorldProbe(world)},
            oracle=oracle,
            alerts=oracle if world.alert is not None else None,
            receivers={"people": WorldReceiver(world)},
        )

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[Engine]:
        """A running engine; leaving the block is a crash: every task is cancelled where it stands."""
        parts = self.parts()
        await parts.journal.open()
        engine = Engine(parts)
        lane = asyncio.ensure_future(parts.journal.run())
        work = asyncio.ensure_future(engine.run("test"))
        await self.clock.settle()
        try:
            yield engine
            for task in (lane, work):
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise error
        finally:
            for task in (work, lane):
                task.cancel()
                with suppress(asyncio.CancelledError, BaseExceptionGroup):
                    await task
            await self.store.close()

    async def accept(self, engine: Engine, *alerts: Mapping[str, object]) -> None:
        """Delivers one notification and lets the engine settle."""
        waiting = asyncio.ensure_future(engine.intake.accept(body(*alerts), "test"))
        await self.clock.settle()
        await waiting

    async def facts(self) -> list[e.AnyFact]:
        """All facts of the journal."""
        return [e.decode(record.seq, record.body).fact for record in self.store.disk.records]

    async def kinds(self) -> list[str]:
        """All kinds of the journal, in order."""
        return [e.kind_of(fact) for fact in await self.facts()]

    async def ended(self) -> list[str]:
        """The results of all ended runs."""
        return [fact.result for fact in await self.facts() if isinstance(fact, e.RunEnded)]

    def idle(self, engine: Engine) -> bool:
        """Whether no run is under way and nothing waits."""
        state: State = engine.parts.journal.state
        return not state.runs and not state.pending


@pytest.fixture
def rig() -> Rig:
    """A fresh world."""
    return Rig()
