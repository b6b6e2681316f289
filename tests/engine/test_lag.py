"""A process that is behind its time announces nothing new, and goes on as soon as it is calm again (T47)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.leases import MOST_LAG
from remediator.core.outcomes import Look, Observation
from remediator.engine.lag import EVERY, LagWatch
from remediator.stores.faults import Fault

if TYPE_CHECKING:
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig


@asynccontextmanager
async def watched(rig: Rig, engine: Engine) -> AsyncIterator[list[float]]:
    """The watch at work in this engine; gives what it told."""
    told = list[float]()
    task = asyncio.ensure_future(LagWatch(engine.parts, told.append).watch())
    await rig.clock.settle()
    try:
        yield told
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def block(rig: Rig, seconds: float) -> None:
    """A call that holds up the loop: both clocks move, and nothing else runs meanwhile."""
    rig.clock.wall += seconds
    rig.clock.mono += seconds


async def test_nothing_begins_while_the_loop_is_late_and_it_begins_once_a_second_passed_in_time(rig: Rig) -> None:
    async with rig.engine() as engine, watched(rig, engine) as told:
        await rig.clock.run(5.0)
        assert max(told) == 0.0
        block(rig, EVERY + MOST_LAG + 0.5)
        await rig.accept(engine, rig.alert("a.example"))
        await rig.accept(engine, rig.alert("b.example"))
        await rig.clock.run(0.5)
        assert told[-1] > MOST_LAG
        assert not rig.world.count("do")
        await rig.clock.run(EVERY + 0.1)
        assert told[-1] == 0.0
        assert rig.world.count("do", "keyed_lasting") == 2


async def test_a_loop_that_is_held_up_while_evidence_is_gathered_is_late_before_the_watch_could_look(rig: Rig) -> None:
    def held_up(expr: str) -> Observation:
        if not asked:
            block(rig, 10.0)
        asked.append(expr)
        return Observation(look=Look.GOOD, sentence="0.27")

    asked = list[str]()
    rig.world.condition = held_up
    async with rig.engine() as engine, watched(rig, engine):
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: bool(asked))
        assert not rig.world.count("do")
        await rig.clock.run(EVERY + 0.1)
        assert rig.world.count("do", "keyed_lasting") == 1


async def test_a_little_late_is_no_trouble(rig: Rig) -> None:
    async with rig.engine() as engine, watched(rig, engine) as told:
        block(rig, EVERY + MOST_LAG - 0.5)
        await rig.accept(engine, rig.alert())
        await rig.clock.run(0.5)
        assert rig.world.count("do", "keyed_lasting") == 1
        assert 0.0 < told[-1] <= MOST_LAG


async def test_a_late_process_takes_nothing_back_either_and_says_so_to_whoever_asks(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("safe_lasting", undo_after=62.0)),)
    async with rig.engine() as engine, watched(rig, engine):
        await rig.accept(engine, rig.alert())
        await rig.clock.run(60.0)
        (name,) = engine.parts.journal.state.undos
        block(rig, 5.0)
        asked = engine.desk.undo(name.partition(".")[0], by="ana")
        await rig.refused(asked, 409, "behind its time")
        assert not rig.world.count("undo")
        await rig.clock.run(EVERY + 3.0)
        assert rig.world.count("undo") == 1


async def test_a_watch_that_has_ended_holds_nothing_up(rig: Rig) -> None:
    async with rig.engine() as engine:
        async with watched(rig, engine):
            block(rig, 60.0)
            assert engine.parts.lagging()
        assert not engine.parts.lagging()


@pytest.mark.parametrize(("step", "told_of"), [(3600.0, [3600.0]), (-60.0, [-60.0]), (1.5, []), (-1.5, [])])
async def test_a_step_of_the_wall_clock_is_on_record_once_and_is_no_lag(
    rig: Rig, step: float, told_of: list[float]
) -> None:
    async with rig.engine() as engine, watched(rig, engine) as told:
        await rig.clock.run(3.5)
        rig.clock.wall += step
        block(rig, 0.2)  # a little late beside it: that is no step
        await rig.clock.run(5.0)
        steps = [fact.step for fact in await rig.facts() if isinstance(fact, e.ClockAnomaly)]
        assert steps == pytest.approx(told_of)
        assert max(told) < MOST_LAG


async def test_a_step_that_the_store_does_not_take_is_asked_for_once_at_a_time_and_written_when_it_does(
    rig: Rig,
) -> None:
    async with rig.engine() as engine, watched(rig, engine):
        faults = rig.store.faults
        faults.begin(Fault.FAIL_BEFORE)
        rig.clock.wall += 60.0
        await rig.clock.run(10.0)
        assert engine.parts.journal.waiting == 0
        assert "clock.anomaly" not in await rig.kinds()
        faults.end()
        await rig.clock.run(10.0)
        assert (await rig.kinds()).count("clock.anomaly") == 1
