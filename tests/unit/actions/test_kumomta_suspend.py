"""kumomta.suspend and kumomta.unsuspend against the simulated kumod, traps included."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from remediator.actions.kumomta.selectors import Selectors, mark
from remediator.actions.kumomta.suspend import Suspend, Unsuspend
from remediator.core.outcomes import Presence, Result, UndoResult
from remediator.demo.kumod.admin import Criteria, Suspension
from remediator.ports import Call

if TYPE_CHECKING:
    Bench = Any

MakeCall = Callable[..., Call]
ARGUMENTS = {"node": "mta1", "domain": "gmail.com", "reason": "bounce rate above 20 %"}
SUSPEND = "/api/admin/suspend/v1"
REBIND = "/api/admin/rebind/v1"


def theirs(bench: Bench, reason: str, **criteria: str) -> Suspension:
    """An entry of somebody else."""
    entry = Suspension(reason=reason, expires=bench.clock.at + 900, criteria=Criteria(**criteria))  # type: ignore[arg-type]
    bench.sim.orders.suspensions.add(entry)
    return entry


async def test_a_suspension_is_posted_once_with_our_sign_and_an_absolute_end(bench: Bench, make_call: MakeCall) -> None:
    outcome = await Suspend(bench.kumod).perform(make_call(ARGUMENTS))
    assert outcome.result is Result.OK
    (body,) = bench.posts(SUSPEND)
    assert body == {
        "domain": "gmail.com",
        "reason": "[kr:inc-7f3kq2m8.1/0] bounce rate above 20 %",
        "expires": "2026-11-24T13:05:00Z",
    }
    (entry,) = bench.suspensions()
    assert entry.expires == bench.clock.at + 7200
    assert outcome.receipt["id"] == entry.id
    assert outcome.receipt["criteria"] == {"domain": "gmail.com"}


async def test_a_second_attempt_finds_the_first_and_posts_nothing(bench: Bench, make_call: MakeCall) -> None:
    action = Suspend(bench.kumod)
    first = await action.perform(make_call(ARGUMENTS))
    second = await action.perform(make_call(ARGUMENTS))
    assert second.result is Result.OK
    assert second.receipt["id"] == first.receipt["id"]
    assert len(bench.posts(SUSPEND)) == 1


async def test_without_an_end_nothing_is_sent(bench: Bench, make_call: MakeCall) -> None:
    outcome = await Suspend(bench.kumod).perform(make_call(ARGUMENTS, expires_in=None))
    assert outcome.result is Result.FAILED
    assert "undo" in outcome.sentence
    assert bench.wire.seen == []


@pytest.mark.parametrize("reason", ["looking at it, ops", "automation rule_hash=9f2c"])
async def test_an_equal_entry_of_somebody_else_is_left_alone(bench: Bench, make_call: MakeCall, reason: str) -> None:
    entry = theirs(bench, reason, domain="gmail.com")
    outcome = await Suspend(bench.kumod).perform(make_call(ARGUMENTS))
    assert outcome.result is Result.FAILED
    assert "already suspended by" in outcome.sentence
    assert "left alone" in outcome.sentence
    assert bench.suspensions() == [entry]
    assert bench.posts(SUSPEND) == []


async def test_an_entry_of_another_run_is_not_replaced(bench: Bench, make_call: MakeCall) -> None:
    await Suspend(bench.kumod).perform(make_call(ARGUMENTS))
    outcome = await Suspend(bench.kumod).perform(make_call(ARGUMENTS, key="inc-2222.1/0"))
    assert outcome.result is Result.FAILED
    assert "another run of ours" in outcome.sentence
    assert len(bench.posts(SUSPEND)) == 1


async def test_an_entry_without_criteria_is_of_unknown_extent(bench: Bench, make_call: MakeCall) -> None:
    theirs(bench, "migration")
    outcome = await Suspend(bench.kumod).perform(make_call(ARGUMENTS))
    assert outcome.result is Result.FAILED
    assert "unknown extent" in outcome.sentence
    assert bench.posts(SUSPEND) == []


async def test_other_domains_do_not_matter(bench: Bench, make_call: MakeCall) -> None:
    theirs(bench, "ops", domain="yahoo.com")
    theirs(bench, "ops", domain="gmail.com", tenant="acme")
    assert (await Suspend(bench.kumod).perform(make_call(ARGUMENTS))).result is Result.OK


@pytest.mark.parametrize(
    "arguments",
    [
        {"node": "mta1"},
        {"node": "mta1", "domain": ""},
        {"node": "mta1", "domain": "*"},
        {"node": "mta1", "tenant": "all"},
        {"node": "mta1", "domain": "gmail.com", "campaign": ".*"},
    ],
)
async def test_an_empty_selector_is_refused_twice(bench: Bench, make_call: MakeCall, arguments: dict[str, str]) -> None:
    assert Suspend(bench.kumod).faults(arguments)
    assert (await Suspend(bench.kumod).perform(make_call(arguments))).result is Result.FAILED
    assert bench.wire.seen == []


async def test_an_unknown_node_is_refused(bench: Bench, make_call: MakeCall) -> None:
    arguments = {**ARGUMENTS, "node": "mta9"}
    assert "mta9" in Suspend(bench.kumod).faults(arguments)[0]
    outcome = await Suspend(bench.kumod).perform(make_call(arguments))
    assert outcome.result is Result.FAILED


async def test_a_field_that_the_node_does_not_know_is_never_sent(
    bench: Bench, make_call: MakeCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "remediator.demo.kumod.openapi.suspend_fields", lambda _node: ["campaign", "tenant", "reason", "expires"]
    )
    outcome = await Suspend(bench.kumod).perform(make_call(ARGUMENTS))
    assert outcome.result is Result.FAILED
    assert "does not know domain" in outcome.sentence
    assert "POST /api/admin/suspend/v1" not in bench.wire.seen


async def test_criteria_that_the_node_dropped_are_taken_back_at_once(
    bench: Bench, make_call: MakeCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remediator.demo.kumod.routes.Criteria", lambda **_given: Criteria())
    outcome = await Suspend(bench.kumod).perform(make_call(ARGUMENTS))
    assert outcome.result is Result.FAILED
    assert "removed at once" in outcome.sentence
    assert bench.suspensions() == []


async def test_a_lost_answer_is_unknown_and_the_list_tells_that_it_took_effect(
    bench: Bench, make_call: MakeCall
) -> None:
    bench.wire.cut.add(f"POST {SUSPEND}")
    call = make_call(ARGUMENTS)
    outcome = await Suspend(bench.kumod).perform(call)
    assert outcome.result is Result.UNKNOWN
    found = await Suspend(bench.kumod).reconcile(call)
    assert found.presence is Presence.PRESENT
    assert found.receipt["id"] == bench.suspensions()[0].id


async def test_a_list_that_cannot_be_read_afterwards_is_unknown_not_ok(bench: Bench, make_call: MakeCall) -> None:
    seen: list[str] = []

    async def cut_after_post(request: Any) -> Any:
        seen.append(request.method)
        if request.method == "POST":
            bench.wire.cut.add(f"GET {SUSPEND}")
        return await original(request)

    original = bench.wire.handle_async_request
    bench.wire.handle_async_request = cut_after_post
    outcome = await Suspend(bench.kumod).perform(make_call(ARGUMENTS))
    assert outcome.result is Result.UNKNOWN
    assert seen[-3:] == ["GET", "GET", "GET"]  # reads are tried again, posts are not
    assert seen.count("POST") == 1


async def test_reconcile_without_our_sign_is_absent_and_without_an_answer_undecided(
    bench: Bench, make_call: MakeCall
) -> None:
    action = Suspend(bench.kumod)
    assert (await action.reconcile(make_call(ARGUMENTS))).presence is Presence.ABSENT
    bench.wire.cut.add(f"GET {SUSPEND}")
    assert (await action.reconcile(make_call(ARGUMENTS))).presence is Presence.UNDECIDED


async def test_an_undo_removes_ours_and_makes_the_mail_due(bench: Bench, make_call: MakeCall) -> None:
    action, call = Suspend(bench.kumod), make_call(ARGUMENTS)
    outcome = await action.perform(call)
    undone = await action.undo(call, outcome.receipt)
    assert undone.result is UndoResult.UNDONE
    assert bench.suspensions() == []
    (rebind,) = bench.posts(REBIND)
    assert rebind["domain"] == "gmail.com"
    assert rebind["data"] == {}
    assert rebind["always_flush"] is True


async def test_an_undo_leaves_an_entry_that_replaced_ours(bench: Bench, make_call: MakeCall) -> None:
    action, call = Suspend(bench.kumod), make_call(ARGUMENTS)
    outcome = await action.perform(call)
    entry = theirs(bench, "longer, please", domain="gmail.com")
    undone = await action.undo(call, outcome.receipt)
    assert undone.result is UndoResult.FOREIGN
    assert bench.suspensions() == [entry]
    assert bench.posts(REBIND) == []


async def test_after_a_restart_of_kumod_the_suspension_is_gone(bench: Bench, make_call: MakeCall) -> None:
    action, call = Suspend(bench.kumod), make_call(ARGUMENTS)
    outcome = await action.perform(call)
    bench.sim.restart(bench.clock.at, startup_s=0.0, down_s=0.0)
    undone = await action.undo(call, outcome.receipt)
    assert undone.result is UndoResult.GONE
    assert bench.posts(REBIND) == []


async def test_after_its_own_expiry_the_mail_is_still_made_due(bench: Bench, make_call: MakeCall, clock: Any) -> None:
    action = Suspend(bench.kumod)
    outcome = await action.perform(make_call(ARGUMENTS))
    clock.at += 7201
    undone = await action.undo(make_call(ARGUMENTS), outcome.receipt)
    assert undone.result is UndoResult.GONE
    assert len(bench.posts(REBIND)) == 1


async def test_an_undo_whose_answer_is_lost_is_unknown_and_gone_the_next_time(
    bench: Bench, make_call: MakeCall
) -> None:
    action, call = Suspend(bench.kumod), make_call(ARGUMENTS)
    outcome = await action.perform(call)
    bench.wire.cut.add(f"DELETE {SUSPEND}")
    assert (await action.undo(call, outcome.receipt)).result is UndoResult.UNKNOWN
    bench.wire.cut.clear()
    assert (await action.undo(call, outcome.receipt)).result is UndoResult.GONE


async def test_an_undo_while_nobody_answers_fails_to_be_tried_again(bench: Bench, make_call: MakeCall) -> None:
    action, call = Suspend(bench.kumod), make_call(ARGUMENTS)
    outcome = await action.perform(call)
    bench.wire.cut.add(f"GET {SUSPEND}")
    assert (await action.undo(call, outcome.receipt)).result is UndoResult.FAILED


async def test_unsuspend_ends_what_any_run_of_ours_made(bench: Bench, make_call: MakeCall) -> None:
    await Suspend(bench.kumod).perform(make_call(ARGUMENTS, key="inc-2222.1/0"))
    outcome = await Unsuspend(bench.kumod).perform(make_call(ARGUMENTS))
    assert outcome.result is Result.OK
    assert bench.suspensions() == []
    assert len(bench.posts(REBIND)) == 1


async def test_unsuspend_leaves_what_others_made(bench: Bench, make_call: MakeCall) -> None:
    entry = theirs(bench, "by hand [kr:inc-7f3kq2m8.1/0]", domain="gmail.com")  # our sign, but not where we put it
    outcome = await Unsuspend(bench.kumod).perform(make_call(ARGUMENTS))
    assert outcome.result is Result.FAILED
    assert bench.suspensions() == [entry]


def test_our_sign_of_one_step_is_no_prefix_of_another() -> None:
    assert not mark("inc-1.1/10").startswith(mark("inc-1.1/1"))


def test_criteria_are_compared_whole() -> None:
    selectors = Selectors.of({"domain": "gmail.com"})
    assert selectors.fit({"domain": "GMAIL.com", "tenant": None, "campaign": None})
    assert not selectors.fit({"domain": "gmail.com", "tenant": "acme"})
    assert not selectors.fit({"domain": None})
