"""Rules and tests of rules as texts of one test, and what came of rehearsing them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from remediator.rehearsal import Outcome, rehearse

FIXTURES = Path(__file__).parent / "fixtures"
RULES = """
version: 1
rules:
  - name: bounces
    match: [alertname = Bounces]
    group_by: [domain]
    when: { expr: 'ratio{domain="{{ labels.domain }}"} > 0.20' }
    guards: { cooldown: 30m }
    playbook: [slow-down, stop]
    with: { domain: "{{ labels.domain }}" }
  - name: hourly
    schedule: { cron: "0 * * * *", missed: run_once, within: 2h }
    target: { domain: b.example }
    guards: { cooldown: 0, rate_limit: 9 per 24h }
    playbook: stop
    with: { domain: "{{ labels.domain }}" }
playbooks:
  - name: slow-down
    params: { domain: domain }
    steps:
      - name: Slow down
        action: kumomta.throttle
        with: { node: mta1, domain: "{{ params.domain }}", rate: 100/h }
        undo: { after: 2h }
    verify: [{ expr: 'ratio{domain="{{ params.domain }}"} < 0.10', within: 5m }]
    on_failure: [rollback]
  - name: stop
    params: { domain: domain }
    steps:
      - name: Stop
        action: kumomta.suspend
        with: { node: mta1, domain: "{{ params.domain }}", reason: it bounces }
        undo: { after: 1h }
    verify: [{ expr: 'stopped{domain="{{ params.domain }}"} == 1', within: 5m }]
"""
ALERT = "alert: { labels: { alertname: Bounces, domain: a.example } }"

Rehearse = Callable[..., Outcome]


@pytest.fixture
def rehearsed(tmp_path: Path) -> Rehearse:
    """Rehearses one test, given as the lines below its name, of `RULES` or other rules."""

    def run(lines: str, *, rules: str = RULES, head: str = "") -> Outcome:
        (tmp_path / "rules.yml").write_text(rules, encoding="utf-8")
        body = textwrap.indent(textwrap.dedent(lines).strip(), "    ")
        text = f"version: 1\nrule_files: [rules.yml]\n{head}tests:\n  - name: it\n{body}\n"
        (tmp_path / "rules_test.yml").write_text(text, encoding="utf-8")
        return rehearse(tmp_path / "rules_test.yml")

    return run
