"""What went wrong elsewhere (peers.md §4) for want of a limit: empty targets, blips, forgotten pauses, too wide a scope."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.brakes import Brakes, Waves
from remediator.core.outcomes import Look, Observation, unknown
from remediator.core.rendering import parse_template
from remediator.core.rules import Guards, Limit, Step
from remediator.core.state import RunStatus
from remediator.engine.explaining import Explainer

if TYPE_CHECKING:
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig

GOOD, BAD = Observation(look=Look.GOOD, sentence="it fires"), Observation(look=Look.BAD, sentence="0.27")
WIDE = Guards(cooldown=0.0, rate_limit=Limit(99, 60.0), blast_radius=Limit(99, 60.0), concurrency=99)
FIVE = ("a", "b", "c", "d", "e")


def brakes(**values: object) -> Guards:
    """Guards that hold nothing back but by these brakes."""
    usual = {"failures": 99, "relapse": 0.0, "waves": Waves(first=99)}
    return replace(WIDE, brakes=Brakes(**usual | values))  # type: ignore[arg-type]


async def fire(rig: Rig, engine: Engine, *names: str) -> None:
    """One notification with an alert for each domain, that has just begun to fire."""
    await rig.accept(engine, *(rig.alert(f"{name}.example", at=rig.clock.now()) for name in names))
    await rig.clock.run(1)


async def resolve(rig: Rig, engine: Engine, *names: str) -> None:
    """These alerts are over."""
    await rig.accept(engine, *(rig.alert(f"{name}.example", resolved_at=rig.clock.now()) for name in names))
    await rig.clock.run(1)


async def begun(rig: Rig) -> list[str]:
    """The targets of the runs that began, in order."""
    return [fact.target.partition("=")[2] for fact in await rig.facts() if isinstance(fact, e.RunStarted)]


# ── F1: an empty set is not everything ───────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("domain", ["", " ", "*", ".*", ".+", "%", None])
async def test_f01_a_target_that_is_empty_missing_or_a_wildcard_never_means_all(rig: Rig, domain: str | None) -> None:
    sent = rig.alert(domain or "")
    if domain is None:
        sent["labels"] = {"alertname": "KumoBounceRateHigh", "severity": "critical"}
    async with rig.engine() as engine:
        await rig.accept(engine, sent)
        await rig.clock.run(60)
    assert (rig.world.ledger, await begun(rig)) == ([], [])
    (told,) = [fact for fact in await rig.facts() if isinstance(fact, e.NotificationDisposed)]
    assert [disposal.disposition for alert in told.alerts for disposal in alert.disposals] == ["quarantined"]
    assert "no target: " in told.alerts[0].disposals[0].reason


@pytest.mark.parametrize("domain", ["", "*", ".*"])
async def test_f01_an_argument_that_renders_to_nothing_or_to_a_wildcard_is_no_plan(rig: Rig, domain: str) -> None:
    """The rule's target is sound; what its playbook is given is not."""
    rig.rules = (rig.rule(group_by=("severity",)),)
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert(domain))
        await rig.clock.run(60)
    assert (rig.world.ledger, await begun(rig)) == ([], [])


# ── F3: a blip is no reason for what cannot be taken back ────────────────────────────────────────────────────────────
def restarting(rig: Rig, **changes: object) -> None:
    """A rule without a condition of its own whose playbook cannot be taken back."""
    rig.rules = (rig.rule(when=None, guards=brakes(**changes)),)
    rig.playbooks = (rig.playbook(rig.step("once")),)


async def test_f03_a_flap_of_sixty_seconds_triggers_nothing_that_cannot_be_taken_back(rig: Rig) -> None:
    rig.world.alert = GOOD
    restarting(rig)
    async with rig.engine() as engine:
        for _ in range(5):
            await fire(rig, engine, "a")
            assert "irreversible=defer" in rig.run_of(engine).decided
            await rig.clock.run(58)
            await resolve(rig, engine, "a")
            await rig.clock.run(60)
        assert (rig.world.ledger, await rig.ended()) == ([], ["cancelled"] * 5)
        await fire(rig, engine, "a")  # and what lasts is acted on
        await rig.clock.run(118)
        assert rig.world.ledger == []
        await rig.clock.run(20)
    assert rig.world.count("do") == 1


