"""Runs keep their rules, at whatever moment others come into force; tightening acts at once, loosening on new runs (G19)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from remediator.core import entries as e
from remediator.core.brakes import Brakes, Waves
from remediator.core.outcomes import Look, Observation
from remediator.core.rendering import parse_template
from remediator.core.rules import Condition, Guards, Limit, Mode
from remediator.core.state import RunStatus
from remediator.errors import StoreError
from tests.kit.history import judge

if TYPE_CHECKING:
    from remediator.core.chain import Head
    from remediator.core.entries import Record
    from remediator.core.rules import Rule
    from remediator.core.state import State
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig

BAD, GOOD = Observation(look=Look.BAD, sentence="0.04"), Observation(look=Look.GOOD, sentence="0.27")
OLD, NEW = ["keyed_lasting", "safe"], ["keyed"]
# Entries of the story without a reload, from the alert to the end of what was temporary.
ENTRIES = 21


def story(rig: Rig) -> None:
    """A run with a temporary effect that ends after two minutes."""
    rig.playbooks = (rig.playbook(rig.step("keyed_lasting", undo_after=120.0), rig.step("safe")),)


def others(rig: Rig) -> None:
    """Another playbook under the same name, and another condition."""
    rig.playbooks = (rig.playbook(rig.step("keyed"), limit=77.0),)
    rig.rules = (rig.rule(when=Condition(parse_template("ratio > 0.99"), 60.0)),)


async def _to_the_end(rig: Rig, engine: Engine) -> None:
    await rig.clock.until(lambda: rig.idle(engine) and not engine.parts.journal.state.undos)


async def _kept(rig: Rig) -> str:
    """The run did what its own plan says, whatever was in force then; its first action."""
    facts = await rig.facts()
    (planned,) = [fact for fact in facts if isinstance(fact, e.RunPlanned)]
    steps = [step.action for step in planned.plan.steps]
    assert steps in (OLD, NEW)
    assert list(dict.fromkeys(kind for what, kind, _ in rig.world.ledger if what == "do")) == steps
    assert not rig.world.standing
    assert [fact.result for fact in facts if isinstance(fact, e.RunEnded)] == ["succeeded"]
    assert judge(replace(rig.history(), settled=True)) == []
    return steps[0]


async def test_the_story_has_so_many_entries(rig: Rig) -> None:
    story(rig)
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await _to_the_end(rig, engine)
    assert len(rig.store.disk.records) == ENTRIES


async def _reloaded_at(rig: Rig, place: int) -> None:
    """Other rules come into force in the very append of entry `place`."""
    async with rig.engine() as engine:
        loading: list[asyncio.Future[object]] = []

        def note(_entries: object, _before: object, after: State) -> None:
            if after.seq >= place and not loading:
                others(rig)
                engine.parts.config = rig.parts().config
                loaded = e.ConfigLoaded(digest="new", rules=(), mode="auto", longest_window=86400.0)
                loading.append(asyncio.ensure_future(engine.parts.journal.commit(lambda _s, _m: [loaded])))

        engine.parts.journal.listen(note)
        await rig.accept(engine, rig.alert())
        await _to_the_end(rig, engine)
        assert loading


async def _killed_at(rig: Rig, place: int) -> None:
    """Nothing more is durable after entry `place`; the next process has other rules."""
    async with rig.engine() as engine:
        append = rig.store.append

        async def until_then(expect: Head, records: Sequence[Record], *rows: Any) -> Head:
            if rig.store.disk.head.seq >= place:
                await asyncio.get_running_loop().create_future()
            return await append(expect, records, *rows)

        rig.store.append = until_then  # type: ignore[method-assign,assignment]
        sent = asyncio.ensure_future(engine.intake.accept(rig.body(rig.alert()), "test"))
        await rig.clock.run(200)
        sent.cancel()
        with suppress(asyncio.CancelledError, StoreError):
            await sent
    rig.store = type(rig.store)(rig.store.disk)
    others(rig)
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await _to_the_end(rig, engine)


@pytest.mark.parametrize("comes", [_reloaded_at, _killed_at])
async def test_a_run_keeps_its_plan_wherever_other_rules_come_into_force(
    rig: Rig, comes: Callable[[Rig, int], Awaitable[None]]
) -> None:
    plans = []
    for place in range(2, ENTRIES + 1):
        one = type(rig)()
        story(one)
        await comes(one, place)
        plans.append(await _kept(one))
    assert plans == sorted(plans), "the first ones by the new rules, all others by the old"
    assert {NEW[0], OLD[0]} == set(plans)


# ── tightening and loosening ─────────────────────────────────────────────────────────────────────────────────────────
WIDE = Guards(
    cooldown=0.0,
    rate_limit=Limit(9, 60.0),
    blast_radius=Limit(9, 60.0),
    concurrency=9,
    brakes=Brakes(waves=Waves(first=9)),
)


def guards(**changes: Any) -> Guards:
    return replace(WIDE, **changes)


def brakes(**changes: Any) -> Guards:
    return replace(WIDE, brakes=Brakes(**{"waves": Waves(first=9), **changes}))


# What is tightened: by rules or mode that come into force while a run waits and another is at its first step.
TIGHTER: dict[str, Callable[[Rig], tuple[tuple[Rule, ...], Mode]]] = {
    "the rule is gone": lambda rig: ((rig.rule(name="another"),), Mode.AUTO),
    "the rule is off": lambda rig: ((rig.rule(guards=WIDE, mode=Mode.OFF),), Mode.AUTO),
    "the rule only rehearses": lambda rig: ((rig.rule(guards=WIDE, mode=Mode.DRY_RUN),), Mode.AUTO),
    "the rule asks": lambda rig: ((rig.rule(guards=WIDE, mode=Mode.APPROVE),), Mode.AUTO),
    "the server is off": lambda rig: ((rig.rule(guards=WIDE),), Mode.OFF),
    "the server only rehearses": lambda rig: ((rig.rule(guards=WIDE),), Mode.DRY_RUN),
    "the server asks": lambda rig: ((rig.rule(guards=WIDE),), Mode.APPROVE),
    "one target in an hour": lambda rig: ((rig.rule(guards=guards(blast_radius=Limit(1, 3600.0))),), Mode.AUTO),
    "one run at once": lambda rig: ((rig.rule(guards=guards(concurrency=1)),), Mode.AUTO),
    "one target at once": lambda rig: ((rig.rule(guards=brakes(max_targets=1)),), Mode.AUTO),
    "waves of one": lambda rig: ((rig.rule(guards=brakes(waves=Waves(first=1))),), Mode.AUTO),
    "a muted interval": lambda rig: ((rig.rule(guards=guards(mute_time_intervals=("never-defined",))),), Mode.AUTO),
}  # fmt: skip
# Those that take a run's second step away; limits are of starts, and it has started.
STOP = {name for name in TIGHTER if name.startswith(("the rule", "the server"))}


def test_there_are_twelve_ways_to_tighten() -> None:
    assert len(TIGHTER) == 12


async def _one_at_work_one_waiting(rig: Rig, engine: Engine) -> asyncio.Event:
    """`a` is at its first step, which does not end before the event; `b` waits for its condition."""
    free = asyncio.Event()

    async def hang(what: str) -> None:
        if what == "do":
            await free.wait()

    rig.world.witness = hang
    rig.playbooks = (rig.playbook(rig.step("keyed_lasting"), rig.step("safe")),)
    await rig.accept(engine, rig.alert("a.example"))
    await rig.clock.run(1)
    rig.world.condition = lambda _expr: BAD
    await rig.accept(engine, rig.alert("b.example"))
    await rig.clock.run(1)
    assert [run.status for run in engine.parts.journal.state.active_runs] == [RunStatus.RUNNING, RunStatus.DEFERRED]
    return free


def _done(rig: Rig, domain: str, runs: dict[str, str]) -> list[str]:
    return [kind for what, kind, key in rig.world.ledger if what == "do" and runs[domain] == key.partition("/")[0]]


@pytest.mark.parametrize("name", TIGHTER)
async def test_what_is_tightened_acts_at_once_on_runs_already_planned(rig: Rig, name: str) -> None:
    rig.rules = (rig.rule(guards=WIDE),)
    async with rig.engine() as engine:
        free = await _one_at_work_one_waiting(rig, engine)
        runs = {run.plan.target["domain"]: run.id for run in engine.parts.journal.state.active_runs}
        rules, mode = TIGHTER[name](rig)
        await rig.reload(engine, *rules, mode=mode)
        rig.world.condition = lambda _expr: GOOD
        await rig.clock.run(1)
        assert _done(rig, "b.example", runs) == []
        free.set()
        await rig.clock.run(14)
        assert _done(rig, "b.example", runs) == [], "and not just because the other was at work a moment ago"
        assert _done(rig, "a.example", runs) == (["keyed_lasting"] if name in STOP else OLD)


# What is loosened for runs to come; what waits keeps the limits that it was planned with.
TIGHT = {
    "one target in an hour": guards(blast_radius=Limit(1, 3600.0)),
    "one run at once": guards(concurrency=1),
    "one target at once": brakes(max_targets=1),
    "waves of one": brakes(waves=Waves(first=1)),
}


@pytest.mark.parametrize("name", TIGHT)
async def test_what_is_loosened_is_for_new_runs_only(rig: Rig, name: str) -> None:
    rig.rules = (rig.rule(guards=TIGHT[name]),)
    async with rig.engine() as engine:
        free = await _one_at_work_one_waiting(rig, engine)
        runs = {run.plan.target["domain"]: run.id for run in engine.parts.journal.state.active_runs}
        await rig.reload(engine, rig.rule(guards=WIDE))
        rig.world.condition = lambda _expr: GOOD
        await rig.clock.run(20)
        assert _done(rig, "b.example", runs) == []
        await rig.accept(engine, rig.alert("c.example"))
        await rig.clock.run(1)
        runs |= {run.plan.target["domain"]: run.id for run in engine.parts.journal.state.active_runs}
        assert _done(rig, "c.example", runs) == ["keyed_lasting"]
        free.set()
        await rig.clock.run(1)


async def test_a_rule_that_may_act_by_itself_now_does_not_do_so_with_what_waits_for_a_yes(rig: Rig) -> None:
    rig.mode = Mode.APPROVE
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        await rig.reload(engine, rig.rule(), mode=Mode.AUTO)
        await rig.clock.run(60)
        assert rig.run_of(engine).status is RunStatus.AWAITING_APPROVAL
    assert rig.world.ledger == []
