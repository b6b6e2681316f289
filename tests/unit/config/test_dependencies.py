"""Rules about what we rest on ourselves, and why no alert that joins can widen a plan (reliability.md §3.5)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from remediator.config import Loaded
from remediator.errors import InvalidConfiguration

Load = Callable[[str], Loaded]

FILE = """version: 1
rules:
  - name: own
    match: [alertname = {alert}]
    group_by: [instance]
    {more}
    playbook: mend
    with: {{ node: "{{{{ labels.{label} }}}}" }}
playbooks:
  - name: mend
    params: {{ node: name }}
    steps: [{step}]
    verify: [{verify}]
"""
COMMAND = "{ name: Restart, action: command, with: { argv: [/usr/bin/true] } }"
TELL = '{ name: Tell, manual: "Look at {{ params.node }}." }'
HTTP, EXPR, ALERT = '{ http: "http://127.0.0.1:9090/" }', "{ expr: up == 1 }", "{ alert: { alertname: X } }"


def rules(
    alert: str, *, more: str = "mode: auto", label: str = "instance", step: str = COMMAND, verify: str = HTTP
) -> str:
    """A file with one rule for this alert."""
    return FILE.format(alert=alert, more=more, label=label, step=step, verify=verify)


@pytest.mark.parametrize(
    "alert", ["PrometheusDown", "PrometheusServerAbsent", "PrometheusNotReady", "prometheusJobMissing"]
)
@pytest.mark.parametrize(
    "question",
    [
        {"verify": EXPR},
        {"more": "when: { expr: up == 0 }"},
        {"more": "guards: { require: [{ expr: up == 1, because: so }] }"},
        {"more": "guards: { min_healthy: { expr: up == 1, at_least: 1 } }"},
    ],
)
def test_what_is_down_is_not_asked_whether_it_is_down(load: Load, alert: str, question: dict[str, str]) -> None:
    with pytest.raises(InvalidConfiguration, match="asks-what-is-down") as refused:
        load(rules(alert, **question))
    assert len(refused.value.problems) == 1


@pytest.mark.parametrize(
    ("alert", "changes"),
    [
        ("PrometheusDown", {}),
        ("PrometheusDown", {"verify": ALERT}),
        ("PrometheusRuleFailures", {"verify": EXPR}),
        ("PrometheusTargetMissing", {"more": "when: { expr: up == 0 }"}),
        ("AlertmanagerDown", {"verify": EXPR}),
        ("AlertmanagerFailedReload", {"verify": ALERT}),
        ("RemediatorReloadFailed", {"step": TELL}),
    ],
)
def test_what_can_still_be_asked_may_be(load: Load, alert: str, changes: dict[str, str]) -> None:
    assert load(rules(alert, **changes)).ruleset.rule("own") is not None


@pytest.mark.parametrize(
    ("alert", "changes", "name"),
    [
        ("AlertmanagerDown", {"verify": ALERT}, "asks-what-is-down"),
        ("RemediatorDown", {}, "heals-itself"),
        ("RemediatorUndoOverdue", {}, "heals-itself"),
    ],
)
def test_neither_alertmanager_nor_ourselves(load: Load, alert: str, changes: dict[str, str], name: str) -> None:
    with pytest.raises(InvalidConfiguration, match=name):
        load(rules(alert, **changes))


def test_a_join_cannot_change_the_scope_for_every_blank_is_of_the_target(load: Load) -> None:
    """An alert that joins has the target's own labels, so a plan made for it would be the same; no run has to follow."""
    assert load(rules("KumoDown")).ruleset.rule("own") is not None
    with pytest.raises(InvalidConfiguration, match="one incident could have several values of it"):
        load(rules("KumoDown", label="domain"))
