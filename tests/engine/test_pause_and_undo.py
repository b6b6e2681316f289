"""A person's stop, and a person's taking back: at once, at every position, and refused where they would do nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.outcomes import Presence, UndoResult, failed_for_now, unknown
from remediator.core.state import RunStatus
from remediator.engine.supervisor import Engine

if TYPE_CHECKING:
    from tests.engine.conftest import Rig


# ── pause ────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("scope", "seconds", "reason", "status", "words"),
    [
        ("all", None, "  ", 400, "needs a reason"),
        ("rule:unknown", None, "r", 404, "no rule 'unknown'"),
        ("high-bounce-rate", None, "r", 400, "expected all or rule:NAME"),
        ("", None, "r", 400, "expected all or rule:NAME"),
        ("all", 0.0, "r", 400, "over before it began"),
        ("all", -5.0, "r", 400, "over before it began"),
        ("all", float("nan"), "r", 400, "over before it began"),
    ],
)
async def test_a_pause_that_would_not_pause_is_refused(
    rig: Rig, scope: str, seconds: float | None, reason: str, status: int, words: str
) -> None:
    async with rig.engine() as engine:
        asked = engine.desk.pause(scope=scope, reason=reason, by="ana", seconds=seconds)
        await rig.refused(asked, status, words)
        await rig.refused(engine.desk.resume(scope="all", by="ana"), 409, "is not paused")
        assert not engine.parts.journal.state.pauses


def _intents(rig: Rig) -> int:
    return [record.kind for record in rig.store.disk.records].count("step.intent")


async def _pause_at(rig: Rig, position: int) -> tuple[int, int]:
    """Pauses as soon as the journal has `position` entries; how many intents there were then, and at the end."""
    steps = (rig.step("keyed_lasting"), rig.step("safe", attempts=3), rig.step("once"))
    rig.playbooks = (rig.playbook(*steps),)
    rig.world.outcomes["safe"] = [failed_for_now("503")]
    async with rig.engine() as engine:
        asked: list[asyncio.Future[None]] = []

        def note(entries: object, _before: object, after: object) -> None:
            if not asked and len(rig.store.disk.records) >= position:
                pausing = engine.desk.pause(scope="all", reason="look first", by="ana")
                asked.append(asyncio.ensure_future(pausing))
                asked[0].add_done_callback(lambda _done: counted.append(_intents(rig)))

        counted: list[int] = []
        engine.parts.journal.listen(note)
        await rig.accept(engine, rig.alert())
        await rig.clock.run(20_000)
        assert counted, "the pause was never acknowledged"
        assert not rig.world.standing  # what was done is taken back in its time, pause or not
        assert all(run.status is not RunStatus.RUNNING for run in engine.parts.journal.state.runs.values())
        return counted[0], _intents(rig)


@pytest.mark.heavy
async def test_once_a_pause_is_acknowledged_no_attempt_is_announced_at_any_position_of_a_run(rig: Rig) -> None:
    found: list[tuple[int, int]] = []
    while not found or found[-1][0] < 4:
        found.append(await _pause_at(type(rig)(), 3 + len(found)))
    assert {before for before, _ in found} == {0, 1, 2, 3, 4}  # paused before, between and after all four attempts
    assert all(before == after for before, after in found)


async def test_a_pause_lasts_until_its_end_and_the_run_goes_on_by_itself(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.ask(engine.desk.pause(scope="all", reason="upgrade", by="ana", seconds=600.0))
        began = rig.clock.now()
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: bool(rig.world.ledger))
        assert 600.0 <= rig.clock.now() - began <= 616.0
    (cleared,) = [fact for fact in await rig.facts() if isinstance(fact, e.PauseCleared)]
    assert cleared.by == "clock"


async def test_a_wall_clock_that_is_set_on_ends_no_pause_early(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.ask(engine.desk.pause(scope="all", reason="upgrade", by="ana", seconds=600.0))
        began = rig.clock.mono
        rig.clock.wall += 3600.0
        await rig.accept(engine, rig.alert(at=rig.clock.wall - 60))
        await rig.clock.run(500.0)
        assert "pause.cleared" not in await rig.kinds()
        assert not rig.world.ledger
        await rig.ask(engine.desk.release(by="ana", reason="the clock is right"))  # what holds after the step (G5)
        await rig.clock.run(90.0)
        assert not rig.world.ledger
        await rig.clock.until(lambda: bool(rig.world.ledger))
        assert 600.0 <= rig.clock.mono - began <= 620.0


async def test_a_pause_that_is_ended_before_its_time_holds_nobody_any_longer(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.ask(engine.desk.pause(scope="all", reason="upgrade", by="ana", seconds=7200.0))
        await rig.accept(engine, rig.alert())
        await rig.clock.run(60)
        assert not rig.world.ledger
        await rig.ask(engine.desk.resume(scope="all", by="bob"))
        assert rig.world.ledger
        await rig.refused(engine.desk.resume(scope="all", by="bob"), 409, "is not paused")


async def test_a_pause_of_one_rule_holds_that_rule_only(rig: Rig) -> None:
    other = rig.rule(name="other", group_by=("domain", "severity"), when=None)
    rig.rules = (rig.rule(), other)
    async with rig.engine() as engine:
        await rig.ask(engine.desk.pause(scope="rule:high-bounce-rate", reason="noisy", by="ana"))
        await rig.accept(engine, rig.alert())
        await rig.clock.run(300)
        started = [fact for fact in await rig.facts() if isinstance(fact, e.RunStarted)]
        assert [fact.rule for fact in started] == ["other"]
        await rig.ask(engine.desk.resume(scope="rule:high-bounce-rate", by="ana"))
        assert len([fact for fact in await rig.facts() if isinstance(fact, e.RunStarted)]) == 2


async def test_a_pause_survives_a_restart(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.ask(engine.desk.pause(scope="all", reason="look first", by="ana"))
        await rig.accept(engine, rig.alert())
    async with rig.engine() as engine:
        await rig.clock.run(3600)
        assert engine.parts.journal.state.pauses["all"].by == "ana"
    assert not rig.world.ledger


async def test_a_keyed_step_in_doubt_that_meets_a_pause_rests_and_asks_the_target_in_peace(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("keyed", attempts=3)),)
    rig.world.outcomes["keyed"] = [unknown("timeout")]
    asked: list[float] = []

    class Absent(dict[str, Presence]):
        def get(self, _key: str, _truth: Presence | None = None) -> Presence:  # type: ignore[override]
            asked.append(rig.clock.now())
            return Presence.ABSENT

    rig.world.present = Absent()
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        await rig.ask(engine.desk.pause(scope="all", reason="look first", by="ana"))
        await rig.clock.run(600)
    assert rig.world.count("do", "keyed") == 1
    assert 10 < len(asked) < 100


# ── undo ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
async def succeeded(rig: Rig, engine: Engine) -> str:
    """An incident that ended well and left two effects behind."""
    await rig.accept(engine, rig.alert())
    await rig.clock.until(lambda: rig.idle(engine))
    (incident,) = {undo.incident for undo in engine.parts.journal.state.undos.values()}
    return incident


async def test_an_undo_by_hand_takes_back_the_newest_first_and_only_once(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("keyed_lasting"), rig.step("safe_lasting")),)
    async with rig.engine() as engine:
        incident = await succeeded(rig, engine)
        done = await rig.ask(engine.desk.undo(incident, by="ana"))
        assert [(one.undo, one.outcome.result) for one in done] == [
            (f"{incident}.1/1", UndoResult.UNDONE),
            (f"{incident}.1/0", UndoResult.UNDONE),
        ]
        await rig.refused(engine.desk.undo(incident, by="ana"), 404, "left nothing behind")
        await rig.clock.run(10_000)
    assert [kind for what, kind, _ in rig.world.ledger if what == "undo"] == ["safe_lasting", "keyed_lasting"]
    intents = [fact for fact in await rig.facts() if isinstance(fact, e.UndoIntent)]
    assert {(fact.cause, fact.by) for fact in intents} == {("person", "ana")}


async def test_one_step_can_be_taken_back_and_the_other_keeps_its_time(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("keyed_lasting"), rig.step("safe_lasting")),)
    async with rig.engine() as engine:
        incident = await succeeded(rig, engine)
        await rig.ask(engine.desk.undo(f"{incident}.1", by="ana", step=0))
        assert set(engine.parts.journal.state.undos) == {f"{incident}.1/1"}
        await rig.refused(engine.desk.undo(incident, by="ana", step=0), 404, "left nothing behind")
        await rig.clock.run(7300)
    assert not rig.world.standing


async def test_what_somebody_else_changed_is_left_alone_and_reported(rig: Rig) -> None:
    async with rig.engine() as engine:
        incident = await succeeded(rig, engine)
        rig.world.undo_results = [UndoResult.FOREIGN]
        (done,) = await rig.ask(engine.desk.undo(incident, by="ana"))
        assert done.outcome.result is UndoResult.FOREIGN
        await rig.clock.run(10_000)
    assert rig.world.count("undo") == 1
    escalated = [fact for fact in await rig.facts() if isinstance(fact, e.Escalated)]
    assert [fact.reason for fact in escalated] == ["left alone: foreign"]


async def test_an_undo_by_hand_that_fails_is_tried_again_by_the_clock(rig: Rig) -> None:
    async with rig.engine() as engine:
        incident = await succeeded(rig, engine)
        rig.world.undo_results = [UndoResult.FAILED]
        (done,) = await rig.ask(engine.desk.undo(incident, by="ana"))
        assert done.outcome.result is UndoResult.FAILED
        await rig.clock.run(6)
        assert not rig.world.standing


async def test_an_undo_needs_something_to_take_back_and_a_name(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.refused(engine.desk.undo("inc-unknown", by="ana"), 404, "left nothing behind")
        incident = await succeeded(rig, engine)
        await rig.refused(engine.desk.undo(incident, by=" "), 400, "needs a name")
        assert rig.world.standing
