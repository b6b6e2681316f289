"""Engines with a bug in their own code, one each: the checker of histories finds every one of them (reliability.md H5).

`test_history.py` forges histories and takes guards away; here the code itself is changed, as a careless edit would. Each
mutant plays a scene in which its bug shows, and the same scene with the sound engine is clean.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from remediator.core import consequences, entries, fold_runs, grants, planning, runs, verification
from remediator.core.entries import AnyFact
from remediator.core.outcomes import Look, Observation, failed_for_now, unknown
from remediator.core.plans import Plan
from remediator.core.rules import Guards, Limit, Mode
from remediator.core.state import Moment, RunStatus, State, Undo
from remediator.core.verdicts import Answer, Decision
from remediator.engine import admission, desk, intake, planner, runner, undoing
from remediator.errors import RefusedRequest
from remediator.guards import blast_radius, sliding
from remediator.ports import Accepted, Call
from tests.kit.history import judge

if TYPE_CHECKING:
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig

Plant = Callable[[pytest.MonkeyPatch], None]
Scene = Callable[["Rig"], Awaitable[None]]
WIDE = Guards(cooldown=0.0, rate_limit=Limit(9, 60.0), blast_radius=Limit(9, 60.0), concurrency=9)
BAD, SILENT = Observation(look=Look.BAD, sentence="0.27"), Observation(look=Look.UNKNOWN, sentence="no answer")


# ── scenes ───────────────────────────────────────────────────────────────────────────────────────────────────────────
async def _one(rig: Rig) -> None:
    """One alert, until everything is over, its temporary effect too."""
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(9000)
        await rig.accept(engine, rig.alert(resolved_at=rig.clock.now()))
        await rig.clock.run(60)


def _in_doubt(*decisions: str) -> Scene:
    """A `once` step of which nobody knows whether it happened; two rules want the target."""

    async def scene(rig: Rig) -> None:
        rig.rules = (rig.rule(guards=WIDE), rig.rule(name="second", guards=WIDE))
        rig.playbooks = (rig.playbook(rig.step("once")),)
        rig.world.outcomes["once"] = [unknown("timeout")]
        async with rig.engine() as engine:
            await rig.accept(engine, rig.alert())
            await rig.clock.run(900)
            for decision in decisions:
                run = next(one for one in engine.parts.journal.state.active_runs if one.doubt)
                await rig.ask(engine.desk.decide(run.id, decision=decision, by="ana", reason="looked"))
                await rig.clock.run(60)

    return scene


IN_DOUBT, CONTINUED = _in_doubt(), _in_doubt("continue")


async def _two_rules(rig: Rig) -> None:
    """Two rules on one target at once."""
    rig.rules = (rig.rule(guards=WIDE), rig.rule(name="second", guards=WIDE))
    await _one(rig)


async def _again_and_again(rig: Rig) -> None:
    """The alert flaps, and each time the remedy seems to help."""
    rig.rules = (rig.rule(guards=replace(WIDE, rate_limit=Limit(2, 21600.0))),)
    async with rig.engine() as engine:
        for _ in range(4):
            await rig.accept(engine, rig.alert(at=rig.clock.now()))
            await rig.clock.run(120)
            await rig.accept(engine, rig.alert(at=rig.clock.now() - 1, resolved_at=rig.clock.now()))
            await rig.clock.run(1)


async def _not_recovered(rig: Rig) -> None:
    rig.world.verification = lambda _now: BAD
    await _one(rig)


async def _failing_once(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("once")),)
    rig.world.outcomes["once"] = [failed_for_now("503")] * 3
    await _one(rig)


async def _paused_midway(rig: Rig) -> None:
    """A pause while the second step waits for its next try."""
    rig.playbooks = (rig.playbook(rig.step("safe", attempts=3, delay=60.0)),)
    rig.world.outcomes["safe"] = [failed_for_now("503")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(5)
        await rig.ask(engine.desk.pause(scope="all", reason="look first", by="ana"))
        await rig.clock.run(300)


async def _asked(rig: Rig, say: Callable[[Engine, Any], Awaitable[object]], after: float = 1.0) -> None:
    """Somebody answers a request for approval."""
    rig.mode = Mode.APPROVE
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        run = rig.run_of(engine)
        rig.clock._move(rig.clock.mono + after)
        await rig.ask(say(engine, run))
        await rig.clock.run(9000)


async def _approved_late(rig: Rig) -> None:
    await _asked(rig, lambda engine, run: engine.desk.approve(run.id, digest=run.digest, by="ana"), after=4000.0)


async def _approved_by_nobody(rig: Rig) -> None:
    await _asked(rig, lambda engine, run: engine.desk.approve(run.id, digest=run.digest, by=" "))


async def _another_approved(rig: Rig) -> None:
    await _asked(rig, lambda engine, run: engine.desk.approve(run.id, digest="0" * 16, by="ana"))


async def _held(rig: Rig) -> None:
    """The condition does not hold."""
    rig.world.condition = lambda _expr: BAD
    await _one(rig)


async def _flutters(rig: Rig) -> None:
    """Good for a moment now and then."""
    looks = iter([Observation(look=Look.GOOD, sentence="0.03"), BAD] * 500)
    rig.world.verification = lambda _now: next(looks)
    await _one(rig)


async def _cannot_tell(rig: Rig) -> None:
    rig.world.verification = lambda _now: SILENT
    await _one(rig)


async def _long(rig: Rig) -> None:
    """Steps that go on and on beyond the limit of the run."""
    rig.playbooks = (rig.playbook(rig.step("safe", attempts=9, delay=900.0), limit=120.0),)
    rig.world.outcomes["safe"] = [failed_for_now("503")] * 9
    await _one(rig)


async def _pending(rig: Rig) -> None:
    """An alert comes in, and for a while nothing else happens."""
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(300)


# ── bugs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _set(where: object, name: str, value: object) -> Plant:
    return lambda monkeypatch: monkeypatch.setattr(where, name, value)


def _both(*plants: Plant) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        for one in plants:
            one(monkeypatch)

    return plant


_UNCHECKED = _set(fold_runs, "_check_order", lambda _run, _fact: None)
_once_again = _both(_UNCHECKED, _set(runs, "_may_retry", lambda run: run.attempt < 3))
_in_doubt_again = _both(_UNCHECKED, _set(runs, "_in_doubt", lambda run, _now: runs.Issue(run.step, run.attempt + 1)))


def _no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(run: Any, moment: Any, _start: Any = admission.start) -> list[AnyFact]:
        return [msgspec.structs.replace(one, locks=()) if isinstance(one, entries.RunStarted) else one
                for one in _start(run, moment)]  # fmt: skip

    monkeypatch.setattr(admission, "start", start)


def _let_go_when_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    parked = fold_runs._FOLDERS[entries.RunParked]

    def let_go(state: State, fact: entries.RunParked, moment: Moment) -> State:
        return fold_runs._let_go(parked(state, fact, moment), state.runs[fact.run])

    _folds(monkeypatch, entries.RunParked, let_go)


def _folds(monkeypatch: pytest.MonkeyPatch, kind: type[entries.Fact], fold: Callable[..., State]) -> None:
    monkeypatch.setattr(fold_runs, "_FOLDERS", {**fold_runs._FOLDERS, kind: fold})


def _no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for where in (admission, runner):
        monkeypatch.setattr(
            where,
            "order",
            lambda *of, _order=admission.order, **by: msgspec.structs.replace(_order(*of, **by), undo_at=None),
        )


def _dispositions(change: Callable[[Any], Any]) -> Plant:
    """Every disposition comes out changed."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        def dispose(*of: Any, _dispose: Any = planning.dispose) -> list[AnyFact]:
            return [change(one) if isinstance(one, entries.NotificationDisposed) else one for one in _dispose(*of)]

        monkeypatch.setattr(planner, "dispose", dispose)

    return plant


