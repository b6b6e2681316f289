"""The probe `http`: one GET to a URL below an allowed prefix, and what the answer must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from remediator.actions.http import url_fault
from remediator.actions.http_client import Answer, HttpClient, Lost, NotSent, Request, deadline
from remediator.actions.targets import HttpTargets
from remediator.core.outcomes import Look, Observation
from remediator.core.params import Json, Param, ParamType
from remediator.ports import LookCall
from remediator.probes.judging import cannot_tell


class HttpProbe:
    """Good if the answer is as wanted, bad if there is another; without an answer nobody can tell."""

    kind: ClassVar[str] = "http"
    params: ClassVar[Mapping[str, Param]] = {
        "url": Param(type=ParamType.URL, doc="The whole URL; it must lie below a prefix allowed in the settings."),
        "status": Param(type=ParamType.INT, doc="The status that is wanted.", required=False, default=200),
        "text": Param(type=ParamType.TEXT, doc="What the answer must contain. Left out: anything.", required=False),
    }
    summary: ClassVar[str] = "A URL answers as it should"

    def __init__(self, targets: HttpTargets | None, *, http: HttpClient) -> None:
        self._targets = targets
        self._http = http

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """What must be answered, by whom."""
        text = arguments.get("text")
        return f"{arguments.get('url')} answers {arguments.get('status', 200)}{f' with {text!r}' if text else ''}"

    async def look(self, call: LookCall) -> Observation:
        """Asks now; so the answer is newer than any effect before."""
        url, wanted, text = call.arguments.get("url"), call.arguments.get("status", 200), call.arguments.get("text")
        if not isinstance(url, str) or self._targets is None:
            return cannot_tell("no URL, or no URL prefix is allowed in the settings")
        fault = url_fault(url, self._targets.allow)
        if fault:
            return cannot_tell(fault)
        match await self._http.read(Request(method="GET", url=url), until=deadline(call.timeout)):
            case NotSent(sentence=sentence) | Lost(sentence=sentence):
                return cannot_tell(f"{url}: {sentence}")
            case Answer(status=status, body=body) as answer:
                if status != _number(wanted):
                    return Observation(
                        look=Look.BAD, sentence=f"{url} answered {status} {answer.text!r}, wanted {wanted}"
                    )
                if isinstance(text, str) and text and text not in body.decode("utf-8", "replace"):
                    return Observation(look=Look.BAD, sentence=f"{url} answered {status} without {text!r}")
                return Observation(look=Look.GOOD, sentence=f"{url} answered {status}", at=call.now)


def _number(wanted: Json) -> int | None:
    return int(str(wanted)) if str(wanted).isdecimal() else None
