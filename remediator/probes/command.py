"""The probe `command`: an allowed program that only looks, and whose exit code is the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from remediator.actions.children import Ended, NotStarted, Overdue, run
from remediator.actions.command import NEVER_RAN
from remediator.actions.targets import CommandTargets
from remediator.core.outcomes import Look, Observation
from remediator.core.params import Json, Param, ParamType
from remediator.ports import LookCall
from remediator.probes.judging import cannot_tell

# Time to stop a program that is overdue, out of the look's own (s).
STOPPING = 2.0


class CommandProbe:
    """Good if the program ends with 0, bad if with 1; anything else could not tell."""

    kind: ClassVar[str] = "command"
    params: ClassVar[Mapping[str, Param]] = {
        "argv": Param(
            type=ParamType.ARGV,
            doc="The program's absolute path, which must be allowed in the settings, and its arguments. "
            "It must end with 0 for yes and 1 for no.",
        )
    }
    summary: ClassVar[str] = "A program says yes"

    def __init__(self, targets: CommandTargets | None, redact: Callable[[str], str]) -> None:
        self._targets = targets
        self._redact = redact

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """The command line, item by item."""
        argv = arguments.get("argv")
        return f"{' '.join(repr(part) for part in argv)} ends with 0" if isinstance(argv, list) else "nothing"

    async def look(self, call: LookCall) -> Observation:
        """Runs it."""
        argv = call.arguments.get("argv")
        if not isinstance(argv, list) or not argv or not all(isinstance(part, str) and part for part in argv):
            return cannot_tell("no program")
        program = str(argv[0])
        if self._targets is None or program not in self._targets.allow:
            return cannot_tell(f"{program} is not allowed; add it to the settings under command allow")
        seconds = max(1.0, call.timeout - STOPPING)
        match await run([str(part) for part in argv], Path("/"), seconds):
            case NotStarted(reason=reason):
                return cannot_tell(f"{program} was not started: {reason}")
            case Overdue():
                return cannot_tell(f"{program} did not end within {seconds:g}s")
            case Ended(code=0):
                return Observation(look=Look.GOOD, sentence=f"{program} ended with 0", at=call.now)
            case Ended(code=code, output=output):
                last = self._redact(output).strip().rpartition("\n")[2][:200]
                sentence = f"{program} ended with {code}{f': {last}' if last else ''}"
                if code == 1:
                    return Observation(look=Look.BAD, sentence=sentence)
                return cannot_tell(f"{sentence}{' (it never ran)' if code in NEVER_RAN else ''}, wanted 0 or 1")
