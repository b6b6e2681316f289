"""Nothing wedges, nothing spins, nothing is forgotten: messages, poison, full queues, broken runs, and a clean stop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.brakes import Brakes, Waves
from remediator.core.facts import Facts
from remediator.core.outcomes import Look, Observation, Outcome, UndoResult, failed_for_now, ok
from remediator.core.params import Json
from remediator.core.rules import Guards, Limit
from remediator.core.state import EpisodeStatus
from remediator.core.verdicts import Verdict, allow
from remediator.engine.intake import QueueFull
from remediator.engine.outbox import TRIES
from remediator.errors import NotCommitted, RefusedNotification, RefusedRequest
from remediator.ports import Message
from remediator.stores.faults import Fault

if TYPE_CHECKING:
    from tests.engine.conftest import Rig

WIDE = Guards(
    cooldown=0.0,
    rate_limit=Limit(99, 60.0),
    blast_radius=Limit(99, 60.0),
    concurrency=99,
    brakes=Brakes(waves=Waves(first=99), max_targets=999),
)


def dispositions(facts: Sequence[e.AnyFact]) -> list[str]:
    """What became of every alert, in order."""
    disposed = [fact for fact in facts if isinstance(fact, e.NotificationDisposed)]
    return [one.disposition for fact in disposed for alert in fact.alerts for one in alert.disposals]


# ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────────
class Channel:
    """A receiver of its own: breaks, hangs or works."""

    name = "channel"

    def __init__(self, gate: asyncio.Event | None = None, breaks: Exception | None = None) -> None:
        self.got: list[str] = []
        self._gate, self._breaks = gate, breaks

    async def send(self, message: Message) -> Outcome:
        self.got.append(message.id)
        if self._breaks is not None:
            raise self._breaks
        if self._gate is not None:
            await self._gate.wait()
        return ok("told")


async def test_a_channel_that_breaks_is_tried_some_times_and_then_given_up(rig: Rig) -> None:
    channel = Channel(breaks=ConnectionError("refused"))
    async with rig.engine() as engine:
        engine.parts.receivers = {"people": channel}
        await rig.accept(engine, rig.alert())
        await rig.clock.run(4000)
        assert not engine.parts.journal.state.outbox
    assert len(channel.got) == TRIES
    assert len(set(channel.got)) == 1
    told = [fact for fact in await rig.facts() if isinstance(fact, e.MessageOutcome)]
    assert [fact.attempt for fact in told] == list(range(1, TRIES + 1))
    assert await rig.ended() == ["succeeded"]  # the work does not wait for it


async def test_a_channel_that_hangs_holds_up_no_other(rig: Rig) -> None:
    gate, quick = asyncio.Event(), Channel()
    async with rig.engine() as engine:
        routing = replace(engine.parts.config.routing, by_severity={"critical": ("slow", "quick")})
        engine.parts.config = replace(engine.parts.config, routing=routing)
        engine.parts.receivers = {"slow": Channel(gate), "quick": quick}
        await rig.accept(engine, rig.alert())
        await rig.clock.run(120)
        assert len(quick.got) == 1
        assert {one.receiver for one in engine.parts.journal.state.outbox.values()} == {"slow"}
        gate.set()


async def test_an_outage_of_the_store_repeats_no_message(rig: Rig) -> None:
    channel = Channel()
    async with rig.engine() as engine:
        engine.parts.receivers = {"people": channel}
        engine.parts.journal.listen(
            lambda entries, _b, _a: (
                rig.store.faults.begin(Fault.FAIL_BEFORE)
                if any(isinstance(entry.fact, e.MessageIntent) for entry in entries)
                else None
            )
        )
        await rig.accept(engine, rig.alert())
        await rig.clock.run(3600)
        assert len(channel.got) == 1
        rig.store.faults.end()
        await rig.clock.run(60)
        assert not engine.parts.journal.state.outbox
    assert len(channel.got) == 1


# ── poison ───────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_notification_that_breaks_the_planner_is_put_aside_and_the_next_goes_on(rig: Rig) -> None:
    async with rig.engine() as engine:
        fittings = dict(engine.parts.fittings)
        honest = fittings["safe"].faults

        def faults(arguments: Mapping[str, Json]) -> Sequence[str]:
            if arguments["domain"] == "poison.example":
                raise ZeroDivisionError("poison")
            return honest(arguments)

        engine.parts.fittings = {**fittings, "safe": replace(fittings["safe"], faults=faults)}
        await rig.accept(engine, rig.alert("poison.example"), rig.alert("with.example"))
        await rig.accept(engine, rig.alert("good.example"))
        await rig.clock.until(lambda: rig.idle(engine))
    facts = await rig.facts()
    assert dispositions(facts) == ["quarantined", "quarantined", "planned"]
    (aside,) = [fact for fact in facts if isinstance(fact, e.Quarantined)]
    assert "ZeroDivisionError: poison" in aside.reason
    assert await rig.ended() == ["succeeded"]


async def test_one_bad_alert_does_not_fail_its_notification(rig: Rig) -> None:
    bad: list[dict[str, object]] = [{}, {"status": "firing"}, {"labels": 5}, {**rig.alert(), "labels": {}}]
    async with rig.engine() as engine:
        await rig.accept(engine, *bad, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
    assert dispositions(await rig.facts()) == ["quarantined"] * 4 + ["planned"]
    assert await rig.ended() == ["succeeded"]


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"{}", b'{"alerts": 5}', b"\xff", b"[" * 100_000])
async def test_what_is_no_notification_is_refused_for_ever_and_leaves_no_trace(rig: Rig, body: bytes) -> None:
    async with rig.engine() as engine:
        head = engine.parts.journal.head
        with pytest.raises(RefusedNotification) as raised:
            await rig.ask(engine.intake.accept(body, "test"))
        assert raised.value.status == 400
        assert engine.parts.journal.head == head


async def test_a_full_queue_is_told_to_come_again_and_nothing_of_it_is_lost(rig: Rig) -> None:
    async with rig.engine() as engine:
        engine.parts.config = replace(engine.parts.config, queue=3)
        bodies = [rig.body(rig.alert(f"d{number}.example")) for number in range(5)]
        asked = [asyncio.ensure_future(engine.intake.accept(body, "test")) for body in bodies]
        await rig.clock.settle()
        assert [type(one.exception()) for one in asked] == [type(None)] * 3 + [QueueFull] * 2
        await rig.clock.run(60)
        for body in bodies[3:]:
            await rig.ask(engine.intake.accept(body, "test"))
        await rig.clock.run(1)
        assert dispositions(await rig.facts()) == ["planned"] * 5


class Trap:
    """A guard whose verdict cannot be written down."""

    name = "trap"
    summary = "test"

    def check(self, facts: Facts) -> Verdict | None:
        trapped = facts.run.plan.target["domain"] == "trap.example"
        return allow("trap", object() if trapped else "fine")  # type: ignore[arg-type]


NONSENSE: list[object] = [None, "ok", ok("\udc80"), ok("x", evidence={"what": object()}), ok(5), RuntimeError]  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", NONSENSE, ids=range(len(NONSENSE)))
async def test_an_answer_of_a_plug_in_that_makes_no_sense_is_unknown_and_breaks_nothing(
    rig: Rig, answer: object
) -> None:
    rig.playbooks = (rig.playbook(rig.step("once")),)
    rig.world.outcomes["once"] = [answer]  # type: ignore[list-item]
    rig.rules = (rig.rule(guards=WIDE),)
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(60)
        assert rig.run_of(engine).status == "needs_person"
        await rig.accept(engine, rig.alert("next.example"))
        await rig.clock.run(120)
    assert await rig.ended() == ["succeeded"]
    async with rig.engine() as engine:  # and what was written can be read
        assert rig.run_of(engine).status == "needs_person"


@pytest.mark.parametrize("answer", [None, True, "good"])
async def test_a_look_that_makes_no_sense_could_not_tell(rig: Rig, answer: object) -> None:
    rig.world.verification = lambda now: answer  # type: ignore[assignment, return-value]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["unverified"]


async def test_a_run_that_nobody_can_carry_is_put_aside_and_the_others_go_on(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=WIDE),)
    async with rig.engine() as engine:
        engine.parts.guards = (*engine.parts.guards, Trap())
        await rig.accept(engine, rig.alert("trap.example"))
        await rig.clock.run(60)
        (aside,) = [fact for fact in await rig.facts() if isinstance(fact, e.Quarantined)]
        assert aside.what == f"run {rig.run_of(engine).id}"
        assert "broke 3 times" in aside.reason
        await rig.accept(engine, rig.alert("fine.example"))
        await rig.clock.run(120)
        assert await rig.ended() == ["succeeded"]
        await rig.clock.run(3000)
    assert (await rig.kinds()).count("quarantined") == 1
    assert any("people are needed" in message.subject for message in rig.world.messages)
    async with rig.engine() as engine:  # without the trap, the next start carries it on
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["succeeded", "succeeded"]


# ── undos ────────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_an_undo_that_hangs_holds_up_no_other(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=WIDE),)
    gate = asyncio.Event()

    async def witness(what: str) -> None:
        if what == "undo" and rig.world.count("undo") == 1:
            await gate.wait()

    rig.world.witness = witness
    async with rig.engine() as engine:
        await rig.accept(engine, *(rig.alert(f"d{number}.example") for number in range(3)))
        await rig.clock.run(7300)
        assert rig.world.count("undo") == 3
        await rig.clock.run(600)  # it looks again now and then, and does not spin
        incident = next(iter(engine.parts.journal.state.undos.values())).incident
        with pytest.raises(RefusedRequest, match="being worked on"):
            await rig.ask(engine.desk.undo(incident, by="ana"))
        gate.set()
        await rig.clock.run(60)
        assert not engine.parts.journal.state.undos
    assert rig.world.count("undo") == 3


async def test_an_undo_may_fail_for_weeks_and_goes_on(rig: Rig) -> None:
    rig.blemishes = {"G10"}  # the forged intent comes before its time
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
        undo = next(iter(engine.parts.journal.state.undos.values()))
        intent = e.UndoIntent(incident=undo.incident, run=undo.run, step=undo.step, attempt=5000, cause="expiry")
        await rig.ask(engine.parts.journal.commit(lambda _s, _m: [intent]))
        rig.world.undo_results = [UndoResult.FAILED, UndoResult.FAILED]
        await rig.clock.run(7200 + 700)
        assert not rig.world.standing
    rests = [fact.next_at for fact in await rig.facts() if isinstance(fact, e.UndoConcluded)]
    assert len(rests) == 3


async def test_undos_that_became_due_while_nobody_was_there_are_done_at_the_next_start(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
    rig.clock._move(rig.clock.mono + 86_400)
    async with rig.engine() as engine:
        assert not rig.world.standing
        assert not engine.parts.journal.state.undos


async def test_an_episode_of_which_nothing_is_heard_for_long_lapses_and_proves_nothing(rig: Rig) -> None:
    rig.world.condition = lambda expr: Observation(look=Look.BAD, sentence="0.03")
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(28_800 + 70)
        (episode,) = engine.parts.journal.state.episodes.values()
        assert episode.status is EpisodeStatus.LAPSED
    assert await rig.ended() == ["expired"]  # not cancelled: no resolve was heard


# ── stop ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_clean_stop_lets_the_running_step_finish_and_orders_nothing_more(rig: Rig) -> None:
    free = asyncio.Event()

    async def hold(what: str) -> None:
        if what == "do":
            await free.wait()

    rig.world.witness = hold
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        stopping = asyncio.ensure_future(engine.stop(30.0))
        await rig.clock.settle()
        assert not stopping.done()
        with pytest.raises(NotCommitted, match="stopping"):
            await rig.ask(engine.intake.accept(rig.body(rig.alert("late.example")), "test"))
        free.set()
        await rig.clock.run(5)
        await stopping
        await rig.clock.run(600)
    kinds = await rig.kinds()
    assert kinds.count("step.intent") == kinds.count("step.outcome") == 1
    assert kinds[-1] == "service.stopped"
    assert "unknown" not in [fact.outcome.result for fact in await rig.facts() if isinstance(fact, e.StepOutcome)]
    rig.world.witness = None
    async with rig.engine() as engine:
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["succeeded"]
    assert rig.world.count("do") == 2


async def test_an_intent_that_was_on_its_way_when_the_stop_came_gets_its_outcome(rig: Rig) -> None:
    async with rig.engine() as engine:
        asked = asyncio.ensure_future(engine.intake.accept(rig.body(rig.alert()), "test"))
        stopping: list[asyncio.Future[None]] = []
        append = rig.store.append

        async def watched(*arguments: object) -> object:
            kinds = [record.kind for record in arguments[1]]  # type: ignore[attr-defined]
            if "step.intent" in kinds and not stopping:
                stopping.append(asyncio.ensure_future(engine.stop(30.0)))
                for _ in range(20):  # the stop looks for what is under way while this is being written
                    await asyncio.sleep(0)
            return await append(*arguments)  # type: ignore[arg-type]

        rig.store.append = watched  # type: ignore[method-assign, assignment]
        await rig.clock.run(1)
        await asked
        await stopping[0]
    kinds = await rig.kinds()
    assert kinds.count("step.intent") == kinds.count("step.outcome") == 1
    assert kinds[-1] == "service.stopped"


async def test_a_clean_stop_lets_an_undo_finish(rig: Rig) -> None:
    free = asyncio.Event()

    async def hold(what: str) -> None:
        if what == "undo":
            await free.wait()

    rig.world.witness = hold
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
        (undo,) = engine.parts.journal.state.undos.values()
        undoing = asyncio.ensure_future(engine.desk.undo(undo.run, by="ana"))
        await rig.clock.settle()
        stopping = asyncio.ensure_future(engine.stop(30.0))
        await rig.clock.settle()
        assert not stopping.done()
        free.set()
        await rig.clock.settle()
        await stopping
        assert [one.outcome.result for one in await undoing] == [UndoResult.UNDONE]
    assert (await rig.kinds())[-2:] == ["undo.outcome", "service.stopped"]


async def test_a_step_that_does_not_end_does_not_hold_up_the_stop_for_longer_than_its_grace(rig: Rig) -> None:
    async def hang(what: str) -> None:
        if what == "do":
            await asyncio.get_running_loop().create_future()

    rig.world.witness = hang
    rig.playbooks = (rig.playbook(rig.step("once")),)
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        await engine.stop(0.05)
    assert (await rig.kinds())[-1] == "service.stopped"
    rig.world.witness = None
    async with rig.engine() as engine:
        await rig.clock.run(60)
        assert rig.run_of(engine).status == "needs_person"
    assert rig.world.count("do") == 1


async def test_a_verification_under_way_at_a_stop_begins_anew_at_the_next_start(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(15)
        assert rig.run_of(engine).status == "verifying"
        await rig.ask(engine.stop(30.0))
        await rig.clock.run(60)  # its sleeper wakes, and says nothing
    assert (await rig.kinds())[-1] == "service.stopped"
    async with rig.engine() as engine:
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["succeeded"]


async def test_a_cancelled_engine_ends_at_once_with_all_its_tasks(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=WIDE),)
    rig.world.outcomes["safe"] = [failed_for_now("503")]
    before = asyncio.all_tasks()
    async with rig.engine() as engine:
        await rig.accept(engine, *(rig.alert(f"d{number}.example") for number in range(20)))
        await rig.clock.run(7)
    await rig.clock.settle()
    assert asyncio.all_tasks() == before
