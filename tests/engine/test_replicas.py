"""Several replicas over one journal: each goes on with its own work, and with that of others only once they are gone."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.leases import BEAT_EVERY, GONE_AFTER, SILENT_AFTER
from remediator.core.outcomes import UndoResult
from remediator.core.rules import Mode
from remediator.errors import NotCommitted, RefusedRequest
from remediator.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig


class Unheard(MemoryStore):
    """A hold on a shared disk, whose heartbeats do not get through while `lost`."""

    lost = False

    async def heartbeat(self, holder: str, ttl: float) -> None:
        if self.lost:
            raise NotCommitted("lost")
        await super().heartbeat(holder, ttl)


@asynccontextmanager
async def replica(rig: Rig) -> AsyncIterator[Engine]:
    """One more engine over the same disk; leaving the block is its crash."""
    rig.store = Unheard(rig.store.disk, shared=rig.clock.monotonic)
    async with rig.engine() as engine:
        yield engine


def lose(engine: Engine) -> None:
    """The others hear nothing of this one any more, though it lives."""
    store = engine.parts.journal.store
    assert isinstance(store, Unheard)
    store.lost = True


async def leases(rig: Rig) -> list[tuple[str, ...]]:
    """Who was taken over, in order."""
    return [fact.holders for fact in await rig.facts() if isinstance(fact, e.LeaseTaken)]


async def test_f14_the_same_notification_a_hundred_times_in_parallel_to_two_replicas_is_one_run(rig: Rig) -> None:
    async with replica(rig) as one, replica(rig) as two:
        wire = rig.body(rig.alert())
        sent = [asyncio.ensure_future((one, two)[n % 2].intake.accept(wire, "test")) for n in range(100)]
        await rig.clock.run(3600)
        assert len({task.result().entry for task in sent}) == 100
        assert await rig.ended() == ["succeeded"]
        assert (rig.world.count("do", "keyed_lasting"), rig.world.count("do", "safe")) == (1, 1)
        assert (await rig.kinds()).count("run.planned") == 1
        tally = one.parts.journal.state.tally
        assert (tally.received, tally.disposed) == (100, 100)
        assert not await leases(rig)  # both were there all the time


async def test_f22_a_holder_that_vanishes_is_followed_within_its_time_and_a_lock_is_not_held_for_ever(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("once", delay=60.0), rig.step("safe")),)
    async with replica(rig) as heir:
        async with replica(rig) as holder:
            rig.world.witness = lambda what: holder.parts.clock.sleep(3600)  # the target hangs
            await rig.accept(holder, rig.alert())
            await rig.clock.run(3)
            assert rig.run_of(heir).intent is not None
        rig.world.witness = None
        await rig.clock.run(GONE_AFTER - 5)
        assert rig.run_of(heir).intent is not None, "taken before its time"
        await rig.clock.run(BEAT_EVERY + 6)
        run = rig.run_of(heir)
        assert (run.holder, run.status.value) == (heir.parts.journal.boot, "needs_person")
        await rig.ask(heir.desk.decide(run.id, decision="mark_done", by="ana", reason="seen"))
        await rig.clock.run(3600)
        assert await rig.ended() == ["succeeded"]
        assert not heir.parts.journal.state.locks
        assert rig.world.count("do", "once") == 1


async def test_f22_an_old_holder_is_fenced_and_what_it_has_to_tell_is_still_heard(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("once"), rig.step("safe")),)
    async with replica(rig) as holder, replica(rig) as heir:
        rig.world.witness = lambda what: holder.parts.clock.sleep(
            38
        )  # longer than the lease lasts, not than the step may
        await rig.accept(holder, rig.alert())
        lose(holder)
        await rig.clock.run(GONE_AFTER + BEAT_EVERY + 1)
        run = rig.run_of(heir)
        assert run.holder == heir.parts.journal.boot
        assert run.doubt is False, "the old holder's outcome counts: it made the attempt"
        rig.world.witness = None
        await rig.clock.run(3600)
        writers = {
            e.decode(r.seq, r.body).boot for r in rig.store.disk.records if r.kind in {"step.intent", "run.ended"}
        }
        assert writers <= {holder.parts.journal.boot, heir.parts.journal.boot}
        assert rig.world.count("do", "once") == 1


async def test_a_replica_that_is_not_heard_issues_nothing_after_fifteen_seconds(rig: Rig) -> None:
    rig.mode = Mode.APPROVE
    async with replica(rig) as engine:
        await rig.accept(engine, rig.alert())
        lose(engine)
        await rig.clock.run(SILENT_AFTER + 1)
        run = rig.run_of(engine)
        await rig.ask(engine.desk.approve(run.id, digest=run.digest, by="ana"))
        await rig.clock.run(120)
        assert not rig.world.ledger
        store = engine.parts.journal.store
        assert isinstance(store, Unheard)
        store.lost = False
        await rig.clock.run(120)
        assert rig.world.count("do") == 2


async def test_an_approval_at_one_replica_is_heard_by_the_one_that_holds_the_run(rig: Rig) -> None:
    rig.mode = Mode.APPROVE
    async with replica(rig) as holder, replica(rig) as other:
        await rig.accept(holder, rig.alert())
        await rig.clock.run(5)
        run = rig.run_of(other)
        await rig.ask(other.desk.approve(run.id, digest=run.digest, by="ana"))
        await rig.clock.run(2)
        assert rig.world.count("do") >= 1
        intents = [e.decode(r.seq, r.body) for r in rig.store.disk.records if r.kind == "step.intent"]
        assert {entry.boot for entry in intents} == {holder.parts.journal.boot}


async def test_an_undo_is_in_one_hand_at_a_time(rig: Rig) -> None:
    async with replica(rig) as holder, replica(rig) as other:
        await rig.accept(holder, rig.alert())
        await rig.clock.run(600)
        (undo,) = other.parts.journal.state.undos.values()
        rig.world.witness = lambda what: holder.parts.clock.sleep(20)
        asked = asyncio.ensure_future(holder.desk.undo(undo.run, by="ana"))
        await rig.clock.run(5)
        await rig.refused(other.desk.undo(undo.run, by="ben"), 409, "is being worked on")
        await rig.clock.run(60)
        assert [one.outcome.result for one in asked.result()] == [UndoResult.UNDONE]
        assert rig.world.count("undo") == 1
        with pytest.raises(RefusedRequest, match="left nothing behind"):
            await other.desk.undo(undo.run, by="ben")


async def test_a_message_has_one_sender_and_an_heir(rig: Rig) -> None:
    rig.mode = Mode.APPROVE
    async with replica(rig) as heir:
        async with replica(rig) as holder:
            await rig.accept(holder, rig.alert())
            await rig.clock.run(60)
            assert len(rig.world.messages) == 1
            rig.world.witness = lambda what: holder.parts.clock.sleep(3600)
            await rig.accept(holder, rig.alert("other.example"))
            await rig.clock.run(1)
            assert len(rig.world.messages) == 2  # and dies before it can tell that it was sent
        rig.world.witness = None
        await rig.clock.run(20)
        assert len(rig.world.messages) == 2
        await rig.clock.run(30)
        assert len(rig.world.messages) == 3
        assert not heir.parts.journal.state.outbox


async def test_a_notification_that_its_acceptor_left_is_disposed_of_within_a_minute(rig: Rig) -> None:
    async with replica(rig) as heir:
        async with replica(rig) as holder:
            await holder.intake.accept(rig.body(rig.alert()), "test")
        await rig.clock.run(1)
        assert heir.parts.journal.state.pending
        await rig.clock.run(GONE_AFTER + BEAT_EVERY)
        assert not heir.parts.journal.state.pending
        assert rig.run_of(heir).holder == heir.parts.journal.boot


async def test_a_clean_stop_hands_over_at_the_next_beat(rig: Rig) -> None:
    rig.mode = Mode.APPROVE
    async with replica(rig) as heir:
        async with replica(rig) as holder:
            await rig.accept(holder, rig.alert())
            stopping = asyncio.ensure_future(holder.stop(30.0))
            await rig.clock.run(1)
            await stopping
        await rig.clock.run(BEAT_EVERY + 1)
        assert rig.run_of(heir).holder == heir.parts.journal.boot
        assert await leases(rig) == [("",)]


async def test_a_process_that_is_alone_takes_over_in_the_append_of_its_start(rig: Rig) -> None:
    rig.mode = Mode.APPROVE
    async with rig.engine() as first:
        await rig.accept(first, rig.alert())
    async with rig.engine() as second:
        assert rig.run_of(second).holder == second.parts.journal.boot
    kinds = await rig.kinds()
    assert kinds[kinds.index("lease.taken") - 1] == "service.started"
    assert await leases(rig) == [("boot1",)]
