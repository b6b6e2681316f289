"""The truth of a test: every state-changing request that arrived, and whether it took effect.

One JSON line for each, on disk before the answer leaves. So a test can count effects even where the answer was lost.
"""

from __future__ import annotations

import json
import os
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from io import TextIOWrapper

_KEPT = 10_000


class Entry(TypedDict, total=False):
    """A request. `status` is what was answered or would have been; null if the request was dropped unread."""

    n: int
    at: str
    node: str
    method: str
    path: str
    body: object
    applied: bool
    status: int | None
    id: str
    fault: str


class Ledger:
    """Appends to a file, and keeps the latest entries for `GET /control/ledger`."""

    def __init__(self, path: Path | None, *, node: str) -> None:
        """Open (or begin) the file; numbers go on where it ends. OSError if it cannot be written."""
        self._node = node
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._file: TextIOWrapper | None = None
        self._next = 1
        if path is not None:
            if path.exists():
                self._next += path.read_bytes().count(b"\n")
            self._file = path.open("a", encoding="utf-8")

    def append(self, entry: Entry) -> None:
        """Number an entry, write it down and wait until it is on disk."""
        numbered: Entry = {"n": self._next, "node": self._node, **entry}
        self._next += 1
        self._entries.append(numbered)
        if self._file is not None:
            self._file.write(json.dumps(numbered, ensure_ascii=False) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def entries(self) -> list[Entry]:
        """The latest entries of this process, oldest first."""
        return list(self._entries)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
