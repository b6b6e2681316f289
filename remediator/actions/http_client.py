"""HTTP to the neighbours, bounded in time and size, and honest about what is known. The only module that uses httpx.

A request ends in one of three ways: an `Answer`; `NotSent`, when certainly nothing left this process; `Lost`, when it may
have been carried out. httpx's own timeouts are per read, so one deadline stands around everything. Redirects are not
followed, proxies and `.netrc` of the environment are not honoured, answers are not decompressed, and connections are not
reused: a connection that the other side has just closed would make an answer doubtful that need not be.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt, wait_random_exponential

from remediator.core.outcomes import Outcome, failed, failed_for_now, not_issued, ok, unknown

# The most of an answer that is read (bytes), and how much of it a sentence quotes (characters).
MAX_BODY = 1 << 20
QUOTED = 200
# How often a read is tried at most.
READS = 3
USER_AGENT = "remediator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Basic authentication, or a bearer token where there is no user; the secret is read from its file at each use."""

    username: str
    password_file: Path | None

    def header(self) -> str:
        """The value of `Authorization`, empty where there is nothing to show; OSError if the file cannot be used."""
        password = self.password_file.read_text(encoding="utf-8").strip() if self.password_file else ""
        if not self.username:
            if not password.isascii() or not password.isprintable():
                raise OSError("it holds signs that no bearer token has")
            return f"Bearer {password}" if password else ""
        return "Basic " + base64.b64encode(f"{self.username}:{password}".encode()).decode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `json` becomes the body where it is not None, else `form` if it is not empty; `query` is encoded here."""

    method: str
    url: str
    json: object = None
    form: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status and at most `MAX_BODY` bytes; `cut` if there were more. `redact` takes secrets out of what is quoted.

    `retry_after` is how long its sender wants to be left alone (s), where it says so.
    """

    status: int
    body: bytes
    cut: bool = False
    retry_after: float | None = None
    redact: Callable[[str], str] = str

    @property
    def text(self) -> str:
        """The body as text on one line, control characters apart, short enough for a sentence."""
        return clean(self.redact(self.body.decode("utf-8", "replace")))[:QUOTED]

    def json(self) -> object:
        """The body as JSON; ValueError if it is none, or was cut."""
        if self.cut:
            raise ValueError(f"the answer is longer than {MAX_BODY} bytes")
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("the answer is nested too deeply") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    """Certainly nothing left this process."""

    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The request may have been carried out."""

    sentence: str


Reply = Answer | NotSent | Lost


def clean(text: str) -> str:
    """Text from outside on one line: runs of blanks and control characters become one blank."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def deadline(seconds: float) -> float:
    """The moment in `seconds`, by the clock of the running loop; what `HttpClient` takes as `until`."""
    return asyncio.get_running_loop().time() + seconds


def final_url(url: str) -> str:
    """The URL as it would really be asked for, after httpx has tidied it; ValueError if it is none."""
    try:
        return str(httpx.URL(url))
    except httpx.InvalidURL as fault:
        raise ValueError(f"{url!r} is not a URL: {fault}") from None


