"""Judges a history: journal, the targets' ledger, the sender's acknowledgements. A program of its own.

    python -m tests.kit.history --journal data/journal.db [--ledger kumod.jsonl] [--acks acks.jsonl] [--settled]

Prints each violation with its entry numbers, and exits 1 if there is one. Imports nothing of the engine: a checker that
shared its code would share its mistakes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.kit import judging, judging_ends
from tests.kit.histories import History, from_export, from_kumod, from_sqlite
from tests.kit.judging import Violation

JUDGEMENTS = (
    judging.whole, judging.g1, judging.g2, judging.g3, judging.g4, judging.g5, judging.g6, judging.g8,
    judging_ends.g9, judging_ends.g10, judging_ends.g11, judging_ends.g12, judging_ends.g20, judging_ends.g21,
)  # fmt: skip


def judge(history: History) -> list[Violation]:
    """Everything that is wrong with a history, by guarantee."""
    return [found for judgement in JUDGEMENTS for found in judgement(history)]


def main(argv: Sequence[str] | None = None) -> int:
    """0 if nothing is wrong, 1 if something is."""
    parser = argparse.ArgumentParser(prog="history")
    parser.add_argument("--journal", type=Path, required=True, help="journal.db, or what `log export` wrote")
    parser.add_argument("--ledger", type=Path, help="what the simulated kumod wrote down")
    parser.add_argument("--acks", type=Path, help="one JSON body a line, each acknowledged")
    parser.add_argument("--settled", action="store_true", help="the service had the time to finish everything")
    options = parser.parse_args(argv)
    text = options.journal.suffix != ".db"
    history = History(
        lines=from_export(_lines(options.journal)) if text else from_sqlite(options.journal),
        arrivals=list(from_kumod(_lines(options.ledger))) if options.ledger else None,
        acks=[json.loads(body) for body in _lines(options.acks)] if options.acks else (),
        settled=options.settled,
    )
    found = judge(history)
    for violation in found:
        print(violation)
    print(f"{len(history.lines)} entries, {len(history.arrivals or ())} arrivals, {len(history.acks)} acknowledgements: "
          f"{len(found)} violations")  # fmt: skip
    return 1 if found else 0


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    sys.exit(main())
