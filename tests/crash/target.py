"""The other side of every effect, and Alertmanager's memory of what was acknowledged: files that outlive every process.

Nothing here knows the engine or its journal. What is written here is on the disk before anybody is told of it, so the
ledger is the only truth about what arrived.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypedDict


class Line(TypedDict):
    """One arrival: `what` (do, undo, message), the action's kind or the message's id, the key it came with, and what stands
    at the target after it."""

    what: str
    kind: str
    key: str
    standing: list[str]


class Ack(TypedDict):
    """One notification that was acknowledged: its number in the play, the entry that was named, its bytes."""

    number: int
    entry: int
    body: str


class Outside:
    """Two files of lines that are only ever appended to, each line synced."""

    def __init__(self, root: Path) -> None:
        self._ledger, self._acks = root / "ledger", root / "acks"

    def arrive(self, line: Line) -> None:
        """Something has reached the target."""
        _append(self._ledger, json.dumps(line))

    def arrivals(self) -> list[Line]:
        """Everything that ever reached the target, in order."""
        return [json.loads(text) for text in _lines(self._ledger)]

    def acknowledged(self, ack: Ack) -> None:
        """Alertmanager was told 2xx."""
        _append(self._acks, json.dumps(ack))

    def acks(self) -> list[Ack]:
        """Everything that Alertmanager was told."""
        return [json.loads(text) for text in _lines(self._acks)]


def _append(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, text.encode() + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
