"""What the parts of the engine share: the journal, the clock, the plug-ins and the rules in force, as one value.

`Config` is what a reload replaces, whole; everything else stays for the life of the service.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from remediator.core.consequences import Routing
from remediator.core.facts import Facts, Guard, stricter
from remediator.core.fitting import Fitting
from remediator.core.fleet import FleetLimits
from remediator.core.holds import safe_mode
from remediator.core.leases import SILENT_AFTER
from remediator.core.planning import Planner, planned_guards
from remediator.core.rules import Mode, Ruleset
from remediator.core.state import Moment, Run, State
from remediator.engine.effects import Effects
from remediator.engine.journal import Journal
from remediator.engine.signals import Signals
from remediator.engine.space import Space
from remediator.ports import AlertSource, Archive, Clock, Oracle, Probe, Receiver


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a reload replaces: rules, mode, routing, limits."""

    ruleset: Ruleset
    mode: Mode
    routing: Routing = Routing()
    max_runs: int = 10
    queue: int = 50_000  # notifications that may wait for a decision before intake answers 503
    fleet: FleetLimits = FleetLimits()
    clock_hold: float = math.inf  # s; a step of a clock holds for one longest window, and at most for this
    lapse_after: float = 28_800.0  # s without a word of a firing alert: twice Alertmanager's default repeat interval


class Held(Protocol):
    """Open work that has a holder."""

    @property
    def holder(self) -> str:
        """The boot of the process that may go on with it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How long the journal is kept (s), how large it may become (bytes), and where entries go before they are pruned."""

    retention: float = 90 * 86_400.0
    max_size: int = 1024 * 1024 * 1024
    archive: Archive | None = None


@dataclass(slots=True)
class Bell:
    """Wakes one waiter. A ring that nobody waits for is kept for the next rest. Small, for every waiting run has one."""

    rung: bool = False
    waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Rings."""
        self.rung = True
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


def _never() -> bool:
    return False


@dataclass(slots=True, kw_only=True)
class Parts:
    """The shared parts. `config` is replaced by a reload; `stopping` is set once."""

    journal: Journal
    clock: Clock
    config: Config
    guards: Sequence[Guard]
    fittings: Mapping[str, Fitting]
    effects: Mapping[bool, Effects]  # by whether the run is dry
    probes: Mapping[str, Probe]
    oracle: Oracle | None = None
    signals: Signals | None = None
    alerts: AlertSource | None = None
    receivers: Mapping[str, Receiver] = field(default_factory=dict)
    keeping: Keeping = Keeping()
    space: Space = field(default_factory=Space)
    stopping: bool = False
    lagging: Callable[[], bool] = _never  # whether the event loop is behind its time (`lag.py`)
    heard: float = float("-inf")  # monotonic; when the others could last hear that this replica is there
    last_accept: float = float("-inf")  # monotonic; lets the planner give way to intake
    bells: dict[str, Bell] = field(default_factory=dict)

    @property
    def planner(self) -> Planner:
        """What planning depends on, as it is now."""
        return Planner(ruleset=self.config.ruleset, server_mode=self.config.mode, fittings=self.fittings)

    def facts(self, state: State, run: Run, moment: Moment) -> Facts:
        """What the guards are asked with, evidence apart."""
        rule = self.config.ruleset.rule(run.plan.rule)
        return Facts(
            state=state,
            run=run,
            incident=state.incidents[run.incident],
            moment=moment,
            ruleset=self.config.ruleset,
            server_mode=self.config.mode,
            limits=stricter(run.plan.guards, planned_guards(rule) if rule is not None else None),
            max_runs=self.config.max_runs,
            fleet=self.config.fleet,
            low=self.space.low,
        )

    def may_announce(self, moment: Moment) -> bool:
        """Whether this replica may announce effects: it is not stopping, is in time, and the others, if any, hear of it."""
        if self.stopping or self.unfit():
            return False
        return self.journal.alone or moment.mono - self.heard < SILENT_AFTER

    def withheld(self, state: State, moment: Moment) -> str:
        """Why no effect may be announced now; empty if nothing is against it. Guards speak for themselves."""
        if (hold := safe_mode(state, moment)) is not None:
            return hold.sentence
        return "" if self.may_announce(moment) else self.unfit() or "this replica may not announce anything now"

    def unfit(self) -> str:
        """Why this process may announce nothing just now, whoever asks; empty if nothing is against it."""
        if self.lagging():
            return "this process is behind its time and cannot keep deadlines; try again in a moment"
        return self.journal.history.trouble

    def holds(self, held: Held) -> bool:
        """Whether this process may go on with that work."""
        return held.holder == self.journal.boot

    def bell(self, name: str) -> Bell:
        """The bell of a run or of a loop; it has to be there before it can be rung."""
        return self.bells.setdefault(name, Bell())

    def ring(self, name: str) -> None:
        """Wakes whoever waits under this name, now or at the next rest."""
        bell = self.bells.get(name)
        if bell is not None:
            bell.ring()

    async def rest(self, name: str, seconds: float) -> None:
        """Waits until the bell rings, the time is over or the service stops, whichever is first; takes the ring with it."""
        bell = self.bell(name)
        if not bell.rung and not self.stopping:
            bell.waiter = asyncio.get_running_loop().create_future()
            resting = asyncio.ensure_future(self.clock.sleep(max(0.0, seconds)))
            try:
                await asyncio.wait({bell.waiter, resting}, return_when=asyncio.FIRST_COMPLETED)
            finally:  # not awaited: a cancellation of the caller that came just now would be lost with that of the rest
                bell.waiter = None
                resting.cancel()
        bell.rung = False
