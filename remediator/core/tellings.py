"""Who is told what of a fact: the messages that are appended together with it. Pure.

Those of an incident's severity hear how it ended, and some also that work begins; those who are called when people are
needed hear that they are, and whoever heard it hears when they no longer are. What one receiver does not take goes on to
the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from remediator.core import entries as e
from remediator.core.losses import told_losses
from remediator.core.messages import (
    BEGIN,
    END,
    LONGEST_SUBJECT,
    call_of,
    cut,
    done,
    happened,
    instead,
    intended,
    left_behind,
)
from remediator.core.outcomes import Result
from remediator.core.plans import BETWEEN, target_text
from remediator.core.state import Incident, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Who is told: receivers by severity, and those who are called when people are needed. `base_url` of the console.

    `early` are the receivers that hear of a run when it begins, too. `fallback` are all receivers in the order in which a
    message that one of them did not take goes on to the next.
    """

    by_severity: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    escalate: tuple[str, ...] = ()
    base_url: str = ""
    early: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()

    def receivers(self, severity: str) -> tuple[str, ...]:
        """Those for this severity; an unknown severity is told as `warning` is."""
        return self.by_severity.get(severity, self.by_severity.get("warning", ()))


def told_of(
    before: State,
    after: State,
    fact: e.Escalated | e.RunReminded | e.ApprovalRequested | e.IncidentClosed | e.RunStarted,
    routing: Routing,
) -> list[e.AnyFact]:
    """The messages that a fact about an incident entails."""
    match fact:
        case e.Escalated():
            return _call_people(before, after, fact, "people are needed", routing)
        case e.RunReminded():
            return _call_people(before, after, fact, "still needs a person", routing)
        case e.ApprovalRequested():
            return _ask_people(after, fact, routing)
        case e.IncidentClosed():
            return _last_word(before, after, fact, routing)
        case _:
            return _first_word(after, fact, routing)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Telling:
    """What is told, whoever is told it."""

    what: str
    name: str
    incident: Incident | None
    lines: Sequence[str]
    call: str = ""
    falls: bool = True  # whether it goes on to another receiver where one does not take it

    @property
    def where(self) -> str:
        if self.incident is None:
            return self.name or "all rules"
        return f"{self.incident.rule} on {target_text(self.incident.target)}"


def _call_people(
    before: State, after: State, fact: e.Escalated | e.RunReminded, what: str, routing: Routing
) -> list[e.AnyFact]:
    incident = before.incidents.get(fact.incident)
    lines = [fact.reason]
    if incident is not None:
        why = f"Why people are needed: {fact.reason}"
        lines = [*happened(incident), *done(incident, before), why, *left_behind(incident.id, after)]
    telling = _Telling(what=what, name=fact.incident, incident=incident, lines=lines, call=BEGIN)
    return _tell(routing.escalate, telling, after, routing)


def _ask_people(after: State, fact: e.ApprovalRequested, routing: Routing) -> list[e.AnyFact]:
    run, incident = after.runs[fact.run], after.incidents.get(fact.incident)
    steps = [f"  {number}. {step.does or step.name}" for number, step in enumerate(run.plan.steps, 1)]
    gone = told_losses(after, run.plan.steps)
    asked = [f"Waits for a yes to plan {run.digest}:", *steps, *gone, f"remediator approve {fact.incident}"]
    lines = [*(happened(incident) if incident else ()), *asked]
    receivers = (*routing.receivers(incident.severity if incident else ""), *routing.escalate)
    telling = _Telling(what="approval wanted", name=fact.incident, incident=incident, lines=lines, call=BEGIN)
    return _tell(tuple(dict.fromkeys(receivers)), telling, after, routing)


def _first_word(after: State, fact: e.RunStarted, routing: Routing) -> list[e.AnyFact]:
    """That work begins, for those who want to know it then; the rungs that follow are told with the last word."""
    run, incident = after.runs[fact.run], after.incidents.get(fact.incident)
    if fact.dry or incident is None or run.plan.rung:
        return []
    receivers = tuple(name for name in routing.receivers(incident.severity) if name in routing.early)
    lines = [*happened(incident), *intended(run.plan)]
    telling = _Telling(what="acting", name=fact.incident, incident=incident, lines=lines, falls=False)
    return _tell(receivers, telling, after, routing)


# The end of an incident that was only looked at: its last word is what was seen.
REPORTED = "reported"
_QUIET = frozenset({"simulated", "resolved"})


def _last_word(before: State, after: State, fact: e.IncidentClosed, routing: Routing) -> list[e.AnyFact]:
    """How it ended, for those of its severity, and where people are no longer needed for all who were told that they are."""
    incident = before.incidents.get(fact.incident)
    if incident is None:
        return []
    call = call_of(fact.result)
    usual = routing.receivers(incident.severity) if fact.result not in _QUIET else ()
    receivers = tuple(dict.fromkeys((*usual, *(incident.told if call == END else ()))))
    if fact.result == REPORTED:
        ends = ["What was seen:", *(f"  {line}" for line in fact.reason.split(BETWEEN))]
    else:
        ends = [*done(incident, before), f"Did it work: {fact.result.replace('_', ' ')}: {fact.reason}"]
    lines = [*happened(incident), *ends, *left_behind(incident.id, after)]
    telling = _Telling(what=fact.result, name=fact.incident, incident=incident, lines=lines, call=call)
    return _tell(receivers, telling, after, routing)


def _tell(receivers: tuple[str, ...], telling: _Telling, after: State, routing: Routing) -> list[e.AnyFact]:
    incident, name = telling.incident, telling.name
    page = f"/incidents/{name}" if name else "/"
    return [
        e.MessageIntent(
            message=f"msg-{after.seq}-{place}",
            receiver=receiver,
            incident=name,
            subject=f"[{telling.what}] {telling.where}"[:LONGEST_SUBJECT],
            text=cut([f"{f'{name}: ' if name else ''}{telling.where}", *telling.lines]),
            severity=incident.severity if incident else "",
            call=telling.call,
            link=f"{routing.base_url}{page}" if routing.base_url else "",
            target=incident.target if incident else {},
            since=incident.opened.at if incident else None,
            thread=incident.told.get(receiver, {}) if incident else {},
            told=receivers if telling.falls else routing.fallback,
        )
        for place, receiver in enumerate(receivers)
    ]


def next_receiver(before: State, after: State, fact: e.MessageOutcome, routing: Routing) -> list[e.AnyFact]:
    """A message that its receiver did not take goes on to the next one that has not got it."""
    lost = before.outbox.get(fact.message)
    if lost is None or fact.outcome.result is Result.OK or fact.next_at is not None:
        return []
    following = next((name for name in routing.fallback if name not in lost.told and name != lost.receiver), None)
    if following is None or any(
        (one.receiver, one.incident, one.subject) == (following, lost.incident, lost.subject)
        for one in after.outbox.values()
    ):
        return []
    incident = after.incidents.get(lost.incident)
    return [
        e.MessageIntent(
            message=f"msg-{after.seq}-0",
            receiver=following,
            incident=lost.incident,
            subject=lost.subject,
            text=instead(lost.text, lost.receiver, fact.outcome.sentence),
            severity=lost.severity,
            call=lost.call,
            link=lost.link,
            target=lost.target,
            since=lost.since,
            thread=incident.told.get(following, {}) if incident else {},
            told=(*lost.told, lost.receiver, following),
            instead_of=lost.receiver,
        )
    ]
