"""A mail server on loopback that keeps what it is given: real SMTP with STARTTLS and AUTH, and every way to be difficult."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import email
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What was taken, from whom for whom, and how it came."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    tls: bool
    user: str

    @property
    def read(self) -> EmailMessage:
        """The mail as its reader sees it."""
        return email.message_from_bytes(self.raw, policy=default)


@dataclass(slots=True, kw_only=True)
class Sink:
    """How the server behaves. Verbs are those of SMTP, `CONNECT` for the greeting and `.` for the end of a mail.

    `answers` replaces what is said to a verb (to a recipient, for `RCPT address`); at `silent` it never answers, at
    `hangs_up` it goes away. With a `password` it wants one; with a `tls` it offers STARTTLS, or speaks it from the start.
    """

    password: tuple[str, str] | None = None
    tls: ssl.SSLContext | None = None
    answers: Mapping[str, str] = field(default_factory=dict)
    silent: str = ""
    hangs_up: str = ""
    port: int = 0
    mails: list[Mail] = field(default_factory=list)
    verbs: list[str] = field(default_factory=list)


class _Gone(Exception):
    """The server leaves the conversation."""


class _Conversation:
    def __init__(self, sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sink, self._reader, self._writer = sink, reader, writer
        self._tls, self._user, self._sender = False, "", ""
        self._recipients: list[str] = []

    async def hold(self) -> None:
        try:
            await self._say("CONNECT", "220 sink ESMTP")
            while line := await self._reader.readline():
                await self._take(line.decode("utf-8", "replace").rstrip("\r\n"))
        except (_Gone, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            return
        finally:
            self._writer.transport.abort()

    async def _take(self, line: str) -> None:
        verb, _, rest = line.partition(" ")
        match verb.upper():
            case "EHLO":
                offers = ["STARTTLS"] if self._sink.tls and not self._tls else []
                offers += ["AUTH PLAIN"] if self._sink.password else []
                lines = ["sink", *offers, "8BITMIME"]
                await self._say("EHLO", "\r\n".join([*(f"250-{one}" for one in lines[:-1]), f"250 {lines[-1]}"]))
            case "STARTTLS":
                await self._say("STARTTLS", "220 go ahead")
                assert self._sink.tls is not None
                await self._writer.start_tls(self._sink.tls)
                self._tls = True
            case "AUTH":
                _, user, password = base64.b64decode(rest.split()[-1]).decode().split("\0")
                good = (user, password) == self._sink.password
                self._user = user if good else ""
                await self._say("AUTH", "235 welcome" if good else "535 5.7.8 wrong password")
            case "MAIL":
                self._sender = rest.partition("<")[2].partition(">")[0]
                await self._say("MAIL", "250 ok")
            case "RCPT":
                await self._recipient(rest.partition("<")[2].partition(">")[0])
            case "DATA":
                await self._say("DATA", "354 go on")
                await self._body()
            case "QUIT":
                await self._say("QUIT", "221 bye")
                raise _Gone
            case word:
                await self._say(word, "250 ok")

    async def _recipient(self, address: str) -> None:
        said = self._sink.answers.get(f"RCPT {address}", "250 ok")
        if said.startswith("250"):
            self._recipients.append(address)
        await self._say("RCPT", said)

    async def _body(self) -> None:
        raw = (await self._reader.readuntil(b"\r\n.\r\n")).removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")
        if self._sink.answers.get(".", "250").startswith("250"):
            self._sink.mails.append(
                Mail(sender=self._sender, recipients=tuple(self._recipients), raw=raw, tls=self._tls, user=self._user)
            )
        await self._say(".", "250 kept")

    async def _say(self, verb: str, text: str) -> None:
        self._sink.verbs.append(verb)
        if verb == self._sink.silent:
            await self._reader.read()  # until the other side gives up
            raise _Gone
        if verb == self._sink.hangs_up:
            raise _Gone
        said = self._sink.answers.get(verb, text)
        self._writer.write(f"{said}\r\n".encode())
        await self._writer.drain()
        if not said.startswith(("2", "3")) and verb == "DATA":
            raise _Gone


@contextlib.asynccontextmanager
async def listening(sink: Sink, *, from_the_start: ssl.SSLContext | None = None) -> AsyncIterator[Sink]:
    """The server, on a free port of loopback; `from_the_start` is for TLS without STARTTLS."""
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await _Conversation(sink, reader, writer).hold()
        talks.discard(task)

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=from_the_start)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        for task in talks:
            task.cancel()
        if talks:
            await asyncio.wait(talks)
        for _ in range(3):  # transports are gone some turns of the loop after they were closed
            await asyncio.sleep(0)


def certificate(directory: Path, host: str = "localhost") -> tuple[Path, ssl.SSLContext]:
    """A certificate for a host, signed by itself: the file that trusts it, and what a server presents it with."""
    cert, key = directory / f"{host}.pem", directory / f"{host}.key"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
    subprocess.run([*made, *names, "-keyout", key, "-out", cert], check=True, capture_output=True, timeout=30)
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(cert, key)
    return cert, shown
