"""Points at which a process dies, planted around the real SQLite store and the targets, from outside the product.

A process counts every point that it meets and dies, by a signal that nothing can catch, at the one it was told. The count,
the clock and the plan lie in memory that the parent shares, so that they outlive the process. Nothing here decides what
is right.
"""

from __future__ import annotations

import mmap
import os
import resource
import signal
import sqlite3
import struct
from pathlib import Path
from typing import Any

from remediator.stores import sqlite as store_module
from remediator.stores import sqlite_place
from tests.kit.troubled import InlineLane

BEFORE, INSIDE, TORN, AFTER = "before a commit", "inside a commit", "in the middle of its bytes", "after a commit"
# A frame of the log is a header of 24 bytes and a page; the log begins with 32 bytes.
FRAME, LOG_HEAD = 24 + 4096, 32
# The wall clock and the monotonic clock, both exactly: one that is worked out from the other goes back by a rounding.
Clocks = tuple[float, float]


class Shared:
    """What a life leaves to its parent, whatever ends it: the points it met, the time it came to, whether it was over."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 4096)

    def reset(self, wall: float, mono: float) -> None:
        """A new story begins at `wall`, with the machine's monotonic clock at `mono`."""
        self.put(0, (wall, mono), 0)

    def get(self) -> tuple[int, Clocks, int]:
        """Points met in this life, both clocks, lives begun."""
        met, wall, mono, lives = struct.unpack_from("<qddq", self._memory)
        return int(met), (float(wall), float(mono)), int(lives)

    def put(self, met: int, clocks: Clocks, lives: int) -> None:
        """Sets all three."""
        struct.pack_into("<qddq", self._memory, 0, met, *clocks, lives)


class Points:
    """Counts points, keeps their names, and dies at number `fatal` (0: never)."""

    def __init__(self, shared: Shared, fatal: int) -> None:
        self._shared = shared
        self._fatal = fatal
        self.names: list[str] = []

    def next_is_fatal(self) -> bool:
        """Whether the next point is the last."""
        return len(self.names) + 1 == self._fatal

    def meet(self, name: str) -> None:
        """Counts one point, or dies; at TORN the system call that follows is what ends the process."""
        self.names.append(name)
        _, clocks, lives = self._shared.get()
        self._shared.put(len(self.names), clocks, lives)
        if len(self.names) == self._fatal and name != TORN:
            os.kill(os.getpid(), signal.SIGKILL)

    def moved(self, clocks: Clocks) -> None:
        """Time has gone on."""
        met, _, lives = self._shared.get()
        self._shared.put(met, clocks, lives)


def plant(points: Points, path: Path) -> None:
    """Puts points around every commit of every connection to `path` in this process."""
    log = path.with_name(path.name + "-wal")

    class Mortal(sqlite3.Connection):
        """A connection in whose commits a process may die."""

        whole_frames = 1

        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            alone = sql.startswith("INSERT INTO journal") and not self.in_transaction  # its own transaction
            if alone or sql == "BEGIN IMMEDIATE":
                points.meet(BEFORE)
                self.whole_frames = 1
            if sql.startswith("DELETE FROM snapshot"):
                self.whole_frames = 0  # a small snapshot is a single page
            if not alone and sql != "COMMIT":
                return super().execute(sql, *values)
            if not alone:
                points.meet(INSIDE)
            torn = points.next_is_fatal()
            if torn:
                tear(log, self.whole_frames)
            points.meet(TORN)
            done = super().execute(sql, *values)
            if torn:
                os._exit(97)  # the bytes of this commit did not reach the place at which it should have died
            points.meet(AFTER)
            return done

    connect = sqlite3.connect

    def mortally(database: Any, **settings: Any) -> sqlite3.Connection:
        return connect(database, factory=Mortal, **settings)

    vars(sqlite3)["connect"] = mortally
    vars(store_module)["Lane"] = InlineLane
    vars(sqlite_place)["BALLAST_BYTES"] = 4096  # laying down 4 MiB would be most of the time


def tear(log: Path, frames: int) -> None:
    """From here on a write ends the process where the log would grow by more than so many frames and a quarter."""
    size = log.stat().st_size if log.exists() else 0
    limit = (size or LOG_HEAD) + FRAME * frames + FRAME // 4
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
