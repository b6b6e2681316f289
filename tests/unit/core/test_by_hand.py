"""A playbook run by hand: planned like any other, with a person's name on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from remediator.core import entries as e
from remediator.core.by_hand import plan_by_hand
from remediator.core.outcomes import EffectClass, failed, failed_for_now, not_issued, ok, unknown
from remediator.core.planning import Unplannable
from remediator.core.rules import Mode
from remediator.core.state import State

if TYPE_CHECKING:
    from remediator.core.planning import Planner
    from tests.unit.conftest import Build


def ordered(planner: Planner, params: dict[str, str], **changes: Any) -> tuple[e.IncidentOpened, e.RunPlanned]:
    values: dict[str, Any] = {"by": "ana", "reason": "looks bad", "seq": 7, "now": 1.0}
    opened, planned = plan_by_hand(planner, "pause", params, **values | changes)
    assert isinstance(opened, e.IncidentOpened)
    assert isinstance(planned, e.RunPlanned)
    return opened, planned


def test_a_persons_order_opens_an_incident_on_its_parameters(build: Build) -> None:
    opened, planned = ordered(build.planner(), {"domain": "example.com"})
    assert (opened.rule, opened.target, opened.episode, opened.by) == (
        "by-hand:pause", {"domain": "example.com"}, "", "ana",
    )  # fmt: skip
    assert opened.summary == "looks bad"
    assert (planned.incident, planned.run) == (opened.incident, f"{opened.incident}.1")
    assert (planned.dry, planned.mode, planned.digest) == (False, "auto", planned.plan.digest)
    assert planned.plan.locks == ("domain=example.com",)
    assert planned.plan.guards.rate_limit.count == 2
    state = build.fold(State(), opened, planned)
    assert state.incidents[opened.incident].by == "ana"


@pytest.mark.parametrize(
    ("mode", "dry", "word"),
    [(Mode.AUTO, False, "auto"), (Mode.APPROVE, False, "approve"), (Mode.DRY_RUN, True, "dry-run")],
)
def test_the_servers_mode_bounds_a_person_too(build: Build, mode: Mode, dry: bool, word: str) -> None:
    _, planned = ordered(build.planner(mode=mode), {"domain": "example.com"})
    assert (planned.dry, planned.mode) == (dry, word)


def test_a_server_that_is_off_runs_nothing(build: Build) -> None:
    with pytest.raises(Unplannable, match="the server's mode is off"):
        ordered(build.planner(mode=Mode.OFF), {"domain": "example.com"})


def test_a_playbook_that_is_not_there_is_named_with_those_that_are(build: Build) -> None:
    with pytest.raises(Unplannable, match="there is no playbook 'gone'; loaded are pause"):
        plan_by_hand(build.planner(), "gone", {}, by="ana", reason="-", seq=1, now=1.0)


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({}, "parameter domain of pause has no value"),
        ({"domain": "example.com", "colour": "red"}, "pause has no parameter 'colour'; it has domain"),
        ({"domain": ""}, "label domain is ''"),
        ({"domain": "*"}, "a wildcard is never taken as everything"),
        ({"domain": "--all"}, "bad parameter domain of pause"),
        ({"domain": "refused.example"}, "this domain is not ours"),
    ],
)
def test_a_persons_values_are_checked_like_any_other(build: Build, params: dict[str, str], why: str) -> None:
    with pytest.raises(Unplannable, match=why.replace("'", ".").replace("*", ".")):
        ordered(build.planner(), params)


def test_a_playbook_without_parameters_says_so(build: Build) -> None:
    playbook = build.playbook("pause", build.step(arguments={}), params={})
    with pytest.raises(Unplannable, match="it has none"):
        ordered(build.planner(playbooks=[playbook]), {"x": "y"})


def test_every_order_is_an_incident_of_its_own(build: Build) -> None:
    names = {
        ordered(build.planner(), {"domain": "example.com"}, **changes)[0].incident
        for changes in ({}, {"seq": 8}, {"now": 2.0}, {"by": "ben"})
    }
    assert len(names) == 4


# ── small values ─────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_mode_is_read_by_its_word() -> None:
    assert [Mode.parse(mode.word) for mode in Mode] == list(Mode)
    with pytest.raises(ValueError, match="'on' is not a mode: expected off, dry-run, approve or auto"):
        Mode.parse("on")


def test_outcomes_say_whether_trying_again_makes_sense() -> None:
    assert [one.retryable for one in (ok("-"), failed("-"), failed_for_now("-"), not_issued("-"), unknown("-"))] == [
        False, False, True, True, False,
    ]  # fmt: skip
    assert ok("-", receipt={"id": 1}, evidence={"status": 200}).receipt == {"id": 1}
    assert {effect.value for effect in EffectClass} == {"read", "safe", "keyed", "once"}


def test_a_rule_is_found_by_its_name(build: Build) -> None:
    ruleset = build.planner(build.rule("a"), build.rule("b")).ruleset
    found = ruleset.rule("b")
    assert found is not None
    assert found.name == "b"
    assert ruleset.rule("c") is None
