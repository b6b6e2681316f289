"""The action `docker.restart`, by the Engine API over a Unix socket. That socket is root on its host: put a proxy before it.

A container that is starting is left to start (peers.md F12), and one that is not running is not this action's to wake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar
from urllib.parse import quote

from remediator.actions.defaults import WithoutUndo, node_place
from remediator.actions.http_client import Answer, HttpClient, Lost, NotSent, Request, deadline, judge
from remediator.actions.targets import DockerTarget
from remediator.core.outcomes import EffectClass, Found, Outcome, Presence, Result, failed, not_issued, ok
from remediator.core.params import Json, Param, ParamType
from remediator.ports import Call

# Answers of the Engine to a restart: 204 done.
RESTARTED = 204
# How long the container's main process may take to stop (s) before it is killed.
USUAL_STOP, LONGEST_STOP = 30, 600
# How much longer than that the answer may take (s).
SLACK = 5.0


def container_faults(target: DockerTarget | None, name: object) -> list[str]:
    """What is wrong with `name` as a container that the settings of `target` allow."""
    if not isinstance(name, str) or not name or "/" in name or name in {".", ".."}:
        return [f"{name!r} is not the name of a container"]
    if target is None or name in target.allow:
        return []
    allowed = ", ".join(sorted(target.allow)) or "none"
    return [f"container {name} is not allowed (allowed: {allowed}); add it to the settings under docker allow"]


class DockerRestart(WithoutUndo):
    """Restarts one allowed container that is running."""

    kind: ClassVar[str] = "docker.restart"
    effect: ClassVar[EffectClass] = EffectClass.ONCE
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {
        "container": Param(type=ParamType.NAME, doc="The container's name; it must be allowed in the settings."),
        "stop_timeout": Param(
            type=ParamType.INT,
            doc="Seconds its main process may take to stop before it is killed, 1 to 600; keep the step's timeout above it.",
            required=False,
            default=USUAL_STOP,
        ),
    }
    summary: ClassVar[str] = "Restart one container that is running"

    def __init__(self, target: DockerTarget | None, *, http: HttpClient | None) -> None:
        """`http` speaks through the target's socket; None where there is none."""
        self._target = target
        self._http = http

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses containers that the settings do not allow."""
        found = container_faults(self._target, arguments.get("container"))
        seconds = arguments.get("stop_timeout", USUAL_STOP)
        if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= LONGEST_STOP:
            found.append(f"stop_timeout is {seconds!r}: expected whole seconds from 1 to {LONGEST_STOP}")
        return found

    def places(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """That container."""
        return (f"container {arguments.get('container')}",)

    def forgets(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """The kumods that run in it: their suspensions live in memory."""
        name = str(arguments.get("container"))
        nodes = self._target.nodes.get(name, ()) if self._target is not None else ()
        return [node_place(node) for node in nodes]

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Which container."""
        return f"restart the container {arguments.get('container')}"

    async def perform(self, call: Call) -> Outcome:
        """Looks whether it runs, then restarts it once."""
        faults = self.faults(call.arguments)
        if faults or self._http is None:
            return failed(faults[0] if faults else "no Docker socket is configured")
        name, seconds = str(call.arguments["container"]), call.arguments.get("stop_timeout", USUAL_STOP)
        assert isinstance(seconds, int)
        if seconds + SLACK > call.timeout:
            return failed(
                f"the step's timeout of {call.timeout:g}s leaves no room for a stop of {seconds}s; "
                f"raise the timeout to {seconds + 2 * SLACK:g}s or lower stop_timeout"
            )
        until = deadline(call.timeout)
        state = await self._state(name, until)
        if isinstance(state, str):
            return not_issued(f"{state}; nothing was done")
        reason = _unfit(state)
        if reason:
            return failed(f"{name} was not restarted: {reason}", evidence={"state": dict(state)})
        started = str(state.get("StartedAt", ""))
        request = Request(method="POST", url=f"{_url(name)}/restart", query=(("t", str(seconds)),))
        outcome = judge(
            await self._http.send(request, until=until), f"restart of {name}", good=lambda s: s == RESTARTED
        )
        if outcome.result is not Result.OK:
            return outcome
        return ok(f"{name} was restarted; it had run since {started}", evidence={"started_before": started})

    async def reconcile(self, call: Call) -> Found:
        """Present if it was started after the attempt was announced; both times are of clocks on this host."""
        name = str(call.arguments.get("container"))
        if self._http is None or self.faults(call.arguments):
            return Found(presence=Presence.UNDECIDED, sentence="no Docker socket is configured")
        state = await self._state(name, deadline(call.timeout))
        if isinstance(state, str):
            return Found(presence=Presence.UNDECIDED, sentence=state)
        started = str(state.get("StartedAt", ""))
        if call.issued_at is None or (at := _seconds(started)) is None:
            sentence = f"{name} has run since {started}; compare that with the time of the attempt"
            return Found(presence=Presence.UNDECIDED, sentence=sentence)
        if at > call.issued_at:
            sentence = f"{name} was started at {started}, after the attempt was announced"
            return Found(presence=Presence.PRESENT, sentence=sentence)
        return Found(presence=Presence.UNDECIDED, sentence=f"{name} still runs since {started}; it may yet be stopped")

    async def _state(self, name: str, until: float) -> Mapping[str, object] | str:
        """The container's state, or why it cannot be told."""
        assert self._http is not None
        match await self._http.read(Request(method="GET", url=f"{_url(name)}/json"), until=until):
            case Answer(status=200) as answer:
                try:
                    document = answer.json()
                except ValueError as fault:
                    return f"Docker's answer about {name} is not readable: {fault}"
                state = document.get("State") if isinstance(document, dict) else None
                return state if isinstance(state, dict) else f"Docker's answer about {name} has no state"
            case Answer(status=status, text=text):
                return f"Docker answered {status} {text!r} about {name}"
            case NotSent(sentence=sentence) | Lost(sentence=sentence):
                return f"Docker does not answer: {sentence}"


def _seconds(text: str) -> float | None:
    """The moment that Docker writes (RFC 3339, nanoseconds), in unix seconds; None where it writes something else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None


def _url(name: str) -> str:
    return f"http://docker/containers/{quote(name, safe='')}"


def _unfit(state: Mapping[str, object]) -> str:
    """Why a container in this state must not be restarted; empty if it may."""
    health = state.get("Health")
    starting = isinstance(health, dict) and health.get("Status") == "starting"
    if state.get("Restarting") or state.get("Status") == "restarting" or starting:
        return "it is starting already"
    if state.get("Paused"):
        return "somebody paused it"
    if not state.get("Running"):
        return f"it is not running (status {state.get('Status')}); starting it is a person's decision"
    return ""