async def test_f03_what_can_be_taken_back_does_not_wait_for_it(rig: Rig) -> None:
    rig.world.alert = GOOD
    rig.rules = (rig.rule(when=None, guards=brakes()),)
    async with rig.engine() as engine:
        await fire(rig, engine, "a")
        assert rig.world.count("do") == 2


async def test_f03_on_one_signal_alone_a_person_has_to_say_yes(rig: Rig) -> None:
    restarting(rig, irreversible_after=0.0)
    async with rig.engine() as engine:
        await fire(rig, engine, "a")
        run = rig.run_of(engine)
        assert run.status is RunStatus.AWAITING_APPROVAL
        assert rig.world.ledger == []
        (told,) = await Explainer(engine.parts).explain({"alertname": "KumoBounceRateHigh", "domain": "b.example"})
        assert (told.would, told.sentence.partition(":")[0]) == ("ask", "irreversible")
        await rig.ask(engine.desk.approve(run.id, digest=run.digest, by="ana"))
        await rig.clock.run(1)
    assert rig.world.count("do") == 1


# ── F4: a pause is state, not configuration ──────────────────────────────────────────────────────────────────────────
async def test_f04_a_pause_survives_reload_kill_and_restart_and_what_follows_is_capped(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=replace(brakes(), blast_radius=Limit(2, 3600.0))),)
    async with rig.engine() as engine:
        await rig.ask(engine.desk.pause(scope="all", reason="half of the data is being moved", by="ana"))
        await fire(rig, engine, *FIVE)
        await rig.reload(engine, *rig.rules)
        await rig.clock.run(600)
    for _ in range(3):  # leaving the block is a kill
        async with rig.engine() as engine:
            assert engine.parts.journal.state.pauses["all"].reason == "half of the data is being moved"
            await rig.reload(engine, *rig.rules)
            await fire(rig, engine, "f")
            await rig.clock.run(600)
            assert rig.world.ledger == []
    async with rig.engine() as engine:
        await rig.ask(engine.desk.resume(scope="all", by="ana"))
        await rig.clock.run(600)
        assert len(await begun(rig)) == 2  # of six that wait: a cap on targets in any window


# ── F5: the scope is bounded where it is done ────────────────────────────────────────────────────────────────────────
def wide(rig: Rig) -> tuple[Step, ...]:
    """Five steps on five domains."""
    return tuple(
        rig.step("safe", name=f"on {name}", arguments={"domain": parse_template(f"{name}.example")}) for name in FIVE
    )


@pytest.mark.heavy
async def test_f05_of_five_targets_that_alert_at_once_one_is_touched_when_one_may_be(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=brakes(max_targets=1)),)
    async with rig.engine() as engine:
        await fire(rig, engine, *FIVE)
        await rig.clock.run(7000)  # its run is long over, and its temporary effect stands
        assert await begun(rig) == ["a.example"]
    async with rig.engine() as engine:  # no restart gives the place to another
        await fire(rig, engine, "f")
        assert await begun(rig) == ["a.example"]
        await rig.clock.run(400)
        assert len(await begun(rig)) == 2  # it was taken back, and the next one has its place
        assert len({undo.target for undo in engine.parts.journal.state.undos.values()}) == 1


async def test_f05_what_was_taken_back_before_its_time_makes_room_at_once(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=brakes(max_targets=1)),)
    async with rig.engine() as engine:
        await fire(rig, engine, "a", "b")
        await rig.clock.run(600)
        assert await begun(rig) == ["a.example"]
        (undo,) = engine.parts.journal.state.undos.values()
        assert undo.due_at - rig.clock.now() > 6000
        await rig.ask(engine.desk.undo(undo.incident, by="ana"))
        await rig.clock.run(20)
        assert await begun(rig) == ["a.example", "b.example"]


