"""The narrator: follows remediator's journal over its API and says each entry as one line, as it happens."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx

# Entries that are said aloud; the others (receipts of notifications, looks) are in the journal for who asks.
ALOUD = frozenset(
    {
        "incident.opened",
        "run.decided",
        "step.intent",
        "step.outcome",
        "verify.concluded",
        "run.rollback_started",
        "run.parked",
        "run.ended",
        "undo.outcome",
        "incident.escalated",
        "incident.closed",
        "message.outcome",
        "pause.set",
        "pause.cleared",
    }
)

Line = Mapping[str, object]


class StoryFault(AssertionError):
    """The story did not come out right."""


@dataclass(slots=True)
class Narrator:
    """Says what happens, and remembers it for the checks at the end."""

    url: str
    began: float = field(default_factory=time.monotonic)
    after: int = 0
    lines: list[Line] = field(default_factory=list)

    def say(self, mark: str, text: str) -> None:
        """One line of the story."""
        elapsed = int(time.monotonic() - self.began)
        sys.stdout.write(f"{elapsed // 60:02d}:{elapsed % 60:02d}  {mark} {text}\n")
        sys.stdout.flush()

    def follow(self, seconds: float) -> None:
        """Says what is appended within `seconds`."""
        answer = httpx.get(
            f"{self.url}/api/v1/entries",
            params={"after": self.after, "limit": 500, "wait": round(seconds, 1)},
            timeout=seconds + 10,
            trust_env=False,
        )
        answer.raise_for_status()
        for line in answer.json()["data"]["entries"]:
            self.after = line["seq"]
            self.lines.append(line)
            if line["kind"] in ALOUD:
                self._tell(line)

    def _tell(self, line: Line) -> None:
        name = str(line["incident"] or "")
        short = f"{name}  " if name else ""
        self.say(" ", f"{short}{line['word']!s:<13} {line['sentence']}")

    def until(self, wanted: Callable[[Line], bool], what: str, within: float) -> Line:
        """Follows until an entry is as `wanted`, from the beginning of the story on; StoryFault after `within` seconds."""
        limit = time.monotonic() + within
        seen = 0
        while True:
            for line in self.lines[seen:]:
                seen += 1
                if wanted(line):
                    return line
            left = limit - time.monotonic()
            if left <= 0:
                raise StoryFault(f"not within {within:.0f}s: {what}")
            try:
                self.follow(min(1.0, left))
            except httpx.TransportError:
                time.sleep(0.2)  # the service is being restarted


def kind_is(kind: str, **fields: object) -> Callable[[Line], bool]:
    """Tells lines of this kind whose fact has these values."""

    def wanted(line: Line) -> bool:
        fact = line["fact"]
        return line["kind"] == kind and isinstance(fact, dict) and all(fact.get(k) == v for k, v in fields.items())

    return wanted
