"""Actions that only look at containers, by the Engine API: `docker.report` and `docker.log_report`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar
from urllib.parse import quote

from remediator.actions.defaults import WithoutCheck, WithoutUndo
from remediator.actions.docker import container_faults
from remediator.actions.http_client import Answer, HttpClient, Lost, NotSent, Request, clean, deadline
from remediator.actions.lists import read_list
from remediator.actions.targets import DockerTarget
from remediator.core.durations import format_duration
from remediator.core.outcomes import EffectClass, Outcome, failed, failed_for_now, ok
from remediator.core.params import Json, Param, ParamType
from remediator.ports import Call

# How many containers and log lines are kept, how long a kept line may be, and how many lines are searched at most.
ROWS, WIDTH, SEARCHED = 40, 200, 5000
# The Engine puts eight bytes before each piece of a log that goes to no terminal: the stream, three zeros, the length.
_FRAME = 8
# The longest time that a log is searched back (s).
LONGEST = 7 * 86_400.0


class DockerReport(WithoutCheck, WithoutUndo):
    """Keeps the state of every container of the host, and counts those that are not well."""

    kind: ClassVar[str] = "docker.report"
    effect: ClassVar[EffectClass] = EffectClass.READ
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {}
    summary: ClassVar[str] = "Note the state of every container"

    def __init__(self, target: DockerTarget | None, *, http: HttpClient | None) -> None:
        """`http` speaks through the target's socket; None where there is none."""
        self._target = target
        self._http = http

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """There is nothing to refuse."""
        del arguments
        return []

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """What would be noted."""
        del arguments
        return "note the state of every container"

    async def perform(self, call: Call) -> Outcome:
        """Lists them, those that do not run too."""
        if self._http is None:
            return failed("no Docker socket is configured")
        request = Request(method="GET", url="http://docker/containers/json", query=(("all", "1"),))
        return await read_list(self._http, request, call.timeout, of=("Docker", "containers"), told=_listed)


def _listed(document: object) -> Outcome:
    if not isinstance(document, list):
        raise ValueError("it is no list")
    found = dict(sorted(_states(document)))
    unwell = {name: told for name, (fine, told) in found.items() if not fine}
    rows = {**unwell, **{name: told for name, (_fine, told) in found.items()}}
    told = "; ".join(f"{name}: {state}" for name, state in list(unwell.items())[:5])
    evidence: dict[str, object] = {"containers": dict(list(rows.items())[:ROWS])}
    return ok(
        f"{len(found) - len(unwell)} of {len(found)} containers run{f'; {told}' if told else ''}", evidence=evidence
    )


def _states(document: Sequence[object]) -> Iterator[tuple[str, tuple[bool, str]]]:
    """Each container's name, whether it is well, and what Docker says of it."""
    for one in document:
        names = one.get("Names") if isinstance(one, dict) else None
        if isinstance(one, dict) and isinstance(names, list) and names:
            status = clean(str(one.get("Status", "")))[:WIDTH]
            fine = one.get("State") == "running" and "unhealthy" not in status and "starting" not in status
            yield clean(str(names[0]))[:WIDTH].removeprefix("/"), (fine, status or clean(str(one.get("State")))[:WIDTH])


class DockerLogReport(WithoutCheck, WithoutUndo):
    """Counts the lines of an allowed container's log that hold a word, and keeps the last of them."""

    kind: ClassVar[str] = "docker.log_report"
    effect: ClassVar[EffectClass] = EffectClass.READ
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {
        "container": Param(type=ParamType.NAME, doc="The container's name; it must be allowed in the settings."),
        "word": Param(type=ParamType.TEXT, doc="What a line must contain, upper and lower case alike."),
        "since": Param(
            type=ParamType.DURATION,
            doc="How far back to look, up to 7d. Left out: 12h.",
            required=False,
            default=43_200.0,
        ),
    }
    summary: ClassVar[str] = "Note the lines of a container's log that contain a word"

    def __init__(self, target: DockerTarget | None, *, http: HttpClient | None) -> None:
        """`http` speaks through the target's socket, and takes configured secrets out of what is kept."""
        self._target = target
        self._http = http

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses containers that the settings do not allow, and searches without a word or an end."""
        found = container_faults(self._target, arguments.get("container"))
        if not str(arguments.get("word") or "").strip():
            found.append("no word to look for")
        since = arguments.get("since", 43_200.0)
        if isinstance(since, bool) or not isinstance(since, (int, float)) or not 0 < since <= LONGEST:
            found.append(f"since is {since!r}: expected a duration of more than 0s and at most 7d")
        return found

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Which lines of which log."""
        return f"note the lines with {arguments.get('word')!r} in the log of the container {arguments.get('container')}"

    async def perform(self, call: Call) -> Outcome:
        """Reads the newest lines; no line with the word is an answer too."""
        faults = self.faults(call.arguments)
        if faults or self._http is None:
            return failed(faults[0] if faults else "no Docker socket is configured")
        name, word = str(call.arguments["container"]), str(call.arguments["word"])
        since = call.arguments.get("since", 43_200.0)
        assert isinstance(since, (int, float))
        query = (("stdout", "1"), ("stderr", "1"), ("since", str(int(call.now - since))), ("tail", str(SEARCHED)))
        request = Request(method="GET", url=f"http://docker/containers/{quote(name, safe='')}/logs", query=query)
        match await self._http.read(request, until=deadline(call.timeout)):
            case Answer(status=200) as answer:
                lines = [line for line in _lines(answer.body) if word.casefold() in line.casefold()]
                kept: dict[str, object] = {"lines": [clean(answer.redact(line))[:WIDTH] for line in lines[-ROWS:]]}
                sentence = (
                    f"{len(lines)} lines of {name}'s log of the last {format_duration(float(since))} contain {word!r}"
                )
                return ok(f"{sentence}{', the log was longer than is read' if answer.cut else ''}", evidence=kept)
            case Answer(status=status, text=text):
                return failed(f"Docker answered {status} {text!r} when asked for the log of {name}")
            case NotSent(sentence=sentence) | Lost(sentence=sentence):
                return failed_for_now(f"Docker does not answer: {sentence}")


def _lines(body: bytes) -> list[str]:
    """The lines of a log, out of the Engine's frames where it made any."""
    pieces, rest = [], body
    while len(rest) >= _FRAME and rest[0] <= 2 and rest[1:4] == b"\x00\x00\x00":
        length = int.from_bytes(rest[4:_FRAME], "big")
        pieces.append(rest[_FRAME : _FRAME + length])
        rest = rest[_FRAME + length :]
    whole = b"".join(pieces) if pieces else body
    return [line for line in whole.decode("utf-8", "replace").splitlines() if line.strip()]
