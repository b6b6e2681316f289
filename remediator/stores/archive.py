"""Entries that are pruned, as gzip files: one JSON object a line, with the entry's text and its mac, oldest first.

The first line names the entry that they follow, so that the chain can be checked from there. Files are made whole and
durable before their name appears; one that is there already is replaced by the same.
"""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import msgspec

from remediator.errors import StoreError
from remediator.stores.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from remediator.core.chain import Head
    from remediator.core.entries import Record


class GzipArchive:
    """Files `journal-FIRST-LAST.jsonl.gz` in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lane: Lane | None = None

    async def keep(self, start: Head, records: Sequence[Record]) -> str:
        """Writes the records that follow `start`, and names the file."""
        if self._lane is None:
            self._lane = Lane("journal-archive")
        return await self._lane.run(lambda: self._write(start, records))

    def _write(self, start: Head, records: Sequence[Record]) -> str:
        name = f"journal-{records[0].seq:010}-{records[-1].seq:010}.jsonl.gz"
        text = b"\n".join(
            [msgspec.json.encode({"after": start.seq, "mac": start.mac.hex()}), *map(_line, records), b""]
        )
        partial = self._directory / f"{name}.partial"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(gzip.compress(text, mtime=0))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._directory / name)
        except OSError as fault:
            raise StoreError(
                f"the archive {self._directory} cannot be written ({fault.strerror}); see storage.archive"
            ) from fault
        return name


def _line(record: Record) -> bytes:
    told: dict[str, object] = {"seq": record.seq, "mac": record.mac.hex()}
    try:
        told["body"] = record.body.decode()
    except UnicodeDecodeError:  # the mac is over the bytes as they are
        told["body64"] = record.body
    return msgspec.json.encode(told)
