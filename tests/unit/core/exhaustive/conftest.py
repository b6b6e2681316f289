"""The driver: everything that can happen to a run.

It stands for the engine: it asks `next_effect`, lets the world answer in every possible way, and folds the
entries. A crash between two entries needs no case of its own, because every entry is folded alone and the driver keeps
nothing: what it does next is asked of the state again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest

from remediator.core import entries as e
from remediator.core import runs as r
from remediator.core.alerts import AlertStatus
from remediator.core.outcomes import EffectClass, Found, Outcome, Presence, Result, UndoOutcome, UndoResult
from remediator.core.state import WORKING, Run, RunStatus, State
from remediator.core.verdicts import Answer, Verdict

if TYPE_CHECKING:
    from remediator.core.plans import Plan
    from tests.unit.conftest import Build

RUN, INCIDENT = "inc-1.1", "inc-1"
# What may happen on one path beyond what the plan itself can lead to.
PEOPLE, CRASHES, EXPIRIES, DEFERRALS = 1, 1, 1, 1


class World(NamedTuple):
    """What is left of the world's mischief on this path, and the undo that is under way."""

    late: bool = False
    people: int = 0
    crashes: int = 0
    expiries: int = 0
    deferrals: int = 0
    undoing: tuple[int, int, str] | None = None


# Nothing of that happens; a walk allows again what it is about.
QUIET = World(late=True, people=PEOPLE, crashes=CRASHES, expiries=EXPIRIES, deferrals=DEFERRALS)


class Place(Protocol):
    """Where a walk is."""

    @property
    def state(self) -> State: ...
    @property
    def now(self) -> float: ...
    @property
    def world(self) -> World: ...


class Move(NamedTuple):
    """What happens: entries, what is left of the world's mischief, and what time it is then."""

    facts: Sequence[e.AnyFact]
    world: World
    now: float


