"""Builds docs/runbook-coverage.md from docs/runbook/: `--write` writes it, `--check` fails if it is stale or untrue.

Untrue is a line without a row, a row without a line, or a row that names a rule, step, alert, record, panel or setting
that there is not. `--against FILE` says which lines of a runbook docs/runbook/lines.yml does not have.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from remediator.config import load_rules
from remediator.core.rules import Mode
from remediator.plugins import describe_catalogue

HOUSE = Path(__file__).resolve().parent.parent
PAGE = HOUSE / "docs" / "runbook-coverage.md"
SOURCE = HOUSE / "docs" / "runbook"
FIELDS = ("does", "by", "mode", "why", "undo", "verify", "flaw")
MODES = ("automatic", "approve", "by hand", "manual", "not done")
# The runbook's sections, by the line that each begins at.
SECTIONS = {
    1: "Daily operations",
    79: "Incident response",
    160: "Performance tuning",
    219: "Maintenance",
    254: "Monitoring and alerting",
    278: "Scaling",
    307: "Emergency contacts",
    322: "Command reference",
}
_TELLING = re.compile(r"\d{1,2}(?::\d\d)? ?(?:AM|PM)|Response:|[<>] ?\d|First Sunday|\d[KM]\+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the runbook that tells somebody to do or to look at something."""

    number: int
    kind: str
    text: str


Row = Mapping[str, Any]


def lines(source: Path = SOURCE) -> list[Line]:
    """The runbook's lines, in its order."""
    found = yaml.safe_load((source / "lines.yml").read_text(encoding="utf-8"))["lines"]
    return [Line(number=one["line"], kind=one["kind"], text=one["text"]) for one in found]


def rows(source: Path = SOURCE) -> dict[int, Row]:
    """What stands for each line; `like` is resolved."""
    written = yaml.safe_load((source / "coverage.yml").read_text(encoding="utf-8"))["coverage"]
    return {
        number: {**written.get(row.get("like"), {}), **{name: value for name, value in row.items() if name != "like"}}
        for number, row in written.items()
    }


def known() -> frozenset[str]:
    """Everything that a row may name, as it names it."""
    paths = sorted(path for path in (HOUSE / "rules").glob("*.yml") if not path.name.endswith("_test.yml"))
    ruleset = load_rules(paths, describe_catalogue(), server_mode=Mode.AUTO).ruleset
    found = {"manual", *(f"rule {rule.name}" for rule in ruleset.rules)}
    for playbook in ruleset.playbooks.values():
        found.add(f"playbook {playbook.name}")
        found |= {f"step {playbook.name} / {step.name}" for step in playbook.steps}
    for path in (HOUSE / "monitoring").rglob("*.yml"):
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        for group in document.get("groups", []) if isinstance(document, dict) else []:
            found |= {f"{kind} {rule[kind]}" for rule in group["rules"] for kind in ("alert", "record") if kind in rule}
    for path in (HOUSE / "monitoring").rglob("*.json"):
        found |= {f"panel {title}" for title in panels(json.loads(path.read_text(encoding="utf-8")))}
    schema = json.loads((HOUSE / "docs" / "reference" / "settings.schema.json").read_text(encoding="utf-8"))
    return frozenset(found | {f"setting {name}" for name in schema["properties"]})


def panels(board: object) -> Iterator[str]:
    """The titles of a dashboard's panels, of those in rows too."""
    if isinstance(board, dict):
        for panel in board.get("panels", []):
            yield str(panel.get("title", ""))
            yield from panels(panel)


