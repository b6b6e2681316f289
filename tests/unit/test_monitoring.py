"""monitoring/ against itself, the code and the documents: names, labels, links, and that every alert is tested both ways.

That promtool's tests are not vacuous is proved by tests/e2e/test_monitoring.py, with promtool itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from remediator.config.selectors import selectors
from remediator.core.matchers import Operator, parse_matchers
from remediator.demo.kumod.metrics import families
from remediator.demo.kumod.node import Kumod, default_domains
from remediator.demo.stage import FILES
from remediator.observe import Metrics

HOUSE = Path(__file__).resolve().parents[2]
PLACE = HOUSE / "monitoring"
RULE_FILES = sorted([*PLACE.glob("*.rules.yml"), *PLACE.glob("*.alerts.yml")])
TEST_FILES = sorted(PLACE.glob("*.test.yml"))
ANCHORS = "https://runbooks.example.com/alerts#"
START = 1_785_844_800.0

Tree = dict[str, object]

# What Prometheus itself makes, and the exporter's own.
PROMETHEUS = {"up", "ALERTS"}
EXPORTER = {
    "kumo_ip_reputation_score",
    "kumo_ip_reputation_lookup_timestamp_seconds",
    "kumo_ip_listed",
    "kumo_mail_outcomes_total",
    "kumo_exporter_last_record_timestamp_seconds",
}
RUNBOOK = {
    "kumomta_messages_total",
    "kumomta_delivered_total",
    "kumomta_bounced_total",
    "kumomta_queue_depth",
    "kumomta_complaints_total",
    "kumomta_ip_reputation_score",
}


def tree(path: Path) -> Tree:
    whole = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(whole, dict)
    return whole


def items(whole: object, key: str) -> list[Tree]:
    """The list under `key`, of which every item is a mapping."""
    assert isinstance(whole, dict)
    found = whole.get(key, [])
    assert isinstance(found, list)
    return found


def rules(files: Sequence[Path]) -> Iterator[Tree]:
    for path in files:
        for group in items(tree(path), "groups"):
            yield from items(group, "rules")


ALERTS = [rule for rule in rules(RULE_FILES) if "alert" in rule]
NAMES = [str(rule["alert"]) for rule in ALERTS]
RECORDED = {str(rule["record"]) for rule in rules(RULE_FILES) if "record" in rule}


def histogram_and_all(name: str, kind: str) -> set[str]:
    return {name + part for part in (("_bucket", "_count", "_sum") if kind == "histogram" else ("",))}


def ours() -> set[str]:
    found = set[str]()
    for name, kind, _, _ in Metrics().described:
        found |= histogram_and_all(name, kind)
    return found


def kumods() -> set[str]:
    """The names of a simulated kumod that has had two minutes of mail; they are kumod's real ones."""
    node = Kumod(now=START, domains=default_domains(20.0))
    for second in range(120):
        node.tick(START + second)
    found = set[str]()
    for family in families(node):
        found |= histogram_and_all(family.name, family.kind)
    return found


@pytest.fixture(scope="module")
def known() -> set[str]:
    return PROMETHEUS | EXPORTER | RUNBOOK | RECORDED | ours() | kumods()


def strangers(expr: str, known: set[str]) -> set[str]:
    return {one.name for one in selectors(expr)} - known


def annotation(rule: Tree, name: str) -> str:
    found = rule["annotations"]
    assert isinstance(found, dict)
    return str(found[name])


def headings() -> set[str]:
    text = (HOUSE / "docs" / "alerts.md").read_text(encoding="utf-8")
    return set(re.findall(r"^### (\w+)$", text, re.MULTILINE))


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_every_alert_says_how_grave_it_is_what_it_is_and_where_to_read_on(rule: Tree) -> None:
    labels = rule["labels"]
    assert isinstance(labels, dict)
    assert labels["severity"] in {"critical", "warning", "info", *(["none"] if rule["alert"] == "Watchdog" else [])}
    assert annotation(rule, "summary")
    url = annotation(rule, "runbook_url")
    assert url == ANCHORS + str(rule["alert"]).lower()
    assert "severity" not in str(rule["annotations"])


def test_every_alert_has_its_heading_in_the_documents_and_every_heading_its_alert() -> None:
    assert headings() == set(NAMES)


@pytest.mark.parametrize("path", RULE_FILES, ids=[path.name for path in RULE_FILES])
def test_every_series_of_every_expression_is_somebodys(path: Path, known: set[str]) -> None:
    exprs = [str(rule["expr"]) for rule in rules([path])]
    assert exprs
    assert {expr: strangers(expr, known) for expr in exprs if strangers(expr, known)} == {}


# Own series that no alert asks for, since a person who looks for trouble finds all of it in another one.
NO_ALERT = {
    "alert_to_action_seconds": "a number to look at; what is held back has its own alert",
    "alerts_received_total": "counts work",
    "alerts_withheld_total": "people are called for it at once, and by the engine itself",
    "build_info": "no number",
    "clock_steps_total": "what is held for it has its own series",
    "config_hash": "no number",
    "config_last_reload_success_timestamp_seconds": "a failure has its own series",
    "decisions_total": "what is held back for long has its own series",
    "disk_free_bytes": "disk_low says when it is too little",
    "guard_blocks_total": "what is held back for long has its own series",
    "journal_head": "counts work",
    "last_webhook_timestamp_seconds": "the Watchdog's own is asked for",
    "mode": "dry-run is a choice",
    "notifications_total": "counts work",
    "relapses_total": "the breaker counts them, and what it does has its own series",
    "rule_demotions_total": "rule_demoted says what is in force",
    "run_duration_seconds": "a number to look at; runs are bounded",
    "runs_in_progress": "a number to look at; runs are bounded",
    "schedule_last_due_timestamp_seconds": "what was missed has its own series",
    "step_duration_seconds": "a number to look at; steps are bounded",
    "steps_total": "a failed step makes a failed run, which has its own series",
    "storms_total": "storm says what is in force",
    "undos_pending": "undo_overdue says which are late",
    "verification_duration_seconds": "a number to look at; it is bounded",
}


