"""Clocks that move no run: ends of pauses and storms, silent or old episodes, calls for people, a store to try again."""

from __future__ import annotations

from collections.abc import Sequence

from remediator.core import entries as e
from remediator.core.fleet import calm_in, enforced, matched_within
from remediator.core.forgetting import keep_for, sweep
from remediator.core.reminders import due, passed
from remediator.core.state import CLOCK, EpisodeStatus, Moment, Run, RunStatus, State
from remediator.core.telling import clock_time, length
from remediator.engine.drafts import Decider, nothing
from remediator.engine.parts import Parts
from remediator.errors import StoreError

BELL = "timers"
# Episodes are looked through this often (s); lapsing is a matter of hours.
LOOK_EVERY = 60.0
# A store that failed is tried this often (s), so that the service is ready again without anything to be done.
TRY_EVERY = 5.0
# What may be forgotten is looked for this often (s).
SWEEP_EVERY = 3600.0


class Timers:
    """Ends what ends by itself."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._swept = float("-inf")

    async def watch(self) -> None:
        """Watches, for ever."""
        while not self._parts.stopping:
            try:
                await self._tell(self._pauses_over)
                if self._parts.journal.last_error:
                    await self._parts.journal.commit(nothing)
                for decider in (self._reminders, self._storm_over, self._clock_over, self._lapsed):
                    await self._tell(decider)
                await self._sweep()
            except StoreError:
                await self._parts.clock.sleep(1.0)
            await self._parts.rest(BELL, self._until_next())

    async def _tell(self, decider: Decider) -> None:
        """Puts on record what `decider` finds, if it finds anything: most looks find nothing, and cost no append."""
        if decider(self._parts.journal.state, self._parts.journal.moment()):
            await self._parts.journal.commit(decider)

    def _until_next(self) -> float:
        now, state, storm = self._parts.clock.now(), self._parts.journal.state, self._parts.config.fleet.storm
        moment = self._parts.journal.moment()
        calm = calm_in(state, storm, moment)
        often = TRY_EVERY if self._parts.journal.last_error else LOOK_EVERY
        ends = [pause.left(moment) for pause in state.pauses.values()]
        ends += [hold.left(moment) for hold in (state.holds.get(CLOCK),) if hold is not None]
        parked = state.runs.values()
        calls = [
            due(run.parked_at, run.reminded + 1) - now for run in parked if run.parked_at is not None and _waits(run)
        ]
        calls += [max(calm, 0.1)] if calm is not None else []
        return max(0.0, min([often, *ends, *calls]))

    async def _sweep(self) -> None:
        if self._parts.clock.monotonic() - self._swept < SWEEP_EVERY:
            return
        await self._tell(self._forgettable)
        self._swept = self._parts.clock.monotonic()

    def _forgettable(self, state: State, moment: Moment) -> Sequence[e.AnyFact]:
        config = self._parts.config
        return sweep(state, moment, keep_for(config.ruleset.rules, config.lapse_after))

    def _pauses_over(self, state: State, moment: Moment) -> Sequence[e.AnyFact]:
        return [
            e.PauseCleared(scope=pause.scope, by="clock") for pause in state.pauses.values() if pause.left(moment) <= 0
        ]

    def _reminders(self, state: State, moment: Moment) -> Sequence[e.AnyFact]:
        """People are called again, and nothing else: no time makes a doubt go away (§3.3)."""
        told: list[e.AnyFact] = []
        for run in state.active_runs:
            number = passed(run.parked_at, moment.at) if run.parked_at is not None and _waits(run) else 0
            if number > run.reminded and run.parked_at is not None:
                reason = f"waits for a person since {clock_time(run.parked_at)}: {run.reason}"
                told.append(e.RunReminded(incident=run.incident, run=run.id, number=number, reason=reason))
        return told

    def _storm_over(self, state: State, moment: Moment) -> Sequence[e.AnyFact]:
        limits = self._parts.config.fleet.storm
        if calm_in(state, limits, moment) != 0.0:
            return []
        seen = matched_within(state, enforced(limits.episodes.window), moment)
        rest = f"new runs begin after a rest of {length(limits.cooldown)}"
        reason = f"{seen} alerts began to fire within {length(limits.episodes.window)}; {rest}"
        return [e.StormEnded(episodes=seen, reason=reason)]

    def _clock_over(self, state: State, moment: Moment) -> Sequence[e.AnyFact]:
        hold = state.holds.get(CLOCK)
        if hold is None or hold.left(moment) > 0:
            return []
        return [
            e.ClockReleased(by="clock", reason=f"{length(hold.lasts)} have passed since {clock_time(hold.since.at)}")
        ]

    def _lapsed(self, state: State, moment: Moment) -> Sequence[e.AnyFact]:
        after = self._parts.config.lapse_after
        return [
            e.EpisodeLapsed(identity=episode.identity, reason=f"nothing was heard of it for {length(after)}")
            for episode in state.episodes.values()
            if episode.status is EpisodeStatus.OPEN and moment.at - episode.last_heard >= after
        ]


def _waits(run: Run) -> bool:
    return run.status is RunStatus.NEEDS_PERSON
