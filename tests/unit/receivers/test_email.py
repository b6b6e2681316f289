"""The receiver email against a mail server that speaks real SMTP, and what it makes of text that comes from outside."""

from __future__ import annotations

import re
import ssl
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.core.outcomes import Look, Result
from remediator.people import Message
from remediator.receivers import email as module
from remediator.receivers.email import EmailReceiver, EmailTarget, as_html, compose
from tests.kit.smtp import Sink, certificate, listening

NOW = 1_795_516_000.0
MESSAGE = Message(
    id="msg-12-0",
    subject="[recovered] bounces on domain=exämple.com",
    text="inc-1: bounces\nWhat we did:\n  pause <example.com>: ok",
    incident="inc-1",
    link="https://r.example/incidents/inc-1",
)
NOBODY = {"RCPT ops@example.com": "550 no", "RCPT boss@example.com": "450 grey"}
SIGNS = [*"ab<>&!@#\"'=?.,;|*_`~:/ \r\n\t", "\x00", "\x1b", "\u202e", "\u200b", "é", "😀", "\udc80"]
WORDS = ["https://evil.example/", "<!channel>", "<b onclick=x>", "\r\nBcc: eve@evil.example\r\n\r\n", "\n.\n"]
NASTY = st.lists(st.sampled_from([*SIGNS, *WORDS]), max_size=30).map("".join)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("right-password\n")
    return path


def target(port: int, **changes: Any) -> EmailTarget:
    values: dict[str, Any] = {
        "to": ("ops@example.com", "boss@example.com"),
        "sender": "remediator@example.com",
        "host": "localhost",
        "port": port,
        "require_tls": False,
    }
    return EmailTarget(**values | changes)


def receiver(of: EmailTarget) -> EmailReceiver:
    return EmailReceiver("mail", of, now=lambda: NOW, redact=lambda text: text.replace("right-password", "<secret>"))


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert isinstance(part, EmailMessage)
    return str(part.get_content()).replace("\r\n", "\n")


# ── delivery ─────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_mail_arrives_over_starttls_with_a_password(
    tls: tuple[Path, ssl.SSLContext], password_file: Path
) -> None:
    ca_file, shown = tls
    async with listening(Sink(tls=shown, password=("us", "right-password"))) as sink:
        of = target(
            sink.port, require_tls=True, ca_file=ca_file, username="us", password_file=password_file,
            headers={"X-Team": "mail"},
        )  # fmt: skip
        outcome = await receiver(of).send(MESSAGE)
    assert (outcome.result, outcome.sentence) == (Result.OK, f"smarthost localhost:{sink.port} took the mail: kept")
    (mail,) = sink.mails
    assert (mail.tls, mail.user, mail.sender) == (True, "us", "remediator@example.com")
    assert mail.recipients == ("ops@example.com", "boss@example.com")
    read = mail.read
    assert read["Subject"] == MESSAGE.subject
    assert read["X-Team"] == "mail"
    assert read["Auto-Submitted"] == "auto-generated"
    assert str(read["Date"]) == "Tue, 24 Nov 2026 10:26:40 +0000"
    assert body(read, "plain") == f"{MESSAGE.text}\n{MESSAGE.link}\n"
    assert "pause &lt;example.com&gt;: ok" in body(read, "html")
    assert max(map(len, mail.raw.split(b"\r\n"))) < 998


async def test_tls_from_the_first_byte_needs_no_starttls(tls: tuple[Path, ssl.SSLContext]) -> None:
    ca_file, shown = tls
    async with listening(Sink(), from_the_start=shown) as sink:
        outcome = await receiver(target(sink.port, implicit_tls=True, ca_file=ca_file)).send(MESSAGE)
    assert outcome.result is Result.OK
    assert "STARTTLS" not in sink.verbs


async def test_mails_about_one_incident_are_one_thread_and_a_second_copy_has_the_same_id() -> None:
    async with listening(Sink()) as sink:
        mailer = receiver(target(sink.port))
        for message in (MESSAGE, MESSAGE, Message(id="msg-20-0", subject="s", text="t", incident="inc-1")):
            assert (await mailer.send(message)).result is Result.OK
    first, again, later = (mail.read for mail in sink.mails)
    assert first["Message-ID"] == again["Message-ID"] != later["Message-ID"]
    assert first["References"] == later["References"] == "<inc-1@example.com>"
    other = compose(target(25), Message(id="msg-12-0", subject="another journal", text="-"), NOW)
    assert other["Message-ID"] != first["Message-ID"]
    assert other["References"] is None


