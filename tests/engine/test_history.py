"""The checker of histories finds every planted violation, and nothing in the history that they were planted in.

Half of them are forged into a history that the engine made, half are made by an engine with a bug in it: without a green
history and a red one for each promise, its silence over the other tests would prove nothing.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from remediator.core.matchers import parse_matcher
from remediator.core.outcomes import Outcome, failed_for_now, unknown
from remediator.core.rules import Guards, Limit, Mode, Rule
from tests.kit.histories import Arrival, History, Line
from tests.kit.history import judge

if TYPE_CHECKING:
    from remediator.core.plans import PlannedStep
    from remediator.engine.effects import Effects, IntentToken
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig


@dataclass
class Draft:
    """A history that can be spoilt."""

    lines: list[Line]
    arrivals: list[Arrival]
    acks: list[object]

    def first(self, kind: str, **fields: object) -> Line:
        """The first entry of this kind with these fields."""
        return next(
            line
            for line in self.lines
            if line.kind == kind and all(line.fact.get(name) == value for name, value in fields.items())
        )

    def change(self, line: Line, **fields: object) -> None:
        """Tells the entry's fact otherwise."""
        self.lines[self.lines.index(line)] = replace(line, fact={**line.fact, **fields})

    def move(self, line: Line, seconds: float) -> None:
        """Tells another time."""
        mono = line.mono + seconds if line.mono is not None else None
        self.lines[self.lines.index(line)] = replace(line, at=line.at + seconds, mono=mono)

    def drop(self, *kinds: str, **fields: object) -> None:
        """Loses these entries."""
        wanted = [line for line in self.lines if line.kind in kinds]
        gone = [one for one in wanted if all(one.fact.get(name) == value for name, value in fields.items())]
        assert gone
        self.lines = [line for line in self.lines if line not in gone]

    def repeat(self, line: Line, **fields: object) -> None:
        """Puts the entry down once more, right behind."""
        place = self.lines.index(line) + 1
        self.lines.insert(place, replace(line, fact={**line.fact, **fields}))

    def run_on(self, domain: str) -> str:
        """The run that a domain led to."""
        opened = next(
            one for one in self.lines if one.kind == "incident.opened" and one.fact["target"]["domain"] == domain
        )
        return f"{opened.fact['incident']}.1"

    def judged(self) -> set[str]:
        """The guarantees that are found broken."""
        history = History(lines=self.lines, arrivals=self.arrivals, acks=self.acks, settled=True)
        return {violation.guarantee for violation in judge(history)}


FREE = Guards(cooldown=0.0, rate_limit=Limit(9, 60.0), blast_radius=Limit(9, 60.0), concurrency=5)


def rules(rig: Rig) -> tuple[Rule, ...]:
    """Four rules: one that acts, one that asks, one of class `once`, one that rehearses."""
    made = [("plain", Mode.AUTO), ("asking", Mode.APPROVE), ("once", Mode.AUTO), ("dry", Mode.DRY_RUN)]
    return tuple(
        rig.rule(
            name=name,
            match=(parse_matcher(f"domain =~ {name}.*"),),
            ladder=(replace(rig.rule().ladder[0], playbook="once" if name == "once" else "pause-domain"),),
            guards=FREE,
            mode=mode,
        )
        for name, mode in made
    )


async def live(rig: Rig) -> Draft:
    """A day with everything in it: duplicates, a retry, a yes, a doubt that a person ends, a rehearsal, a pause."""
    rig.rules = rules(rig)
    rig.playbooks = (
        rig.playbook(rig.step("keyed_lasting"), rig.step("safe", attempts=3)),
        replace(rig.playbook(rig.step("once")), name="once"),
    )
    rig.world.outcomes = {"safe": [failed_for_now("503")], "once": [unknown("timeout")]}
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert("plain.example"))
        await rig.accept(engine, rig.alert("plain.example"), rig.alert("nobody.example"))
        await rig.clock.until(lambda: rig.idle(engine))
        for domain in ("asking.example", "once.example", "dry.example"):
            await rig.accept(engine, rig.alert(domain))
        await rig.clock.run(5)
        runs = {run.plan.rule: run for run in engine.parts.journal.state.runs.values()}
        await rig.ask(engine.desk.approve(runs["asking"].id, digest=runs["asking"].digest, by="ana"))
        await rig.ask(engine.desk.decide(runs["once"].id, decision="continue", by="ben", reason="it is not there"))
        await rig.ask(engine.desk.pause(scope="all", reason="look first", by="ana", seconds=600))
        await rig.accept(engine, rig.alert("plain2.example"))
        await rig.clock.run(3 * 7200)
        assert rig.idle(engine)
    return draft_of(rig)


