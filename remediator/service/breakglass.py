"""The break-glass file: `touch data/PAUSED` stops new effects for somebody who has only a shell (ux.md §2, pause)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from remediator.core.entries import AnyFact, PauseCleared, PauseSet
from remediator.core.state import Moment, State
from remediator.engine.parts import Parts
from remediator.errors import StoreError

LOOK_EVERY = 0.5
BY_FILE = "PAUSED file"


class BreakGlass:
    """Makes the file's presence a pause, and its absence the end of that pause."""

    def __init__(self, path: Path, parts: Parts) -> None:
        self._path = path
        self._parts = parts

    async def watch(self) -> None:
        """Looks, for ever."""
        while True:
            facts = self._wanted(self._parts.journal.state, self._parts.journal.moment())
            if facts:
                try:
                    await self._parts.journal.commit(self._wanted)
                except StoreError:
                    await self._parts.clock.sleep(LOOK_EVERY)
            await self._parts.clock.sleep(LOOK_EVERY)

    def _wanted(self, state: State, moment: Moment) -> Sequence[AnyFact]:
        pause = state.pauses.get("all")
        held_by_file = pause is not None and pause.by.endswith(BY_FILE)
        told = self._read()
        if told is None or (told.until is not None and told.until <= moment.at):
            return [PauseCleared(scope="all", by=BY_FILE)] if held_by_file else ()
        return () if pause is not None else [told]

    def _read(self) -> PauseSet | None:
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")[:4096]
        except FileNotFoundError:
            return None
        except OSError:
            text = ""
        try:
            told = json.loads(text)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            told = {}
        by, reason, until = told.get("by"), told.get("reason"), told.get("until")
        return PauseSet(
            scope="all",
            reason=str(reason or f"the file {self._path.name} is there"),
            by=f"{by}, {BY_FILE}" if by else BY_FILE,
            until=float(until) if isinstance(until, (int, float)) else None,
        )
