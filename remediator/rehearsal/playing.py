"""One test from its start to its end: the real engine, journal, guards and rules, over a world that touches nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from remediator.config.cases import Case
from remediator.config.cases_model import AlertShape, ByHandShape, PersonShape
from remediator.core import entries as e
from remediator.core.consequences import Routing
from remediator.core.fitting import Fitting
from remediator.core.fleet import FirstRuns, FleetLimits
from remediator.core.rules import Ruleset
from remediator.core.state import State
from remediator.engine.effects import DryEffects, LiveEffects
from remediator.engine.journal import Journal
from remediator.engine.parts import Config, Parts
from remediator.engine.supervisor import Engine
from remediator.errors import RefusedRequest
from remediator.guards.all_guards import all_guards
from remediator.ports import Catalogue, Message
from remediator.rehearsal.answers import Asked
from remediator.rehearsal.loop import VirtualClock, VirtualLoop
from remediator.rehearsal.world import ScriptedAction, ScriptedMonitor, ScriptedProbe, ScriptedReceiver, World
from remediator.service.reloading import loaded_fact
from remediator.stores.memory import MemoryStore

PERSON = "ana"
# An alert's own start lies so far before it is received (s), but never before its last end.
FIRED_BEFORE = 300.0
# How long a test goes on at most, if it does not say (s), and how often it is looked whether anything is left.
LONGEST = 86_400.0
LOOK_EVERY = 60.0
SEVERITIES = ("critical", "error", "warning", "info")
ESCALATE = "escalate"
KEY = b"rehearsal" * 4
# How long a start takes, before anything happens (s).
READY = 0.5
# As on a service that has been there for long: a test is not about its first start.
FLEET = FleetLimits(first_runs=FirstRuns(runs=10_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of one test: the journal, what was asked and said, and whom people were told."""

    start: float
    entries: tuple[e.Entry, ...]
    state: State
    ruleset: Ruleset
    messages: tuple[tuple[str, Message], ...]
    asked: tuple[Asked, ...]
    unused: tuple[str, ...]
    refused: tuple[tuple[tuple[str | int, ...], str], ...] = ()


