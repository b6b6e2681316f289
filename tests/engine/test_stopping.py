"""A clean stop at every position of a run (G22): with targets that answer late and with targets that hang."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.outcomes import Result, UndoResult, failed_for_now

if TYPE_CHECKING:
    from tests.engine.conftest import Rig

GRACE = 0.03


@pytest.fixture
def new(rig: Rig) -> Callable[[], Rig]:
    """Makes a world with a run that has a retry, two effects, a verification and a taking back."""

    def make() -> Rig:
        made = type(rig)()
        steps = (made.step("keyed_lasting"), made.step("safe", attempts=3), made.step("once"))
        made.playbooks = (made.playbook(*steps),)
        made.world.outcomes["safe"] = [failed_for_now("503")]
        return made

    return make


async def stop_at(rig: Rig, position: int, *, hangs: str) -> list[e.AnyFact]:
    """Asks to stop as soon as the journal has `position` entries; all facts of the first life."""
    records = rig.store.disk.records
    stopping: list[asyncio.Future[None]] = []
    async with rig.engine() as engine:

        async def late(_what: str) -> None:
            if hangs == "yes" and len(records) >= position:
                await asyncio.get_running_loop().create_future()
            for _ in range(20):
                await asyncio.sleep(0)

        def note(_entries: object, _before: object, _after: object) -> None:
            if not stopping and len(records) >= position:
                stopping.append(asyncio.ensure_future(engine.stop(GRACE)))

        rig.world.witness = late
        engine.parts.journal.listen(note)
        accepting = asyncio.ensure_future(engine.intake.accept(rig.body(rig.alert()), "test"))
        await rig.clock.until(lambda: bool(stopping), within=20_000.0)
        await asyncio.gather(accepting, *stopping)
    rig.world.witness = None
    return await rig.facts()


def kinds_after(facts: list[e.AnyFact], last: type[e.Fact]) -> list[str]:
    place = next(place for place, fact in enumerate(facts) if isinstance(fact, last))
    return [e.kind_of(fact) for fact in facts[place + 1 :]]


async def positions(rig: Rig) -> int:
    """How many entries such a run makes in all, from the notification to the taking back."""
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(10_000)
    return len(rig.store.disk.records)


@pytest.mark.heavy
async def test_a_stop_at_any_position_leaves_nothing_unknown_that_finished_in_time(new: Callable[[], Rig]) -> None:
    last = await positions(new())
    assert last >= 25
    for position in range(3, last + 1):
        rig = new()
        facts = await stop_at(rig, position, hangs="no")
        assert isinstance(facts[-1], e.ServiceStopped), f"{position}: {kinds_after(facts, e.ServiceStopped)}"
        intents = [(fact.step, fact.attempt) for fact in facts if isinstance(fact, e.StepIntent)]
        told = [fact for fact in facts if isinstance(fact, e.StepOutcome)]
        assert intents == [(fact.step, fact.attempt) for fact in told], position
        assert all(fact.outcome.result is not Result.UNKNOWN for fact in told), position
        undone = [fact for fact in facts if isinstance(fact, e.UndoConcluded)]
        assert len(undone) == len([fact for fact in facts if isinstance(fact, e.UndoIntent)]), position
        assert all(fact.outcome.result is UndoResult.UNDONE for fact in undone), position
        async with rig.engine() as engine:
            await rig.clock.run(10_000)
            assert rig.idle(engine)
            assert not rig.world.standing
        assert await rig.ended() == ["succeeded"], position
        assert rig.world.count("do", "once") == 1


@pytest.mark.heavy
async def test_a_stop_at_any_position_ends_in_its_time_whatever_hangs(new: Callable[[], Rig]) -> None:
    last = await positions(new())
    for position in range(3, last + 1):
        rig = new()
        async with asyncio.timeout(30.0):  # a stop that hangs would be seen here, not measured
            facts = await stop_at(rig, position, hangs="yes")
        assert isinstance(facts[-1], e.ServiceStopped), position
        before = rig.world.count("do", "once")
        async with rig.engine() as engine:
            await rig.clock.run(10_000)
            assert all(run.status == "needs_person" for run in engine.parts.journal.state.runs.values()), position
            assert not rig.world.standing, position
        assert rig.world.count("do", "once") <= 1, position
        assert before <= 1
