"""Crashes everywhere: before and after every append, and between every effect and its outcome; then a second crash.

A crash is the end of everything at one instant: the store answers no more, no task goes on, and a new engine starts over
the same disk. What the targets saw is judged by the world's own ledger, never by our journal (reliability.md H2, H5).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from remediator.core import entries as e
from remediator.core.chain import Head
from remediator.core.fold import fold
from remediator.core.outcomes import Look, Observation, UndoResult, failed, failed_for_now
from remediator.core.rules import Mode, Rung
from remediator.core.state import RunStatus, State
from remediator.engine.supervisor import Engine
from remediator.errors import RefusedRequest
from remediator.stores.memory import Disk, MemoryStore
from tests.kit.history import judge

if TYPE_CHECKING:
    from remediator.core.entries import Record
    from remediator.ports import IncidentRow
    from tests.engine.conftest import Rig

pytestmark = pytest.mark.heavy

BEFORE, AFTER, EFFECT = "before append", "after append", "after arrival"
Point = tuple[int, str]


@dataclass
class Reaper:
    """Counts appends and arrivals, and ends everything at the points it was given."""

    points: list[Point] = field(default_factory=list)
    appends: int = 0
    arrivals: int = 0
    dead: bool = False

    async def meet(self, count: int, where: str) -> None:
        """Dies here if this is the next point; the dead never go on."""
        if self.points and self.points[0] == (count, where):
            self.points.pop(0)
            self.dead = True
        if self.dead:
            await asyncio.get_running_loop().create_future()

    async def witness(self, _what: str) -> None:
        """An arrival at a target or a person."""
        self.arrivals += 1
        await self.meet(self.arrivals, EFFECT)


class MortalStore(MemoryStore):
    """A process's hold on the disk, which ends with the process."""

    def __init__(self, disk: Disk, reaper: Reaper) -> None:
        super().__init__(disk)
        self._reaper = reaper

    async def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow] = ()) -> Head:
        """Counts, and may die on either side of the commit."""
        self._reaper.appends += 1
        count = self._reaper.appends
        await self._reaper.meet(count, BEFORE)
        head = await super().append(expect, records, rows)
        await self._reaper.meet(count, AFTER)
        return head


Act = Callable[["Play", Engine], Awaitable[object] | None]


@dataclass
class Play:
    """A scenario: the world it needs, and what Alertmanager and people do, who do not know of crashes and try again.

    `points` are the appends and the arrivals of the play without a crash: whoever adds one has to look at it here.
    """

    prepare: Callable[[Rig], None]
    points: tuple[int, int]
    acts: tuple[Act, ...] = ()
    never: tuple[str, ...] = ("nothing",)  # kinds of steps that this play must not come to
    parks: int = 0  # the points at which nobody can know whether a `once` step happened
    rig: Rig = field(init=False)
    reaper: Reaper = field(init=False)
    delivered: bool = False
    resolved: bool = False
    state: State = field(default_factory=State)
    acting: dict[int, asyncio.Future[object]] = field(default_factory=dict)

    def has(self, kind: type[e.Fact]) -> bool:
        """Whether the journal on the disk holds an entry of this kind."""
        return any(record.kind == kind.__struct_config__.tag for record in self.rig.store.disk.records)


def deliver(play: Play, engine: Engine) -> Awaitable[object] | None:
    """Alertmanager sends until it was told 2xx."""
    if play.delivered:
        return None

    async def send() -> None:
        sent = play.rig.body(play.rig.alert())
        await engine.intake.accept(sent, "test")
        play.rig.acks.append(sent)
        play.delivered = True

    return send()


def approve(_play: Play, engine: Engine) -> Awaitable[object] | None:
    """Ana says yes to whatever asks her."""
    waiting = [run for run in engine.parts.journal.state.runs.values() if run.status is RunStatus.AWAITING_APPROVAL]
    return engine.desk.approve(waiting[0].id, digest=waiting[0].digest, by="ana") if waiting else None


def order(play: Play, engine: Engine) -> Awaitable[object] | None:
    """Ana runs the playbook once, and looks whether her order arrived before she repeats it."""
    if play.has(e.IncidentOpened):
        return None
    return engine.desk.run("pause-domain", params={"domain": "example.com"}, by="ana", reason="by hand")


def take_back(play: Play, engine: Engine) -> Awaitable[object] | None:
    """Ana takes back what a run that has succeeded left behind."""
    undos = list(engine.parts.journal.state.undos.values())
    return engine.desk.undo(undos[0].run, by="ana") if undos and play.has(e.RunEnded) else None


def resolve(play: Play, engine: Engine) -> Awaitable[object] | None:
    """The alert resolves as soon as something has been done."""
    if not play.rig.world.ledger or play.resolved:
        return None

    async def send() -> None:
        await engine.intake.accept(play.rig.body(play.rig.alert(resolved_at=play.rig.clock.now())), "test")
        play.resolved = True

    return send()


# ── the plays ────────────────────────────────────────────────────────────────────────────────────────────────────────
def _safe(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("read"), rig.step("safe", attempts=4)),)


def _lasting(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("keyed_lasting", undo_after=300.0, attempts=4)),)


