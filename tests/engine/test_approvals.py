"""No approval, no step (G21): every wrong yes, in every life, under every name; and rules that change meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.rendering import parse_template
from remediator.core.rules import Condition, Mode
from remediator.core.state import Run, RunStatus
from remediator.errors import RefusedRequest

if TYPE_CHECKING:
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig

Spoil = Callable[["Rig", "Engine", Run], Awaitable[None]]


@pytest.fixture(autouse=True)
def _asked(rig: Rig) -> None:
    """Everything needs a yes."""
    rig.mode = Mode.APPROVE


async def waiting(rig: Rig, engine: Engine, domain: str = "example.com") -> Run:
    """A run that waits for a yes."""
    await rig.accept(engine, rig.alert(domain, at=rig.clock.now()))
    await rig.clock.run(1)
    runs = engine.parts.journal.state.active_runs
    return next(run for run in runs if run.plan.target["domain"] == domain and run.status.value == "awaiting_approval")


async def asked_about(rig: Rig) -> list[str]:
    """The plans that people were asked about, in order."""
    return [fact.digest for fact in await rig.facts() if isinstance(fact, e.ApprovalRequested)]


# ── a yes that is wrong ──────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True)
class Said:
    """A yes as somebody says it."""

    name: str
    digest: str
    by: str = "ana"


async def _nothing(_rig: Rig, _engine: Engine, _run: Run) -> None:
    return None


async def _expires(rig: Rig, _engine: Engine, _run: Run) -> None:
    await rig.clock.run(3601)


async def _resolves(rig: Rig, engine: Engine, _run: Run) -> None:
    await rig.accept(engine, rig.alert(resolved_at=rig.clock.now()))
    await rig.clock.run(1)


async def _is_refused(rig: Rig, engine: Engine, run: Run) -> None:
    await rig.ask(engine.desk.reject(run.id, by="bob", reason="no"))
    await rig.clock.run(1)


async def _rule_is_gone(rig: Rig, engine: Engine, _run: Run) -> None:
    await rig.reload(engine, rig.rule(name="another"), mode=Mode.APPROVE)


async def _is_switched_off(rig: Rig, engine: Engine, _run: Run) -> None:
    await rig.reload(engine, rig.rule(), mode=Mode.OFF)


async def _only_rehearses(rig: Rig, engine: Engine, _run: Run) -> None:
    await rig.reload(engine, rig.rule(), mode=Mode.DRY_RUN)


async def _playbook_changes(rig: Rig, engine: Engine, _run: Run) -> None:
    rig.playbooks = (rig.playbook(rig.step("once")),)
    await rig.reload(engine, rig.rule(), mode=Mode.APPROVE)


WRONG: dict[str, tuple[Callable[[Run, Run], Said], Spoil]] = {
    "of another run": (lambda run, other: Said(run.id, other.digest), _nothing),
    "to no plan": (lambda run, _other: Said(run.id, ""), _nothing),
    "to part of the plan": (lambda run, _other: Said(run.id, run.digest[:-1]), _nothing),
    "to more than the plan": (lambda run, _other: Said(run.id, f"{run.digest}0"), _nothing),
    "in capitals": (lambda run, _other: Said(run.id, f"{run.digest.upper()} "), _nothing),
    "under another name": (lambda run, other: Said(other.id, run.digest), _nothing),
    "to an incident that is none": (lambda run, _other: Said("inc-00000000", run.digest), _nothing),
    "to nothing": (lambda run, _other: Said("", run.digest), _nothing),
    "to a prefix": (lambda run, _other: Said(run.id[:-3], run.digest), _nothing),
    "of nobody": (lambda run, _other: Said(run.id, run.digest, by=""), _nothing),
    "of spaces": (lambda run, _other: Said(run.id, run.digest, by=" \t"), _nothing),
    "that is too late": (lambda run, _other: Said(run.id, run.digest), _expires),
    "after the alert": (lambda run, _other: Said(run.id, run.digest), _resolves),
    "after a no": (lambda run, _other: Said(run.id, run.digest), _is_refused),
    "after its rule": (lambda run, _other: Said(run.id, run.digest), _rule_is_gone),
    "after it was switched off": (lambda run, _other: Said(run.id, run.digest), _is_switched_off),
    "after it became a rehearsal": (lambda run, _other: Said(run.id, run.digest), _only_rehearses),
    "after another playbook": (lambda run, _other: Said(run.id, run.digest), _playbook_changes),
}
LIVES = ("this process", "the next process")
NAMES = ("the run", "the incident")


def test_there_are_at_least_sixty_cases() -> None:
    assert len(WRONG) * len(LIVES) * len(NAMES) >= 60


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("life", LIVES)
async def test_a_yes_that_is_wrong_is_refused_and_nothing_is_done(rig: Rig, wrong: str, life: str) -> None:
    made, spoil = WRONG[wrong]
    async with rig.engine() as engine:
        other = await waiting(rig, engine, "other.example")
        run = await waiting(rig, engine)
        said = made(run, other)
        await spoil(rig, engine, run)
        if life == "this process":
            await _refused(rig, engine, said)
    if life == "the next process":
        async with rig.engine() as engine:
            await rig.clock.run(1)
            await _refused(rig, engine, said)
    assert rig.world.ledger == []
    assert "approval.given" not in await rig.kinds()


async def _refused(rig: Rig, engine: Engine, said: Said) -> None:
    """By either name."""
    for name in dict.fromkeys((said.name, said.name.partition(".")[0])):
        with pytest.raises(RefusedRequest) as raised:
            await rig.ask(engine.desk.approve(name, digest=said.digest, by=said.by))
        assert raised.value.status in {400, 404, 409}
        assert len(str(raised.value)) > 20


# ── rules that change while a yes is waited for ──────────────────────────────────────────────────────────────────────
async def test_moment_an_approval_after_a_rule_change_is_void_and_people_are_asked_anew(rig: Rig) -> None:
    async with rig.engine() as engine:
        run = await waiting(rig, engine)
        await _playbook_changes(rig, engine, run)
        await rig.clock.run(1)
        anew = rig.run_of(engine)
        assert (anew.status, anew.incident) == (RunStatus.AWAITING_APPROVAL, run.incident)
        assert [step.action for step in anew.plan.steps] == ["once"]
        assert await asked_about(rig) == [run.digest, anew.digest]
        await rig.refused(engine.desk.approve(run.incident, digest=run.digest, by="ana"), 409, f"is {anew.digest} now")
        assert rig.world.ledger == []
        await rig.ask(engine.desk.approve(run.incident, digest=anew.digest, by="ana"))
        await rig.clock.until(lambda: rig.idle(engine))
    assert [kind for what, kind, _ in rig.world.ledger if what == "do"] == ["once"]
    ended = [fact for fact in await rig.facts() if isinstance(fact, e.RunEnded)]
    assert [fact.result for fact in ended] == ["cancelled", "succeeded"]
    assert ended[0].reason == (
        f"the rules changed while plan {run.digest} waited for a yes: it is void, and plan {anew.digest} is asked about"
    )
    assert (await rig.kinds()).count("incident.closed") == 1


async def test_a_yes_that_comes_before_the_run_has_noticed_is_void_too(rig: Rig) -> None:
    async with rig.engine() as engine:
        run = await waiting(rig, engine)
        rig.playbooks = (rig.playbook(rig.step("once")),)
        engine.parts.config = rig.parts().config  # and nobody has rung yet
        with pytest.raises(RefusedRequest, match=r"it is void, and plan [0-9a-f]{16} is asked about: look again"):
            await rig.ask(engine.desk.approve(run.id, digest=run.digest, by="ana"))
    assert rig.world.ledger == []


async def test_a_start_with_other_rules_asks_anew_as_a_reload_does(rig: Rig) -> None:
    async with rig.engine() as engine:
        run = await waiting(rig, engine)
    rig.rules = (rig.rule(when=Condition(parse_template("ratio > 0.30"), 120.0)),)
    async with rig.engine() as engine:
        await rig.clock.run(1)
        assert rig.run_of(engine).digest != run.digest
        assert len(await asked_about(rig)) == 2
    async with rig.engine() as engine:  # and once only
        await rig.clock.run(600)
        assert len(await asked_about(rig)) == 2


async def test_other_rules_that_make_the_same_plan_leave_the_request_alone(rig: Rig) -> None:
    async with rig.engine() as engine:
        run = await waiting(rig, engine)
        await rig.reload(engine, rig.rule(), rig.rule(name="another", match=()), mode=Mode.APPROVE)
        await rig.clock.run(1)
        assert await asked_about(rig) == [run.digest]
        await rig.ask(engine.desk.approve(run.id, digest=run.digest, by="ana"))
        await rig.clock.run(1)
        assert rig.world.count("do") == 2


async def test_a_rule_that_became_bolder_does_not_act_on_what_a_person_was_asked_about(rig: Rig) -> None:
    """Loosening is for new runs: what was asked about is asked about anew."""
    async with rig.engine() as engine:
        await waiting(rig, engine)
        rig.playbooks = (rig.playbook(rig.step("once")),)
        await rig.reload(engine, rig.rule(), mode=Mode.AUTO)
        await rig.clock.run(60)
        assert rig.run_of(engine).status is RunStatus.AWAITING_APPROVAL
    assert rig.world.ledger == []


async def test_a_plan_that_can_no_longer_be_made_is_void_and_its_incident_ends(rig: Rig) -> None:
    async with rig.engine() as engine:
        run = await waiting(rig, engine)
        await rig.reload(engine, rig.rule(group_by=("instance",)), mode=Mode.APPROVE)
        await rig.clock.run(1)
        assert rig.idle(engine)
        await rig.refused(engine.desk.approve(run.id, digest=run.digest, by="ana"), 404, "no run under way")
    (ended,) = [fact for fact in await rig.facts() if isinstance(fact, e.RunEnded)]
    assert "no plan can be made of them now: no target: " in ended.reason
    assert (await rig.kinds())[-1] != "run.planned"