def draft_of(rig: Rig) -> Draft:
    history = rig.history()
    return Draft(list(history.lines), list(history.arrivals or ()), [json.loads(sent) for sent in rig.acks])


# ── forged ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def _late_disposal(draft: Draft) -> None:
    draft.move(draft.first("notification.disposed"), 90.0)


def _one_alert_less(draft: Draft) -> None:
    line = next(one for one in draft.lines if one.kind == "notification.disposed" and len(one.fact["alerts"]) == 2)
    draft.change(line, alerts=line.fact["alerts"][:1])


def _another_alert(draft: Draft) -> None:
    line = draft.first("notification.disposed")
    draft.change(line, alerts=[{**line.fact["alerts"][0], "identity": "0" * 32}])


def _no_reason(draft: Draft) -> None:
    line = draft.first("notification.disposed")
    alert = line.fact["alerts"][0]
    draft.change(line, alerts=[{**alert, "disposals": [{**alert["disposals"][0], "reason": ""}]}])


def _once_by_itself(draft: Draft) -> None:
    draft.change(draft.first("step.intent", run=draft.run_on("once.example"), attempt=2), by="")


def _unknown_turned_ok(draft: Draft) -> None:
    line = draft.first("step.outcome", run=draft.run_on("once.example"), attempt=1)
    draft.repeat(line, outcome={"result": "ok", "sentence": "probably"})


def _ended_in_doubt(draft: Draft) -> None:
    line = draft.first("step.outcome", run=draft.run_on("once.example"), attempt=2)
    draft.change(line, outcome={"result": "unknown", "sentence": "timeout"})


def _arrival(draft: Draft, domain: str, what: str = "do") -> Arrival:
    run = draft.run_on(domain)
    return next(one for one in draft.arrivals if one.what == what and one.key == f"{run}/0")


def _applied_again(draft: Draft) -> None:
    run = draft.run_on("plain.example")
    draft.repeat(draft.first("step.intent", run=run, step=0), attempt=2)
    draft.repeat(draft.first("step.outcome", run=run, step=0), attempt=2)
    draft.arrivals.append(_arrival(draft, "plain.example"))


def _without_a_mark(draft: Draft) -> None:
    draft.arrivals.append(replace(_arrival(draft, "plain.example"), key="POST /orders/plain"))


def _two_holders(draft: Draft) -> None:
    asking, once = (draft.first("run.started", run=draft.run_on(name)) for name in ("asking.example", "once.example"))
    draft.change(asking, locks=once.fact["locks"])


def _arrived_late(draft: Draft) -> None:
    one = _arrival(draft, "plain.example")
    draft.arrivals[draft.arrivals.index(one)] = replace(one, at=(one.at or 0.0) + 5000.0)


def _before_its_intent(draft: Draft) -> None:
    one = _arrival(draft, "plain.example")
    intent = draft.first("step.intent", run=draft.run_on("plain.example"))
    draft.arrivals[draft.arrivals.index(one)] = replace(one, head=intent.seq - 1)


def _old_sample(draft: Draft) -> None:
    begun = draft.first("verify.started", run=draft.run_on("plain.example"))
    looked = draft.first("verify.looked", run=begun.run)
    draft.change(looked, observation={**looked.fact["observation"], "at": begun.fact["after"] - 5.0})


def _too_short(draft: Draft) -> None:
    draft.move(draft.first("verify.concluded", run=draft.run_on("plain.example")), -25.0)


def _verified_before(draft: Draft) -> None:
    begun = draft.first("verify.started", run=draft.run_on("plain.example"))
    draft.change(begun, after=begun.fact["after"] - 3.0)


def _step_after_the_end(draft: Draft) -> None:
    run = draft.run_on("plain.example")
    end, outcome = draft.first("run.ended", run=run), draft.first("step.outcome", run=run)
    draft.lines.remove(outcome)
    draft.lines.insert(draft.lines.index(end) + 1, replace(outcome, seq=end.seq))


def _another_plan(draft: Draft) -> None:
    line = draft.first("run.planned", run=draft.run_on("asking.example"))
    draft.change(line, plan={**line.fact["plan"], "limit": 1.0})


def _undo_shifted(seconds: float) -> Callable[[Draft], None]:
    def shift(draft: Draft) -> None:
        draft.move(draft.first("undo.intent", run=draft.run_on("plain.example")), seconds)

    return shift


