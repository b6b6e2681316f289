"""What a step makes a place forget: which effects, which of them are made again and why others are not, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.consequences import Routing, consequences
from remediator.core.losses import TOO_SOON, losses, lost
from remediator.core.outcomes import EffectClass, Result
from remediator.core.places import forgotten_by, kept_in, place_of, places_of
from remediator.core.state import State, Undo
from remediator.core.verdicts import Answer
from remediator.guards.forgets import ForgetsGuard

if TYPE_CHECKING:
    from remediator.core.plans import Plan
    from tests.unit.conftest import Build

NODE = "node mta1"


def pause(build: Build, name: str = "a", **changes: Any) -> Undo:
    """A pause of a domain that lives in the memory of mta1, for two hours from the start."""
    values: dict[str, Any] = {
        "run": f"inc-{name}.1",
        "incident": f"inc-{name}",
        "step": 0,
        "action": "mail.pause",
        "arguments": {"domain": f"{name}.example"},
        "key": f"inc-{name}.1/0",
        "due_at": build.zero + 7200.0,
        "certain": True,
        "rule": "bounces",
        "target": f"domain={name}.example",
        "where": {"domain": f"{name}.example"},
        "does": f"pause {name}.example",
        "effect": EffectClass.KEYED,
        "kept_in": NODE,
    }
    return Undo(**values | changes)


def restart(build: Build) -> Plan:
    """A plan whose second step restarts the node."""
    step = build.planned_step(EffectClass.ONCE, name="Restart", forgets=(NODE,))
    return build.plan(build.planned_step(EffectClass.READ), step, target={"node": "mta1"}, locks=("node=mta1",))


def standing(build: Build, *undos: Undo, dry: bool = False) -> State:
    """These effects stand, and the restart was announced."""
    state = build.started(restart(build), dry=dry)
    state = build.fold(state, build.intent(), build.outcome(), build.intent(1))
    return msgspec.structs.replace(state, undos=State().undos.update({undo.id: undo for undo in undos}))


def after_restart(build: Build, before: State, result: Result = Result.OK, **changes: Any) -> list[e.AnyFact]:
    """What the outcome of the restart entails."""
    fact = build.outcome(result, 1, **changes)
    after = build.fold(before, fact)
    return consequences(before, after, fact, build.planner(), Routing())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"due_at": -1.0}, "its time is nearly over"),
        ({"certain": False}, "whether it was made is not known; its own run asks the target"),
        ({"tries": 1}, "it is being taken back"),
        ({"effect": EffectClass.ONCE}, "a step of this class is never made twice by itself"),
        ({"effect": EffectClass.SAFE}, ""),
    ],
)
def test_what_is_due_certain_and_may_be_repeated_is_made_again(
    build: Build, changes: dict[str, Any], reason: str
) -> None:
    if "due_at" in changes:
        changes = {"due_at": build.zero + TOO_SOON - 1.0}
    before = standing(build, pause(build, **changes))
    (found,) = losses(before, restart(build).steps, build.zero)
    assert (found.step, found.place, found.reason) == (1, NODE, reason)
    facts = after_restart(build, before)
    assert [e.kind_of(fact) for fact in facts] == ["effect.lost", "incident.opened", "run.planned"][
        : 1 if reason else 3
    ]
    assert isinstance(facts[0], e.EffectLost)
    assert bool(facts[0].again) is not bool(reason)
    assert facts[0].reason.startswith("pause a.example (until 2026-11-24 ")
    assert reason in facts[0].reason


@pytest.mark.parametrize("changes", [{"kept_in": ""}, {"kept_in": "node mta2"}])
def test_what_lives_elsewhere_is_not_lost(build: Build, changes: dict[str, Any]) -> None:
    assert after_restart(build, standing(build, pause(build, **changes))) == []


@pytest.mark.parametrize("result", [Result.FAILED, Result.UNKNOWN, Result.NOT_ISSUED])
def test_a_restart_that_was_not_seen_to_happen_has_lost_nothing_yet(build: Build, result: Result) -> None:
    assert after_restart(build, standing(build, pause(build)), result) == []


def test_other_steps_dry_runs_and_other_decisions_lose_nothing(build: Build) -> None:
    before = standing(build, pause(build))
    planner = build.planner()
    assert lost(before, before, build.outcome(), planner) == []
    assert lost(before, before, build.outcome(run="inc-7.1"), planner) == []
    assert lost(before, msgspec.structs.replace(before, last=None), build.outcome(step=1), planner) == []
    decided = e.PersonDecided(incident="inc-1", run="inc-1.1", decision="continue", by="ana", reason="-")
    assert lost(before, before, decided, planner) == []
    assert len(lost(before, before, msgspec.structs.replace(decided, decision="mark_done"), planner)) == 3
    assert after_restart(build, standing(build, pause(build), dry=True)) == []


def test_all_of_one_rule_and_target_are_made_again_in_one_run_with_their_keys_and_ends(build: Build) -> None:
    two = pause(build, step=2, key="inc-a.1/2", due_at=build.zero + 3600.0, does="slow down a.example")
    facts = after_restart(build, standing(build, pause(build), two, pause(build, "b")))
    plans = [fact for fact in facts if isinstance(fact, e.RunPlanned)]
    opened = [fact for fact in facts if isinstance(fact, e.IncidentOpened)]
    assert [fact.again for fact in facts if isinstance(fact, e.EffectLost)] == [
        opened[0].incident, opened[0].incident, opened[1].incident,
    ]  # fmt: skip
    assert [(fact.rule, fact.target, fact.by) for fact in opened] == [
        ("again:bounces", {"domain": "a.example"}, "inc-1.1/1"),
        ("again:bounces", {"domain": "b.example"}, "inc-1.1/1"),
    ]
    assert [(step.key, step.until, step.replaces, step.does) for step in plans[0].plan.steps] == [
        ("inc-a.1/0", build.zero + 7200.0, "inc-a.1/0", "pause a.example"),
        ("inc-a.1/2", build.zero + 3600.0, "inc-a.1/2", "slow down a.example"),
    ]
    assert (plans[0].plan.locks, plans[0].plan.give_up, plans[0].mode) == (("domain=a.example",), 7200.0, "auto")


def test_what_is_being_made_again_already_is_not_planned_twice(build: Build) -> None:
    before = standing(build, pause(build))
    once = before
    for fact in after_restart(build, before):
        once = build.fold(once, fact)
    (again,) = losses(once, restart(build).steps, build.zero)
    assert again.reason == "it is being made again already"
    steps = (build.planned_step(replaces="inc-a.1/0"),)
    other = build.run(build.plan(*steps), id="inc-8.1")
    running = msgspec.structs.replace(before, runs=before.runs.set("inc-8.1", other))
    assert losses(running, restart(build).steps, build.zero)[0].reason == "it is being made again already"


def test_the_approval_names_what_will_be_lost(build: Build) -> None:
    before = standing(build, pause(build), pause(build, "b", certain=False))
    fact = e.ApprovalRequested(incident="inc-1", run="inc-1.1", digest="x", expires=build.zero + 60.0)
    told = consequences(before, before, fact, build.planner(), Routing(escalate=("people",)))
    assert isinstance(told[0], e.MessageIntent)
    assert "\nWill be lost with step 2, on node mta1: pause a.example (until 2026-11-24 12:26:40Z, inc-a.1/0)" in (
        told[0].text
    )
    assert "inc-b.1/0), not made again: whether it was made is not known" in told[0].text
    assert "\nWhat is still due is made again afterwards.\n" in told[0].text
    nothing = msgspec.structs.replace(before, undos=State().undos, last=None)
    told = consequences(nothing, nothing, fact, build.planner(), Routing(escalate=("people",)))
    assert isinstance(told[0], e.MessageIntent)
    assert "lost" not in told[0].text


def test_the_guard_names_it_too_and_refuses_what_was_taken_back_meanwhile(build: Build) -> None:
    many = standing(build, *(pause(build, name) for name in "abcdefg"))
    run = build.run(restart(build))
    told = ForgetsGuard().check(build.facts(many, run))
    assert told.answer is Answer.ALLOW
    assert told.sentence.startswith(
        "step 2 makes node mta1 forget what will be lost and, while it is due, made again: "
    )
    assert told.sentence.endswith("; and 2 more")
    assert ForgetsGuard().check(build.facts(State(), run)).sentence == "no temporary effect of ours will be lost"
    again = build.run(build.plan(build.planned_step(replaces="inc-a.1/0")))
    assert ForgetsGuard().check(build.facts(many, again)).answer is Answer.ALLOW
    gone = ForgetsGuard().check(build.facts(State(), again))
    assert (gone.answer, gone.sentence) == (Answer.DENY, "inc-a.1/0 was taken back meanwhile, so it is not made again")


class Telling:
    """An action that tells where it acts."""

    def places(self, _arguments: object) -> list[str]:
        return ["node a"]

    def kept_in(self, _arguments: object) -> str:
        return "node a"

    def forgets(self, _arguments: object) -> list[str]:
        return ["node b"]


def test_an_action_may_tell_where_it_acts_and_need_not() -> None:
    tells, silent = Telling(), object()
    assert (places_of(tells, {}), kept_in(tells, {}), forgotten_by(tells, {})) == (["node a"], "node a", ["node b"])
    assert (places_of(silent, {}), kept_in(silent, {}), forgotten_by(silent, {})) == ((), "", ())
    assert (place_of("mta1"), place_of("redis cache")) == ("node mta1", "redis cache")
