"""What one commit knows of runs and incidents, also of those that began or ended within it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from remediator.core import entries as e
from remediator.core.plans import Plan
from remediator.core.state import Run, State


class Seen:
    """What one commit knows of runs and incidents, also of those that began or ended within it."""

    def __init__(self, entries: Sequence[e.Entry], before: State, after: State) -> None:
        self.before, self.after = before, after
        facts = [(entry.fact, entry.at) for entry in entries]
        self._plans: Mapping[str, Plan] = {fact.run: fact.plan for fact, _ in facts if isinstance(fact, e.RunPlanned)}
        self._started = {fact.run: at for fact, at in facts if isinstance(fact, e.RunStarted)}
        self._opened = {fact.incident: fact.rule for fact, _ in facts if isinstance(fact, e.IncidentOpened)}

    def run(self, name: str) -> Run | None:
        """The run, as far as a state knows it."""
        return self.after.runs.get(name) or self.before.runs.get(name)

    def plan(self, name: str) -> Plan | None:
        """The plan of a run."""
        run = self.run(name)
        return run.plan if run is not None else self._plans.get(name)

    def started(self, name: str) -> float | None:
        """When a run began to act."""
        run = self.run(name)
        return run.started.at if run is not None and run.started is not None else self._started.get(name)

    def rule(self, fact: e.AnyFact) -> str:
        """The rule that an entry is about, if it is about one."""
        plan = self.plan(getattr(fact, "run", ""))
        if plan is not None:
            return plan.rule
        if isinstance(fact, e.ScheduleDue | e.ScheduleSet):
            return fact.rule
        name = getattr(fact, "incident", "")
        incident = self.after.incidents.get(name) or self.before.incidents.get(name)
        return incident.rule if incident is not None else self._opened.get(name, "")

    def fired_at(self, name: str) -> float | None:
        """When the first alert of an incident began to fire; None for a run by hand."""
        incident = self.after.incidents.get(name) or self.before.incidents.get(name)
        episodes = [self.after.episodes.get(one) for one in incident.episodes] if incident is not None else []
        return min((episode.starts_at for episode in episodes if episode is not None), default=None)
