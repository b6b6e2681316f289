"""Whether a run may begin: the guards, asked twice. First of the journal alone, which costs nothing; then, if that allows,
with fresh evidence, inside the lane, so that the answer and what it allows are one append (G5, G6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from remediator.core import entries as e
from remediator.core.facts import Evidence, ask_guards
from remediator.core.outcomes import Observation
from remediator.core.plans import PlannedCondition, most_places, target_text
from remediator.core.runs import ISSUE_WITHIN, AskGuards, next_effect
from remediator.core.state import Moment, Run, RunStatus, State
from remediator.core.verdicts import Answer, Decision, Verdict
from remediator.engine.boundary import answered, not_seen
from remediator.engine.effects import key_of
from remediator.engine.gathering import gather_signals
from remediator.engine.parts import Parts

# How soon a run that is held back without a known end looks again (s).
LOOK_AGAIN = 15.0


class Admission:
    """Asks the guards for a run and records what they say."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def ask(self, run: Run) -> tuple[e.Entry, ...]:
        """The entries of one round of asking: a decision and what it led to; empty if nothing changed."""
        parts = self._parts
        decision = ask_guards(parts.guards, parts.facts(parts.journal.state, run, parts.journal.moment()))
        if decision.answer >= Answer.DEFER:
            return await parts.journal.commit(lambda state, moment: self._held(state, moment, run.id))
        evidence = await self.gather(run)
        return await parts.journal.commit(lambda state, moment: self._admit(state, moment, run.id, evidence))

    async def gather(self, run: Run) -> Evidence:
        """What the world says now about this run's conditions and its alert; as old as the first question."""
        plan, at = run.plan, self._parts.clock.now()
        incident = self._parts.journal.state.incidents.get(run.incident)
        labels = incident.labels if incident is not None and incident.episodes else None
        async with asyncio.TaskGroup() as group:
            when = group.create_task(self._holds(plan.when)) if plan.when is not None else None
            require = [group.create_task(self._holds(condition)) for condition in plan.require]
            alert = group.create_task(self.alert(labels)) if labels is not None else None
            signals = group.create_task(gather_signals(self._parts, run))
        return Evidence(
            at=at,
            when=when.result() if when is not None else None,
            require=tuple(task.result() for task in require),
            alert=alert.result() if alert is not None else None,
            **signals.result()._asdict(),
        )

    async def _holds(self, condition: PlannedCondition) -> Observation:
        oracle, now = self._parts.oracle, self._parts.clock.now()
        if oracle is None:
            return not_seen("no Prometheus is configured (prometheus.url)")
        return await answered(
            Observation,
            lambda: oracle.holds(condition.expr, hold=condition.hold, now=now),
            seconds=30.0,
            otherwise=not_seen,
        )

    async def alert(self, labels: Mapping[str, str]) -> Observation | None:
        """What Alertmanager says now of the alert with these labels; None where there is none to ask."""
        alerts = self._parts.alerts
        if alerts is None:
            return None
        return await answered(Observation, lambda: alerts.state(labels), seconds=15.0, otherwise=not_seen)

    def withdrawn(self, state: State, moment: Moment, run: Run, place: int) -> str:
        """Why a run that has begun must not take step `place`: its rule is gone, the mode was lowered (G19), or it would
        touch more places than may be (peers.md F5: asked here, where it is done, and not only of the plan)."""
        verdict = self._mode(state, moment, run)
        if verdict.answer is not Answer.ALLOW:
            return f"{verdict.guard}: {verdict.sentence}"
        return too_wide(run, place, self._parts.facts(state, run, moment).limits.brakes.max_targets)

    def switched_off(self, state: State, moment: Moment, run: Run) -> str:
        """Why nobody needs to be asked about this run any more; a rule that merely asks a person is no reason."""
        verdict = self._mode(state, moment, run)
        return f"{verdict.guard}: {verdict.sentence}" if verdict.answer is Answer.DENY else ""

    def _mode(self, state: State, moment: Moment, run: Run) -> Verdict:
        """What the mode says of this run now."""
        asked = [guard for guard in self._parts.guards if guard.name == "mode"]
        return ask_guards(asked, self._parts.facts(state, run, moment)).strictest

    # ── inside the lane ──────────────────────────────────────────────────────────────────────────────────────────────
    def _still_asking(self, state: State, moment: Moment, name: str) -> Run | None:
        run = state.runs.get(name)
        if run is None or not self._parts.holds(run) or not self._parts.may_announce(moment):
            return None
        if not isinstance(next_effect(state, run, moment.at), AskGuards):
            return None
        return run

    def _held(self, state: State, moment: Moment, name: str) -> Sequence[e.AnyFact]:
        run = self._still_asking(state, moment, name)
        if run is None:
            return ()
        decision = ask_guards(self._parts.guards, self._parts.facts(state, run, moment))
        return self._record(state, moment, run, decision) if decision.answer >= Answer.DEFER else ()

    def _admit(self, state: State, moment: Moment, name: str, evidence: Evidence) -> Sequence[e.AnyFact]:
        run = self._still_asking(state, moment, name)
        if run is None:
            return ()
        facts = replace(self._parts.facts(state, run, moment), evidence=evidence)
        return self._record(state, moment, run, ask_guards(self._parts.guards, facts))

    def _record(self, state: State, moment: Moment, run: Run, decision: Decision) -> Sequence[e.AnyFact]:
        told = e.RunDecided(
            incident=run.incident,
            run=run.id,
            answer=decision.answer.word,
            verdicts=decision.verdicts,
            until=decision.until if decision.answer is Answer.DEFER else None,
        )
        match decision.answer:
            case Answer.ALLOW:
                return [told, *start(run, moment)]
            case Answer.ASK:
                expires = moment.at + run.plan.approval_timeout
                request = e.ApprovalRequested(incident=run.incident, run=run.id, digest=run.digest, expires=expires)
                return [told, request]
            case Answer.DEFER:
                return self._defer(state, moment, run, told, decision)
            case Answer.DENY:
                why = decision.strictest
                reason = f"{why.guard}: {why.sentence}"
                return [
                    told,
                    e.RunEnded(incident=run.incident, run=run.id, result=RunStatus.DENIED.value, reason=reason),
                ]

    def _defer(
        self, state: State, moment: Moment, run: Run, told: e.RunDecided, decision: Decision
    ) -> Sequence[e.AnyFact]:
        """A deferral is recorded when it says something new; asking again to hear the same is not worth an entry."""
        words = tuple(f"{verdict.guard}={verdict.answer.word}" for verdict in decision.verdicts)
        until = told.until or 0.0
        soon = until <= moment.at + LOOK_AGAIN  # the next look comes by then anyway
        later = not soon and (run.not_before is None or until > run.not_before + LOOK_AGAIN)
        if words == run.decided and run.status is RunStatus.DEFERRED and not later:
            return ()
        facts: list[e.AnyFact] = [told]
        return [*facts, *self._call_people(state, moment, run, decision)]

    def _call_people(self, state: State, moment: Moment, run: Run, decision: Decision) -> Sequence[e.AnyFact]:
        """Once for what is bigger than this run, not for each that it holds back; for nothing that a storm explains."""
        held = {verdict.guard: verdict for verdict in decision.verdicts if verdict.answer is Answer.DEFER}
        if run.dry or "storm" in held:
            return []
        windows = {
            "blast_radius": (f"blast_radius:{run.plan.rule}", run.plan.guards.blast_radius.window),
            "budget": ("budget", self._parts.config.fleet.budget.window),
        }
        called: list[e.AnyFact] = []
        for guard, (about, window) in windows.items():
            last = state.escalated.get(about)
            if guard in held and (last is None or moment.at - last >= window):
                reason = f"{guard}: {held[guard].sentence}"
                called.append(e.Escalated(incident=run.incident, run=run.id, reason=reason, about=about))
        return called