class HttpClient:
    """Speaks HTTP to one neighbour or to many.

    `transport` replaces the network (an application in this process); `socket` is the Unix socket to speak through;
    `rest` waits between two reads; `redact` takes configured secrets out of what answers are quoted as.
    """

    def __init__(
        self,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        socket: Path | None = None,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
        redact: Callable[[str], str] = str,
    ) -> None:
        self._transport = transport
        self._socket = socket
        self._rest = rest
        self._redact = redact

    async def send(self, request: Request, *, until: float) -> Reply:
        """Makes the request once."""
        wire = _Wire()
        headers = {"accept-encoding": "identity", "user-agent": USER_AGENT, **request.headers}
        try:
            authorization = request.credentials.header() if request.credentials is not None else ""
        except (OSError, UnicodeError) as fault:
            return NotSent(sentence=f"the password file cannot be read ({_why(fault)})")
        if authorization:
            headers["authorization"] = authorization
        try:
            async with asyncio.timeout_at(until):
                return await self._exchange(request, headers, wire)
        except TimeoutError:
            return NotSent(sentence="no connection in time") if wire.waits else Lost(sentence="no answer in time")
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL) as fault:
            return NotSent(sentence=f"no connection ({_why(fault)})")
        except (httpx.HTTPError, httpx.StreamError, OSError) as fault:
            return Lost(sentence=f"the connection broke ({_why(fault)})")

    async def read(self, request: Request, *, until: float) -> Reply:
        """Makes a request that changes nothing, up to three times while nobody answers."""
        retrying = AsyncRetrying(
            stop=stop_after_attempt(READS),
            wait=wait_random_exponential(multiplier=0.1, max=1.0),
            retry=retry_if_result(lambda reply: not isinstance(reply, Answer)),
            retry_error_callback=_last_reply,
            sleep=self._rest,
        )
        try:
            async with asyncio.timeout_at(until):
                reply: Reply = await retrying(self.send, request, until=until)
                return reply
        except TimeoutError:
            return Lost(sentence="no answer in time")

    async def _exchange(self, request: Request, headers: Mapping[str, str], wire: _Wire) -> Reply:
        async with (
            httpx.AsyncClient(
                transport=self._open(),
                timeout=None,  # noqa: S113  (the deadline stands around all of it)
                follow_redirects=False,
                trust_env=False,
            ) as client,
            client.stream(
                request.method,
                request.url,
                json=request.json,
                data=dict(request.form) or None,
                params=request.query or None,
                headers=dict(headers),
                extensions={"trace": wire.seen},
            ) as response,
        ):
            body, rest = bytearray(), _retry_after(response.headers)
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BODY:
                    kept = bytes(body[:MAX_BODY])
                    return Answer(
                        status=response.status_code, body=kept, cut=True, retry_after=rest, redact=self._redact
                    )
            return Answer(status=response.status_code, body=bytes(body), retry_after=rest, redact=self._redact)

    def _open(self) -> httpx.AsyncBaseTransport:
        if self._transport is not None:
            return self._transport
        return httpx.AsyncHTTPTransport(
            verify=_tls(),
            trust_env=False,
            uds=str(self._socket) if self._socket else None,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )


class _Wire:
    """How far a request got. A transport that tells nothing is taken to have sent."""

    def __init__(self) -> None:
        self.waits = False

    async def seen(self, name: str, _details: Mapping[str, Any]) -> None:
        """Takes note of what httpcore does."""
        if name in {"connection.connect_tcp.started", "connection.connect_unix_socket.started"}:
            self.waits = True
        elif name.startswith("http11.send_request"):
            self.waits = False


@functools.cache
def _tls() -> ssl.SSLContext:
    """The platform's trust roots, read once: it takes some 20 ms."""
    return ssl.create_default_context()


def _last_reply(state: RetryCallState) -> Reply:
    assert state.outcome is not None
    reply: Reply = state.outcome.result()
    return reply


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds by the header `Retry-After`, written as such or as a date, which is taken by the sender's own clock."""
    text = headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return (parsedate_to_datetime(text) - parsedate_to_datetime(headers["date"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return None


def _why(fault: BaseException) -> str:
    return clean(str(fault))[:QUOTED] or type(fault).__name__


def judge(reply: Reply, what: str, *, good: Callable[[int], bool] = lambda status: 200 <= status <= 299) -> Outcome:
    """The outcome of a request that changes something (reliability.md §3.4); `what` names it in the sentence.

    A good status is `ok`. 5xx is `unknown`: it may have been carried out before it failed. 408, 425 and 429 are failures
    that may pass; every other 3xx and 4xx is a failure.
    """
    match reply:
        case NotSent(sentence=sentence):
            return not_issued(f"{what}: {sentence}; nothing was sent")
        case Lost(sentence=sentence):
            return unknown(f"{what}: {sentence}; it may have been carried out")
        case Answer(status=status) if good(status):
            return ok(f"{what}: answered {status}", evidence={"status": status, "answer": reply.text})
        case Answer(status=status, text=text) if status >= 500:
            return unknown(f"{what}: answered {status} {text!r}; it may have been carried out", evidence=_rest(reply))
        case Answer(status=status, text=text) if status in {408, 425, 429}:
            return failed_for_now(f"{what}: answered {status} {text!r}", evidence=_rest(reply))
        case Answer(status=status, text=text):
            return failed(f"{what}: answered {status} {text!r}{_hint(status)}", evidence={"status": status})


def _rest(answer: Answer) -> dict[str, object]:
    return {} if answer.retry_after is None else {"retry_after": answer.retry_after}


def _hint(status: int) -> str:
    if 300 <= status <= 399:
        return "; redirects are not followed, name the final URL"
    return "; check the user name and the password file" if status == 401 else ""