def _without_reason(fact: Any) -> Any:
    def bare(alert: Any) -> Any:
        disposals = tuple(msgspec.structs.replace(one, reason="") for one in alert.disposals)
        return msgspec.structs.replace(alert, disposals=disposals)

    return msgspec.structs.replace(fact, alerts=tuple(map(bare, fact.alerts)))


def _of_another(fact: Any) -> Any:
    return msgspec.structs.replace(
        fact, alerts=tuple(msgspec.structs.replace(alert, identity="0" * 32) for alert in fact.alerts)
    )


def _acks_early(monkeypatch: pytest.MonkeyPatch) -> None:
    async def accept(self: Any, body: bytes, peer: str) -> Accepted:
        return Accepted(entry=1, alerts=1)

    monkeypatch.setattr(intake.Intake, "accept", accept)


def _acts_unannounced(monkeypatch: pytest.MonkeyPatch) -> None:
    async def perform(self: Any, run: Any, entry: Any, _perform: Any = runner.Runner._perform) -> None:
        call = Call(arguments={"domain": "example.com"}, key=f"{run.id}/7", timeout=30.0, now=0.0)
        await self._parts.effects[False]._actions["once"].perform(call)
        await _perform(self, run, entry)

    monkeypatch.setattr(runner.Runner, "_perform", perform)


def _concludes(rash: Callable[[Any], bool]) -> Plant:
    """Calls it a recovery as soon as that looks like one."""

    def conclude(watch: Any, now: float, _conclude: Any = verification.conclude) -> Any:
        return verification.Verdict(verification.RECOVERED, "-") if rash(watch) else _conclude(watch, now)

    return _set(runner, "conclude", conclude)