def faults(told: list[Line], answers: Mapping[int, Row], names: frozenset[str]) -> list[str]:
    """What is untrue, as sentences."""
    numbers = [line.number for line in told]
    found = [f"line {number} has no row" for number in numbers if number not in answers]
    found += [f"row {number} is of no line" for number in answers if number not in numbers]
    found += [f"line {after} stands after line {before}" for before, after in pairwise(numbers) if after <= before]
    for number, row in sorted(answers.items()):
        found += [f"row {number} does not say {field}" for field in FIELDS if row.get(field) is None]
        found += [f"row {number} says {field}, which no row says" for field in row if field not in FIELDS]
        found += [
            f"row {number} names {name!r}, which does not exist" for name in row.get("by") or () if name not in names
        ]
        if not row.get("by"):
            found.append(f"row {number} names nothing that stands for it")
        if row.get("by") == ["manual"] and row.get("mode") in {"automatic", "approve", "by hand"}:
            found.append(f"row {number} is {row['mode']}, but only people stand for it")
        if row.get("mode") not in MODES:
            found.append(f"row {number} is done {row.get('mode')!r}: expected one of {', '.join(MODES)}")
    return found


def page(told: list[Line], answers: Mapping[int, Row]) -> str:
    """The whole page."""
    counts = {mode: sum(row["mode"] == mode for row in answers.values()) for mode in MODES}
    tally = ", ".join(f"{count} {mode}" for mode, count in counts.items())
    flawed = sum(bool(row["flaw"]) for row in answers.values())
    parts = [
        "<!-- Generated by `scripts/coverage_page.py --write` from docs/runbook/; edit those. -->\n",
        "# The runbook, line by line\n",
        "Every command and every instruction of the runbook, in its order, and what stands for it here. A test holds that",
        "no line is without a row, and that all that a row names exists in `rules/`, `monitoring/` or the settings.",
        "The five incidents are played from their metric to recovery and undo, on the shipped files, by",
        "`tests/e2e/test_site.py`.\n",
        f"{len(told)} lines: {tally}. {flawed} of them cannot work as written, or not as they are meant.\n",
    ]
    begins = dict(SECTIONS)
    for line in told:
        for start in [start for start in begins if start <= line.number]:
            parts += [f"\n## {begins.pop(start)}\n", HEAD, "| --- | --- | --- | --- | --- | --- | --- |"]
        parts.append(row_of(line, answers[line.number]))
    return "\n".join(parts) + "\n"


HEAD = "| line | the runbook says | what we do | how, and why | taken back | verified | what cannot work as written |"


def row_of(line: Line, row: Row) -> str:
    """One line of the table."""
    says = f"`{line.text}`" if line.kind == "command" else line.text
    by = ", ".join(reference(name) for name in row["by"])
    cells = (f"{line.number}", says, f"{row['does']} ({by})", f"**{row['mode']}**: {row['why']}", row["undo"],
             row["verify"], row["flaw"] or "—")  # fmt: skip
    return "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in cells) + " |"


def reference(name: str) -> str:
    """`rule R` as people read it."""
    kind, _, rest = name.partition(" ")
    return f"{kind} `{rest}`" if rest else name


def telling(text: str) -> list[int]:
    """The lines of a runbook in Markdown that must stand in the table: commands, instructions, headings with a time."""
    found, fenced, every = [], False, text.split("\n")
    for number, line in enumerate((one.strip() for one in every), 1):
        following = every[number].strip() if number < len(every) else ""
        if line.startswith("```"):
            fenced = not fenced
        elif fenced and line:
            # A comment is the title of the command after it; one that stands alone is an instruction.
            if not line.startswith("#") or not following or following.startswith("```"):
                found.append(number)
        elif line.startswith("- ") or (line.startswith("###") and _TELLING.search(line)):
            found.append(number)
    return found


def run(arguments: list[str]) -> int:
    """Writes, compares or looks for what is missing; 1 if something is wrong."""
    told, answers = lines(), rows()
    if arguments[:1] == ["--against"]:
        here = {line.number for line in told}
        missing = [number for number in telling(Path(arguments[1]).read_text(encoding="utf-8")) if number not in here]
        print("\n".join(f"line {number} is missing" for number in missing) or "every line is there")
        return 1 if missing else 0
    wrong = faults(told, answers, known())
    text = "" if wrong else page(told, answers)
    if not wrong and arguments == ["--write"]:
        PAGE.write_text(text, encoding="utf-8")
    elif not wrong and (not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text):
        wrong = ["docs/runbook-coverage.md is stale: run `make docs`"]
    for sentence in wrong:
        print(f"docs/runbook: {sentence}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
