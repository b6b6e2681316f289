"""The receiver `sms`: a short text by an HTTP form, as gateways for text messages take it; one request for each number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from remediator.actions.http_client import Credentials, HttpClient, Request, deadline, judge
from remediator.core.outcomes import Observation, Outcome, not_issued
from remediator.people import Message
from remediator.receivers.secrets import NoSecret, look_at_host, url_in, without_secret
from remediator.receivers.wording import ends_of, lines_of, link_of, shortened, subject_of

# How long an answer may take (s), and how long a text may be (characters): two messages of 153 in one.
TIMEOUT = 8.0
LONGEST = 306


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsTarget:
    """A gateway and one number. `to_field` and `text_field` are its names for both, `fields` what else it wants.

    `username` with `password_file` is basic authentication, `password_file` alone a bearer token.
    """

    to: str
    url: str = ""
    url_file: Path | None = None
    to_field: str = "To"
    text_field: str = "Body"
    fields: Mapping[str, str] = field(default_factory=dict)
    username: str = ""
    password_file: Path | None = None
    max_length: int = LONGEST


class SmsReceiver:
    """Sends to one number."""

    def __init__(self, name: str, target: SmsTarget, *, http: HttpClient) -> None:
        self.name = name
        self._target = target
        self._http = http

    async def send(self, message: Message) -> Outcome:
        """Posts the form once."""
        target = self._target
        try:
            url = url_in(target.url, target.url_file)
        except NoSecret as fault:
            return not_issued(str(fault))
        text = text_of(message, target.max_length)
        request = Request(
            method="POST",
            url=url,
            form=(*target.fields.items(), (target.to_field, target.to), (target.text_field, text)),
            credentials=Credentials(username=target.username, password_file=target.password_file),
        )
        return judge(await self._http.send(request, until=deadline(TIMEOUT)), f"message to {self.name}")

    async def probe(self) -> Observation:
        """Looks whether the gateway's host answers."""
        try:
            url = url_in(self._target.url, self._target.url_file)
        except NoSecret as fault:
            return without_secret(fault)
        return await look_at_host(self._http, url)


def text_of(message: Message, most: int) -> str:
    """Subject, link and end first, for they are what is needed on a phone; of the text what then has room, on one line."""
    last = " ".join((*filter(None, [link_of(message)]), *ends_of(message)))
    subject = shortened(subject_of(message), max(20, most - len(last) - 1))
    room = most - len(subject) - len(last) - 4
    rest = "; ".join(line.strip() for line in lines_of(message)[1:] if line.strip())
    middle = shortened(rest, room) if room >= 20 and rest else ""
    return " ".join(part for part in (subject, f"- {middle}" if middle else "", last) if part)[:most]
