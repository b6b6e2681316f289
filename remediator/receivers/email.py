"""The receiver `email`: one mail a message, by SMTP through a smarthost that is never one of the machines under repair.

The only module that uses aiosmtplib. TLS is required unless the settings say otherwise, and a password never goes over a
bare connection to another machine. All mails about an incident refer to one id, so mail programs show them as one thread; a
message that is sent a second time has the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import html
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as MAIL
from email.utils import format_datetime
from pathlib import Path

from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPException, SMTPNotSupported, SMTPResponseException

from remediator.actions.http_client import QUOTED, clean
from remediator.core.hosts import host_of, is_this_machine
from remediator.core.outcomes import Look, Observation, Outcome, failed, failed_for_now, not_issued, ok, unknown
from remediator.people import Message
from remediator.receivers.secrets import LOOK_TIMEOUT, NoSecret, secret_in, without_secret
from remediator.receivers.wording import ends_of, lines_of, link_of, shortened, subject_of

# How long a whole delivery may take (s).
TIMEOUT = 15.0
FAREWELL = 1.0
SUBJECT = 200
IMPLICIT_TLS_PORT = 465
_ID = re.compile(r"[^A-Za-z0-9.-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailTarget:
    """Whom to write to, as whom, and through which host. `implicit_tls` is TLS from the first byte, as on port 465."""

    to: tuple[str, ...]
    sender: str
    host: str
    port: int
    hello: str = "localhost"
    username: str = ""
    password_file: Path | None = None
    require_tls: bool = True
    implicit_tls: bool = False
    ca_file: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class _Stage:
    """How far a delivery got: before `DATA` certainly nothing was taken."""

    def __init__(self) -> None:
        self.committed = False


class EmailReceiver:
    """Writes mails. `now` is the wall clock (unix s); `redact` takes secrets out of what the smarthost says."""

    def __init__(
        self, name: str, target: EmailTarget, *, now: Callable[[], float], redact: Callable[[str], str] = str
    ) -> None:
        self.name = name
        self._target = target
        self._now = now
        self._redact = redact

    async def send(self, message: Message) -> Outcome:
        """Hands one mail to the smarthost, unless the smarthost is what is being repaired."""
        target = self._target
        if host_of(target.host) in {host_of(value) for value in message.target.values()}:
            return failed(f"{self.name} was left out: its smarthost {target.host} is what is being repaired")
        stage = _Stage()
        try:
            mail = compose(target, message, self._now()).as_bytes(policy=MAIL)
            return await self._within(TIMEOUT, stage, mail)
        except NoSecret as fault:
            return not_issued(f"{self.name}: {fault}; nothing was sent")
        except (TimeoutError, OSError, SMTPException) as fault:
            return self._broken(fault, stage)

    async def probe(self) -> Observation:
        """Goes as far as a mail would, says `NOOP` and leaves."""
        try:
            await self._look()
        except NoSecret as fault:
            return without_secret(fault)
        except (TimeoutError, OSError, SMTPException) as fault:
            return Observation(look=Look.BAD, sentence=self._broken(fault, _Stage()).sentence)
        return Observation(look=Look.GOOD, sentence=f"{self._place} lets us in")

    @property
    def _place(self) -> str:
        return f"smarthost {self._target.host}:{self._target.port}"

    def _client(self) -> SMTP:
        """A connection that is not made yet; NoSecret where it could not be trusted with the password."""
        target = self._target
        bare = not (target.require_tls or target.implicit_tls)
        if bare and target.password_file is not None and not is_this_machine(host_of(target.host)):
            raise NoSecret(f"the password for {target.host} does not go over a bare connection")
        return SMTP(
            hostname=target.host,
            port=target.port,
            local_hostname=target.hello,
            timeout=None,
            use_tls=target.implicit_tls,
            start_tls=False,
            tls_context=None if bare else _tls(target.ca_file),
        )

    async def _look(self) -> None:
        client = self._client()
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                await self._enter(client)
                await client.noop()
                await client.quit()
        finally:
            client.close()

    async def _within(self, seconds: float, stage: _Stage, mail: bytes) -> Outcome:
        client = self._client()
        try:
            async with asyncio.timeout(seconds):
                await self._enter(client)
                refused = await self._envelope(client)
                if len(refused) == len(self._target.to):
                    raise refused[-1]
                stage.committed = True
                said = await client.data(mail)
            with contextlib.suppress(
                TimeoutError, OSError, SMTPException
            ):  # taken is taken, whatever comes of a farewell
                async with asyncio.timeout(FAREWELL):
                    await client.quit()
            return self._taken(said.message, [str(one) for one in refused])
        finally:
            client.close()

    async def _enter(self, client: SMTP) -> None:
        """Connects, with TLS and a password where the settings say so."""
        target = self._target
        await client.connect()
        if target.require_tls and not target.implicit_tls:
            await client.ehlo()
            if not client.supports_extension("starttls"):
                raise SMTPNotSupported("no STARTTLS")
            await client.starttls()
        if target.password_file is not None:
            await client.login(target.username, secret_in(target.password_file))

    async def _envelope(self, client: SMTP) -> list[SMTPResponseException]:
        """Names sender and recipients; gives the recipients that were refused."""
        await client.mail(self._target.sender)
        refused: list[SMTPResponseException] = []
        for one in self._target.to:
            try:
                await client.rcpt(one)
            except SMTPResponseException as fault:
                refused.append(fault)
        return refused

    def _taken(self, said: str, refused: list[str]) -> Outcome:
        short = self._quoted(said)
        if not refused:
            return ok(f"{self._place} took the mail: {short}")
        sentence = f"{self._place} took the mail, but not for {len(refused)} of {len(self._target.to)} recipients"
        return ok(sentence, evidence={"refused": [self._quoted(one) for one in refused]})

    def _broken(self, fault: BaseException, stage: _Stage) -> Outcome:
        match fault:
            case SMTPAuthenticationError():
                sentence = f"{self._place} refused the password of {self._target.username}; check auth_password_file"
                return failed_for_now(sentence) if 400 <= fault.code < 500 else failed(sentence)
            case SMTPResponseException() if fault.code >= 500:
                return failed(f"{self._place} refused the mail: {fault.code} {self._quoted(fault.message)}")
            case SMTPResponseException() if fault.code >= 400:
                return failed_for_now(f"{self._place} puts us off: {fault.code} {self._quoted(fault.message)}")
            case SMTPNotSupported():
                return failed(f"{self._place} offers no STARTTLS or no AUTH that we know; nothing was sent")
            case ssl.SSLCertVerificationError():
                return failed(f"{self._place} has a certificate that cannot be trusted ({self._quoted(str(fault))})")
        why = "no answer in time" if isinstance(fault, TimeoutError) else self._quoted(str(fault))
        if stage.committed:
            return unknown(f"{self._place} was given the mail and did not say that it took it ({why})")
        return not_issued(f"{self._place}: {why or type(fault).__name__}; no mail was handed over")

    def _quoted(self, text: str) -> str:
        return clean(self._redact(text))[:QUOTED]


def compose(target: EmailTarget, message: Message, now: float) -> EmailMessage:
    """The mail: plain text, and the same as HTML."""
    mail = EmailMessage(policy=MAIL)
    domain = target.sender.rpartition("@")[2]
    digest = hashlib.sha256(f"{message.id}\n{message.subject}\n{message.text}".encode("utf-8", "replace")).hexdigest()
    mail["Subject"] = shortened(subject_of(message), SUBJECT)
    mail["From"] = target.sender
    mail["To"] = ", ".join(target.to)
    mail["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    mail["Message-ID"] = f"<{_ID.sub('-', message.id)[:24]}.{digest[:16]}@{domain}>"
    if message.incident:
        first = f"<{_ID.sub('-', message.incident)[:60]}@{domain}>"
        mail["In-Reply-To"] = first
        mail["References"] = first
    mail["Auto-Submitted"] = "auto-generated"
    for name, value in target.headers.items():
        mail[name] = value
    lines = [*lines_of(message), *filter(None, [link_of(message)])]
    ends = ends_of(message)
    mail.set_content("\n".join([*lines, *(("", "-- ", *ends) if ends else ())]) + "\n", cte="quoted-printable")
    mail.add_alternative(as_html(message), subtype="html", cte="quoted-printable")
    return mail


def as_html(message: Message) -> str:
    """The message as a page of its own."""
    subject, link = html.escape(subject_of(message)), html.escape(link_of(message))
    parts = [f"<pre>{html.escape(chr(10).join(lines_of(message)))}</pre>"]
    if link:
        parts.append(f'<p><a href="{link}">{link}</a></p>')
    parts += [f"<p><small>{html.escape(line)}</small></p>" for line in ends_of(message)]
    body = "\n".join(parts)
    head = f'<head><meta charset="utf-8"><title>{subject}</title></head>'
    return f"<!doctype html>\n<html>{head}\n<body>{body}</body></html>\n"


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as fault:
        raise NoSecret(f"{ca_file} holds no certificate that can be used ({type(fault).__name__})") from None
