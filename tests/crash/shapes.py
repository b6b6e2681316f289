"""Eight shapes of playbooks, played on a real SQLite file before a target that keeps its own ledger.

A shape says what the world is like and what Alertmanager and people do, who know of no crash and try again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from remediator.actions.people import Notify
from remediator.core import entries as e
from remediator.core.outcomes import UndoResult, failed, failed_for_now
from remediator.core.rendering import parse_template
from remediator.core.rules import Mode
from remediator.core.state import RunStatus
from remediator.engine.effects import LiveEffects
from remediator.engine.parts import Parts
from remediator.engine.supervisor import Engine
from tests.crash.mortal import Clocks, Points, Shared
from tests.crash.target import Outside
from tests.engine.conftest import Rig, VirtualClock, World, alert, body, fitting, playbook, step


class LastingClock(VirtualClock):
    """Goes on where the clocks of the life before stood: a process dies, the machine and its monotonic clock do not."""

    def __init__(self, shared: Shared, points: Points) -> None:
        super().__init__()
        self.wall, self.mono = shared.get()[1]
        self._points = points

    def _move(self, mono: float) -> None:
        super()._move(mono)
        self._points.moved((self.wall, self.mono))


@dataclass
class LedgerWorld(World):
    """A world whose ledger is a file; what it scripted and what stands is what the file says."""

    outside: Outside | None = None
    points: Points | None = None

    def remember(self) -> None:
        """Takes up the script where the ledger ends."""
        assert self.outside is not None
        for line in self.outside.arrivals():
            self.standing = set(line["standing"])
            if line["what"] == "message":
                del self.told[:1]
            else:
                self.ledger.append((line["what"], line["kind"], line["key"]))
                del (self.undo_results if line["what"] == "undo" else self.outcomes.get(line["kind"], []))[:1]

    async def arrive(self, what: str, kind: str, key: str) -> None:
        """An effect reaches the target: a process may die while it is on its way, and while the answer is."""
        self.ledger.append((what, kind, key))
        await self._note(what, kind, key)

    async def message(self, _what: str) -> None:
        """A message reaches people."""
        await self._note("message", self.messages[-1].subject, self.messages[-1].id)

    async def _note(self, what: str, kind: str, key: str) -> None:
        assert self.outside is not None
        assert self.points is not None
        self.points.meet(f"before {what} {kind}")
        self.outside.arrive({"what": what, "kind": kind, "key": key, "standing": sorted(self.standing)})
        self.points.meet(f"after {what} {kind}")


class CrashRig(Rig):
    """A rig whose engines also know how to tell people in a step."""

    def parts(self) -> Parts:
        """The parts of the next engine."""
        parts = super().parts()
        live = parts.effects[False]
        assert isinstance(live, LiveEffects)
        tell = Notify(parts.receivers)
        live._actions = {**live._actions, tell.kind: tell}
        return replace(parts, fittings={**parts.fittings, tell.kind: fitting(tell)})


@dataclass
class Life:
    """One process, from its start to its end."""

    rig: CrashRig
    outside: Outside
    points: Points

    async def deliver(self, engine: Engine, number: int, content: bytes) -> None:
        """Alertmanager sends, and remembers that it was told 2xx, if it was told."""
        accepted = await engine.intake.accept(content, "test")
        self.points.meet(f"before ack {number}")
        self.outside.acknowledged({"number": number, "entry": accepted.entry, "body": content.decode()})
        self.points.meet(f"after ack {number}")


Act = Callable[[Life, Engine], Awaitable[object] | None]
SECOND = alert()
SECOND["labels"] = {**SECOND["labels"], "severity": "warning"}  # type: ignore[dict-item]


def _sends(number: int, *alerts: Mapping[str, object], after_effect: str = "") -> Act:
    """Alertmanager sends this until it was told 2xx, once an effect of this kind was seen."""

    def act(life: Life, engine: Engine) -> Awaitable[object] | None:
        if any(ack["number"] == number for ack in life.outside.acks()):
            return None
        if after_effect and not life.rig.world.count("do", after_effect):
            return None
        return life.deliver(engine, number, body(*alerts))

    return act


def _approves(_life: Life, engine: Engine) -> Awaitable[object] | None:
    """Ana says yes to whatever asks her."""
    waiting = [run for run in engine.parts.journal.state.runs.values() if run.status is RunStatus.AWAITING_APPROVAL]
    return engine.desk.approve(waiting[0].id, digest=waiting[0].digest, by="ana") if waiting else None


@dataclass(frozen=True, kw_only=True)
class Shape:
    """`prepare` sets the stage, `results` are the ends that its run may come to; `notifications` are sent in all.

    A `doubtful` one may also end with a person, who alone can find out whether a `once` step happened.
    """

    prepare: Callable[[CrashRig], None]
    acts: tuple[Act, ...]
    results: tuple[str, ...]
    doubtful: bool = False
    notifications: int = 1


def _plain(rig: CrashRig) -> None:
    rig.playbooks = (playbook(step("read"), step("once", attempts=3), step("safe", attempts=4)),)


def _approval(rig: CrashRig) -> None:
    rig.mode = Mode.APPROVE
    rig.playbooks = (playbook(step("keyed", attempts=4)),)


def _temporary(rig: CrashRig) -> None:
    rig.playbooks = (playbook(step("keyed_lasting", undo_after=300.0, attempts=4)),)
    rig.world.undo_results = [UndoResult.FAILED]


def _rollback(rig: CrashRig) -> None:
    steps = (step("safe_lasting", attempts=4), step("keyed_lasting", attempts=4), step("read"))
    rig.playbooks = (playbook(*steps),)
    rig.world.outcomes["read"] = [failed("refused")] * 4


def _retry(rig: CrashRig) -> None:
    rig.playbooks = (playbook(step("read"), step("safe", attempts=6)),)
    rig.world.outcomes["safe"] = [failed_for_now("503"), failed_for_now("503")]
    rig.world.told = [failed_for_now("busy")]


def _dry(rig: CrashRig) -> None:
    rig.mode = Mode.DRY_RUN


def _joined(rig: CrashRig) -> None:
    first = step("keyed_lasting", undo_after=400.0, attempts=4)
    rig.playbooks = (playbook(first, step("safe", attempts=4), step("keyed", attempts=4)),)
    rig.world.outcomes["safe"] = [failed_for_now("503")]  # so that the others arrive in the middle of the run


def _tell(rig: CrashRig) -> None:
    arguments = {"receiver": parse_template("people"), "text": parse_template("look at {{ params.domain }}")}
    told = replace(step("safe", attempts=4), action="notify", arguments=arguments)
    rig.playbooks = (playbook(told, verify=()),)


FIRST = _sends(1, alert())
SHAPES: dict[str, Shape] = {
    "plain": Shape(prepare=_plain, acts=(FIRST,), results=("succeeded",), doubtful=True),
    "approval": Shape(prepare=_approval, acts=(FIRST, _approves), results=("succeeded",)),
    "temporary": Shape(prepare=_temporary, acts=(FIRST,), results=("succeeded",)),
    "rollback": Shape(prepare=_rollback, acts=(FIRST,), results=("rolled_back",)),
    "retry": Shape(prepare=_retry, acts=(FIRST,), results=("succeeded",)),
    "dry-run": Shape(prepare=_dry, acts=(FIRST,), results=("simulated",)),
    "joined": Shape(
        prepare=_joined,
        acts=(FIRST, _sends(2, alert(), SECOND, after_effect="keyed_lasting"), _sends(3, alert(), after_effect="safe")),
        results=("succeeded",),
        notifications=3,
    ),
    "notification": Shape(prepare=_tell, acts=(FIRST,), results=("unverified",)),
}


def rig_for(shape: Shape, root: Path, shared: Shared, points: Points) -> CrashRig:
    """The stage of `shape` as the life before left it."""
    world = LedgerWorld(outside=Outside(root), points=points)
    world.witness = world.message
    rig = CrashRig(clock=LastingClock(shared, points), world=world, starts=shared.get()[2])
    shape.prepare(rig)
    world.remember()
    return rig


def begins() -> Clocks:
    """When every story begins, by the wall clock and by the monotonic clock."""
    clock = VirtualClock()
    return clock.wall, clock.mono


def rests(shape: Shape, life: Life, engine: Engine) -> bool:
    """Whether nobody has anything to do any more."""
    state = engine.parts.journal.state
    if len(life.outside.acks()) < shape.notifications or state.pending or state.undos or state.outbox:
        return False
    return all(run.status is RunStatus.NEEDS_PERSON for run in state.runs.values())


def planned_attempts(facts: list[e.AnyFact]) -> Counter[str]:
    """How often each step may be issued at most, by its key."""
    return Counter({
        f"{fact.run}/{place}": one.attempts
        for fact in facts if isinstance(fact, e.RunPlanned)
        for place, one in enumerate(fact.plan.steps)
    })  # fmt: skip
