"""The demo is a test: real Prometheus and Alertmanager, every story told to its end, effects counted by the target."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.histories import History, from_kumod, from_sqlite
from tests.kit.history import judge


@pytest.mark.e2e
@pytest.mark.heavy
@pytest.mark.parametrize(
    ("story", "sentences"),
    [
        ("dry-run", ["would: ok", "kumod's own ledger is empty"]),
        ("failure", ["not recovered", "rolled_back", "escalated", "the shaping file is as it was"]),
        (
            "all",
            [
                "kumod's own ledger: 1 suspension",
                "recovered",
                "not now: cooldown",
                "was restarted once and delivers again",
            ],
        ),
    ],
)
def test_the_story_comes_out_right(story: str, sentences: list[str], tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "remediator.demo.story", "--story", story, "--root", str(tmp_path / "stage")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    for sentence in [*sentences, "The story came out right."]:
        assert sentence in told.stdout, told.stdout
    stage = tmp_path / "stage"
    ledger = (stage / "kumod-ledger.jsonl").read_text(encoding="utf-8").splitlines()
    lines = from_sqlite(stage / "data" / "journal.db")
    assert judge(History(lines=lines, arrivals=list(from_kumod(ledger)))) == []
