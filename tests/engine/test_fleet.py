"""The brakes over all rules in a whole engine, by the failures of others that they answer (F9, F10, F21)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.brakes import Brakes, Waves
from remediator.core.fleet import FleetLimits
from remediator.core.outcomes import Look, Observation
from remediator.core.rules import Guards, Limit, Mode

if TYPE_CHECKING:
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig

GOOD, BAD = Observation(look=Look.GOOD, sentence="it fires"), Observation(look=Look.BAD, sentence="it is not listed")
WIDE = Guards(
    cooldown=0.0,
    rate_limit=Limit(99, 60.0),
    blast_radius=Limit(999, 60.0),
    concurrency=99,
    brakes=Brakes(waves=Waves(first=99), max_targets=999),
)
HOUR, QUARTER = 3600.0, 900.0


async def fire(rig: Rig, engine: Engine, *names: str) -> None:
    """One notification with an alert for each domain."""
    await rig.accept(engine, *(rig.alert(f"{name}.example", at=rig.clock.now()) for name in names))
    await rig.clock.run(1)


async def starts(rig: Rig) -> list[float]:
    """When live runs began (unix s)."""
    records = rig.store.disk.records
    facts = [(record.at, e.decode(record.seq, record.body).fact) for record in records if record.kind == "run.started"]
    return [at for at, fact in facts if isinstance(fact, e.RunStarted) and not fact.dry]


async def calls(rig: Rig) -> list[str]:
    """What people were called for once."""
    return [fact.about for fact in await rig.facts() if isinstance(fact, e.Escalated) and fact.about]


def most(times: list[float], window: float) -> int:
    """The most of these in any window."""
    return max((sum(at <= other < at + window for other in times) for at in times), default=0)


@pytest.fixture(autouse=True)
def _braked(rig: Rig) -> None:
    """The brakes as they are by default, and rules that brake nothing themselves."""
    rig.fleet = FleetLimits()
    rig.max_runs = 99
    rig.rules = (rig.rule(guards=WIDE),)


# ── F9: what waited is asked again ───────────────────────────────────────────────────────────────────────────────────
async def test_f09_after_a_pause_of_two_hours_nothing_runs_for_an_alert_that_resolved(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.ask(engine.desk.pause(scope="all", reason="maintenance", by="ana"))
        await fire(rig, engine, "over", "late", "still")
        await rig.clock.run(HOUR)
        await rig.accept(engine, rig.alert("over.example", resolved_at=rig.clock.now()))
        await rig.clock.run(HOUR)
        await rig.ask(engine.desk.resume(scope="all", by="ana"))
        await rig.clock.run(60)
    assert len(await starts(rig)) == 2
    assert "cancelled" in await rig.ended()


async def test_f09_what_waited_longer_than_its_rule_allows_is_dropped(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=WIDE, give_up=HOUR),)
    async with rig.engine() as engine:
        await rig.ask(engine.desk.pause(scope="all", reason="maintenance", by="ana"))
        await fire(rig, engine, "a")
        await rig.clock.run(2 * HOUR)
        await rig.ask(engine.desk.resume(scope="all", by="ana"))
        await rig.clock.run(60)
    assert (await rig.ended(), await starts(rig)) == (["expired"], [])


@pytest.mark.parametrize(("says", "runs"), [(None, 0), (BAD, 0), (GOOD, 1)])
async def test_f09_an_alert_that_waited_for_its_decision_needs_a_live_yes(
    rig: Rig, says: Observation | None, runs: int
) -> None:
    rig.world.alert = says
    async with rig.engine() as engine:
        await rig.ask(engine.intake.accept(rig.body(rig.alert("a.example")), "test"))
        assert engine.parts.journal.state.pending  # and here the service is killed
    await rig.clock.run(1200)
    async with rig.engine() as engine:
        await rig.clock.run(120)
        assert len(await starts(rig)) == runs
        await rig.accept(engine, rig.alert("a.example"))  # Alertmanager repeats itself: heard of just now
        await rig.clock.run(60)
        assert len(await starts(rig)) == (0 if says is BAD else 1)


async def test_f09_after_an_outage_the_journal_alone_is_not_believed(rig: Rig) -> None:
    """A resolve may have been missed while nobody listened."""
    async with rig.engine() as engine:
        await rig.ask(engine.desk.pause(scope="all", reason="maintenance", by="ana"))
        await fire(rig, engine, "a")
    await rig.clock.run(2 * HOUR)
    async with rig.engine() as engine:
        await rig.ask(engine.desk.resume(scope="all", by="ana"))
        await rig.clock.run(120)
        assert await starts(rig) == []
        await rig.accept(engine, rig.alert("a.example"))
        await rig.clock.run(60)
        assert len(await starts(rig)) == 1


# ── F10: not all at once after a first start or an outage ────────────────────────────────────────────────────────────
async def test_f10_forty_alerts_at_the_first_start_begin_three_runs(rig: Rig) -> None:
    async with rig.engine() as engine:
        await fire(rig, engine, *(f"d{number}" for number in range(40)))
        await rig.clock.run(300)
    async with rig.engine() as engine:  # a restart begins nothing anew
        await rig.clock.run(QUARTER - 330)
        assert len(await starts(rig)) == 3
        held = [run for run in engine.parts.journal.state.runs.values() if run.started is None]
        assert len(held) == 37
        assert all("3 within 15m" in run.reason and "the first start" in run.reason for run in held)
        await rig.clock.run(60)
        assert len(await starts(rig)) == 20  # and then it is the budget
        await rig.clock.run(2 * HOUR)
    assert len(await starts(rig)) == 40
    assert most(await starts(rig), HOUR) == 20


@pytest.mark.heavy
async def test_f10_care_is_due_again_after_an_outage_and_after_a_long_pause(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.clock.run(QUARTER + 1)
        await rig.accept(engine)
    await rig.clock.run(2 * HOUR)
    async with rig.engine() as engine:
        await fire(rig, engine, *(f"a{number}" for number in range(9)))
        await rig.clock.run(60)
        assert len(await starts(rig)) == 3
        await rig.clock.run(2 * HOUR)
        before = len(await starts(rig))
        await rig.ask(engine.desk.pause(scope="all", reason="maintenance", by="ana"))
        await fire(rig, engine, *(f"b{number}" for number in range(9)))
        await rig.clock.run(HOUR)
        await rig.ask(engine.desk.resume(scope="all", by="ana"))
        await rig.clock.run(60)
        assert len(await starts(rig)) == before + 3


# ── F21: a storm is one fault ────────────────────────────────────────────────────────────────────────────────────────
async def storm(rig: Rig, engine: Engine, count: int = 200, name: str = "d") -> None:
    """So many alerts in ten seconds."""
    for part in range(10):
        await fire(rig, engine, *(f"{name}{part}x{number}" for number in range(count // 10)))


@pytest.mark.heavy
async def test_f21_in_a_storm_nothing_begins_and_people_are_called_once(rig: Rig) -> None:
    other = rig.rule(name="other", guards=WIDE, group_by=("domain", "severity"))
    rig.rules = (rig.rule(guards=WIDE), other)
    async with rig.engine() as engine:
        await rig.clock.run(QUARTER)
        await storm(rig, engine)
        begun = len(await starts(rig))
        assert begun <= 50  # those that were alone when they came
        await rig.clock.run(45)
        assert len(await starts(rig)) == begun
        assert [kind for kind in await rig.kinds() if kind.startswith("storm")] == ["storm.began"]
    async with rig.engine() as engine:  # neither a restart nor a reload ends it
        await rig.reload(engine, *rig.rules)
        await rig.clock.run(60)
        assert [kind for kind in await rig.kinds() if kind.startswith("storm")] == ["storm.began", "storm.ended"]
        assert len(await starts(rig)) == begun
        await rig.clock.run(500)
        assert len(await starts(rig)) == begun  # the rest after it
        await rig.clock.run(120 + HOUR)
        assert len(await starts(rig)) > begun
    assert (await calls(rig)).count("storm") == 1
    assert len([one for one in rig.world.messages if "all rules" in one.subject]) == 1
    assert most(await starts(rig), HOUR) <= 20


@pytest.mark.heavy
async def test_f21_a_new_storm_in_the_rest_begins_the_rest_anew(rig: Rig) -> None:
    async with rig.engine() as engine:
        await storm(rig, engine, 60)
        await rig.clock.run(70 + 500)
        await storm(rig, engine, 60, "e")
        await rig.clock.run(70)
        ends = [record.at for record in rig.store.disk.records if record.kind == "storm.ended"]
        assert len(ends) == 2
        begun = len(await starts(rig))
        await rig.clock.run(ends[1] + 595 - rig.clock.now())
        assert len(await starts(rig)) == begun
        await rig.clock.run(HOUR)
        assert len(await starts(rig)) > begun
    assert await calls(rig) == ["storm", "storm", "budget"]


async def test_f21_a_dry_run_shows_the_storm_and_calls_nobody(rig: Rig) -> None:
    rig.mode = Mode.DRY_RUN
    async with rig.engine() as engine:
        await storm(rig, engine, 60)
        held = [run for run in engine.parts.journal.state.runs.values() if "storm" in run.reason]
        assert held
        assert "storm=defer" in held[0].decided
    assert "storm.began" in await rig.kinds()
    assert await calls(rig) == []


async def test_an_ordinary_escalation_does_not_silence_that_of_the_budget(rig: Rig) -> None:
    rig.world.verification = lambda now: BAD  # every run fails, and people are called for each
    rig.rules = (
        rig.rule(guards=replace(WIDE, brakes=Brakes(failures=99, waves=Waves(first=99), max_targets=999))),
    )  # else the rule would be demoted first
    async with rig.engine() as engine:
        await rig.clock.run(QUARTER)
        await fire(rig, engine, *(f"d{number}" for number in range(20)))
        await rig.clock.run(600)
        await fire(rig, engine, "one", "more")
        await rig.clock.run(60)
    assert await calls(rig) == ["budget"]
