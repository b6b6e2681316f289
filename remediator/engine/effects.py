"""The only door to the world: an effect needs a token, and a token comes only from a durable intent (G8).

There are two of these objects. `LiveEffects` calls the actions. `DryEffects` calls only those of class `read` and says of
the others what they would have done. A run is given one or the other when it starts to be driven; no step asks which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from remediator.core.entries import Entry, StepIntent, UndoIntent
from remediator.core.outcomes import (
    EffectClass,
    Found,
    Outcome,
    Presence,
    UndoOutcome,
    UndoResult,
    failed,
    not_issued,
    ok,
    unknown,
)
from remediator.core.plans import PlannedStep
from remediator.core.runs import ISSUE_WITHIN
from remediator.core.state import Run, Undo
from remediator.engine.boundary import answered, checked
from remediator.errors import IllegalEntry
from remediator.ports import Action, Call, Clock

# What a step may take beyond its timeout: TERM, five seconds of grace, KILL, and the reading of what was written (G12).
KILL_GRACE = 10.0


@dataclass(frozen=True, slots=True)
class IntentToken:
    """Proof that the intent to do this is durable. `seq` is its place in the journal, `mono` when this process wrote it."""

    intent: StepIntent | UndoIntent
    seq: int
    mono: float = float("inf")


def token_of(entry: Entry) -> IntentToken:
    """The token of a committed intent; IllegalEntry for any other entry, or one that has no place in the journal."""
    if not isinstance(entry.fact, (StepIntent, UndoIntent)) or entry.seq <= 0:
        raise IllegalEntry("only a committed intent allows an effect")
    return IntentToken(entry.fact, entry.seq, entry.mono)


class Effects(Protocol):
    """How a run touches the world."""

    async def issue(self, token: IntentToken, step: PlannedStep) -> Outcome:
        """Makes the attempt that `token` announces."""
        ...

    async def reconcile(self, run: Run, step: PlannedStep) -> Found:
        """Asks the target whether the last attempt of `run`, which was at `step`, took effect."""
        ...

    async def take_back(self, token: IntentToken, undo: Undo) -> UndoOutcome:
        """Takes an effect back, comparing first."""
        ...


def key_of(run: str, step: int) -> str:
    """What a `keyed` target stores of a step; the same for all its attempts."""
    return f"{run}/{step}"


class LiveEffects:
    """Calls the actions for real. Whatever breaks inside one is an unknown outcome: it may have been carried out."""

    def __init__(self, actions: Mapping[str, Action], clock: Clock) -> None:
        self._actions = actions
        self._clock = clock

    async def issue(self, token: IntentToken, step: PlannedStep) -> Outcome:
        """Makes the attempt, unless its moment has passed."""
        intent = token.intent
        if not isinstance(intent, StepIntent):
            raise IllegalEntry("an undo intent does not allow a step")
        action = self._actions.get(step.action)
        if action is None:
            return failed(f"there is no action {step.action} any more")
        if self._clock.now() > intent.issue_by or self._clock.monotonic() - token.mono > ISSUE_WITHIN:
            return not_issued("too late to be issued: the service was held up after the intent")
        call = self._call(intent.key, step, intent.incident, intent.undo_at, intent.issue_by - ISSUE_WITHIN)
        try:
            async with asyncio.timeout(step.timeout + KILL_GRACE):
                return checked(Outcome, await action.perform(call))
        except TimeoutError:
            return unknown(f"no answer within {step.timeout:g}s; it may have been carried out")
        except Exception as fault:  # noqa: BLE001  (a plug-in: after its first byte anything may have happened)
            return unknown(f"the action broke ({type(fault).__name__}: {fault}); it may have been carried out")

    async def reconcile(self, run: Run, step: PlannedStep) -> Found:
        """Asks the action's own check; anything but a clear answer is undecided."""
        action = self._actions.get(step.action)
        if action is None:
            return Found(presence=Presence.UNDECIDED, sentence=f"there is no action {step.action} any more")
        call = self._call(step.key or key_of(run.id, run.step), step, run.incident, run.expires_at, run.issued_at)
        return await answered(
            Found,
            lambda: action.reconcile(call),
            seconds=step.timeout + KILL_GRACE,
            otherwise=lambda fault: Found(presence=Presence.UNDECIDED, sentence=f"the check broke ({fault})"),
        )

    async def take_back(self, token: IntentToken, undo: Undo) -> UndoOutcome:
        """Takes the effect back; what is not clearly undone, gone or foreign is tried again later."""
        if not isinstance(token.intent, UndoIntent):
            raise IllegalEntry("a step intent does not allow an undo")
        action = self._actions.get(undo.action)
        if action is None:
            return UndoOutcome(result=UndoResult.FAILED, sentence=f"there is no action {undo.action} any more")
        call = Call(arguments=undo.arguments, key=undo.key, timeout=30.0, now=self._clock.now(), incident=undo.incident)
        return await answered(
            UndoOutcome,
            lambda: action.undo(call, undo.receipt),
            seconds=40.0,
            otherwise=lambda fault: UndoOutcome(result=UndoResult.UNKNOWN, sentence=fault),
        )

    def _call(
        self, key: str, step: PlannedStep, incident: str, expires_at: float | None, issued_at: float | None
    ) -> Call:
        return Call(
            arguments=step.arguments,
            key=key,
            timeout=step.timeout,
            now=self._clock.now(),
            incident=incident,
            expires_at=expires_at,
            issued_at=issued_at,
        )


class DryEffects:
    """Touches nothing: reads are done for real, everything else is told as what it would have been."""

    def __init__(self, live: LiveEffects) -> None:
        self._live = live

    async def issue(self, token: IntentToken, step: PlannedStep) -> Outcome:
        """Reads, or says what would have been done."""
        if step.effect is EffectClass.READ:
            return await self._live.issue(token, step)
        return ok(step.does or step.name)

    async def reconcile(self, run: Run, step: PlannedStep) -> Found:
        """Nothing was ever issued."""
        sentence = f"a dry run issued nothing ({key_of(run.id, run.step)}, {step.action})"
        return Found(presence=Presence.ABSENT, sentence=sentence)

    async def take_back(self, token: IntentToken, undo: Undo) -> UndoOutcome:
        """Nothing is there to be taken back."""
        return UndoOutcome(result=UndoResult.GONE, sentence=f"a dry run left nothing ({undo.id}, entry {token.seq})")
