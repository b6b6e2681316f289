"""Secrets of receivers: read from their files at each use, so that they can be changed without a restart."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from remediator.actions.http_client import HttpClient, Lost, NotSent, Request, deadline
from remediator.core.outcomes import Look, Observation

# How long looking at a channel may take (s).
LOOK_TIMEOUT = 5.0


class NoSecret(Exception):
    """There is no secret in the file; says why."""


def secret_in(path: Path) -> str:
    """The secret in a file; NoSecret if it cannot be used."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as fault:
        raise NoSecret(f"{path} cannot be read ({type(fault).__name__})") from None
    if not text or not text.isprintable():
        raise NoSecret(f"{path} holds no secret")
    return text


def url_in(url: str, url_file: Path | None) -> str:
    """A URL of the settings, or the one in a file; NoSecret if there is none."""
    found = secret_in(url_file) if url_file is not None else url
    if not found.startswith(("https://", "http://")):
        raise NoSecret(f"{url_file or 'the settings'} holds no http or https URL")
    return found


async def look_at_host(http: HttpClient, url: str) -> Observation:
    """Whether somebody answers HTTP there. Only scheme, host and port are used: the path may be the secret."""
    parts = urlsplit(url)
    host = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"
    match await http.read(Request(method="HEAD", url=host), until=deadline(LOOK_TIMEOUT)):
        case NotSent(sentence=sentence) | Lost(sentence=sentence):
            return Observation(look=Look.BAD, sentence=f"{host} does not answer: {sentence}")
        case _:
            return Observation(
                look=Look.GOOD, sentence=f"{host} answers; whether it takes messages only one would show"
            )


def without_secret(fault: NoSecret) -> Observation:
    """What is seen of a channel whose secret cannot be read."""
    return Observation(look=Look.BAD, sentence=str(fault))
