"""After a step of a clock nothing that is limited begins for one longest window, or until a person releases it (G5)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.fleet import enforced
from remediator.core.holds import clock_hold
from remediator.core.state import RunStatus
from remediator.stores.faults import Fault
from remediator.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.core.chain import Head
    from remediator.core.entries import Record
    from remediator.engine.supervisor import Engine
    from remediator.ports import IncidentRow
    from tests.engine.conftest import Rig

WINDOW = enforced(86_400.0)


async def steps(rig: Rig) -> list[e.ClockAnomaly]:
    """What is on record of stepped clocks."""
    return [fact for fact in await rig.facts() if isinstance(fact, e.ClockAnomaly)]


def held(engine: Engine) -> str:
    """What stands, as a sentence."""
    journal = engine.parts.journal
    hold = clock_hold(journal.state, journal.moment())
    return hold.sentence if hold is not None else ""


async def fires(rig: Rig, engine: Engine, domain: str) -> None:
    """An alert that has just begun to fire."""
    await rig.accept(engine, rig.alert(domain, at=rig.clock.wall - 60))


@pytest.mark.parametrize("step", [3600.0, -3600.0, 2.5, -2.5])
async def test_after_a_step_nothing_begins_before_one_longest_window_and_then_it_does(rig: Rig, step: float) -> None:
    rig.blemishes |= {"G5", "G10", "G12"}  # the judge goes by the wall clock
    async with rig.engine() as engine:
        rig.clock.wall += step
        began = rig.clock.mono
        await fires(rig, engine, "a.example")
        assert [one.step for one in await steps(rig)] == [step]
        assert f"stepped by {step:+.1f} s" in held(engine)
        await rig.clock.run(1.0)
        assert rig.run_of(engine).status is RunStatus.DEFERRED
        await rig.clock.run(WINDOW - 60.0)
        assert not rig.world.ledger
        await rig.clock.run(120.0)
        assert held(engine) == ""
        await fires(rig, engine, "b.example")
        await rig.clock.until(lambda: rig.world.count("do") > 0)
        assert rig.clock.mono - began >= WINDOW
    facts = await rig.facts()
    assert [fact.by for fact in facts if isinstance(fact, e.ClockReleased)] == ["clock"]
    assert len([fact for fact in facts if isinstance(fact, e.Escalated) and fact.reason.startswith("clock: ")]) == 1


async def test_the_step_is_on_record_before_whatever_would_have_been_decided_on_the_stepped_clock(rig: Rig) -> None:
    """No watch runs here: the append itself looks."""
    async with rig.engine() as engine:
        await rig.clock.run(60.0)
        rig.clock.wall += 7200.0
        await fires(rig, engine, "a.example")
    kinds = await rig.kinds()
    assert kinds.index("clock.anomaly") < kinds.index("notification.received")


async def test_a_named_person_may_release_it_before_and_who_waited_begins_at_once(rig: Rig) -> None:
    async with rig.engine() as engine:
        rig.clock.wall += 3600.0
        await fires(rig, engine, "a.example")
        await rig.clock.run(60.0)
        assert not rig.world.ledger
        assert await rig.ask(engine.desk.release(by="ana", reason="chrony set it right")) == ("clock",)
        await rig.clock.run(1.0)
        assert rig.world.count("do", "keyed_lasting") == 1
        await rig.refused(engine.desk.release(by="ana", reason="-"), 409, "nothing to release")
    (released,) = [fact for fact in await rig.facts() if isinstance(fact, e.ClockReleased)]
    assert (released.by, released.reason) == ("ana", "chrony set it right")


async def test_what_is_under_way_and_what_is_taken_back_goes_on(rig: Rig) -> None:
    rig.blemishes |= {"G5", "G10", "G12"}
    async with rig.engine() as engine:
        await fires(rig, engine, "a.example")
        await rig.clock.until(lambda: rig.world.count("do", "safe") == 1)
        rig.clock.wall += 60.0
        await rig.clock.run(4 * 3600.0)
        assert rig.world.count("undo", "keyed_lasting") == 1
        assert held(engine)
    assert await rig.ended() == ["succeeded"]


async def test_the_settings_may_cut_the_hold_short(rig: Rig) -> None:
    async with rig.engine() as engine:
        engine.parts.config = replace(engine.parts.config, clock_hold=300.0)
        rig.clock.wall += 3600.0
        await fires(rig, engine, "a.example")
        assert "(limits.clock_hold)" in held(engine)
        await rig.clock.run(299.0)
        assert not rig.world.ledger
        await rig.clock.run(5.0)
        assert rig.world.count("do", "keyed_lasting") == 1


# ── across a restart ─────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("step", "host", "told"),
    [
        (3600.0, "host", "the wall clock was stepped by +3600.0 s (or the machine slept), while no service ran"),
        (-60.0, "host", "the wall clock was stepped by -60.0 s, while no service ran"),
        (1.5, "host", ""),
        (-1.5, "host", ""),
        (3600.0, "after a boot", ""),  # nobody can tell: limits count nothing of the time between
        (-3600.0, "after a boot", "the wall clock is 3585.0 s before the last entry, which another process wrote"),
    ],
)
async def test_a_step_while_no_service_ran_is_found_at_the_start_where_it_can_be(
    rig: Rig, step: float, host: str, told: str
) -> None:
    async with rig.engine():
        await rig.clock.run(5.0)
    rig.clock.wall += step
    await rig.clock.run(10.0)
    rig.host = host
    async with rig.engine() as engine:
        assert told in held(engine)
        assert bool(held(engine)) == bool(told)
        await fires(rig, engine, "a.example")
        await rig.clock.run(60.0)
        assert bool(rig.world.count("do")) == (not told)
    assert len(await steps(rig)) == bool(told)


async def test_the_hold_goes_on_over_a_restart_for_what_is_left_of_it_where_the_machine_can_prove_it(rig: Rig) -> None:
    rig.blemishes |= {"G5", "G10", "G12"}
    async with rig.engine() as engine:
        rig.clock.wall += 3600.0
        await fires(rig, engine, "a.example")
        began = rig.clock.mono
    await rig.clock.run(3600.0)
    async with rig.engine() as engine:
        assert len(await steps(rig)) == 1
        await rig.clock.until(lambda: not held(engine), within=2 * WINDOW)
        assert WINDOW <= rig.clock.mono - began <= WINDOW + 120.0


async def test_after_a_boot_of_the_machine_the_time_in_between_shortens_no_hold(rig: Rig) -> None:
    rig.blemishes |= {"G5", "G10", "G12"}
    async with rig.engine() as engine:
        rig.clock.wall += 3600.0
        await fires(rig, engine, "a.example")
    await rig.clock.run(2 * WINDOW)
    rig.host = "after a boot"
    async with rig.engine() as engine:
        began = rig.clock.mono
        await rig.clock.until(lambda: not held(engine), within=2 * WINDOW)
        assert WINDOW - 60.0 <= rig.clock.mono - began <= WINDOW + 120.0


async def test_a_monotonic_clock_that_went_back_is_noticed_too(rig: Rig) -> None:
    async with rig.engine():
        await rig.clock.run(60.0)
    rig.clock.mono -= 100.0  # a machine that was set back to an earlier copy of it
    async with rig.engine() as engine:
        assert "the monotonic clock of this machine went back by 40.0 s" in held(engine)


# ── whatever the store does ──────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("fault", [Fault.FAIL_BEFORE, Fault.COMMIT_THEN_FAIL, Fault.LOSE_THEN_FAIL, Fault.CONFLICT])
async def test_a_step_is_never_lost_to_the_store_and_no_effect_comes_before_it(rig: Rig, fault: Fault) -> None:
    async with rig.engine() as engine:
        await rig.clock.run(10.0)
        rig.store.faults.next(fault)
        rig.clock.wall += 3600.0
        told = asyncio.ensure_future(engine.parts.journal.insist(lambda _s, _m: [e.ConfigRefused(problems=("-",))]))
        await rig.clock.run(10.0)
        assert told.done()
        assert await steps(rig)
        await fires(rig, engine, "a.example")
        await rig.clock.run(60.0)
        assert not rig.world.ledger


class Mortal(MemoryStore):
    """A store whose process ends at one append, before or after it is on the disk."""

    fatal, after, appends = 0, False, 0

    async def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow] = ()) -> Head:
        self.appends += 1
        head = await super().append(expect, records, rows) if self.after or self.appends != self.fatal else expect
        if self.appends == self.fatal:
            await asyncio.Event().wait()
        return head


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("place", range(1, 5))
async def test_a_crash_at_any_append_after_a_step_lets_nothing_begin_before_it_is_released(
    rig: Rig, place: int, after: bool
) -> None:
    mortal = rig.store = Mortal(rig.store.disk)
    async with rig.engine() as engine:
        await rig.clock.run(5.0)
        mortal.fatal, mortal.after = mortal.appends + place, after
        rig.clock.wall += 3600.0
        asked = asyncio.ensure_future(engine.intake.accept(rig.body(rig.alert(at=rig.clock.wall - 60)), "test"))
        await rig.clock.run(30.0)
        assert mortal.appends == mortal.fatal
        asked.cancel()
    rig.store = MemoryStore(mortal.disk)
    async with rig.engine() as engine:
        await fires(rig, engine, "other.example")
        await rig.clock.run(60.0)
        assert "stepped by +3600.0 s" in held(engine)
        assert not rig.world.ledger
        assert len(await steps(rig)) == 1
        await rig.ask(engine.desk.release(by="ana", reason="seen"))
        await rig.clock.run(60.0)
        assert rig.world.count("do") > 0