def _rollback(rig: Rig) -> None:
    steps = (rig.step("safe_lasting", attempts=4), rig.step("keyed_lasting", attempts=4), rig.step("read"))
    rig.playbooks = (rig.playbook(*steps),)
    rig.world.outcomes["read"] = [failed("refused")] * 4


def _midway(rig: Rig) -> None:
    steps = (rig.step("keyed_lasting", attempts=4), rig.step("safe", attempts=4, delay=60.0), rig.step("once"))
    rig.playbooks = (rig.playbook(*steps),)
    rig.world.outcomes["safe"] = [failed_for_now("503")]


def _unrecovered(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("keyed_lasting", attempts=4)),)
    rig.world.verification = lambda now: Observation(look=Look.BAD, sentence="0.27")
    rig.world.undo_results = [UndoResult.FAILED]


def _approval(rig: Rig) -> None:
    _lasting(rig)
    rig.mode = Mode.APPROVE


def _once(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("once", attempts=3), rig.step("once_lasting", undo_after=300.0)),)


def _retry(rig: Rig) -> None:
    _safe(rig)
    rig.world.outcomes["safe"] = [failed_for_now("503"), failed_for_now("503")]
    rig.world.told = [failed_for_now("busy")]


def _dry(rig: Rig) -> None:
    rig.mode = Mode.DRY_RUN


def _ladder(rig: Rig) -> None:
    first = rig.playbook(rig.step("keyed_lasting", undo_after=300.0))
    second = replace(rig.playbook(rig.step("keyed")), name="second")
    rule = rig.rule()
    rig.playbooks = (first, second)
    rig.rules = (replace(rule, ladder=(*rule.ladder, Rung(playbook="second", arguments=rule.ladder[0].arguments))),)
    looks = {True: Observation(look=Look.GOOD, sentence="0.03"), False: Observation(look=Look.BAD, sentence="0.27")}
    rig.world.verification = lambda now: looks[rig.world.count("do", "keyed") > 0]


def _expiry(rig: Rig) -> None:
    _lasting(rig)
    rig.world.undo_results = [UndoResult.FAILED, UndoResult.UNKNOWN]


PLAYS: dict[str, Callable[[], Play]] = {
    "plain": lambda: Play(_safe, (13, 3), (deliver,)),
    "resolved midway": lambda: Play(_midway, (17, 4), (deliver, resolve), never=("once",)),
    "keyed, undone by hand": lambda: Play(_lasting, (13, 3), (deliver, take_back)),
    "a failed step and its rollback": lambda: Play(_rollback, (18, 7), (deliver,)),
    "no recovery and its rollback": lambda: Play(_unrecovered, (17, 5), (deliver,)),
    "approval": lambda: Play(_approval, (16, 4), (deliver, approve)),
    "once": lambda: Play(_once, (15, 4), (deliver,), parks=6),
    "safe, retried": lambda: Play(_retry, (18, 6), (deliver,)),
    "dry-run": lambda: Play(_dry, (11, 0), (deliver,)),
    "ladder": lambda: Play(_ladder, (19, 4), (deliver,)),
    "undo at expiry": lambda: Play(_expiry, (17, 5), (deliver,)),
    "by hand": lambda: Play(_lasting, (11, 2), (order,)),
}


# ── how a play is played ─────────────────────────────────────────────────────────────────────────────────────────────
async def _live(play: Play) -> None:
    """One process: from its start to its death, or until nothing is left to be done."""
    rig, reaper = play.rig, play.reaper
    rig.store = MortalStore(rig.store.disk, reaper)
    parts = rig.parts()
    engine = Engine(parts)
    opening = asyncio.ensure_future(parts.journal.open())
    await rig.clock.settle()
    if reaper.dead:
        await _end(opening)
        return
    tasks = [asyncio.ensure_future(parts.journal.run()), asyncio.ensure_future(engine.run("test"))]
    await rig.clock.settle()
    limit = rig.clock.mono + 50_000
    while not reaper.dead:
        if not _act(play, engine):
            if _over(play, engine):
                break
            assert await rig.clock.jump(limit), f"does not end: {engine.parts.journal.state.runs}"
        await rig.clock.settle()
    assert not [task.exception() for task in tasks if task.done()]
    play.state = engine.parts.journal.state
    await _end(*play.acting.values(), *reversed(tasks))
    play.acting.clear()


async def _end(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, BaseExceptionGroup, RefusedRequest):
            await task


def _act(play: Play, engine: Engine) -> bool:
    """Lets everybody act who has something to do; whether anybody has."""
    started = False
    for place, act in enumerate(play.acts):
        acting = play.acting.pop(place, None)
        if acting is not None and not acting.done():
            play.acting[place] = acting
        elif (wish := act(play, engine)) is not None:
            play.acting[place] = asyncio.ensure_future(wish)
            started = True
    return started


def _over(play: Play, engine: Engine) -> bool:
    """Whether nobody has anything to do any more."""
    state = engine.parts.journal.state
    busy = play.acting or state.pending or state.undos or state.outbox or not play.has(e.IncidentOpened)
    return not busy and all(run.status is RunStatus.NEEDS_PERSON for run in state.runs.values())