def _undone_unseen(draft: Draft) -> None:
    draft.arrivals.remove(_arrival(draft, "plain.example", "undo"))


FORGED: dict[str, tuple[str, Callable[[Draft], Any]]] = {
    "an entry is missing": ("G18", lambda d: d.lines.remove(d.first("pause.set"))),
    "an acknowledged delivery is lost": ("G1", lambda d: d.acks.append({"alerts": []})),
    "two deliveries were acknowledged, one is kept": ("G1", lambda d: d.acks.append(d.acks[0])),
    "a notification is never disposed of": ("G2", lambda d: d.lines.remove(d.first("notification.disposed"))),
    "a notification is disposed of twice": ("G2", lambda d: d.repeat(d.first("notification.disposed"))),
    "a disposition comes late": ("G2", _late_disposal),
    "an alert of two gets none": ("G2", _one_alert_less),
    "a disposition has no reason": ("G2", _no_reason),
    "a disposition is another alert's": ("G2", _another_alert),
    "an episode opens two incidents": ("G3", lambda d: d.repeat(d.first("incident.opened"), incident="inc-other")),
    "an incident has two runs of a playbook": ("G3", lambda d: d.repeat(d.first("run.planned"), run="inc-x.2")),
    "once is issued again by itself": ("G4", _once_by_itself),
    "an order that nobody gave": ("G4", lambda d: d.drop("person.decided")),
    "once arrives three times": ("G4", lambda d: d.arrivals.append(_arrival(d, "once.example"))),
    "a keyed step takes effect twice": ("G4", _applied_again),
    "an order of no step arrives": ("G4", _without_a_mark),
    "unknown becomes ok by itself": ("G4", _unknown_turned_ok),
    "a run succeeds with its effect in doubt": ("G4", _ended_in_doubt),
    "a lock has two holders": ("G6", _two_holders),
    "an effect arrives after its lock is free": ("G6", _arrived_late),
    "a guard objected and it was allowed": (
        "G7", lambda d: d.change(d.first("run.decided", answer="allow"), verdicts=[{"guard": "x", "answer": 2}])
    ),
    "an effect before its durable intent": ("G8", _before_its_intent),
    "an effect without an intent": ("G8", lambda d: d.drop("step.intent", run=d.run_on("plain.example"), step=0)),
    "an intent without an outcome": ("G8", lambda d: d.drop("step.outcome", run=d.run_on("plain.example"), step=0)),
    "an attempt with two outcomes": ("G8", lambda d: d.repeat(d.first("step.outcome", run=d.run_on("plain.example")))),
    "a start without a decision": ("G8", lambda d: d.drop("run.decided", run=d.run_on("plain.example"))),
    "an undo without an intent": ("G8", lambda d: d.drop("undo.intent", run=d.run_on("plain.example"))),
    "a temporary effect without an end": (
        "G10", lambda d: d.change(d.first("step.intent", run=d.run_on("plain.example"), step=0), undo_at=None)
    ),
    "a temporary effect that stays": ("G10", lambda d: d.drop("undo.intent", "undo.outcome")),
    "an undo before its time": ("G10", _undo_shifted(-600.0)),
    "an undo long after its time": ("G10", _undo_shifted(300.0)),
    "an undo of nothing": ("G10", lambda d: d.repeat(d.first("undo.outcome"), attempt=7)),
    "an undo that the target did not see": ("G10", _undone_unseen),
    "a success that nobody saw": ("G11", lambda d: d.drop("verify.concluded", run=d.run_on("plain.example"))),
    "a success on an old sample": ("G11", _old_sample),
    "a success that did not hold": ("G11", _too_short),
    "a verification before the last effect": ("G11", _verified_before),
    "a last look that was bad": (
        "G11", lambda d: d.change(d.first("verify.looked"), observation={"look": "bad", "sentence": "0.3"})
    ),
    "two last words": ("G12", lambda d: d.repeat(d.first("run.ended"))),
    "a step after the last word": ("G12", _step_after_the_end),
    "a run without a last word": ("G12", lambda d: d.drop("run.ended", run=d.run_on("plain.example"))),
    "a yes that nobody said": ("G21", lambda d: d.drop("approval.given")),
    "a yes to another plan": ("G21", lambda d: d.change(d.first("approval.given"), digest="0" * 16)),
    "a yes without a name": ("G21", lambda d: d.change(d.first("approval.given"), by=" ")),
    "a yes that came too late": ("G21", lambda d: d.change(d.first("approval.requested"), expires=1.0)),
    "a plan that was changed": ("G21", _another_plan),
}  # fmt: skip


