"""What the rules rest on: the series that they ask for and the alerts that they wait for. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from remediator.config.selectors import Selector, selectors
from remediator.core.matchers import Operator
from remediator.core.rendering import Template, Tree
from remediator.core.rules import Playbook, Rule, Ruleset

ALERTNAME = "alertname"


def wanted_series(ruleset: Ruleset) -> Mapping[Selector, Sequence[Rule]]:
    """Each series that a rule's `when`, `require`, steps or `verify` ask for, with the rules that do."""
    found: dict[Selector, list[Rule]] = defaultdict(list)
    for rule in ruleset.rules:
        asked = set[Selector]()
        for text in _queries(rule, ruleset):
            asked |= selectors(text)
        for one in sorted(asked):
            if one.name and one.name != "ALERTS":
                found[one].append(rule)
    return found


def wanted_alerts(ruleset: Ruleset) -> Mapping[str, Sequence[Rule]]:
    """Each alert that a rule waits for by its name, with the rules that do."""
    found: dict[str, list[Rule]] = defaultdict(list)
    for rule in ruleset.rules:
        for matcher in rule.match:
            if matcher.label == ALERTNAME and matcher.operator in (Operator.EQUAL, Operator.MATCHES):
                for name in sorted(matcher.literals or ()):
                    found[name].append(rule)
    return found


def _queries(rule: Rule, ruleset: Ruleset) -> Iterator[str]:
    conditions = [*([rule.when] if rule.when else []), *rule.guards.require]
    yield from (condition.expr.source for condition in conditions)
    for rung in rule.ladder:
        playbook = ruleset.playbooks.get(rung.playbook)
        if playbook is not None:
            yield from _questions(playbook)


def _questions(playbook: Playbook) -> Iterator[str]:
    places: list[Mapping[str, Tree]] = [check.arguments for check in playbook.verify if check.probe == "promql"]
    places += [step.arguments for step in playbook.steps]
    for arguments in places:
        expr = arguments.get("expr")
        if isinstance(expr, Template):
            yield expr.source


def names(rules: Sequence[Rule]) -> str:
    """Who asks, short enough for a sentence."""
    shown = ", ".join(dict.fromkeys(rule.name for rule in rules[:3]))
    return shown if len(rules) <= 3 else f"{shown} and {len(rules) - 3} more"
