"""Temporary means temporary (G10): taken back soon after its end, once, whatever target, clock or service do meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.outcomes import Presence, UndoResult
from remediator.core.state import RunStatus
from remediator.engine.undoing import AT_ONCE

if TYPE_CHECKING:
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig

# How long after its end an effect may still be there (s).
D = 60.0
AFTER = 7200.0


async def placed(rig: Rig, engine: Engine) -> float:
    """A run ends well and leaves one effect behind; when that is to be taken back."""
    await rig.accept(engine, rig.alert())
    await rig.clock.until(lambda: rig.idle(engine))
    (undo,) = engine.parts.journal.state.undos.values()
    return undo.due_at


def escalations(facts: list[e.AnyFact]) -> list[str]:
    return [fact.reason for fact in facts if isinstance(fact, e.Escalated)]


@pytest.mark.heavy
async def test_a_thousand_effects_that_end_in_the_same_second_are_all_taken_back_in_time_and_once(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(*(rig.step("keyed_lasting") for _ in range(1000)), verify=(), on_failure=()),)
    at_once, most = 0, 0

    async def slow(what: str) -> None:
        nonlocal at_once, most
        if what == "undo":
            at_once += 1
            most = max(most, at_once)
            await rig.clock.sleep(1.0)
            at_once -= 1

    rig.world.witness = slow
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        with suppress(AssertionError):  # more than a settling clock is used to
            await rig.clock.run(1)
        for _ in range(200_000):
            await asyncio.sleep(0)
            if rig.idle(engine):
                break
        undos = engine.parts.journal.state.undos.values()
        assert len(rig.world.standing) == len(undos) == 1000
        (due,) = {undo.due_at for undo in undos}
        await rig.clock.run(due - rig.clock.now() - 0.5)
        assert rig.world.count("undo") == 0
        await rig.clock.run(0.5 + D)
        assert not rig.world.standing
        assert not engine.parts.journal.state.undos
    assert most == AT_ONCE
    undone = [key for what, _, key in rig.world.ledger if what == "undo"]
    assert len(undone) == len(set(undone)) == 1000


async def test_targets_that_hang_at_the_end_hold_up_only_themselves(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(*(rig.step("keyed_lasting") for _ in range(100)), verify=(), on_failure=()),)

    async def hang(what: str) -> None:
        if what == "undo" and rig.world.ledger[-1][2].endswith("7"):
            await asyncio.get_running_loop().create_future()

    rig.world.witness = hang
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(AFTER + D)
        assert len(engine.parts.journal.state.undos) == 10


async def test_a_target_that_is_down_at_the_end_is_tried_until_it_is_back_and_people_hear_after_ten_minutes(
    rig: Rig,
) -> None:
    async with rig.engine() as engine:
        due = await placed(rig, engine)
        rig.world.undo_results = [UndoResult.FAILED] * 12
        await rig.clock.run(due + 599.0 - rig.clock.now())
        assert not escalations(await rig.facts())
        await rig.clock.run(2.0)
        (told,) = escalations(await rig.facts())
        assert "cannot be taken back" in told
        await rig.clock.run(3600.0)
        assert not rig.world.standing
        assert len(escalations(await rig.facts())) == 1
    tries = [fact for fact in await rig.facts() if isinstance(fact, e.UndoIntent)]
    assert [fact.attempt for fact in tries] == list(range(1, 14))


async def test_people_hear_once_of_an_effect_that_stays_also_over_restarts(rig: Rig) -> None:
    async with rig.engine() as engine:
        due = await placed(rig, engine)
        rig.world.undo_results = [UndoResult.UNKNOWN] * 40
        await rig.clock.run(due + 300.0 - rig.clock.now())
    for _ in range(4):
        async with rig.engine():
            await rig.clock.run(200.0)
    assert len(escalations(await rig.facts())) == 1


async def test_an_end_that_passed_while_the_service_was_down_is_made_up_for_at_the_start(rig: Rig) -> None:
    async with rig.engine() as engine:
        due = await placed(rig, engine)
    rig.clock._move(rig.clock.mono + due - rig.clock.now() + 50_000.0)
    async with rig.engine():
        await rig.clock.run(D)
        assert not rig.world.standing
    assert rig.world.count("undo") == 1


@pytest.mark.parametrize("action", ["keyed_lasting", "safe_lasting"])
async def test_an_effect_in_doubt_whose_end_passed_while_the_service_was_down_is_not_made_again(
    rig: Rig, action: str
) -> None:
    rig.playbooks = (rig.playbook(rig.step(action, undo_after=600.0), limit=86_400.0),)

    async def hang(what: str) -> None:
        await asyncio.get_running_loop().create_future()

    rig.world.witness = hang
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(5)
    rig.world.witness = None
    rig.clock._move(rig.clock.mono + 3600.0)
    rig.world.standing.clear()  # it ended at the target by itself
    rig.world.present[action] = Presence.ABSENT
    async with rig.engine() as engine:
        await rig.clock.run(4 * 3600.0)
        run = rig.run_of(engine)
        assert run.status is RunStatus.NEEDS_PERSON
        assert "the time of its effect is over" in run.reason
        assert not engine.parts.journal.state.undos
    assert rig.world.count("do") == 1


@pytest.mark.parametrize("step", [-86_400.0, -3600.0, 3600.0, 86_400.0])
async def test_a_wall_clock_that_is_stepped_makes_no_effect_stay_longer_than_it_should(rig: Rig, step: float) -> None:
    rig.blemishes |= {"G10"}  # the judge goes by the wall clock
    async with rig.engine() as engine:
        due = await placed(rig, engine)
        left = due - rig.clock.now()
        rig.clock.wall += step
        await rig.clock.run(left + D)
        assert not rig.world.standing


@pytest.mark.parametrize(("step", "host", "late"), [(-86_400.0, "host", 0.0), (-86_400.0, "after a boot", 600.0)])
async def test_a_wall_clock_that_was_set_back_while_no_service_ran_delays_an_undo_by_what_nobody_saw_at_most(
    rig: Rig, step: float, host: str, late: float
) -> None:
    rig.blemishes |= {"G10"}  # the judge goes by the wall clock
    async with rig.engine() as engine:
        left = await placed(rig, engine) - rig.clock.now()
    await rig.clock.run(600.0)
    rig.clock.wall += step
    rig.host = host
    async with rig.engine():
        await rig.clock.run(left - 600.0 - D)
        assert rig.world.standing
        await rig.clock.run(late + 2 * D)
        assert not rig.world.standing


async def test_a_wall_clock_that_is_set_back_between_two_tries_delays_no_try(rig: Rig) -> None:
    rig.blemishes |= {"G10"}  # the judge goes by the wall clock
    async with rig.engine() as engine:
        due = await placed(rig, engine)
        rig.world.undo_results = [UndoResult.FAILED]
        await rig.clock.run(due + 1.0 - rig.clock.now())
        rig.clock.wall -= 86_400.0
        await rig.clock.run(D)
        assert not rig.world.standing


async def test_what_another_actor_changed_or_replaced_is_left_alone_and_reported(rig: Rig) -> None:
    async with rig.engine() as engine:
        due = await placed(rig, engine)
        rig.world.undo_results = [UndoResult.FOREIGN]
        await rig.clock.run(due + D - rig.clock.now())
        assert rig.world.standing  # not touched
        await rig.clock.run(86_400.0)
    assert rig.world.count("undo") == 1
    assert escalations(await rig.facts()) == ["left alone: foreign"]


async def test_what_a_restart_of_the_target_lost_is_confirmed_gone(rig: Rig) -> None:
    async with rig.engine() as engine:
        due = await placed(rig, engine)
        rig.world.standing.clear()
        await rig.clock.run(due + D - rig.clock.now())
        assert not engine.parts.journal.state.undos
    assert [fact.outcome.result for fact in await rig.facts() if isinstance(fact, e.UndoConcluded)] == ["gone"]
