"""kumomta.suspend_source, kumomta.global_rate and kumomta.compact_spool, against the simulated kumod."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx

from remediator.actions.kumomta.compact import CompactSpool
from remediator.actions.kumomta.source import SuspendSource
from remediator.actions.kumomta.throttle import GlobalRate, Throttle
from remediator.actions.targets import Source
from remediator.core.outcomes import Presence, Result, UndoResult
from remediator.demo.kumod.admin import ReadySuspension
from remediator.ports import Call

if TYPE_CHECKING:
    Bench = Any
    ShapingFile = Any

MakeCall = Callable[..., Call]
IP = {"ip": "192.0.2.10", "reason": "reputation below 50"}
SITE = "mx.example@smtp_client"
METRICS = "/metrics.json"


class Metrics(httpx.AsyncBaseTransport):
    """Stands before the wire and answers for the metrics, so that a test says which queues there are."""

    def __init__(self, inner: httpx.AsyncBaseTransport, waiting: list[str], delivered: list[str]) -> None:
        self.inner, self.waiting, self.delivered = inner, waiting, delivered

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != METRICS:
            return await self.inner.handle_async_request(request)
        families = {"ready_count": self.waiting, "total_messages_delivered": self.delivered}
        body = {
            name: {"value": {"service": {f"smtp_client:{queue}": 5 for queue in queues}}}
            for name, queues in families.items()
        }
        return httpx.Response(200, stream=httpx.ByteStream(json.dumps(body).encode()))


def pool(bench: Bench, waiting: list[str], delivered: list[str] | None = None) -> SuspendSource:
    """The action, on a kumod with these ready queues, whose ip-1 sends from the address."""
    kumod = bench.kumod
    kumod._targets = replace(kumod.targets, sources={"192.0.2.10": Source(node="mta1", source="ip-1")})
    kumod._http._transport = Metrics(kumod._http._transport, waiting, delivered or [])
    return SuspendSource(kumod)


def suspended(bench: Bench) -> list[str]:
    return sorted(entry.name for entry in bench.sim.orders.ready_suspensions.active(bench.clock.at))


async def test_a_source_is_suspended_where_another_takes_over(bench: Bench, make_call: MakeCall) -> None:
    action = pool(bench, [f"ip-1->{SITE}", "ip-1->mx.other@smtp_client", "ip-1->mx.alone@smtp_client"],
                  [f"ip-2->{SITE}", "ip-2->mx.other@smtp_client"])  # fmt: skip
    call = make_call(IP)
    outcome = await action.perform(call)
    assert outcome.result is Result.OK
    assert suspended(bench) == [f"ip-1->{SITE}", "ip-1->mx.other@smtp_client"]
    assert "left alone, since no other source sends there: ip-1->mx.alone@smtp_client" in outcome.sentence
    found = await action.reconcile(call)
    assert found.presence is Presence.PRESENT
    assert (await action.perform(call)).result is Result.OK
    assert len(suspended(bench)) == 2, "a second attempt of the step adds nothing"
    assert (await action.undo(call, outcome.receipt)).result is UndoResult.UNDONE
    assert suspended(bench) == []
    assert (await action.reconcile(call)).presence is Presence.ABSENT
    assert (await action.undo(call, outcome.receipt)).result is UndoResult.GONE


async def test_the_only_source_of_a_site_is_never_suspended(bench: Bench, make_call: MakeCall) -> None:
    outcome = await pool(bench, ["ip-1->mx.alone@smtp_client"]).perform(make_call(IP))
    assert outcome.result is Result.FAILED
    assert "no other source sends to mx.alone@smtp_client, so mail would stop" in outcome.sentence
    assert outcome.retryable, "after a restart another source may not have sent yet"
    assert suspended(bench) == []


async def test_a_source_without_queues_or_with_far_too_many_is_left_to_people(
    bench: Bench, make_call: MakeCall
) -> None:
    outcome = await pool(bench, [f"ip-2->{SITE}"]).perform(make_call(IP))
    assert "no ready queue of it at present" in outcome.sentence
    assert outcome.retryable, "after a restart no mail may have moved yet, and what it forgot is to be made again"
    many = [f"ip-{source}->mx{number}.example@smtp_client" for number in range(101) for source in (1, 2)]
    outcome = await pool(bench, many).perform(make_call(IP))
    assert "more than 100 are a person's decision" in outcome.sentence
    assert not outcome.retryable
    assert suspended(bench) == []


async def test_what_was_begun_is_taken_back_when_the_rest_cannot_be_done(bench: Bench, make_call: MakeCall) -> None:
    second = "ip-1->mx.other@smtp_client"
    bench.sim.orders.ready_suspensions.add(ReadySuspension(name=second, reason="ann", expires=bench.clock.at + 60))
    action = pool(bench, [f"ip-1->{SITE}", second], [f"ip-2->{SITE}", "ip-2->mx.other@smtp_client"])
    outcome = await action.perform(make_call(IP))
    assert outcome.result is Result.FAILED
    assert "already suspended by someone else" in outcome.sentence
    assert "the 1 before it were taken back" in outcome.sentence
    assert suspended(bench) == [second], "what a person suspended stays"


async def test_an_address_that_nobody_knows_is_refused(bench: Bench, make_call: MakeCall) -> None:
    action = pool(bench, [])
    assert "no source is known to send from '192.0.2.99' (known: 192.0.2.10)" in action.faults({"ip": "192.0.2.99"})[0]
    other = make_call({"ip": "192.0.2.99"})
    assert (await action.perform(other)).result is Result.FAILED
    assert (await action.reconcile(other)).presence is Presence.UNDECIDED
    assert (await action.undo(other, {})).result is UndoResult.FAILED


async def test_a_kumod_that_cannot_be_asked_is_sent_nothing(bench: Bench, make_call: MakeCall) -> None:
    action = pool(bench, [f"ip-1->{SITE}"], [f"ip-2->{SITE}"])
    bench.wire.cut.add("GET /api/admin/suspend-ready-q/v1")
    call = make_call(IP)
    assert (await action.perform(call)).result is Result.NOT_ISSUED
    assert (await action.undo(call, {})).result is UndoResult.FAILED
    assert suspended(bench) == []


# ── the rate of a whole node ─────────────────────────────────────────────────────────────────────────────────────────
RATE = {"node": "mta1", "rate": "2000/min"}
BEFORE = '["default"]\nmax_message_rate = "1000/s"\n\n["gmail.com"]\nmax_message_rate = "500/min"\n'


async def test_the_rate_of_all_mail_stands_beside_that_of_a_domain(
    make: Callable[..., Bench], shaping: ShapingFile, make_call: MakeCall
) -> None:
    bench = make(shaping=shaping.path)
    whole, domain = GlobalRate(bench.kumod), Throttle(bench.kumod)
    wide = make_call(RATE, key="inc-2.1/0")
    narrow = make_call({"node": "mta1", "domain": "gmail.com", "rate": "100/h"}, key="inc-3.1/0")
    first, second = await whole.perform(wide), await domain.perform(narrow)
    assert (first.result, second.result) == (Result.OK, Result.OK), (
        "an incident's throttle is not kept out by the day's rate"
    )
    text = shaping.text
    assert (
        'additional_message_rate_throttles = { "remediator-global-rate" = "2000/min" }  # [kr:inc-2.1/0] was no line'
        in text
    )
    assert (await whole.reconcile(wide)).presence is Presence.PRESENT
    assert (await whole.undo(wide, first.receipt)).result is UndoResult.UNDONE
    assert (await domain.undo(narrow, second.receipt)).result is UndoResult.UNDONE
    assert shaping.text == BEFORE
    assert (await whole.reconcile(wide)).presence is Presence.ABSENT


async def test_throttles_that_people_wrote_are_left_alone(
    make: Callable[..., Bench], shaping: ShapingFile, make_call: MakeCall
) -> None:
    own = '["default"]\nadditional_message_rate_throttles = { "ours" = "9/s" }\n'
    shaping.write(own)
    outcome = await GlobalRate(make(shaping=shaping.path).kumod).perform(make_call(RATE))
    assert outcome.result is Result.FAILED
    assert "of its own, which would be replaced" in outcome.sentence
    assert shaping.text == own


async def test_a_second_run_does_not_take_the_rate_from_the_first(
    make: Callable[..., Bench], shaping: ShapingFile, make_call: MakeCall
) -> None:
    action = GlobalRate(make(shaping=shaping.path).kumod)
    await action.perform(make_call(RATE, key="inc-2.1/0"))
    outcome = await action.perform(make_call({**RATE, "rate": "500/min"}, key="inc-4.1/0"))
    assert "set by another run of ours (inc-2.1/0)" in outcome.sentence
    assert "2000/min" in shaping.text


def test_a_rate_for_a_node_without_a_file_or_without_a_number_is_refused(bench: Bench) -> None:
    assert "shaping file of mta1 is not configured" in GlobalRate(bench.kumod).faults(RATE)[0]
    assert "no rate: write for example 2000/min" in GlobalRate(bench.kumod).faults({"node": "mta1"})


# ── the spool ────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_spool_is_compacted_by_a_kumod_that_knows_how(make: Callable[..., Bench], make_call: MakeCall) -> None:
    new, old = make(version="2026.08.04"), make()
    call = make_call({"node": "mta1", "spool": "data"})
    assert (await CompactSpool(new.kumod).perform(call)).sentence == "the data spool of mta1 is compacted"
    outcome = await CompactSpool(old.kumod).perform(call)
    assert outcome.result is Result.FAILED
    assert "a newer one is needed" in outcome.sentence
    assert "POST /api/admin/spool-compact/v1" not in old.wire.seen


async def test_a_spool_that_there_is_not_is_refused(bench: Bench, make_call: MakeCall) -> None:
    outcome = await CompactSpool(bench.kumod).perform(make_call({"node": "mta1", "spool": "all"}))
    assert "expected one of data, meta" in outcome.sentence