@pytest.mark.parametrize(
    ("sink", "result", "says", "retryable"),
    [
        (Sink(answers={"CONNECT": "421 busy"}), Result.FAILED, "421 busy", True),
        (Sink(answers={"CONNECT": "554 not you"}), Result.FAILED, "554 not you", False),
        (Sink(answers={"MAIL": "451 try later"}), Result.FAILED, "451 try later", True),
        (Sink(answers={"MAIL": "550 5.7.1 sender"}), Result.FAILED, "550 5.7.1 sender", False),
        (Sink(answers=NOBODY), Result.FAILED, "450 grey", True),
        (Sink(answers={"DATA": "451 later"}), Result.FAILED, "451 later", True),
        (Sink(answers={".": "554 right-password spam"}), Result.FAILED, "554 <secret> spam", False),
        (Sink(answers={".": "452 disk"}), Result.FAILED, "452 disk", True),
        (Sink(hangs_up="CONNECT"), Result.NOT_ISSUED, "no mail was handed over", True),
        (Sink(hangs_up="RCPT"), Result.NOT_ISSUED, "no mail was handed over", True),
        (Sink(hangs_up="."), Result.UNKNOWN, "did not say that it took it", False),
    ],
    ids=lambda one: str(one)[:40] if isinstance(one, str) else "",
)  # fmt: skip
async def test_what_the_smarthost_says_decides_whether_it_is_tried_again(
    sink: Sink, result: Result, says: str, retryable: bool
) -> None:
    async with listening(sink):
        outcome = await receiver(target(sink.port)).send(MESSAGE)
    assert (outcome.result, outcome.retryable) == (result, retryable)
    assert says in outcome.sentence
    assert "right-password" not in outcome.sentence
    assert not sink.mails or result is Result.UNKNOWN


