"""Problems for people and for tools."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

from remediator.config.report import (
    github_report,
    json_report,
    junit_report,
    read_sources,
    summary_line,
    text_report,
)
from remediator.errors import Position, Problem

ERROR = Problem(
    position=Position("rules/mail.yml", 2, 7),
    name="unknown-field",
    sentence="'when' has no field 'fro'",
    fix="did you mean 'for'?",
)
WARNING = Problem(position=Position("b.yml", 1, 1), name="no-verify", sentence="50 % <b>\nnothing", severity="warning")
SOURCES = {"rules/mail.yml": ("a:", "      fro: 2m"), "b.yml": ("",)}


def test_a_problem_is_shown_with_its_line_and_a_caret() -> None:
    assert text_report([ERROR], SOURCES) == (
        "rules/mail.yml:2:7: error[unknown-field]: 'when' has no field 'fro'\n"
        "    2 |       fro: 2m\n"
        "      |       ^^^ did you mean 'for'?\n"
    )


def test_a_problem_without_a_line_is_still_told_with_its_cure() -> None:
    assert text_report([ERROR], {}) == f"{ERROR}\n"


def test_a_file_cannot_write_on_the_readers_screen() -> None:
    problem = Problem(position=Position("a.yml", 1, 4), name="x", sentence="\x1b[2J\u202e")
    report = text_report([problem], {"a.yml": ("a: \x1b[31m\u202eb",)})
    assert "\x1b" not in report
    assert "\u202e" not in report


def test_a_line_with_a_secret_is_not_shown() -> None:
    secret = Problem(position=Position("a.yml", 1, 1), name="literal-secret", sentence="a secret")
    other = Problem(position=Position("a.yml", 1, 20), name="unknown-field", sentence="unknown")
    assert "hunter2" not in text_report([secret, other], {"a.yml": ("password: hunter2, x: y",)})


def test_a_long_line_is_shown_around_its_fault() -> None:
    problem = Problem(position=Position("a.yml", 1, 5001), name="x", sentence="here")
    _, shown, caret = text_report([problem], {"a.yml": ("a" * 4999 + " word " + "b" * 5000,)}).splitlines()
    assert len(shown) < 120
    assert shown[caret.index("^") :] == "word"


def test_wide_characters_do_not_move_the_caret() -> None:
    problem = Problem(position=Position("a.yml", 1, 5), name="x", sentence="here")
    _, _, caret = text_report([problem], {"a.yml": ("日本: word",)}).splitlines()
    assert caret == "      |       ^^^^"


def test_the_summary_counts() -> None:
    assert summary_line([ERROR, WARNING, WARNING], "3 files") == "3 files — 1 error, 2 warnings\n"


def test_json_has_every_part_of_every_problem() -> None:
    whole = json.loads(json_report([ERROR, WARNING]))
    assert (whole["errors"], whole["warnings"]) == (1, 1)
    assert whole["problems"][0] == {
        "file": "rules/mail.yml",
        "line": 2,
        "column": 7,
        "severity": "error",
        "name": "unknown-field",
        "sentence": "'when' has no field 'fro'",
        "fix": "did you mean 'for'?",
    }


def test_github_gets_one_line_a_problem() -> None:
    first, second = github_report([ERROR, WARNING]).splitlines()
    assert first == (
        "::error file=rules/mail.yml,line=2,col=7,title=unknown-field::'when' has no field 'fro'; did you mean 'for'?"
    )
    assert second.startswith("::warning file=b.yml,line=1,col=1,title=no-verify::50 %25 <b>")


def test_junit_fails_the_files_that_have_errors() -> None:
    suite = ET.fromstring(junit_report([ERROR, WARNING], ["b.yml", "c.yml"]).encode())  # noqa: S314
    cases = {case.get("name"): [part.tag for part in case] for case in suite}
    assert cases == {"b.yml": ["system-out"], "c.yml": [], "rules/mail.yml": ["failure"]}
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")


def test_sources_are_read_once_and_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.write_text("a: 1\n")
    problems = [Problem(position=Position(str(name), 1, 1), name="x", sentence="y") for name in (path, tmp_path / "b")]
    assert read_sources(problems) == {str(path): ["a: 1"], str(tmp_path / "b"): ()}
