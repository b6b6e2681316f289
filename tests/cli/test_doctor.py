"""doctor and check --prometheus.url: forms, exit codes, the marked alert. What is found: tests/unit/doctor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest
import respx

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli

RULES = """\
version: 1
rules:
  - name: note-it
    summary: Look at it.
    match: [alertname = Something]
    group_by: [instance]
    when: { expr: 'something{instance="{{ labels.instance }}"} > 1' }
    playbook: look
playbooks:
  - name: look
    steps: [{ name: Look, action: wait, with: { seconds: 1s } }]
"""
SETTINGS = """\
mode: dry-run
rule_files: [rules.yml]
storage: { path: data }
prometheus: { url: "http://prometheus:9090" }
alertmanager: { url: "http://alertmanager:9093" }
receivers: [{ name: on-call }]
notify: { critical: [on-call], warning: [on-call] }
escalate: [on-call]
"""
SERVICE = "http://127.0.0.1:9097"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in (("rules.yml", RULES), ("remediator.yml", SETTINGS)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def nobody(mock: respx.MockRouter) -> None:
    mock.get(url__regex="http://(prometheus|alertmanager):.*").mock(side_effect=httpx.ConnectError("refused"))


def test_a_no_comes_with_what_to_do_and_exit_1(cli: Cli, place: Path) -> None:
    with respx.mock as mock:
        nobody(mock)
        result = cli("remediator doctor")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("✗ prometheus"))
    assert "http://prometheus:9090 does not answer" in lines[at]
    assert lines[at + 1].lstrip().startswith("→ start it, or correct prometheus.url")
    assert lines[-1].endswith("–")


def test_the_same_as_json(cli: Cli, place: Path) -> None:
    with respx.mock as mock:
        nobody(mock)
        result = cli("remediator doctor -o json --config.file remediator.yml")
    found = json.loads(result.stdout)
    assert {one["mark"] for one in found} == {"good", "bad", "untold"}
    assert all(one["fix"] for one in found if one["mark"] == "bad")


def test_settings_that_are_not_there_are_a_usage_error(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli("remediator doctor")
    assert result.exit_code == 2
    assert "there is no remediator.yml here" in result.stderr


def test_the_marked_alert_is_looked_for_in_the_journal(cli: Cli, place: Path) -> None:
    posted: list[str] = []

    def post(request: httpx.Request) -> httpx.Response:
        posted.append(json.loads(request.content)[0]["labels"]["remediator_test"])
        return httpx.Response(200)

    def entries(request: httpx.Request) -> httpx.Response:
        assert request.url.params["after"] == "7"
        alert = {"labels": {"remediator_test": posted[0]}, "disposals": [{"disposition": "unmatched"}]}
        other = {"labels": {"remediator_test": "another"}, "disposals": []}
        lines = [
            {"seq": 8, "at": 1.0, "kind": "notification.received", "fact": {"alerts": 1}},
            {"seq": 9, "at": 1.0, "kind": "notification.disposed", "fact": {"alerts": [other, alert]}},
        ]
        return httpx.Response(200, json={"status": "success", "data": {"entries": lines, "head": 9}})

    with respx.mock as mock:
        nobody(mock)
        mock.get(f"{SERVICE}/api/v1/status").respond(200, json={"status": "success", "data": {"entries": 7}})
        mock.post("http://alertmanager:9093/api/v2/alerts").mock(side_effect=post)
        mock.get(f"{SERVICE}/api/v1/entries").mock(side_effect=entries)
        result = cli("remediator doctor --send-test -o json")
    last = json.loads(result.stdout)[-1]
    assert (last["area"], last["mark"]) == ("send-test", "good")
    assert "decision (unmatched)" in last["sentence"]


def test_a_service_that_is_not_there_cannot_be_sent_a_test(cli: Cli, place: Path) -> None:
    with respx.mock as mock:
        nobody(mock)
        mock.get(f"{SERVICE}/api/v1/status").mock(side_effect=httpx.ConnectError("refused"))
        assert cli("remediator doctor --send-test").exit_code == 4


def test_check_asks_prometheus_only_when_it_is_told_one(cli: Cli, place: Path) -> None:
    base = "http://prometheus:9090/api/v1"

    def answer(data: object) -> httpx.Response:
        return httpx.Response(200, json={"status": "success", "data": data})

    assert cli("remediator check rules.yml --lint-fatal").exit_code == 3  # no-verify, and no question
    with respx.mock as mock:
        mock.get(f"{base}/status/buildinfo").mock(return_value=answer({"version": "2.42.0"}))
        mock.get(f"{base}/rules").mock(return_value=answer({"groups": []}))
        mock.get(f"{base}/label/__name__/values").mock(return_value=answer([]))
        mock.get(f"{base}/series").mock(return_value=answer([]))
        result = cli("remediator check rules.yml --prometheus.url http://prometheus:9090 --lint-fatal")
    assert result.exit_code == 3
    assert "rules.yml:3:1: warning[series-missing]: something does not exist; asked for by note-it" in result.stdout
    assert "warning[alert-not-defined]: no alert Something is defined" in result.stdout


def test_check_cannot_tell_without_an_answer(cli: Cli, place: Path) -> None:
    with respx.mock as mock:
        nobody(mock)
        result = cli("remediator check rules.yml --prometheus.url http://prometheus:9090")
        broken = place / "rules.yml"
        broken.write_text(RULES.replace("group_by", "gruop_by"))
        assert cli("remediator check rules.yml --prometheus.url http://prometheus:9090").exit_code == 1
    assert result.exit_code == 4
    assert "does not answer" in result.stderr
