"""The receiver `webhook`: a message as JSON, to a URL of the settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from remediator.actions.http_client import Credentials, HttpClient, Request, deadline, judge
from remediator.core.outcomes import Observation, Outcome, not_issued
from remediator.people import Message
from remediator.receivers.secrets import NoSecret, look_at_host, url_in, without_secret

# How long an answer may take (s).
TIMEOUT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTarget:
    """A URL, or the file that holds it; `credentials_file` holds a bearer token."""

    url: str = ""
    url_file: Path | None = None
    credentials_file: Path | None = None


class WebhookReceiver:
    """Posts `{id, subject, text, incident, severity, call, link, target, since, footer}`; the same `id` again is the same
    message.
    """

    def __init__(self, name: str, target: WebhookTarget, *, http: HttpClient) -> None:
        self.name = name
        self._target = target
        self._http = http

    async def send(self, message: Message) -> Outcome:
        """Posts once."""
        body = {
            "id": message.id,
            "subject": message.subject,
            "text": message.text,
            "incident": message.incident,
            "severity": message.severity,
            "call": message.call,
            "link": message.link,
            "target": dict(message.target),
            "since": message.since,
            "footer": message.footer,
        }
        try:
            url = url_in(self._target.url, self._target.url_file)
        except NoSecret as fault:
            return not_issued(str(fault))
        token = self._target.credentials_file
        request = Request(
            method="POST",
            url=url,
            json=body,
            headers={"idempotency-key": message.id} if message.id.isascii() and message.id.isprintable() else {},
            credentials=Credentials(username="", password_file=token) if token is not None else None,
        )
        return judge(await self._http.send(request, until=deadline(TIMEOUT)), f"message to {self.name}")

    async def probe(self) -> Observation:
        """Looks whether the host answers."""
        try:
            url = url_in(self._target.url, self._target.url_file)
        except NoSecret as fault:
            return without_secret(fault)
        return await look_at_host(self._http, url)
