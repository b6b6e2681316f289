"""Dry-run touches nothing (G9): judged by the interpreter's own audit events, with a live run as the control."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from remediator.core import entries as e
from remediator.core.fitting import Fitting
from remediator.core.outcomes import EffectClass, Found, Look, Observation, Outcome, Presence, UndoOutcome, UndoResult
from remediator.core.outcomes import ok as done
from remediator.core.params import Json, Param, ParamType
from remediator.core.rules import Guards, Limit, Mode
from remediator.core.state import Moment, Run, Undo
from remediator.engine.effects import DryEffects, IntentToken, LiveEffects, token_of
from remediator.errors import IllegalEntry
from remediator.ports import Call
from tests.kit.tripwire import tripwire

if TYPE_CHECKING:
    from remediator.engine.parts import Parts
    from tests.engine.conftest import Rig


def _connect(_place: Path) -> None:
    with socket.socket() as one:
        one.connect(("127.0.0.1", 9))


def _send(_place: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", ("127.0.0.1", 9))


REAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "connect": (_connect, "socket.connect"),
    "datagram": (_send, "socket.sendto"),
    "name": (lambda _place: socket.getaddrinfo("localhost", 9), "socket.getaddrinfo"),
    "process": (lambda _place: subprocess.run(["/bin/true"], check=True), "subprocess.Popen"),
    "shell": (lambda _place: os.system("/bin/true"), "os.system"),  # noqa: S605
    "file": (lambda place: place.write_text("x", encoding="utf-8"), "open"),
    "removal": (lambda place: place.unlink(), "os.remove"),
}


class RealAction:
    """An action that really leaves the process."""

    kind: ClassVar[str] = "real"
    effect: ClassVar[EffectClass] = EffectClass.ONCE
    lasting: ClassVar[bool] = True
    params: ClassVar[Mapping[str, Param]] = {"domain": Param(type=ParamType.DOMAIN, doc="d")}
    summary: ClassVar[str] = "test"

    def __init__(self, act: Callable[[Path], object], place: Path) -> None:
        self._act, self._place = act, place

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        return ()

    def describe(self, arguments: Mapping[str, Json]) -> str:
        return "Really do it"

    async def perform(self, call: Call) -> Outcome:
        self._act(self._place)
        return done("done")

    async def reconcile(self, call: Call) -> Found:
        self._act(self._place)
        return Found(presence=Presence.ABSENT, sentence="asked")

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        self._act(self._place)
        return UndoOutcome(result=UndoResult.UNDONE, sentence="undone")


def equip(parts: Parts, action: RealAction) -> None:
    """Gives the engine this action beside the others."""
    live = LiveEffects({"real": action}, parts.clock)
    parts.effects = {False: live, True: DryEffects(live)}
    fitting = Fitting(params={"domain": ParamType.DOMAIN}, faults=action.faults, describe=action.describe)
    parts.fittings = {**parts.fittings, "real": fitting}


def playbook(rig: Rig) -> None:
    """One step that really leaves the process, and something to take back."""
    rig.playbooks = (rig.playbook(replace(rig.step("once"), action="real", undo_after=600.0)),)


@pytest.mark.parametrize("wire", REAL)
async def test_a_dry_run_trips_no_wire(rig: Rig, wire: str, tmp_path: Path) -> None:
    playbook(rig)
    rig.mode = Mode.DRY_RUN
    async with rig.engine() as engine:
        equip(engine.parts, RealAction(REAL[wire][0], tmp_path / "file"))
        with tripwire() as tripped:
            await rig.accept(engine, rig.alert())
            await rig.clock.until(lambda: rig.idle(engine))
            await rig.clock.run(2000)
        assert not tripped
    assert await rig.ended() == ["simulated"]
    told = [fact for fact in await rig.facts() if isinstance(fact, e.StepOutcome)]
    assert [(fact.simulated, fact.outcome.sentence) for fact in told] == [(True, "Really do it")]


@pytest.mark.parametrize("wire", REAL)
async def test_the_same_run_live_trips_it(rig: Rig, wire: str, tmp_path: Path) -> None:
    act, name = REAL[wire]
    playbook(rig)
    async with rig.engine() as engine:
        equip(engine.parts, RealAction(act, tmp_path / "file"))
        with tripwire() as tripped:
            await rig.accept(engine, rig.alert())
            await rig.clock.run(5)
        assert tripped[0] == name
        assert rig.run_of(engine).status == "needs_person"  # it may have gone through, for all the engine knows


async def facts_of(rig: Rig, mode: Mode) -> list[e.AnyFact]:
    """What one alert leads to in this mode."""
    rig.mode = mode
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
    return await rig.facts()


async def test_a_dry_run_makes_the_plan_and_gets_the_verdicts_of_the_live_one(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=Guards(cooldown=60.0, rate_limit=Limit(5, 60.0), concurrency=2)),)
    live, dry = await facts_of(rig, Mode.AUTO), await facts_of(type(rig)(rules=rig.rules), Mode.DRY_RUN)
    plans = [next(fact for fact in facts if isinstance(fact, e.RunPlanned)) for facts in (live, dry)]
    assert plans[0].digest == plans[1].digest
    assert plans[0].plan.steps == plans[1].plan.steps
    verdicts = [
        [(one.guard, one.answer) for fact in facts if isinstance(fact, e.RunDecided) for one in fact.verdicts]
        for facts in (live, dry)
    ]
    assert verdicts[0] == verdicts[1]
    intents = [[(f.step, f.action, f.key) for f in facts if isinstance(f, e.StepIntent)] for facts in (live, dry)]
    assert intents[0] == intents[1]
    assert [fact.dry for fact in dry if isinstance(fact, (e.RunPlanned, e.RunStarted, e.StepIntent))] == [True] * 4


async def test_what_holds_a_live_run_back_holds_a_dry_run_back(rig: Rig) -> None:
    rig.mode = Mode.DRY_RUN
    rig.world.condition = lambda expr: Observation(look=Look.BAD, sentence="0.03")
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(60)
        assert "when=defer" in rig.run_of(engine).decided
        await rig.ask(engine.desk.pause(scope="all", reason="look first", by="ana"))
        await rig.clock.run(60)
        assert "pause=defer" in rig.run_of(engine).decided


async def test_dry_runs_take_no_lock_no_budget_and_no_place_from_live_ones(rig: Rig) -> None:
    tight = Guards(cooldown=1800.0, rate_limit=Limit(1, 21600.0), blast_radius=Limit(1, 3600.0), concurrency=1)
    rehearsal = rig.rule(name="rehearsal", mode=Mode.DRY_RUN, guards=tight)
    rig.rules = (rehearsal, rig.rule(guards=tight))
    rig.max_runs = 1
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        assert rig.world.count("do") == 2  # at once, although the rehearsal on this very target was first
        await rig.accept(engine, rig.alert("b.example"))
        await rig.clock.until(lambda: rig.idle(engine) or rig.clock.now() > 1_790_000_300)
        state = engine.parts.journal.state
        assert set(state.grants) == {"high-bounce-rate"}
        assert {undo.run.partition(".")[0] for undo in state.undos.values()} == {
            grant.incident for grant in state.grants["high-bounce-rate"]
        }
    rehearsed = [fact for fact in await rig.facts() if isinstance(fact, e.RunEnded) and fact.result == "simulated"]
    assert len(rehearsed) == 2


async def test_reads_are_done_for_real_and_nothing_is_verified_or_told(rig: Rig) -> None:
    looks: list[float] = []

    def look(now: float) -> Observation:
        looks.append(now)
        return Observation(look=Look.GOOD, sentence="0.03")

    rig.mode = Mode.DRY_RUN
    rig.world.verification = look
    rig.playbooks = (rig.playbook(rig.step("read"), rig.step("once"), rig.step("read")),)
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
        await rig.clock.run(60)
    assert [kind for _, kind, _ in rig.world.ledger] == ["read", "read"]
    told = [fact for fact in await rig.facts() if isinstance(fact, e.StepOutcome)]
    assert [fact.simulated for fact in told] == [False, True, False]
    assert not looks
    assert not rig.world.messages


async def test_the_effects_of_a_dry_run_find_and_take_back_nothing(rig: Rig) -> None:
    live = LiveEffects({}, rig.clock)
    dry = DryEffects(live)
    rig.mode = Mode.DRY_RUN
    facts = await facts_of(rig, Mode.DRY_RUN)
    told = next(fact for fact in facts if isinstance(fact, e.RunPlanned))
    run = Run(
        id="inc-x.1",
        incident="inc-x",
        plan=told.plan,
        digest="d",
        dry=True,
        mode="dry-run",
        planned=Moment(0.0, 0.0, "b"),
        step=0,
    )
    found = await dry.reconcile(run, told.plan.steps[0])
    assert found.presence is Presence.ABSENT
    undo = Undo(run="inc-x.1", incident="inc-x", step=0, action="safe", arguments={}, key="k", due_at=0.0)
    intent = e.UndoIntent(incident="inc-x", run="inc-x.1", step=0, attempt=1, cause="expiry")
    assert (await dry.take_back(IntentToken(intent, 7), undo)).result is UndoResult.GONE


async def test_no_effect_without_the_token_of_its_own_committed_intent(rig: Rig) -> None:
    live = LiveEffects({}, rig.clock)
    facts = await facts_of(rig, Mode.AUTO)
    plan = next(fact.plan for fact in facts if isinstance(fact, e.RunPlanned))
    step = next(fact for fact in facts if isinstance(fact, e.StepIntent))
    undo = Undo(run="inc-x.1", incident="inc-x", step=0, action="safe", arguments={}, key="k", due_at=0.0)
    intent = e.UndoIntent(incident="inc-x", run="inc-x.1", step=0, attempt=1, cause="expiry")
    with pytest.raises(IllegalEntry, match="an undo intent does not allow a step"):
        await live.issue(IntentToken(intent, 7), plan.steps[0])
    with pytest.raises(IllegalEntry, match="a step intent does not allow an undo"):
        await live.take_back(IntentToken(step, 7), undo)
    outcome = e.Entry(seq=7, id="x", at=0.0, mono=0.0, boot="b", replica="r", fact=facts[0])
    undurable = e.Entry(seq=0, id="x", at=0.0, mono=0.0, boot="b", replica="r", fact=step)
    for entry in (outcome, undurable):
        with pytest.raises(IllegalEntry, match="only a committed intent"):
            token_of(entry)


async def test_an_attempt_whose_moment_has_passed_is_not_issued(rig: Rig) -> None:
    facts = await facts_of(rig, Mode.AUTO)
    plan = next(fact.plan for fact in facts if isinstance(fact, e.RunPlanned))
    step = next(fact for fact in facts if isinstance(fact, e.StepIntent))
    live = LiveEffects({"keyed_lasting": RealAction(lambda _place: 1 / 0, Path())}, rig.clock)
    outcome = await live.issue(IntentToken(step, 7), plan.steps[0])
    assert outcome.result == "not_issued"
