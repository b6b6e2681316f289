"""What cannot be taken back: it waits until its alert is no blip, and is not done on one signal alone (peers.md F3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from remediator.core.brakes import Brakes
from remediator.core.facts import Evidence, Facts
from remediator.core.outcomes import EffectClass, Look, Observation
from remediator.core.plans import PlannedCondition
from remediator.core.state import Episode, EpisodeStatus, State
from remediator.core.verdicts import Answer
from remediator.guards.irreversible import IrreversibleGuard

if TYPE_CHECKING:
    from tests.unit.conftest import Build

ALLOW, ASK, DEFER = Answer.ALLOW, Answer.ASK, Answer.DEFER
WHEN = PlannedCondition(expr="up == 0")


def restart(build: Build, *, fired: float, plan: dict[str, Any] | None = None, **changes: Any) -> Facts:
    """A plan with a restart, for an alert that has fired so long (s); asked one second after the start."""
    episode = Episode(
        identity="a1",
        number=1,
        status=EpisodeStatus.OPEN,
        starts_at=build.zero + 1.0 - fired,
        latest_start=build.zero,
        last_heard=build.zero,
        labels={},
    )
    step = build.planned_step(EffectClass.ONCE, name="Restart")
    run = build.run(build.plan(step, **(plan or {"when": WHEN})), **changes.pop("run", {}))
    state = State(episodes=State().episodes.set("a1", episode))
    return build.facts(state, run, **changes)


@pytest.mark.parametrize(
    ("fired", "hold", "answer"),
    [(0.0, 0.0, DEFER), (119.0, 119.0, DEFER), (120.0, 0.0, ALLOW), (0.0, 120.0, ALLOW), (500.0, 500.0, ALLOW)],
)
def test_the_alert_or_the_condition_lasts_before_it_is_done(
    build: Build, fired: float, hold: float, answer: Answer
) -> None:
    facts = restart(build, fired=fired, plan={"when": PlannedCondition(expr="up == 0", hold=hold)})
    verdict = IrreversibleGuard().check(facts)
    assert verdict is not None
    assert (verdict.answer, verdict.until) == (answer, build.zero + 121.0 - fired if answer is DEFER else None)


def test_it_says_which_step_and_when_it_clears(build: Build) -> None:
    told = IrreversibleGuard().check(restart(build, fired=60.0))
    assert told is not None
    assert told.sentence == (
        "'Restart' cannot be taken back, and the alert has fired for 1m only; 2m are wanted, clears 2026-11-24 10:27:41Z"
    )


def test_an_alert_of_which_nothing_is_known_has_fired_since_its_incident_was_opened(build: Build) -> None:
    facts = restart(build, fired=900.0, incident=build.incident(episodes=("unheard-of",)))
    verdict = IrreversibleGuard().check(facts)
    assert verdict is not None
    assert verdict.until == build.zero + 120.0


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"plan": {}}, ASK),
        ({"plan": {"when": WHEN}}, ALLOW),
        ({"plan": {"require": (WHEN,)}}, ALLOW),
        ({"plan": {}, "run": {"approved_by": "ana"}}, ALLOW),
        ({"plan": {}, "run": {"dry": True}}, ALLOW),
        ({"plan": {}, "evidence": Look.GOOD}, ALLOW),
        ({"plan": {}, "evidence": Look.BAD}, ASK),
        ({"plan": {}, "evidence": None}, None),
    ],
)
def test_one_signal_alone_is_not_enough(build: Build, changes: dict[str, Any], answer: Answer | None) -> None:
    said = changes.pop("evidence", "not asked")
    plan = changes.pop("plan") or {"verify": ()}
    if said != "not asked":
        seen = Observation(look=said, sentence="-") if said is not None else None
        changes["evidence"] = Evidence(at=build.zero + 1.0, alert=seen) if said is not None else None
    verdict = IrreversibleGuard().check(restart(build, fired=900.0, plan=plan, **changes))
    assert (verdict and verdict.answer) is answer


def test_a_person_who_orders_it_is_not_held_back(build: Build) -> None:
    told = IrreversibleGuard().check(restart(build, fired=0.0, incident=build.incident(by="ana", episodes=())))
    assert told is not None
    assert told.sentence == "ordered by ana"


def test_the_stricter_of_plan_and_rule_counts(build: Build) -> None:
    facts = restart(build, fired=150.0, limits=build.limits(brakes=Brakes(irreversible_after=300.0)))
    verdict = IrreversibleGuard().check(facts)
    assert verdict is not None
    assert verdict.answer is DEFER
