"""What is examined, and how its neighbours are asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from remediator.actions.http_client import Answer, Credentials, HttpClient, Lost, NotSent, Request, deadline
from remediator.actions.targets import AlertmanagerTarget, PrometheusTarget, Targets
from remediator.config import Settings
from remediator.core.rules import Ruleset
from remediator.ports import Clock, Receiver

# How long one question may take (s).
PATIENCE = 5.0

Tree = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why a question has no answer. `status` is that of HTTP, 0 where nobody answered at all."""

    sentence: str
    status: int = 0


@dataclass(slots=True, kw_only=True)
class Case:
    """Settings and rules as they would be in force, the neighbours as plain values, and who is to be told."""

    settings: Settings
    ruleset: Ruleset
    targets: Targets
    receivers: Mapping[str, Receiver]
    http: HttpClient
    clock: Clock
    _known: dict[str, object] = field(default_factory=dict)

    async def prometheus(self, path: str, query: tuple[tuple[str, str], ...] = ()) -> object | NoAnswer:
        """The `data` of an answer of Prometheus; the same question is asked once."""
        target = self.targets.prometheus
        if target is None:
            return NoAnswer("no Prometheus is configured")
        key = f"{path}?{query}"
        if key not in self._known:
            found = await self._ask(target, f"/api/v1/{path}", query)
            self._known[key] = found.get("data") if isinstance(found, dict) else found
        return self._known[key]

    async def alertmanager(self, path: str) -> object | NoAnswer:
        """An answer of Alertmanager."""
        target = self.targets.alertmanager
        if target is None:
            return NoAnswer("no Alertmanager is configured")
        if path not in self._known:
            self._known[path] = await self._ask(target, f"/api/v2/{path}", ())
        return self._known[path]

    async def _ask(
        self, target: PrometheusTarget | AlertmanagerTarget, path: str, query: tuple[tuple[str, str], ...]
    ) -> object | NoAnswer:
        credentials = Credentials(username=target.username, password_file=target.password_file)
        request = Request(method="GET", url=target.url.rstrip("/") + path, query=query, credentials=credentials)
        match await self.http.read(request, until=deadline(PATIENCE)):
            case Answer(status=200) as answer:
                try:
                    return answer.json()
                except ValueError as fault:
                    return NoAnswer(f"{target.url} answers {path} with something else than JSON: {fault}")
            case Answer(status=status, text=text):
                return NoAnswer(f"{target.url} answers {path} with {status} {text!r}", status)
            case NotSent(sentence=sentence) | Lost(sentence=sentence):
                return NoAnswer(f"{target.url} does not answer: {sentence}")


def tree(value: object) -> Tree:
    """A mapping, or an empty one where there is none."""
    return value if isinstance(value, dict) else {}


def trees(value: object) -> list[Tree]:
    """The mappings of a list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def texts(value: object) -> dict[str, str]:
    """A mapping of texts."""
    return {str(name): str(text) for name, text in tree(value).items()}
