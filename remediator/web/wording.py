"""How values read on a page: times, lengths, the glyph and tone of a state, and text from outside made visible.

Pure functions. Escaping is not done here: the templates escape everything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec
from markupsafe import Markup

from remediator.core.telling import clock_time
from remediator.core.views import IncidentView, LineView

# Control and bidirectional characters can make text read other than it is (reliability.md T17); they are shown by name.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")

_TONES = {
    "good": ("✓", "recovered", "reported", "succeeded", "ok", "allow", "undone", "auto"),
    "bad": ("✗", "failed", "deny", "not_recovered"),
    "alarm": ("!", "needs_person", "escalated", "quarantined", "overdue"),
    "ask": ("?", "awaiting_approval", "ask", "unknown", "unverified", "foreign", "approve"),
    "busy": ("◐", "running", "verifying"),
    "back": ("↺", "rolling_back", "rolled_back"),
    "held": ("‖", "deferred", "defer", "held", "denied", "not_issued", "paused"),
    "idle": ("○", "planned", "simulated", "dry-run", "gone"),
}
_TONE_OF = {word: (tone, words[0]) for tone, words in _TONES.items() for word in words[1:]}


def tone(word: str) -> str:
    """The colour class of a state."""
    return _TONE_OF.get(word, ("idle", ""))[0]


def glyph(word: str) -> str:
    """The sign of a state, so that colour is never the only difference."""
    return _TONE_OF.get(word, ("", "–"))[1]


def spoken(word: str) -> str:
    """A state as words."""
    return word.replace("_", " ")


def state_of(incident: IncidentView) -> str:
    """The word for where an incident is: its result once it is closed."""
    return incident.result or incident.status


def state_of_line(line: LineView) -> str:
    """The state that a line of a timeline reports; empty if it only tells."""
    fact = line.fact
    match line.kind:
        case "run.decided":
            return str(fact.get("answer", ""))
        case "step.outcome" | "undo.outcome" | "late.evidence" | "message.outcome":
            outcome = fact.get("outcome")
            return str(outcome.get("result", "")) if isinstance(outcome, dict) else ""
        case "verify.concluded":
            return str(fact.get("verdict", ""))
        case "run.ended" | "incident.closed":
            return str(fact.get("result", ""))
        case "run.parked" | "run.reminded":
            return "needs_person"
        case "incident.escalated":
            return "escalated"
        case "quarantined":
            return "quarantined"
        case _:
            return ""


def visible(value: object) -> object:
    """Text with its invisible characters shown by name; anything else as it is. Applied to all that a template prints."""
    if type(value) is not str:
        return value
    return _INVISIBLE.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", value)


def short(seconds: float) -> str:
    """A length of time in its two largest units: `14s`, `3m 20s`, `1h 8m`, `2d 4h`."""
    left = max(0, round(seconds))
    parts = []
    for name, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{name}")
    return " ".join(parts[:2]) or "0s"


def stamp(at: float, now: float) -> Markup:
    """A moment as `<time>`: relative text, the UTC time on hover, and the number for the script that keeps it current."""
    text = f"in {short(at - now)}" if at > now else f"{short(now - at)} ago"
    return Markup('<time datetime="{iso}" title="{utc}" data-at="{at:.0f}">{text}</time>').format(
        iso=clock_time(at).replace(" ", "T"), utc=clock_time(at), at=at, text=text
    )


def at_time(at: float) -> Markup:
    """A moment as `<time>` by the clock, in UTC."""
    utc = clock_time(at)
    return Markup('<time datetime="{iso}" title="{utc}">{text}</time>').format(
        iso=utc.replace(" ", "T"), utc=utc, text=utc[11:19]
    )


def day(at: float) -> str:
    """The date of a moment, UTC."""
    return clock_time(at)[:10]


def pretty(value: object) -> str:
    """A JSON value on several lines."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def safe_url(url: str) -> str:
    """`url` if a browser may follow it, else nothing: no `javascript:` comes into an href."""
    return url if urlsplit(url).scheme in {"http", "https"} else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """One bar of the last day: how many incidents opened, how many of them did not end well. Heights of 40."""

    x: int
    total: int
    good: int
    other: int
    label: str


def hours(incidents: Sequence[IncidentView], now: float) -> list[Hour]:
    """The last 24 hours as bars, the oldest first."""
    good, other = [0] * 24, [0] * 24
    for one in incidents:
        place = 23 - int((now - one.opened_at) // 3600)
        if 0 <= place < 24:
            (good if tone(state_of(one)) == "good" else other)[place] += 1
    most = max(1, *(a + b for a, b in zip(good, other, strict=True)))
    return [
        Hour(
            x=place * 10,
            total=good[place] + other[place],
            good=round(36 * good[place] / most),
            other=round(36 * other[place] / most),
            label=f"{24 - place}h ago: {good[place] + other[place]} incidents, {good[place]} recovered",
        )
        for place in range(24)
    ]


def counts(incidents: Sequence[IncidentView]) -> list[tuple[str, int]]:
    """How many incidents are in which state, the most frequent first."""
    found: dict[str, int] = {}
    for one in incidents:
        found[state_of(one)] = found.get(state_of(one), 0) + 1
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
