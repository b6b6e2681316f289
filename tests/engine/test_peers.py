"""What went wrong elsewhere (peers.md §4), as far as the engine has to stand it: one test for each story."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.outcomes import Look, Observation, UndoResult, failed, unknown
from remediator.core.state import RunStatus
from remediator.engine.effects import KILL_GRACE
from remediator.engine.journal import Journal
from remediator.engine.supervisor import Engine
from remediator.stores.memory import MemoryStore

if TYPE_CHECKING:
    from tests.engine.conftest import Rig

BAD = Observation(look=Look.BAD, sentence="0.03")
GOOD = Observation(look=Look.GOOD, sentence="0.27")


async def hang(what: str) -> None:
    """The target takes it and never answers."""
    if what == "do":
        await asyncio.get_running_loop().create_future()


async def test_f02_a_replica_that_was_paused_after_planning_has_no_effect_when_it_wakes(rig: Rig) -> None:
    asleep: asyncio.Event = asyncio.Event()

    class Sleepy:
        async def holds(self, expr: str, *, hold: float, now: float) -> Observation:
            await asleep.wait()
            return GOOD

    async with rig.engine() as paused:
        paused.parts.oracle = Sleepy()
        await rig.accept(paused, rig.alert())
        await rig.clock.run(1)
        assert rig.run_of(paused).status is RunStatus.PLANNED
        parts = rig.parts()
        store = MemoryStore(rig.store.disk)
        parts.journal = Journal(store, rig.clock, key=b"k" * 32, replica="r2", boot="boot-r2")
        other = Engine(parts)
        await parts.journal.open()
        tasks = [asyncio.ensure_future(parts.journal.run()), asyncio.ensure_future(other.run("test"))]
        await rig.clock.until(lambda: rig.idle(other))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await rig.ended() == ["succeeded"]
        made = list(rig.world.ledger)
        asleep.set()
        await rig.clock.run(600)
        assert rig.world.ledger == made
        assert not paused.parts.journal.state.runs
    assert await rig.ended() == ["succeeded"]


async def test_f13_a_step_that_sleeps_past_its_timeout_while_the_sender_repeats_is_one_run(rig: Rig) -> None:
    rig.blemishes |= {"G12"}  # its timeout is of real time, and the judge's is of the rig's
    rig.world.witness = hang
    rig.playbooks = (rig.playbook(rig.step("once", timeout=0.01 - KILL_GRACE)),)
    async with rig.engine() as engine:
        for _ in range(10):
            await rig.accept(engine, rig.alert())
            await rig.clock.run(30)
        await asyncio.sleep(0.02)
        await rig.clock.run(3600)
        assert rig.run_of(engine).status is RunStatus.NEEDS_PERSON
        await rig.accept(engine, rig.alert())
        await rig.clock.run(3600)
    assert (await rig.kinds()).count("run.planned") == 1
    assert rig.world.count("do") == 1


@pytest.mark.parametrize(
    ("action", "within", "found"),
    [("once", 60.0, "needs_person"), ("safe", 700.0, "succeeded"), ("read", 700.0, "succeeded")],
)
async def test_f16_a_run_whose_executor_was_killed_comes_to_rest_within_a_bound(
    rig: Rig, action: str, within: float, found: str
) -> None:
    rig.world.witness = hang
    rig.playbooks = (rig.playbook(rig.step(action)),)
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        assert rig.run_of(engine).status is RunStatus.RUNNING
    rig.world.witness = None
    async with rig.engine() as engine:
        await rig.clock.run(within)
        parked = [str(run.status) for run in engine.parts.journal.state.runs.values()]
        assert [*parked, *await rig.ended()] == [found]


async def test_f17_an_effect_that_timed_out_is_never_repeated_by_itself(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("once", attempts=5)),)
    rig.world.outcomes["once"] = [unknown("no answer within 30s")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(7200)
    for _ in range(3):
        async with rig.engine() as engine:
            await rig.accept(engine, rig.alert())
            await rig.clock.run(7200)
            assert rig.run_of(engine).status is RunStatus.NEEDS_PERSON
    assert rig.world.count("do") == 1


async def test_f18_an_action_that_fails_is_no_answer_to_the_sender_and_one_run(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("once")),)
    rig.world.outcomes["once"] = [failed("422")] * 9
    async with rig.engine() as engine:
        for _ in range(5):
            await rig.accept(engine, rig.alert())  # accepted, whatever became of the action
            await rig.clock.run(60)
    assert await rig.ended() == ["failed"]
    assert rig.world.count("do") == 1


async def test_f23_a_value_that_another_controller_changed_between_set_and_revert_is_not_reverted(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
        rig.world.undo_results = [UndoResult.FOREIGN]  # compared, and not ours any more
        await rig.clock.run(100_000)
        assert rig.world.standing
    assert rig.world.count("undo") == 1
    told = [fact.reason for fact in await rig.facts() if isinstance(fact, e.Escalated)]
    assert told == ["left alone: foreign"]
