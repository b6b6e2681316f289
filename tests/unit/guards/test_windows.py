"""Limits hold in real time: whatever the wall clock does, no window ever has more than it may (reliability.md G5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from remediator.core import entries as e
from remediator.core.clocks import placed
from remediator.core.fleet import FleetLimits
from remediator.core.plans import PlannedLimit
from remediator.core.rules import Limit
from remediator.core.state import Moment, State
from remediator.core.verdicts import Answer, Verdict, allow, deny
from remediator.guards.blast_radius import BlastRadiusGuard
from remediator.guards.budget import BudgetGuard
from remediator.guards.cooldown import CooldownGuard
from remediator.guards.rate_limit import RateLimitGuard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.core.facts import Facts
    from tests.unit.conftest import Build

COUNT, WINDOW, REST = 2, 600.0, 120.0
FLEET = FleetLimits(budget=Limit(COUNT, WINDOW))


class Asked(Protocol):
    """A guard, as far as it is asked here."""

    def check(self, facts: Facts) -> Verdict: ...


@dataclass(frozen=True)
class Move:
    """Real seconds pass, the wall clock is stepped, process or machine begin anew, and a run is asked for on a target."""

    passes: float
    target: int = 0
    step: float = 0.0
    restart: bool = False
    boots: bool = False
    lasts: float = 0.0


@dataclass
class Real:
    """What really happened, by a clock that nobody can step. `rate` is how fast the machine's clock runs."""

    build: Build
    guard: Asked
    rate: float = 1.0
    now: float = 0.0
    step: float = 0.0
    boot: int = 0
    host: int = 0
    state: State = field(default_factory=State)
    started: list[tuple[float, str]] = field(default_factory=list)
    ended: list[tuple[float, str]] = field(default_factory=list)

    def moment(self) -> Moment:
        ticks = self.now * self.rate
        wall, mono = self.build.zero + ticks + self.step, ticks - 5000.0 * self.host
        return placed(self.state, Moment(wall, mono, f"boot-{self.boot}", f"host-{self.host}"))

    def go(self, moves: Sequence[Move]) -> Real:
        for number, move in enumerate(moves, 1):
            self.now += move.passes
            self.step += move.step
            self.boot += move.restart or move.boots
            self.host += move.boots
            self.ask(number, move)
        return self

    def ask(self, number: int, move: Move) -> None:
        domain = f"d{move.target}.example"
        limits = self.build.limits(
            cooldown=REST, rate_limit=PlannedLimit(COUNT, WINDOW), blast_radius=PlannedLimit(COUNT, WINDOW)
        )
        plan = self.build.plan(target={"domain": domain}, guards=limits, locks=(domain,))
        run = self.build.run(plan, id=f"inc-{number}.1", incident=f"inc-{number}")
        incident = self.build.incident(id=f"inc-{number}")
        facts = self.build.facts(self.state, run, incident=incident, moment=self.moment(), fleet=FLEET)
        if self.guard.check(facts).answer is not Answer.ALLOW:
            return
        names = {"incident": f"inc-{number}", "run": f"inc-{number}.1"}
        self.fold(*self.build.open(plan, number=number), self.build.start(plan, number=number))
        self.started.append((self.now, domain))
        self.now += move.lasts
        self.fold(
            e.RunEnded(**names, result="failed", reason="-"),
            e.IncidentClosed(incident=names["incident"], result="failed", reason="-"),
        )
        self.ended.append((self.now, domain))

    def fold(self, *facts: e.AnyFact) -> None:
        self.state = self.build.fold(self.state, *facts, moment=self.moment())

    @property
    def most_runs(self) -> int:
        """The most runs on one target in any real window."""
        return max(
            (
                sum(at <= other < at + WINDOW and name == same for other, same in self.started)
                for at, name in self.started
            ),
            default=0,
        )

    @property
    def most_starts(self) -> int:
        """The most runs of all rules in any real window."""
        return max((sum(at <= other < at + WINDOW for other, _ in self.started) for at, _ in self.started), default=0)

    @property
    def most_targets(self) -> int:
        """The most different targets in any real window."""
        return max(
            (len({name for other, name in self.started if at <= other < at + WINDOW}) for at, _ in self.started),
            default=0,
        )

    @property
    def shortest_rest(self) -> float:
        """The shortest time between the end of a run and the next one on its target."""
        return min(
            (start - end for end, name in self.ended for start, same in self.started if same == name and start > end),
            default=float("inf"),
        )