def play(case: Case, ruleset: Ruleset, catalogue: Catalogue) -> Played:
    """Plays one test in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_Play(case, _chosen(case, ruleset), catalogue).play())


def _chosen(case: Case, ruleset: Ruleset) -> Ruleset:
    """The rules without the schedules that the test is not about: they would come due in the middle of it."""
    due = case.shape.schedule.rule if case.shape.schedule is not None else ""
    rules = tuple(rule for rule in ruleset.rules if rule.schedule is None or rule.name == due)
    return replace(ruleset, rules=rules)


def _without_schedules(ruleset: Ruleset) -> Ruleset:
    """The same rules, none of which comes due again: a test that does not say how long it lasts is about one time."""
    return replace(ruleset, rules=tuple(replace(rule, schedule=None) for rule in ruleset.rules))


def beginning(case: Case, ruleset: Ruleset) -> float:
    """When the test begins (unix s): as it says, or a second before its rule comes due."""
    if case.shape.schedule is None:
        return case.start
    rule = ruleset.rule(case.shape.schedule.rule)
    following = rule.schedule.following(case.start) if rule is not None and rule.schedule is not None else None
    return following - 1.0 if following is not None else case.start


@dataclass
class _Play:
    case: Case
    ruleset: Ruleset
    catalogue: Catalogue
    store: MemoryStore = field(default_factory=MemoryStore)
    boots: int = 0
    refused: list[tuple[tuple[str | int, ...], str]] = field(default_factory=list)

    async def play(self) -> Played:
        shape = self.case.shape
        start = beginning(self.case, self.ruleset)
        self.clock = VirtualClock(asyncio.get_running_loop(), start)
        self.world = World.of(shape, self.clock)
        self.monitor = ScriptedMonitor(self.world)
        todo = sorted(self._todo(), key=lambda one: one[0])
        stop = shape.stop
        if stop is not None:
            async with self._engine() as engine:
                todo = await self._do(engine, todo, stop.at)
                await self._until(stop.at)
            await self._until(stop.at + stop.lasts)
        async with self._engine() as engine:
            await self._do(engine, todo, float("inf"))
            await self._rest(engine)
            state = engine.parts.journal.state
        entries = tuple(e.decode(record.seq, record.body) for record in self.store.disk.records)
        return Played(
            start=start,
            entries=entries,
            state=state,
            ruleset=self.ruleset,
            messages=tuple(self.world.messages),
            asked=tuple(self.world.answers.asked),
            unused=(*self.world.answers.unused(), *self.world.outcomes.unused(), *self.world.undos.unused()),
            refused=tuple(self.refused),
        )

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────
    def _todo(self) -> list[tuple[float, Callable[[Engine], Awaitable[None]]]]:
        shape = self.case.shape
        alerts = [shape.alert] if shape.alert is not None else shape.alerts or []
        todo: list[tuple[float, Callable[[Engine], Awaitable[None]]]] = []
        for alert in alerts:
            began = _began(alert, alerts)
            todo.append((alert.at, self._sending(alert, began, None)))
            if alert.resolves is not None:
                todo.append((alert.resolves, self._sending(alert, began, alert.resolves)))
        if shape.by_hand is not None:
            todo.append((shape.by_hand.at, self._by_hand(shape.by_hand)))
        todo += [(person.at, self._deed(place, person)) for place, person in enumerate(shape.people)]
        return todo

    def _sending(self, alert: AlertShape, began: float, ends: float | None) -> Callable[[Engine], Awaitable[None]]:
        async def send(engine: Engine) -> None:
            await engine.intake.accept(_body(alert, self.clock.now() - self.clock.passed, began, ends), "test")

        return send

    def _by_hand(self, order: ByHandShape) -> Callable[[Engine], Awaitable[None]]:
        async def run(engine: Engine) -> None:
            await engine.desk.run(order.playbook, params=order.arguments, by=PERSON, reason="as the test says")

        return self._allowed(("by_hand",), run)

    def _deed(self, place: int, person: PersonShape) -> Callable[[Engine], Awaitable[None]]:
        async def act(engine: Engine) -> None:
            await _act(engine, person)

        return self._allowed(("people", place), act)

    def _allowed(
        self, where: tuple[str | int, ...], deed: Callable[[Engine], Awaitable[None]]
    ) -> Callable[[Engine], Awaitable[None]]:
        """`deed`, or a note that the service refused it."""

        async def attempt(engine: Engine) -> None:
            try:
                await deed(engine)
            except RefusedRequest as refusal:
                self.refused.append((where, str(refusal)))

        return attempt

    async def _do(
        self, engine: Engine, todo: Sequence[tuple[float, Callable[[Engine], Awaitable[None]]]], until: float
    ) -> list[tuple[float, Callable[[Engine], Awaitable[None]]]]:
        """Does what is to be done up to `until`; gives what is left."""
        for at, deed in todo:
            if at > until:
                break
            await self._until(at)
            await deed(engine)
        return [one for one in todo if one[0] > until]

    async def _until(self, passed: float) -> None:
        if passed > self.clock.passed:
            await self.clock.sleep(passed - self.clock.passed)

    async def _rest(self, engine: Engine) -> None:
        lasts = self.case.shape.lasts
        if lasts is not None:
            await self._until(lasts)
            return
        await self.clock.sleep(LOOK_EVERY)
        while self.clock.passed < LONGEST and not _idle(engine.parts.journal.state):
            await self.clock.sleep(LOOK_EVERY)

    # ── the engine ───────────────────────────────────────────────────────────────────────────────────────────────────
    @asynccontextmanager
    async def _engine(self) -> AsyncIterator[Engine]:
        parts = self.running = self._parts()
        engine = Engine(parts)
        parts.journal.listen(self._learn)
        await parts.journal.open()
        lane = asyncio.ensure_future(parts.journal.run())
        work = asyncio.ensure_future(engine.run("rehearsal"))
        fact = loaded_fact(parts.config, by="start")
        await parts.journal.commit(lambda _state, _moment: [fact])
        await self.clock.sleep(READY)
        try:
            yield engine
        finally:
            for task in (work, lane):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, BaseExceptionGroup):
                    await task
            await self.store.close()

    def _learn(self, entries: Sequence[e.Entry], _before: State, after: State) -> None:
        self.monitor.newest = after
        self.world.know(after)
        if self.case.shape.lasts is None and any(isinstance(entry.fact, e.ScheduleDue) for entry in entries):
            self.running.config = replace(self.running.config, ruleset=_without_schedules(self.ruleset))

    def _parts(self) -> Parts:
        self.boots += 1
        world, real = self.world, self.catalogue
        actions = {kind: ScriptedAction(action, world) for kind, action in real.actions.items()}
        live = LiveEffects(actions, self.clock)
        routes = {severity: (severity,) for severity in SEVERITIES}
        return Parts(
            journal=Journal(self.store, self.clock, key=KEY, replica="test", boot=f"boot-{self.boots}", host="host"),
            clock=self.clock,
            config=Config(
                ruleset=self.ruleset,
                mode=self.case.mode,
                routing=Routing(by_severity=routes, escalate=(ESCALATE,)),
                fleet=FLEET,
            ),
            guards=all_guards(),
            fittings={kind: _fitting(action) for kind, action in actions.items()},
            effects={False: live, True: DryEffects(live)},
            probes={kind: ScriptedProbe(probe, world) for kind, probe in real.probes.items()},
            oracle=self.monitor,
            signals=self.monitor,
            alerts=self.monitor if world.alertmanager is not None else None,
            receivers={name: ScriptedReceiver(name, world) for name in (*SEVERITIES, ESCALATE)},
        )


def _fitting(action: ScriptedAction) -> Fitting:
    types = {name: param.type for name, param in action.params.items()}
    return Fitting(params=types, faults=action.faults, describe=action.describe)


def _idle(state: State) -> bool:
    return not (state.runs or state.undos or state.pending or state.outbox)


def _began(alert: AlertShape, alerts: Sequence[AlertShape]) -> float:
    """When an alert began to fire, since the start of the test (s): the same alert fires again only after it has ended."""
    ends = [other.resolves for other in alerts if other.labels == alert.labels and other.resolves is not None]
    return max([alert.at - FIRED_BEFORE, *(end + 1.0 for end in ends if end < alert.at)])


def _body(alert: AlertShape, start: float, began: float, ends: float | None) -> bytes:
    wire = {
        "status": "firing" if ends is None else "resolved",
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "startsAt": _wire_time(start + began),
        "endsAt": "0001-01-01T00:00:00Z" if ends is None else _wire_time(start + ends),
    }
    body: Mapping[str, object] = {"version": "4", "receiver": "test", "groupKey": "{}:{}", "alerts": [wire]}
    return json.dumps(body).encode()


def _wire_time(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────────
async def _act(engine: Engine, person: PersonShape) -> None:
    desk = engine.desk
    scope = f"rule:{person.rule}" if person.rule else "all"
    if person.pause:
        await desk.pause(scope=scope, reason=person.pause, by=PERSON, seconds=person.lasts)
        return
    if person.resume:
        await desk.resume(scope=scope, by=PERSON)
        return
    name, digest = _meant(engine.parts.journal.state, person)
    if person.approve:
        await desk.approve(name, digest=digest, by=PERSON, reason=person.approve)
    elif person.reject:
        await desk.reject(name, by=PERSON, reason=person.reject)
    elif person.decide:
        await desk.decide(name, decision=person.decide, by=PERSON, reason="as the test says")
    else:
        await desk.undo(name, by=PERSON)


def _meant(state: State, person: PersonShape) -> tuple[str, str]:
    """The incident that a person means, and the digest of its plan: that of the rule named, or the only one."""
    runs = [run for run in state.active_runs if person.rule in {None, run.plan.rule}]
    if len(runs) == 1:
        return runs[0].incident, runs[0].digest
    left = {undo.incident for undo in state.undos.values()}
    if not runs and len(left) == 1:
        return next(iter(left)), ""
    found = "none" if not runs and not left else "several"
    raise RefusedRequest(409, f"which incident? There are {found}; say rule: …")
