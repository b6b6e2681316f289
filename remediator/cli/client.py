"""The service over HTTP, as the commands ask it: one request, one answer, or a sentence that says what to do.

Knows the envelope of `/api/v1` and nothing of what is in it.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote, urlsplit

import click
import httpx
import msgspec

from remediator.cli.text import plain, safe_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

DEFAULT_URL = "http://127.0.0.1:9097"
Shape = TypeVar("Shape")
Query = str | int | float | list[str]


class Refused(click.ClickException):
    """The service said no, and why."""

    exit_code = 1

    def __init__(self, status: int, sentence: str) -> None:
        self.status = status
        super().__init__(sentence)


class Unreachable(click.ClickException):
    """Nobody answers, or not as a remediator does."""

    exit_code = 4


class _Envelope(msgspec.Struct):
    status: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""


class Answer:
    """The `data` of an answer."""

    def __init__(self, raw: bytes, url: str) -> None:
        self._raw = raw
        self._url = url

    def read(self, shape: type[Shape]) -> Shape:
        """The answer as `shape`; Unreachable if it is something else (a service of another version)."""
        try:
            return msgspec.json.decode(self._raw, type=shape)
        except msgspec.DecodeError as fault:
            raise Unreachable(
                f"{self._url} answers in a way that this version does not understand ({fault}); "
                "compare `remediator --version` on both sides"
            ) from fault

    def json(self, indent: int = 2) -> str:
        """The answer as it came, indented (an `indent` of -1: in one line), safe to print."""
        return safe_json(msgspec.json.format(self._raw, indent=indent).decode())


class Client:
    """Asks the service at `url`; `timeout` in seconds for each request. Use it as a context."""

    def __init__(self, *, url: str, token_file: Path | None = None, timeout: float = 10.0) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Accept": "application/json", **_authorization(token_file)},
            timeout=timeout,
            # A proxy of the environment is never meant for this machine itself.
            trust_env=not is_local(self.url),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, query: Mapping[str, Query] | None = None, *, wait: float = 0.0) -> Answer:
        """Asks; `wait` is how long the service itself may take (s), on top of the timeout."""
        return self._ask("GET", path, query=query, timeout=self.timeout + wait)

    def post(self, path: str, body: Mapping[str, object], *, wait: float = 0.0) -> Answer:
        """Orders; fields that are None are left out. `wait` as in `get`."""
        told = {name: value for name, value in body.items() if value is not None}
        return self._ask("POST", path, body=msgspec.json.encode(told), timeout=self.timeout + wait)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        timeout: float,
        query: Mapping[str, Query] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            response = self._http.request(
                method, path, params=dict(query or {}), content=body, headers=headers, timeout=timeout
            )
        except (httpx.TransportError, httpx.InvalidURL) as fault:
            raise Unreachable(self._unreachable(fault)) from fault
        return self._opened(response)

    def _opened(self, response: httpx.Response) -> Answer:
        try:
            envelope = msgspec.json.decode(response.content, type=_Envelope)
        except msgspec.DecodeError as fault:
            raise Unreachable(
                f"{self.url} answers {response.status_code}, but not as remediator does; check --url"
            ) from fault
        if response.is_success and envelope.status == "success":
            return Answer(bytes(envelope.data), self.url)
        sentence = plain(envelope.error) or f"the service answered {response.status_code} and gave no reason"
        if response.status_code in {401, 403}:
            sentence += "; name a token with --token-file or REMEDIATOR_TOKEN_FILE"
        if response.status_code >= 500:
            raise Unreachable(f"{self.url} answers {response.status_code}: {sentence}")
        raise Refused(response.status_code, sentence)

    def _unreachable(self, fault: Exception) -> str:
        if isinstance(fault, httpx.TimeoutException) and not isinstance(fault, httpx.ConnectTimeout):
            return f"{self.url} did not answer within {self.timeout:g}s; try again, or allow more with --timeout"
        reason = plain(str(fault)) or type(fault).__name__
        return (
            f"no remediator answers at {self.url} ({reason}); start it with `remediator serve`, "
            "or say where it is with --url or REMEDIATOR_URL"
        )


def is_local(url: str) -> bool:
    """Whether `url` names this machine by a loopback address."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def incident_path(name: str, verb: str = "") -> str:
    """The path of an incident, or of what can be done to it; `name` comes from a person and is quoted."""
    return f"/api/v1/incidents/{quote(name, safe='')}" + (f"/{verb}" if verb else "")


def _authorization(token_file: Path | None) -> dict[str, str]:
    if token_file is None:
        return {}
    try:
        token = token_file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as fault:
        raise click.UsageError(f"--token-file {token_file} cannot be read: {fault}") from fault
    if not token or not token.isprintable():
        raise click.UsageError(f"--token-file {token_file} must hold one token in one line")
    return {"Authorization": f"Bearer {token}"}
