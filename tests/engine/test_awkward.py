"""The awkward moments, one by one: the rows of reliability.md §3.5 that concern the engine, under their own names."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.outcomes import Look, Observation, failed_for_now, unknown
from remediator.core.rules import Guards, Limit, Mode
from remediator.core.state import RunStatus
from remediator.engine.explaining import Explainer

if TYPE_CHECKING:
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig

GOOD, BAD = Observation(look=Look.GOOD, sentence="0.03"), Observation(look=Look.BAD, sentence="0.27")
UNSEEN = Observation(look=Look.UNKNOWN, sentence="no data")


async def resolve(rig: Rig, engine: Engine, *domains: str) -> None:
    """These alerts resolve now."""
    await rig.accept(engine, *(rig.alert(domain, resolved_at=rig.clock.now()) for domain in domains or ["example.com"]))
    await rig.clock.run(1)


def slowly(rig: Rig, what: str = "do") -> asyncio.Event:
    """The first of the lasting effects (or of the undos) does not come back before the event is set."""
    free = asyncio.Event()

    async def wait(arrived: str) -> None:
        if arrived == what and rig.world.ledger[-1][1] == "keyed_lasting":
            await free.wait()

    rig.world.witness = wait
    return free


def done(rig: Rig) -> list[str]:
    """What was done, in order."""
    return [kind for what, kind, _ in rig.world.ledger if what == "do"]


async def reasons(rig: Rig) -> list[str]:
    """Why the runs ended, in order."""
    return [fact.reason for fact in await rig.facts() if isinstance(fact, e.RunEnded)]


# ── the alert resolves ───────────────────────────────────────────────────────────────────────────────────────────────
async def test_resolved_before_any_intent_cancels_at_once(rig: Rig) -> None:
    rig.world.condition = lambda expr: BAD
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(5)
        await resolve(rig, engine)
        assert rig.idle(engine)
    assert await rig.ended() == ["cancelled"]
    assert not rig.world.ledger
    (closed,) = [fact for fact in await rig.facts() if isinstance(fact, e.IncidentClosed)]
    assert closed.result == "resolved"


@pytest.mark.parametrize(("seen", "result"), [(GOOD, "succeeded"), (BAD, "rolled_back"), (UNSEEN, "unverified")])
async def test_resolved_midway_finishes_the_step_starts_no_other_and_lets_the_verification_decide(
    rig: Rig, seen: Observation, result: str
) -> None:
    rig.world.verification = lambda now: seen
    free = slowly(rig)
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        await resolve(rig, engine)
        free.set()
        await rig.clock.until(lambda: rig.idle(engine))
        assert (await rig.kinds()).count("verify.started") == 1
        await rig.clock.run(8000)
    assert await rig.ended() == [result]
    assert done(rig) == ["keyed_lasting"]
    assert rig.world.count("undo") == 1  # by the rollback or in its time, resolved or not
    assert ("resolved midway" in (await reasons(rig))[0]) == (result == "succeeded")


async def test_resolved_between_two_attempts_makes_no_second_one(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("safe", attempts=5, delay=60.0), rig.step("once")),)
    rig.world.outcomes["safe"] = [failed_for_now("503")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        await resolve(rig, engine)
        await rig.clock.until(lambda: rig.idle(engine))
    assert done(rig) == ["safe"]


async def test_resolved_during_approval_withdraws_the_request(rig: Rig) -> None:
    rig.mode = Mode.APPROVE
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(5)
        assert rig.run_of(engine).status is RunStatus.AWAITING_APPROVAL
        await resolve(rig, engine)
        assert rig.idle(engine)
    assert await reasons(rig) == ["the alert resolved before anybody approved"]


async def test_resolved_while_a_person_is_needed_changes_nothing(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("once")),)
    rig.world.outcomes["once"] = [unknown("timeout")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(5)
        await resolve(rig, engine)
        await rig.clock.run(50_000)
        assert rig.run_of(engine).status is RunStatus.NEEDS_PERSON
        assert engine.parts.journal.state.locks


# ── more alerts, more rules ──────────────────────────────────────────────────────────────────────────────────────────
async def test_a_second_alert_on_a_target_joins_and_the_incident_resolves_with_the_last_of_them(rig: Rig) -> None:
    rig.world.condition = lambda expr: BAD
    warning = rig.alert()
    warning["labels"] = {**warning["labels"], "severity": "warning"}  # type: ignore[dict-item]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.accept(engine, warning)
        await rig.clock.run(1)
        run = rig.run_of(engine)
        assert len(engine.parts.journal.state.incidents[run.incident].episodes) == 2
        await resolve(rig, engine)
        assert rig.run_of(engine).digest == run.digest  # the plan is not widened, and one of two still fires
        await rig.accept(
            engine, {**warning, "status": "resolved", "endsAt": rig.alert(resolved_at=rig.clock.now())["endsAt"]}
        )
        await rig.clock.run(1)
        assert rig.idle(engine)
    assert await rig.ended() == ["cancelled"]


async def test_two_rules_on_one_target_act_one_after_the_other_in_file_order(rig: Rig) -> None:
    second = rig.rule(name="second")
    rig.rules = (rig.rule(), second)
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        runs = engine.parts.journal.state.active_runs
        assert [(run.plan.rule, run.status) for run in runs] == [
            ("high-bounce-rate", RunStatus.VERIFYING),
            ("second", RunStatus.DEFERRED),
        ]
        assert "target_lock=defer" in runs[1].decided
        await rig.clock.until(lambda: rig.idle(engine))
    kinds = [(fact.rule, "start") if isinstance(fact, e.RunStarted) else (fact.run, "end")
             for fact in await rig.facts() if isinstance(fact, (e.RunStarted, e.RunEnded))]  # fmt: skip
    assert [what for _, what in kinds] == ["start", "end", "start", "end"]
    assert await rig.ended() == ["succeeded", "succeeded"]


# ── re-fire and cooldown ─────────────────────────────────────────────────────────────────────────────────────────────
async def refire(rig: Rig, engine: Engine) -> float:
    """A first run that ended well, then the alert fires again; when the first one ended."""
    await rig.accept(engine, rig.alert())
    await rig.clock.until(lambda: rig.idle(engine))
    ended = rig.clock.now()
    await resolve(rig, engine)
    await rig.clock.run(60)
    await rig.accept(engine, rig.alert(at=rig.clock.now()))
    await rig.clock.run(1)
    return ended


async def test_a_refire_in_the_cooldown_acts_at_its_end_without_another_delivery(rig: Rig) -> None:
    async with rig.engine() as engine:
        ended = await refire(rig, engine)
        assert "cooldown=defer" in rig.run_of(engine).decided
        await rig.clock.until(lambda: rig.world.count("do") > 2)
        assert 1800 <= rig.clock.now() - ended < 1830
    assert (await rig.kinds()).count("notification.received") == 3


async def test_a_refire_that_resolves_in_the_cooldown_does_nothing_more(rig: Rig) -> None:
    async with rig.engine() as engine:
        await refire(rig, engine)
        await resolve(rig, engine)
        assert rig.idle(engine)
        await rig.clock.run(4000)
    assert rig.world.count("do") == 2


async def test_an_alert_that_flaps_is_handed_to_a_person_and_not_acted_on_once_more(rig: Rig) -> None:
    """Each run helps, and each time the alert is back within the hour: the third time is the last."""
    rig.rules = (rig.rule(guards=Guards(cooldown=0.0, rate_limit=Limit(99, 60.0), blast_radius=Limit(99, 60.0))),)
    async with rig.engine() as engine:
        for _ in range(6):
            await rig.accept(engine, rig.alert(at=rig.clock.now()))
            await rig.clock.run(100)
            await resolve(rig, engine)
            await rig.clock.run(100)
    assert (await rig.ended())[:3] == ["succeeded"] * 3
    assert rig.world.count("do", "safe") == 3
    told = [fact for fact in await rig.facts() if isinstance(fact, e.RuleDemoted)]
    assert (told[0].mode, told[0].reason.partition(";")[0]) == (
        "approve",
        "3 runs in a row did not help on domain=example.com",
    )
    assert any("may go no further than approve" in message.text for message in rig.world.messages)


@pytest.mark.parametrize(
    ("first", "acts"),
    [
        ({"stop": True}, ["first"]),
        ({"stop": False}, ["first", "second"]),
        ({"stop": True, "mode": Mode.OFF}, ["second"]),
    ],
)
async def test_a_rule_that_says_stop_keeps_later_ones_from_being_asked(
    rig: Rig, first: dict[str, object], acts: list[str]
) -> None:
    rig.rules = (rig.rule(name="first", **first), rig.rule(name="second"))
    async with rig.engine() as engine:
        told = await Explainer(engine.parts).explain(rig.alert()["labels"])  # type: ignore[arg-type]
        await rig.accept(engine, rig.alert())
        await rig.clock.run(600)
    assert [fact.rule for fact in await rig.facts() if isinstance(fact, e.RunStarted)] == acts
    (read,) = [fact for fact in await rig.facts() if isinstance(fact, e.NotificationDisposed)]
    assert len(read.alerts[0].disposals) == 2  # each rule that matches is told of, asked or not
    if acts == ["first"]:
        why = "rule first stands before it, took the alert on and says stop"
        assert read.alerts[0].disposals[1] == e.Disposal(disposition="suppressed", rule="second", reason=why)
        assert (told[1].would, told[1].sentence) == ("refuse", why)


# ── reload ───────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_reload_leaves_a_run_the_plan_it_was_made_with(rig: Rig) -> None:
    free = slowly(rig)
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        rig.playbooks = (rig.playbook(rig.step("once"), rig.step("once")),)
        await rig.reload(engine, rig.rule())
        free.set()
        await rig.clock.until(lambda: rig.idle(engine))
    assert done(rig) == ["keyed_lasting", "safe"]


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.DRY_RUN, Mode.APPROVE])
async def test_a_mode_that_is_lowered_ends_a_run_before_its_next_step(rig: Rig, mode: Mode) -> None:
    free = slowly(rig)
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        await rig.reload(engine, rig.rule(mode=mode))
        free.set()
        await rig.clock.until(lambda: rig.idle(engine))
        assert engine.parts.journal.state.undos
        await rig.clock.run(8000)
    assert await rig.ended() == ["cancelled"]
    assert done(rig) == ["keyed_lasting"]
    assert not rig.world.standing


async def test_a_rule_that_is_removed_ends_its_runs_before_their_next_step_or_their_first(rig: Rig) -> None:
    free = slowly(rig)
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        rig.world.condition = lambda expr: BAD
        await rig.accept(engine, rig.alert("held.example"))
        await rig.clock.run(1)
        await rig.reload(engine, rig.rule(name="another"))
        free.set()
        await rig.clock.run(20)
        assert rig.idle(engine)
    assert done(rig) == ["keyed_lasting"]
    assert sorted(await rig.ended()) == ["cancelled", "denied"]
    assert all("no longer loaded" in reason for reason in await reasons(rig))


async def test_a_rule_that_is_removed_leaves_a_step_in_doubt_to_a_person(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("safe", attempts=3)),)
    rig.world.outcomes["safe"] = [unknown("timeout")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        await rig.reload(engine, rig.rule(name="another"))
        await rig.clock.run(100)
        assert rig.run_of(engine).status is RunStatus.NEEDS_PERSON
    assert rig.world.count("do") == 1


async def test_lower_limits_act_at_once_on_runs_already_planned(rig: Rig) -> None:
    rig.world.condition = lambda expr: BAD
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert("a.example"), rig.alert("b.example"))
        await rig.clock.run(1)
        strict = Guards(cooldown=1800.0, rate_limit=Limit(2, 21600.0), blast_radius=Limit(1, 3600.0), concurrency=3)
        await rig.reload(engine, rig.rule(guards=strict))
        rig.world.condition = lambda expr: GOOD
        await rig.clock.run(600)
    assert rig.world.count("do") == 2  # one target of two


async def test_higher_limits_are_for_new_runs_only(rig: Rig) -> None:
    async with rig.engine() as engine:
        ended = await refire(rig, engine)
        loose = Guards(cooldown=0.0, rate_limit=Limit(9, 60.0), blast_radius=Limit(9, 60.0), concurrency=9)
        await rig.reload(engine, rig.rule(guards=loose))
        await rig.clock.until(lambda: rig.world.count("do") > 2)
        assert rig.clock.now() - ended >= 1800


async def test_a_dry_run_stays_dry_when_the_mode_is_raised(rig: Rig) -> None:
    rig.mode = Mode.DRY_RUN
    rig.world.condition = lambda expr: BAD
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        await rig.reload(engine, rig.rule(), mode=Mode.AUTO)
        rig.world.condition = lambda expr: GOOD
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["simulated"]
    assert not rig.world.ledger


async def test_a_run_that_is_held_back_expires_in_its_time_whatever_holds_it(rig: Rig) -> None:
    rig.rules = (rig.rule(give_up=600.0),)
    async with rig.engine() as engine:
        await refire(rig, engine)  # held back by a cooldown of half an hour
        began = rig.clock.now()
        await rig.clock.until(lambda: rig.idle(engine))
        assert rig.clock.now() - began <= 600
    assert await rig.ended() == ["succeeded", "expired"]


@pytest.mark.parametrize(("seen", "acts"), [(GOOD, True), (BAD, False), (UNSEEN, False)])
async def test_a_backlog_of_hours_acts_only_on_what_still_fires(rig: Rig, seen: Observation, acts: bool) -> None:
    rig.world.alert = seen
    async with rig.engine() as engine:
        engine.parts.last_accept = rig.clock.monotonic() + 1e9  # the planner gives way, then the process dies
        asked = asyncio.ensure_future(engine.intake.accept(rig.body(rig.alert()), "test"))
        await asyncio.wait({asked})
    assert (await rig.kinds())[-1] == "notification.received"
    rig.clock._move(rig.clock.mono + 4 * 3600)
    async with rig.engine() as engine:
        await rig.clock.run(120)
        assert not engine.parts.journal.state.pending
        assert bool(rig.world.ledger) == acts
