"""What a step makes a place forget: temporary effects of ours that lived only in its memory, and their being made again.

kumod keeps suspensions in memory (kumomta.md §2.3): a restart loses them, and with them what another remediation did. So a
plan that makes a place forget names what will be lost before anybody says yes; what was lost is recorded in the append of
the outcome; and what is still due is planned again there and then, with the same key and the same end. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from remediator.core import entries as e
from remediator.core.brakes import Brakes, Waves
from remediator.core.outcomes import EffectClass, Result
from remediator.core.planning import Planner, incident_id
from remediator.core.plans import AGAIN, Plan, PlannedGuards, PlannedLimit, PlannedStep
from remediator.core.rules import OnError, OnFailure
from remediator.core.state import Run, State, Undo
from remediator.core.telling import clock_time

# An effect that ends so soon (s) is not made again: what forgot it has to come up first.
TOO_SOON = 120.0
# How often, and how far apart (s), it is tried: kumod enumerates its spool before it answers.
ATTEMPTS, DELAY = 20, 15.0
# The usual guards count for what is made again, as far as they are of the whole service; the rule's own counted before.
_GUARDS = PlannedGuards(
    cooldown=0.0,
    rate_limit=PlannedLimit(20, 3600.0),
    blast_radius=PlannedLimit(1000, 3600.0),
    concurrency=4,
    brakes=Brakes(waves=Waves(first=1000), max_targets=1000),
)
_AGAIN = frozenset({EffectClass.KEYED, EffectClass.SAFE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A temporary effect that step `step` of a plan makes `place` forget, and why it is not made again (or empty)."""

    undo: Undo
    step: int
    place: str
    reason: str = ""

    @property
    def sentence(self) -> str:
        """As people read it."""
        what = f"{self.undo.does or self.undo.action} (until {clock_time(self.undo.due_at)}, {self.undo.id})"
        return f"{what}, not made again: {self.reason}" if self.reason else what


def losses(state: State, steps: Sequence[PlannedStep], now: float) -> tuple[Loss, ...]:
    """What these steps would make be forgotten, by what stands at `now` (unix s); each effect once."""
    found: dict[str, Loss] = {}
    for number, step in enumerate(steps):
        for undo in sorted(state.undos.values(), key=lambda one: one.id) if step.forgets else ():
            if undo.kept_in and undo.kept_in in step.forgets and undo.id not in found:
                loss = Loss(undo=undo, step=number, place=undo.kept_in, reason=_why_not(state, undo, now))
                found[undo.id] = loss
    return tuple(found.values())


def _why_not(state: State, undo: Undo, now: float) -> str:
    if undo.due_at - now < TOO_SOON:
        return "its time is nearly over"
    if not undo.certain:
        return "whether it was made is not known; its own run asks the target"
    if undo.tries:
        return "it is being taken back"
    if undo.effect not in _AGAIN:
        return "a step of this class is never made twice by itself"
    if _pending(state, undo):
        return "it is being made again already"
    return ""


def _pending(state: State, undo: Undo) -> bool:
    """Whether a run is under way that makes it again, or one that could not be told from it."""
    key = (AGAIN + undo.rule, undo.target)
    if key in state.open_by_key:
        return True
    return any(step.replaces == undo.id for run in state.runs.values() for step in run.plan.steps)


def told_losses(state: State, steps: Sequence[PlannedStep]) -> list[str]:
    """The same as lines for people who are asked for a yes."""
    found = losses(state, steps, state.last.at if state.last is not None else 0.0)
    lines = [f"Will be lost with step {loss.step + 1}, on {loss.place}: {loss.sentence}" for loss in found]
    return [*lines, "What is still due is made again afterwards."] if any(not one.reason for one in found) else lines


def lost(before: State, after: State, fact: e.StepOutcome | e.PersonDecided, planner: Planner) -> list[e.AnyFact]:
    """What has to be in the append of the outcome of a step that made a place forget: the losses, and what follows."""
    run = before.runs.get(fact.run)
    number = _forgetting(run, fact)
    if run is None or number is None or after.last is None:
        return []
    step = run.plan.steps[number]
    found = losses(after, [step], after.last.at)
    groups: dict[tuple[str, str], list[Undo]] = {}
    for loss in found:
        if not loss.reason:
            groups.setdefault((loss.undo.rule, loss.undo.target), []).append(loss.undo)
    names = {key: incident_id(AGAIN + key[0], f"{key[1]}:{run.id}/{number}") for key in groups}
    facts: list[e.AnyFact] = [
        e.EffectLost(
            incident=loss.undo.incident,
            run=loss.undo.run,
            step=loss.undo.step,
            place=loss.place,
            by_run=run.id,
            by_step=number,
            again=names.get((loss.undo.rule, loss.undo.target), "") if not loss.reason else "",
            reason=loss.sentence,
        )
        for loss in found
    ]
    for key, undos in groups.items():
        facts += _again(names[key], undos, f"{run.id}/{number}", planner, after.last.at)
    return facts


def _forgetting(run: Run | None, fact: e.StepOutcome | e.PersonDecided) -> int | None:
    """The step that has made something forget by this fact; None if none has."""
    if run is None or run.dry:
        return None
    if isinstance(fact, e.PersonDecided):
        number, done = run.step, fact.decision == "mark_done"
    else:
        number, done = fact.step, fact.outcome.result is Result.OK
    return number if done and run.plan.steps[number].forgets else None


def _again(name: str, undos: Sequence[Undo], cause: str, planner: Planner, now: float) -> list[e.AnyFact]:
    """The incident and the plan that make these effects of one rule on one target again; the same key, the same end."""
    first, mode = undos[0], planner.server_mode
    plan = Plan(
        rule=AGAIN + first.rule,
        playbook="make-again",
        rung=0,
        target=first.where,
        params={},
        guards=_GUARDS,
        locks=(first.target,),
        steps=tuple(_step(undo) for undo in undos),
        on_failure=(OnFailure.ESCALATE,),
        limit=1800.0,
        give_up=max(undo.due_at for undo in undos) - now,
        rules_digest=planner.ruleset.digest,
    )
    opened = e.IncidentOpened(
        incident=name,
        rule=plan.rule,
        target=first.where,
        episode="",
        labels=first.where,
        summary=f"{first.kept_in} forgot it, by {cause}",
        by=cause,
    )
    run = f"{name}.1"
    return [opened, e.RunPlanned(incident=name, run=run, plan=plan, digest=plan.digest, dry=False, mode=mode.word)]


def _step(undo: Undo) -> PlannedStep:
    """The step that makes an effect again; one that cannot be made keeps no other from it."""
    return PlannedStep(
        name=f"Make again what {undo.kept_in} forgot"[:200],
        action=undo.action,
        arguments=undo.arguments,
        effect=undo.effect,
        timeout=30.0,
        attempts=ATTEMPTS,
        delay=DELAY,
        on_error=OnError.CONTINUE,
        does=undo.does,
        kept_in=undo.kept_in,
        key=undo.key,
        until=undo.due_at,
        replaces=undo.id,
    )
