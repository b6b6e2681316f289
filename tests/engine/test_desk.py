"""What people may ask for, and what they are told when the answer is no."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.outcomes import Look, Observation, unknown
from remediator.core.rules import Mode, OnUnknown
from remediator.core.state import Run, RunStatus
from remediator.engine.supervisor import Engine
from remediator.errors import RefusedRequest, StoreError
from remediator.stores.faults import Fault

if TYPE_CHECKING:
    from tests.engine.conftest import Rig


# ── approvals ────────────────────────────────────────────────────────────────────────────────────────────────────────
async def waiting(rig: Rig, engine: Engine) -> Run:
    """A run that waits for a yes."""
    await rig.accept(engine, rig.alert())
    await rig.clock.run(1)
    run = rig.run_of(engine)
    assert run.status is RunStatus.AWAITING_APPROVAL
    return run


async def test_a_yes_to_another_plan_is_refused(rig: Rig) -> None:
    rig.mode = Mode.APPROVE
    async with rig.engine() as engine:
        run = await waiting(rig, engine)
        await rig.refused(engine.desk.approve(run.id, digest="0" * 16, by="ana"), 409, run.digest)
        assert rig.run_of(engine).status is RunStatus.AWAITING_APPROVAL
    assert not rig.world.ledger


async def test_of_two_who_say_yes_at_once_the_second_is_told_who_was_first(rig: Rig) -> None:
    rig.mode = Mode.APPROVE
    async with rig.engine() as engine:
        run = await waiting(rig, engine)
        both = [asyncio.ensure_future(engine.desk.approve(run.id, digest=run.digest, by=by)) for by in ("ana", "bob")]
        await rig.clock.settle()
        assert (await both[0]).id == run.id
        with pytest.raises(RefusedRequest, match="ana was first"):
            await both[1]
        await rig.refused(engine.desk.approve(run.id, digest=run.digest, by="cleo"), 409, "ana was first")
        await rig.clock.until(lambda: rig.idle(engine))
        await rig.refused(engine.desk.approve(run.id, digest=run.digest, by="cleo"), 404, "no run under way")
    assert await rig.ended() == ["succeeded"]
    given = [fact for fact in await rig.facts() if isinstance(fact, e.ApprovalGiven)]
    assert [(fact.by, fact.digest) for fact in given] == [("ana", run.digest)]


async def test_a_yes_in_the_instant_of_expiry_is_too_late(rig: Rig) -> None:
    rig.mode = Mode.APPROVE
    async with rig.engine() as engine:
        run = await waiting(rig, engine)
        assert run.approval_expires is not None
        rig.clock._move(rig.clock.mono + run.approval_expires - rig.clock.now())  # the run itself has not woken yet
        await rig.refused(engine.desk.approve(run.id, digest=run.digest, by="ana"), 409, "expired at")
        await rig.clock.run(1)
    assert await rig.ended() == ["expired"]
    assert not rig.world.ledger
    assert any("people are needed" in message.subject for message in rig.world.messages)


async def test_a_request_is_withdrawn_when_its_rule_is_removed_and_a_yes_comes_too_late(rig: Rig) -> None:
    rig.mode = Mode.APPROVE
    async with rig.engine() as engine:
        run = await waiting(rig, engine)
        await rig.reload(engine, rig.rule(name="another"), mode=Mode.APPROVE)
        await rig.refused(engine.desk.approve(run.id, digest=run.digest, by="ana"), 404, "no run under way")
        assert rig.idle(engine)
    assert await rig.ended() == ["cancelled"]
    assert not rig.world.ledger


async def test_a_yes_does_not_outlive_the_alert(rig: Rig) -> None:
    rig.mode = Mode.APPROVE
    async with rig.engine() as engine:
        run = await waiting(rig, engine)
        await rig.accept(engine, rig.alert(resolved_at=rig.clock.now()))
        await rig.clock.run(1)
        await rig.refused(engine.desk.approve(run.id, digest=run.digest, by="ana"), 404, "no run under way")
    assert await rig.ended() == ["cancelled"]


async def test_a_no_ends_the_run_with_the_name_and_the_reason(rig: Rig) -> None:
    rig.mode = Mode.APPROVE
    async with rig.engine() as engine:
        run = await waiting(rig, engine)
        await rig.ask(engine.desk.reject(run.incident, by="ana", reason="it is the weekly mailing"))
        await rig.clock.until(lambda: rig.idle(engine))
        await rig.refused(engine.desk.reject(run.incident, by="bob"), 404, "no run under way")
    (ended,) = [fact for fact in await rig.facts() if isinstance(fact, e.RunEnded)]
    assert (ended.result, ended.reason) == ("denied", "refused by ana: it is the weekly mailing")
    assert not rig.world.ledger


async def test_a_run_that_does_not_wait_cannot_be_approved(rig: Rig) -> None:
    rig.world.condition = lambda expr: Observation(look=Look.BAD, sentence="0.04")
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        run = rig.run_of(engine)
        await rig.refused(engine.desk.approve(run.id, digest=run.digest, by="ana"), 409, "is deferred")
        await rig.refused(engine.desk.approve("inc-unknown", digest=run.digest, by="ana"), 404, "no run under way")


@pytest.mark.parametrize("by", ["", "  "])
async def test_no_decision_is_nameless(rig: Rig, by: str) -> None:
    rig.mode = Mode.APPROVE
    async with rig.engine() as engine:
        run = await waiting(rig, engine)
        desk = engine.desk
        await rig.refused(desk.approve(run.id, digest=run.digest, by=by), 400, "needs a name")
        await rig.refused(desk.reject(run.id, by=by), 400, "needs a name")
        await rig.refused(desk.pause(scope="all", reason="r", by=by), 400, "needs a name")
        await rig.refused(desk.run("pause-domain", params={"domain": "a.example"}, by=by, reason="r"), 400, "a name")
        await rig.ask(desk.pause(scope="all", reason="r", by="ana"))
        await rig.refused(desk.resume(scope="all", by=by), 400, "needs a name")


# ── a run that needs a person ────────────────────────────────────────────────────────────────────────────────────────
async def parked(rig: Rig, engine: Engine) -> Run:
    """A run whose second step may or may not have happened; the first one left something behind."""
    rig.world.outcomes["once"] = [unknown("timeout")]
    await rig.accept(engine, rig.alert())
    await rig.clock.run(3000)  # longer than the run's own time limit
    run = rig.run_of(engine)
    assert run.status is RunStatus.NEEDS_PERSON
    return run


def doubtful(rig: Rig) -> None:
    """The playbook of `parked`."""
    rig.playbooks = (rig.playbook(rig.step("keyed_lasting"), rig.step("once"), rig.step("safe")),)


async def test_mark_done_goes_on_with_the_next_step(rig: Rig) -> None:
    doubtful(rig)
    async with rig.engine() as engine:
        run = await parked(rig, engine)
        await rig.ask(engine.desk.decide(run.incident, decision="mark_done", by="ana", reason="seen on the node"))
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["succeeded"]
    assert [kind for what, kind, _ in rig.world.ledger if what == "do"] == ["keyed_lasting", "once", "safe"]


async def test_continue_is_a_new_attempt_with_the_name_of_the_person_in_its_intent(rig: Rig) -> None:
    doubtful(rig)
    async with rig.engine() as engine:
        run = await parked(rig, engine)
        await rig.ask(engine.desk.decide(run.id, decision="continue", by="ana", reason="it did not happen"))
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["succeeded"]
    assert rig.world.count("do", "once") == 2
    intents = [fact for fact in await rig.facts() if isinstance(fact, e.StepIntent) and fact.action == "once"]
    assert [(fact.attempt, fact.by) for fact in intents] == [(1, ""), (2, "ana")]


async def test_what_is_still_at_work_is_not_made_again_by_a_person_either(rig: Rig) -> None:
    doubtful(rig)
    rig.world.at_work.add("once")
    async with rig.engine() as engine:
        run = await parked(rig, engine)
        assert run.reason == "step 2 (once) may or may not have happened: asked"
        again = engine.desk.decide(run.id, decision="continue", by="ana", reason="it did not happen")
        await rig.refused(again, 409, "asked, so it is not made again: wait for its end")
        assert not any(isinstance(fact, e.PersonDecided) for fact in await rig.facts())
        await rig.ask(engine.desk.decide(run.id, decision="mark_done", by="ana", reason="it is meant to go on"))
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["succeeded"]
    assert rig.world.count("do", "once") == 1


async def test_locks_are_let_go_only_when_nothing_is_seen_at_work_any_more(rig: Rig) -> None:
    rig.playbooks = (replace(rig.playbook(rig.step("once")), on_unknown=OnUnknown.RELEASE),)
    rig.world.outcomes["once"] = [unknown("timeout")]
    rig.world.at_work.add("once")
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(300)
        assert rig.run_of(engine).status is RunStatus.RUNNING
        assert engine.parts.journal.state.locks
        rig.world.at_work.clear()
        await rig.clock.run(10)
        assert rig.run_of(engine).status is RunStatus.NEEDS_PERSON
        assert not engine.parts.journal.state.locks


async def test_rollback_takes_back_what_the_run_did(rig: Rig) -> None:
    doubtful(rig)
    async with rig.engine() as engine:
        run = await parked(rig, engine)
        await rig.ask(engine.desk.decide(run.id, decision="rollback", by="ana", reason="wrong domain"))
        await rig.clock.until(lambda: rig.idle(engine))
        assert not rig.world.standing
    assert await rig.ended() == ["rolled_back"]


@pytest.mark.parametrize("decision", ["abort", "rollback"])
async def test_abort_and_a_rollback_of_nothing_close_the_run_and_free_its_locks(rig: Rig, decision: str) -> None:
    rig.playbooks = (rig.playbook(rig.step("once")),)
    async with rig.engine() as engine:
        run = await parked(rig, engine)
        assert engine.parts.journal.state.locks
        await rig.ask(engine.desk.decide(run.id, decision=decision, by="ana", reason="by hand"))
        await rig.clock.until(lambda: rig.idle(engine))
        assert not engine.parts.journal.state.locks
    assert await rig.ended() == ["closed_by_person"]


async def test_a_decision_fits_a_run_that_needs_one_and_only_once(rig: Rig) -> None:
    doubtful(rig)
    async with rig.engine() as engine:
        desk = engine.desk
        run = await parked(rig, engine)
        await rig.refused(desk.decide(run.id, decision="retry", by="ana", reason="r"), 400, "one of mark_done")
        await rig.refused(desk.decide(run.id, decision="abort", by="", reason="r"), 400, "needs a name")
        both = [
            asyncio.ensure_future(desk.decide(run.id, decision="abort", by=by, reason="r")) for by in ("ana", "bob")
        ]
        await rig.clock.settle()
        assert (await both[0]).id == run.id
        with pytest.raises(RefusedRequest, match="does not wait for a person any more"):
            await both[1]
        await rig.refused(desk.decide(run.id, decision="abort", by="bob", reason="r"), 404, "no run under way")


# ── by hand ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def by_hand(engine: Engine, **params: str) -> Awaitable[str]:
    """Ana runs the playbook."""
    return engine.desk.run("pause-domain", params=params or {"domain": "example.com"}, by="ana", reason="complaint")


async def test_a_run_by_hand_goes_the_same_way_with_a_name_on_it(rig: Rig) -> None:
    async with rig.engine() as engine:
        incident = await rig.ask(by_hand(engine))
        assert engine.parts.journal.state.incidents[incident].by == "ana"
        await rig.refused(by_hand(engine), 409, f"{incident} already runs pause-domain on domain=example.com")
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["succeeded"]
    assert rig.world.count("do") == 2


@pytest.mark.parametrize(
    ("playbook", "params", "words"),
    [
        ("unknown", {"domain": "a.example"}, "no playbook 'unknown'; loaded are pause-domain"),
        ("pause-domain", {"domain": "a.example", "node": "x"}, "no parameter 'node'; it has domain"),
        ("pause-domain", {}, "parameter domain of pause-domain has no value"),
        ("pause-domain", {"domain": ""}, "domain"),
        ("pause-domain", {"domain": "*"}, "domain"),
        ("pause-domain", {"domain": "no domain at all"}, "domain"),
    ],
)
async def test_a_run_by_hand_that_cannot_be_planned_is_refused(
    rig: Rig, playbook: str, params: dict[str, str], words: str
) -> None:
    async with rig.engine() as engine:
        await rig.refused(engine.desk.run(playbook, params=params, by="ana", reason="r"), 400, words)
        assert rig.idle(engine)
    assert not rig.world.ledger


async def test_a_run_by_hand_on_a_dry_run_server_is_dry(rig: Rig) -> None:
    rig.mode = Mode.DRY_RUN
    async with rig.engine() as engine:
        await rig.ask(by_hand(engine))
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["simulated"]
    assert not rig.world.ledger


async def test_a_run_by_hand_on_an_approving_server_waits_for_a_yes_and_on_one_that_is_off_is_refused(rig: Rig) -> None:
    rig.mode = Mode.APPROVE
    async with rig.engine() as engine:
        await rig.ask(by_hand(engine))
        assert rig.run_of(engine).status is RunStatus.AWAITING_APPROVAL
        await rig.reload(engine, rig.rule(), mode=Mode.OFF)
        await rig.refused(by_hand(engine, domain="b.example"), 400, "mode is off")
    assert not rig.world.ledger


async def test_the_guards_apply_to_a_run_by_hand(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.ask(by_hand(engine))
        await rig.clock.until(lambda: rig.idle(engine))
        await rig.ask(by_hand(engine))
        await rig.clock.run(600)
        assert rig.run_of(engine).status is RunStatus.DEFERRED
        assert "cooldown=defer" in rig.run_of(engine).decided
    assert rig.world.count("do") == 2


async def test_a_rule_and_a_person_on_one_target_wait_for_each_other(rig: Rig) -> None:
    rig.rules = (rig.rule(),)
    rig.world.verification = lambda now: Observation(look=Look.BAD, sentence="0.27")
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        await rig.ask(by_hand(engine))
        held = [run for run in engine.parts.journal.state.runs.values() if run.status is RunStatus.DEFERRED]
        assert [run.plan.rule for run in held] == ["by-hand:pause-domain"]
        assert "target_lock=defer" in held[0].decided


async def test_a_playbook_without_parameters_runs_by_hand(rig: Rig) -> None:
    bare = replace(rig.playbook(rig.step("safe", arguments={"domain": "fixed.example"})), params={})
    rig.playbooks = (replace(bare, name="bare"),)
    rig.rules = ()
    async with rig.engine() as engine:
        await rig.ask(engine.desk.run("bare", params={}, by="ana", reason="r"))
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["succeeded"]


ASKS: list[Callable[[Engine], Awaitable[object]]] = [
    lambda engine: engine.desk.pause(scope="all", reason="r", by="ana"),
    by_hand,
]


@pytest.mark.parametrize("ask", ASKS)
async def test_what_people_order_while_the_store_is_away_is_refused_and_not_kept(
    rig: Rig, ask: Callable[[Engine], Awaitable[object]]
) -> None:
    async with rig.engine() as engine:
        rig.store.faults.begin(Fault.FAIL_BEFORE)
        with pytest.raises(StoreError):
            await rig.ask(ask(engine))
        rig.store.faults.end()
        await rig.clock.run(60)
        assert not engine.parts.journal.state.pauses
        assert rig.idle(engine)
