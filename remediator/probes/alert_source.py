"""Asks Alertmanager what it says of an alert: `ports.AlertSource`, and the probe `alert`. It touches nothing.

Resolved alerts are not listed, and nor is anything right after a restart of Alertmanager: "not listed" alone proves
nothing (alertmanager.md §2.6).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from remediator.actions.http_client import Answer, Credentials, HttpClient, Lost, NotSent, Request, deadline
from remediator.actions.targets import AlertmanagerTarget
from remediator.core.outcomes import Look, Observation
from remediator.core.params import Json, Param, ParamType
from remediator.ports import LookCall
from remediator.probes.judging import cannot_tell

TIMEOUT = 10.0
# After its start Alertmanager has heard of every firing alert when Prometheus has sent twice (it sends each minute; s).
HEARD = 120.0
# Alertmanager's filters unescape only these; values with other odd characters are compared here instead.
_PLAIN = re.compile(r"[^\\\"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*")

Listed = Mapping[str, object]


class AlertmanagerSource:
    """One Alertmanager."""

    def __init__(self, target: AlertmanagerTarget | None, *, http: HttpClient) -> None:
        self._target = target
        self._http = http

    async def state(self, labels: Mapping[str, str]) -> Observation:
        """GOOD if active, BAD if silenced or inhibited, UNKNOWN if not listed, not yet judged, or without an answer."""
        found = await self.find(labels, until=deadline(TIMEOUT))
        if isinstance(found, Observation):
            return found
        if found is None:
            return cannot_tell("Alertmanager does not list the alert, which proves nothing: it may have just started")
        return _state(found)

    async def find(self, labels: Mapping[str, str], *, until: float) -> Listed | Observation | None:
        """The alert with exactly these labels as it is listed, None if it is not, an observation if nobody can tell."""
        query = tuple(
            ("filter", f'{name}="{value}"') for name, value in sorted(labels.items()) if _PLAIN.fullmatch(value)
        )
        found = await self._get("/api/v2/alerts", query, until)
        if isinstance(found, Observation):
            return found
        if not isinstance(found, list):
            return cannot_tell("Alertmanager's list of alerts is no list")
        return next((one for one in found if isinstance(one, dict) and one.get("labels") == dict(labels)), None)

    async def quiet(self, heartbeat: str, *, newer_than: float, now: float, until: float) -> Observation:
        """GOOD if absence from the list means not firing: an alert that always fires has come since, and long enough ago."""
        alive = await self._get("/api/v2/alerts", (("filter", f'alertname="{heartbeat}"'),), until)
        status = await self._get("/api/v2/status", (), until)
        for told in (alive, status):
            if isinstance(told, Observation):
                return told
        beats = (
            [_time(one.get("updatedAt")) for one in alive if isinstance(one, dict)] if isinstance(alive, list) else []
        )
        beat = max((at for at in beats if at is not None), default=None)
        started = _time(status.get("uptime")) if isinstance(status, dict) else None
        if beat is None or beat <= newer_than:
            return cannot_tell(f"not listed, but neither has {heartbeat} come since, so nothing may be arriving")
        if started is None or now - started < HEARD:
            return cannot_tell("not listed, but Alertmanager has only just started")
        return Observation(look=Look.GOOD, sentence=f"Alertmanager does not list it, and {heartbeat} arrives", at=beat)

    async def _get(self, path: str, query: tuple[tuple[str, str], ...], until: float) -> object:
        if self._target is None:
            return cannot_tell("no Alertmanager is configured")
        request = Request(
            method="GET",
            url=self._target.url.rstrip("/") + path,
            query=query,
            credentials=Credentials(username=self._target.username, password_file=self._target.password_file),
        )
        match await self._http.read(request, until=until):
            case Answer(status=200) as answer:
                try:
                    return answer.json()
                except ValueError as fault:
                    return cannot_tell(f"Alertmanager's answer is not readable: {fault}")
            case Answer(status=status, text=text):
                return cannot_tell(f"Alertmanager answered {status} {text!r}")
            case NotSent(sentence=sentence) | Lost(sentence=sentence):
                return cannot_tell(f"Alertmanager does not answer: {sentence}")


class AlertProbe:
    """Good if Alertmanager no longer lists the alert and something proves that it would."""

    kind: ClassVar[str] = "alert"
    params: ClassVar[Mapping[str, Param]] = {
        "labels": Param(type=ParamType.OBJECT, doc="All labels of the alert, alertname among them."),
        "heartbeat": Param(
            type=ParamType.NAME,
            doc="The name of an alert that always fires. Without it a missing alert proves nothing, and this never holds.",
            required=False,
        ),
    }
    summary: ClassVar[str] = "An alert no longer fires"

    def __init__(self, source: AlertmanagerSource) -> None:
        self._source = source

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Which alert."""
        labels = arguments.get("labels")
        told = ", ".join(f"{name}={value}" for name, value in labels.items()) if isinstance(labels, dict) else "nothing"
        return f"the alert {told} does not fire"

    async def look(self, call: LookCall) -> Observation:
        """BAD while it is listed in any state; a silence hides an alert, it does not end it."""
        labels = call.arguments.get("labels")
        if not isinstance(labels, dict) or not labels:
            return cannot_tell("no labels say which alert is meant")
        until = deadline(call.timeout)
        found = await self._source.find({name: str(value) for name, value in labels.items()}, until=until)
        if isinstance(found, Observation):
            return found
        if found is not None:
            return Observation(look=Look.BAD, sentence=f"it still fires: {_state(found).sentence}")
        heartbeat = call.arguments.get("heartbeat")
        if not heartbeat:
            return cannot_tell("Alertmanager does not list it, which proves nothing without a heartbeat")
        return await self._source.quiet(str(heartbeat), newer_than=call.newer_than, now=call.now, until=until)


def _state(listed: Listed) -> Observation:
    status = listed.get("status")
    status = status if isinstance(status, dict) else {}
    match status.get("state"):
        case "active":
            return Observation(look=Look.GOOD, sentence="Alertmanager lists it as active")
        case "suppressed":
            by = [f"silence {name}" for name in status.get("silencedBy") or []]
            by += [f"alert {name}" for name in status.get("inhibitedBy") or []]
            return Observation(look=Look.BAD, sentence=f"Alertmanager holds it back, by {', '.join(by) or 'its rules'}")
        case other:
            return cannot_tell(f"Alertmanager lists it as {other}, which says nothing yet")


def _time(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
