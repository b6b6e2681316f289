"""The action `alertmanager.silence`: quiet for one set of labels, for a time, and quiet ended again.

Alertmanager makes a second silence of the same body, so it is asked for ours first. Ours carries our sign in its comment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar
from urllib.parse import quote

from remediator.actions.http_client import (
    Answer,
    Credentials,
    HttpClient,
    Lost,
    NotSent,
    Reply,
    Request,
    deadline,
    judge,
)
from remediator.actions.targets import AlertmanagerTarget
from remediator.core.outcomes import (
    EffectClass,
    Found,
    Outcome,
    Presence,
    Result,
    UndoOutcome,
    UndoResult,
    failed,
    not_issued,
    ok,
    unknown,
)
from remediator.core.params import Json, Param, ParamType, check_scope
from remediator.ports import Call

SILENCES = "/api/v2/silences"
CREATOR = "remediator"
# How long a silence may be (s).
LONGEST = 86_400.0
Entry = Mapping[str, object]
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Silence:
    """Silences the alerts that have exactly these label values, until the step's undo is due."""

    kind: ClassVar[str] = "alertmanager.silence"
    effect: ClassVar[EffectClass] = EffectClass.KEYED
    lasting: ClassVar[bool] = True
    params: ClassVar[Mapping[str, Param]] = {
        "labels": Param(
            type=ParamType.OBJECT,
            doc="The labels to silence, each with its exact value; at least one, such as alertname.",
        ),
        "reason": Param(
            type=ParamType.TEXT, doc="Why, for the silence's comment.", required=False, default="automatic remediation"
        ),
    }
    summary: ClassVar[str] = "Silence the alerts of one set of labels, for a time"

    def __init__(self, target: AlertmanagerTarget | None, *, http: HttpClient) -> None:
        self._target = target
        self._http = http

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses a silence without labels, or with one that is empty or a wildcard."""
        labels = arguments.get("labels")
        if not isinstance(labels, dict) or not labels:
            return ["no labels: a silence without matchers would silence everything"]
        found = []
        for name, value in labels.items():
            if not _LABEL.fullmatch(name):
                found.append(f"{name!r} is not the name of a label")
            try:
                check_scope(f"label {name}", value if isinstance(value, str) else "")
            except ValueError as fault:
                found.append(str(fault))
        return found

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Which alerts."""
        labels = arguments.get("labels")
        told = ", ".join(f"{name}={value}" for name, value in labels.items()) if isinstance(labels, dict) else "nothing"
        return f"silence alerts with {told}"

    async def perform(self, call: Call) -> Outcome:
        """Looks for ours, else makes it, with an end."""
        faults = self.faults(call.arguments)
        labels = call.arguments.get("labels")
        if faults or self._target is None or not isinstance(labels, dict):
            return failed(faults[0] if faults else "no Alertmanager is configured")
        if call.expires_at is None or not 0 < call.expires_at - call.now <= LONGEST:
            return failed("a silence needs an end within a day: write undo: { after: ... } at the step")
        until = deadline(call.timeout)
        ours = await self._ours(call, until)
        if isinstance(ours, str):
            return not_issued(f"{ours}; nothing was sent")
        if ours:
            return ok("our silence is there already", receipt={"id": str(ours[0]["id"])})
        body = {
            "matchers": [{"name": n, "value": v, "isRegex": False, "isEqual": True} for n, v in sorted(labels.items())],
            "startsAt": _instant(call.now),
            "endsAt": _instant(call.expires_at),
            "createdBy": CREATOR,
            "comment": f"[kr:{call.key}] {call.arguments.get('reason') or 'automatic remediation'}",
        }
        reply = await self._http.send(self._request("POST", SILENCES, body), until=until)
        outcome = judge(reply, "silence")
        if outcome.result is not Result.OK:
            return outcome
        name = _silence_id(reply)
        if not name:
            return unknown("Alertmanager said yes without naming the silence")
        return ok(f"silenced {self.describe(call.arguments).removeprefix('silence ')}", receipt={"id": name})

    async def reconcile(self, call: Call) -> Found:
        """Looks for our sign among the silences."""
        ours = await self._ours(call, deadline(call.timeout))
        if isinstance(ours, str):
            return Found(presence=Presence.UNDECIDED, sentence=ours)
        if not ours:
            return Found(presence=Presence.ABSENT, sentence="Alertmanager has no silence with our sign in force")
        return Found(presence=Presence.PRESENT, sentence="our silence is in force", receipt={"id": str(ours[0]["id"])})

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        """Ends every silence that carries our sign; one that somebody edited is theirs now and left alone."""
        del receipt
        until = deadline(call.timeout)
        ours = await self._ours(call, until)
        if isinstance(ours, str):
            return UndoOutcome(result=UndoResult.FAILED, sentence=ours)
        if not ours:
            return UndoOutcome(result=UndoResult.GONE, sentence="our silence is over")
        if not all(_untouched(one, call.arguments.get("labels")) for one in ours):
            sentence = "somebody changed our silence since; left alone, end it by hand"
            return UndoOutcome(result=UndoResult.FOREIGN, sentence=sentence)
        for one in ours:
            path = f"/api/v2/silence/{quote(str(one['id']), safe='')}"
            reply = await self._http.send(self._request("DELETE", path, None), until=until)
            outcome = judge(reply, "end of the silence")
            if outcome.result is not Result.OK:
                result = UndoResult.UNKNOWN if outcome.result is Result.UNKNOWN else UndoResult.FAILED
                return UndoOutcome(result=result, sentence=outcome.sentence)
        return UndoOutcome(result=UndoResult.UNDONE, sentence="our silence was ended")

    async def _ours(self, call: Call, until: float) -> list[Entry] | str:
        """Our silences that are not over, or why they cannot be told."""
        if self._target is None:
            return "no Alertmanager is configured"
        match await self._http.read(self._request("GET", SILENCES, None), until=until):
            case Answer(status=200) as answer:
                try:
                    found = answer.json()
                except ValueError as fault:
                    return f"Alertmanager's list of silences is not readable: {fault}"
                if not isinstance(found, list):
                    return "Alertmanager's list of silences is no list"
                return [one for one in found if _is_ours(one, call.key)]
            case Answer(status=status, text=text):
                return f"Alertmanager answered {status} {text!r}"
            case NotSent(sentence=sentence) | Lost(sentence=sentence):
                return f"Alertmanager does not answer: {sentence}"

    def _request(self, method: str, path: str, body: object) -> Request:
        assert self._target is not None
        return Request(
            method=method,
            url=self._target.url.rstrip("/") + path,
            json=body,
            credentials=Credentials(username=self._target.username, password_file=self._target.password_file),
        )


def _is_ours(one: object, key: str) -> bool:
    if not isinstance(one, dict) or "id" not in one:
        return False
    status = one.get("status")
    over = isinstance(status, dict) and status.get("state") == "expired"
    return not over and str(one.get("comment", "")).startswith(f"[kr:{key}]")


def _untouched(one: Entry, labels: object) -> bool:
    """Whether a silence still is as we made it: by us, for these labels."""
    matchers = one.get("matchers")
    if one.get("createdBy") != CREATOR or not isinstance(matchers, list) or not isinstance(labels, dict):
        return False
    plain = all(m.get("isRegex") is False and m.get("isEqual", True) is True for m in matchers)
    return plain and {m.get("name"): m.get("value") for m in matchers} == labels


def _silence_id(reply: Reply) -> str:
    try:
        found = reply.json() if isinstance(reply, Answer) else None
    except ValueError:
        return ""
    return str(found.get("silenceID", "")) if isinstance(found, dict) else ""


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
