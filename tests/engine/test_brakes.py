"""A rule's own brakes in a whole engine: fleets, remedies that do not help, rules that go first, signals not to be believed.

The numbered ones are the failure stories of others that must not happen here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.brakes import Brakes, Inhibition, Members, MinHealthy, Trust, Waves
from remediator.core.outcomes import Look, Observation
from remediator.core.plans import PlannedTrust
from remediator.core.rendering import parse_template
from remediator.core.rules import Guards, Limit, Mode
from remediator.core.state import RunStatus
from remediator.engine.explaining import Explainer

if TYPE_CHECKING:
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig

WIDE = Guards(
    cooldown=0.0,
    rate_limit=Limit(99, 60.0),
    blast_radius=Limit(99, 60.0),
    concurrency=99,
    brakes=Brakes(waves=Waves(first=99), max_targets=999),
)
BAD = Observation(look=Look.BAD, sentence="0.27")


class Fleet:
    """A Prometheus that calls every node healthy, whatever is done to it, and says of itself what it is told to say."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.said = Observation(look=Look.GOOD, sentence="fine")

    async def members(self, expr: str, *, now: float) -> Members:
        if expr == "broken":
            raise ConnectionError("refused")
        return Members(series=tuple({"domain": f"{name}.example"} for name in self.names))

    async def trust(self, asked: PlannedTrust, *, starting: float, now: float) -> Observation:
        return self.said


async def fire(rig: Rig, engine: Engine, *names: str) -> None:
    """Alerts for these domains, and a moment."""
    for name in names:
        await rig.accept(engine, rig.alert(f"{name}.example", at=rig.clock.now()))
    await rig.clock.run(1)


async def resolve(rig: Rig, engine: Engine, name: str = "a") -> None:
    """The alert is over."""
    await rig.accept(engine, rig.alert(f"{name}.example", resolved_at=rig.clock.now()))
    await rig.clock.run(1)


def touched(rig: Rig) -> int:
    """How many runs had an effect."""
    return len({key.partition("/")[0] for what, _, key in rig.world.ledger if what == "do"})


async def said(rig: Rig, guard: str, answer: str) -> list[str]:
    """The recorded sentences of a guard with this answer."""
    return [
        verdict.sentence
        for fact in await rig.facts()
        if isinstance(fact, e.RunDecided)
        for verdict in fact.verdicts
        if verdict.guard == guard and verdict.answer.word == answer
    ]


def floor(at_least: int, *, expr: str = "up == 1") -> Guards:
    """Guards that promise so many healthy ones."""
    return replace(
        WIDE, cooldown=1800.0, brakes=Brakes(at_least=at_least), min_healthy=MinHealthy(healthy=parse_template(expr))
    )


async def test_f06_of_five_that_alert_at_once_two_are_treated_when_three_must_stay(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=floor(3)),)
    async with rig.engine() as engine:
        engine.parts.signals = Fleet(*"abcde")
        for name in "abcde":
            await rig.accept(engine, rig.alert(f"{name}.example", at=rig.clock.now()))
        await rig.clock.run(1700)  # their runs are over long since, and they rest
        assert touched(rig) == 2
        assert "2 stay healthy with 3 under treatment, this one included; 3 have to" in await said(
            rig, "min_healthy", "defer"
        )
    async with rig.engine() as engine:  # a restart forgets nobody who is under treatment
        engine.parts.signals = Fleet(*"abcde")
        await rig.clock.run(60)
        assert touched(rig) == 2
        await rig.clock.run(1800)
        assert touched(rig) == 4


@pytest.mark.parametrize("there", [True, False])
async def test_a_fleet_of_which_nothing_can_be_told_is_left_alone(rig: Rig, there: bool) -> None:
    rig.rules = (rig.rule(guards=floor(1, expr="broken")),)
    async with rig.engine() as engine:
        engine.parts.signals = Fleet("a", "b") if there else None
        await fire(rig, engine, "a")
        await rig.clock.run(600)
    assert touched(rig) == 0
    assert "could not tell, so not acting" in (await said(rig, "min_healthy", "defer"))[0]


async def again_and_again(rig: Rig, engine: Engine, *, times: int, every: float) -> None:
    """The alert fires, is over a while later, and comes back."""
    for _ in range(times):
        await fire(rig, engine, "a")
        await rig.clock.run(every / 2)
        await resolve(rig, engine)
        await rig.clock.run(every / 2)


async def test_f07_a_remedy_after_which_the_alert_comes_back_is_not_a_success_for_ever(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=WIDE),)
    async with rig.engine() as engine:
        await again_and_again(rig, engine, times=6, every=400.0)
        assert touched(rig) == 3
        assert (await rig.ended())[:3] == ["succeeded"] * 3
    kinds = await rig.kinds()
    assert kinds.count("run.relapsed") == 3
    assert kinds.count("rule.demoted") == 1
    (call,) = [fact.reason for fact in await rig.facts() if isinstance(fact, e.Escalated)]
    assert call.startswith(
        "high-bounce-rate on domain=a.example may go no further than approve: 3 runs in a row did not help on "
        f"domain=a.example; the last, {await third(rig)}, helped, and the alert came back after 6m"
    )
    async with rig.engine() as engine:  # and a restart closes no breaker
        await again_and_again(rig, engine, times=1, every=400.0)
    assert touched(rig) == 3


async def third(rig: Rig) -> str:
    """The run that relapsed last."""
    return [fact.run for fact in await rig.facts() if isinstance(fact, e.RunRelapsed)][-1]


