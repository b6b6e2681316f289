"""What a check found. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mark(StrEnum):
    """Good, bad, or not to be told (not configured, not in use, or hidden from us)."""

    GOOD = "good"
    BAD = "bad"
    UNTOLD = "untold"

    @property
    def sign(self) -> str:
        """How it is printed."""
        return {"good": "✓", "bad": "✗", "untold": "–"}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence about one thing; `fix` says what to do, and is never empty where `mark` is BAD.

    `source` is the place of the rule that it is about (`file:line`), if it is about one.
    """

    area: str
    mark: Mark
    sentence: str
    fix: str = ""
    source: str = ""


def good(area: str, sentence: str) -> Finding:
    """All is well."""
    return Finding(area=area, mark=Mark.GOOD, sentence=sentence)


def bad(area: str, sentence: str, fix: str, source: str = "") -> Finding:
    """Something will not work, and what to do."""
    return Finding(area=area, mark=Mark.BAD, sentence=sentence, fix=fix, source=source)


def untold(area: str, sentence: str, fix: str = "") -> Finding:
    """Nothing wrong is seen, and nothing right either."""
    return Finding(area=area, mark=Mark.UNTOLD, sentence=sentence, fix=fix)