@pytest.mark.parametrize(
    ("silent", "result"), [("CONNECT", Result.NOT_ISSUED), ("MAIL", Result.NOT_ISSUED), (".", Result.UNKNOWN)]
)
async def test_a_smarthost_that_does_not_answer_is_left_in_time(
    monkeypatch: pytest.MonkeyPatch, silent: str, result: Result
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    async with listening(Sink(silent=silent)) as sink:
        outcome = await receiver(target(sink.port)).send(MESSAGE)
    assert outcome.result is result
    assert "no answer in time" in outcome.sentence


async def test_one_recipient_that_is_refused_does_not_keep_the_mail_from_the_other() -> None:
    async with listening(Sink(answers={"RCPT boss@example.com": "550 5.1.1 unknown"})) as sink:
        outcome = await receiver(target(sink.port)).send(MESSAGE)
    assert outcome.result is Result.OK
    assert "not for 1 of 2 recipients" in outcome.sentence
    assert "5.1.1 unknown" in str(outcome.evidence["refused"])
    assert [mail.recipients for mail in sink.mails] == [("ops@example.com",)]


async def test_nobody_listens() -> None:
    async with listening(Sink()) as sink:
        pass
    outcome = await receiver(target(sink.port)).send(MESSAGE)
    assert outcome.result is Result.NOT_ISSUED


# ── who we are and whom we trust ─────────────────────────────────────────────────────────────────────────────────────
async def test_a_wrong_password_is_final_and_never_shown(password_file: Path) -> None:
    async with listening(Sink(password=("us", "another-password"))) as sink:
        of = target(sink.port, username="us", password_file=password_file)
        outcome = await receiver(of).send(MESSAGE)
        seen = await receiver(of).probe()
    assert (outcome.result, outcome.retryable, sink.mails) == (Result.FAILED, False, [])
    assert "check auth_password_file" in outcome.sentence
    assert "right-password" not in outcome.sentence
    assert (seen.look, seen.sentence) == (Look.BAD, outcome.sentence)


async def test_a_password_that_cannot_be_read_sends_nothing(tmp_path: Path) -> None:
    async with listening(Sink(password=("us", "x"))) as sink:
        outcome = await receiver(target(sink.port, username="us", password_file=tmp_path / "none")).send(MESSAGE)
    assert (outcome.result, sink.mails) == (Result.NOT_ISSUED, [])
    assert "cannot be read" in outcome.sentence


async def test_a_password_never_goes_over_a_bare_connection_to_another_machine(password_file: Path) -> None:
    async with listening(Sink(password=("us", "right-password"))) as sink:
        here = target(sink.port, username="us", password_file=password_file, host="127.0.0.1")
        assert (await receiver(here).send(MESSAGE)).result is Result.OK
    away = receiver(target(9, username="us", password_file=password_file, host="192.0.2.1"))
    outcome, seen = await away.send(MESSAGE), await away.probe()
    assert outcome.result is Result.NOT_ISSUED
    assert "does not go over a bare connection" in outcome.sentence
    assert seen.look is Look.BAD


async def test_without_starttls_there_is_no_mail_where_it_is_required() -> None:
    async with listening(Sink()) as sink:
        outcome = await receiver(target(sink.port, require_tls=True)).send(MESSAGE)
    assert (outcome.result, outcome.retryable, sink.mails) == (Result.FAILED, False, [])
    assert "offers no STARTTLS" in outcome.sentence


async def test_a_certificate_that_nobody_vouches_for_is_refused(tls: tuple[Path, ssl.SSLContext]) -> None:
    async with listening(Sink(tls=tls[1])) as sink:
        outcome = await receiver(target(sink.port, require_tls=True)).send(MESSAGE)
    assert (outcome.result, sink.mails) == (Result.FAILED, [])
    assert "certificate" in outcome.sentence


async def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    ca_file, shown = certificate(tmp_path, "other.example")
    async with listening(Sink(tls=shown)) as sink:
        outcome = await receiver(target(sink.port, require_tls=True, ca_file=ca_file)).send(MESSAGE)
    assert (outcome.result, sink.mails) == (Result.FAILED, [])
    assert "certificate" in outcome.sentence


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_certificate_file_that_is_none_sends_nothing(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    of = target(9, require_tls=True, ca_file=path)
    outcome, seen = await receiver(of).send(MESSAGE), await receiver(of).probe()
    assert outcome.result is Result.NOT_ISSUED
    assert "no certificate that can be used" in outcome.sentence
    assert seen.look is Look.BAD


# ── never through what is being repaired ─────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "target_of", [{"instance": "localhost"}, {"instance": "127.0.0.1:8000"}, {"node": "http://[::1]:8000/"}]
)
async def test_a_smarthost_that_is_being_repaired_is_left_out_with_a_reason(target_of: dict[str, str]) -> None:
    message = Message(id="m", subject="s", text="t", target=target_of)
    async with listening(Sink()) as sink:
        outcome = await receiver(target(sink.port)).send(message)
    assert (outcome.result, outcome.retryable, sink.verbs) == (Result.FAILED, False, [])
    assert outcome.sentence == "mail was left out: its smarthost localhost is what is being repaired"


async def test_an_incident_elsewhere_is_mailed() -> None:
    message = Message(id="m", subject="s", text="t", target={"instance": "mta1.example:8000", "domain": "gmail.com"})
    async with listening(Sink()) as sink:
        assert (await receiver(target(sink.port)).send(message)).result is Result.OK


# ── looking without writing ──────────────────────────────────────────────────────────────────────────────────────────
async def test_a_look_goes_in_and_out_and_leaves_no_mail(password_file: Path) -> None:
    async with listening(Sink(password=("us", "right-password"))) as sink:
        seen = await receiver(target(sink.port, username="us", password_file=password_file)).probe()
    assert seen.look is Look.GOOD
    assert sink.verbs == ["CONNECT", "EHLO", "AUTH", "NOOP", "QUIT"]
    assert sink.mails == []


async def test_a_look_at_nobody_is_bad() -> None:
    async with listening(Sink()) as sink:
        pass
    assert (await receiver(target(sink.port)).probe()).look is Look.BAD


# ── text from outside ────────────────────────────────────────────────────────────────────────────────────────────────
@settings(max_examples=40)
@given(subject=NASTY, text=NASTY, incident=NASTY, name=NASTY)
def test_no_text_makes_a_header_a_recipient_or_a_second_mail(subject: str, text: str, incident: str, name: str) -> None:
    message = Message(id=name, subject=subject, text=text, incident=incident)
    raw = compose(target(25), message, NOW).as_bytes()
    read = message_from_bytes(raw, policy=default)
    expected = {"Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"}
    assert set(read.keys()) == expected | ({"In-Reply-To", "References"} if incident else set())
    assert [str(one) for one in read["To"].addresses] == ["ops@example.com", "boss@example.com"]
    assert "\n" not in str(read["Subject"])
    assert re.fullmatch(r"<[A-Za-z0-9.-]*@example\.com>", str(read["Message-ID"]).strip())
    assert not read.defects


class Tags(HTMLParser):
    """The tags of a page, as a browser would find them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))


@given(subject=NASTY, text=NASTY)
def test_no_text_makes_a_tag_or_a_link(subject: str, text: str) -> None:
    page = as_html(Message(id="m", subject=subject, text=text))
    tags = Tags()
    tags.feed(page)
    assert [tag for tag, _ in tags.found] == ["html", "head", "meta", "title", "body", "pre"]
    assert "://" not in page
