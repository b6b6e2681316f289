"""Plans: a playbook with every argument final, and the digest that names exactly it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from remediator.core.brakes import MinHealthy, Trust
from remediator.core.outcomes import EffectClass
from remediator.core.params import ParamType
from remediator.core.planning import Unplannable, make_plan, plan_run
from remediator.core.plans import PlannedCondition, PlannedFleet, PlannedLimit, PlannedTrust, target_text
from remediator.core.rendering import Sink, parse_template, parse_tree
from remediator.core.rules import Check, Condition, Guards, Limit, Mode, OnUnknown, Rung

if TYPE_CHECKING:
    from remediator.core.planning import Planner
    from remediator.core.plans import Plan
    from remediator.core.rules import Rule
    from tests.unit.conftest import Build

LABELS = {"alertname": "Bounces", "domain": "Example.com", "instance": "mta1"}


def plan_of(planner: Planner, rule: Rule, labels: dict[str, str] | None = None, rung: int = 0) -> Plan:
    return make_plan(planner, rule, rung, labels or LABELS, incident="inc-1")


def test_a_plan_holds_everything_that_the_run_needs(build: Build) -> None:
    step = build.step("Pause the domain", effect=EffectClass.KEYED, timeout=7.0, attempts=2, delay=3.0, undo_after=60.0)
    check = Check(probe="promql", arguments={"expr": parse_template('x{d="{{ params.domain }}"} < 1')}, within=90.0)
    guards = Guards(
        cooldown=5.0,
        rate_limit=Limit(7, 8.0),
        blast_radius=Limit(9, 10.0),
        concurrency=11,
        mute_time_intervals=("night",),
        active_time_intervals=("day",),
        require=(Condition(parse_template("enough{{ incident.id }}"), 3.0, "few"),),
    )
    rule = build.rule(
        guards=guards,
        when=Condition(parse_template('up{d="{{ labels.domain }}"}'), 120.0),
        locks=(parse_template("mta/{{ labels.instance }}"), parse_template("x")),
        give_up=1.0,
        approval_timeout=2.0,
        runbook_url="https://runbooks.example/x",
    )
    planner = build.planner(rule, playbooks=[build.playbook("pause", step, verify=(check,), limit=99.0)])
    plan = plan_of(planner, rule)
    assert plan.params == {"domain": "example.com"}
    assert plan.steps[0] == build.planned_step(
        EffectClass.KEYED, name="Pause the domain", timeout=7.0, attempts=2, delay=3.0, undo_after=60.0,
        does="pause example.com",
    )  # fmt: skip
    assert plan.verify[0].arguments == {"expr": 'x{d="example.com"} < 1'}
    assert (plan.verify[0].within, plan.verify[0].samples) == (90.0, 3)
    assert plan.when == PlannedCondition(expr='up{d="Example.com"}', hold=120.0)
    assert [one.expr for one in plan.require] == ["enoughinc-1"]
    assert plan.locks == ("mta/mta1", "x")
    assert plan.guards == build.limits(
        cooldown=5.0,
        rate_limit=PlannedLimit(7, 8.0),
        blast_radius=PlannedLimit(9, 10.0),
        concurrency=11,
        mute_time_intervals=("night",),
        active_time_intervals=("day",),
    )
    assert (plan.limit, plan.give_up, plan.approval_timeout, plan.runbook_url) == (99.0, 1.0, 2.0, rule.runbook_url)
    assert (plan.rule, plan.playbook, plan.rung, plan.rules_digest) == ("bounces", "pause", 0, "r1")


def test_without_locks_of_its_own_a_rule_locks_its_target(build: Build) -> None:
    rule = build.rule(group_by=("instance", "domain"))
    assert plan_of(build.planner(rule), rule).locks == ("domain=Example.com, instance=mta1",)


def test_a_target_is_told_in_the_order_of_its_labels() -> None:
    assert target_text({"b": "2", "a": "1"}) == "a=1, b=2"


# ── the digest ───────────────────────────────────────────────────────────────────────────────────────────────────────
CHANGES: dict[str, Any] = {
    "rule": "other", "playbook": "other", "rung": 1, "target": {"domain": "other.example"}, "params": {},
    "when": None, "require": (), "guards": None, "locks": ("other",), "steps": (), "verify": (), "on_failure": (),
    "min_healthy": PlannedFleet(healthy="up == 1"), "trust": PlannedTrust(must=True),
    "on_unknown": OnUnknown.RELEASE, "continue_on_resolve": True, "atomic_from": 0,
    "limit": 1.0, "give_up": 1.0, "approval_timeout": 1.0, "runbook_url": "x",
}  # fmt: skip


def test_the_digest_changes_with_every_field_but_the_digest_of_the_rules(build: Build) -> None:
    condition = PlannedCondition(expr="up")
    plan = build.plan(when=condition, require=(condition,))
    assert set(CHANGES) | {"rules_digest"} == set(plan.__struct_fields__)
    digests = {plan.digest}
    for name, value in CHANGES.items():
        changed = build.limits(cooldown=1.0) if name == "guards" else value
        digests.add(msgspec.structs.replace(plan, **{name: changed}).digest)
    assert len(digests) == len(CHANGES) + 1
    assert msgspec.structs.replace(plan, rules_digest="other").digest == plan.digest


def test_the_digest_does_not_depend_on_the_order_of_keys_and_survives_the_journal(build: Build) -> None:
    plan = build.plan(target={"a": "1", "b": "2"})
    assert build.plan(target={"b": "2", "a": "1"}).digest == plan.digest
    assert msgspec.json.decode(msgspec.json.encode(plan), type=type(plan)).digest == plan.digest
    assert len(plan.digest) == 16


def test_the_plan_of_a_run_carries_its_own_digest(build: Build) -> None:
    planned = plan_run(build.planner(), build.rule(), 0, LABELS, incident="inc-1", number=3, mode=Mode.APPROVE)
    assert (planned.run, planned.digest, planned.mode, planned.dry) == (
        "inc-1.3",
        planned.plan.digest,
        "approve",
        False,
    )


# ── parameters ───────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("kind", "text", "value", "again"),
    [
        (ParamType.DURATION, "1h30m", 5400.0, "1h30m"),
        (ParamType.DURATION, "500ms", 0.5, "500ms"),
        (ParamType.BOOL, "true", True, "true"),
        (ParamType.BOOL, "false", False, "false"),
        (ParamType.INT, "7", 7, "7"),
        (ParamType.NUMBER, "7", 7.0, "7"),
        (ParamType.NUMBER, "0.25", 0.25, "0.25"),
        (ParamType.NAME, "mta1:8000", "mta1:8000", "mta1:8000"),
    ],
)
def test_a_parameter_is_spelt_so_that_its_own_type_reads_it_again(
    build: Build, kind: ParamType, text: str, value: object, again: str
) -> None:
    rung = Rung(playbook="pause", arguments={"x": parse_template(text)})
    rule = build.rule(ladder=(rung,))
    steps = (
        build.step(arguments={"typed": parse_template("{{ params.x }}"), "told": parse_template("<{{ params.x }}>")}),
    )
    fitting = build.fitting(typed=kind, told=ParamType.TEXT)
    planner = build.planner(
        rule, playbooks=[build.playbook("pause", *steps, params={"x": kind})], fittings={"mail.pause": fitting}
    )
    plan = plan_of(planner, rule)
    assert plan.params == {"x": value}
    assert plan.steps[0].arguments == {"typed": value, "told": f"<{again}>"}


def test_a_parameter_that_is_not_bound_is_named(build: Build) -> None:
    rule = build.rule(ladder=(Rung(playbook="pause", arguments={}),))
    with pytest.raises(Unplannable, match="parameter domain of pause has no value; bind it in the rule's `with`"):
        plan_of(build.planner(rule), rule)


@pytest.mark.parametrize("value", ["--all", "a b", "*", "x\0y", "", "..", "evil.example/../"])
def test_a_hostile_label_makes_no_plan(build: Build, value: str) -> None:
    rule = build.rule(group_by=("instance",))
    with pytest.raises(Unplannable, match="bad parameter domain of pause"):
        plan_of(build.planner(rule), rule, {**LABELS, "domain": value})


@pytest.mark.parametrize("value", ["", "\ud800"])
def test_a_label_that_does_not_fit_a_query_makes_no_plan(build: Build, value: str) -> None:
    when = Condition(parse_template('up{t="{{ labels.tenant }}"}'))
    parts = tuple(part if isinstance(part, str) else replace(part, sink=Sink.PROMQL) for part in when.expr.parts)
    rule = build.rule(when=replace(when, expr=replace(when.expr, parts=parts)))
    with pytest.raises(Unplannable, match=r"playbook pause: .*(missing or empty|surrogate)"):
        plan_of(build.planner(rule), rule, {**LABELS, "tenant": value})


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_an_action_that_is_not_there_makes_no_plan(build: Build) -> None:
    playbook = build.playbook("pause", build.step("Go", action="mail.gone"))
    with pytest.raises(Unplannable, match=r"step 'Go': there is no action mail\.gone"):
        plan_of(build.planner(playbooks=[playbook]), build.rule())


def test_an_argument_that_the_action_does_not_have_makes_no_plan(build: Build) -> None:
    playbook = build.playbook("pause", build.step("Go", arguments={"colour": parse_template("red")}))
    with pytest.raises(Unplannable, match=r"step 'Go': mail\.pause has no argument colour"):
        plan_of(build.planner(playbooks=[playbook]), build.rule())


def test_an_argument_of_the_wrong_type_makes_no_plan(build: Build) -> None:
    playbook = build.playbook("pause", build.step("Go", arguments={"domain": parse_template("a b")}))
    with pytest.raises(Unplannable, match="step 'Go': argument domain: 'a b' has a blank"):
        plan_of(build.planner(playbooks=[playbook]), build.rule())


def test_what_the_action_itself_refuses_makes_no_plan(build: Build) -> None:
    with pytest.raises(Unplannable, match="step 'Pause': this domain is not ours"):
        plan_of(build.planner(), build.rule(), {**LABELS, "domain": "refused.example"})


@pytest.mark.parametrize("value", ["-rf", "--config=/etc/x"])
def test_a_value_cannot_become_an_option_of_a_command(build: Build, value: str) -> None:
    argv = parse_tree(["tool", "--domain", "{{ labels.tenant }}"])
    playbook = build.playbook("pause", build.step("Go", arguments={"argv": argv}))
    planner = build.planner(playbooks=[playbook], fittings={"mail.pause": build.fitting(argv=ParamType.ARGV)})
    with pytest.raises(Unplannable, match="was filled in and starts with '-'"):
        plan_of(planner, build.rule(), {**LABELS, "tenant": value})
    plan = plan_of(planner, build.rule(), {**LABELS, "tenant": "acme"})
    assert plan.steps[0].arguments == {"argv": ["tool", "--domain", "acme"]}


def test_a_value_is_one_argument_of_a_command_whatever_is_in_it(build: Build) -> None:
    argv = parse_tree(["tool", "to={{ labels.tenant }}"])
    playbook = build.playbook("pause", build.step("Go", arguments={"argv": argv}))
    planner = build.planner(playbooks=[playbook], fittings={"mail.pause": build.fitting(argv=ParamType.ARGV)})
    plan = plan_of(planner, build.rule(), {**LABELS, "tenant": "-x $(reboot) {{ labels.domain }} 'y' z"})
    assert plan.steps[0].arguments == {"argv": ["tool", "to=-x $(reboot) {{ labels.domain }} 'y' z"]}


def test_an_argv_that_is_no_list_is_refused(build: Build) -> None:
    playbook = build.playbook("pause", build.step("Go", arguments={"argv": parse_tree("tool")}))
    planner = build.planner(playbooks=[playbook], fittings={"mail.pause": build.fitting(argv=ParamType.ARGV)})
    with pytest.raises(Unplannable, match="is not a list"):
        plan_of(planner, build.rule())


@pytest.mark.parametrize(
    ("trust", "target", "planned"),
    [
        (Trust.UNCHECKED, "instance", None),
        (Trust.PROMETHEUS, "instance", PlannedTrust()),
        (Trust.IF_SCRAPED, "instance", PlannedTrust(instance="mta1")),
        (Trust.IF_SCRAPED, "domain", PlannedTrust()),
        (Trust.TARGET, "instance", PlannedTrust(instance="mta1", must=True)),
    ],
)
def test_a_plan_keeps_whom_it_has_to_trust(
    build: Build, trust: Trust, target: str, planned: PlannedTrust | None
) -> None:
    rule = build.rule(guards=Guards(trust=trust), group_by=(target,), ladder=(build.rung(domain="a.example"),))
    labels = {"instance": "mta1", "domain": "a.example"}
    assert make_plan(build.planner(rule), rule, 0, labels, incident="inc-1").trust == planned


@pytest.mark.parametrize("of", ["", 'up{instance="{{ labels.domain }}"}'])
def test_a_plan_keeps_the_questions_about_its_fleet(build: Build, of: str) -> None:
    asked = MinHealthy(healthy=parse_template("up == 1"), of=parse_template(of) if of else None)
    rule = build.rule(guards=Guards(min_healthy=asked))
    plan = make_plan(build.planner(rule), rule, 0, {"domain": "a.example"}, incident="inc-1")
    assert plan.min_healthy == PlannedFleet(healthy="up == 1", of='up{instance="a.example"}' if of else "")
