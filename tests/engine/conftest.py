"""A whole engine in one test: virtual clock, memory store, a scripted world that keeps its own ledger."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import ClassVar, TypeVar

import pytest

from remediator.core import entries as e
from remediator.core.brakes import Brakes, Waves
from remediator.core.consequences import Routing
from remediator.core.fitting import Fitting
from remediator.core.fleet import FirstRuns, FleetLimits, StormLimits
from remediator.core.matchers import parse_matcher
from remediator.core.outcomes import (
    EffectClass,
    Found,
    Look,
    Observation,
    Outcome,
    Presence,
    Result,
    UndoOutcome,
    UndoResult,
    ok,
)
from remediator.core.params import Json, Param, ParamType
from remediator.core.places import forgotten_by, kept_in, places_of
from remediator.core.rendering import parse_template
from remediator.core.rules import Check, Condition, Guards, Limit, Mode, OnFailure, Playbook, Rule, Ruleset, Rung, Step
from remediator.core.state import Run
from remediator.engine.effects import DryEffects, LiveEffects
from remediator.engine.journal import Journal
from remediator.engine.parts import Config, Parts
from remediator.engine.supervisor import Engine
from remediator.errors import RefusedRequest
from remediator.guards.all_guards import all_guards
from remediator.ports import Action, Call, HighWater, LookCall, Message, Store
from remediator.stores.memory import MemoryStore
from tests.kit.histories import Arrival, History, from_body
from tests.kit.history import judge

T = TypeVar("T")
KEY = b"k" * 32
START = 1_790_000_000.0
# Tests that are not about the brakes over all rules are not to feel them.
LENIENT = FleetLimits(
    budget=Limit(10_000, 3600.0),
    storm=StormLimits(episodes=Limit(10_000, 60.0)),
    first_runs=FirstRuns(runs=10_000),
)


class VirtualClock:
    """Time that stands still while anything can run, and jumps to the next sleeper when nothing can."""

    def __init__(self) -> None:
        self.lag = 0.0  # how late sleepers wake, as they do on a busy machine
        self.wall = START
        self.mono = 100.0
        self._asked = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        self._asked += 1
        if self._asked > 50_000:
            raise AssertionError("somebody asks for the time again and again, and time stands still: a loop spins")
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.mono + max(0.0, seconds), next(self._order), future))
        await future

    async def settle(self) -> None:
        """Lets everything run that can."""
        self._asked = 0
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
        self._move(at + self.lag)
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
    at_work: set[str] = field(default_factory=set)  # kinds of which an earlier attempt is seen at work
    undo_results: list[UndoResult] = field(default_factory=list)
    condition: Callable[[str], Observation] = lambda expr: Observation(look=Look.GOOD, sentence=f"{expr}: 0.27")
    verification: Callable[[float], Observation] = lambda now: Observation(look=Look.GOOD, sentence="0.03")
    alert: Observation | None = None
    messages: list[Message] = field(default_factory=list)
    before_effect: Callable[[Call], None] | None = None
    standing: set[str] = field(default_factory=set)  # keys whose lasting effect is there now
    told: list[Outcome] = field(default_factory=list)  # what the receiver answers first
    memory: str = ""  # where `keyed_lasting` effects live, if a `once` step (a restart) makes that forget them
    witness: Callable[[str], Awaitable[None]] | None = None  # sees everything that has just arrived
    arrivals: list[Arrival] = field(default_factory=list)  # the ledger with times, for the checker of histories
    place: Callable[[], tuple[float, int]] = lambda: (0.0, 0)  # the time, and the journal's last durable entry

    async def arrive(self, what: str, kind: str, key: str) -> None:
        """Something has left the engine and is here now."""
        self.ledger.append((what, kind, key))
        at, head = self.place()
        self.arrivals.append(Arrival(what=what, key=key, at=at, head=head))
        if self.witness is not None:
            await self.witness(what)

    def count(self, what: str, *kinds: str) -> int:
        """How many of these arrived."""
        return len([1 for was, kind, _ in self.ledger if was == what and (not kinds or kind in kinds)])


class WorldAction:
    """An action whose every call is written to the world's ledger."""

    summary: ClassVar[str] = "test"

    kind: ClassVar[str]
    effect: ClassVar[EffectClass]
    lasting: ClassVar[bool]
    params: ClassVar[Mapping[str, Param]] = {"domain": Param(type=ParamType.DOMAIN, doc="d")}

    def __init__(self, world: World, kind: str, effect: EffectClass, lasting: bool) -> None:
        self.kind, self.effect, self.lasting = kind, effect, lasting  # type: ignore[misc]
        self._world = world

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        return () if arguments.get("domain") else ("domain is missing",)

    def describe(self, arguments: Mapping[str, Json]) -> str:
        return f"{self.kind} {arguments.get('domain')}"

    def places(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        return (f"domain {arguments.get('domain')}",)

    def kept_in(self, arguments: Mapping[str, Json]) -> str:
        return self._world.memory if self.kind == "keyed_lasting" else ""

    async def perform(self, call: Call) -> Outcome:
        if self._world.before_effect is not None:
            self._world.before_effect(call)
        scripted = self._world.outcomes.get(self.kind)
        outcome = scripted.pop(0) if scripted else ok("done", receipt={"id": call.key})
        if self.kind == "once" and self._world.memory:
            self._world.standing.clear()
        if self.lasting and outcome.result in {Result.OK, Result.UNKNOWN}:
            self._world.standing.add(call.key)
        await self._world.arrive("do", self.kind, call.key)
        return outcome

    async def reconcile(self, call: Call) -> Found:
        """A keyed target tells the truth of the ledger, unless the script says otherwise."""
        there = ("do", self.kind, call.key) in self._world.ledger
        truth = (Presence.PRESENT if there else Presence.ABSENT) if self.effect == "keyed" else Presence.UNDECIDED
        running = self.kind in self._world.at_work
        return Found(presence=self._world.present.get(self.kind, truth), sentence="asked", running=running)

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        """Compares before it touches."""
        truth = UndoResult.UNDONE if call.key in self._world.standing else UndoResult.GONE
        result = self._world.undo_results.pop(0) if self._world.undo_results else truth
        if result is UndoResult.UNDONE:
            self._world.standing.discard(call.key)
        await self._world.arrive("undo", self.kind, call.key)
        return UndoOutcome(result=result, sentence=result.value)


class Neighbour:
    """Prometheus, Alertmanager and people: they answer from the world's script."""

    kind: ClassVar[str] = "promql"
    params: ClassVar[Mapping[str, Param]] = {}
    summary: ClassVar[str] = "test"
    name = "people"

    def __init__(self, world: World) -> None:
        self._world = world

    def describe(self, arguments: Mapping[str, Json]) -> str:
        return "test"

    async def look(self, call: LookCall) -> Observation:
        return self._world.verification(call.now)

    async def holds(self, expr: str, *, hold: float, now: float) -> Observation:
        return self._world.condition(expr)

    async def state(self, labels: Mapping[str, str]) -> Observation:
        assert self._world.alert is not None
        return self._world.alert

    async def send(self, message: Message) -> Outcome:
        self._world.messages.append(message)
        if self._world.witness is not None:
            await self._world.witness("message")
        return self._world.told.pop(0) if self._world.told else ok("told")


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
        "guards": Guards(
            cooldown=1800.0,
            rate_limit=Limit(2, 21600.0),
            blast_radius=Limit(3, 3600.0),
            concurrency=3,
            brakes=Brakes(waves=Waves(first=3)),
        ),
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
    return {
        "status": "firing" if resolved_at is None else "resolved",
        "labels": {"alertname": "KumoBounceRateHigh", "severity": "critical", "domain": domain},
        "annotations": {"summary": "bounces"},
        "startsAt": datetime.fromtimestamp(at, tz=UTC).isoformat(),
        "endsAt": datetime.fromtimestamp(resolved_at, tz=UTC).isoformat() if resolved_at else "0001-01-01T00:00:00Z",
    }


def fitting(action: Action) -> Fitting:
    """What planning needs to know of an action."""
    types = {name: param.type for name, param in action.params.items()}
    return Fitting(
        params=types,
        faults=action.faults,
        describe=action.describe,
        places=partial(places_of, action),
        kept_in=partial(kept_in, action),
        forgets=partial(forgotten_by, action),
    )


ACTIONS = {f"{effect}{tail}": (effect, bool(tail)) for effect in EffectClass for tail in ("", "_lasting")}


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
    fleet: FleetLimits = LENIENT
    starts: int = 0
    file: Store | None = None  # a store of another kind, instead of `store`
    marks: HighWater | None = None
    host: str = "host"  # all engines run on one machine

    alert, body = staticmethod(alert), staticmethod(body)  # the tests' vocabulary
    rule, playbook, step = staticmethod(rule), staticmethod(playbook), staticmethod(step)
    guards = Guards

    acks: list[bytes] = field(default_factory=list)  # notifications that were accepted
    blemishes: set[str] = field(default_factory=set)  # guarantees that a test breaks on purpose

    def parts(self) -> Parts:
        """The parts of the next engine."""
        self.starts += 1
        world = self.world
        world.place = lambda: (self.clock.wall, self.store.disk.head.seq)
        actions = {kind: WorldAction(world, kind, effect, lasting) for kind, (effect, lasting) in ACTIONS.items()}
        live = LiveEffects(actions, self.clock)
        neighbour = Neighbour(world)
        playbooks = {one.name: one for one in self.playbooks}
        ruleset = Ruleset(rules=self.rules, playbooks=playbooks, digest=f"digest-{self.starts}")
        routing = Routing(by_severity={"critical": ("people",)}, escalate=("people",))
        return Parts(
            journal=Journal(
                self.file or self.store,
                self.clock,
                key=KEY,
                replica="r1",
                boot=f"boot{self.starts}",
                host=self.host,
                marks=self.marks,
            ),
            clock=self.clock,
            config=Config(ruleset=ruleset, mode=self.mode, routing=routing, max_runs=self.max_runs, fleet=self.fleet),
            guards=all_guards(),
            fittings={kind: fitting(action) for kind, action in actions.items()},
            effects={False: live, True: DryEffects(live)},
            probes={"promql": neighbour},
            oracle=neighbour,
            alerts=neighbour if world.alert is not None else None,
            receivers={"people": neighbour},
        )

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[Engine]:
        """A running engine; leaving the block is a crash: every task is cancelled where it stands."""
        parts = self.parts()
        engine = Engine(parts)
        await parts.journal.open()
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
            await parts.journal.store.close()

    async def accept(self, engine: Engine, *alerts: Mapping[str, object]) -> None:
        """Delivers one notification and lets the engine settle."""
        sent = body(*alerts)
        await self.ask(engine.intake.accept(sent, "test"))
        self.acks.append(sent)

    async def ask(self, request: Awaitable[T]) -> T:
        """What a request comes to, while the engine works and time stands still."""
        asked = asyncio.ensure_future(request)
        await self.clock.settle()
        return await asked

    async def refused(self, request: Awaitable[object], status: int, words: str) -> None:
        """The request is refused with this status, in these words."""
        with pytest.raises(RefusedRequest, match=words) as raised:
            await self.ask(request)
        assert raised.value.status == status

    def run_of(self, engine: Engine) -> Run:
        """The one run under way."""
        (run,) = engine.parts.journal.state.runs.values()
        return run

    async def reload(self, engine: Engine, *rules: Rule, mode: Mode = Mode.AUTO) -> None:
        """Other rules and mode are in force from here on."""
        self.rules, self.mode = rules, mode
        engine.parts.config = self.parts().config
        loaded = e.ConfigLoaded(digest="new", rules=(), mode=mode.word, longest_window=86400.0)
        await self.ask(engine.parts.journal.commit(lambda _s, _m: [loaded]))

    async def facts(self) -> list[e.AnyFact]:
        """All facts of the journal."""
        return [e.decode(record.seq, record.body).fact for record in self.store.disk.records]

    async def kinds(self) -> list[str]:
        """All kinds of the journal, in order."""
        return [record.kind for record in self.store.disk.records]

    async def ended(self) -> list[str]:
        """The results of all ended runs."""
        return [fact.result for fact in await self.facts() if isinstance(fact, e.RunEnded)]

    def idle(self, engine: Engine) -> bool:
        """Whether no run is under way and nothing waits."""
        return not (engine.parts.journal.state.runs or engine.parts.journal.state.pending)

    def history(self) -> History:
        """What a checker may know: the journal on the disk, the world's ledger, what was acknowledged."""
        return History(
            lines=[from_body(record.seq, record.body) for record in self.store.disk.records],
            arrivals=self.world.arrivals,
            acks=[json.loads(sent) for sent in self.acks],
        )


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A fresh world; what happened in it is judged at the end by a program that shares no code with the engine."""
    made = Rig()
    yield made
    if made.file is not None:
        return  # its history is spoiled on purpose: there is no whole one to judge
    found = [violation for violation in judge(made.history()) if violation.guarantee not in made.blemishes]
    assert not found, "\n".join(map(str, found))
