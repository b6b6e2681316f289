"""The action `alertmanager.report`: which alerts Alertmanager lists, and which of them somebody holds back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from remediator.actions.defaults import WithoutCheck, WithoutUndo
from remediator.actions.http_client import Credentials, HttpClient, Request, clean
from remediator.actions.lists import read_list
from remediator.actions.targets import AlertmanagerTarget
from remediator.core.outcomes import EffectClass, Outcome, failed, ok
from remediator.core.params import Json, Param, ParamType
from remediator.ports import Call

ALERTS = "/api/v2/alerts"
# How many alerts are kept, and how long a kept one may be.
ROWS, WIDTH = 40, 300


class AlertReport(WithoutCheck, WithoutUndo):
    """Keeps the alerts that Alertmanager lists now."""

    kind: ClassVar[str] = "alertmanager.report"
    effect: ClassVar[EffectClass] = EffectClass.READ
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {
        "alertname": Param(type=ParamType.NAME, doc="Only alerts of this name.", required=False)
    }
    summary: ClassVar[str] = "Note the alerts that Alertmanager lists"

    def __init__(self, target: AlertmanagerTarget | None, *, http: HttpClient) -> None:
        self._target = target
        self._http = http

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """There is nothing to refuse."""
        del arguments
        return []

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Which alerts would be noted."""
        name = arguments.get("alertname")
        return f"note the alerts{f' {name}' if name else ''} that Alertmanager lists"

    async def perform(self, call: Call) -> Outcome:
        """Asks; none is an answer too."""
        if self._target is None:
            return failed("no Alertmanager is configured")
        name = call.arguments.get("alertname")
        request = Request(
            method="GET",
            url=self._target.url.rstrip("/") + ALERTS,
            query=(("filter", f'alertname="{name}"'),) if name else (),
            credentials=Credentials(username=self._target.username, password_file=self._target.password_file),
        )
        return await read_list(self._http, request, call.timeout, of=("Alertmanager", "alerts"), told=_listed)


def _listed(document: object) -> Outcome:
    if not isinstance(document, list) or not all(isinstance(one, dict) for one in document):
        raise ValueError("it is no list of alerts")
    rows = sorted(_row(one) for one in document)
    held = sum(row.endswith("(held back)") for row in rows)
    evidence: dict[str, object] = {"alerts": rows[:ROWS], "left_out": max(0, len(rows) - ROWS)}
    first = f"; the first: {rows[0]}" if rows else ""
    return ok(
        f"{len(rows)} alerts fire, {held} of them held back by silences or other alerts{first}", evidence=evidence
    )


def _row(one: Mapping[str, object]) -> str:
    labels, status = one.get("labels"), one.get("status")
    pairs = sorted(labels.items()) if isinstance(labels, dict) else []
    told = clean(", ".join(f"{name}={value}" for name, value in pairs))[:WIDTH]
    held = isinstance(status, dict) and status.get("state") == "suppressed"
    return f"{told} (held back)" if held else told
