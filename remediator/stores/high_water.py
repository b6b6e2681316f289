"""The high-water mark in a small file beside the journal's key, outside the state directory (G16).

It is written whole or not at all (a new file that takes the old one's name) and is durable when `save` returns, so a
journal that was restored, emptied or replaced is found to be shorter than, or different from, what was seen.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from remediator.core.chain import Head, Mark
from remediator.errors import NotCommitted, StoreRefused
from remediator.stores.lane import Lane

if TYPE_CHECKING:
    from pathlib import Path


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    store_id: str
    seq: int
    mac: str
    window: float


class HighWaterFile:
    """A HighWater in the file `path`."""

    def __init__(self, path: Path, lane: Lane | None = None) -> None:
        self._path = path
        self._lane = lane if lane is not None else Lane("high-water")

    async def load(self) -> Mark | None:
        """The mark; None where there is no file, StoreRefused where it does not hold one."""
        return await self._lane.run(self._load)

    async def save(self, mark: Mark) -> None:
        """Replaces the mark; NotCommitted if it could not be made durable."""
        await self._lane.run(lambda: self._save(mark))

    def _load(self) -> Mark | None:
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise StoreRefused(f"{self._path}: {fault.strerror}; let this user read it") from fault
        try:
            stored = msgspec.json.decode(text, type=_Stored)
            head = Head(stored.seq, bytes.fromhex(stored.mac))
        except ValueError as fault:
            raise StoreRefused(f"{self._path} holds no mark ({fault})") from fault
        return Mark(store_id=stored.store_id, head=head, window=stored.window)

    def _save(self, mark: Mark) -> None:
        stored = _Stored(store_id=mark.store_id, seq=mark.head.seq, mac=mark.head.mac.hex(), window=mark.window)
        fresh = self._path.with_name(f".{self._path.name}.new")
        try:
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(stored) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            _sync(self._path.parent)
        except OSError as fault:
            raise NotCommitted(
                f"the high-water mark {self._path} cannot be written: {fault.strerror}; "
                "give its directory to the user that runs this service, and free space"
            ) from fault


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
