"""Inhibition and trust: which rule goes first, and when Prometheus is not believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from remediator.core.brakes import Brakes, Inhibition
from remediator.core.facts import Evidence
from remediator.core.outcomes import Look, Observation
from remediator.core.plans import PlannedTrust
from remediator.core.state import State
from remediator.core.verdicts import Answer
from remediator.guards.evidence import ASK_AGAIN, FRESH
from remediator.guards.inhibited_by import InhibitedByGuard
from remediator.guards.signal_trust import SignalTrustGuard

if TYPE_CHECKING:
    from tests.unit.conftest import Build


@pytest.mark.parametrize(
    ("equal", "target", "labels", "answer"),
    [
        (None, {"domain": "example.com"}, {}, Answer.DEFER),
        (None, {"domain": "example.com", "instance": "mta1"}, {}, Answer.DEFER),  # the narrower is in the wider
        (None, {"domain": "other.example"}, {}, Answer.ALLOW),
        (None, {"instance": "mta1"}, {}, Answer.ALLOW),  # nothing in common is not the same place
        (("cluster",), {"instance": "mta1"}, {"cluster": "a"}, Answer.DEFER),
        (("cluster",), {"instance": "mta1"}, {"cluster": "b"}, Answer.ALLOW),
        (("cluster", "zone"), {"instance": "mta1"}, {"cluster": "a"}, Answer.DEFER),  # missing in both is equal
        (("cluster",), {"domain": "example.com"}, {}, Answer.ALLOW),
        ((), {"instance": "mta9"}, {}, Answer.DEFER),
    ],
)
def test_while_a_rule_that_goes_first_is_at_work_in_the_same_place_this_one_waits(
    build: Build, equal: tuple[str, ...] | None, target: dict[str, str], labels: dict[str, str], answer: Answer
) -> None:
    brakes = Brakes(inhibited_by=(Inhibition(rule="redis-down", equal=equal),))
    run = build.run(build.plan(guards=build.limits(brakes=brakes)))
    other = build.incident(id="inc-2", rule="redis-down", target=target, labels=labels)
    mine = build.incident(labels={"domain": "example.com", "cluster": "a"})
    state = State(incidents=State().incidents.set("inc-1", mine).set("inc-2", other))
    verdict = InhibitedByGuard().check(build.facts(state, run, incident=mine))
    assert verdict.answer is answer
    if answer is Answer.DEFER:
        assert "redis-down goes first: inc-2 is open on" in verdict.sentence
    else:
        assert verdict.sentence == "nothing is open of redis-down in the same place"


def test_other_rules_and_its_own_incident_do_not_hold_it_back(build: Build) -> None:
    brakes = Brakes(inhibited_by=(Inhibition(rule="bounces"), Inhibition(rule="redis-down")))
    run = build.run(build.plan(guards=build.limits(brakes=brakes)))
    others = State().incidents.set("inc-1", build.incident()).set("inc-2", build.incident(id="inc-2", rule="third"))
    assert InhibitedByGuard().check(build.facts(State(incidents=others), run)).answer is Answer.ALLOW
    assert InhibitedByGuard().check(build.facts(State(incidents=others))).sentence == "no rule goes before this one"


@pytest.mark.parametrize(
    ("look", "age", "answer", "words"),
    [
        (Look.GOOD, 0.0, Answer.ALLOW, "said so"),
        (Look.BAD, 0.0, Answer.DEFER, "said so"),
        (Look.UNKNOWN, 0.0, Answer.DEFER, "could not tell, so not acting: said so"),
        (Look.GOOD, FRESH + 0.1, Answer.DEFER, "was not asked just now"),
        (None, 0.0, Answer.DEFER, "was not asked just now"),
    ],
)
def test_only_a_fresh_and_plain_yes_is_trusted(
    build: Build, look: Look | None, age: float, answer: Answer, words: str
) -> None:
    run = build.run(build.plan(trust=PlannedTrust(instance="mta1")))
    seen = Observation(look=look, sentence="said so") if look is not None else None
    verdict = SignalTrustGuard().check(build.facts(run=run, evidence=Evidence(at=build.zero + 1.0 - age, trust=seen)))
    assert verdict is not None
    assert (verdict.answer, words in verdict.sentence) == (answer, True)
    if look is Look.BAD:
        assert verdict.until == build.zero + 1.0 + ASK_AGAIN


def test_it_is_asked_only_with_evidence_and_only_where_something_rests_on_it(build: Build) -> None:
    run = build.run(build.plan(trust=PlannedTrust()))
    assert SignalTrustGuard().check(build.facts(run=run, evidence=None)) is None
    unasked = SignalTrustGuard().check(build.facts(evidence=None))
    assert unasked is not None
    assert unasked.answer is Answer.ALLOW
