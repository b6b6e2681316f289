"""The whole engine with two or three replicas over one store, every choice from one seed (reliability.md H1).

`python -m tests.sim.simulator --seeds N --start S --jobs J` runs seeds and prints a table row; `--seed S` replays one.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any

from remediator.core import entries as e
from remediator.core.brakes import Brakes, Waves
from remediator.core.consequences import Routing
from remediator.core.outcomes import EffectClass
from remediator.core.rules import Guards, Limit, Mode, Ruleset
from remediator.core.state import EpisodeStatus, RunStatus
from remediator.engine import leases
from remediator.engine.effects import DryEffects, LiveEffects
from remediator.engine.journal import Journal
from remediator.engine.parts import Config, Parts
from remediator.engine.supervisor import Engine
from remediator.errors import RefusedRequest, StoreError
from remediator.guards.all_guards import all_guards
from remediator.stores.faults import Fault, Faults
from remediator.stores.memory import Disk, MemoryStore
from tests.engine.conftest import alert, body, fitting, playbook, rule, step
from tests.sim.judge import Judge
from tests.sim.loop import REPLICA, SimClock, SimLoop, StandsStill
from tests.sim.target import SimAction, SimNeighbour, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from remediator.core.chain import Head
    from remediator.core.entries import Record
    from remediator.core.rules import Playbook
    from remediator.ports import IncidentRow

WALL = 1_790_000_000.0
DOMAINS = ("a.example", "b.example", "c.example")
# Ends of runs and of messages are times by the wall clock of whoever set them, which may be four hours ahead. Undos go
# by what has provably passed: none is late for longer than a process may stand still, and the others take its word for it.
SCRIPT, SETTLE = 400.0, 6 * 3600.0
STEPS = (-7200.0, -60.0, 60.0, 7200.0)  # how far a wall clock may be off
ACTIONS = {f"{effect}{tail}": (effect, bool(tail)) for effect in EffectClass for tail in ("", "_lasting")}
DECISIONS = ("mark_done", "continue", "rollback", "abort")


class SimStore(MemoryStore):
    """A replica's hold on the disk: slow now and then, faulty as planned, watched by the judge."""

    def __init__(self, sim: Sim, faults: Faults) -> None:
        super().__init__(sim.disk, faults, shared=sim.loop.time)
        self._sim = sim

    async def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow] = ()) -> Head:
        sim = self._sim
        if sim.faulty and sim.random.random() < 0.08:
            fault = sim.random.choice(list(Fault))
            sim.marks[f"store {fault}"] += 1
            self.faults.next(fault)
        if sim.faulty and sim.random.random() < 0.05:
            sim.marks["store delay"] += 1
            await asyncio.sleep(sim.random.choice((0.5, 3.0)))
        try:
            return await super().append(expect, records, rows)
        finally:
            sim.judge.read(sim.disk.records, sim.loop.time())
            if sim.faulty and records and records[-1].kind == "step.intent" and sim.random.random() < 0.05:
                sim.marks["paused between intent and issue"] += 1
                sim.loop.paused[REPLICA.get()] = sim.loop.time() + sim.random.choice((3.0, 20.0, 100.0))

    async def heartbeat(self, holder: str, ttl: float) -> None:
        if self._sim.outage:
            self._sim.marks["heartbeat lost"] += 1
            raise StoreError("away")
        await super().heartbeat(holder, ttl)


@dataclass
class Member:
    """One process of one replica."""

    name: str
    boot: str
    engine: Engine
    clock: SimClock
    faults: Faults
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)


