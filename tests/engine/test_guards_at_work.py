"""Guards at work in a whole engine: who is held back, for how long, what is said of it, and what lets them go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.brakes import Brakes, Waves
from remediator.core.facts import Facts
from remediator.core.intervals import TimeInterval
from remediator.core.outcomes import Look, Observation
from remediator.core.rendering import parse_template
from remediator.core.rules import Condition, Guards, Limit, Mode
from remediator.core.state import RunStatus
from remediator.core.verdicts import Verdict, allow

if TYPE_CHECKING:
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig

GOOD, BAD = Observation(look=Look.GOOD, sentence="0.27"), Observation(look=Look.BAD, sentence="0.03")
WIDE = Guards(
    cooldown=0.0,
    rate_limit=Limit(99, 60.0),
    blast_radius=Limit(99, 60.0),
    concurrency=99,
    brakes=Brakes(waves=Waves(first=99), max_targets=999),
)


async def fire(rig: Rig, engine: Engine, *names: str) -> None:
    """Alerts for these domains, one notification each, and time to look at them."""
    for name in names:
        await rig.accept(engine, rig.alert(f"{name}.example", at=rig.clock.now()))
    await rig.clock.run(1)


def touched(rig: Rig) -> int:
    """How many targets were touched."""
    return len({key.partition("/")[0] for what, _, key in rig.world.ledger if what == "do"})


async def decisions(rig: Rig, answer: str) -> list[Mapping[str, Verdict]]:
    """The recorded decisions with this answer, by guard."""
    found = [fact for fact in await rig.facts() if isinstance(fact, e.RunDecided) and fact.answer == answer]
    return [{verdict.guard: verdict for verdict in fact.verdicts} for fact in found]


async def test_the_fourth_target_within_the_hour_is_held_and_people_are_called_once(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=replace(WIDE, blast_radius=Limit(3, 3600.0))),)
    async with rig.engine() as engine:
        await fire(rig, engine, "a", "b", "c")
        assert touched(rig) == 3
        await fire(rig, engine, "d", "e")
        await rig.clock.run(600)
        assert touched(rig) == 3
        calls = [fact.reason for fact in await rig.facts() if isinstance(fact, e.Escalated)]
        assert len(calls) == 1
        assert "bigger than one target" in calls[0]
        await rig.clock.until(lambda: touched(rig) == 5)
        assert 3600 <= rig.clock.now() - 1_790_000_000 <= 3700  # the first three have left the window by then


async def test_a_storm_in_dry_run_calls_nobody(rig: Rig) -> None:
    rig.mode = Mode.DRY_RUN
    rig.rules = (rig.rule(guards=replace(WIDE, blast_radius=Limit(1, 3600.0))),)
    async with rig.engine() as engine:
        await fire(rig, engine, "a", "b", "c")
        await rig.clock.run(60)
    assert "incident.escalated" not in await rig.kinds()
    assert not rig.world.messages


async def test_a_run_waits_for_a_place_and_takes_it_as_soon_as_one_is_free(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=replace(WIDE, concurrency=2)),)
    async with rig.engine() as engine:
        await fire(rig, engine, "a", "b", "c")
        assert touched(rig) == 2
        await rig.clock.until(lambda: "run.ended" in [record.kind for record in rig.store.disk.records])
        assert touched(rig) == 3  # in the same instant
    held = await decisions(rig, "defer")
    assert "2 at once" in held[0]["concurrency"].sentence


async def test_the_whole_service_has_places_too(rig: Rig) -> None:
    rig.max_runs = 1
    rig.rules = (rig.rule(guards=WIDE), rig.rule(name="other", guards=WIDE, group_by=("domain", "severity")))
    async with rig.engine() as engine:
        await fire(rig, engine, "a")
        assert touched(rig) == 1
        await rig.clock.until(lambda: rig.idle(engine))
    assert touched(rig) == 2


async def test_a_target_has_its_budget_whatever_became_of_the_runs(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=replace(WIDE, rate_limit=Limit(2, 3600.0))),)
    async with rig.engine() as engine:
        for _ in range(3):
            await fire(rig, engine, "a")
            await rig.clock.run(120)
            await rig.accept(engine, rig.alert("a.example", resolved_at=rig.clock.now()))
            await rig.clock.run(1)
        assert rig.world.count("do", "safe") == 2
    async with rig.engine() as engine:  # and a restart gives nothing back
        await rig.accept(engine, rig.alert("a.example", at=rig.clock.now()))
        await rig.clock.run(120)
        assert rig.world.count("do", "safe") == 2
        await rig.clock.until(lambda: rig.world.count("do", "safe") == 3)
        assert rig.clock.now() - 1_790_000_000 >= 3600


@pytest.mark.parametrize("decision", ["", "abort"])
async def test_a_run_that_was_killed_and_taken_up_again_keeps_its_place_in_the_window(rig: Rig, decision: str) -> None:
    """Elsewhere a recovered run lost its start time, and with it the place that it had spent."""
    rig.rules = (rig.rule(guards=Guards(cooldown=0.0, rate_limit=Limit(1, 21600.0), blast_radius=Limit(9, 60.0))),)
    rig.playbooks = (rig.playbook(rig.step("once" if decision else "keyed")),)
    announced = asyncio.Event()

    async def stop_here(_what: str) -> None:
        announced.set()
        await asyncio.get_running_loop().create_future()

    rig.world.witness = stop_here
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        assert announced.is_set()  # and here it is killed, before it could tell what came of it
    rig.world.witness = None
    async with rig.engine() as engine:
        await rig.clock.run(60)
        if decision:
            await rig.ask(engine.desk.decide(rig.run_of(engine).id, decision=decision, by="ana", reason="looked"))
        await rig.clock.until(lambda: rig.idle(engine))
        await rig.accept(engine, rig.alert(resolved_at=rig.clock.now()))
        await rig.clock.run(1)
        for _ in range(3):
            await rig.accept(engine, rig.alert(at=rig.clock.now()))
            await rig.clock.run(3600)
            await rig.accept(engine, rig.alert(at=rig.clock.now() - 1, resolved_at=rig.clock.now()))
            await rig.clock.run(1)
    assert rig.world.count("do") == 1


@pytest.mark.heavy
async def test_hands_stay_off_in_a_muted_interval(rig: Rig) -> None:
    guards = replace(WIDE, mute_time_intervals=("always",))
    rig.rules = (rig.rule(guards=guards),)
    async with rig.engine() as engine:
        ruleset = replace(engine.parts.config.ruleset, time_intervals={"always": (TimeInterval(),)})
        engine.parts.config = replace(engine.parts.config, ruleset=ruleset)
        await fire(rig, engine, "a")
        await rig.clock.run(3600)
    assert not rig.world.ledger
    assert "muted by always" in (await decisions(rig, "defer"))[0]["time_intervals"].sentence


async def test_an_interval_that_nobody_defined_denies(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=replace(WIDE, mute_time_intervals=("lunch",))),)
    async with rig.engine() as engine:
        await fire(rig, engine, "a")
    assert await rig.ended() == ["denied"]
    assert not rig.world.ledger


async def test_a_precondition_holds_back_with_the_authors_own_words(rig: Rig) -> None:
    condition = Condition(parse_template("volume > 200"), 0.0, "ten bounces of twenty are not a crisis")
    rig.rules = (rig.rule(guards=replace(WIDE, require=(condition,))),)
    rig.world.condition = lambda expr: BAD if expr == "volume > 200" else GOOD
    async with rig.engine() as engine:
        await fire(rig, engine, "a")
        assert "not a crisis" in (await decisions(rig, "defer"))[0]["require"].sentence
        rig.world.condition = lambda expr: GOOD
        await rig.clock.run(20)
        assert rig.world.ledger


class Broken:
    """A guard that breaks, or says what no guard may say."""

    name = "broken"
    summary = "test"

    def __init__(self, said: object) -> None:
        self._said = said

    def check(self, facts: Facts) -> Verdict | None:
        if isinstance(self._said, Exception):
            raise self._said
        return self._said  # type: ignore[return-value]


@pytest.mark.parametrize("said", [ZeroDivisionError("x"), "yes", True, allow])
async def test_a_broken_guard_denies(rig: Rig, said: object) -> None:
    async with rig.engine() as engine:
        engine.parts.guards = (*engine.parts.guards, Broken(said))
        await fire(rig, engine, "a")
    assert await rig.ended() == ["denied"]
    assert not rig.world.ledger


async def test_a_service_without_guards_denies(rig: Rig) -> None:
    async with rig.engine() as engine:
        engine.parts.guards = ()
        await fire(rig, engine, "a")
    assert await rig.ended() == ["denied"]


class Deaf:
    """A Prometheus and an Alertmanager that break."""

    async def holds(self, expr: str, *, hold: float, now: float) -> Observation:
        raise ConnectionError("refused")

    async def state(self, labels: Mapping[str, str]) -> Observation:
        raise ConnectionError("refused")


async def test_a_prometheus_that_breaks_or_is_not_there_is_never_a_yes(rig: Rig) -> None:
    async with rig.engine() as engine:
        engine.parts.oracle = Deaf()
        await fire(rig, engine, "a")
        await rig.clock.run(600)
        assert rig.run_of(engine).status is RunStatus.DEFERRED
        engine.parts.oracle = None
        await rig.clock.run(600)
        assert rig.run_of(engine).status is RunStatus.DEFERRED
    assert not rig.world.ledger
    assert "could not tell" in (await decisions(rig, "defer"))[0]["when"].sentence


async def test_an_alertmanager_that_breaks_is_never_a_yes(rig: Rig) -> None:
    async with rig.engine() as engine:
        engine.parts.alerts = Deaf()
        await fire(rig, engine, "a")
        await rig.clock.run(600)
    assert not rig.world.ledger


async def test_a_silenced_alert_is_left_alone_until_the_silence_is_over(rig: Rig) -> None:
    rig.world.alert = Observation(look=Look.BAD, sentence="silenced by ana")
    async with rig.engine() as engine:
        await fire(rig, engine, "a")
        await rig.clock.run(600)
        assert not rig.world.ledger
        rig.world.alert = GOOD
        await rig.clock.run(20)
        assert rig.world.ledger


async def test_evidence_that_went_stale_on_its_way_is_not_believed(rig: Rig) -> None:
    def slow(expr: str) -> Observation:
        rig.clock._move(rig.clock.mono + 20.0)  # the answer took longer than answers may be old
        return GOOD

    async with rig.engine() as engine:
        rig.world.condition = slow
        await fire(rig, engine, "a")
        await rig.clock.run(600)
        assert not rig.world.ledger
        rig.world.condition = lambda expr: GOOD
        await rig.clock.run(20)
        assert rig.world.ledger


async def test_a_run_that_is_held_back_for_hours_does_not_fill_the_journal(rig: Rig) -> None:
    rig.clock.lag = 0.004  # sleepers wake late on a real machine, and so each answer is a little newer than the last
    rig.world.condition = lambda expr: BAD
    async with rig.engine() as engine:
        await fire(rig, engine, "a")
        await rig.clock.run(3 * 3600)
    assert len(await decisions(rig, "defer")) == 1


async def test_what_holds_a_run_back_is_recorded_again_when_it_changes(rig: Rig) -> None:
    rig.world.condition = lambda expr: BAD
    async with rig.engine() as engine:
        await fire(rig, engine, "a")
        await rig.ask(engine.desk.pause(scope="all", reason="look first", by="ana"))
        await rig.clock.run(60)
        await rig.ask(engine.desk.resume(scope="all", by="ana"))
        await rig.clock.run(60)
    answers = [{name for name, verdict in one.items() if verdict.answer.word == "defer"}
               for one in await decisions(rig, "defer")]  # fmt: skip
    assert answers == [{"when"}, {"pause"}, {"when"}]
