"""Text for a terminal: safe to print, laid out in columns, with times and lengths as people say them. Prints nothing.

Labels, reasons and a target's answers come from outside. None of them may move the cursor, change colours or titles, or
reorder what stands around it, so every value goes through `plain` before it is printed.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# ECMA-48: control sequences, strings (OSC, DCS, APC, PM, SOS) up to their end, and the short escapes.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_BLANK = re.compile(r"[\t\n\r\v\f\x85\u2028\u2029]+")
# The other controls, what reorders or hides text (bidirectional marks, zero-width and tag characters), lone surrogates.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_QUOTED = re.compile(r"""[\s"'=,]""")
_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
NARROW = 80


def plain(text: str) -> str:
    """`text` in one line without terminal escape sequences, control characters or characters that reorder text."""
    return _UNSEEN.sub("", _BLANK.sub(" ", _ESCAPES.sub("", text)))


def plain_lines(text: str) -> str:
    """As `plain`, keeping the ends of lines."""
    return "\n".join(plain(line) for line in text.split("\n"))


def safe_json(text: str) -> str:
    """JSON text whose strings cannot touch the terminal: what JSON lets through is written as an escape of JSON."""
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def screen() -> int:
    """The width of the terminal in columns; 80 where there is none."""
    return shutil.get_terminal_size((NARROW, 24)).columns if sys.stdout.isatty() else NARROW


def wide() -> int | None:
    """The width to wrap long lists to: that of the terminal, or None in a pipe, where a line must stay a line."""
    return screen() if sys.stdout.isatty() else None


def clock(at: float) -> str:
    """The time of day in UTC: `03:12:07`."""
    return datetime.fromtimestamp(at, tz=UTC).strftime("%H:%M:%S")


def day(at: float) -> str:
    """The day in UTC: `2026-11-24`."""
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%d")


def stamp(at: float) -> str:
    """RFC 3339 in UTC, to the millisecond: `2026-11-24T03:12:07.250Z`."""
    moment = datetime.fromtimestamp(round(at, 3), tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def span(seconds: float) -> str:
    """A length of time in its two largest units: `14s`, `11m 42s`, `1h 08m`, `3d 04h`; negative ones count as 0."""
    left = max(0, round(seconds))
    if left < 60:
        return f"{left}s"
    if left < 3600:
        return f"{left // 60}m {left % 60:02d}s" if left % 60 else f"{left // 60}m"
    if left < 86_400:
        return f"{left // 3600}h {left % 3600 // 60:02d}m"
    return f"{left // 86_400}d {left % 86_400 // 3600:02d}h"


def count(number: int) -> str:
    """A count with thousands set apart: `1 204`."""
    return f"{number:,}".replace(",", " ")


def plural(number: int, word: str) -> str:
    """`1 rule`, `5 rules`, `1 entry`, `2 entries`."""
    ending = word if number == 1 else f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    return f"{count(number)} {ending}"


def pairs(values: Mapping[str, object]) -> str:
    """`domain=gmail.com note="a b" count=4`, sorted by name; what is not plain text is written as JSON."""
    return " ".join(f"{plain(name)}={_shown(values[name])}" for name in sorted(values))


def _shown(value: object) -> str:
    if isinstance(value, str) and value and not _QUOTED.search(value):
        return plain(value)
    return plain(json.dumps(value, ensure_ascii=False, default=str))


def wrapped(lead: str, text: str, width: int | None, hang: int | None = None) -> list[str]:
    """`lead` and `text` in lines of at most `width` columns; the further lines start `hang` columns in (as far as `lead`).

    With no width, one line. A lead that leaves less than 20 columns for the text is not hung under.
    """
    if width is None or len(lead) + len(text) <= width:
        return [(lead + text).rstrip()]
    indent = len(lead) if hang is None else hang
    indent = indent if width - indent >= 20 else 4
    return textwrap.wrap(
        text,
        width,
        initial_indent=lead,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words=True,
    ) or [lead.rstrip()]


def table(rows: Sequence[Sequence[str]], width: int | None, gap: int = 2) -> list[str]:
    """Rows in columns as wide as their widest cell; the last column takes what is left and wraps."""
    if not rows:
        return []
    sizes = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        lead = "".join(cell.ljust(size + gap) for cell, size in zip(row, sizes, strict=False))
        lines += wrapped(lead, row[-1], width)
    return lines
