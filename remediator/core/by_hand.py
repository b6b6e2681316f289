"""A playbook run by hand: planned like any other, with its parameters as the target and a person's name on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from remediator.core import entries as e
from remediator.core.planning import Planner, Unplannable, incident_id, make_plan
from remediator.core.rendering import Template
from remediator.core.rules import Mode, Rule, Rung


def by_hand_rule(playbook: str, params: Mapping[str, str]) -> Rule:
    """The rule that stands for a person's order: no matchers, the parameters as the target, the default guards."""
    return Rule(
        name=f"by-hand:{playbook}",
        match=(),
        group_by=tuple(params),
        ladder=(Rung(playbook=playbook, arguments={name: Template((value,)) for name, value in params.items()}),),
        mode=Mode.AUTO,
    )


def plan_by_hand(
    planner: Planner, playbook: str, params: Mapping[str, str], *, by: str, reason: str, seq: int, now: float
) -> list[e.AnyFact]:
    """The facts that open an incident for a person's order; Unplannable says why it cannot be.

    The server's mode still bounds it: on a dry-run server a run by hand is dry too.
    """
    known = planner.ruleset.playbooks.get(playbook)
    if known is None:
        raise Unplannable(
            f"there is no playbook {playbook!r}; loaded are {', '.join(sorted(planner.ruleset.playbooks))}"
        )
    unknown = sorted(set(params) - set(known.params))
    if unknown:
        raise Unplannable(f"{playbook} has no parameter {unknown[0]!r}; it has {', '.join(known.params) or 'none'}")
    mode = min(planner.server_mode, Mode.AUTO)
    if mode is Mode.OFF:
        raise Unplannable("the server's mode is off")
    name = incident_id(f"by-hand:{playbook}", f"{by}:{seq}:{now}")
    rule = by_hand_rule(playbook, params)
    plan = make_plan(planner, rule, 0, params, incident=name)
    opened = e.IncidentOpened(
        incident=name, rule=rule.name, target=dict(params), episode="", labels=dict(params), summary=reason[:500], by=by
    )
    planned = e.RunPlanned(
        incident=name,
        run=f"{name}.1",
        plan=plan,
        digest=plan.digest,
        dry=mode is Mode.DRY_RUN,
        mode=mode.word,
    )
    return [cast("e.AnyFact", opened), planned]
