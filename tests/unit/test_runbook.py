"""The coverage of the runbook: no line without a row, no row that names what there is not, and a page that is up to date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from scripts.coverage_page import FIELDS, PAGE, Line, faults, known, lines, page, panels, rows, telling

ROW: Mapping[str, Any] = {**dict.fromkeys(FIELDS, "-"), "by": ["manual"], "mode": "manual"}
LINES = [Line(number=14, kind="command", text="docker-compose ps"), Line(number=17, kind="command", text="curl -f")]


def test_every_line_of_the_runbook_has_a_row_and_whatever_it_names_is_there() -> None:
    told = lines()
    assert len(told) > 100
    assert faults(told, rows(), known()) == []


def test_the_page_is_the_one_that_the_table_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(lines(), rows())


def test_every_command_of_the_runbook_is_on_the_page_word_for_word() -> None:
    text = PAGE.read_text(encoding="utf-8")
    commands = [line for line in lines() if line.kind == "command"]
    assert len(commands) > 60
    assert [
        one.number for one in commands if f"| {one.number} | `{one.text.replace('|', chr(92) + '|')}` |" not in text
    ] == []


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({14: ROW}, "line 17 has no row"),
        ({14: ROW, 17: ROW, 18: ROW}, "row 18 is of no line"),
        ({14: ROW, 17: {**ROW, "by": ["rule gone"]}}, "row 17 names 'rule gone', which does not exist"),
        ({14: ROW, 17: {**ROW, "by": []}}, "row 17 names nothing that stands for it"),
        ({14: ROW, 17: {**ROW, "mode": "sometimes"}}, "row 17 is done 'sometimes'"),
        ({14: ROW, 17: {**ROW, "mode": "automatic"}}, "row 17 is automatic, but only people stand for it"),
        ({14: ROW, 17: {**ROW, "undo": None}}, "row 17 does not say undo"),
        ({14: ROW, 17: {**ROW, "whose": "ours"}}, "row 17 says whose, which no row says"),
    ],
)
def test_a_table_that_says_what_is_not_so_is_refused(answers: Mapping[int, Mapping[str, Any]], told: str) -> None:
    (found,) = faults(LINES, answers, frozenset({"manual"}))
    assert told in found


def test_lines_stand_in_the_order_of_the_runbook() -> None:
    assert faults(LINES[::-1], {14: ROW, 17: ROW}, frozenset({"manual"})) == ["line 14 stands after line 17"]


def test_what_a_runbook_tells_to_do_is_found_in_it() -> None:
    text = """# Runbook
### **Morning check (9:00 AM)**
#### **1. Look**
- Look at the mail
```bash
# 1. Look
docker ps

# 2. Balance
# Configure haproxy
```
Some prose.
#### **Queue (> 5,000)**
"""
    assert telling(text) == [2, 4, 7, 10, 13]


def test_panels_in_rows_of_a_dashboard_are_found_too() -> None:
    board = {"panels": [{"title": "Mail", "panels": [{"title": "Queue"}]}, {"title": "Disk"}]}
    assert list(panels(board)) == ["Mail", "Queue", "Disk"]
