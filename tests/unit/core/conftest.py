"""The observer: what a run may do, said a second time and on its own. It reads entries, never the state nor the machine.

`Seen` is what it remembers, small and hashable, so that an explorer can walk machine and observer together; `watch` is
what one more entry does to it, or an AssertionError that names the broken promise.

PYTEST_DONT_REWRITE: each promise is asked a hundred thousand times, and says itself what was broken.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from remediator.core import entries as e
from remediator.core.outcomes import EffectClass, Result, UndoResult
from remediator.core.plans import Plan
from remediator.core.rules import OnUnknown

# How long after its timeout an attempt may still arrive (s): reliability.md G6.
STILL_ARRIVES = 5.0
# Attempts that a class may make whatever its author said; a person's orders come on top.
# Attempts of a step in doubt (or of a read), whatever its author allows.
AT_LEAST = {EffectClass.READ: 3, EffectClass.SAFE: 3, EffectClass.KEYED: 2, EffectClass.ONCE: 1}


class Seen(NamedTuple):
    """What the observer remembers of a run. `doubts` holds attempts (step, number), `undo_names` the last try by step."""

    allowed: bool = False
    asked_until: float = 0.0
    approved: bool = False
    started: bool = False
    deadline: float = 0.0
    air: tuple[int, int] | None = None
    arrives_by: float = 0.0
    over_at: float = float("inf")
    intents: tuple[tuple[int, int], ...] = ()
    word: bool = False
    orders: int = 0
    doubts: frozenset[tuple[int, int]] = frozenset()
    owed: frozenset[tuple[int, int]] = frozenset()
    undoing: frozenset[tuple[int, int, int]] = frozenset()
    undo_names: frozenset[tuple[int, int]] = frozenset()
    resolved: bool = False
    verifying: bool = False
    verdict: str = ""
    parked: bool = False
    leave: bool = False
    ended: str = ""


class Observer:
    """Watches one run of one plan."""

    def __init__(self, plan: Plan, *, dry: bool, approval: bool) -> None:
        self._plan = plan
        self._dry = dry
        self._approval = approval

    def begin(self) -> Seen:
        """What is remembered before the first entry."""
        return Seen()

    def watch(self, seen: Seen, entry: e.Entry) -> Seen:
        """What is remembered after `entry`; AssertionError if a promise is broken."""
        fact, at = entry.fact, entry.at
        match fact:
            case e.NotificationDisposed():
                return seen._replace(resolved=True)
            case e.UndoIntent() | e.UndoConcluded():
                return self._undo(seen, fact)
            case e.RunDecided() | e.ApprovalRequested() | e.ApprovalGiven() | e.ApprovalRefused() | e.ApprovalExpired():
                return self._admission(seen, fact, at)
            case e.RunStarted():
                return self._started(seen, fact)
            case e.StepIntent():
                return self._intent(seen, fact, at)
            case e.StepOutcome():
                return self._outcome(seen, fact)
            case e.VerifyStarted() | e.VerifyConcluded() | e.RollbackStarted() | e.RunParked():
                return self._course(seen, fact, at)
            case e.PersonDecided():
                return self._person(seen, fact, at)
            case e.RunEnded():
                return self._ended(seen, fact)
            case _:
                return seen

    def _admission(self, seen: Seen, fact: e.AnyFact, at: float) -> Seen:
        assert not seen.started, "a run that has started is not admitted again"
        assert not seen.ended, "a run that has ended is not admitted again"
        match fact:
            case e.RunDecided(answer=answer):
                assert not seen.asked_until, "the guards wait for a person's answer"
                return seen._replace(allowed=answer == "allow")
            case e.ApprovalRequested(expires=expires):
                assert not seen.asked_until, "one request at a time"
                return seen._replace(asked_until=expires, allowed=False)
            case e.ApprovalGiven(digest=digest):
                assert seen.asked_until, "an approval answers a request"
                assert digest == self._plan.digest, "an approval is of exactly this plan"
                return seen._replace(approved=True, asked_until=0.0, allowed=False)
            case _:
                assert seen.asked_until, "a refusal answers a request"
                return seen._replace(asked_until=0.0, allowed=False)

    def _started(self, seen: Seen, fact: e.RunStarted) -> Seen:
        assert not seen.started, "a run starts once"
        assert not seen.ended, "a run that has ended does not start"
        assert seen.allowed, "no start before the guards allowed it"
        assert seen.approved or not self._approval, "no approval, no step (G21)"
        assert not seen.resolved, "nothing is started for an alert that has resolved"
        return seen._replace(started=True, deadline=fact.deadline)

    def _intent(self, seen: Seen, fact: e.StepIntent, at: float) -> Seen:
        step = self._plan.steps[fact.step]
        again = [attempt for place, attempt in seen.intents if place == fact.step]
        assert seen.started, "no intent before the run was allowed"
        assert not seen.ended, "no intent after the last word"
        assert not seen.verifying, "no step once the verification has begun"
        assert seen.air is None, "one attempt in the air at a time"
        assert fact.dry == self._dry, "a dry run has dry intents"
        assert (fact.step, fact.attempt) not in seen.intents, "an attempt has one intent"
        doubted = {place for place, _ in seen.doubts}
        assert doubted <= {fact.step}, "no other step while one is in doubt"
        if seen.word:
            assert fact.by, "a repetition that a person ordered carries their name"
        else:
            assert not seen.parked, "a parked run waits for a person"
            assert at < seen.deadline, "no step after the time limit"
            assert not (again and step.effect is EffectClass.ONCE), "a once step is issued once (G4)"
            assert not seen.resolved or doubted, "no step is started for an alert that has resolved"
            least = AT_LEAST[step.effect] if doubted or step.effect is EffectClass.READ else 1
            limit = max(step.attempts, least) + seen.orders
            assert fact.attempt <= limit, "no attempt beyond those allowed"
            assert not doubted or at >= seen.arrives_by, "an attempt in doubt may still arrive (G6)"
            assert not doubted or at < seen.over_at, "an effect whose time is over is not made again (G10)"
        owed = seen.owed
        if fact.undo_at is not None and not fact.dry:
            owed = frozenset(one for one in owed if one[0] != fact.step) | {(fact.step, fact.attempt)}
        return seen._replace(
            air=(fact.step, fact.attempt),
            arrives_by=fact.issue_by + fact.timeout + STILL_ARRIVES,
            over_at=fact.undo_at if fact.undo_at is not None else float("inf"),
            intents=(*seen.intents, (fact.step, fact.attempt)),
            word=False,
            owed=owed,
        )

    def _outcome(self, seen: Seen, fact: e.StepOutcome) -> Seen:
        attempt = (fact.step, fact.attempt)
        result = fact.outcome.result
        assert attempt in seen.intents, "intent before outcome (G8)"
        assert not seen.ended, "a late result is evidence, not an outcome"
        if seen.air is None:
            assert seen.doubts, "an attempt has one outcome"
            assert attempt in seen.doubts or (fact.reconciled and result is Result.OK), "an attempt has one outcome"
        else:
            assert attempt == seen.air, "an outcome is of the attempt in the air"
        reads = self._plan.steps[fact.step].effect is EffectClass.READ
        doubts = seen.doubts - {attempt}
        if result is Result.OK:
            doubts = frozenset(one for one in doubts if one[0] != fact.step)
        elif result is Result.UNKNOWN and not reads:
            doubts |= {attempt}
        owed = seen.owed
        if result in {Result.FAILED, Result.NOT_ISSUED} and not doubts:
            owed = frozenset(one for one in owed if one[0] != fact.step)
        word = seen.word and result is not Result.OK
        return seen._replace(air=None, word=word, doubts=doubts, owed=owed)

    def _course(self, seen: Seen, fact: e.AnyFact, at: float) -> Seen:
        assert seen.started, "nothing before the start"
        assert not seen.ended, "nothing after the last word"
        assert seen.air is None, "an attempt in the air is waited for"
        match fact:
            case e.VerifyStarted():
                assert not seen.doubts, "what is in doubt is settled before it is verified"
                assert seen.intents, "there is something to verify"
                return seen._replace(verifying=True)
            case e.VerifyConcluded(verdict=verdict):
                assert seen.verifying, "a verification begins before it ends"
                assert not seen.verdict, "a verification ends once"
                return seen._replace(verdict=verdict)
            case e.RollbackStarted():
                assert not seen.doubts, "no rollback on an unknown outcome"
                assert seen.leave or seen.verdict in {"", "not_recovered"}, "no rollback on what could not be told"
                return seen._replace(verifying=True, parked=False)
            case _:
                assert seen.doubts, "people are called for what is in doubt"
                lets_go = self._plan.on_unknown is OnUnknown.RELEASE
                assert not lets_go or at >= seen.arrives_by, "a lock outlives what was issued under it (G6)"
                return seen._replace(parked=True)

    def _person(self, seen: Seen, fact: e.PersonDecided, at: float) -> Seen:
        assert seen.parked, "a person decides on what waits for them"
        assert not seen.ended, "nothing after the last word"
        later = seen._replace(deadline=at + self._plan.limit)
        match fact.decision:
            case "mark_done":
                return later._replace(doubts=frozenset(), parked=False)
            case "continue":
                return later._replace(word=True, orders=seen.orders + 1, parked=False)
            case _:
                return seen._replace(doubts=frozenset(), leave=True)

    def _ended(self, seen: Seen, fact: e.RunEnded) -> Seen:
        assert not seen.ended, "one last word"
        assert seen.air is None, "an attempt in the air is waited for"
        assert not seen.doubts, "what is in doubt is settled before the last word"
        if fact.result == "succeeded":
            assert seen.verdict == "recovered", "success is seen, not assumed (G11)"
            assert not self._dry, "a dry run succeeds in nothing"
        if seen.started:
            assert fact.result != "denied", "what has started was not denied"
        return seen._replace(ended=fact.result)

    def _undo(self, seen: Seen, fact: e.UndoIntent | e.UndoConcluded) -> Seen:
        owed = dict(seen.owed)
        if isinstance(fact, e.UndoIntent):
            assert fact.step in owed, "only what was done is taken back"
            names = dict(seen.undo_names)
            assert fact.attempt > names.get(fact.step, 0), "each try of an undo has its own name"
            return seen._replace(
                undoing=seen.undoing | {(fact.step, fact.attempt, owed[fact.step])},
                undo_names=frozenset((names | {fact.step: fact.attempt}).items()),
            )
        (mine,) = [one for one in seen.undoing if one[:2] == (fact.step, fact.attempt)]
        settled = fact.outcome.result in {UndoResult.UNDONE, UndoResult.GONE, UndoResult.FOREIGN}
        if settled and owed.get(fact.step) == mine[2]:
            del owed[fact.step]
        return seen._replace(undoing=seen.undoing - {mine}, owed=frozenset(owed.items()))


@pytest.fixture(scope="session")
def observer() -> type[Observer]:
    """The observer, to be made for a plan."""
    return Observer
