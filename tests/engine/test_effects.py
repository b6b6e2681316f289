"""The door to the world: what breaks, hangs or is gone behind it becomes a value, and the careful one of those at hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.outcomes import EffectClass, Found, Outcome, Presence, Result, UndoOutcome, UndoResult, unknown
from remediator.core.params import Json, Param, ParamType
from remediator.core.plans import Plan, PlannedGuards, PlannedLimit, PlannedStep
from remediator.core.state import Moment, Run, Undo
from remediator.engine.effects import KILL_GRACE, IntentToken, LiveEffects
from remediator.ports import Call

if TYPE_CHECKING:
    from tests.engine.conftest import Rig

STEP = PlannedStep(name="s", action="wild", arguments={"domain": "a.example"}, effect=EffectClass.ONCE, timeout=30.0)
UNDO = Undo(run="inc-x.1", incident="inc-x", step=0, action="wild", arguments={}, key="inc-x.1/0", due_at=0.0)
DOUBTED = Run(
    id="inc-x.1",
    incident="inc-x",
    plan=Plan(
        rule="r",
        playbook="p",
        rung=0,
        target={"domain": "a.example"},
        params={},
        guards=PlannedGuards(
            cooldown=0.0, rate_limit=PlannedLimit(1, 60.0), blast_radius=PlannedLimit(1, 60.0), concurrency=1
        ),
        locks=(),
        steps=(STEP,),
        limit=60.0,
        give_up=60.0,
    ),
    digest="d",
    dry=False,
    mode="auto",
    planned=Moment(0.0, 0.0, "boot"),
    step=0,
    attempt=1,
    issued_at=50.0,
    expires_at=600.0,
)


class Wild:
    """An action that does what it is told to, which is nothing good."""

    kind: ClassVar[str] = "wild"
    effect: ClassVar[EffectClass] = EffectClass.ONCE
    lasting: ClassVar[bool] = True
    params: ClassVar[Mapping[str, Param]] = {"domain": Param(type=ParamType.DOMAIN, doc="d")}
    summary: ClassVar[str] = "test"

    def __init__(self, act: Callable[[Call], object]) -> None:
        self._act = act

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        return ()

    def describe(self, arguments: Mapping[str, Json]) -> str:
        return "wild"

    async def perform(self, call: Call) -> Outcome:
        return await self._do(call)  # type: ignore[return-value]

    async def reconcile(self, call: Call) -> Found:
        return await self._do(call)  # type: ignore[return-value]

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        return await self._do(call)  # type: ignore[return-value]

    async def _do(self, call: Call) -> object:
        answer = self._act(call)
        return await answer if isinstance(answer, asyncio.Future) else answer


def hang(_call: Call) -> object:
    """Never answers."""
    return asyncio.get_running_loop().create_future()


def break_off(_call: Call) -> object:
    """Breaks."""
    raise ConnectionResetError("reset by peer")


def door(rig: Rig, *actions: Wild) -> tuple[LiveEffects, IntentToken, IntentToken]:
    """The effects over these actions, and a token for a step and one for an undo."""
    now = rig.clock.now()
    step = e.StepIntent(
        incident="inc-x",
        run="inc-x.1",
        step=0,
        attempt=1,
        action="wild",
        key="inc-x.1/0",
        issue_by=now + 5.0,
        timeout=30.0,
        undo_at=now + 600.0,
    )
    undo = e.UndoIntent(incident="inc-x", run="inc-x.1", step=0, attempt=1, cause="expiry")
    effects = LiveEffects({action.kind: action for action in actions}, rig.clock)
    return effects, IntentToken(step, 7), IntentToken(undo, 8)


async def test_an_attempt_that_breaks_or_hangs_may_have_been_carried_out(rig: Rig) -> None:
    for act, words in ((break_off, "ConnectionResetError: reset by peer"), (hang, "no answer within")):
        effects, token, _undo = door(rig, Wild(act))
        outcome = await effects.issue(token, hasty(STEP))
        assert outcome.result is Result.UNKNOWN
        assert words in outcome.sentence


def hasty(step: PlannedStep) -> PlannedStep:
    """The step with a timeout that, with the grace of a kill, is over in an instant."""
    return msgspec.structs.replace(step, timeout=0.01 - KILL_GRACE)


async def test_a_question_that_breaks_hangs_or_has_nobody_to_ask_is_undecided(rig: Rig) -> None:
    for actions in ((Wild(break_off),), (Wild(hang),), ()):
        effects, _token, _undo = door(rig, *actions)
        found = await effects.reconcile(DOUBTED, hasty(STEP))
        assert found.presence is Presence.UNDECIDED


async def test_a_question_says_which_attempt_is_meant_and_when_its_effect_ends(rig: Rig) -> None:
    asked: list[Call] = []
    effects, token, _undo = door(rig, Wild(asked.append))
    await effects.reconcile(DOUBTED, STEP)
    await effects.issue(token, STEP)
    assert [(call.key, call.incident, call.expires_at, call.issued_at) for call in asked] == [
        ("inc-x.1/0", "inc-x", 600.0, 50.0),
        ("inc-x.1/0", "inc-x", rig.clock.now() + 600.0, rig.clock.now()),
    ]


async def test_an_undo_that_breaks_is_unknown_and_one_that_nobody_can_do_any_more_has_failed(rig: Rig) -> None:
    effects, _token, undo = door(rig, Wild(break_off))
    assert (await effects.take_back(undo, UNDO)).result is UndoResult.UNKNOWN
    effects, _token, undo = door(rig)
    assert (await effects.take_back(undo, UNDO)).result is UndoResult.FAILED  # and so it is tried again, and told


async def test_an_action_that_is_gone_fails_before_anything_is_done(rig: Rig) -> None:
    effects, token, _undo = door(rig)
    assert (await effects.issue(token, STEP)).result is Result.FAILED


async def test_an_action_is_called_with_its_key_its_incident_and_the_end_of_its_effect(rig: Rig) -> None:
    calls: list[Call] = []

    def note(call: Call) -> object:
        calls.append(call)
        return Outcome(result=Result.OK, sentence="done")

    effects, token, _undo = door(rig, Wild(note))
    await effects.issue(token, STEP)
    (call,) = calls
    assert (call.key, call.incident, call.timeout) == ("inc-x.1/0", "inc-x", 30.0)
    assert call.expires_at == rig.clock.now() + 600.0
    assert call.arguments == {"domain": "a.example"}


async def test_cancelling_is_not_swallowed(rig: Rig) -> None:
    effects, token, _undo = door(rig, Wild(hang))
    task = asyncio.ensure_future(effects.issue(token, STEP))
    await rig.clock.settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_step_is_not_ordered_anew_while_its_earlier_effect_is_being_taken_back(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(replace(rig.step("safe_lasting"), attempts=3)),)
    rig.world.outcomes["safe_lasting"] = [unknown("timeout")]
    free = asyncio.Event()

    async def hold(what: str) -> None:
        if what == "undo":
            await free.wait()

    rig.world.witness = hold
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        undoing = asyncio.ensure_future(engine.desk.undo(rig.run_of(engine).id, by="ana"))
        await rig.clock.run(120)
        assert rig.world.count("do") == 1  # the earlier attempt cannot arrive any more, but its undo may
        free.set()
        await rig.clock.run(60)
        assert [one.outcome.result for one in await undoing] == [UndoResult.UNDONE]
        assert rig.world.count("do") == 2
        assert rig.world.standing
        await rig.clock.run(7300)  # and what was done anew has its own end
        assert not rig.world.standing
        assert not engine.parts.journal.state.undos
    assert await rig.ended() == ["succeeded"]
