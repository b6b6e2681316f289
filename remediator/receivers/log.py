"""The receiver `log`: a message as one line on standard error, for those who watch a terminal or collect logs."""

from __future__ import annotations

import json
import sys
from typing import TextIO

from remediator.actions.http_client import clean
from remediator.core.outcomes import Look, Observation, Outcome, failed_for_now, ok
from remediator.people import Message


class LogReceiver:
    """Writes one line of `key="value"` pairs; what is in a message can never make a second line."""

    def __init__(self, name: str = "log", stream: TextIO | None = None) -> None:
        self.name = name
        self._stream = stream

    async def send(self, message: Message) -> Outcome:
        """Writes it."""
        pairs = {
            "message": message.id,
            "incident": message.incident,
            "severity": message.severity,
            "subject": message.subject,
            "text": message.text,
            "link": message.link,
            "footer": message.footer,
        }
        line = " ".join(
            f"{name}={json.dumps(clean(value), ensure_ascii=False)}" for name, value in pairs.items() if value
        )
        try:
            stream = self._stream or sys.stderr
            stream.write(line + "\n")
            stream.flush()
        except OSError as fault:
            return failed_for_now(f"standard error cannot be written: {fault}")
        return ok(f"written to the log by {self.name}")

    async def probe(self) -> Observation:
        """There is always a standard error."""
        return Observation(look=Look.GOOD, sentence=f"{self.name} is a line on standard error")
