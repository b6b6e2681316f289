"""Explain: what is asked, from which alert, and what is said where no service answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    import respx

    from tests.cli.conftest import Api, Cli, Night

ALERT = "alertname=HighBounceRate,domain=gmail.com"


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (ALERT, {"alertname": "HighBounceRate", "domain": "gmail.com"}),
        ('{alertname="X", note="a, \\"b\\" = c"}', {"alertname": "X", "note": 'a, "b" = c'}),
        ("alertname = X , queue=campaign:tenant@a.example", {"alertname": "X", "queue": "campaign:tenant@a.example"}),
        ("a=1,", {"a": "1"}),
    ],
)
def test_labels_are_read_as_people_and_as_prometheus_write_them(
    text: str, labels: dict[str, str], cli: Cli, api: Api
) -> None:
    assert cli(f"remediator explain --alert '{text}'").exit_code == 0
    assert api.asked("POST") == [("/api/v1/explain", {"labels": labels})]


@pytest.mark.parametrize("text", ["", "alertname", "=x", 'a="x', "1a=b", 'a=x"y'])
def test_what_is_no_label_is_a_usage_error_with_an_example(text: str, cli: Cli, api: Api) -> None:
    result = cli(f"remediator explain --alert '{text}'")
    assert result.exit_code == 2
    assert "alertname=HighBounceRate" in result.stderr
    assert api.asked("POST") == []


def test_every_alert_of_a_notification_is_explained(cli: Cli, api: Api, tmp_path: Path) -> None:
    alerts = [{"labels": {"alertname": name}, "status": "firing"} for name in ("A", "B")]
    body = json.dumps({"version": "4", "groupLabels": {}, "alerts": alerts})
    (tmp_path / "payload.json").write_text(body)
    result = cli("remediator explain payload.json")
    assert [asked["labels"] for _, asked in api.asked("POST")] == [{"alertname": "A"}, {"alertname": "B"}]
    assert [line for line in result.stdout.splitlines() if line.startswith("alert ")] == [
        "alert alertname=A",
        "alert alertname=B",
    ]
    assert cli("remediator explain -", piped=body).stdout == result.stdout


def test_one_alert_alone_is_taken_too(cli: Cli, api: Api) -> None:
    assert cli("remediator explain -", piped='{"labels": {"alertname": "A"}}').exit_code == 0
    assert api.asked("POST") == [("/api/v1/explain", {"labels": {"alertname": "A"}})]


@pytest.mark.parametrize("body", ["", "no json", "[]", '{"alerts": []}', '{"alerts": [{}]}', '{"labels": {"a": 1}}'])
def test_what_is_no_notification_is_a_usage_error(body: str, cli: Cli, api: Api) -> None:
    assert cli("remediator explain -", piped=body).exit_code == 2
    assert api.asked("POST") == []


@pytest.mark.parametrize("line", ["explain", f"explain missing.json --alert {ALERT}", "explain missing.json"])
def test_no_alert_two_alerts_and_no_file_are_usage_errors(line: str, cli: Cli, api: Api) -> None:
    assert cli(f"remediator {line}").exit_code == 2
    assert api.asked("POST") == []


@pytest.mark.parametrize(
    ("would", "code"), [("run", 0), ("ask", 0), ("hold", 1), ("refuse", 1), ("join", 1), ("no_match", 1)]
)
def test_the_exit_code_says_whether_anything_would_be_done(
    would: str, code: int, cli: Cli, api: Api, night: Night
) -> None:
    first = json.loads(_encoded(night))
    api.give("POST", "/api/v1/explain", {"rules": [{**first, "would": would}]})
    assert cli(f"remediator explain --alert {ALERT}").exit_code == code


def _encoded(night: Night) -> bytes:
    import msgspec

    return msgspec.json.encode(night.explanations[0])


def test_one_rule_can_be_asked_for(cli: Cli, api: Api) -> None:
    result = cli(f"remediator explain --alert {ALERT} --rule high-queue-depth")
    assert result.exit_code == 1
    assert "rule high-bounce-rate" not in result.stdout
    assert api.asked("POST")


def test_a_rule_that_starts_by_the_clock_is_explained_without_an_alert(cli: Cli, api: Api, night: Night) -> None:
    due = msgspec.structs.replace(
        night.explanations[0],
        matches=(),
        schedule="it starts by its schedule 0 9 * * * (UTC), next 2026-09-22 09:00:00Z",
    )
    api.give("POST", "/api/v1/explain", {"rules": [msgspec.to_builtins(due)]})
    result = cli("remediator explain --rule high-bounce-rate")
    assert result.exit_code == 0
    assert api.asked("POST") == [("/api/v1/explain", {"labels": {}, "rule": "high-bounce-rate"})]
    assert "start   it starts by its schedule 0 9 * * * (UTC)" in result.stdout


def test_without_a_service_the_way_to_do_without_is_named(cli: Cli, nobody: respx.MockRouter) -> None:
    result = cli(f"remediator explain --alert {ALERT}")
    assert result.exit_code == 4
    assert "--config.file" in result.stderr
    assert nobody.calls
    offline = cli(f"remediator explain --alert {ALERT} --offline")
    assert offline.exit_code == 2
    assert "--config.file" in offline.stderr
