"""Explain: what every rule would say to an alert now, and why. It asks, and leaves no trace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.matchers import parse_matcher
from remediator.core.outcomes import Look, Observation
from remediator.core.rules import Mode
from remediator.engine.explaining import SHOW_ALL, Explainer

if TYPE_CHECKING:
    from remediator.core.views import ExplanationView
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig

LABELS = {"alertname": "KumoBounceRateHigh", "severity": "critical", "domain": "example.com"}


async def explain(rig: Rig, engine: Engine, **labels: str) -> list[ExplanationView]:
    """What is said; nothing is appended, no state moves, and nothing is done."""
    journal, before = engine.parts.journal, (engine.parts.journal.head, engine.parts.journal.state)
    effects = list(rig.world.ledger)
    told = await rig.ask(Explainer(engine.parts).explain(LABELS | labels))
    assert (journal.head, journal.state) == before
    assert rig.world.ledger == effects
    return told


async def test_an_alert_that_would_run_is_told_its_target_its_plan_and_every_verdict(rig: Rig) -> None:
    async with rig.engine() as engine:
        (told,) = await explain(rig, engine)
        assert (told.rule, told.would, told.mode) == ("high-bounce-rate", "run", "auto")
        assert told.target == {"domain": "example.com"}
        assert told.sentence == f"{len(told.verdicts)} guards pass"
        assert [verdict.guard for verdict in told.verdicts] == [guard.name for guard in engine.parts.guards]
        assert [(match.matcher, match.ok) for match in told.matches] == [('alertname="KumoBounceRateHigh"', True)]
        await rig.accept(engine, rig.alert())
        await rig.clock.until(lambda: rig.idle(engine))
    (planned,) = [fact for fact in await rig.facts() if isinstance(fact, e.RunPlanned)]
    assert told.digest == planned.digest  # the very plan that then ran
    assert told.plan is not None
    assert [step.does for step in told.plan.steps] == ["keyed_lasting example.com", "safe example.com"]


async def test_it_would_be_held_back_and_the_guard_says_why(rig: Rig) -> None:
    rig.world.condition = lambda expr: Observation(look=Look.BAD, sentence="0.04 is not above 0.20")
    async with rig.engine() as engine:
        (told,) = await explain(rig, engine)
    assert told.would == "hold"
    assert told.sentence == "when: the condition does not hold: 0.04 is not above 0.20"


async def test_a_pause_and_a_silence_hold_it_back_too(rig: Rig) -> None:
    rig.world.alert = Observation(look=Look.BAD, sentence="silenced by ana")
    async with rig.engine() as engine:
        (told,) = await explain(rig, engine)
        assert (told.would, "silenced by ana" in told.sentence) == ("hold", True)
        await rig.ask(engine.desk.pause(scope="all", reason="look first", by="ana"))
        rig.world.alert = Observation(look=Look.GOOD, sentence="active")
        (told,) = await explain(rig, engine)
        assert (told.would, "look first" in told.sentence) == ("hold", True)


@pytest.mark.parametrize(
    ("server", "mode", "would", "words"),
    [
        (Mode.AUTO, Mode.OFF, "refuse", "its mode is off"),
        (Mode.OFF, Mode.AUTO, "refuse", "its mode is off"),
        (Mode.APPROVE, Mode.AUTO, "ask", "a person has to say yes"),
        (Mode.DRY_RUN, Mode.AUTO, "run", "guards pass"),
    ],
)
async def test_the_most_careful_mode_decides(rig: Rig, server: Mode, mode: Mode, would: str, words: str) -> None:
    rig.mode, rig.rules = server, (rig.rule(mode=mode),)
    async with rig.engine() as engine:
        (told,) = await explain(rig, engine)
    assert told.would == would
    assert words in told.sentence
    assert told.mode == min(server, mode).word


@pytest.mark.parametrize("domain", ["", "*", "not a domain"])
async def test_what_cannot_be_planned_is_refused_with_the_parameter_at_fault(rig: Rig, domain: str) -> None:
    async with rig.engine() as engine:
        (told,) = await explain(rig, engine, domain=domain)
    assert told.would == "refuse"
    assert "domain" in told.sentence
    assert told.plan is None


async def test_an_incident_under_way_would_be_joined(rig: Rig) -> None:
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        (told,) = await explain(rig, engine, severity="warning")
        assert told.would == "join"
        assert rig.run_of(engine).incident in told.sentence


async def test_where_nothing_matches_the_nearest_miss_comes_first_with_what_it_got(rig: Rig) -> None:
    strict = rig.rule(
        name="strict", match=(parse_matcher("alertname = KumoBounceRateHigh"), parse_matcher("severity = page"))
    )
    rig.rules = (rig.rule(name="far", match=(parse_matcher("alertname = Other"),)), strict)
    async with rig.engine() as engine:
        told = await explain(rig, engine)
    assert [(one.rule, one.would, one.nearest_miss) for one in told] == [
        ("strict", "no_match", True),
        ("far", "no_match", False),
    ]
    assert told[0].sentence == "severity=\"page\" (got 'critical')"
    assert [match.ok for match in told[0].matches] == [True, False]


async def test_those_that_match_come_first_and_the_others_say_why_not(rig: Rig) -> None:
    rig.rules = (rig.rule(name="far", match=(parse_matcher("alertname = Other"),)), rig.rule(), rig.rule(name="also"))
    async with rig.engine() as engine:
        told = await explain(rig, engine)
    assert [(one.rule, one.would) for one in told] == [
        ("high-bounce-rate", "run"),
        ("also", "run"),
        ("far", "no_match"),
    ]
    assert not any(one.nearest_miss for one in told)


async def test_of_very_many_rules_only_those_that_say_something_are_shown(rig: Rig) -> None:
    others = tuple(
        rig.rule(name=f"r{number}", match=(parse_matcher(f"alertname = A{number}"),)) for number in range(SHOW_ALL + 1)
    )
    rig.rules = (*others, rig.rule())
    async with rig.engine() as engine:
        assert [one.rule for one in await explain(rig, engine)] == ["high-bounce-rate"]
        told = await explain(rig, engine, alertname="Nothing")
        assert [one.nearest_miss for one in told] in ([True], [False])
        assert told[0].would == "no_match"


async def test_without_rules_it_says_so(rig: Rig) -> None:
    rig.rules = ()
    async with rig.engine() as engine:
        (told,) = await explain(rig, engine)
    assert (told.would, told.sentence) == ("no_match", "no rules are loaded")


async def test_a_cooldown_and_a_lock_are_seen_as_they_are_now(rig: Rig) -> None:
    rig.rules = (rig.rule(), rig.rule(name="other", group_by=("domain",)))
    async with rig.engine() as engine:
        asked = asyncio.ensure_future(engine.desk.pause(scope="rule:other", reason="r", by="ana"))
        await rig.clock.settle()
        await asked
        await rig.accept(engine, rig.alert())
        await rig.clock.run(1)
        told = {one.rule: one for one in await explain(rig, engine, severity="warning")}
        assert told["high-bounce-rate"].would == "join"
        await rig.clock.run(120)
        await rig.accept(engine, rig.alert(resolved_at=rig.clock.now()))
        await rig.clock.run(60)
        told = {one.rule: one for one in await explain(rig, engine)}
        assert told["high-bounce-rate"].would == "hold"
        assert told["high-bounce-rate"].sentence.startswith("cooldown: 30m")
