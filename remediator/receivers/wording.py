"""Message text for channels with a syntax of their own. What an alert says is data: it makes no line, link or mention. Pure.

Every line of a message is cleaned by itself. A URL in it comes from an alert or an answer, never from us, so it is written
such that nothing makes a link of it; the only link is `Message.link`.
"""

from __future__ import annotations

import re

from remediator.actions.http_client import clean
from remediator.people import Message

_LINK = re.compile(r"https?://[^\s<>|\"'\\]+")


def harmless(text: str) -> str:
    """The text on one line, without control or invisible signs, its URLs as `https[:]//…`."""
    return clean(text).replace("://", "[:]//")


def subject_of(message: Message) -> str:
    """The subject on one line."""
    return harmless(message.subject)


def lines_of(message: Message) -> list[str]:
    """The text, line by line, indented as it was; the link and the end are not in it."""
    return [_indent(line) + harmless(line) for line in message.text.split("\n")]


def link_of(message: Message) -> str:
    """The link to the console; empty if there is none, or it has signs that would end it early."""
    return message.link if _LINK.fullmatch(message.link) else ""


def ends_of(message: Message) -> list[str]:
    """The lines below every message: where the journal stood when it was sent."""
    return [harmless(message.footer)] if message.footer else []


def shortened(text: str, most: int) -> str:
    """At most `most` characters, with a sign that something was left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _indent(line: str) -> str:
    return " " * min(8, len(line) - len(line.lstrip(" ")))