async def perform(play: Play, rig: Rig, *points: Point) -> None:
    """Plays it with crashes at `points` until all is settled, and checks what must hold whatever crashed."""
    play.rig, play.reaper = rig, Reaper(list(points))
    rig.world.witness = play.reaper.witness
    play.prepare(rig)
    while True:
        play.reaper.dead = False
        await _live(play)
        if not play.reaper.dead:
            break
    assert not play.reaper.points, "the point was never reached"
    check(play)


# ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────────
def replay(records: Sequence[Record]) -> tuple[State, list[e.AnyFact]]:
    """The state at the end; the equation of G2 holds at every position."""
    state, facts = State(), list[e.AnyFact]()
    for record in records:
        entry = e.decode(record.seq, record.body)
        state = fold(state, entry)
        facts.append(entry.fact)
        pending = sum(one.fact.alerts for one in state.pending.values())
        assert state.tally.received == state.tally.disposed + pending
    return state, facts


def check(play: Play) -> None:
    """The world's ledger against the promises, then the journal against the ledger."""
    world = play.rig.world
    state, facts = replay(play.rig.store.disk.records)
    assert state == play.state, "folding the journal again gives another state than the engine had"
    done = Counter((kind, key) for what, kind, key in world.ledger if what == "do")
    steps = {f"{fact.run}/{place}": step for fact in facts if isinstance(fact, e.RunPlanned)
             for place, step in enumerate(fact.plan.steps)}  # fmt: skip
    for (kind, key), times in done.items():
        assert times <= (steps[key].attempts if kind.startswith("safe") else 1 if kind != "read" else 3), (kind, key)
    intents = [fact for fact in facts if isinstance(fact, e.StepIntent) and not fact.dry]
    outcomes = Counter((f.run, f.step, f.attempt) for f in facts if isinstance(f, e.StepOutcome) and not f.reconciled)
    assert not done - Counter((fact.action, fact.key) for fact in intents)
    undone = Counter(key for what, _, key in world.ledger if what == "undo")
    assert not undone - Counter(f"{fact.run}/{fact.step}" for fact in facts if isinstance(fact, e.UndoIntent))
    assert not world.count("do", *play.never)
    assert all(outcomes[fact.run, fact.step, fact.attempt] == 1 for fact in intents)
    assert not world.standing, "something temporary was left behind"
    assert not state.undos
    started = Counter(fact.rule for fact in facts if isinstance(fact, e.RunStarted) and not fact.dry)
    assert all(len(state.grants[rule]) == count for rule, count in started.items())
    for run in state.runs.values():
        assert run.status is RunStatus.NEEDS_PERSON
        assert any(isinstance(fact, e.Escalated) and fact.run == run.id for fact in facts)
    held = {run.id for run in state.runs.values()}
    assert set(state.locks.values()) <= held
    assert not judge(play.rig.history())


def results(play: Play) -> list[str]:
    """How the runs ended, in order; those that wait for a person last."""
    state, facts = replay(play.rig.store.disk.records)
    ended = [fact.result for fact in facts if isinstance(fact, e.RunEnded)]
    return ended + [run.status.value for run in state.runs.values()]


def told(play: Play) -> set[str]:
    """What people were told, at least once."""
    return {message.subject for message in play.rig.world.messages}


def points_of(play: Play) -> list[Point]:
    """All points of a play that was just played."""
    appends = [(count, where) for count in range(1, play.reaper.appends + 1) for where in (BEFORE, AFTER)]
    return appends + [(count, EFFECT) for count in range(1, play.reaper.arrivals + 1)]


@pytest.fixture
def new(rig: Rig) -> Callable[[], Rig]:
    """Makes fresh worlds."""
    return type(rig)


@pytest.mark.parametrize("name", PLAYS)
async def test_a_crash_at_any_point_changes_nothing_that_was_promised(name: str, new: Callable[[], Rig]) -> None:
    whole = PLAYS[name]()
    await perform(whole, new())
    assert (whole.reaper.appends, whole.reaper.arrivals) == whole.points, "an append or an effect has come or gone"
    parked = 0
    for point in points_of(whole):
        play = PLAYS[name]()
        await perform(play, new(), point)
        if play.parks and results(play) == ["needs_person"]:
            parked += 1
            continue
        assert results(play) == results(whole), point
        assert told(play) >= told(whole), point
    assert parked == whole.parks


@pytest.mark.parametrize(("name", "where"), [("once", AFTER), ("undo at expiry", BEFORE)])
async def test_a_second_crash_at_any_append_of_the_recovery_changes_nothing_either(
    name: str, where: str, new: Callable[[], Rig]
) -> None:
    whole = PLAYS[name]()
    await perform(whole, new())
    for first in points_of(whole)[: 2 * whole.points[0]]:
        once = PLAYS[name]()
        await perform(once, new(), first)
        for second in range(first[0] + 1, once.reaper.appends + 1):
            twice = PLAYS[name]()
            await perform(twice, new(), first, (second, where))
            assert results(twice) in (results(whole), ["needs_person"] if twice.parks else results(whole))