async def test_f11_a_restart_that_cannot_cure_overload_is_tried_a_few_times_in_half_a_day(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=replace(WIDE, cooldown=600.0)),)
    rig.playbooks = (rig.playbook(rig.step("once")),)
    async with rig.engine() as engine:
        await again_and_again(rig, engine, times=18, every=2400.0)
        status = engine.parts.journal.state.tracks["high-bounce-rate"]
    assert rig.world.count("do", "once") == 4  # three, and one try after the pause
    assert {track.demoted for track in status if track.target} == {"dry-run"}
    assert [fact.mode for fact in await rig.facts() if isinstance(fact, e.RuleDemoted)] == ["approve", "dry-run"]
    assert len([one for one in rig.world.messages if "may go no further than" in one.text]) == 2


async def test_f12_a_target_that_is_still_starting_is_left_alone_with_the_reason(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=replace(WIDE, trust=Trust.TARGET)),)
    fleet = Fleet("a")
    fleet.said = Observation(look=Look.BAD, sentence="a is still starting: up for 20s")
    async with rig.engine() as engine:
        engine.parts.signals = fleet
        await fire(rig, engine, "a")
        await rig.clock.run(120)
        assert touched(rig) == 0
        assert await said(rig, "signal_trust", "defer") == ["a is still starting: up for 20s"]
        fleet.said = Observation(look=Look.GOOD, sentence="fine")
        await rig.clock.run(20)
        assert touched(rig) == 1


async def test_a_prometheus_that_is_not_there_is_not_trusted(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=replace(WIDE, trust=Trust.PROMETHEUS)),)
    async with rig.engine() as engine:
        await fire(rig, engine, "a")
        await rig.clock.run(60)
    assert touched(rig) == 0


async def test_f19_one_target_that_rests_does_not_delay_another(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=replace(WIDE, cooldown=1800.0)),)
    async with rig.engine() as engine:
        await fire(rig, engine, "a")
        await rig.clock.run(120)
        await resolve(rig, engine)
        await fire(rig, engine, "a")
        assert touched(rig) == 1
        await fire(rig, engine, "b")
        assert touched(rig) == 2  # at once
        await rig.clock.run(120)
        assert rig.run_of(engine).status is RunStatus.DEFERRED
    assert "last touched" in (await said(rig, "cooldown", "defer"))[0]


async def test_while_a_rule_that_goes_first_is_at_work_the_other_waits(rig: Rig) -> None:
    second = rig.rule(name="second", guards=replace(WIDE, brakes=Brakes(inhibited_by=(Inhibition(rule="first"),))))
    rig.rules = (rig.rule(name="first", guards=WIDE, locks=(parse_template("one"),)), second)
    async with rig.engine() as engine:
        await fire(rig, engine, "a")
        assert touched(rig) == 1
        await rig.clock.until(lambda: rig.idle(engine))
        facts = await rig.facts()
    assert touched(rig) == 2
    assert "first goes first" in (await said(rig, "inhibited_by", "defer"))[0]
    begun = [fact.rule for fact in facts if isinstance(fact, e.RunStarted)]
    assert begun == ["first", "second"]


async def test_what_does_not_help_is_demoted_and_a_person_restores_it_by_name(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=replace(WIDE, brakes=Brakes(failures=2, relapse=0.0))),)
    rig.world.verification = lambda now: BAD
    async with rig.engine() as engine:
        await again_and_again(rig, engine, times=2, every=900.0)
        assert touched(rig) == 2
        await fire(rig, engine, "a")
        assert rig.run_of(engine).status is RunStatus.AWAITING_APPROVAL
        await resolve(rig, engine)
        desk = engine.desk
        await rig.refused(desk.restore("high-bounce-rate", by="ana", reason=" "), 400, "what is different now")
        await rig.refused(desk.restore("high-bounce-rate", by=" ", reason="x"), 400, "needs a name")
        await rig.refused(desk.restore("unheard-of", by="ana", reason="x"), 404, "no rule")
        await rig.refused(
            desk.restore("high-bounce-rate", target="domain=b.example", by="ana", reason="x"), 409, "is not demoted on"
        )
        await rig.reload(engine, *rig.rules)  # a reload closes no breaker
        assert await rig.ask(desk.restore("high-bounce-rate", by="ana", reason="new relay")) == 1
        await rig.refused(desk.restore("high-bounce-rate", by="ana", reason="x"), 409, "is not demoted$")
        rig.world.verification = lambda now: Observation(look=Look.GOOD, sentence="0.03")
        await fire(rig, engine, "a")
        assert touched(rig) == 3
    told = [fact for fact in await rig.facts() if isinstance(fact, e.RuleRestored)]
    assert [(fact.by, fact.reason, fact.target) for fact in told] == [("ana", "new relay", "domain=a.example")]


async def test_explain_tells_of_a_demotion_to_dry_run(rig: Rig) -> None:
    rig.rules = (rig.rule(guards=replace(WIDE, brakes=Brakes(failures=1)), mode=Mode.APPROVE),)
    rig.world.verification = lambda now: BAD
    async with rig.engine() as engine:
        await fire(rig, engine, "a")
        run = rig.run_of(engine)
        await rig.ask(engine.desk.approve(run.id, digest=run.digest, by="ana"))
        await rig.clock.run(600)
        await resolve(rig, engine)
        labels = {"alertname": "KumoBounceRateHigh", "domain": "a.example"}
        (told,) = await Explainer(engine.parts).explain(labels)
    assert (told.mode, told.would) == ("dry-run", "run")
    assert any("demoted to dry-run" in verdict.sentence for verdict in told.verdicts if verdict.guard == "breaker")
