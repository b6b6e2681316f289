"""Stories: what happens to an alert, from the webhook to the last word, on a virtual clock."""

from __future__ import annotations

from typing import Any

from remediator.core.outcomes import Look, Observation, Presence, UndoResult, failed, unknown
from remediator.core.rules import Mode


async def test_a_bouncing_domain_is_paused_verified_and_released_in_time(rig: Any) -> None:
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
        assert await rig.ended() == ["succeeded"]
        assert [kind for what, kind, _ in rig.world.ledger if what == "do"] == ["keyed_lasting", "safe"]
        await rig.clock.run(7300)
        assert [kind for what, kind, _ in rig.world.ledger if what == "undo"] == ["keyed_lasting"]
        assert not engine.parts.journal.state.undos


async def test_intents_come_before_their_effects_and_outcomes_after(rig: Any) -> None:
    seen = []

    def look(call: Any) -> None:
        seen.append((call.key, [record.kind for record in rig.store.disk.records][-1]))

    rig.world.before_effect = look
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
    assert [kind for _, kind in seen] == ["step.intent", "step.intent"]


async def test_copies_of_an_alert_start_nothing_more(rig: Any) -> None:
    async with rig.engine() as engine:
        for _ in range(5):
            await rig.accept(engine, rig.alert(), rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
        await rig.accept(engine, rig.alert())
        await rig.clock.run(10_000)
    assert len([1 for what, _, _ in rig.world.ledger if what == "do"]) == 2


async def test_a_condition_that_does_not_hold_holds_the_run_back_until_the_alert_resolves(rig: Any) -> None:
    rig.world.condition = lambda expr: Observation(look=Look.BAD, sentence="0.04")
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(300)
        assert not rig.world.ledger
        await rig.accept(engine, rig.alert(resolved_at=rig.clock.now()))
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["cancelled"]
    assert not rig.world.ledger


async def test_no_answer_of_prometheus_is_never_a_yes(rig: Any) -> None:
    rig.world.condition = lambda expr: Observation(look=Look.UNKNOWN, sentence="503")
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(20_000)
    assert not rig.world.ledger
    assert await rig.ended() == ["expired"]


async def test_a_verification_that_sees_no_recovery_rolls_back_and_calls_people(rig: Any) -> None:
    rig.world.verification = lambda now: Observation(look=Look.BAD, sentence="0.27")
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
        await rig.clock.run(60)
    assert await rig.ended() == ["rolled_back"]
    assert [kind for what, kind, _ in rig.world.ledger if what == "undo"] == ["keyed_lasting"]
    assert any("people are needed" in message.subject for message in rig.world.messages)


async def test_a_verification_that_could_not_tell_takes_nothing_back_and_calls_people(rig: Any) -> None:
    rig.world.verification = lambda now: Observation(look=Look.UNKNOWN, sentence="no data")
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
        await rig.clock.run(60)
    assert await rig.ended() == ["unverified"]
    assert not [1 for what, _, _ in rig.world.ledger if what == "undo"]
    assert any("people are needed" in message.subject for message in rig.world.messages)


async def test_a_failed_step_ends_the_mitigation_and_takes_back_what_was_done(rig: Any) -> None:
    rig.world.outcomes["safe"] = [failed("refused")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["rolled_back"]


async def test_an_unknown_once_step_is_never_repeated_and_waits_for_a_person(rig: Any) -> None:
    rig.playbooks = (rig.playbook(rig.step("once", attempts=3), rig.step("safe")),)
    rig.world.outcomes["once"] = [unknown("timeout")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(50_000)
        assert len(rig.world.ledger) == 1
        (run,) = engine.parts.journal.state.runs.values()
        assert run.status == "needs_person"


async def test_a_keyed_step_in_doubt_is_promoted_by_the_targets_own_record(rig: Any) -> None:
    rig.world.outcomes["keyed_lasting"] = [unknown("timeout")]
    rig.world.present["keyed_lasting"] = Presence.PRESENT
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["succeeded"]
    assert [kind for what, kind, _ in rig.world.ledger if what == "do"] == ["keyed_lasting", "safe"]


async def test_the_second_run_on_a_target_waits_for_the_cooldown(rig: Any) -> None:
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
        await rig.accept(engine, rig.alert(resolved_at=rig.clock.now()))
        ended = rig.clock.now()
        await rig.clock.run(60)
        await rig.accept(engine, rig.alert(at=rig.clock.now()))
        await rig.clock.until(lambda: len(rig.world.ledger) > 2)
        assert rig.clock.now() - ended >= 1800
        assert rig.clock.now() - ended <= 2000


async def test_a_dry_run_makes_the_same_plan_and_touches_nothing(rig: Any) -> None:
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
    live = [fact.digest for fact in await rig.facts() if hasattr(fact, "plan")]
    dry = type(rig)(mode=Mode.DRY_RUN)
    async with dry.engine() as engine:
        await dry.accept(engine, dry.alert())
        await dry.clock.until(lambda: dry.idle(engine))
        assert not engine.parts.journal.state.grants
        assert not engine.parts.journal.state.undos
    assert [fact.digest for fact in await dry.facts() if hasattr(fact, "plan")] == live
    assert await dry.ended() == ["simulated"]
    assert not dry.world.ledger


async def test_approval_is_for_exactly_one_plan_and_guards_are_asked_again_after_it(rig: Any) -> None:
    rig.mode = Mode.APPROVE
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(30)
        (run,) = engine.parts.journal.state.runs.values()
        assert run.status == "awaiting_approval"
        rig.world.condition = lambda expr: Observation(look=Look.BAD, sentence="0.01")
        import asyncio

        approving = asyncio.ensure_future(engine.desk.approve(run.incident, digest=run.digest, by="ana"))
        await rig.clock.run(60)
        await approving
        assert not rig.world.ledger
        rig.world.condition = lambda expr: Observation(look=Look.GOOD, sentence="0.3")
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["succeeded"]


async def test_an_undo_that_fails_is_tried_until_the_target_is_back(rig: Any) -> None:
    rig.world.undo_results = [UndoResult.FAILED] * 8 + [UndoResult.UNDONE]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(12_000)
        assert not engine.parts.journal.state.undos
    assert len([1 for what, _, _ in rig.world.ledger if what == "undo"]) == 9
