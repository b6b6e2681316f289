"""The other actions on kumod, against the simulated one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from remediator.actions.kumomta.bounce import Bounce
from remediator.actions.kumomta.looks import Liveness, QueueReport
from remediator.actions.kumomta.ready_queue import ResumeReadyQueue, SuspendReadyQueue
from remediator.actions.kumomta.rebind import BumpConfigEpoch, Rebind
from remediator.core.outcomes import Presence, Result, UndoResult
from remediator.demo.kumod.admin import Bounce as Bouncing
from remediator.demo.kumod.admin import Criteria, ReadySuspension
from remediator.ports import Call

if TYPE_CHECKING:
    Bench = Any

MakeCall = Callable[..., Call]
QUEUE = "ip-1->(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com@smtp_client"
READY = {"node": "mta1", "queue": QUEUE}
DOMAIN = {"node": "mta1", "domain": "gmail.com"}
READY_PATH = "/api/admin/suspend-ready-q/v1"
BOUNCE_PATH = "/api/admin/bounce/v1"
REBIND_PATH = "/api/admin/rebind/v1"


# ── ready queues ─────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_ready_queue_is_suspended_and_resumed_by_undo(bench: Bench, make_call: MakeCall) -> None:
    action, call = SuspendReadyQueue(bench.kumod), make_call(READY)
    outcome = await action.perform(call)
    assert outcome.result is Result.OK
    (entry,) = bench.sim.orders.ready_suspensions.active(bench.clock.at)
    assert entry.name == QUEUE
    assert entry.expires == bench.clock.at + 7200
    assert (await action.reconcile(call)).presence is Presence.PRESENT
    assert (await action.undo(call, outcome.receipt)).result is UndoResult.UNDONE
    assert bench.sim.orders.ready_suspensions.active(bench.clock.at) == []


async def test_a_ready_queue_that_the_metrics_do_not_show_is_said_so(bench: Bench, make_call: MakeCall) -> None:
    outcome = await SuspendReadyQueue(bench.kumod).perform(make_call(READY))
    assert "no such queue at present" in outcome.sentence
    bench.clock.at += 30
    bench.sim.tick(bench.clock.at)
    names = list(bench.sim.mail.ready)
    assert names
    known = await SuspendReadyQueue(bench.kumod).perform(make_call({**READY, "queue": names[0]}, key="inc-2.1/0"))
    assert known.result is Result.OK
    assert "no such queue" not in known.sentence


async def test_a_ready_queue_suspended_by_others_is_left_alone(bench: Bench, make_call: MakeCall) -> None:
    entry = ReadySuspension(name=QUEUE, reason="rule_hash=77", expires=bench.clock.at + 60)
    bench.sim.orders.ready_suspensions.add(entry)
    outcome = await SuspendReadyQueue(bench.kumod).perform(make_call(READY))
    assert outcome.result is Result.FAILED
    assert "automation" in outcome.sentence
    resumed = await ResumeReadyQueue(bench.kumod).perform(make_call(READY))
    assert resumed.result is Result.FAILED
    assert bench.sim.orders.ready_suspensions.active(bench.clock.at) == [entry]


async def test_resuming_ends_what_another_run_of_ours_made(bench: Bench, make_call: MakeCall) -> None:
    await SuspendReadyQueue(bench.kumod).perform(make_call(READY, key="inc-2.1/0"))
    assert (await ResumeReadyQueue(bench.kumod).perform(make_call(READY))).result is Result.OK
    assert bench.sim.orders.ready_suspensions.active(bench.clock.at) == []


@pytest.mark.parametrize("queue", ["", "*", "gmail.com", "ip-1->*@smtp_client", "ip-1->mx.example", "->@smtp_client"])
def test_what_is_no_exact_ready_queue_is_refused(bench: Bench, queue: str) -> None:
    assert SuspendReadyQueue(bench.kumod).faults({"node": "mta1", "queue": queue})


# ── bounce ───────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_bounce_is_posted_once_with_selectors_and_a_short_end(bench: Bench, make_call: MakeCall) -> None:
    call = make_call({**DOMAIN, "duration": 120.0})
    outcome = await Bounce(bench.kumod).perform(call)
    assert outcome.result is Result.OK
    assert bench.posts(BOUNCE_PATH) == [
        {"domain": "gmail.com", "reason": "[kr:inc-7f3kq2m8.1/0] automatic", "duration": "2m"}
    ]
    assert (await Bounce(bench.kumod).reconcile(call)).presence is Presence.PRESENT


async def test_a_bounce_that_is_not_listed_is_undecided_never_absent(bench: Bench, make_call: MakeCall) -> None:
    found = await Bounce(bench.kumod).reconcile(make_call(DOMAIN))
    assert found.presence is Presence.UNDECIDED


async def test_a_bounce_of_somebody_else_is_not_replaced(bench: Bench, make_call: MakeCall) -> None:
    entry = Bouncing(criteria=Criteria(domain="gmail.com"), reason="ops", expires=bench.clock.at + 60)
    bench.sim.orders.bounces.add(entry)
    assert (await Bounce(bench.kumod).perform(make_call(DOMAIN))).result is Result.FAILED
    assert bench.sim.orders.bounces.active(bench.clock.at) == [entry]


@pytest.mark.parametrize("duration", [0, 3601.0, -1, True, "5m"])
async def test_a_bounce_without_bounds_is_refused(bench: Bench, make_call: MakeCall, duration: Any) -> None:
    arguments = {**DOMAIN, "duration": duration}
    assert Bounce(bench.kumod).faults(arguments)
    assert (await Bounce(bench.kumod).perform(make_call(arguments))).result is Result.FAILED
    assert bench.posts(BOUNCE_PATH) == []


async def test_a_bounce_whose_answer_is_lost_is_unknown(bench: Bench, make_call: MakeCall) -> None:
    bench.wire.cut.add(f"POST {BOUNCE_PATH}")
    assert (await Bounce(bench.kumod).perform(make_call(DOMAIN))).result is Result.UNKNOWN


# ── rebind and configuration ─────────────────────────────────────────────────────────────────────────────────────────
async def test_a_rebind_moves_only_what_is_selected(bench: Bench, make_call: MakeCall) -> None:
    arguments = {**DOMAIN, "data": {"routing_domain": "[192.0.2.7]"}, "reason": "drain"}
    call = make_call(arguments)
    assert (await Rebind(bench.kumod).perform(call)).result is Result.OK
    (body,) = bench.posts(REBIND_PATH)
    assert body["domain"] == "gmail.com"
    assert body["data"] == {"routing_domain": "[192.0.2.7]"}
    assert body["always_flush"] is False
    assert (await Rebind(bench.kumod).reconcile(call)).presence is Presence.UNDECIDED


@pytest.mark.parametrize(
    "change",
    [{"domain": ""}, {"flush": False}, {"data": {"tenant": 3}}, {"data": {"tenant": ""}}, {"data": ["x"]}],
)
async def test_a_rebind_that_is_not_plain_is_refused(bench: Bench, make_call: MakeCall, change: dict[str, Any]) -> None:
    arguments = {**DOMAIN, "flush": True, **change}
    assert Rebind(bench.kumod).faults(arguments)
    assert (await Rebind(bench.kumod).perform(make_call(arguments))).result is Result.FAILED
    assert bench.posts(REBIND_PATH) == []


async def test_an_old_kumod_without_rebind_gets_nothing(make: Callable[..., Bench], make_call: MakeCall) -> None:
    old = make(version="2023.12.28")
    outcome = await Rebind(old.kumod).perform(make_call({**DOMAIN, "flush": True}))
    assert outcome.result is Result.FAILED
    assert "a newer one is needed" in outcome.sentence
    assert f"POST {REBIND_PATH}" not in old.wire.seen


async def test_the_configuration_is_read_again(bench: Bench, make_call: MakeCall) -> None:
    assert (await BumpConfigEpoch(bench.kumod).perform(make_call({"node": "mta1"}))).result is Result.OK
    assert len(bench.posts("/api/admin/bump-config-epoch")) == 1


async def test_a_description_is_believed_for_a_minute(bench: Bench, make_call: MakeCall) -> None:
    action, call = BumpConfigEpoch(bench.kumod), make_call({"node": "mta1"})
    for seconds in (0, 59, 61):
        await action.perform(call)
        bench.clock.at += seconds
    await action.perform(call)
    assert bench.wire.seen.count("GET /api-docs/openapi.json") == 2


# ── looks ────────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_queue_report_keeps_the_longest_queues(bench: Bench, make_call: MakeCall) -> None:
    bench.sim.mail.inject("gmail.com", 700, tenant="acme", campaign="spring", service="esmtp_listener")
    outcome = await QueueReport(bench.kumod).perform(make_call({"node": "mta1"}))
    assert outcome.result is Result.OK
    scheduled = outcome.evidence["scheduled"]
    assert isinstance(scheduled, dict)
    assert scheduled["spring:acme@gmail.com"] == 700
    other = await QueueReport(bench.kumod).perform(make_call({"node": "mta1", "domain": "yahoo.com"}))
    assert "spring:acme@gmail.com" not in str(other.evidence["scheduled"])


async def test_liveness_is_evidence_whatever_it_says(bench: Bench, make_call: MakeCall) -> None:
    action, call = Liveness(bench.kumod), make_call({"node": "mta1"})
    assert (await action.perform(call)).evidence == {"live": True}
    bench.sim.disk_free_percent = 3.0
    seen = await action.perform(call)
    assert seen.result is Result.OK
    assert seen.evidence == {"live": False, "reason": "storage is too full"}


async def test_a_refusal_of_kumod_is_explained(bench: Bench, make_call: MakeCall) -> None:
    import httpx

    bench.wire._inner = httpx.ASGITransport(bench.wire._inner.app, client=("192.0.2.9", 50_000))
    outcome = await Rebind(bench.kumod).perform(make_call({**DOMAIN, "flush": True}))
    assert outcome.result is Result.FAILED
    assert "trusted_hosts" in outcome.sentence