def _yes_to_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    async def approve(self: Any, name: str, *, digest: str, by: str) -> None:
        run = self._find(name, RunStatus.AWAITING_APPROVAL)
        told = entries.ApprovalGiven(incident=run.incident, run=run.id, digest=digest, by=by)
        await self._parts.journal.commit(lambda _s, _m: [told])

    given = fold_runs._FOLDERS[entries.ApprovalGiven]
    monkeypatch.setattr(desk.Desk, "approve", approve)
    _folds(
        monkeypatch,
        entries.ApprovalGiven,
        lambda s, f, m: given(s, msgspec.structs.replace(f, digest=s.runs[f.run].digest), m),
    )


def _never_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "_waiting", lambda state, name, _moment: state.runs[name])


def _same_rung_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def again(run: Any, incident: Any, plans: Any, _after: Any) -> Any:
        if len(incident.runs) > 1:
            return None
        rule = plans.ruleset.rule(run.plan.rule)
        return planning.plan_run(plans, rule, 0, incident.labels, incident=incident.id, number=2, mode=Mode.AUTO)

    monkeypatch.setattr(consequences, "_next_rung", again)


def _gives_places_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        grants, "over", lambda s, run, _r, _m: msgspec.structs.replace(s, grants=s.grants.delete(run.plan.rule))
    )


_NO_WINDOWS = _both(*(_set(where, "enforced", lambda _window: 0.0) for where in (sliding, blast_radius)))

MUTANTS: dict[str, tuple[str, Plant, Scene]] = {
    "acknowledges before it is durable": ("G1", _acks_early, _one),
    "disposes late": ("G2", _both(_set(planner, "LULL", 90.0), _set(planner, "PATIENCE", 1e9)), _pending),
    "gives no reason": ("G2", _dispositions(_without_reason), _one),
    "disposes of another alert": ("G2", _dispositions(_of_another), _one),
    "plans the same rung again": ("G3", _same_rung_again, _not_recovered),
    "makes a failed once step again": ("G4", _once_again, _failing_once),
    "makes a doubtful once step again": ("G4", _in_doubt_again, IN_DOUBT),
    "has windows of no length": ("G5", _NO_WINDOWS, _again_and_again),
    "gives places back": ("G5", _gives_places_back, _again_and_again),
    "takes no locks": ("G6", _no_locks, _two_rules),
    "lets locks go in doubt": ("G6", _let_go_when_parked, CONTINUED),
    "does not hear its guards": ("G7", _set(Decision, "answer", property(lambda _self: Answer.ALLOW)), _held),
    "acts unannounced": ("G8", _acts_unannounced, _one),
    "has temporary effects without an end": ("G10", _no_end, _one),
    "takes back at once": ("G10", _set(Undo, "left", lambda _self, _now: -1.0), _one),
    "takes nothing back": ("G10", _set(undoing.Undoing, "_next", lambda _self, _count: []), _one),
    "is content with one look": ("G11", _concludes(lambda watch: any(row.good for row in watch.rows)), _flutters),
    "takes silence for a recovery": ("G11", _concludes(lambda watch: watch.looks > 0), _cannot_tell),
    "knows no limit of time": ("G12", _set(runs, "_late", lambda _run, _now: False), _long),
    "does not see a pause between two steps": (
        "G20",
        _set(State, "pause_for", lambda _self, _rule: None),
        _paused_midway,
    ),
    "takes a late yes": ("G21", _never_too_late, _approved_late),
    "takes a yes of nobody": ("G21", _set(desk, "_named", lambda by: by.strip()), _approved_by_nobody),
    "takes a yes to another plan": ("G21", _yes_to_anything, _another_approved),
    "signs another plan than it shows": ("G21", _set(Plan, "digest", property(lambda _self: "0" * 16)), _one),
}


def found_in(rig: Rig) -> set[str]:
    """The guarantees that the checker finds broken, now that all should be over."""
    return {violation.guarantee for violation in judge(replace(rig.history(), settled=True))}


def test_with_those_without_a_guard_there_are_more_than_twenty_five() -> None:
    assert len(MUTANTS) + 8 >= 25


@pytest.mark.parametrize("name", MUTANTS)
async def test_an_engine_with_a_bug_in_its_code_is_found_out(
    rig: Rig, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarantee, plant, scene = MUTANTS[name]
    rig.blemishes = {f"G{number}" for number in range(1, 26)}
    plant(monkeypatch)
    with suppress(RefusedRequest):
        await scene(rig)
    assert guarantee in found_in(rig)


@pytest.mark.parametrize("scene", dict.fromkeys(scene for _guarantee, _plant, scene in MUTANTS.values()))
async def test_the_same_scene_with_the_sound_engine_is_clean(rig: Rig, scene: Scene) -> None:
    with suppress(RefusedRequest):
        await scene(rig)
    assert judge(rig.history()) == []