passing = st.sampled_from([0.0, 1.0, 60.0, 119.0, 120.0, 299.0, 599.0, 600.0, 601.0, 606.0, 607.0, 607.1, 900.0])
stepping = st.sampled_from([0.0, 0.0, 0.0, 3600.0, -3600.0, 600.0, -599.0, 1e6, -1e6])
lasting = st.sampled_from([0.0, 0.0, 30.0, 500.0])
stepped = st.lists(st.builds(Move, passes=passing, target=st.integers(0, 3), step=stepping, lasts=lasting), max_size=25)
restarted = st.lists(
    st.builds(Move, passes=passing, target=st.integers(0, 3), restart=st.booleans(), lasts=lasting), max_size=25
)
stepping_anywhere = st.sampled_from([0.0, 60.0, -60.0, 600.0, -600.0, 3600.0, -3600.0, 7200.0, -7200.0])
anything = st.lists(
    st.builds(
        Move,
        passes=passing,
        target=st.integers(0, 3),
        step=stepping_anywhere,
        restart=st.booleans(),
        boots=st.sampled_from([False, False, True]),
        lasts=lasting,
    ),
    max_size=25,
)
rates = st.sampled_from([0.991, 1.0, 1.0099])
few = settings(max_examples=60, deadline=None)


@few
@given(stepped, rates)
def test_no_window_has_more_runs_on_a_target_than_the_rate_limit(build: Build, moves: list[Move], rate: float) -> None:
    assert Real(build, RateLimitGuard(), rate).go(moves).most_runs <= COUNT


@few
@given(stepped, rates)
def test_no_window_has_more_targets_than_the_blast_radius(build: Build, moves: list[Move], rate: float) -> None:
    assert Real(build, BlastRadiusGuard(), rate).go(moves).most_targets <= COUNT


@few
@given(stepped)
def test_no_target_is_touched_again_before_it_rested(build: Build, moves: list[Move]) -> None:
    assert Real(build, CooldownGuard()).go(moves).shortest_rest >= REST


@few
@given(restarted)
def test_a_restart_empties_no_window(build: Build, moves: list[Move]) -> None:
    assert Real(build, RateLimitGuard()).go(moves).most_runs <= COUNT
    assert Real(build, BlastRadiusGuard()).go(moves).most_targets <= COUNT
    assert Real(build, CooldownGuard()).go(moves).shortest_rest >= REST
    assert Real(build, BudgetGuard()).go(moves).most_starts <= COUNT


@few
@given(anything, rates)
def test_no_step_across_a_restart_or_a_boot_of_the_machine_empties_a_window(
    build: Build, moves: list[Move], rate: float
) -> None:
    assert Real(build, RateLimitGuard(), rate).go(moves).most_runs <= COUNT
    assert Real(build, BlastRadiusGuard(), rate).go(moves).most_targets <= COUNT
    assert Real(build, BudgetGuard(), rate).go(moves).most_starts <= COUNT
    assert Real(build, CooldownGuard()).go(moves).shortest_rest >= REST


def test_over_a_restart_a_window_ends_in_time_and_over_a_boot_it_lasts_longer_by_what_nobody_saw(build: Build) -> None:
    begun, later = [Move(0.0), Move(0.0)], Move(608.0, restart=True)
    assert len(Real(build, RateLimitGuard()).go([*begun, later]).started) == 3
    other = Move(608.0, target=1, boots=True)  # the first entry after it: from here on time counts again
    assert [at for at, _ in Real(build, RateLimitGuard()).go([*begun, other, Move(606.0)]).started] == [0.0, 0.0, 608.0]
    assert len(Real(build, RateLimitGuard()).go([*begun, other, Move(608.0)]).started) == 4


@few
@given(stepped, rates)
def test_no_window_has_more_runs_of_all_rules_than_the_budget(build: Build, moves: list[Move], rate: float) -> None:
    assert Real(build, BudgetGuard(), rate).go(moves).most_starts <= COUNT


@pytest.mark.parametrize("passes", [607.0, 607.1])
def test_the_window_is_enforced_to_its_margin_and_no_longer(build: Build, passes: float) -> None:
    moves = [Move(0.0), Move(0.0), Move(passes)]
    assert len(Real(build, RateLimitGuard()).go(moves).started) == 3


