"""The break-glass file: `touch data/PAUSED` stops new effects for somebody who has only a shell (ux.md §2, pause)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from remediator.core.entries import AnyFact, PauseCleared, PauseSet
from remediator.core.state import Moment, State
from remediator.engine.parts import Parts
from remediator.errors import StoreError

# How soon the file's appearance counts (s).
LOOK_EVERY = 0.5
BY_FILE = "PAUSED file"
# The most of the file that is read (bytes), and the last moment that counts as an end (unix s; the year 9999).
MOST = 4096
FAR = 253_402_300_800


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
                with contextlib.suppress(StoreError):  # without a store there are no effects either; it is looked again
                    await self._parts.journal.commit(self._wanted)
            await self._parts.clock.sleep(LOOK_EVERY)

    def _wanted(self, state: State, moment: Moment) -> Sequence[AnyFact]:
        pause = state.pauses.get("all")
        held_by_file = pause is not None and pause.by.endswith(BY_FILE)
        told = self._read()
        if told is None or (told.until is not None and told.until <= moment.at):
            return [PauseCleared(scope="all", by=BY_FILE)] if held_by_file else ()
        return () if pause is not None else [told]

    def _read(self) -> PauseSet | None:
        """What the file says; whatever is in it, or if nothing can be read of it, it is there, and that is a pause."""
        try:
            with self._path.open("rb") as opened:
                text = opened.read(MOST).decode("utf-8", "replace")
        except FileNotFoundError:
            return None
        except OSError:
            text = ""
        told = _told(text)
        by, reason = _line(told.get("by")), _line(told.get("reason"))
        return PauseSet(
            scope="all",
            reason=reason or f"the file {self._path.name} is there",
            by=f"{by}, {BY_FILE}" if by else BY_FILE,
            until=_moment(told.get("until")),
        )


def _moment(value: object) -> float | None:
    """A moment of ours; None for whatever is none, which is a pause without an end."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < FAR:
        return None
    return float(value)


def _told(text: str) -> Mapping[str, object]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _line(value: object) -> str:
    """A text of the file on one line, as the journal can hold it: JSON can spell halves of characters."""
    text = value if isinstance(value, str) else ""
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())[:500]
