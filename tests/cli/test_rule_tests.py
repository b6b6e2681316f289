"""`remediator test`: exit codes, forms, coverage, and which files are looked at."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

HOUSE = Path(__file__).parents[2]
FIXTURES = HOUSE / "tests" / "rehearsal" / "fixtures"
TESTS = """\
version: 1
rule_files: [mail.yml]
tests:
  - name: a deep queue is let out faster
    alert: { labels: { alertname: KumoQueueDepthHigh, instance: mta1, domain: gmail.com } }
    answers: { when: 9000, require: 300, verify: 3000 }
    expect: { result: succeeded }
  - name: a <wrong> test
    alert: { labels: { alertname: KumoQueueDepthHigh, instance: mta1, domain: gmail.com } }
    answers: { when: 9000, require: 300, verify: 3000 }
    expect: { result: failed }
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Rules with one test that passes and one that does not, in the working directory."""
    rules = tmp_path / "rules"
    rules.mkdir()
    shutil.copy(FIXTURES / "mail.yml", rules)
    (rules / "mail_test.yml").write_text(TESTS)
    return rules


def test_a_test_that_fails_is_told_with_its_place_and_a_diff(cli: Cli, site: Path) -> None:
    result = cli("remediator test")
    assert result.exit_code == 1
    assert "rules/mail_test.yml:11:23: failed: a <wrong> test: result of high-queue-depth\n" in result.stdout
    assert "      - failed\n      + succeeded: 3000\n" in result.stdout
    assert result.stdout.endswith("rules/mail_test.yml: 1 of 2 failed\n")


def test_only_the_tests_that_are_meant_are_run(cli: Cli, site: Path) -> None:
    result = cli("remediator test rules --run deep")
    assert (result.exit_code, result.stdout) == (0, "rules/mail_test.yml: 1 passed\n")


def test_debugging_tells_everything_that_happened(cli: Cli, site: Path) -> None:
    told = cli("remediator test rules/mail_test.yml --debug").stdout
    assert "── a <wrong> test\n" in told
    assert "── a deep queue is let out faster" not in told
    assert re.search("decided      run: [0-9]+ guards passed", told)
    assert "── a deep queue" in cli("remediator test --run deep --debug").stdout


def test_coverage_is_told_and_may_be_demanded(cli: Cli, site: Path) -> None:
    told = cli("remediator test --run deep --coverage")
    assert told.exit_code == 0
    assert "coverage 11 % (rules 1/3, steps 2/8, guards 2/18, failures 1/24)\n" in told.stdout
    assert "      not seen  rules    delivery-stopped\n" in told.stdout
    assert cli("remediator test --run deep --coverage-min 100").exit_code == 1
    assert cli("remediator test --run deep --coverage-threshold 5").exit_code == 0


def test_the_forms_for_tools_say_the_same(cli: Cli, site: Path, tmp_path: Path) -> None:
    result = cli("remediator test -o json --junit report.xml")
    assert result.exit_code == 1
    (file,) = json.loads(result.stdout)["files"]
    assert [test["passed"] for test in file["tests"]] == [True, False]
    assert file["tests"][1]["differences"][0]["line"] == 11
    assert json.loads(result.stdout)["coverage"]["rules"] == {"seen": 1, "of": 3}
    written = (tmp_path / "report.xml").read_text()
    assert cli("remediator test -o junit").stdout == written
    suite = ET.fromstring(written)[0]  # noqa: S314 - our own
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    assert [case.get("name") for case in suite] == ["a deep queue is let out faster", "a <wrong> test"]


def test_a_file_that_cannot_be_used_is_an_error_in_every_form(cli: Cli, site: Path) -> None:
    (site / "mail.yml").write_text("version: 2\n")
    assert "bad-version" in cli("remediator test").stdout
    suite = ET.fromstring(cli("remediator test -o junit").stdout)[0]  # noqa: S314 - our own
    assert suite.get("errors") == "1"
    (file,) = json.loads(cli("remediator test -o json").stdout)["files"]
    assert file["problems"][0]["name"] == "bad-version"


@pytest.mark.parametrize("line", ["test", "test rules", "test --run '('"])
def test_without_tests_or_with_a_bad_expression_the_usage_is_wrong(cli: Cli, tmp_path: Path, line: str) -> None:
    (tmp_path / "rules").mkdir()
    assert cli(f"remediator {line}").exit_code == 2