async def test_f05_a_doubt_holds_up_its_wave_until_a_person_has_decided(rig: Rig) -> None:
    """Nobody knows what the remedy did, so it is not tried on the next target; and everybody reads why, and what to do."""
    rig.rules = (rig.rule(guards=brakes(waves=Waves())),)
    rig.playbooks = (rig.playbook(rig.step("once")),)
    rig.world.outcomes["once"] = [unknown("timeout")]
    rig.world.alert = GOOD
    async with rig.engine() as engine:
        await fire(rig, engine, "a", "b")
        await rig.clock.run(3000)
        parked, waits = engine.parts.journal.state.active_runs
        assert (parked.status, waits.status) == (RunStatus.NEEDS_PERSON, RunStatus.DEFERRED)
        assert waits.reason.endswith(
            f"{parked.id} was not seen to help and waits for a person (remediator decide {parked.incident})"
        )
        await rig.ask(engine.desk.decide(parked.id, decision="abort", by="ana", reason="looked: it was not done"))
        await rig.clock.run(20)
        assert await begun(rig) == ["a.example", "b.example"]


async def test_f05_a_plan_that_names_five_places_is_not_begun_when_one_may_be_touched(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=brakes(max_targets=1)),)
    rig.playbooks = (rig.playbook(*wide(rig)),)
    async with rig.engine() as engine:
        (told,) = await Explainer(engine.parts).explain({"alertname": "KumoBounceRateHigh", "domain": "z.example"})
        await fire(rig, engine, "z")
        await rig.clock.run(60)
    assert (rig.world.ledger, await rig.ended()) == ([], ["denied"])
    assert told.sentence.startswith("max_targets: the plan names 5 places (domain a.example, domain b.example")


async def test_f05_the_limit_counts_at_the_step_and_not_only_when_it_is_planned(rig: Rig) -> None:
    """The rule allowed five when the plan was made and begun; by the second step it allows one."""
    rig.rules = (rig.rule(guards=brakes(max_targets=5)),)
    rig.playbooks = (rig.playbook(*wide(rig)),)

    async def narrow(what: str) -> None:
        if what == "do":
            engine.parts.config = replace(engine.parts.config, ruleset=narrower)

    async with rig.engine() as engine:
        narrower = replace(engine.parts.config.ruleset, rules=(rig.rule(guards=brakes(max_targets=1)),))
        rig.world.witness = narrow
        await fire(rig, engine, "z")
        await rig.clock.run(60)
    assert (rig.world.count("do"), await rig.ended()) == (1, ["cancelled"])
    (over,) = [fact for fact in await rig.facts() if isinstance(fact, e.RunEnded)]
    assert over.reason == "max_targets: domain b.example would be place 2 that this run touches, and 1 may be"


# ── F5, F21: many targets are taken on in waves ──────────────────────────────────────────────────────────────────────
async def test_f05_f21_many_targets_are_taken_on_one_two_four_as_each_wave_is_seen_to_help(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=brakes(waves=Waves(), max_targets=99)),)
    rig.max_runs = 99
    async with rig.engine() as engine:
        await fire(rig, engine, *(f"d{number:02}" for number in range(20)))
        for wave, so_far in ((1, 1), (2, 3), (4, 7), (8, 15), (5, 20)):
            await rig.clock.until(lambda count=so_far: len(rig.world.standing) == count)  # type: ignore[misc]
            await rig.clock.run(20)
            assert (len(engine.parts.journal.state.locks), len(await begun(rig))) == (wave, so_far)
        (told,) = await Explainer(engine.parts).explain({"alertname": "KumoBounceRateHigh", "domain": "z.example"})
        assert [verdict.answer.word for verdict in told.verdicts if verdict.guard == "waves"] == ["allow"]


async def test_f05_f21_a_wave_that_does_not_help_is_not_followed_by_a_larger_one(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=brakes(waves=Waves(), max_targets=99)),)
    rig.world.verification = lambda now: BAD
    async with rig.engine() as engine:
        await fire(rig, engine, *FIVE)
        await rig.clock.run(100)
        assert len(engine.parts.journal.state.locks) == 1
    async with rig.engine() as engine:  # and no restart makes it larger
        for _ in range(20):
            await rig.clock.run(100)
            assert len(engine.parts.journal.state.locks) <= 1
    assert len(await begun(rig)) == 5