@pytest.mark.parametrize("passes", [599.0, 600.0, 606.9])
def test_within_the_margin_it_is_still_held_back(build: Build, passes: float) -> None:
    assert len(Real(build, RateLimitGuard()).go([Move(0.0), Move(0.0), Move(passes)]).started) == 2


# ── what would not do: kept, so that the property is known to tell the difference ────────────────────────────────────
class TokenBucket:
    """The usual bucket: as many tokens as the limit, refilled evenly."""

    def __init__(self) -> None:
        self._tokens: dict[str, tuple[float, float]] = {}

    def check(self, facts: Facts) -> Verdict:
        limit, now = facts.limits.rate_limit, facts.moment.mono
        domain = facts.run.plan.target["domain"]
        tokens, before = self._tokens.get(domain, (float(limit.count), now))
        tokens = min(limit.count, tokens + (now - before) * limit.count / limit.window)
        enough = tokens >= 1
        self._tokens[domain] = (tokens - enough, now)
        return allow("bucket", "-") if enough else deny("bucket", "-")


class Gcra:
    """The generic cell rate algorithm: an even rate, with a burst of the limit allowed on top."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def check(self, facts: Facts) -> Verdict:
        limit, now = facts.limits.rate_limit, facts.moment.mono
        domain = facts.run.plan.target["domain"]
        every = limit.window / limit.count
        due = max(self._due.get(domain, now), now)
        if due - now > every * (limit.count - 1):
            return deny("gcra", "-")
        self._due[domain] = due + every
        return allow("gcra", "-")


class FixedWindow:
    """A count that begins anew with every window of the clock."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, float], int] = {}

    def check(self, facts: Facts) -> Verdict:
        limit = facts.limits.rate_limit
        window = (facts.run.plan.target["domain"], facts.moment.mono // limit.window)
        count = self._counts.get(window, 0)
        if count >= limit.count:
            return deny("fixed", "-")
        self._counts[window] = count + 1
        return allow("fixed", "-")


class ByTheWall:
    """An exact sliding log that believes the wall clock."""

    def check(self, facts: Facts) -> Verdict:
        limit = facts.limits.rate_limit
        mine = f"domain={facts.run.plan.target['domain']}"
        recent = [one for one in facts.grants if one.target == mine and facts.moment.at - one.taken.at < limit.window]
        return allow("wall", "-") if len(recent) < limit.count else deny("wall", "-")


class ByTheWallOverRestarts:
    """An exact sliding log that believes the wall clock where the process is another one."""

    def check(self, facts: Facts) -> Verdict:
        limit, now = facts.limits.rate_limit, facts.moment
        mine = f"domain={facts.run.plan.target['domain']}"
        taken = [one.taken for one in facts.grants if one.target == mine]
        ages = [now.since(at) if at.boot == now.boot else now.at - at.at for at in taken]
        return allow("wall", "-") if sum(age < limit.window for age in ages) < limit.count else deny("wall", "-")


class WithoutMargin:
    """An exact sliding log by both clocks that enforces the window as it is written."""

    def check(self, facts: Facts) -> Verdict:
        limit = facts.limits.rate_limit
        mine = f"domain={facts.run.plan.target['domain']}"
        recent = [one for one in facts.grants if one.target == mine and facts.age(one.taken) < limit.window]
        return allow("exact", "-") if len(recent) < limit.count else deny("exact", "-")


@pytest.mark.parametrize(
    ("variant", "rate"),
    [(TokenBucket, 1.0), (Gcra, 1.0), (FixedWindow, 1.0), (ByTheWall, 1.0), (WithoutMargin, 1.0099)],
)
@pytest.mark.heavy
def test_a_limiter_that_is_not_exact_is_found_out(build: Build, variant: type[Asked], rate: float) -> None:
    quick = settings(max_examples=3000, database=None, derandomize=True, deadline=None, phases=[Phase.generate])
    assert find(stepped, lambda moves: Real(build, variant(), rate).go(moves).most_runs > COUNT, settings=quick)


def test_a_limiter_that_believes_the_wall_clock_over_a_restart_is_found_out(build: Build) -> None:
    quick = settings(max_examples=3000, database=None, derandomize=True, deadline=None, phases=[Phase.generate])
    found = find(
        anything, lambda moves: Real(build, ByTheWallOverRestarts()).go(moves).most_runs > COUNT, settings=quick
    )
    assert any(move.restart or move.boots for move in found)
