"""Steps that concern people or time: `notify`, `manual` and `wait`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from remediator.actions.defaults import WithoutCheck, WithoutUndo
from remediator.core.durations import format_duration
from remediator.core.outcomes import EffectClass, Outcome, failed, ok
from remediator.core.params import Json, Param, ParamType
from remediator.ports import Call, Clock, Message, Receiver

# The longest wait of a step (s).
LONGEST = 3600.0


class Notify(WithoutCheck, WithoutUndo):
    """Tells people something in the middle of a run. A message too many is better than one too few, so it is `safe`."""

    kind: ClassVar[str] = "notify"
    effect: ClassVar[EffectClass] = EffectClass.SAFE
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {
        "receiver": Param(type=ParamType.NAME, doc="The receiver, by its name in the settings."),
        "text": Param(type=ParamType.TEXT, doc="What people are told."),
    }
    summary: ClassVar[str] = "Tell people something"

    def __init__(self, receivers: Mapping[str, Receiver]) -> None:
        self._receivers = receivers

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown receivers and empty messages."""
        found = [f"no {name}" for name in ("receiver", "text") if not arguments.get(name)]
        name = arguments.get("receiver")
        if name and self._receivers and name not in self._receivers:
            found.append(f"no receiver is called {name!r} (known: {', '.join(sorted(self._receivers))})")
        return found

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Whom, and what."""
        return f"tell {arguments.get('receiver')}: {arguments.get('text')}"

    async def perform(self, call: Call) -> Outcome:
        """Sends one message; its id is the step's, so that a receiver can drop a second copy."""
        receiver = self._receivers.get(str(call.arguments.get("receiver")))
        faults = self.faults(call.arguments)
        if receiver is None or faults:
            return failed(faults[0] if faults else "no receivers are configured")
        text = str(call.arguments["text"])
        message = Message(id=call.key, subject=text[:120], text=text, incident=call.incident)
        return await receiver.send(message)


class Manual(WithoutCheck, WithoutUndo):
    """Notes what a person must do; the run goes on at once, since nothing can wait for hands."""

    kind: ClassVar[str] = "manual"
    effect: ClassVar[EffectClass] = EffectClass.READ
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {
        "sentence": Param(type=ParamType.TEXT, doc="What a person must do, as one sentence.")
    }
    summary: ClassVar[str] = "Note what a person must do"

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses an empty sentence."""
        return [] if str(arguments.get("sentence") or "").strip() else ["no sentence"]

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """The sentence."""
        return f"by hand: {arguments.get('sentence')}"

    async def perform(self, call: Call) -> Outcome:
        """Keeps the sentence as evidence."""
        faults = self.faults(call.arguments)
        if faults:
            return failed(faults[0])
        sentence = str(call.arguments["sentence"])
        return ok(f"a person must: {sentence}", evidence={"by_hand": sentence})


class Wait(WithoutCheck, WithoutUndo):
    """Waits before the next step. To wait until something is so, write a verification instead."""

    kind: ClassVar[str] = "wait"
    effect: ClassVar[EffectClass] = EffectClass.SAFE
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {
        "seconds": Param(type=ParamType.DURATION, doc="How long, up to 1h; keep the step's timeout above it.")
    }
    summary: ClassVar[str] = "Wait before the next step"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses what is no time or too long."""
        seconds = arguments.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= LONGEST:
            return [f"seconds is {seconds!r}: expected a duration of more than 0s and at most 1h"]
        return []

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """How long."""
        seconds = arguments.get("seconds")
        return f"wait {format_duration(float(seconds)) if isinstance(seconds, (int, float)) else seconds}"

    async def perform(self, call: Call) -> Outcome:
        """Waits."""
        faults, seconds = self.faults(call.arguments), call.arguments.get("seconds")
        if faults or not isinstance(seconds, (int, float)):
            return failed(faults[0])
        if seconds > call.timeout:
            return failed(f"the step's timeout of {call.timeout:g}s is shorter than the wait; raise it")
        await self._clock.sleep(float(seconds))
        return ok(f"waited {format_duration(float(seconds))}")
