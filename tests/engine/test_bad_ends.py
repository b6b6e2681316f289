"""Runs that do not go well: time limits, late outcomes, ladders, and rollbacks that meet other hands or fail."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.outcomes import Look, Observation, UndoResult, failed, failed_for_now, ok
from remediator.core.rules import Check, OnFailure, Rung
from remediator.core.state import RunStatus
from remediator.engine.runner import Runner
from remediator.engine.undoing import Undoing
from remediator.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.core.chain import Head
    from remediator.core.entries import Record
    from remediator.engine.supervisor import Engine
    from remediator.ports import IncidentRow
    from tests.engine.conftest import Rig

GOOD, BAD = Observation(look=Look.GOOD, sentence="0.03"), Observation(look=Look.BAD, sentence="0.27")
UNSEEN = Observation(look=Look.UNKNOWN, sentence="no data")


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


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_time_limit_that_passes_during_a_step_waits_for_its_outcome_and_then_takes_back(rig: Rig) -> None:
    rig.blemishes = {"G12"}  # the step's own timeout runs on another clock than this one
    rig.playbooks = (rig.playbook(rig.step("keyed_lasting"), rig.step("safe"), limit=60.0),)
    free = slowly(rig)
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(100)
        assert rig.run_of(engine).status is RunStatus.RUNNING
        free.set()
        await rig.clock.until(lambda: rig.idle(engine))
    assert done(rig) == ["keyed_lasting"]
    assert await rig.ended() == ["rolled_back"]
    assert "time limit" in (await reasons(rig))[0]


async def test_a_time_limit_ends_a_run_that_left_nothing_behind_as_expired(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("safe", attempts=99, delay=10.0), limit=60.0),)
    rig.world.outcomes["safe"] = [failed_for_now("503")] * 99
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        began = rig.clock.now()
        await rig.clock.until(lambda: rig.idle(engine))
        assert rig.clock.now() - began <= 70
    assert await rig.ended() == ["expired"]
    assert any("people are needed" in message.subject for message in rig.world.messages)


async def test_an_outcome_after_the_final_one_is_kept_as_evidence_and_changes_nothing(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("once")),)
    rig.world.outcomes["once"] = [failed("refused")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
        intent = next(fact for fact in await rig.facts() if isinstance(fact, e.StepIntent))
        runner = Runner(engine.parts, Undoing(engine.parts))
        before = engine.parts.journal.state
        await rig.ask(runner.record_outcome(intent, ok("it arrived after all"), 1.0, simulated=False))
        after = engine.parts.journal.state
        assert (after.incidents, after.runs, after.undos) == (before.incidents, before.runs, before.undos)
    (late,) = [fact for fact in await rig.facts() if isinstance(fact, e.LateEvidence)]
    assert late.outcome.sentence == "it arrived after all"
    assert await rig.ended() == ["failed"]


# ── ladder and rollback ──────────────────────────────────────────────────────────────────────────────────────────────
def ladder(rig: Rig, **changes: object) -> None:
    """Two rungs: first something lasting, then something else."""
    rule = rig.rule()
    second = Rung(playbook="second", arguments=rule.ladder[0].arguments)
    rig.rules = (replace(rule, ladder=(*rule.ladder, second)),)
    first = rig.playbook(rig.step("keyed_lasting"), **changes)
    rig.playbooks = (first, replace(rig.playbook(rig.step("safe")), name="second"))


async def test_the_next_rung_follows_a_failure_that_was_seen(rig: Rig) -> None:
    ladder(rig)
    rig.world.verification = lambda now: BAD
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
        await rig.clock.run(1)
    assert done(rig) == ["keyed_lasting", "safe"]
    assert await rig.ended() == ["rolled_back", "failed"]
    assert [message.subject[:20] for message in rig.world.messages].count("[people are needed] ") == 1  # at the end


@pytest.mark.parametrize("why", ["could not tell", "a step failed", "resolved meanwhile"])
async def test_no_rung_follows_anything_else(rig: Rig, why: str) -> None:
    ladder(rig)
    rig.world.verification = lambda now: UNSEEN if why == "could not tell" else BAD
    if why == "a step failed":
        rig.world.outcomes["keyed_lasting"] = [failed("refused")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(60)
        if why == "resolved meanwhile":
            await rig.accept(engine, rig.alert(resolved_at=rig.clock.now()))
        await rig.clock.until(lambda: rig.idle(engine))
    assert done(rig) == ["keyed_lasting"]
    assert (await rig.kinds()).count("run.planned") == 1


async def test_a_failure_that_is_not_to_be_rolled_back_leaves_the_effect_to_its_clock(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("keyed_lasting"), on_failure=(OnFailure.ESCALATE,)),)
    rig.world.verification = lambda now: BAD
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
        assert await rig.ended() == ["failed"]
        assert rig.world.standing
        await rig.clock.run(7300)
        assert not rig.world.standing


async def test_a_rollback_that_meets_an_undo_under_way_waits_for_it(rig: Rig) -> None:
    check = Check(probe="promql", arguments={}, within=30.0, every=10.0)
    rig.playbooks = (rig.playbook(rig.step("keyed_lasting", undo_after=20.0), verify=(check,)),)
    rig.world.verification = lambda now: BAD
    free = slowly(rig, "undo")
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(60)
        assert rig.run_of(engine).status is RunStatus.ROLLING_BACK
        assert rig.world.count("undo") == 1  # at expiry, and it hangs
        free.set()
        await rig.clock.until(lambda: rig.idle(engine))
    assert rig.world.count("undo") == 1
    assert await rig.ended() == ["rolled_back"]


async def test_a_rollback_whose_undo_keeps_failing_ends_and_the_undo_goes_on(rig: Rig) -> None:
    rig.world.outcomes["safe"] = [failed("refused")]
    rig.world.undo_results = [UndoResult.FAILED] * 12
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
        assert await rig.ended() == ["failed"]
        assert rig.world.standing
        await rig.clock.run(3600)
        assert not rig.world.standing
    escalated = [fact.reason for fact in await rig.facts() if isinstance(fact, e.Escalated)]
    assert len(escalated) == 2  # the run, and once the undo that will not go through
    assert "cannot be taken back" in escalated[1]


# ── what changes between looking and appending ───────────────────────────────────────────────────────────────────────
class GatedStore(MemoryStore):
    """Holds back its appends while the gate is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()

    async def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow] = ()) -> Head:
        """As any store, when the gate is open."""
        await self.gate.wait()
        return await super().append(expect, records, rows)


