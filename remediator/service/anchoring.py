"""Publishes where the journal ends, outside the store: every five minutes, at the end of every run, and at the very end.

To the log, and to the anchor file if there is one. Messages to people carry the same (receivers/anchored.py). What was
published can be held against the journal later: `remediator log verify --anchors FILE` (G18).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from remediator.core.anchors import anchor_line
from remediator.core.chain import START, Head
from remediator.core.entries import Entry, RunEnded
from remediator.core.state import State
from remediator.engine.journal import Journal
from remediator.errors import StoreError
from remediator.observe import Observer
from remediator.ports import Clock

# How often the end is published without any other reason (s).
EVERY = 300.0


class Lines(Protocol):
    """Something to which lines can be added for good."""

    async def add(self, line: str) -> None:
        """Adds one; StoreError if it could not be."""
        ...


class Anchoring:
    """Publishes anchors. The log line of a run's end has the journal's end in it already, so only the file gets one then."""

    def __init__(self, journal: Journal, observer: Observer, clock: Clock, file: Lines | None) -> None:
        self._journal = journal
        self._observer = observer
        self._clock = clock
        self._file = file
        self._ended = asyncio.Event()
        self._written = START
        journal.listen(self._on_commit)

    def _on_commit(self, entries: Sequence[Entry], _before: State, _after: State) -> None:
        if any(isinstance(entry.fact, RunEnded) for entry in entries):
            self._ended.set()

    async def watch(self) -> None:
        """Publishes, for ever."""
        while True:
            resting = asyncio.ensure_future(self._clock.sleep(EVERY))
            ended = asyncio.ensure_future(self._ended.wait())
            try:
                await asyncio.wait({resting, ended}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                resting.cancel()
                ended.cancel()
            if self._ended.is_set():
                self._ended.clear()
                await self._write(self._journal.head)
            else:
                await self.publish()

    async def publish(self) -> None:
        """Publishes the present end everywhere."""
        head = self._journal.head
        self._observer.tell_head(head)
        await self._write(head)

    async def _write(self, head: Head) -> None:
        if self._file is None or head == self._written:
            return
        try:
            await self._file.add(anchor_line(self._clock.now(), head))
        except StoreError as fault:  # no reason to stop anything: the next anchor is farther away, that is all
            self._observer.anchor_failed(str(fault))
        else:
            self._written = head
