"""Every transition of a run (reliability.md §3.3, rows 1 to 21) and every awkward moment (§3.5) has a test.

Rows whose test is written down elsewhere are looked up in `ROWS` and `MOMENTS`, which are checked to name tests that exist;
the others follow here, under the number of their row.
"""

from __future__ import annotations

import ast
import asyncio
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.outcomes import Look, Observation, failed, unknown
from remediator.core.rules import Mode, OnUnknown
from remediator.core.state import RunStatus

if TYPE_CHECKING:
    from tests.engine.conftest import Rig

TESTS = Path(__file__).parents[1]
BAD = Observation(look=Look.BAD, sentence="0.27")

# Row: the tests of it, as module:name.
ROWS = {
    1: ["unit/core/test_planning:test_the_incident_opens_before_the_disposition_and_the_plan_comes_after"],
    2: [
        "unit/core/test_planning:test_every_matching_rule_gives_its_own_answer_in_file_order",
        "unit/core/test_planning:test_an_alert_for_which_no_rule_is_written_is_unmatched_with_the_nearest_miss",
    ],
    3: ["engine/test_guards_at_work:test_a_broken_guard_denies"],
    4: ["engine/test_guards_at_work:test_a_run_waits_for_a_place_and_takes_it_as_soon_as_one_is_free"],
    5: ["engine/test_awkward:test_a_refire_in_the_cooldown_acts_at_its_end_without_another_delivery"],
    6: ["engine/test_transitions:test_row_06_a_plan_that_needs_a_yes_asks_for_exactly_this_plan_and_tells_people"],
    7: [
        "engine/test_stories:test_approval_is_for_exactly_one_plan_and_guards_are_asked_again_after_it",
        "engine/test_desk:test_a_no_ends_the_run_with_the_name_and_the_reason",
        "engine/test_desk:test_a_yes_in_the_instant_of_expiry_is_too_late",
    ],
    8: ["engine/test_transitions:test_row_08_locks_and_place_are_taken_in_the_same_append_as_the_first_intent"],
    9: ["engine/test_stories:test_intents_come_before_their_effects_and_outcomes_after"],
    10: ["unit/core/test_runs:test_steps_are_issued_one_after_the_other_and_then_verified"],
    11: ["engine/test_transitions:test_row_11_only_what_is_newer_than_the_last_outcome_counts"],
    12: ["engine/test_transitions:test_row_12_a_success_frees_its_locks_and_only_after_a_recovery_that_was_seen"],
    13: ["engine/test_bad_ends:test_the_next_rung_follows_a_failure_that_was_seen"],
    14: ["engine/test_bad_ends:test_a_failure_that_is_not_to_be_rolled_back_leaves_the_effect_to_its_clock"],
    15: ["engine/test_stories:test_a_failed_step_ends_the_mitigation_and_takes_back_what_was_done"],
    16: ["engine/test_bad_ends:test_a_rollback_whose_undo_keeps_failing_ends_and_the_undo_goes_on"],
    17: [
        "engine/test_stories:test_an_unknown_once_step_is_never_repeated_and_waits_for_a_person",
        "engine/test_transitions:test_row_17_people_are_called_again_also_by_the_next_life",
        "engine/test_transitions:test_row_17_a_playbook_may_let_others_act_while_a_person_is_waited_for",
    ],
    18: [
        "engine/test_bad_ends:test_a_time_limit_ends_a_run_that_left_nothing_behind_as_expired",
        "engine/test_transitions:test_row_18_a_time_limit_makes_no_end_of_a_doubt",
    ],
    19: [
        "engine/test_awkward:test_resolved_before_any_intent_cancels_at_once",
        "engine/test_awkward:test_a_rule_that_is_removed_ends_its_runs_before_their_next_step_or_their_first",
        "engine/test_desk:test_a_request_is_withdrawn_when_its_rule_is_removed_and_a_yes_comes_too_late",
    ],
    20: [
        "engine/test_desk:test_mark_done_goes_on_with_the_next_step",
        "engine/test_desk:test_continue_is_a_new_attempt_with_the_name_of_the_person_in_its_intent",
        "engine/test_desk:test_rollback_takes_back_what_the_run_did",
        "engine/test_desk:test_abort_and_a_rollback_of_nothing_close_the_run_and_free_its_locks",
    ],
    21: ["engine/test_bad_ends:test_an_outcome_after_the_final_one_is_kept_as_evidence_and_changes_nothing"],
}

