"""Explaining without a service: what the rules say, asking nobody and writing nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import respx

from remediator.errors import InvalidConfiguration
from remediator.service import explain_offline

if TYPE_CHECKING:
    from tests.service.conftest import Home

LABELS = {"alertname": "HighBounceRate", "severity": "critical", "domain": "a.example"}
ASKING = """\
prometheus: { url: "http://prometheus.example:9090" }
alertmanager: { url: "http://alertmanager.example:9093" }
"""
WHEN = """\
    when: { expr: 'bounce_ratio{domain="{{ labels.domain }}"} > 0.2' }
    guards: { require: [{ expr: 'sent{domain="{{ labels.domain }}"} > 9', because: few mails prove nothing }] }
    playbook: pause-domain
"""


def test_every_question_is_taken_as_yes_and_nobody_is_asked(home: Home) -> None:
    rules = (home.root / "rules.yml").read_text(encoding="utf-8")
    home.write("rules.yml", rules.replace("    playbook: pause-domain\n", WHEN))
    home.add(ASKING)
    before = {path.name for path in home.root.iterdir()}
    with respx.mock(assert_all_called=False) as router:
        (view,) = explain_offline(home.settings, LABELS)
        assert not router.calls
    assert view.would == "run"
    assert any("taken as yes" in verdict.sentence for verdict in view.verdicts if verdict.guard == "when")
    assert {path.name for path in home.root.iterdir()} == before, "no journal, no key"


def test_the_nearest_miss_is_told(home: Home) -> None:
    (view,) = explain_offline(home.settings, {**LABELS, "severity": "warning"})
    assert (view.would, view.nearest_miss) == ("no_match", True)
    assert "severity" in view.sentence


def test_broken_rules_are_refused(home: Home) -> None:
    home.write("rules.yml", "version: 1\nrules: 7\n")
    with pytest.raises(InvalidConfiguration, match=r"rules\.yml:2:8"):
        explain_offline(home.settings, LABELS)


def test_a_rule_that_starts_by_the_clock_is_explained_without_an_alert(home: Home) -> None:
    rules = (home.root / "rules.yml").read_text(encoding="utf-8")
    match = next(line for line in rules.splitlines() if line.strip().startswith("match:"))
    group = next(line for line in rules.splitlines() if line.strip().startswith("group_by:"))
    rules = rules.replace(match, '    schedule: "0 9 * * *"').replace(group, "    target: { domain: a.example }")
    home.write("rules.yml", rules)
    name = rules.split("- name: ")[1].split()[0]
    (view,) = explain_offline(home.settings, {}, name)
    assert (view.would, view.target) == ("run", {"domain": "a.example"})
    assert "0 9 * * * (UTC)" in view.schedule
    assert [one.would for one in explain_offline(home.settings, LABELS)] == ["no_match"]
