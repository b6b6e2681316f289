"""Whether a request for approval is still about what the rules say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from remediator.core.anew import outdated, planned_anew
from remediator.core.planning import Planner, Unplannable, plan_run
from remediator.core.rules import Mode
from remediator.core.state import Run, RunStatus, State

if TYPE_CHECKING:
    from tests.unit.conftest import Build

WAITS = RunStatus.AWAITING_APPROVAL


def another(build: Build, mode: Mode = Mode.AUTO) -> Planner:
    """Rules with another text, which make another plan."""
    planner = build.planner(build.rule(mode=mode, give_up=60.0))
    return replace(planner, ruleset=replace(planner.ruleset, digest="r2"))


def waiting(build: Build, status: RunStatus = WAITS, rung: int = 0, **incident: object) -> tuple[State, Run]:
    """A run whose plan was made of the first rules."""
    planner = build.planner()
    opened = build.incident(runs=("inc-1.1",), **incident)
    rule = planner.ruleset.rules[0]
    fact = plan_run(planner, rule, 0, opened.labels, incident="inc-1", number=1, mode=Mode.APPROVE)
    plan = msgspec.structs.replace(fact.plan, rung=rung)
    run = build.run(plan, status=status, mode="approve")
    return State(incidents=State().incidents.set("inc-1", opened), runs=State().runs.set(run.id, run)), run


def test_another_plan_is_asked_about_in_the_mode_in_which_it_was_asked(build: Build) -> None:
    state, run = waiting(build)
    anew = planned_anew(another(build), state, run)
    assert anew is not None
    assert (anew.run, anew.incident, anew.mode, anew.dry) == ("inc-1.2", "inc-1", "approve", False)
    assert anew.digest != run.digest
    assert outdated(another(build), state, run) == (
        f"the rules changed while plan {run.digest} waited for a yes: it is void, and plan {anew.digest} is asked about"
    )


def test_the_same_plan_of_other_rules_is_still_what_was_asked(build: Build) -> None:
    state, run = waiting(build)
    planner = build.planner()
    assert outdated(replace(planner, ruleset=replace(planner.ruleset, digest="r2")), state, run) == ""


def test_the_same_rules_are_not_looked_at(build: Build) -> None:
    state, run = waiting(build)
    planner = another(build)
    assert outdated(replace(planner, ruleset=replace(planner.ruleset, digest="r1")), state, run) == ""


@pytest.mark.parametrize("status", [status for status in RunStatus if status is not WAITS])
def test_only_what_waits_for_a_yes_is_asked_about(build: Build, status: RunStatus) -> None:
    state, run = waiting(build, status)
    assert planned_anew(another(build), state, run) is None


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.DRY_RUN])
def test_nobody_is_asked_for_a_rule_that_touches_nothing(build: Build, mode: Mode) -> None:
    state, run = waiting(build)
    assert planned_anew(another(build, mode), state, run) is None


def test_nobody_is_asked_when_the_alert_is_over_or_the_rule_gone(build: Build) -> None:
    state, run = waiting(build, resolved_at=build.zero)
    assert planned_anew(another(build), state, run) is None
    assert planned_anew(another(build), State(), run) is None
    state, run = waiting(build)
    gone = build.planner(build.rule("another"))
    assert planned_anew(replace(gone, ruleset=replace(gone.ruleset, digest="r2")), state, run) is None


def test_rules_of_which_no_plan_can_be_made_leave_nothing_to_ask_about(build: Build) -> None:
    state, run = waiting(build, rung=1)
    with pytest.raises(Unplannable, match="has only 1 playbooks"):
        planned_anew(another(build), state, run)
    assert outdated(another(build), state, run).endswith(
        "no plan can be made of them now: rule bounces has only 1 playbooks"
    )