def test_every_own_series_has_an_alert_or_a_reason_why_not() -> None:
    asked = {one.name for rule in ALERTS for one in selectors(str(rule["expr"]))}
    silent = {name for name, kind, _, _ in Metrics().described if not histogram_and_all(name, kind) & asked}
    assert {name.removeprefix("remediator_") for name in silent} == set(NO_ALERT)


def test_the_names_of_the_runbook_are_used_only_in_their_own_file() -> None:
    others = [path for path in RULE_FILES if path.name != "runbook-names.rules.yml"]
    assert all(not strangers(str(rule["expr"]), set()) & RUNBOOK for rule in rules(others))


def test_every_counter_of_a_node_is_asked_for_one_of_its_two_tellings() -> None:
    for rule in rules(RULE_FILES):
        for one in selectors(str(rule["expr"])):
            if one.name in {"total_messages_delivered", "total_messages_fail", "ready_count"}:
                assert ("service", "=", "smtp_client") in one.matchers, rule


def cases(path: Path) -> Iterator[tuple[str, Tree]]:
    for test in items(tree(path), "tests"):
        for case in items(test, "alert_rule_test"):
            yield str(case["alertname"]), case


def test_every_alert_is_seen_to_fire_and_no_test_asks_for_one_that_is_not_there() -> None:
    everything = [case for path in TEST_FILES for case in cases(path)]
    assert {name for name, case in everything if case["exp_alerts"]} == set(NAMES)
    assert {name for name, _ in everything} == set(NAMES)


@pytest.mark.parametrize("path", TEST_FILES, ids=[path.name for path in TEST_FILES])
def test_a_test_names_rule_files_that_are_there_and_feeds_something_that_they_ask_for(path: Path) -> None:
    files = tree(path)["rule_files"]
    assert isinstance(files, list)
    assert files
    asked = {one.name for rule in rules([PLACE / name for name in files]) for one in selectors(str(rule["expr"]))}
    assert items(tree(path), "tests")
    for test in items(tree(path), "tests"):
        fed = {str(series["series"]).partition("{")[0] for series in items(test, "input_series")}
        assert fed, test["name"]
        assert fed <= asked, test["name"]


def test_prometheus_loads_every_rule_file_or_says_why_not() -> None:
    text = (PLACE / "prometheus.yml").read_text(encoding="utf-8")
    loaded = tree(PLACE / "prometheus.yml")["rule_files"]
    assert isinstance(loaded, list)
    assert {path.name for path in RULE_FILES} - set(loaded) == {"runbook-names.rules.yml"}
    assert "# - runbook-names.rules.yml" in text
    assert all((PLACE / name).exists() for name in loaded)


def test_the_alerts_of_ourselves_are_never_sent_to_ourselves() -> None:
    for case in yaml.safe_load((PLACE / "alertmanager.routes.yml").read_text(encoding="utf-8")):
        name = case["labels"]["alertname"]
        if name.startswith("Remediator") and name != "RemediatorTest":
            assert case["receivers"] == ["people"]


def shipped() -> Iterator[tuple[str, str]]:
    """The shipped rules, each with a matcher on `alertname`."""
    for path in sorted(HOUSE.glob("rules/**/*.yml")):
        for rule in items(tree(path), "rules"):
            texts = rule.get("match")
            for text in texts if isinstance(texts, list) else []:
                yield f"{path.name}: {rule['name']}", str(text)


@pytest.mark.parametrize(("rule", "text"), list(shipped()))
def test_every_rule_waits_for_alerts_that_somebody_raises(rule: str, text: str) -> None:
    for one in parse_matchers(text):
        if one.label == "alertname" and one.operator in (Operator.EQUAL, Operator.MATCHES):
            assert one.literals is not None, rule
            assert set(one.literals) <= set(NAMES), rule


def panels() -> list[tuple[str, str]]:
    board = json.loads((PLACE / "grafana/dashboards/remediator.json").read_text(encoding="utf-8"))
    found = [(one["name"], one["expr"]) for one in board["annotations"]["list"]]
    for panel in board["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel.get("targets", [])]
    return found


@pytest.mark.parametrize(("title", "expr"), panels())
def test_every_panel_asks_for_series_that_are_there(title: str, expr: str, known: set[str]) -> None:
    assert strangers(expr, known) == set(), title


def test_the_dashboard_can_be_provisioned_anywhere() -> None:
    text = (PLACE / "grafana/dashboards/remediator.json").read_text(encoding="utf-8")
    board = json.loads(text)
    assert board["uid"] == "remediator-kumomta"
    assert "__inputs" not in board
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(numbers) == len(set(numbers))
    sources = set(re.findall(r'"uid": "([^"]+)"', text)) - {board["uid"]}
    assert sources == {"${datasource}"}


def test_the_demo_raises_alerts_of_the_same_names_and_gravity() -> None:
    text = (FILES / "prometheus.rules.yml").read_text(encoding="utf-8")
    demo = {
        str(rule["alert"]): rule["labels"]
        for group in items(yaml.safe_load(text), "groups")
        for rule in items(group, "rules")
        if "alert" in rule
    }
    assert demo
    assert demo == {str(rule["alert"]): rule["labels"] for rule in ALERTS if rule["alert"] in demo}
