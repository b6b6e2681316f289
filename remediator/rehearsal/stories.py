"""The journal of one test, told by incident: what was decided, issued, taken back and said. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from remediator.core import entries as e
from remediator.core.outcomes import UndoResult
from remediator.core.plans import PlannedStep
from remediator.core.verdicts import Verdict
from remediator.rehearsal.playing import Played


@dataclass(slots=True, kw_only=True)
class Story:
    """One incident of a test, in the order of the journal. Times in seconds since the start of the test."""

    opened: e.IncidentOpened
    planned: list[e.RunPlanned] = field(default_factory=list)
    decided: list[e.RunDecided] = field(default_factory=list)  # up to the first step of a run
    intents: list[e.StepIntent] = field(default_factory=list)
    outcomes: list[e.StepOutcome] = field(default_factory=list)
    concluded: list[e.VerifyConcluded] = field(default_factory=list)
    ended: list[e.RunEnded] = field(default_factory=list)
    undone: list[tuple[float, e.UndoConcluded]] = field(default_factory=list)
    others: list[e.AnyFact] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)  # of runs that have not ended
    closed: str = "open"

    @property
    def title(self) -> str:
        """Rule and target."""
        target = ", ".join(f"{name}={value}" for name, value in sorted(self.opened.target.items()))
        return f"{self.opened.rule} on {target}"

    def step(self, run: str, place: int) -> PlannedStep:
        """Step `place` of a run."""
        return next(one for one in self.planned if one.run == run).plan.steps[place]

    @property
    def steps(self) -> list[PlannedStep]:
        """The steps that were issued, in order; the attempts of one count once."""
        found: list[PlannedStep] = []
        last = ("", -1)
        for intent in self.intents:
            if (intent.run, intent.step) != last:
                found.append(self.step(intent.run, intent.step))
            last = (intent.run, intent.step)
        return found

    @property
    def results(self) -> list[str]:
        """What the runs came to; of those that have not ended, where they are."""
        return [*(one.result for one in self.ended), *self.statuses]

    @property
    def verdicts(self) -> Iterator[Verdict]:
        """All verdicts that were given, in order."""
        for decision in self.decided:
            yield from decision.verdicts

    @property
    def taken_back(self) -> list[PlannedStep]:
        """The effects that were taken back, in order."""
        return [self.step(one.run, one.step) for _at, one in self.undone if one.outcome.result is UndoResult.UNDONE]


def stories(played: Played) -> list[Story]:
    """The incidents of a test, in the order in which they were opened."""
    found: dict[str, Story] = {}
    for entry in played.entries:
        fact = entry.fact
        if isinstance(fact, e.IncidentOpened):
            found[fact.incident] = Story(opened=fact)
        story = found.get(getattr(fact, "incident", ""))
        if story is not None:
            _add(story, fact, entry.at - played.start)
    for run in played.state.active_runs:
        if run.incident in found:
            found[run.incident].statuses.append(run.status.value)
    return list(found.values())


def _add(story: Story, fact: e.AnyFact, at: float) -> None:
    match fact:
        case e.RunPlanned():
            story.planned.append(fact)
        case e.RunDecided():
            story.decided.append(fact)
        case e.StepIntent():
            story.intents.append(fact)
        case e.StepOutcome():
            story.outcomes.append(fact)
        case e.VerifyConcluded():
            story.concluded.append(fact)
        case e.RunEnded():
            story.ended.append(fact)
        case e.UndoConcluded():
            story.undone.append((at, fact))
        case e.IncidentClosed():
            story.closed = fact.result
        case _:
            story.others.append(fact)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disposed:
    """What became of an alert or an occurrence for one rule."""

    rule: str
    disposition: str
    reason: str
    incident: str = ""


def dispositions(played: Played) -> list[Disposed]:
    """What became of every alert and occurrence, in order."""
    found: list[Disposed] = []
    for entry in played.entries:
        match entry.fact:
            case e.NotificationDisposed() as fact:
                found += [
                    Disposed(rule=one.rule, disposition=one.disposition, reason=one.reason, incident=one.incident)
                    for alert in fact.alerts
                    for one in alert.disposals
                ]
            case e.ScheduleDue() as fact:
                found.append(
                    Disposed(rule=fact.rule, disposition=fact.disposition, reason=fact.reason, incident=fact.incident)
                )
            case _:
                continue
    return found
