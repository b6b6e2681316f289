"""The action `command`: one program with a fixed list of arguments, no shell, bounded in time, output and environment.

A child inherits a locked file that is named for the step. The lock lives as long as any process of the child's tree, so
after a crash of ours the next life can see that the command is still running (reliability.md T46).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from remediator.actions.children import Ended, NotStarted, Overdue, run
from remediator.actions.defaults import WithoutUndo
from remediator.actions.targets import CommandTargets
from remediator.core.outcomes import EffectClass, Found, Outcome, Presence, failed, not_issued, ok, unknown
from remediator.core.params import Json, Param, ParamType
from remediator.ports import Call

# Exit codes by which shells, env and timeout say that the program itself never ran.
NEVER_RAN = frozenset({126, 127})
LARGEST_EXIT = 255


class Command(WithoutUndo):
    """Starts one program and waits for its end."""

    kind: ClassVar[str] = "command"
    effect: ClassVar[EffectClass] = EffectClass.ONCE
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {
        "argv": Param(
            type=ParamType.ARGV,
            doc="The program's absolute path, which must be allowed in the settings, and its arguments, one item each.",
        ),
        "cwd": Param(type=ParamType.PATH, doc="Where it runs. Left out: /.", required=False, default="/"),
        "ok_exit": Param(type=ParamType.NAMES, doc="The exit codes that mean success. Left out: [0].", required=False),
    }
    summary: ClassVar[str] = "Run one allowed program, without a shell"

    def __init__(self, targets: CommandTargets | None, redact: Callable[[str], str]) -> None:
        self._targets = targets
        self._redact = redact

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses programs that the settings do not allow, and exit codes that are none."""
        argv = arguments.get("argv")
        if not isinstance(argv, list) or not argv or not all(isinstance(part, str) and part for part in argv):
            return ["argv must be a list of texts that are not empty, the program first"]
        found: list[str] = []
        program = str(argv[0])
        if not program.startswith("/") or ".." in program.split("/"):
            found.append(f"{program!r} is not an absolute path")
        elif self._targets is not None and program not in self._targets.allow:
            allowed = ", ".join(self._targets.allow) or "none"
            found.append(f"{program} is not allowed (allowed: {allowed}); add it to the settings under command allow")
        if _codes(arguments) is None:
            found.append(f"ok_exit is {arguments.get('ok_exit')!r}: expected a list of codes from 0 to {LARGEST_EXIT}")
        return found

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """The command line, item by item."""
        argv = arguments.get("argv")
        return f"run {' '.join(repr(part) for part in argv)}" if isinstance(argv, list) else "run nothing"

    async def perform(self, call: Call) -> Outcome:
        """Runs it; a command that had to be stopped is unknown."""
        faults, codes, argv = self.faults(call.arguments), _codes(call.arguments), call.arguments.get("argv")
        if faults or self._targets is None or codes is None or not isinstance(argv, list):
            return failed(faults[0] if faults else "no program is allowed in the settings")
        try:
            lock = self._lock(call.key)
        except BlockingIOError:
            return failed("a process of an earlier attempt of this step is still running; it is not started twice")
        except OSError as fault:
            return not_issued(f"not started: the lock for it cannot be made ({fault})")
        try:
            inherited = () if lock is None else (lock,)
            ended = await run(
                [str(part) for part in argv], Path(str(call.arguments.get("cwd") or "/")), call.timeout, inherited
            )
        finally:
            if lock is not None:
                os.close(lock)
        match ended:
            case NotStarted(reason=reason):
                return not_issued(f"{argv[0]} was not started: {reason}")
            case Overdue(output=output, signal=signal):
                sentence = f"{argv[0]} did not end within {call.timeout:g}s and was stopped by {signal}"
                return unknown(f"{sentence}; it may have done its work", evidence={"output": self._redact(output)})
            case Ended(code=code, output=output):
                return _outcome(str(argv[0]), code, self._redact(output), codes)

    async def reconcile(self, call: Call) -> Found:
        """Tells whether a process of that step still lives; what it did, nobody can say."""
        try:
            lock = self._lock(call.key)
        except BlockingIOError:
            sentence = "the command of the interrupted attempt still runs (it holds its lock)"
            return Found(presence=Presence.UNDECIDED, sentence=sentence, running=True)
        except OSError as fault:
            return Found(presence=Presence.UNDECIDED, sentence=f"whether it still runs cannot be told ({fault})")
        if lock is None:
            sentence = "whether the command of the interrupted attempt still runs cannot be told: it has no lock"
            return Found(presence=Presence.UNDECIDED, sentence=sentence)
        os.close(lock)
        sentence = "no process of the command of the interrupted attempt is left; how it ended is not known"
        return Found(presence=Presence.UNDECIDED, sentence=sentence)

    def _lock(self, key: str) -> int | None:
        """The locked file of a step; BlockingIOError while a process holds it. None if no place for locks is configured."""
        place = self._targets.locks if self._targets else None
        if place is None:
            return None
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = place / f"command-{hashlib.sha256(key.encode()).hexdigest()[:24]}.lock"
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise
        return handle


def _codes(arguments: Mapping[str, Json]) -> frozenset[int] | None:
    given = arguments.get("ok_exit")
    if given is None:
        return frozenset({0})
    try:
        found = frozenset(int(str(one)) for one in given) if isinstance(given, list) else frozenset()
    except ValueError:
        return None
    return found if found and all(0 <= code <= LARGEST_EXIT for code in found) else None


def _outcome(program: str, code: int, output: str, good: frozenset[int]) -> Outcome:
    evidence: dict[str, object] = {"exit": code, "output": output}
    if code in good:
        return ok(f"{program} ended with {code}", evidence=evidence)
    if code in NEVER_RAN:
        return not_issued(f"{program} ended with {code}: what it should have run was not found or not allowed to run")
    if code < 0:
        return unknown(f"{program} was killed by signal {-code}; it may have done its work", evidence=evidence)
    last = output.strip().rpartition("\n")[2][:200]
    return failed(f"{program} ended with {code}{f': {last}' if last else ''}", evidence=evidence)