async def resolve_behind_the_gate(rig: Rig, engine: Engine, seconds: float) -> None:
    """The alert resolves while the lane is busy; so does what the run wants next, on what it knew before."""
    store = rig.store
    assert isinstance(store, GatedStore)
    await rig.accept(engine, rig.alert(resolved_at=rig.clock.now()))
    store.gate.clear()
    fact = e.PauseSet(scope="rule:other", reason="r", by="ana")
    busy = asyncio.ensure_future(_commit(engine, fact))
    await rig.clock.run(seconds)
    store.gate.set()
    await busy
    await rig.clock.run(1)


async def _commit(engine: Engine, fact: e.AnyFact) -> None:
    await engine.parts.journal.commit(lambda _state, _moment: [fact])


async def test_an_attempt_is_not_announced_on_what_was_true_a_moment_ago(rig: Rig) -> None:
    rig.store = GatedStore()
    rig.playbooks = (rig.playbook(rig.step("safe", attempts=5, delay=10.0)),)
    rig.world.outcomes["safe"] = [failed_for_now("503")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        await resolve_behind_the_gate(rig, engine, 20.0)
        assert rig.run_of(engine).status is RunStatus.VERIFYING
    assert rig.world.count("do") == 1


async def test_a_run_is_not_begun_on_what_was_true_a_moment_ago(rig: Rig) -> None:
    rig.store = GatedStore()
    rig.world.condition = lambda expr: BAD
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        rig.world.condition = lambda expr: GOOD
        await resolve_behind_the_gate(rig, engine, 20.0)
    assert await rig.ended() == ["cancelled"]
    assert not rig.world.ledger


async def test_an_attempt_that_was_wanted_before_the_stop_is_not_announced_after_it(rig: Rig) -> None:
    rig.store = store = GatedStore()
    rig.playbooks = (rig.playbook(rig.step("safe", attempts=5, delay=10.0)),)
    rig.world.outcomes["safe"] = [failed_for_now("503")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        store.gate.clear()
        busy = asyncio.ensure_future(_commit(engine, e.PauseSet(scope="rule:other", reason="r", by="ana")))
        await rig.clock.run(20)  # the second attempt waits for the lane
        stopping = asyncio.ensure_future(engine.stop(30.0))
        await rig.clock.settle()
        store.gate.set()
        await busy
        await stopping
    kinds = await rig.kinds()
    assert kinds.count("step.intent") == 1
    assert kinds[-1] == "service.stopped"


async def test_a_cancellation_is_never_lost_in_a_rest(rig: Rig) -> None:
    parts = rig.parts()

    async def loop() -> None:
        while True:
            await parts.rest("bell", 3600.0)

    for turns in range(8):  # the cancellation comes so many turns after the bell
        task = asyncio.ensure_future(loop())
        await rig.clock.settle()
        parts.ring("bell")
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await rig.clock.settle()
        assert task.cancelled()