def too_wide(run: Run, place: int, limit: int) -> str:
    """Why step `place` would touch one place too many; empty if it would not."""
    places = most_places([*run.plan.steps[: run.step + 1], run.plan.steps[place]])
    if len(places) <= limit:
        return ""
    return f"max_targets: {places[-1]} would be place {len(places)} that this run touches, and {limit} may be"


def start(run: Run, moment: Moment) -> list[e.AnyFact]:
    """A run begins: its locks and budget, and the intent of its first step, in one append."""
    plan = run.plan
    started = e.RunStarted(
        incident=run.incident,
        run=run.id,
        rule=plan.rule,
        target=target_text(plan.target),
        locks=plan.locks,
        deadline=moment.at + plan.limit,
        dry=run.dry,
    )
    return [started, order(run, 0, 1, moment)]


def order(run: Run, place: int, attempt: int, moment: Moment, by: str = "") -> e.StepIntent:
    """The intent of one attempt; a temporary effect gets its end here, before it exists (G10)."""
    step = run.plan.steps[place]
    return e.StepIntent(
        incident=run.incident,
        run=run.id,
        step=place,
        attempt=attempt,
        action=step.action,
        key=step.key or key_of(run.id, place),
        issue_by=moment.at + ISSUE_WITHIN,
        timeout=step.timeout,
        undo_at=moment.at + step.undo_after if step.undo_after is not None else step.until,
        dry=run.dry,
        by=by,
    )
