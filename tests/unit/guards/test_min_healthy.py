"""The healthy floor: exact where members are named, careful where they are only counted (peers.md F6)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.brakes import Brakes, Members
from remediator.core.facts import Evidence
from remediator.core.plans import PlannedFleet
from remediator.core.state import Grant, State
from remediator.core.verdicts import Answer, Verdict
from remediator.guards.evidence import FRESH
from remediator.guards.min_healthy import SETTLE, MinHealthyGuard, left_healthy

if TYPE_CHECKING:
    from remediator.core.facts import Facts
    from remediator.core.plans import Plan
    from tests.unit.conftest import Build

NODES = tuple(f"mta{number}" for number in range(1, 6))


def named(*names: str) -> Members:
    """These nodes, each by its name."""
    return Members(series=tuple({"instance": name, "job": "kumod"} for name in names))


def plan(build: Build, node: str = "mta1", *, of: str = "up", **brakes: Any) -> Plan:
    """The plan of a run on a node."""
    limits = build.limits(brakes=Brakes(**brakes))
    fleet = PlannedFleet(healthy="up == 1", of=of)
    return build.plan(target={"instance": node}, guards=limits, min_healthy=fleet)


def facts(build: Build, planned: Plan, *busy: Grant, age: float = 0.0, **seen: Members | None) -> Facts:
    """What the guard is asked with: these places taken, and this seen `age` seconds ago."""
    state = State()
    for grant in busy:
        state = msgspec.structs.replace(
            state, grants=state.grants.set(grant.rule, (*state.grants.get(grant.rule, ()), grant))
        )
    evidence = Evidence(at=build.zero + 1.0 - age, **seen)  # type: ignore[arg-type]
    return build.facts(state, build.run(planned), evidence=evidence)


def taken(build: Build, node: str, *, rule: str = "bounces", ended: float | None = None, **labels: str) -> Grant:
    """A place that a run of a rule took on a node; it ended `ended` seconds ago, if it did."""
    where = {"instance": node, **labels}
    text = ", ".join(f"{name}={where[name]}" for name in sorted(where))
    end = None if ended is None else build.moment(1.0 - ended)
    return Grant(
        rule=rule,
        target=text,
        run=f"inc-{node}.1",
        incident=f"inc-{node}",
        taken=build.moment(),
        ended=end,
        where=where,
    )


def ask(found: Facts) -> Verdict:
    """The verdict."""
    verdict = MinHealthyGuard().check(found)
    assert verdict is not None
    return verdict


@pytest.mark.parametrize(
    ("healthy", "node", "brakes", "answer"),
    [
        (NODES, "mta1", {"at_least": 4}, Answer.ALLOW),
        (NODES, "mta1", {"at_least": 5}, Answer.DEFER),
        (NODES[1:], "mta1", {"at_least": 4}, Answer.ALLOW),  # it is unwell already: treating it costs nothing
        (NODES[2:], "mta1", {"at_least": 4}, Answer.DEFER),
        (NODES, "mta1", {"percent": 60}, Answer.ALLOW),
        (NODES, "mta1", {"percent": 81}, Answer.DEFER),  # 4.05 of five are five
        (NODES, "mta1", {"percent": 20, "at_least": 5}, Answer.DEFER),
        (NODES, "mta1", {"percent": 99, "at_least": 1}, Answer.DEFER),
        (NODES, "elsewhere", {"at_least": 5}, Answer.ALLOW),
        ((), "mta1", {"at_least": 1}, Answer.DEFER),
    ],
)
def test_enough_stay_healthy_or_it_waits(
    build: Build, healthy: tuple[str, ...], node: str, brakes: dict[str, Any], answer: Answer
) -> None:
    verdict = ask(facts(build, plan(build, node, **brakes), healthy=named(*healthy), fleet=named(*NODES)))
    assert verdict.answer is answer


def test_it_says_the_numbers(build: Build) -> None:
    found = facts(build, plan(build, at_least=3), taken(build, "mta2"), healthy=named(*NODES), fleet=named(*NODES))
    assert ask(found).sentence == "3 of 5 stay healthy with 2 under treatment, this one included; 3 have to"


def test_whoever_is_treated_counts_as_unwell_whatever_the_metric_says(build: Build) -> None:
    two = [taken(build, "mta2"), taken(build, "mta3", rule="another")]
    seen: dict[str, Any] = {"healthy": named(*NODES), "fleet": named(*NODES)}
    assert ask(facts(build, plan(build, at_least=2), *two, **seen)).answer is Answer.ALLOW
    assert ask(facts(build, plan(build, at_least=3), *two, **seen)).answer is Answer.DEFER
    apart = [taken(build, "mta2", domain="a.example"), taken(build, "mta2", domain="b.example")]
    assert ask(facts(build, plan(build, at_least=3), *apart, **seen)).answer is Answer.ALLOW  # one node


@pytest.mark.parametrize(
    ("rule", "ended", "answer"),
    [
        ("bounces", 1799.0, Answer.DEFER),
        ("bounces", 1800.0, Answer.ALLOW),
        ("another", SETTLE - 1.0, Answer.DEFER),
        ("another", SETTLE, Answer.ALLOW),
    ],
)
def test_who_rests_after_a_run_is_not_yet_well(build: Build, rule: str, ended: float, answer: Answer) -> None:
    seen: dict[str, Any] = {"healthy": named(*NODES), "fleet": named(*NODES)}
    assert (
        ask(facts(build, plan(build, at_least=4), taken(build, "mta2", rule=rule, ended=ended), **seen)).answer
        is answer
    )


def test_the_rest_of_another_rule_is_its_own_cooldown(build: Build) -> None:
    found = facts(
        build, plan(build, at_least=4), taken(build, "mta2", rule="other", ended=1000.0), healthy=named(*NODES),
        fleet=named(*NODES),
    )  # fmt: skip
    assert ask(found).answer is Answer.ALLOW
    loaded = build.planner(build.rule("bounces"), build.rule("other")).ruleset
    assert ask(replace(found, ruleset=loaded)).answer is Answer.DEFER


def test_a_place_that_an_earlier_version_took_is_read_from_its_text(build: Build) -> None:
    old = msgspec.structs.replace(taken(build, "mta2"), where={})
    found = facts(build, plan(build, at_least=4), old, healthy=named(*NODES), fleet=named(*NODES))
    assert ask(found).answer is Answer.DEFER


def test_where_members_are_only_counted_each_treated_target_costs_one(build: Build) -> None:
    seen: dict[str, Any] = {"healthy": Members(count=5), "fleet": Members(count=5)}
    assert ask(facts(build, plan(build, at_least=4), **seen)).answer is Answer.ALLOW
    apart = [taken(build, "mta2", domain="a.example"), taken(build, "mta2", domain="b.example")]
    assert ask(facts(build, plan(build, at_least=3), *apart, **seen)).answer is Answer.ALLOW
    assert ask(facts(build, plan(build, at_least=4), *apart, **seen)).answer is Answer.DEFER
    elsewhere = Grant(
        rule="x", target="container=redis", run="r", incident="i", taken=build.moment(), where={"container": "redis"}
    )
    assert ask(facts(build, plan(build, at_least=4), elsewhere, **seen)).answer is Answer.ALLOW


@pytest.mark.parametrize(
    ("healthy", "fleet", "words"),
    [
        (Members(fault="down"), named(*NODES), "who is healthy: down"),
        (named(*NODES), Members(fault="down"), "how many there are: down"),
        (named(*NODES), None, "was not asked"),
        (named(*NODES), named("mta1"), "5 are healthy and there are only 1"),
    ],
)
def test_what_cannot_be_told_is_not_enough(build: Build, healthy: Members, fleet: Members | None, words: str) -> None:
    verdict = ask(facts(build, plan(build, at_least=1), healthy=healthy, fleet=fleet))
    assert verdict.answer is Answer.DEFER
    assert words in verdict.sentence


def test_an_old_answer_and_none_are_not_believed(build: Build) -> None:
    planned = plan(build, at_least=1)
    seen: dict[str, Any] = {"healthy": named(*NODES), "fleet": named(*NODES)}
    assert ask(facts(build, planned, age=FRESH + 0.1, **seen)).answer is Answer.DEFER
    assert ask(facts(build, planned)).answer is Answer.DEFER
    assert MinHealthyGuard().check(build.facts(run=build.run(planned), evidence=None)) is None


def test_a_promise_that_was_made_after_planning_is_not_broken(build: Build) -> None:
    without = build.plan(guards=build.limits(brakes=Brakes(at_least=1)))
    assert ask(build.facts(run=build.run(without))).answer is Answer.DENY
    assert ask(facts(build, plan(build, of="", percent=1), healthy=named(*NODES))).answer is Answer.DENY
    assert ask(facts(build, plan(build, of="", at_least=4), healthy=named(*NODES))).answer is Answer.ALLOW
    assert ask(build.facts()).answer is Answer.ALLOW


nodes = st.sampled_from([f"n{number}" for number in range(6)])


@given(st.sets(nodes), st.lists(st.tuples(nodes, st.booleans()), max_size=12), st.integers(1, 6), st.integers(0, 99))
def test_never_fewer_stay_healthy_than_was_promised(
    build: Build, unwell: set[str], moves: list[tuple[str, bool]], at_least: int, percent: int
) -> None:
    """Starts and ends in any order; an observer counts who is really well: not unwell by itself, and not treated."""
    everyone = [f"n{number}" for number in range(6)]
    well = [name for name in everyone if name not in unwell]
    busy: dict[str, Grant] = {}
    promised = max(at_least, -(-len(everyone) * percent // 100))
    for node, starts in moves:
        if not starts:
            busy.pop(node, None)
            continue
        planned = plan(build, node, at_least=at_least, percent=percent)
        verdict = ask(facts(build, planned, *busy.values(), healthy=named(*well), fleet=named(*everyone)))
        if verdict.answer is Answer.ALLOW:
            busy[node] = taken(build, node)
            assert len([name for name in well if name not in busy]) >= promised
        else:
            assert (
                len([name for name in well if name not in {*busy, node}]) < promised
            )  # and it holds nobody back in vain


def test_members_of_which_one_label_is_known_are_told_by_it() -> None:
    healthy = Members(series=({"instance": "a"}, {"instance": "b"}))
    assert left_healthy(healthy, [{"instance": "a", "domain": "x"}]) == 1
    assert left_healthy(healthy, [{"domain": "x"}]) == 1
    assert left_healthy(healthy, [{"domain": "x"}, {"domain": "y"}, {"domain": "z"}]) == 0
