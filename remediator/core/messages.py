"""What people are told of an incident, in plain lines: what happened, what was done, whether it worked, what ends when.

Pure. Every message is whole in itself: whoever reads only the last one knows all of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from remediator.core.outcomes import Result
from remediator.core.plans import Plan, PlannedStep
from remediator.core.state import Incident, Run, RunStatus, State
from remediator.core.telling import clock_time, length

# How much of a text is told (characters), and how many steps.
LONGEST_SUBJECT, LONGEST_TEXT = 200, 4000
MOST_STEPS = 20
# What is left of a text if a line about its receiver is added.
ROOM = 200

BEGIN, END = "begin", "end"
# With these results of an incident nobody is needed any more.
SETTLED = frozenset({"recovered", "resolved", "denied", "cancelled", "closed_by_person"})
# With these somebody has to look.
UNSETTLED = frozenset({"failed", "expired"})
_WORDS = {Result.OK: "ok", Result.UNKNOWN: "may or may not have happened", Result.NOT_ISSUED: "was not issued"}


def call_of(result: str) -> str:
    """What the end of an incident does to the call for people: `begin`, `end`, or nothing."""
    return END if result in SETTLED else BEGIN if result in UNSETTLED else ""


def happened(incident: Incident) -> list[str]:
    """What happened, as one line; none where nothing is known but the rule and the target."""
    if incident.by:
        return [f"What happened: {incident.by} started it by hand" + (f": {incident.summary}" * bool(incident.summary))]
    alert = incident.labels.get("alertname", "")
    kind = ", ".join(word for word in (alert, incident.severity) if word)
    if incident.summary:
        return [f"What happened: {incident.summary}" + (f" ({kind})" if kind else "")]
    return [f"What happened: {kind}"] if kind else []


def steps_of(run: Run) -> tuple[str, ...]:
    """One line for each step of a run that was made, with what came of it."""
    lines = [
        f"{_does(step)}: {_WORDS.get(result, result.value)}"
        for step, result in zip(run.plan.steps, run.results, strict=False)
        if result is not None
    ]
    if run.status is RunStatus.ROLLED_BACK:
        lines.append("what was changed was taken back")
    return tuple(lines)


def remembered(state: State, run: Run) -> State:
    """The state in which what a run did, which is over now, stays with its incident."""
    incident = state.incidents.get(run.incident)
    if incident is None or run.dry:
        return state
    grown = msgspec.structs.replace(incident, did=(*incident.did, *steps_of(run)))
    return msgspec.structs.replace(state, incidents=state.incidents.set(grown.id, grown))


def done(incident: Incident, state: State) -> list[str]:
    """What we did, the runs that have ended first."""
    running = (state.runs.get(name) for name in incident.runs)
    lines = [*incident.did, *(line for run in running if run is not None and not run.dry for line in steps_of(run))]
    if not lines:
        return ["What we did: nothing"]
    more = [f"  and {len(lines) - MOST_STEPS} more"] if len(lines) > MOST_STEPS else []
    return ["What we did:", *(f"  {line}" for line in lines[:MOST_STEPS]), *more]


def intended(plan: Plan) -> list[str]:
    """What is about to be done."""
    lines = [f"  {number}. {_does(step)}{_until(step)}" for number, step in enumerate(plan.steps[:MOST_STEPS], 1)]
    return ["What we do now:", *lines]


def left_behind(incident: str, state: State) -> list[str]:
    """What will be taken back, and when."""
    left = sorted((one for one in state.undos.values() if one.incident == incident), key=lambda one: one.id)
    return [f"Will be taken back: {undo.action} at {clock_time(undo.due_at)}" for undo in left]


def instead(text: str, receiver: str, sentence: str) -> str:
    """The text of a message that another receiver did not take, with a line that says so."""
    return f"{text[: LONGEST_TEXT - ROOM]}\n({receiver} did not take this message: {sentence[: ROOM // 2]})"


def cut(lines: Sequence[str]) -> str:
    """The lines as one text, short enough for every receiver."""
    return "\n".join(lines)[:LONGEST_TEXT]


def _does(step: PlannedStep) -> str:
    return step.does or step.name


def _until(step: PlannedStep) -> str:
    return f" (taken back after {length(step.undo_after)})" if step.undo_after is not None else ""
