"""Every fault in a file of tests is told as those of rules are: place, sentence, and what to write; all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediator.config.cases import case_files
from remediator.rehearsal import rehearse, reporting
from tests.rehearsal.conftest import ALERT, RULES, Rehearse

BAD = """\
version: 1
rule_files: [rules.yml]
mode: often
tests:
  - name: it
    alert: { labels: { alertname: Bounces }, att: 1m }
    answers: { when: maybe, verify: [] , require: { soon: 1 } }
    actions: { Slow down: perhaps }
    undo: { Slow down: [] }
    expect: { decision: maybe, guards: { when: no-way }, incidents: many, result: x, rseult: y }
  - name: it
    expect: {}
  - name: third
    start: tomorrow
    alert: { labels: { alertname: Bounces } }
    alerts: []
    people: [{ at: 1m }, { approve: a, reject: b }]
    expect: { result: x }
"""
TOLD = [
    "3:7: error[bad-mode]: mode: 'often' is not a mode",
    "6:46: error[unknown-field]: an alert has no field 'att'",
    "7:22: error[bad-answer]: when: 'maybe' is no answer",
    "7:37: error[empty-list]: 'verify' is empty",
    "7:51: error[bad-duration]: require: 'soon' is not a duration; write the time since the start",
    "8:27: error[unknown-word]: Slow down: 'perhaps' is not known here",
    "9:24: error[empty-list]: 'Slow down' is empty",
    "10:25: error[unknown-word]: decision: 'maybe' is not known here",
    "10:48: error[unknown-word]: when: 'no-way' is not known here",
    "10:69: error[wrong-type]: 'incidents' must be a whole number, not 'many'",
    "10:86: error[unknown-field]: 'expect' has no field 'rseult'",
    "11:5: error[missing-field]: nothing happens in this test; write alert: { labels: … }, or schedule: RULE",
    "11:11: error[duplicate-name]: there is another test 'it', in line 5",
    "14:12: error[bad-time]: start: 'tomorrow' is no moment",
    "15:5: error[unknown-field]: 'alert' beside 'alerts'; put it into the list",
    "17:14: error[missing-field]: a person does exactly one of",
    "17:26: error[missing-field]: a person does exactly one of",
]


def test_all_faults_of_a_file_are_told_at_once_with_their_places(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(RULES, encoding="utf-8")
    (tmp_path / "bad_test.yml").write_text(BAD, encoding="utf-8")
    outcome = rehearse(tmp_path / "bad_test.yml")
    assert not outcome.passed
    assert outcome.results == []
    told = [str(problem).replace(f"{tmp_path}/bad_test.yml:", "") for problem in outcome.problems]
    assert [(got, wanted) for got, wanted in zip(told, TOLD, strict=False) if not got.startswith(wanted)] == []
    assert len(told) == len(TOLD)


def test_a_fault_of_the_rules_is_told_as_check_tells_it(rehearsed: Rehearse) -> None:
    outcome = rehearsed(f"{ALERT}\nexpect: {{ incidents: 0 }}", rules=RULES.replace("match:", "mach:"))
    assert {problem.name for problem in outcome.problems} == {"unknown-field", "missing-field"}
    assert "rules.yml" in reporting.text([outcome])
    assert reporting.text([outcome]).endswith("cannot be tested\n")


@pytest.mark.parametrize("text", ["", "- a\n", "tests: [\n"])
def test_what_is_no_file_of_tests_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x_test.yml").write_text(text, encoding="utf-8")
    assert rehearse(tmp_path / "x_test.yml").problems


def test_a_file_that_is_not_there_is_a_problem_of_its_own(tmp_path: Path) -> None:
    assert [problem.name for problem in rehearse(tmp_path / "gone_test.yml").problems] == ["no-such-file"]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (f"{ALERT}\nexpect: {{ rule: bouncs, result: x }}", "there is no rule 'bouncs'"),
        ("schedule: hourlyy\nexpect: { result: x }", "there is no rule 'hourlyy'"),
        ("schedule: bounces\nexpect: { result: x }", "this rule has no schedule"),
    ],
)
def test_rules_that_a_test_names_have_to_be_there(rehearsed: Rehearse, lines: str, sentence: str) -> None:
    assert [problem.sentence for problem in rehearsed(lines).problems] == [sentence]


def test_directories_are_looked_through_for_files_of_tests(tmp_path: Path) -> None:
    for name in ("a_test.yml", "a.yml", "sub/b_test.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("", encoding="utf-8")
    found = case_files([tmp_path, tmp_path / "a_test.yml", tmp_path / "a.yml"])
    assert [path.name for path in found] == ["a_test.yml", "b_test.yaml", "a.yml"]
