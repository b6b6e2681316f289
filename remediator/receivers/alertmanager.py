"""The receiver `alertmanager`: an alert of our own, so that its routes, silences and duty rosters apply.

One alert an incident. It begins to fire when people are needed, and ends when they no longer are. Alertmanager ends every
alert by itself: this one after `hold`, which is longer than the longest rest between two calls for people, each of which
posts it again. What calls nobody is a notice of some minutes, under a name of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from remediator.actions.http_client import Answer, Credentials, HttpClient, Lost, NotSent, Request, deadline, judge
from remediator.core.outcomes import Look, Observation, Outcome
from remediator.core.plans import target_text
from remediator.people import Message
from remediator.receivers.secrets import LOOK_TIMEOUT
from remediator.receivers.wording import ends_of, link_of, subject_of

# How long an answer may take (s).
TIMEOUT = 8.0
CALL, NOTICE = "RemediationNeedsPerson", "RemediationNotice"
# How long an alert fires that nobody ends, and one that only tells (s): longer than the 4 h between two calls, and than
# the usual wait before a group is sent.
HOLD, NOTICE_HOLD = 16_200.0, 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerChannel:
    """An Alertmanager and the labels that its routes look for; they win over ours."""

    url: str
    labels: Mapping[str, str] = field(default_factory=dict)
    username: str = ""
    password_file: Path | None = None
    hold: float = HOLD


class AlertmanagerReceiver:
    """Posts alerts. `now` is the wall clock (unix s)."""

    def __init__(self, name: str, target: AlertmanagerChannel, *, http: HttpClient, now: Callable[[], float]) -> None:
        self.name = name
        self._target = target
        self._http = http
        self._now = now

    async def send(self, message: Message) -> Outcome:
        """Posts the incident's alert, firing or ended."""
        alert = alert_of(self._target, message, self._now())
        reply = await self._http.send(self._request("POST", "/api/v2/alerts", [alert]), until=deadline(TIMEOUT))
        return judge(reply, f"alert to {self.name}")

    async def probe(self) -> Observation:
        """Asks whether it is ready."""
        match await self._http.read(self._request("GET", "/-/ready", None), until=deadline(LOOK_TIMEOUT)):
            case Answer(status=200):
                return Observation(look=Look.GOOD, sentence=f"Alertmanager at {self._target.url} is ready")
            case Answer(status=status, text=text):
                return Observation(look=Look.BAD, sentence=f"{self._target.url} answered {status} {text!r}")
            case NotSent(sentence=sentence) | Lost(sentence=sentence):
                return Observation(look=Look.BAD, sentence=f"{self._target.url} does not answer: {sentence}")

    def _request(self, method: str, path: str, body: object) -> Request:
        return Request(
            method=method,
            url=self._target.url.rstrip("/") + path,
            json=body,
            credentials=Credentials(username=self._target.username, password_file=self._target.password_file),
        )


def alert_of(target: AlertmanagerChannel, message: Message, now: float) -> dict[str, object]:
    """The alert as the API takes it. Its identity is its labels, so they are the same for all messages of an incident."""
    labels = {
        "alertname": CALL if message.call else NOTICE,
        "severity": message.severity or "critical",
        "incident": message.incident,
        **target.labels,
    }
    ends = now if message.call == "end" else now + (target.hold if message.call else NOTICE_HOLD)
    begins = min(message.since if message.since is not None else now, now)
    annotations = {
        "summary": subject_of(message),
        "description": message.text,
        "target": target_text(dict(message.target)),
        "journal": " ".join(ends_of(message)),
    }
    alert: dict[str, object] = {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": _instant(begins if message.call else now),
        "endsAt": _instant(ends),
    }
    link = link_of(message)
    return alert | ({"generatorURL": link} if link else {})


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
