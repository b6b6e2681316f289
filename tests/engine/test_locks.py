"""One hand on the wheel (G6): locks in any order without a deadlock, and free only when nothing can arrive any more."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.matchers import parse_matcher
from remediator.core.outcomes import unknown
from remediator.core.rendering import parse_template
from remediator.core.rules import Guards, Limit
from remediator.core.state import RunStatus
from tests.kit.history import judge

if TYPE_CHECKING:
    from remediator.core.rules import Rule
    from tests.engine.conftest import Rig

WIDE = Guards(cooldown=0.0, rate_limit=Limit(9, 60.0), blast_radius=Limit(9, 60.0), concurrency=9)
# Two of three keys for each of three runs: in a circle, one way or the other, and all in the same order.
CIRCLES = [(("a", "b"), ("b", "c"), ("c", "a")), (("b", "a"), ("c", "b"), ("a", "c")), (("a", "b"), ("b", "a"), ("a", "c")),
           (("a", "b", "c"), ("c", "b", "a"), ("b", "c", "a"))]  # fmt: skip


def wanting(rig: Rig, number: int, keys: tuple[str, ...]) -> Rule:
    """A rule of its own alert that takes these locks."""
    match = (parse_matcher(f"domain = r{number}.example"),)
    locks = tuple(parse_template(key) for key in keys)
    return rig.rule(name=f"rule-{number}", match=match, guards=WIDE, locks=locks)


@pytest.mark.parametrize("keys", CIRCLES)
async def test_three_runs_that_want_three_keys_in_any_order_all_get_them_one_after_the_other(
    rig: Rig, keys: tuple[tuple[str, ...], ...]
) -> None:
    for order, together in itertools.product(itertools.permutations(range(3)), (True, False)):
        one = type(rig)()
        one.rules = tuple(wanting(one, number, keys[number]) for number in range(3))
        async with one.engine() as engine:
            alerts = [one.alert(f"r{number}.example") for number in order]
            for batch in [alerts] if together else [[alert] for alert in alerts]:
                await one.accept(engine, *batch)
            await one.clock.run(1)
            assert len(engine.parts.journal.state.runs) == 3
            await one.clock.until(lambda: one.idle(engine), within=600.0)  # noqa: B023  (awaited before it moves on)
            assert not engine.parts.journal.state.locks
        assert await one.ended() == ["succeeded"] * 3
        assert judge(one.history()) == []


async def test_who_waits_for_a_lock_waits_no_longer_than_its_rule_allows(rig: Rig) -> None:
    rig.rules = (wanting(rig, 0, ("a",)), replace(wanting(rig, 1, ("a",)), give_up=600.0))
    rig.playbooks = (rig.playbook(rig.step("once")),)
    rig.world.outcomes["once"] = [unknown("timeout")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert("r0.example"))
        await rig.accept(engine, rig.alert("r1.example"))
        await rig.clock.run(700)
        assert rig.run_of(engine).status is RunStatus.NEEDS_PERSON
    assert await rig.ended() == ["expired"]
    (reason,) = [fact.reason for fact in await rig.facts() if isinstance(fact, e.RunEnded)]
    assert "'a' is held by" in reason


@pytest.mark.parametrize("decision", ["abort", "rollback"])
async def test_a_doubt_is_not_ended_while_what_was_tried_can_still_arrive(rig: Rig, decision: str) -> None:
    """The connection was cut at once; the target may take the request up until its time is over (5 + 30 + 5 s)."""
    rig.rules = (wanting(rig, 0, ("a",)), wanting(rig, 1, ("a",)))
    rig.playbooks = (rig.playbook(rig.step("once")),)
    rig.world.outcomes["once"] = [unknown("connection reset")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert("r0.example"), rig.alert("r1.example"))
        await rig.clock.run(1)
        (run,) = [one for one in engine.parts.journal.state.active_runs if one.status is RunStatus.NEEDS_PERSON]
        for seconds in (0, 37):
            await rig.clock.run(seconds)
            asked = engine.desk.decide(run.id, decision=decision, by="ana", reason="by hand")
            await rig.refused(asked, 409, f"what step 1 tried may still arrive until .*; {decision} after that")
            assert rig.world.count("do") == 1, "the other run waits"
        await rig.clock.run(3)
        await rig.ask(engine.desk.decide(run.id, decision=decision, by="ana", reason="by hand"))
        await rig.clock.run(1)
        assert rig.world.count("do") == 2
        await rig.clock.until(lambda: rig.idle(engine))


async def test_a_doubt_that_ends_well_need_not_wait(rig: Rig) -> None:
    rig.playbooks = (rig.playbook(rig.step("once")),)
    rig.world.outcomes["once"] = [unknown("connection reset")]
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        await rig.ask(engine.desk.decide(rig.run_of(engine).id, decision="mark_done", by="ana", reason="seen"))
        await rig.clock.until(lambda: rig.idle(engine))
    assert await rig.ended() == ["succeeded"]


async def test_what_wakes_late_finds_its_lock_gone_and_writes_over_nothing(rig: Rig) -> None:
    """Run A is announced and stands still before it sends; B sets a newer value meanwhile. The last value is B's."""
    rig.blemishes |= {"G12"}  # the minute that it stands still counts as its step's
    rig.playbooks = (rig.playbook(rig.step("safe")),)
    rig.rules = (wanting(rig, 0, ("a",)), wanting(rig, 1, ("a",)))
    async with rig.engine() as engine:
        issue = engine.parts.effects[False].issue
        held: list[str] = []

        async def stands_still(token: object, step: object) -> object:
            if not held:
                held.append(getattr(token, "intent").key)  # noqa: B009
                rig.clock._move(rig.clock.mono + 60.0)  # the whole process, so its own clock knows on waking
            return await issue(token, step)  # type: ignore[arg-type]

        engine.parts.effects[False].issue = stands_still  # type: ignore[method-assign,assignment]
        await rig.accept(engine, rig.alert("r0.example"), rig.alert("r1.example"))
        await rig.clock.until(lambda: rig.idle(engine))
    order = [key for what, _kind, key in rig.world.ledger if what == "do"]
    outcomes = [fact.outcome.result.value for fact in await rig.facts() if isinstance(fact, e.StepOutcome)]
    assert outcomes[0] == "not_issued", "too late to be sent: it was not"
    assert len(order) == len(set(order))