async def test_a_history_of_everything_is_clean(rig: Rig) -> None:
    draft = await live(rig)
    assert draft.judged() == set()
    assert len(FORGED) + len(BUGS) >= 50
    kinds = {line.kind for line in draft.lines}
    assert kinds >= {"approval.given", "person.decided", "run.parked", "pause.cleared", "undo.outcome", "verify.looked"}


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_history_is_found_out(rig: Rig, name: str) -> None:
    guarantee, spoil = FORGED[name]
    draft = await live(rig)
    spoil(draft)
    assert guarantee in draft.judged()


# ── made by an engine with a bug ─────────────────────────────────────────────────────────────────────────────────────
Scene = Callable[["Rig", "Engine"], Awaitable[None]]


async def _fire(rig: Rig, engine: Engine, *domains: str) -> None:
    for domain in domains:
        await rig.accept(engine, rig.alert(domain))
        await rig.clock.run(120)
        await rig.accept(engine, rig.alert(domain, resolved_at=rig.clock.now()))
        await rig.clock.run(1)


async def _again_and_again(rig: Rig, engine: Engine) -> None:
    for _ in range(4):
        await rig.accept(engine, rig.alert("a.example", at=rig.clock.now()))
        await rig.clock.run(120)
        await rig.accept(engine, rig.alert("a.example", at=rig.clock.now() - 1, resolved_at=rig.clock.now()))
        await rig.clock.run(1)


async def _many_at_once(rig: Rig, engine: Engine) -> None:
    await rig.accept(engine, *(rig.alert(f"{letter}.example") for letter in "abcde"))
    await rig.clock.run(200)


async def _paused(rig: Rig, engine: Engine) -> None:
    await rig.ask(engine.desk.pause(scope="rule:high-bounce-rate", reason="look first", by="ana"))
    await _fire(rig, engine, "a.example")


class Twice:
    """Issues everything a second time, as a retrying transport would."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects

    def __getattr__(self, name: str) -> object:
        return getattr(self._effects, name)

    async def issue(self, token: IntentToken, step: PlannedStep) -> Outcome:
        """Twice."""
        await self._effects.issue(token, step)
        return await self._effects.issue(token, step)


def without(*names: str) -> Callable[[Engine], None]:
    """An engine that forgot these guards."""

    def forget(engine: Engine) -> None:
        engine.parts.guards = tuple(guard for guard in engine.parts.guards if guard.name not in names)

    return forget


def _live_when_dry(engine: Engine) -> None:
    engine.parts.effects = {True: engine.parts.effects[False], False: engine.parts.effects[False]}


def _issues_twice(engine: Engine) -> None:
    engine.parts.effects = {**engine.parts.effects, False: Twice(engine.parts.effects[False])}  # type: ignore[dict-item]


BUGS: dict[str, tuple[str, Mode, Callable[[Engine], None], Scene]] = {
    "no rate limit": ("G5", Mode.AUTO, without("rate_limit", "cooldown"), _again_and_again),
    "no cooldown": ("G5", Mode.AUTO, without("cooldown"), _again_and_again),
    "no blast radius": ("G5", Mode.AUTO, without("blast_radius"), _many_at_once),
    "no bound on runs at once": ("G5", Mode.AUTO, without("concurrency", "blast_radius"), _many_at_once),
    "no pause guard": ("G20", Mode.AUTO, without("pause"), _paused),
    "no approval": ("G21", Mode.APPROVE, without("mode"), _many_at_once),
    "everything twice": ("G4", Mode.AUTO, _issues_twice, _many_at_once),
    "dry runs that act": ("G9", Mode.DRY_RUN, _live_when_dry, _many_at_once),
}


@pytest.mark.parametrize("name", BUGS)
async def test_an_engine_with_a_bug_is_found_out(rig: Rig, name: str) -> None:
    guarantee, rig.mode, plant, scene = BUGS[name]
    rig.blemishes = {guarantee, "G4", "G8", "G10"}
    async with rig.engine() as engine:
        plant(engine)
        await scene(rig, engine)
    found = {violation.guarantee for violation in judge(rig.history())}
    assert guarantee in found


async def test_the_same_scenes_with_a_sound_engine_are_clean(rig: Rig) -> None:
    for _guarantee, mode, _plant, scene in BUGS.values():
        sound = type(rig)(mode=mode)
        async with sound.engine() as engine:
            await scene(sound, engine)
        assert judge(sound.history()) == []