class Driver:
    """Everything that can happen to one run of one plan, and what must never be admitted."""

    def __init__(self, build: Build, plan: Plan, *, dry: bool, ask: bool) -> None:
        self._build = build
        self._plan = plan
        self._dry = dry
        self._ask = ask

    def opening(self) -> list[e.AnyFact]:
        """An alert fires, and a run is planned for it."""
        zero = self._build.zero
        read = e.AlertRead(identity="a1", status=AlertStatus.FIRING, starts_at=zero, labels={"a": "1"})
        told = e.NotificationDisposed(notification=1, alerts=(read,))
        return [self._received(), *self._build.open(self._plan, dry=self._dry), told]

    def allowed(self, now: float) -> list[e.AnyFact]:
        """The guards allow it, and the run starts."""
        return [self._decided(Answer.ALLOW), self._start(now)]

    # ── what must never be admitted ──────────────────────────────────────────────────────────────────────────────────
    def hostile(self, node: Place) -> Iterator[e.AnyFact]:
        """Entries of which most do not fit this state."""
        run = node.state.runs.get(RUN)
        if run is None:
            yield from self._anything(0, 1)
            return
        yield from self._outcomes(max(run.step, 0), max(run.attempt, 1), [Result.OK, Result.FAILED])
        yield from self._outcomes(max(run.step, 0), run.attempt + 1, [Result.OK])
        yield e.RunEnded(incident=INCIDENT, run=RUN, result="succeeded", reason="hostile")
        yield e.ApprovalGiven(incident=INCIDENT, run=RUN, digest="another plan", by="eve")
        yield e.PersonDecided(incident=INCIDENT, run=RUN, decision="mark_done", by="eve", reason="hostile")
        if run.intent is not None or run.doubt:
            yield e.RunEnded(incident=INCIDENT, run=RUN, result="failed", reason="hostile")
            yield e.VerifyStarted(incident=INCIDENT, run=RUN, after=node.now)
            yield e.RollbackStarted(incident=INCIDENT, run=RUN, reason="hostile")
            if run.step + 1 < len(self._plan.steps):
                yield self._intent(run, run.step + 1, 1, node.now)
        if run.intent is not None or run.started is None:
            yield self._intent(run, max(run.step, 0), run.attempt + 1, node.now)
        if run.started is not None:
            yield self._start(node.now)

    def _anything(self, step: int, attempt: int) -> Iterator[e.AnyFact]:
        yield self._decided(Answer.ALLOW)
        yield self._start(self._build.zero)
        yield self._build.intent(step, attempt + 7)
        yield from self._outcomes(step, attempt, [Result.OK])
        yield e.VerifyStarted(incident=INCIDENT, run=RUN, after=0.0)
        yield e.VerifyConcluded(incident=INCIDENT, run=RUN, verdict="recovered", sentence="hostile")
        yield e.RollbackStarted(incident=INCIDENT, run=RUN, reason="hostile")
        yield e.RunParked(incident=INCIDENT, run=RUN, reason="hostile")
        yield e.PersonDecided(incident=INCIDENT, run=RUN, decision="continue", by="eve", reason="hostile")
        yield e.RunEnded(incident=INCIDENT, run=RUN, result="failed", reason="hostile")

    # ── what can happen ──────────────────────────────────────────────────────────────────────────────────────────────
    def moves(self, node: Place) -> Iterator[Move]:
        """What can happen next."""
        state, now, world = node.state, node.now, node.world
        run = state.runs.get(RUN)
        yield from self._undo_clock(node, run)
        if run is None:
            return
        incident = state.incidents[INCIDENT]
        if incident.resolved_at is None:
            yield Move([self._received(), self._resolved(state)], world, now)
        if run.deadline is not None and not world.late and run.status in WORKING:
            yield Move([], world._replace(late=True), max(now, run.deadline))
        for facts in self._late_news(run):
            yield Move([facts], world, now)
        if run.status is RunStatus.NEEDS_PERSON:
            yield from self._people(node, run)
        else:
            yield from self._answers(node, run, r.next_effect(state, run, now))

    def _undo_clock(self, node: Place, run: Run | None) -> Iterator[Move]:
        world = node.world
        if world.undoing is not None:
            yield from self._undo_ends(node, world.undoing)
            return
        if world.expiries >= EXPIRIES and run is not None:
            return
        for undo in node.state.undos.values():
            if run is None or (run.status is not RunStatus.ROLLING_BACK and run.intent is None):
                yield self._undo_begins(node, undo.step, undo.tries + 1, "expiry", max(node.now, undo.at))

    def _undo_begins(self, node: Place, step: int, attempt: int, cause: str, now: float) -> Move:
        fact = e.UndoIntent(incident=INCIDENT, run=RUN, step=step, attempt=attempt, cause=cause)
        expiries = node.world.expiries + (cause == "expiry")
        return Move([fact], node.world._replace(undoing=(step, attempt, cause), expiries=expiries), now)

    def _undo_ends(self, node: Place, undoing: tuple[int, int, str]) -> Iterator[Move]:
        step, attempt, cause = undoing
        if f"{RUN}/{step}" not in node.state.undos:
            yield Move([], node.world._replace(undoing=None), node.now)
            return
        for result in (UndoResult.UNDONE, UndoResult.FAILED):
            again = result is UndoResult.FAILED
            if again and attempt > (r.ROLLBACK_TRIES if cause == "rollback" else 1):
                continue
            told = e.UndoConcluded(
                incident=INCIDENT,
                run=RUN,
                step=step,
                attempt=attempt,
                outcome=UndoOutcome(result=result, sentence=result.value),
                next_at=node.now + 5.0 if again else None,
            )
            yield Move([told], node.world._replace(undoing=None), node.now)
        if node.world.crashes < CRASHES:
            yield Move([], node.world._replace(undoing=None, crashes=node.world.crashes + 1), node.now)

    def _late_news(self, run: Run) -> Iterator[e.AnyFact]:
        """A process that was thought dead tells what came of the attempt in doubt."""
        if run.intent is None and run.doubt and run.results[run.step] is Result.UNKNOWN:
            yield from self._outcomes(run.step, run.attempt, [Result.OK, Result.FAILED])

    def _people(self, node: Place, run: Run) -> Iterator[Move]:
        if node.world.people >= PEOPLE:
            return
        world = node.world._replace(people=node.world.people + 1)
        left = bool(r.own_undos(node.state, run))
        for decision in ("mark_done", "continue", "rollback", "abort"):
            facts: list[e.AnyFact] = [
                e.PersonDecided(incident=INCIDENT, run=RUN, decision=decision, by="ana", reason="looked")
            ]
            if decision == "rollback" and left:
                facts.append(e.RollbackStarted(incident=INCIDENT, run=RUN, reason="ana said so"))
            elif decision in {"rollback", "abort"}:
                facts.append(e.RunEnded(incident=INCIDENT, run=RUN, result="closed_by_person", reason="ana said so"))
            yield Move(facts, world, node.now)

    def _answers(self, node: Place, run: Run, effect: r.Effect) -> Iterator[Move]:
        now, world = node.now, node.world
        match effect:
            case r.Await(until=until):
                assert until is None or until > now, "waiting for what is past would be waiting for ever"
                yield from [Move([], world, until)] if until is not None else []
                yield from self._approvals(node, run)
            case r.AskGuards():
                yield from self._guards_answer(node, run)
            case r.Issue(step=step, attempt=attempt, by=by):
                yield Move([self._intent(run, step, attempt, now, by)], world, now)
            case r.Interrupted():
                results = [Result.OK] if self._dry and self._effect(run.step) is not EffectClass.READ else list(Result)
                yield from (Move([fact], world, now) for fact in self._outcomes(run.step, run.attempt, results))
            case r.Reconcile():
                yield from self._reconciled(node, run)
            case r.Look():
                verdicts = ["recovered", "not_recovered", "unknown"] if self._plan.verify else ["unknown"]
                for verdict in ["not_asked"] if self._dry else verdicts:
                    concluded = e.VerifyConcluded(incident=INCIDENT, run=RUN, verdict=verdict, sentence="seen")
                    yield Move([concluded], world, now)
            case r.TakeBack(undo=undo):
                if world.undoing is None:
                    step = int(undo.rpartition("/")[2])
                    yield self._undo_begins(node, step, node.state.undos[undo].tries + 1, "rollback", now)
            case _:
                yield Move([self._control(effect, now)], world, now)

    def _control(self, effect: r.Effect, now: float) -> e.AnyFact:
        match effect:
            case r.StartVerify():
                return e.VerifyStarted(incident=INCIDENT, run=RUN, after=now)
            case r.Rollback(reason=reason):
                return e.RollbackStarted(incident=INCIDENT, run=RUN, reason=reason)
            case r.Park(reason=reason):
                return e.RunParked(incident=INCIDENT, run=RUN, reason=reason)
            case r.Expire():
                return e.ApprovalExpired(incident=INCIDENT, run=RUN)
            case r.End(result=result, reason=reason):
                assert reason, "a last word has a reason"
                return e.RunEnded(incident=INCIDENT, run=RUN, result=result.value, reason=reason)
            case _:
                raise AssertionError(f"the driver does not know {effect}")

    def _guards_answer(self, node: Place, run: Run) -> Iterator[Move]:
        now, world = node.now, node.world
        if self._ask and not run.approved_by:
            request = e.ApprovalRequested(incident=INCIDENT, run=RUN, digest=run.digest, expires=now + 3600.0)
            yield Move([self._decided(Answer.ASK), request], world, now)
        else:
            yield Move([self._decided(Answer.ALLOW), self._start(now)], world, now)
        ended = e.RunEnded(incident=INCIDENT, run=RUN, result="denied", reason="a guard")
        yield Move([self._decided(Answer.DENY), ended], world, now)
        if world.deferrals < DEFERRALS:
            later = world._replace(deferrals=world.deferrals + 1)
            for until in (now + 600.0, now + self._plan.give_up):
                yield Move([self._decided(Answer.DEFER, until)], later, now)

    def _approvals(self, node: Place, run: Run) -> Iterator[Move]:
        if run.status is RunStatus.AWAITING_APPROVAL:
            given = e.ApprovalGiven(incident=INCIDENT, run=RUN, digest=run.digest, by="ana")
            refused = e.ApprovalRefused(incident=INCIDENT, run=RUN, by="ana")
            yield from (Move([fact], node.world, node.now) for fact in (given, refused))

    def _reconciled(self, node: Place, run: Run) -> Iterator[Move]:
        now, world = node.now, node.world
        told = Outcome(result=Result.OK, sentence="the target knows it")
        present = e.StepOutcome(
            incident=INCIDENT, run=RUN, step=run.step, attempt=run.attempt, outcome=told, reconciled=True
        )
        yield Move([present], world, now)
        for presence in (Presence.ABSENT, Presence.UNDECIDED):
            found = Found(presence=presence, sentence="asked")
            yield from self._answers(node, run, r.after_reconcile(run, found, now))

    # ── facts ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _effect(self, step: int) -> EffectClass:
        return self._plan.steps[step].effect

    def _received(self) -> e.NotificationReceived:
        import msgspec

        return e.NotificationReceived(alerts=1, body=msgspec.Raw(b"{}"))

    def _resolved(self, state: State) -> e.NotificationDisposed:
        ends = e.Disposal(disposition="resolved")
        read = e.AlertRead(identity="a1", status=AlertStatus.RESOLVED, starts_at=0.0, disposals=(ends,))
        return e.NotificationDisposed(notification=state.seq + 1, alerts=(read,))

    def _decided(self, answer: Answer, until: float | None = None) -> e.RunDecided:
        verdict = Verdict(guard="any", answer=answer, sentence="said so", until=until)
        return e.RunDecided(incident=INCIDENT, run=RUN, answer=answer.word, verdicts=(verdict,), until=until)

    def _start(self, now: float) -> e.RunStarted:
        return self._build.start(self._plan, dry=self._dry, after=now - self._build.zero)

    def _intent(self, run: Run, step: int, attempt: int, now: float, by: str = "") -> e.StepIntent:
        planned = self._plan.steps[step]
        undo_at = now + planned.undo_after if planned.undo_after is not None else None
        return self._build.intent(
            step, attempt, issue_by=now + 5.0, timeout=planned.timeout, undo_at=undo_at, dry=run.dry, by=by
        )

    def _outcomes(self, step: int, attempt: int, results: Iterable[Result]) -> Iterator[e.StepOutcome]:
        for result in results:
            for retryable in (False, True) if result is Result.FAILED else (result is Result.NOT_ISSUED,):
                yield self._build.outcome(result, step, attempt, retryable=retryable)


@pytest.fixture(scope="session")
def driver(build: Build) -> Callable[..., Driver]:
    """Makes the driver of a plan."""
    return functools.partial(Driver, build)


@pytest.fixture(scope="session")
def quiet() -> World:
    """A world in which nothing happens but what the plan leads to; `_replace` allows it something again."""
    return QUIET