MOMENTS = {
    "resolves before any intent": [
        "engine/test_awkward:test_resolved_before_any_intent_cancels_at_once",
        "engine/test_transitions:test_moment_a_playbook_that_takes_no_notice_of_the_end_is_carried_out",
    ],
    "resolves mid-run": [
        "engine/test_awkward:test_resolved_midway_finishes_the_step_starts_no_other_and_lets_the_verification_decide",
        "engine/test_transitions:test_moment_a_pair_that_was_begun_is_finished",
    ],
    "resolves during approval": ["engine/test_awkward:test_resolved_during_approval_withdraws_the_request"],
    "resolves in needs_person": ["engine/test_awkward:test_resolved_while_a_person_is_needed_changes_nothing"],
    "re-fire in cooldown": [
        "engine/test_awkward:test_a_refire_in_the_cooldown_acts_at_its_end_without_another_delivery",
        "engine/test_awkward:test_an_alert_that_flaps_is_handed_to_a_person_and_not_acted_on_once_more",
    ],
    "more alerts join": [
        "engine/test_awkward:test_a_second_alert_on_a_target_joins_and_the_incident_resolves_with_the_last_of_them",
        "unit/config/test_dependencies:test_a_join_cannot_change_the_scope_for_every_blank_is_of_the_target",
    ],
    "two rules match": [
        "engine/test_awkward:test_two_rules_on_one_target_act_one_after_the_other_in_file_order",
        "engine/test_awkward:test_a_rule_that_says_stop_keeps_later_ones_from_being_asked",
    ],
    "reloaded mid-run": [
        "engine/test_awkward:test_a_reload_leaves_a_run_the_plan_it_was_made_with",
        "engine/test_awkward:test_a_mode_that_is_lowered_ends_a_run_before_its_next_step",
        "engine/test_transitions:test_moment_a_rule_that_is_removed_midway_does_not_tear_a_pair_apart",
    ],
    "replica dies mid-step": [
        "engine/test_peers:test_f16_a_run_whose_executor_was_killed_comes_to_rest_within_a_bound"
    ],
    "replica paused": [
        "engine/test_peers:test_f02_a_replica_that_was_paused_after_planning_has_no_effect_when_it_wakes"
    ],
    "backlog": ["engine/test_awkward:test_a_backlog_of_hours_acts_only_on_what_still_fires"],
    "approval after a rule change": [
        "engine/test_approvals:test_moment_an_approval_after_a_rule_change_is_void_and_people_are_asked_anew",
        "engine/test_desk:test_a_yes_to_another_plan_is_refused",
    ],
    "time limit during a step": [
        "engine/test_bad_ends:test_a_time_limit_that_passes_during_a_step_waits_for_its_outcome_and_then_takes_back"
    ],
    "dry-run switched to live": ["engine/test_awkward:test_a_dry_run_stays_dry_when_the_mode_is_raised"],
    "our own dependency": [
        "unit/config/test_dependencies:test_what_is_down_is_not_asked_whether_it_is_down",
        "e2e/test_redis_config:test_the_redis_of_our_own_journal_is_never_touched",
    ],
    "severity in annotations": [
        "unit/core/test_planning:test_it_is_told_where_only_an_annotation_has_what_a_label_should"
    ],
    "store lost history": [
        "engine/test_store_faults:test_history_that_is_lost_under_a_running_process_is_noticed_and_taken_up_in_safe_mode",
        "engine/test_store_faults:test_lost_history_that_cannot_be_taken_up_stops_everything_until_it_can",
    ],
}


@cache
def named_in(module: str) -> frozenset[str]:
    """The names of the tests in a module."""
    tree = ast.parse((TESTS / f"{module}.py").read_text())
    return frozenset(one.name for one in tree.body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)))


