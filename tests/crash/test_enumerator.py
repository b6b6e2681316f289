"""Every crash point of eight shapes, on a real process and a real SQLite file (reliability.md H2).

The enumerator is a program of its own: it forks, and must not carry the threads of a test runner into its children. More
pairs, or all of them: `python -m tests.crash.enumerator --pairs all --jobs 2`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What each shape comes to without a crash: points, and at how many of them nobody can know whether a `once` step happened.
# A write, an effect or an answer that comes or goes moves a number: look at what is new here, and at what follows from it.
POINTS = {
    "plain": (74, 6),
    "approval": (67, 0),
    "temporary": (72, 0),
    "rollback": (91, 0),
    "retry": (89, 0),
    "dry-run": (51, 0),
    "joined": (104, 0),
    "notification": (50, 0),
}


@dataclass(frozen=True)
class Shape:
    """What the enumerator says of one shape."""

    points: int
    singles: int
    pairs: int
    torn: int
    parked: int
    faults: list[str]


def enumerated(*arguments: str) -> dict[str, Shape]:
    """What the enumerator finds."""
    command = [sys.executable, "-m", "tests.crash.enumerator", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stdout + done.stderr
    names = list(Shape.__dataclass_fields__)
    found = {line["shape"]: Shape(**{name: line[name] for name in names}) for line in lines}
    assert done.returncode == any(one.faults for one in found.values()), done.stderr
    return found


@pytest.mark.e2e
@pytest.mark.heavy
def test_a_death_at_any_point_breaks_no_promise() -> None:
    found = enumerated("--pairs", "0.1", "--seed", "1", "--jobs", "2")
    assert [fault for one in found.values() for fault in one.faults] == []
    assert {name: (one.points, one.parked) for name, one in found.items()} == POINTS
    assert all(one.singles == one.points for one in found.values())
    assert sum(one.singles for one in found.values()) >= 350
    assert sum(one.pairs for one in found.values()) >= 40
    assert sum(one.torn for one in found.values()) >= 120, "too few died in the middle of the bytes of a commit"


@pytest.mark.e2e
@pytest.mark.heavy
def test_a_journal_of_outcomes_only_is_found_out() -> None:
    (found,) = enumerated("--shape", "plain", "--journal", "outcome-only").values()
    assert any("once" in fault and "arrived 2 times" in fault for fault in found.faults)