@dataclass
class Sim:
    """One seed."""

    seed: int
    tells: bool = (
        False  # targets of `once` steps can be asked, as the weaker designs want it, and the trouble is of theirs
    )
    shape: int | None = None  # always this playbook

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.marks: Counter[str] = Counter()
        self.loop = SimLoop(Random(self.random.random()))
        self.disk = Disk()
        self.target = Target(Random(self.random.random()), self.loop, self.marks, tells=self.tells)
        self.judge = Judge(self.marks)
        leases.LOOK_EVERY = 30.0  # hints are not lost here, and looking costs turns
        self.target.arrived = lambda kind, key: self.judge.arrived(kind, key, key in self.target.late)
        self.members: dict[str, Member] = {}
        self.boots = 0
        self.faulty = True
        self.outage = False
        self.clocks: dict[str, SimClock] = {}
        self.sound = self.random.random() < 0.6  # whether clocks are let alone: a step holds back much else
        self.acks: list[tuple[int, bytes]] = []
        self.everybody: list[Member] = []
        self.mode = self.random.choice((Mode.AUTO, Mode.AUTO, Mode.APPROVE))
        shape = self.random.randrange(len(PLAYBOOKS))
        self.playbook = PLAYBOOKS[shape if self.shape is None else self.shape]()

    # ── replicas ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def _config(self) -> Config:
        limit = Limit(2, 600.0)
        brakes = Brakes(waves=Waves(first=2))
        guards = Guards(cooldown=60.0, rate_limit=limit, blast_radius=limit, concurrency=2, brakes=brakes)
        first = rule()
        ladder = (*first.ladder, replace(first.ladder[0], playbook="second"))
        second = playbook(step("keyed"), name="second")
        rules = (replace(first, guards=guards, mode=self.mode, ladder=ladder),)
        playbooks = {self.playbook.name: self.playbook, second.name: second}
        ruleset = Ruleset(rules=rules, playbooks=playbooks, digest="digest")
        routing = Routing(by_severity={"critical": ("people",)}, escalate=("people",))
        return Config(ruleset=ruleset, mode=self.mode, routing=routing)

    def start(self, name: str) -> None:
        """A process begins; it may find a journal and others at work."""
        self.boots += 1
        who = boot = f"{name}-boot{self.boots}"
        clock, faults = self.clock(name), Faults()
        actions = {kind: SimAction(self.target, kind, effect, lasting) for kind, (effect, lasting) in ACTIONS.items()}
        live, neighbour = LiveEffects(actions, clock), SimNeighbour(self.target)
        journal = Journal(SimStore(self, faults), clock, key=b"k" * 32, replica=name, boot=boot, host=clock.host)
        parts = Parts(
            journal=journal,
            clock=clock,
            config=self._config(),
            guards=all_guards(),
            fittings={kind: fitting(action) for kind, action in actions.items()},
            effects={False: live, True: DryEffects(live)},
            probes={"promql": neighbour},
            oracle=neighbour,
            receivers={"people": neighbour},
        )
        member = Member(name, boot, Engine(parts), clock, faults)
        self.members[name] = member
        self.everybody.append(member)
        member.tasks.append(self.within(who, self._live(member)))

    def clock(self, name: str) -> SimClock:
        """The clocks of this replica's machine; it may have been booted, or its wall clock stepped, while it was away."""
        clock = self.clocks.setdefault(name, SimClock(self.loop, WALL, f"{name}-host"))
        if self.sound or self.boots <= 3:
            return clock
        if self.random.random() < 0.3:
            self.marks["machine booted"] += 1
            clock.boot(f"{name}-host{self.boots}")
        if self.faulty and self.random.random() < 0.3:
            self.marks["clock stepped while away"] += 1
            clock.wall = WALL + self.random.choice(STEPS)
        return clock

    def within(self, who: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of that process."""
        context = copy_context()
        context.run(REPLICA.set, who)
        return self.loop.create_task(work, context=context)

    async def _live(self, member: Member) -> None:
        journal = member.engine.parts.journal
        while True:
            try:
                await journal.open()
                break
            except StoreError:
                await asyncio.sleep(1.0)
        member.tasks.append(asyncio.ensure_future(journal.run()))
        await member.engine.run("sim")

    def crash(self, name: str) -> None:
        """The process ends where it stands."""
        self.marks["crash"] += 1
        member = self.members.pop(name)
        self.loop.bury(member.boot)

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────
    async def play(self) -> None:
        """The script, then faults off, then quiescence."""
        names = ["r1", "r2", "r3"][: self.random.choice((2, 2, 3))]
        for name in names:
            self.start(name)
        self.acting: list[asyncio.Task[None]] = []
        end = self.loop.time() + SCRIPT
        while self.loop.time() < end:
            await asyncio.sleep(self.random.choice((0.0, 0.3, 2.0, 10.0, 40.0)))
            self.random.choice(MOVES)(self)
        self.faulty = self.target.faulty = self.outage = False
        for member in self.members.values():
            member.faults.end()
        for name in names:
            if name not in self.members:
                self.start(name)
        await self._settle()

    async def _settle(self) -> None:
        end = self.loop.time() + SETTLE
        while not self._quiet():
            if self.loop.time() > end:
                raise AssertionError(f"G12: no quiescence: {self.judge.state.runs} {self.judge.state.pending}")
            await asyncio.sleep(30.0)
            if any(episode.status is EpisodeStatus.OPEN for episode in self.judge.state.episodes.values()):
                self.resolve(last=True)
            self.ask("resume", lambda engine: engine.desk.resume(scope="all", by="ana"))
            self.decide("abort")
            self.release()

    def _quiet(self) -> bool:
        state = self.judge.state
        busy = state.pending or state.runs or state.undos or state.outbox
        return not (busy or self.loop.paused or any(not task.done() for task in self.acting))

    def some(self) -> Member | None:
        """Any replica that lives."""
        return self.random.choice(list(self.members.values())) if self.members else None

    def ask(
        self, word: str, request: Callable[[Engine], Coroutine[Any, Any, Any]], member: Member | None = None
    ) -> None:
        """Somebody asks one replica for something and does not mind a no."""
        one = member or self.some()
        if one is None:
            return

        async def asked() -> None:
            with suppress(StoreError, RefusedRequest, TimeoutError):
                await request(one.engine)
                self.marks[word] += 1

        one.tasks.append(self.within(one.boot, asked()))

    def deliver(self) -> None:
        """Alertmanager sends to one, to both, twice; until it is told 2xx, or the alert is over."""
        now = WALL + self.loop.time()
        wire = body(alert(self.random.choice(DOMAINS), at=now - self.random.choice((1.0, 30.0))))
        for _ in range(self.random.choice((1, 1, 2, 3))):
            self.send(wire)

    def resolve(self, *, last: bool = False) -> None:
        """An alert resolves, or at the end all that still fire."""
        for domain in DOMAINS if last else [self.random.choice(DOMAINS)]:
            at = WALL + self.loop.time()
            self.send(body(alert(domain, at=at - 60, resolved_at=at)))

    def send(self, wire: bytes) -> None:
        async def accepted(engine: Engine) -> None:
            self.acks.append(((await engine.intake.accept(wire, "test")).entry, wire))

        self.ask("delivered", accepted)

    def decide(self, decision: str) -> None:
        """A person decides on a run that waits for one."""
        for run in self.judge.state.runs.values():
            if run.status is RunStatus.NEEDS_PERSON:
                self.ask(decision, lambda engine, run=run: engine.desk.decide(  # type: ignore[misc]
                    run.id, decision=decision, by="ana", reason="seen"))  # fmt: skip

    def approve(self) -> None:
        """A person says yes."""
        for run in self.judge.state.runs.values():
            if run.status is RunStatus.AWAITING_APPROVAL:
                self.ask("approved", lambda engine, run=run: engine.desk.approve(  # type: ignore[misc]
                    run.id, digest=run.digest, by="ana"))  # fmt: skip

    def reject(self) -> None:
        """A person says no."""
        for run in self.judge.state.runs.values():
            if run.status is RunStatus.AWAITING_APPROVAL:
                self.ask("rejected", lambda engine, run=run: engine.desk.reject(run.incident, by="ana"))  # type: ignore[misc]

    def undo(self) -> None:
        """A person takes something back."""
        for undo in list(self.judge.state.undos.values())[:1]:
            self.ask("undone by hand", lambda engine, run=undo.run: engine.desk.undo(run, by="ana"))  # type: ignore[misc]

    def halt(self) -> None:
        """A person pauses everything, and ends it."""
        if "all" in self.judge.state.pauses:
            self.ask("resumed", lambda engine: engine.desk.resume(scope="all", by="ana"))
            return
        seconds = self.random.choice((90.0, None))
        self.ask("paused by a person", lambda engine: engine.desk.pause(
            scope="all", reason="-", by="ana", seconds=seconds))  # fmt: skip

    def stop_short(self) -> None:
        """A process crashes and, perhaps, comes back at once."""
        member = self.some()
        if member is not None and len(self.members) > 1:
            self.crash(member.name)
            if self.random.random() < 0.5:
                self.start(member.name)

    def freeze(self) -> None:
        """A process stands still."""
        member = self.some()
        if member is not None:
            self.marks["replica paused"] += 1
            self.loop.paused[member.boot] = self.loop.time() + self.random.choice((3.0, 17.0, 45.0, 120.0, 3600.0))

    def step(self) -> None:
        """A replica's wall clock is stepped."""
        member = self.some()
        if member is not None and not self.sound:
            self.marks["clock stepped"] += 1
            member.clock.wall = WALL + self.random.choice(STEPS)

    def release(self) -> None:
        """A person has seen to the clock."""
        if "clock" in self.judge.state.holds:
            self.ask("clock released", lambda engine: engine.desk.release(by="ana", reason="seen"))

    def away(self) -> None:
        """The store is away for all, and comes back."""
        self.outage = not self.outage
        self.marks["outage"] += 1
        for member in self.members.values():
            member.faults.begin(Fault.FAIL_BEFORE) if self.outage else member.faults.end()

    def reload(self) -> None:
        """The rules are loaded again, in another mode perhaps."""
        member = self.some()
        if member is None:
            return
        self.mode = self.random.choice((*(Mode.AUTO,) * 4, Mode.APPROVE, Mode.APPROVE, Mode.DRY_RUN, Mode.OFF))
        member.engine.parts.config = self._config()
        loaded = e.ConfigLoaded(digest="d", rules=(), mode=self.mode.word, longest_window=86400.0)
        journal = member.engine.parts.journal

        async def load(_engine: Engine) -> None:
            await journal.commit(lambda _s, _m: [loaded])

        self.ask("reloaded", load, member)

    # ── the whole ────────────────────────────────────────────────────────────────────────────────────────────────────
    def run(self) -> Sim:
        """Plays the seed and judges it; AssertionError says what broke and how to see it again."""
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(lambda _loop, _what: None)
        try:
            self.loop.run_until_complete(self.play())
            self.judge.read(self.disk.records, self.loop.time())
            self.judge.conclude(self.acks, self.target)
        except (AssertionError, StandsStill) as fault:
            again = f"replay: python -m tests.sim.simulator --seed {self.seed}"
            raise AssertionError(f"seed {self.seed}: {fault}\n{again}") from fault
        finally:
            self._bury()
        return self

    def _bury(self) -> None:
        self.loop.end()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            with suppress(BaseException):
                self.loop.run_until_complete(asyncio.wait(tasks, timeout=50.0))
        self.loop.close()
        asyncio.set_event_loop(None)

    @property
    def journal(self) -> bytes:
        """All bytes of the journal."""
        return b"\n".join(record.body for record in self.disk.records)


MOVES: tuple[Callable[[Sim], None], ...] = (
    Sim.deliver, Sim.deliver, Sim.deliver, Sim.deliver, Sim.resolve, Sim.approve, Sim.approve, Sim.reject, Sim.undo,
    Sim.halt, Sim.stop_short, Sim.freeze, Sim.freeze, Sim.step, Sim.step, Sim.release, Sim.release, Sim.away, Sim.reload,
    lambda sim: sim.decide(sim.random.choice(DECISIONS)), lambda sim: sim.decide(sim.random.choice(DECISIONS)),
)  # fmt: skip
PLAYBOOKS: tuple[Callable[[], Playbook], ...] = (
    lambda: playbook(step("once"), step("safe", attempts=3)),
    lambda: playbook(step("keyed_lasting", undo_after=120.0, attempts=2), step("once"), step("safe")),
    lambda: playbook(step("safe_lasting", undo_after=120.0), step("read"), limit=120.0),
    lambda: playbook(step("once_lasting", undo_after=120.0), step("keyed", attempts=3)),
)


def play(seed: int) -> tuple[int, str, Counter[str]]:
    """The seed, what broke (empty if nothing did), and what was met."""
    sim = Sim(seed)
    try:
        sim.run()
    except AssertionError as fault:
        return seed, str(fault), sim.marks
    return seed, "", sim.marks


def main() -> int:
    """Runs seeds on several processes; 1 if any broke."""
    parser = argparse.ArgumentParser()
    for name, default in (("--seed", -1), ("--start", 0), ("--seeds", 100), ("--jobs", 2)):
        parser.add_argument(name, type=int, default=default)
    asked = parser.parse_args()
    seeds = range(asked.start, asked.start + asked.seeds) if asked.seed < 0 else range(asked.seed, asked.seed + 1)
    marks: Counter[str] = Counter()
    faults = []
    with ProcessPoolExecutor(max_workers=asked.jobs) as pool:
        for _seed, fault, met in pool.map(play, seeds, chunksize=8):
            marks += met
            faults += [fault] if fault else []
    for fault in faults[:20]:
        sys.stdout.write(f"{fault}\n")
    sys.stdout.write(
        f"| simulator | {len(seeds)} seeds from {seeds[0]} | {len(faults)} violations | {len(marks)} marks |\n"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
