"""Every state that small plans can reach. The numbers are asserted, so that a walk that silently became smaller fails.

PYTEST_DONT_REWRITE: the asserts of a walk run a hundred thousand times.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from remediator.core import entries as e
from remediator.core import runs as r
from remediator.core.consequences import Routing, consequences
from remediator.core.fold import fold
from remediator.core.outcomes import EffectClass
from remediator.core.rules import OnError, OnFailure, OnUnknown
from remediator.core.state import Moment, Run, RunStatus, State, Undo
from remediator.errors import IllegalEntry

if TYPE_CHECKING:
    from remediator.core.plans import Plan
    from tests.unit.conftest import Build
    from tests.unit.core.conftest import Observer, Seen
    from tests.unit.core.exhaustive.conftest import Driver, World

RUN, INCIDENT = "inc-1.1", "inc-1"
UNDO_AFTER = 7200.0
ROLLBACK = (OnFailure.ROLLBACK, OnFailure.ESCALATE)


pytestmark = [pytest.mark.walk, pytest.mark.heavy]


class Node(NamedTuple):
    """Where the machine, the clock, the world and the observer are."""

    state: State
    now: float
    world: World
    seen: Seen


class Walk:
    """Walks everything that can be reached from the planning of one run."""

    def __init__(self, build: Build, driver: Driver, observer: Observer, plan: Plan, *, dry: bool) -> None:
        self._build = build
        self._driver = driver
        self._observer = observer
        self._plan = plan
        self._dry = dry
        self._planner = build.planner()
        self._routing = Routing(escalate=("people",))
        self._tried: set[object] = set()
        self.ends: dict[object, bool] = {}
        self.arrows: dict[object, set[object]] = {}
        self.refused = 0
        self.results: set[str] = set()

    def go(self, world: World, *, begun: bool) -> None:
        """Walks; AssertionError at the first broken promise."""
        zero = self._build.zero
        first = Node(self._build.fold(State(), *self._driver.opening()), zero, world, self._observer.begin())
        if begun:
            first = self._follow(first, self._driver.allowed(zero), world, zero)
        todo = [(_key(first), first)]
        self.ends[todo[0][0]] = False
        while todo:
            here, node = todo.pop()
            targets = self.arrows[here] = set()
            for after in self._visit(node):
                key = _key(after)
                targets.add(key)
                if key not in self.ends:
                    self.ends[key] = _may_stop(after)
                    todo.append((key, after))
        self._everything_ends()

    # ── one step of the walk ─────────────────────────────────────────────────────────────────────────────────────────
    def _visit(self, node: Node) -> Iterator[Node]:
        self._compare(node)
        self._refuses(node)
        found = False
        for move in self._driver.moves(node):
            found = True
            yield self._follow(node, move.facts, move.world, move.now)
        assert found or _at_rest(node), "something can happen in every state that is not final"

    def _follow(self, node: Node, facts: Sequence[e.AnyFact], world: World, now: float) -> Node:
        state, seen = node.state, node.seen
        moment = self._moment(now)
        todo = list(facts)
        while todo:
            fact = todo.pop(0)
            entry = self._build.entry(state.seq + 1, fact, moment)
            after = fold(state, entry)
            seen = self._observer.watch(seen, entry)
            todo[:0] = consequences(state, after, fact, self._planner, self._routing)
            state = after
        if seen.ended:
            self.results.add(seen.ended)
        return Node(state, now, world, seen)

    def _moment(self, now: float) -> Moment:
        return Moment(now, now - self._build.zero, "boot-1")

    def _compare(self, node: Node) -> None:
        """The state says what the observer says."""
        state, seen = node.state, node.seen
        run = state.runs.get(RUN)
        live = seen.started and not self._dry
        let_go = seen.parked and self._plan.on_unknown is OnUnknown.RELEASE
        locks = dict.fromkeys(self._plan.locks, RUN) if live and not seen.ended and not let_go else {}
        assert (run is None) == bool(seen.ended), "a run is under way until its last word"
        assert dict(state.locks) == locks, "locks are held from the start to the last word (G6)"
        assert len(state.grants.get(self._plan.rule, ())) == (1 if live else 0), "a live run has one place (G5)"
        assert {undo.step for undo in state.undos.values()} == {step for step, _ in seen.owed}, (
            "what is owed is on record"
        )
        assert all(undo.at < float("inf") for undo in state.undos.values()), "every undo has its time (G10)"
        if run is not None:
            assert (run.intent is not None) == (seen.air is not None), "an attempt in the air is on record"
            assert run.doubt or not seen.doubts or run.intent is not None, "doubt is on record"
            assert not run.status.final, "a run with its last word is not under way"

    def _refuses(self, node: Node) -> None:
        """Whatever the observer condemns, the fold refuses too: both are the gate at once."""
        state = node.state
        run = state.runs.get(RUN)
        core = _core(run) if run is not None else ()
        alike = (core, run is not None and run.intent is not None, node.seen[:12], node.seen[15:])
        if alike in self._tried:
            return
        self._tried.add(alike)
        for fact in self._driver.hostile(node):
            entry = self._build.entry(state.seq + 1, fact, self._moment(node.now))
            try:
                self._observer.watch(node.seen, entry)
            except (AssertionError, ValueError):
                try:
                    fold(state, entry)
                except IllegalEntry:
                    self.refused += 1
                    continue
                raise AssertionError(f"the fold admits what the observer condemns: {fact}") from None

    def _everything_ends(self) -> None:
        """From every state, an end is in reach: the last word, or a person who has to look."""
        ends = {key for key, end in self.ends.items() if end}
        backwards: dict[object, list[object]] = {}
        for key, targets in self.arrows.items():
            for target in targets:
                backwards.setdefault(target, []).append(key)
        reached, todo = set(ends), list(ends)
        while todo:
            for key in backwards.get(todo.pop(), ()):
                if key not in reached:
                    reached.add(key)
                    todo.append(key)
        assert len(reached) == len(self.ends), "a state from which there is no end"


def _at_rest(node: Node) -> bool:
    run = node.state.runs.get(RUN)
    return not node.state.undos if run is None else run.status is RunStatus.NEEDS_PERSON


def _key(node: Node) -> object:
    """The node without what decides nothing: texts, and times except for what they are later than."""
    state, now, world, seen = node
    run = state.runs.get(RUN)
    undos = tuple(
        (undo.step, undo.certain, undo.tries, undo.next_at is not None, undo.at <= now)
        for undo in sorted(state.undos.values(), key=_by_step)
    )
    if run is None:
        return (seen.ended, undos, seen.owed, seen.undoing, seen.undo_names, world.expiries, world.undoing)
    resolved = state.incidents[INCIDENT].resolved_at is not None
    in_air = run.intent and (run.intent.step, run.intent.attempt)
    outcome = run.outcome and (run.outcome.result, run.outcome.retryable)
    late = (now >= seen.deadline, now >= seen.arrives_by, now >= seen.over_at)
    remembered = (seen[:4], seen.air, seen[8:])
    return (world, remembered, late, resolved, _fields(run), in_air, outcome, _times(run, now), undos)


def _may_stop(node: Node) -> bool:
    run = node.state.runs.get(RUN)
    return run is None or run.status is RunStatus.NEEDS_PERSON


_TIMES = {
    "planned",
    "not_before",
    "approval_expires",
    "started",
    "deadline",
    "outcome_at",
    "issued_at",
    "expires_at",
    "verify_after",
    "verify_started",
    "parked_at",
}
_APART = {"plan", "digest", "reason", "decided", "intent", "outcome"}
_fields = operator.attrgetter(*(name for name in Run.__struct_fields__ if name not in _TIMES | _APART))
_core = operator.attrgetter(
    *(name for name in Run.__struct_fields__ if name not in _TIMES | _APART and name != "undo_tries")
)


def _times(run: Run, now: float) -> tuple[object, ...]:
    """What the times of a run are compared with."""
    since = now - run.outcome_at
    rested = run.step >= 0 and now >= r.rest_until(run)
    return (
        run.started is not None or now - run.planned.at >= run.plan.give_up,
        run.not_before is not None and now < run.not_before,
        run.approval_expires is not None and now >= run.approval_expires,
        run.deadline is not None and now >= run.deadline,
        (since >= 5.0, rested),
    )


def _by_step(undo: Undo) -> int:
    return undo.step


def one_step_plans(build: Build) -> Iterator[Plan]:
    """Plans of one step that leaves nothing behind."""
    for effect, on_error, verified in itertools.product(EffectClass, OnError, (True, False)):
        yield build.plan(build.planned_step(effect, on_error=on_error), verify=(build.check(),) if verified else ())
    for effect, (attempts, on_error) in itertools.product(
        EffectClass, [(2, OnError.STOP), (2, OnError.CONTINUE), (3, OnError.STOP)]
    ):
        yield build.plan(build.planned_step(effect, attempts=attempts, on_error=on_error))


def lasting_plans(build: Build) -> Iterator[Plan]:
    """Plans of one step whose effect is taken back."""
    for effect, attempts, on_failure in itertools.product(EffectClass, (1, 2), (ROLLBACK, (OnFailure.ESCALATE,))):
        yield build.plan(build.planned_step(effect, attempts=attempts, undo_after=UNDO_AFTER), on_failure=on_failure)


def two_step_plans(build: Build) -> Iterator[Plan]:
    """Every pair of effect classes, the first taken back; and every class after a failure that is gone on from."""
    for first, second in itertools.product(EffectClass, EffectClass):
        yield build.plan(build.planned_step(first, undo_after=UNDO_AFTER), build.planned_step(second))
    for second in EffectClass:
        yield build.plan(build.planned_step(on_error=OnError.CONTINUE), build.planned_step(second))


def risky_plans(build: Build) -> Iterator[Plan]:
    """One plan for each class that can be in doubt, with a rollback."""
    for effect in (EffectClass.SAFE, EffectClass.KEYED, EffectClass.ONCE):
        yield build.plan(build.planned_step(effect, undo_after=UNDO_AFTER))


def stubborn_plans(build: Build) -> Iterator[Plan]:
    """Two lasting steps, so that a rollback has an order."""
    yield build.plan(build.planned_step(undo_after=UNDO_AFTER), build.planned_step(undo_after=UNDO_AFTER))


def passing_plans(build: Build) -> Iterator[Plan]:
    """Effects that end before the attempt that may have made them has come to rest."""
    for effect in (EffectClass.SAFE, EffectClass.KEYED):
        yield build.plan(build.planned_step(effect, attempts=2, undo_after=20.0))


def yielding_plans(build: Build) -> Iterator[Plan]:
    """Plans whose runs let their locks go while they wait for a person."""
    for effect in (EffectClass.SAFE, EffectClass.KEYED, EffectClass.ONCE):
        yield build.plan(build.planned_step(effect), on_unknown=OnUnknown.RELEASE)


def any_plans(build: Build) -> Iterator[Plan]:
    """Plans of all kinds."""
    return itertools.chain(one_step_plans(build), lasting_plans(build), two_step_plans(build))


class Walks:
    """Walks over several plans, together."""

    def __init__(self, each: list[Walk]) -> None:
        states = sum(len(one.ends) for one in each)
        arrows = sum(len(targets) for one in each for targets in one.arrows.values())
        self.size = (states, arrows, sum(one.refused for one in each))
        self.results: set[str] = set().union(*(one.results for one in each))


@dataclass(frozen=True, kw_only=True)
class Begin:
    """What a walk is over and what may happen on it; `size` is how many states, arrows and refused entries it has."""

    plans: Callable[[Build], Iterator[Plan]]
    size: tuple[int, int, int]
    world: Mapping[str, Any] = field(default_factory=dict)
    dry: bool = False
    ask: bool = False
    begun: bool = True


WALKS = {
    "one step, with a person": Begin(plans=one_step_plans, size=(8609, 19082, 45257), world={"people": 0}),
    "one step, out of time": Begin(plans=one_step_plans, size=(7350, 17597, 19665), world={"late": False}),
    "a lasting step, with a person": Begin(plans=lasting_plans, size=(9240, 17958, 27212), world={"people": 0}),
    "a lasting step, out of time": Begin(plans=lasting_plans, size=(6980, 14918, 12204), world={"late": False}),
    "a lasting step whose end comes early": Begin(
        plans=risky_plans, size=(11898, 27550, 13944), world={"expiries": 0, "people": 0}
    ),
    "a rollback that crashes": Begin(plans=stubborn_plans, size=(9567, 16878, 3385), world={"crashes": 0}),
    "a lasting step whose time is over": Begin(plans=passing_plans, size=(1934, 3695, 4364), world={"people": 0}),
    "locks that are let go": Begin(plans=yielding_plans, size=(1193, 2621, 4856), world={"people": 0}),
    "two steps": Begin(plans=two_step_plans, size=(15420, 28616, 39720)),
    "a dry run": Begin(plans=any_plans, size=(2304, 3724, 15952), dry=True),
    "waiting for guards": Begin(plans=stubborn_plans, size=(5725, 10546, 6292), world={"deferrals": 0}, begun=False),
    "waiting for a person's yes": Begin(
        plans=stubborn_plans, size=(5742, 10578, 6366), world={"deferrals": 0}, begun=False, ask=True
    ),
}


@pytest.fixture(scope="module")
def walks(
    build: Build, driver: Callable[..., Driver], observer: type[Observer], quiet: World
) -> Callable[[str], Walks]:
    """Walks by name, each walked once."""

    @functools.cache
    def walked(name: str) -> Walks:
        begin = WALKS[name]
        each = []
        for plan in begin.plans(build):
            eye = observer(plan, dry=begin.dry, approval=begin.ask)
            one = Walk(build, driver(plan, dry=begin.dry, ask=begin.ask), eye, plan, dry=begin.dry)
            one.go(quiet._replace(**begin.world), begun=begin.begun)
            each.append(one)
        return Walks(each)

    return walked


@pytest.mark.parametrize("name", WALKS)
def test_no_state_breaks_a_promise(walks: Callable[[str], Walks], name: str) -> None:
    size = walks(name).size
    assert size == WALKS[name].size, f"the walk has {size}: did it grow on purpose?"


def test_every_last_word_is_reached(walks: Callable[[str], Walks]) -> None:
    reached = set().union(*(walks(name).results for name in WALKS))
    expected = {status.value for status in RunStatus if status.final}
    assert reached == expected, f"{reached ^ expected}"


def test_a_dry_run_ends_in_words_that_claim_no_effect(walks: Callable[[str], Walks]) -> None:
    results = walks("a dry run").results
    assert results == {"simulated", "cancelled", "failed"}, f"{results}"
