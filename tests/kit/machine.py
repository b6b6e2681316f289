"""The model machine: anything may happen, in any order, and a small model says what must hold (reliability.md H6).

    python -m tests.kit.machine --examples 10000 --steps 50 --store memory

Alerts are delivered, repeated, reordered and resolved; time passes; the service is killed and started again; people pause,
resume, approve and reject; rules are loaded anew; the store fails. The model knows two things: which alerts fire, and what
has reached the target, which it sees with the target's own eyes. At the end the judge of histories, which shares no code
with the engine, has its say too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from remediator.core.brakes import Brakes
from remediator.core.rules import Guards, Limit, Mode
from remediator.core.state import EpisodeStatus, RunStatus
from remediator.errors import RefusedRequest, StoreError
from remediator.stores import sqlite as sqlite_module
from remediator.stores import sqlite_place
from remediator.stores.faults import Fault
from tests.kit.histories import History, from_body
from tests.kit.history import judge
from tests.kit.places import InFile, InMemory, Place
from tests.kit.troubled import InlineLane

if TYPE_CHECKING:
    from remediator.engine.supervisor import Engine
    from remediator.ports import Call
    from tests.engine.conftest import Rig

T = TypeVar("T")
DOMAINS = tuple(f"{letter}.example" for letter in "abcd")
# What one rule may do, in either of the two versions that are loaded in turn; the model holds it to the looser one.
# Their windows are short, and the breaker is out of the way, so that a story has many runs.
TIGHT = Guards(
    cooldown=600.0,
    rate_limit=Limit(2, 3600.0),
    blast_radius=Limit(3, 1200.0),
    concurrency=2,
    brakes=Brakes(failures=10_000, relapse=0.0),
)
LOOSE = replace(TIGHT, cooldown=300.0, concurrency=3)
LAPSE = 8 * 3600.0
FIRST_STEP = "0"


@dataclass
class Firing:
    """What the model knows of one alert."""

    fires: bool = False
    number: int = 0
    latest_start: float = 0.0
    ended: float = 0.0
    heard: float = 0.0


@dataclass
class Model:
    """What must be true, told from outside: from what was sent and from what arrived."""

    mode: Mode
    firings: dict[str, Firing] = field(default_factory=lambda: {domain: Firing() for domain in DOMAINS})
    paused: bool = False
    approved: set[str] = field(default_factory=set)
    acts: Counter[str] = field(default_factory=Counter)  # attempts by key, of steps that may be tried once
    began: list[tuple[float, str, str]] = field(default_factory=list)  # (mono, domain, run) of each first step
    seen: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def hear(self, domain: str, starts: float, ends: float | None, now: float) -> None:
        """One alert of an accepted notification (reliability.md §3.2)."""
        known = self.firings[domain]
        if ends is not None:
            if known.fires and ends >= known.latest_start:
                known.fires, known.ended, known.heard = False, ends, now
        elif known.fires:
            known.latest_start, known.heard = max(known.latest_start, starts), now
        elif known.number == 0 or starts > known.ended:
            known.fires, known.number, known.latest_start, known.heard = True, known.number + 1, starts, now

    def arrive(self, call: Call, kind: str, mono: float) -> None:
        """An attempt has reached the target."""
        run, _, step = call.key.partition("/")
        domain = str(call.arguments["domain"])
        if self.paused:
            self.wrong.append(f"G20: {kind} on {domain} ({call.key}) after a pause was acknowledged")
        if self.mode is Mode.DRY_RUN:
            self.wrong.append(f"G9: {kind} on {domain} ({call.key}) in dry-run")
        if self.mode is Mode.APPROVE and run not in self.approved:
            self.wrong.append(f"G21: {kind} on {domain} ({call.key}), and nobody approved {run}")
        if kind == "once":
            self.acts[call.key] += 1
            if self.acts[call.key] > 1:
                self.wrong.append(f"G4: {call.key} arrived {self.acts[call.key]} times and may once")
        if step == FIRST_STEP and run not in self.seen:
            self.seen[run] = mono
            self._begin(mono, domain, run)

    def _begin(self, mono: float, domain: str, run: str) -> None:
        self.began.append((mono, domain, run))
        mine = [at for at, where, _ in self.began if where == domain]
        if len(mine) > 1 and mine[-1] - mine[-2] < LOOSE.cooldown:
            self.wrong.append(f"G5: {domain} was touched {mine[-1] - mine[-2]:g}s after the last run began")
        if len([at for at in mine if mono - at < LOOSE.rate_limit.window]) > LOOSE.rate_limit.count:
            self.wrong.append(f"G5: {domain} was touched more than {LOOSE.rate_limit.count} times within an hour")
        recent = {where for at, where, _ in self.began if mono - at < LOOSE.blast_radius.window}
        if len(recent) > LOOSE.blast_radius.count:
            self.wrong.append(f"G5: {len(recent)} targets were touched within 20 minutes")


class Machine(RuleBasedStateMachine):
    """Everything that may happen. `make_rig` and `make_place` are set by who runs it."""

    make_rig: Callable[[], Rig]
    make_place: Callable[[], Place] = InMemory

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.rig = type(self).make_rig()
        self.place = type(self).make_place()
        self.rig.store = self.place.store()
        self.model = Model(Mode.AUTO)
        self.sent: list[list[dict[str, object]]] = []
        self.engine: Engine | None = None
        self.living: AbstractAsyncContextManager[Engine] | None = None

    def do(self, work: Awaitable[T]) -> T:
        """Lets the loop run until `work` is done."""
        return self.loop.run_until_complete(_as_task(work))

    @property
    def service(self) -> Engine:
        """The one that runs now."""
        assert self.engine is not None
        return self.engine

    @initialize(
        mode=st.sampled_from([*[Mode.AUTO] * 4, Mode.APPROVE, Mode.DRY_RUN]), steps=st.permutations(["safe", "once"])
    )
    def begin(self, mode: Mode, steps: list[str]) -> None:
        """A service in one mode, with a playbook of three steps, two of them in either order."""
        rig = self.rig
        rig.mode = self.model.mode = mode
        rig.rules = (rig.rule(guards=LOOSE, mode=Mode.AUTO),)
        rig.playbooks = (rig.playbook(*map(rig.step, steps), rig.step("keyed_lasting", undo_after=400.0)),)
        rig.world.before_effect = self._arrive
        self._start()

    def _start(self) -> None:
        self.rig.store = self.place.store()
        self.living = self.rig.engine()
        self.engine = self.do(self.living.__aenter__())

    def _arrive(self, call: Call) -> None:
        step = self.service.parts.journal.state.runs[call.key.partition("/")[0]].plan.steps[
            int(call.key.rpartition("/")[2])
        ]
        self.model.arrive(call, step.effect, self.rig.clock.mono)

    # ── the sender ───────────────────────────────────────────────────────────────────────────────────────────────────
    def _deliver(self, alerts: list[dict[str, object]]) -> None:
        content = self.rig.body(*alerts)
        try:
            self.do(self.rig.ask(self.service.intake.accept(content, "test")))
        except StoreError:
            return  # it was not taken, and the sender knows
        self.rig.acks.append(content)
        now = self.rig.clock.wall
        ends = {_domain(alert): _time(alert, "endsAt") for alert in alerts if alert["status"] == "resolved"}
        for alert in alerts:
            domain = _domain(alert)
            firing = alert["status"] == "firing"
            self.model.hear(domain, _time(alert, "startsAt"), None if firing else min(ends[domain], now + 300.0), now)

    @rule(domains=st.sets(st.sampled_from(DOMAINS), min_size=1, max_size=3), age=st.sampled_from([0.0, 1.0, 60.0]))
    def fire(self, domains: set[str], age: float) -> None:
        """Alerts of one group fire."""
        alerts = [dict(self.rig.alert(domain, at=self.rig.clock.wall - age)) for domain in sorted(domains)]
        self.sent.append(alerts)
        self._deliver(alerts)

    @rule(domain=st.sampled_from(DOMAINS), seconds=st.sampled_from([90.0, 500.0]))
    def refire(self, domain: str, seconds: float) -> None:
        """It ends, fires again, and time passes: what makes runs."""
        self.resolve(domain)
        self.tick(1.0)
        self.fire({domain}, 0.0)
        self.tick(seconds)

    @rule(domain=st.sampled_from(DOMAINS))
    def resolve(self, domain: str) -> None:
        """It does not fire any more."""
        now = self.rig.clock.wall
        alerts = [dict(self.rig.alert(domain, at=now - 120.0, resolved_at=now))]
        self.sent.append(alerts)
        self._deliver(alerts)

    @rule(which=st.integers(0, 30), times=st.integers(1, 2))
    def repeat(self, which: int, times: int) -> None:
        """What was sent before comes again: a retry, a repeat, the other one of a pair, late or in another order."""
        for _ in range(times if self.sent else 0):
            self._deliver(self.sent[-1 - which % len(self.sent)])

    # ── time and trouble ─────────────────────────────────────────────────────────────────────────────────────────────
    @rule(seconds=st.sampled_from([1.0, 20.0, 90.0, 320.0, 700.0, 1900.0]))
    def tick(self, seconds: float) -> None:
        """Time passes."""
        self.do(self.rig.clock.run(seconds))

    @rule(down=st.sampled_from([0.0, 5.0, 900.0]))
    def crash(self, down: float) -> None:
        """The service dies where it stands, and is started again later."""
        assert self.living is not None
        self.do(self.living.__aexit__(None, None, None))
        self.do(self.rig.clock.run(down))
        self._start()

    @rule(fault=st.sampled_from(list(Fault)), count=st.integers(1, 4))
    def fail_store(self, fault: Fault, count: int) -> None:
        """The next appends fail."""
        for number in range(1, count + 1):
            self.place.faults.on(self.place.faults.appends + number, fault)

    # ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────
    @precondition(lambda self: not self.model.paused)
    @rule()
    def pause(self) -> None:
        """Somebody stops everything."""
        if self._asked(self.service.desk.pause(scope="all", reason="r", by="ana")):
            self.model.paused = True

    @precondition(lambda self: self.model.paused)
    @rule()
    def resume(self) -> None:
        """And lets it go on."""
        was, self.model.paused = self.model.paused, False  # from the moment on at which it is asked for
        if not self._asked(self.service.desk.resume(scope="all", by="ana")):
            self.model.paused = was and "all" in self.service.parts.journal.state.pauses

    @precondition(lambda self: self.model.mode is Mode.APPROVE)
    @rule(say=st.sampled_from(["yes", "yes", "no"]))
    def answer(self, say: str) -> None:
        """Somebody answers the oldest question."""
        waiting = [
            run for run in self.service.parts.journal.state.runs.values() if run.status is RunStatus.AWAITING_APPROVAL
        ]
        if not waiting:
            return
        run = waiting[0]
        if say == "no":
            self._asked(self.service.desk.reject(run.id, by="ana"))
            return
        self.model.approved.add(run.id)  # from the moment on at which it is asked for
        if not self._asked(self.service.desk.approve(run.id, digest=run.digest, by="ana")):
            known = self.service.parts.journal.state.runs.get(run.id)
            if known is None or not known.approved_by:
                self.model.approved.discard(run.id)

    @rule(tight=st.booleans())
    def reload(self, tight: bool) -> None:
        """Other limits are loaded."""
        try:
            guards = TIGHT if tight else LOOSE
            self.do(self.rig.reload(self.service, self.rig.rule(guards=guards, mode=Mode.AUTO), mode=self.model.mode))
        except StoreError:
            return

    def _asked(self, request: Awaitable[object]) -> bool:
        try:
            self.do(self.rig.ask(request))
        except (StoreError, RefusedRequest):
            return False
        return True

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────
    @invariant()
    def nothing_forbidden_has_arrived(self) -> None:
        """Limits, pause, approval, dry-run, once."""
        assert not self.model.wrong, self.model.wrong

    @invariant()
    def the_same_alerts_fire(self) -> None:
        """As soon as nothing waits, the service knows what the model knows."""
        if self.engine is None or self.service.parts.journal.state.pending:
            return
        state, now = self.service.parts.journal.state, self.rig.clock.wall
        known = {str(one.labels.get("domain")): one for one in state.episodes.values()}
        for domain, firing in self.model.firings.items():
            found = known.get(domain)
            if firing.number and found is not None and now - firing.heard < LAPSE / 2:
                is_open = found.status is EpisodeStatus.OPEN
                assert (is_open, found.number) == (firing.fires, firing.number), (domain, found, firing)
            elif found is not None and found.status is EpisodeStatus.LAPSED:
                firing.fires, firing.ended = False, max(firing.ended, found.ends_at or 0.0)

    def teardown(self) -> None:
        """Left alone, everything comes to an end, and the judge finds nothing."""
        try:
            if self.engine is not None:
                self._end()
        finally:
            self.loop.close()

    def _end(self) -> None:
        assert self.living is not None
        self.place.faults.end()
        self.model.paused = False
        while "all" in self.service.parts.journal.state.pauses:
            self._asked(self.service.desk.resume(scope="all", by="ana"))
        self.do(self.rig.clock.run(4 * 3600.0))
        state = self.service.parts.journal.state
        self.do(self.living.__aexit__(None, None, None))
        assert not state.pending, "G2: notifications without a disposition"
        assert not [undo for undo in state.undos.values() if undo.due_at < self.rig.clock.wall - 3600], "G10"
        lines = [from_body(seq, body) for seq, body in self.place.lines()]
        history = History(lines=lines, arrivals=self.rig.world.arrivals, acks=_bodies(self.rig.acks))
        found = judge(history)
        assert not found, "\n".join(map(str, found))
        assert not self.model.wrong, self.model.wrong


async def _as_task(work: Awaitable[T]) -> T:
    return await work


def _bodies(acks: Sequence[bytes]) -> list[Any]:
    return [json.loads(sent) for sent in acks]


def _domain(alert: dict[str, Any]) -> str:
    return str(alert["labels"]["domain"])


def _time(alert: dict[str, Any], name: str) -> float:
    return datetime.fromisoformat(str(alert[name])).timestamp()


def play(
    make_rig: Callable[[], Rig],
    make_place: Callable[[], Place],
    *,
    examples: int,
    steps: int,
    phases: Sequence[Phase] = tuple(Phase),
) -> None:
    """Plays so many examples of so many steps; AssertionError with the shortest story that breaks a promise."""
    kind = type("Machine", (Machine,), {"make_rig": staticmethod(make_rig), "make_place": staticmethod(make_place)})
    run_state_machine_as_test(
        kind,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if no story broke a promise."""
    from tests.engine.conftest import Rig

    parser = argparse.ArgumentParser(prog="machine", description=__doc__)
    parser.add_argument("--examples", type=int, default=300)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--store", choices=["memory", "sqlite"], default="memory")
    asked = parser.parse_args(arguments)
    sqlite_module.Lane = InlineLane  # type: ignore[attr-defined]
    sqlite_place.BALLAST_BYTES = 4096
    play(Rig, InMemory if asked.store == "memory" else InFile, examples=asked.examples, steps=asked.steps)
    print(f"| machine, {asked.store} | {asked.examples} examples of {asked.steps} steps | 0 violations |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