@pytest.mark.parametrize("row", [*ROWS, *MOMENTS])
def test_every_row_has_a_test_that_exists(row: int | str) -> None:
    named = ROWS[row] if isinstance(row, int) else MOMENTS[row]
    assert named
    for one in named:
        module, _, name = one.partition(":")
        assert name in named_in(module), one


def test_no_row_is_left_out() -> None:
    assert sorted(ROWS) == list(range(1, 22))


async def test_row_06_a_plan_that_needs_a_yes_asks_for_exactly_this_plan_and_tells_people(rig: Rig) -> None:
    rig.mode = Mode.APPROVE
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        run = rig.run_of(engine)
        (asked,) = [fact for fact in await rig.facts() if isinstance(fact, e.ApprovalRequested)]
        assert (asked.digest, run.status) == (run.digest, RunStatus.AWAITING_APPROVAL)
        assert any(run.digest in message.text for message in rig.world.messages)
    assert not rig.world.ledger


async def test_row_08_locks_and_place_are_taken_in_the_same_append_as_the_first_intent(rig: Rig) -> None:
    appends: list[list[str]] = []
    async with rig.engine() as engine:
        engine.parts.journal.listen(
            lambda entries, _b, _a: appends.append([e.kind_of(entry.fact) for entry in entries])
        )
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        assert dict(engine.parts.journal.state.locks) == {"domain=example.com": rig.run_of(engine).id}
    (start,) = [kinds for kinds in appends if "run.started" in kinds]
    assert start[-3:] == ["run.decided", "run.started", "step.intent"]


