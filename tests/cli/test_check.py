"""check and schema: exit codes, forms, and which files are looked at. What is a fault is tested with the configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.kit.small_rules import pausing_a_domain

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli

GOOD = (
    pausing_a_domain("dry-run")
    + """\
    verify:
      - expr: kumo:bounce_ratio{domain="{{ params.domain }}"} < 0.10
        for: 5m
        within: 20m
"""
)
WARNED = GOOD[: GOOD.index("    verify:")]
BROKEN = GOOD.replace("group_by", "gruop_by")
SETTINGS = "mode: dry-run\nrule_files: [rules/*.yml]\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Settings and one good file of rules in the working directory, with a test file beside it."""
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "mail.yml").write_text(GOOD)
    (rules / "mail_test.yml").write_text("tests: []\n")
    (tmp_path / "remediator.yml").write_text(SETTINGS)
    return tmp_path


@pytest.mark.parametrize(
    "line", ["check", "check --config.file remediator.yml", "check rules", "check rules/mail.yml", "check --lint-fatal"]
)
def test_good_files_are_counted_and_nothing_else_is_said(line: str, cli: Cli, site: Path) -> None:
    result = cli(f"remediator {line}")
    files = "1 file" if "rules" in line else "2 files"
    assert result.stdout == f"{files}, 1 rule, 1 playbook, 1 step — 0 errors, 0 warnings\n"
    assert result.exit_code == 0
    assert site.exists()


def test_a_fault_is_shown_in_its_line_with_what_was_meant(cli: Cli, site: Path) -> None:
    (site / "rules" / "mail.yml").write_text(BROKEN)
    result = cli("remediator check")
    assert result.exit_code == 1
    assert "rules/mail.yml:6:5: error[unknown-field]" in result.stdout
    assert "did you mean 'group_by'?" in result.stdout
    assert "      |     ^^^^^^^^" in result.stdout


def test_a_warning_is_exit_0_and_with_lint_fatal_3(cli: Cli, site: Path) -> None:
    (site / "rules" / "mail.yml").write_text(WARNED)
    assert "warning[no-verify]" in cli("remediator check").stdout
    assert cli("remediator check").exit_code == 0
    assert cli("remediator check --lint-fatal").exit_code == 3
    (site / "rules" / "mail.yml").write_text(BROKEN)
    assert cli("remediator check --lint-fatal").exit_code == 1


@pytest.mark.parametrize("form", ["json", "github", "junit"])
def test_each_form_tells_the_same_fault_to_its_tool(form: str, cli: Cli, site: Path) -> None:
    (site / "rules" / "mail.yml").write_text(BROKEN)
    result = cli(f"remediator check -o {form}")
    assert result.exit_code == 1
    match form:
        case "json":
            told = json.loads(result.stdout)
            assert (6, "unknown-field") in [(one["line"], one["name"]) for one in told["problems"]]
        case "github":
            assert ",line=6,col=5,title=unknown-field::" in result.stdout
        case _:
            suite = ET.fromstring(result.stdout.split("\n", 1)[1])  # noqa: S314  (we wrote it)
            assert (suite.get("tests"), suite.get("failures")) == ("2", "1")


def test_faults_of_the_settings_are_found_too(cli: Cli, site: Path) -> None:
    (site / "remediator.yml").write_text(SETTINGS + "mdoe: auto\n")
    result = cli("remediator check")
    assert result.exit_code == 1
    assert "did you mean 'mode'?" in result.stdout


def test_nothing_to_check_is_a_usage_error(cli: Cli, tmp_path: Path) -> None:
    assert cli("remediator check").exit_code == 2
    (tmp_path / "empty").mkdir()
    result = cli("remediator check empty")
    assert result.exit_code == 2
    assert "there is no *.yml below it" in result.stderr
    assert cli("remediator check missing.yml").exit_code == 2


def test_the_examples_of_its_help_work(cli: Cli, site: Path) -> None:
    for line in (
        "remediator check rules/mail.yml",
        "remediator check --config.file remediator.yml --lint-fatal -o github",
    ):
        assert cli(line).exit_code == 0
    assert site.exists()


@pytest.mark.parametrize(
    ("kind", "names"), [("", "rules"), ("rules", "rules"), ("tests", "rule_files"), ("config", "rule_files")]
)
def test_a_schema_is_one_json_document_with_the_fields_of_its_file(kind: str, names: str, cli: Cli) -> None:
    result = cli(f"remediator schema {kind}")
    schema = json.loads(result.stdout)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert names in schema["properties"]


def test_the_schema_of_rules_knows_the_actions_in_force(cli: Cli) -> None:
    assert '"const": "kumomta.suspend"' in cli("remediator schema").stdout
