"""Rules that start by the clock: once, whoever looks and whatever becomes of processes and clocks; then as any other run."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.outcomes import failed
from remediator.core.rendering import parse_template
from remediator.core.rules import Check, Limit, Mode, Rule, Rung
from remediator.core.schedules import Missed, parse_schedule
from remediator.engine.explaining import Explainer
from remediator.stores.faults import Fault
from remediator.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig

HOURLY = "0 * * * *"
HOUR = 3600.0


def nightly(rig: Rig, cron: str = HOURLY, *, missed: Missed = Missed.SKIP, **changes: object) -> Rule:
    """A rule for every full hour, on one domain."""
    values: dict[str, object] = {
        "name": "hourly-check",
        "match": (),
        "group_by": ("domain",),
        "schedule": parse_schedule(cron, missed=missed),
        "targets": ({"domain": "example.com"},),
        "ladder": (Rung(playbook="pause-domain", arguments={"domain": parse_template("{{ labels.domain }}")}),),
        "guards": rig.guards(cooldown=0.0, rate_limit=Limit(100, 86_400.0)),
    }
    return rig.rule(**values | changes)


def until_due(rig: Rig) -> float:
    """Seconds until the next full hour."""
    following = parse_schedule(HOURLY).following(rig.clock.wall)
    assert following is not None
    return following - rig.clock.wall


async def due(rig: Rig) -> list[tuple[float, str]]:
    """All occurrences on record and what became of them."""
    return [(fact.due, fact.disposition) for fact in await rig.facts() if isinstance(fact, e.ScheduleDue)]


@asynccontextmanager
async def replica(rig: Rig) -> AsyncIterator[Engine]:
    """One more engine over the same disk."""
    rig.store = MemoryStore(rig.store.disk, shared=rig.clock.monotonic)
    async with rig.engine() as engine:
        yield engine


async def test_an_occurrence_goes_the_way_of_an_alert_from_plan_to_undo(rig: Rig) -> None:
    rig.rules = (nightly(rig),)
    async with rig.engine() as engine:
        await rig.clock.run(until_due(rig) - 1)
        assert await due(rig) == []
        at = rig.clock.wall + 1
        await rig.clock.run(2)
        assert await due(rig) == [(at, "planned")]
        assert rig.run_of(engine).plan.target == {"domain": "example.com"}
        await rig.clock.run(1800)
        assert await rig.ended() == ["succeeded"]
        assert (rig.world.count("do", "keyed_lasting"), rig.world.count("do", "safe")) == (1, 1)
        await rig.clock.run(2 * HOUR)
        assert rig.world.count("undo", "keyed_lasting") >= 1
        assert engine.parts.journal.state.tally.received == 0


async def test_each_hour_is_planned_once(rig: Rig) -> None:
    rig.rules = (nightly(rig),)
    async with rig.engine():
        await rig.clock.run(until_due(rig) + 4 * HOUR + 60)
    found = await due(rig)
    assert [disposition for _, disposition in found] == ["planned"] * 5
    assert [round(b - a) for (a, _), (b, _) in itertools.pairwise(found)] == [3600] * 4


async def test_of_several_replicas_one_starts_it(rig: Rig) -> None:
    rig.rules = (nightly(rig),)
    rig.clock.wall += until_due(rig) - 30
    async with replica(rig), replica(rig), replica(rig):
        await rig.clock.run(150)
    assert [disposition for _, disposition in await due(rig)] == ["planned"]
    assert await rig.ended() == ["succeeded"]
    assert rig.world.count("do", "keyed_lasting") == 1


async def test_a_restart_just_across_the_time_loses_nothing(rig: Rig) -> None:
    rig.rules = (nightly(rig),)
    async with rig.engine():
        await rig.clock.run(until_due(rig) - 5)
    await rig.clock.run(30)
    async with rig.engine():
        await rig.clock.run(600)
    assert [disposition for _, disposition in await due(rig)] == ["planned"]


async def test_what_was_missed_by_a_stop_is_skipped_or_made_up_for_once_as_the_rule_says(rig: Rig) -> None:
    for missed, expected in ((Missed.SKIP, "missed"), (Missed.RUN_ONCE, "planned")):
        rig.store = MemoryStore()
        rig.rules = (nightly(rig, missed=missed),)
        async with rig.engine():
            await rig.clock.run(until_due(rig) - 5)
        await rig.clock.run(3 * HOUR + 600)  # four full hours pass
        async with rig.engine():
            await rig.clock.run(60)
        found = await due(rig)
        assert [disposition for _, disposition in found] == [expected]
        assert rig.clock.wall - found[0][0] < HOUR


async def test_what_was_due_before_the_rule_was_loaded_counts_for_nothing(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.clock.run(until_due(rig) + 60)
        await rig.reload(engine, nightly(rig, missed=Missed.RUN_ONCE))
        await rig.clock.run(60)
        assert await due(rig) == []
        assert [fact.rule for fact in await rig.facts() if isinstance(fact, e.ScheduleSet)] == ["hourly-check"]


async def test_a_wall_clock_that_is_set_back_or_forward_starts_nothing_twice(rig: Rig) -> None:
    rig.blemishes.add("G10")  # times of undos are told by the clock that is set
    rig.rules = (nightly(rig),)
    async with rig.engine():
        await rig.clock.run(until_due(rig) + 10)
        rig.clock.wall -= 1800
        await rig.clock.run(1900)
        assert [disposition for _, disposition in await due(rig)] == ["planned"]
        rig.clock.wall += 2 * HOUR + 60  # over two full hours
        await rig.clock.run(120)
        assert [disposition for _, disposition in await due(rig)] == ["planned", "missed"]


async def test_it_waits_while_an_alerts_run_holds_the_target(rig: Rig) -> None:
    rig.rules = (rig.rule(), nightly(rig))
    rig.playbooks = (rig.playbook(rig.step("safe")),)
    async with rig.engine() as engine:
        await rig.clock.run(until_due(rig) - 5)
        await rig.accept(engine, rig.alert(at=rig.clock.wall - 60))
        await rig.clock.run(20)
        waiting = [run for run in engine.parts.journal.state.runs.values() if run.plan.rule == "hourly-check"]
        assert [run.status.value for run in waiting] == ["deferred"]
        assert any("target_lock=defer" in run.decided for run in waiting)
        await rig.clock.run(600)
    assert await rig.ended() == ["succeeded", "succeeded"]


async def test_it_does_not_write_over_what_an_incident_has_in_force_on_the_target(rig: Rig) -> None:
    rig.rules = (rig.rule(), nightly(rig, give_up=3 * HOUR))
    async with rig.engine() as engine:
        await rig.clock.run(until_due(rig) - 600)
        await rig.accept(engine, rig.alert(at=rig.clock.wall - 60))  # its effect lasts two hours
        await rig.clock.run(HOUR)
        assert rig.world.count("do", "keyed_lasting") == 1
        (run,) = engine.parts.journal.state.runs.values()
        assert "keyed_lasting of inc-" in run.reason
        assert "is in force here until" in run.reason
        await rig.clock.run(HOUR + 300)
        assert rig.world.count("do", "keyed_lasting") == 2
    whats = [what for what, kind, _key in rig.world.ledger if kind == "keyed_lasting"]
    assert whats == ["do", "undo", "do"]


async def test_an_occurrence_that_finds_the_last_one_at_work_is_passed_over(rig: Rig) -> None:
    rig.rules = (nightly(rig, "*/1 * * * *"),)
    rig.playbooks = (rig.playbook(verify=(Check(probe="promql", arguments={}, hold=150.0, within=300.0),)),)
    async with rig.engine():
        await rig.clock.run(150)
        found = [disposition for _, disposition in await due(rig)]
    assert found[:2] == ["planned", "overlapping"]


async def test_guards_count_it_as_any_other_run(rig: Rig) -> None:
    rig.rules = (nightly(rig, guards=rig.guards(cooldown=0.0, rate_limit=Limit(1, 86_400.0)), give_up=600.0),)
    async with rig.engine():
        await rig.clock.run(until_due(rig) + HOUR + 1200)
    assert await rig.ended() == ["succeeded", "expired"]


async def test_a_failed_run_calls_people_and_is_taken_back(rig: Rig) -> None:
    rig.rules = (nightly(rig),)
    rig.world.outcomes["safe"] = [failed("503")]
    async with rig.engine():
        await rig.clock.run(until_due(rig) + 600)
    assert await rig.ended() == ["rolled_back"]
    assert rig.world.count("undo", "keyed_lasting") == 1
    assert any("people are needed" in message.subject for message in rig.world.messages)


async def test_a_rule_in_mode_approve_asks_a_person(rig: Rig) -> None:
    rig.rules = (nightly(rig, mode=Mode.APPROVE),)
    async with rig.engine() as engine:
        await rig.clock.run(until_due(rig) + 5)
        run = rig.run_of(engine)
        assert run.status.value == "awaiting_approval"
        await rig.ask(engine.desk.approve(run.id, digest=run.digest, by="ana"))
        await rig.clock.run(600)
    assert await rig.ended() == ["succeeded"]


async def test_a_store_that_cannot_commit_for_half_a_minute_delays_it_and_loses_nothing(rig: Rig) -> None:
    rig.rules = (nightly(rig),)
    async with rig.engine():
        await rig.clock.run(until_due(rig) - 1)
        rig.store.faults.begin(Fault.FAIL_BEFORE)
        await rig.clock.run(30)
        assert await due(rig) == []
        rig.store.faults.end()
        await rig.clock.run(600)
    assert [disposition for _, disposition in await due(rig)] == ["planned"]
    assert await rig.ended() == ["succeeded"]


async def test_a_crash_at_any_append_of_its_way_starts_it_once(rig: Rig) -> None:
    rig.rules = (nightly(rig),)
    rig.playbooks = (rig.playbook(rig.step("once"), rig.step("keyed_lasting")),)
    start = rig.clock.wall
    async with rig.engine():
        await rig.clock.run(until_due(rig) + 300)
    whole = len(rig.store.disk.records)
    for last in range(3, whole):
        rig.store, rig.clock = MemoryStore(), type(rig.clock)()
        rig.world.ledger.clear()
        rig.world.arrivals.clear()
        rig.world.standing.clear()
        assert rig.clock.wall == start
        async with rig.engine():
            await rig.clock.until(lambda last=last: len(rig.store.disk.records) >= last)  # type: ignore[misc]
        async with rig.engine():
            await rig.clock.run(until_due(rig) + 300 if rig.clock.wall < start + 60 else 600)
        assert [disposition for _, disposition in await due(rig)] == ["planned"], last
        assert rig.world.count("do", "once") <= 1, last


@pytest.mark.parametrize("fault", [Fault.COMMIT_THEN_FAIL, Fault.LOSE_THEN_FAIL, Fault.CONFLICT, Fault.FULL])
async def test_a_store_that_loses_its_answer_at_the_very_append_starts_it_once(rig: Rig, fault: Fault) -> None:
    rig.rules = (nightly(rig),)
    async with rig.engine():
        await rig.clock.run(until_due(rig) - 1)
        rig.store.faults.next(fault)
        await rig.clock.run(600)
    assert [disposition for _, disposition in await due(rig)] == ["planned"]
    assert await rig.ended() == ["succeeded"]


async def test_an_occurrence_whose_incident_is_on_record_already_is_put_aside_and_blocks_nothing(rig: Rig) -> None:
    rig.blemishes.add("G10")  # as above
    rig.rules = (nightly(rig),)
    async with rig.engine() as engine:
        await rig.clock.run(until_due(rig) + 1800)
        journal = engine.parts.journal
        again = e.ScheduleSet(rule="hourly-check", cron="0 * * * *", time_zone="UTC")
        rig.clock.wall -= HOUR  # and the journal no longer remembers that it was decided
        await rig.ask(journal.commit(lambda _state, _moment: [again]))
        await rig.ask(engine.desk.release(by="ana", reason="the clock is right"))  # what holds after the step (G5)
        await rig.clock.run(HOUR)
        assert [disposition for _, disposition in await due(rig)] == ["planned", "quarantined"]
        await rig.clock.run(HOUR)
        assert [disposition for _, disposition in await due(rig)][2:] == ["planned"]
    assert rig.world.count("do", "keyed_lasting") == 2


async def test_what_would_happen_now_can_be_explained(rig: Rig) -> None:
    rig.rules = (rig.rule(), nightly(rig))
    async with rig.engine() as engine:
        explainer = Explainer(engine.parts)
        (view,) = await rig.ask(explainer.explain({}, "hourly-check"))
        assert (view.would, view.target) == ("run", {"domain": "example.com"})
        assert view.schedule.startswith("it starts by its schedule 0 * * * * (UTC), next ")
        told = await rig.ask(explainer.explain({"alertname": "KumoBounceRateHigh", "domain": "example.com"}))
        assert [(one.rule, one.would) for one in told] == [("high-bounce-rate", "run"), ("hourly-check", "no_match")]
        assert "no alert starts it" in told[1].sentence
        (alone,) = await rig.ask(explainer.explain({"alertname": "Other"}, "high-bounce-rate"))
        assert alone.would == "no_match"
        (alone,) = await rig.ask(
            explainer.explain({"alertname": "KumoBounceRateHigh", "domain": "a.b"}, "high-bounce-rate")
        )
        assert alone.would == "run"
        await rig.refused(explainer.explain({}, "nobody"), 404, "there is no rule 'nobody'")


async def test_nothing_is_started_once_the_service_stops(rig: Rig) -> None:
    rig.rules = (nightly(rig),)
    async with rig.engine() as engine:
        await rig.clock.run(until_due(rig) - 1)
        stopped = asyncio.ensure_future(engine.stop(5.0))
        await rig.clock.run(60)
        await stopped
    assert await due(rig) == []
