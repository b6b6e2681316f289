"""A step that makes a place forget: what will be lost is named before, recorded, and made again with its key and its end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.matchers import parse_matcher
from remediator.core.outcomes import failed_for_now, unknown
from remediator.core.rendering import parse_template
from remediator.core.rules import Mode, Rung
from remediator.engine.explaining import Explainer

if TYPE_CHECKING:
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig

NODE = "node mta1"
RESTART = {"alertname": "KumoDeliveryStopped", "domain": "mta1.example", "severity": "critical"}


@pytest.fixture(autouse=True)
def _house(rig: Rig) -> None:
    """A rule that pauses a domain for two hours in the memory of mta1, and one that restarts mta1."""
    rig.world.memory = NODE
    pause = rig.playbook(rig.step("keyed_lasting"))
    restart = rig.playbook(rig.step("once", forgets=(parse_template("mta1"),)), name="restart", verify=())
    rungs = (Rung(playbook="restart", arguments={"domain": parse_template("{{ labels.domain }}")}),)
    matching = (parse_matcher(f"alertname = {RESTART['alertname']}"),)
    rig.playbooks = (pause, restart)
    rig.rules = (rig.rule(), rig.rule(name="stopped", match=matching, ladder=rungs))


async def paused(rig: Rig, engine: Engine, *names: str) -> None:
    """These domains are paused, and their runs are over."""
    for name in names or ("a",):
        await rig.accept(engine, rig.alert(f"{name}.example", at=rig.clock.now()))
        await rig.clock.until(lambda: rig.idle(engine))


async def restarted(rig: Rig, engine: Engine) -> None:
    """The node is restarted by its rule, and what follows begins."""
    await rig.accept(engine, {**rig.alert(at=rig.clock.now()), "labels": RESTART})
    await rig.clock.run(1)


def placed(rig: Rig) -> list[str]:
    """The keys of the pauses that arrived, in order."""
    return [key for what, kind, key in rig.world.ledger if (what, kind) == ("do", "keyed_lasting")]


async def losses(rig: Rig) -> list[e.EffectLost]:
    """What was recorded as lost."""
    return [fact for fact in await rig.facts() if isinstance(fact, e.EffectLost)]


async def test_what_a_restart_loses_is_made_again_with_its_key_and_taken_back_in_its_own_time(rig: Rig) -> None:
    async with rig.engine() as engine:
        await paused(rig, engine)
        (undo,) = engine.parts.journal.state.undos.values()
        await rig.clock.run(600)
        await restarted(rig, engine)
        await rig.clock.run(5)
        assert placed(rig) == [undo.key] * 2
        (again,) = engine.parts.journal.state.undos.values()
        assert (again.key, again.due_at, again.rule, again.kept_in) == (undo.key, undo.due_at, undo.rule, NODE)
        assert rig.world.standing == {undo.key}
        await rig.clock.run(undo.due_at - rig.clock.now() + 60)
        assert not rig.world.standing
        assert not engine.parts.journal.state.undos
    (lost,) = await losses(rig)
    assert (lost.incident, lost.run, lost.step, lost.place) == (undo.incident, undo.run, 0, NODE)
    assert lost.again
    kinds = await rig.kinds()
    after = kinds[kinds.index("effect.lost") - 1 :]
    assert after[:4] == [
        "step.outcome",
        "effect.lost",
        "incident.opened",
        "run.planned",
    ]  # one append: no crash between


async def test_before_a_yes_it_is_said_what_will_be_lost(rig: Rig) -> None:
    rig.rules = (rig.rules[0], replace(rig.rules[1], mode=Mode.APPROVE))
    async with rig.engine() as engine:
        await paused(rig, engine, "a", "b")
        (told, *_) = await Explainer(engine.parts).explain(RESTART)
        (said,) = [verdict.sentence for verdict in told.verdicts if verdict.guard == "forgets"]
        assert said.startswith("step 1 makes node mta1 forget what will be lost and, while it is due, made again: ")
        assert "keyed_lasting a.example (until " in said
        assert "keyed_lasting b.example (until " in said
        await restarted(rig, engine)
        run = rig.run_of(engine)
        (asked,) = [message.text for message in rig.world.messages if "approval wanted" in message.subject]
        assert asked.count("\nWill be lost with step 1, on node mta1: keyed_lasting ") == 2
        assert "\nWhat is still due is made again afterwards." in asked
        assert len(placed(rig)) == 2
        await rig.ask(engine.desk.approve(run.id, digest=run.digest, by="ana"))
        await rig.clock.run(30)
    assert sorted(placed(rig)[2:]) == sorted(placed(rig)[:2])


async def test_it_is_tried_until_what_forgot_it_has_come_up(rig: Rig) -> None:
    async with rig.engine() as engine:
        await paused(rig, engine)
        rig.world.outcomes["keyed_lasting"] = [failed_for_now("503 waiting for spool startup")] * 5
        await restarted(rig, engine)
        await rig.clock.run(120)
    assert len(placed(rig)) == 7
    assert len(rig.world.standing) == 1


@pytest.mark.parametrize("kill", range(1, 9))
async def test_a_kill_at_any_append_loses_neither_the_loss_nor_its_repair(rig: Rig, kill: int) -> None:
    async with rig.engine() as engine:
        await paused(rig, engine)
    before = len(rig.store.disk.records)

    async with rig.engine() as engine:
        sent = {**rig.alert(at=rig.clock.now()), "labels": RESTART}
        await rig.ask(engine.intake.accept(rig.body(sent), "test"))
        while len(rig.store.disk.records) < before + kill and await rig.clock.jump(rig.clock.mono + 30):
            await rig.clock.settle()
    async with rig.engine() as engine:
        await rig.clock.run(900)
        parked = [run for run in engine.parts.journal.state.runs.values() if run.status == "needs_person"]
        assert parked or len(rig.world.standing) == 1
        assert len(await losses(rig)) <= 1


async def test_a_restart_in_doubt_loses_it_when_a_person_says_that_it_happened(rig: Rig) -> None:
    rig.world.outcomes["once"] = [unknown("no answer")]
    async with rig.engine() as engine:
        await paused(rig, engine)
        await restarted(rig, engine)
        assert await losses(rig) == []
        await rig.ask(engine.desk.decide(rig.run_of(engine).id, decision="mark_done", by="ana", reason="uptime is 1m"))
        await rig.clock.run(30)
        assert len(await losses(rig)) == 1
    assert len(placed(rig)) == 2


async def test_what_a_person_takes_back_meanwhile_is_not_made_again(rig: Rig) -> None:
    async def hold(what: str) -> None:
        if what == "do" and rig.world.ledger[-1][1] == "once":  # the restart goes through, and then a person looks
            await engine.desk.pause(scope="all", reason="look first", by="ana")

    async with rig.engine() as engine:
        await paused(rig, engine)
        rig.world.witness = hold
        await restarted(rig, engine)
        rig.world.witness = None
        (lost,) = await losses(rig)
        assert len(placed(rig)) == 1  # it waits for the end of the pause
        await rig.ask(engine.desk.undo(lost.run, by="ana"))
        await rig.ask(engine.desk.resume(scope="all", by="ana"))
        await rig.clock.run(60)
    assert len(placed(rig)) == 1
    (denied,) = [fact for fact in await rig.facts() if isinstance(fact, e.RunEnded) and fact.incident == lost.again]
    assert denied.reason == f"forgets: {lost.run}/0 was taken back meanwhile, so it is not made again"


async def test_a_dry_run_forgets_nothing(rig: Rig) -> None:
    async with rig.engine() as engine:
        await paused(rig, engine)
        await rig.reload(engine, *rig.rules, mode=Mode.DRY_RUN)
        await restarted(rig, engine)
        await rig.clock.run(60)
    assert await losses(rig) == []
    assert len(placed(rig)) == 1
