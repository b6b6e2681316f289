"""The receiver `webhook`: a message as JSON, to a URL of the settings."""

from __future__ import annotations

from remediator.actions.http_client import Credentials, HttpClient, Request, deadline, judge
from remediator.core.outcomes import Outcome
from remediator.ports import Message

# How long an answer may take (s).
TIMEOUT = 10.0


class WebhookReceiver:
    """Posts `{id, subject, text, incident, severity, footer}`; the same `id` again is the same message."""

    def __init__(self, name: str, url: str, *, http: HttpClient, credentials: Credentials | None = None) -> None:
        self.name = name
        self._url = url
        self._http = http
        self._credentials = credentials

    async def send(self, message: Message) -> Outcome:
        """Posts once."""
        body = {
            "id": message.id,
            "subject": message.subject,
            "text": message.text,
            "incident": message.incident,
            "severity": message.severity,
            "footer": message.footer,
        }
        request = Request(
            method="POST",
            url=self._url,
            json=body,
            headers={"idempotency-key": message.id} if message.id.isascii() and message.id.isprintable() else {},
            credentials=self._credentials,
        )
        return judge(await self._http.send(request, until=deadline(TIMEOUT)), f"message to {self.name}")
