"""The anchor file: one line for each published head of the journal, only ever added to (G18).

It helps as far as the one who could rewrite the journal cannot rewrite it too: put it on another disk, another host's share,
or a file that the system lets grow only (`chattr +a`). Touches that one file.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from remediator.errors import StoreError
from remediator.stores.lane import Lane

if TYPE_CHECKING:
    from pathlib import Path


class AnchorFile:
    """Adds lines to one file. It is opened for each, so that a file that was moved away is made again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lane: Lane | None = None

    async def add(self, line: str) -> None:
        """Adds `line`, which ends in a newline; it is on the disk on return. StoreError if it could not be."""
        if self._lane is None:
            self._lane = Lane("journal-anchors")
        await self._lane.run(lambda: self._add(line.encode()))

    def _add(self, line: bytes) -> None:
        try:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            handle = os.open(self._path, flags, 0o600)
            try:
                # A line that a crash cut short must not run into the next one.
                torn = os.fstat(handle).st_size > 0 and os.pread(handle, 1, os.fstat(handle).st_size - 1) != b"\n"
                text = b"\n" + line if torn else line
                if os.write(handle, text) != len(text):
                    raise StoreError(f"the anchor file {self._path} took only a part of a line; look at its disk")
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as fault:
            raise StoreError(
                f"the anchor file {self._path} cannot be written ({fault.strerror}); see storage.anchor_file"
            ) from fault
