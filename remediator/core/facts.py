"""What guards are asked with: the state, the run, the time, and fresh evidence. Values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from remediator.core.brakes import Members, stricter_brakes
from remediator.core.fleet import FleetLimits, all_grants
from remediator.core.outcomes import Observation
from remediator.core.plans import PlannedGuards, PlannedLimit
from remediator.core.rules import Mode, Ruleset
from remediator.core.state import Grant, Incident, Moment, Run, State
from remediator.core.verdicts import Answer, Decision, Verdict, decide, deny


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was seen just now, outside the journal. `alert` is what Alertmanager says of it, where it was asked."""

    at: float
    when: Observation | None = None
    require: tuple[Observation, ...] = ()
    alert: Observation | None = None
    healthy: Members | None = None
    fleet: Members | None = None
    trust: Observation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything a guard may look at. `evidence` is None while only the journal is being asked.

    `low` says why the journal's disk has no room for new work; it is empty while there is room.
    """

    state: State
    run: Run
    incident: Incident
    moment: Moment
    ruleset: Ruleset
    server_mode: Mode
    limits: PlannedGuards
    max_runs: int
    fleet: FleetLimits = FleetLimits()
    evidence: Evidence | None = None
    low: str = ""

    @property
    def grants(self) -> tuple[Grant, ...]:
        """The places that live runs of this rule took, oldest first, those of this very run apart."""
        return tuple(grant for grant in self.state.grants.get(self.run.plan.rule, ()) if grant.run != self.run.id)

    @property
    def all_grants(self) -> tuple[Grant, ...]:
        """The places that live runs of all rules took, those of this very run apart."""
        return tuple(grant for grant in all_grants(self.state) if grant.run != self.run.id)

    def age(self, since: Moment) -> float:
        """Seconds since then, by the clock that moved less."""
        return self.moment.since(since)


class Guard(Protocol):
    """A reason not to act. Pure; an exception out of `check` denies."""

    name: str
    summary: str

    def check(self, facts: Facts) -> Verdict | None:
        """The verdict; None only while evidence is not gathered yet. With evidence at hand, saying nothing denies."""
        ...


def ask_guards(guards: Sequence[Guard], facts: Facts) -> Decision:
    """All guards, every one of them asked, so that people see every reason at once. What is broken denies (G7)."""
    return decide(verdict for guard in guards if (verdict := _ask(guard, facts)) is not None)


def _ask(guard: Guard, facts: Facts) -> Verdict | None:
    try:
        verdict: object = guard.check(facts)
    except Exception as fault:  # noqa: BLE001  (a guard is a plug-in: whatever breaks in it denies)
        return deny(
            guard.name, f"the guard itself broke ({type(fault).__name__}: {fault}); a broken guard never allows"
        )
    if verdict is None and facts.evidence is None:
        return None
    if isinstance(verdict, Verdict) and isinstance(verdict.answer, Answer):
        return verdict
    return deny(guard.name, f"the guard gave no verdict but {verdict!r}; a broken guard never allows")


def stricter(planned: PlannedGuards, loaded: PlannedGuards | None) -> PlannedGuards:
    """Tightening acts at once on runs already planned, loosening on new ones only (G19).

    Of two limits neither of which implies the other, one is made that implies both: the smaller count in the longer window.
    """
    if loaded is None:
        return planned
    return PlannedGuards(
        cooldown=max(planned.cooldown, loaded.cooldown),
        rate_limit=_stricter(planned.rate_limit, loaded.rate_limit),
        blast_radius=_stricter(planned.blast_radius, loaded.blast_radius),
        concurrency=min(planned.concurrency, loaded.concurrency),
        mute_time_intervals=tuple(dict.fromkeys((*planned.mute_time_intervals, *loaded.mute_time_intervals))),
        active_time_intervals=_both_active(planned.active_time_intervals, loaded.active_time_intervals),
        brakes=stricter_brakes(planned.brakes, loaded.brakes),
    )


def _stricter(planned: PlannedLimit, loaded: PlannedLimit) -> PlannedLimit:
    return PlannedLimit(min(planned.count, loaded.count), max(planned.window, loaded.window))


def _both_active(planned: tuple[str, ...], loaded: tuple[str, ...]) -> tuple[str, ...]:
    """Times that both allow; where the two have no name in common, those of the rule as it stands now."""
    common = tuple(name for name in loaded if name in planned)
    return common or loaded or planned