async def test_row_11_only_what_is_newer_than_the_last_outcome_counts(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        run = rig.run_of(engine)
        assert (run.status, run.verify_after) == (RunStatus.VERIFYING, run.outcome_at)


async def test_row_12_a_success_frees_its_locks_and_only_after_a_recovery_that_was_seen(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(29)  # it has to hold for 30 s
        assert engine.parts.journal.state.locks
        await rig.clock.run(30)
        assert not engine.parts.journal.state.locks
    kinds = await rig.kinds()
    assert kinds.index("verify.concluded") < kinds.index("run.ended")
    assert await rig.ended() == ["succeeded"]


async def test_row_17_people_are_called_again_also_by_the_next_life(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("once")),)
    rig.world.outcomes["once"] = [unknown("timeout")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(5)
        parked = rig.run_of(engine).parked_at
        assert parked is not None
        await rig.clock.run(3610)
    async with rig.engine() as engine:
        await rig.clock.run(26_000)
        run = rig.run_of(engine)
        assert (run.status, run.reminded) == (RunStatus.NEEDS_PERSON, 4)
        assert engine.parts.journal.state.locks
    times = [record.at - parked for record in map(_entry, rig.store.disk.records) if _is_call(record)]
    assert [round(at, 1) for at in times] == [900.0, 3600.0, 14400.0, 28800.0]
    calls = [message for message in rig.world.messages if message.subject.startswith("[still needs a person]")]
    assert len(calls) == 4
    assert rig.world.count("do") == 1


def _entry(record: object) -> e.Entry:
    return e.decode(record.seq, record.body)  # type: ignore[attr-defined]


def _is_call(entry: e.Entry) -> bool:
    return isinstance(entry.fact, e.RunReminded)


async def test_row_17_calls_that_were_missed_are_not_made_up_for_one_by_one(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("once")),)
    rig.world.outcomes["once"] = [unknown("timeout")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(5)
    rig.clock._move(rig.clock.mono + 50_000.0)
    async with rig.engine() as engine:
        await rig.clock.run(60)
        assert rig.run_of(engine).reminded == 5
    assert (await rig.kinds()).count("run.reminded") == 1


async def test_row_17_a_playbook_may_let_others_act_while_a_person_is_waited_for(rig: Rig) -> None:
    rig.blemishes |= {"G6"}  # the judge knows of no run that lets its locks go
    rig.rules = (rig.rule(), rig.rule(name="second", match=rig.rule().match))
    rig.playbooks = (rig.playbook(rig.step("once"), on_unknown=OnUnknown.RELEASE),)
    rig.world.outcomes["once"] = [unknown("timeout")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(39)  # 30 s of timeout, 5 to be issued, 5 of grace: until then it may still arrive
        assert rig.world.count("do") == 1
        await rig.clock.run(2)
        assert rig.world.count("do") == 2
        first, second = engine.parts.journal.state.active_runs
        assert (first.status, second.status) == (RunStatus.NEEDS_PERSON, RunStatus.VERIFYING)
        asked = engine.desk.decide(first.id, decision="continue", by="ana", reason="looked")
        await rig.refused(asked, 409, f"{second.id} holds the target of {first.id} now")
        await rig.clock.run(600)
        await rig.ask(engine.desk.decide(first.id, decision="continue", by="ana", reason="looked"))
        assert rig.world.count("do") == 3
        assert dict(engine.parts.journal.state.locks) == {"domain=example.com": first.id}


async def test_row_18_a_time_limit_makes_no_end_of_a_doubt(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("safe"), limit=20.0),)
    rig.world.outcomes["safe"] = [unknown("timeout")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(3600)
        assert rig.run_of(engine).status is RunStatus.NEEDS_PERSON
    assert await rig.ended() == []


async def test_moment_a_playbook_that_takes_no_notice_of_the_end_is_carried_out(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(continue_on_resolve=True),)
    rig.world.condition = lambda expr: BAD
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(5)
        await rig.accept(engine, rig.alert(resolved_at=rig.clock.now()))
        await rig.clock.run(1)
        assert not rig.idle(engine)
        rig.world.condition = lambda expr: Observation(look=Look.GOOD, sentence="0.03")
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["succeeded"]
    assert rig.world.count("do") == 2


async def _midway(rig: Rig, atomic_from: int | None, what: str) -> int:
    """Two steps; while the first is made the alert resolves or the rule is removed. How many steps were made."""
    free = asyncio.Event()

    async def wait(arrived: str) -> None:
        if arrived == "do":
            await free.wait()

    rig.world.witness = wait
    rig.playbooks = (rig.playbook(rig.step("safe"), rig.step("once"), atomic_from=atomic_from),)
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        if what == "resolved":
            await rig.accept(engine, rig.alert(resolved_at=rig.clock.now()))
        else:
            await rig.reload(engine, rig.rule(name="another"))
        await rig.clock.run(1)
        free.set()
        await rig.clock.until(lambda: rig.idle(engine))
    return rig.world.count("do")


@pytest.mark.parametrize(("atomic_from", "made"), [(None, 1), (0, 2), (1, 1)])
async def test_moment_a_pair_that_was_begun_is_finished(rig: Rig, atomic_from: int | None, made: int) -> None:
    assert await _midway(rig, atomic_from, "resolved") == made
    assert await rig.ended() == ["succeeded"]


@pytest.mark.parametrize(("atomic_from", "made", "result"), [(None, 1, "cancelled"), (0, 2, "succeeded")])
async def test_moment_a_rule_that_is_removed_midway_does_not_tear_a_pair_apart(
    rig: Rig, atomic_from: int | None, made: int, result: str
) -> None:
    assert await _midway(rig, atomic_from, "removed") == made
    assert await rig.ended() == [result]


async def test_a_failed_step_in_an_atomic_part_still_ends_the_run(rig: Rig) -> None:
    rig.world.outcomes["safe"] = [failed("422")]
    assert await _midway(rig, 0, "resolved") == 1
    assert await rig.ended() == ["failed"]


async def test_a_restart_does_not_extend_the_time_of_a_verification(rig: Rig) -> None:
    rig.world.verification = lambda now: BAD
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(100)
        began = rig.run_of(engine).verify_started
        assert began is not None
    async with rig.engine() as engine:
        await rig.clock.run(100)
    async with rig.engine() as engine:
        await rig.clock.until(lambda: "verify.concluded" in {record.kind for record in rig.store.disk.records})
        assert rig.clock.now() - began <= 310
    (told,) = [fact for fact in await rig.facts() if isinstance(fact, e.VerifyConcluded)]
    assert told.verdict == "not_recovered"
