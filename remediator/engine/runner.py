"""One task a run: ask the run machine what is next, do it, append what came of it, ask again.

Every control entry is appended only if the run machine, asked again inside the lane, still says the same: the world may
have moved while this task was deciding. What an attempt came to is appended whatever has moved, because it happened.
"""

from __future__ import annotations

from collections.abc import Sequence

from remediator.core import entries as e
from remediator.core import runs as r
from remediator.core.anew import outdated
from remediator.core.fold_runs import admits_outcome
from remediator.core.outcomes import Look, Observation, Outcome, Presence, Result, not_issued, ok, unknown
from remediator.core.plans import PlannedCheck
from remediator.core.state import Moment, Run, RunStatus, State
from remediator.core.verification import NOT_ASKED, Watch, advance, conclude
from remediator.engine.admission import LOOK_AGAIN, Admission, order
from remediator.engine.boundary import answered, not_seen
from remediator.engine.effects import token_of
from remediator.engine.parts import Parts
from remediator.engine.undoing import Undoing
from remediator.errors import StoreError
from remediator.ports import LookCall

# How long a run waits before it asks a store again that could not commit (s).
STORE_AGAIN = 5.0
# How soon a run looks again for something that somebody else has under way (s).
BUSY_AGAIN = 1.0


class Runner:
    """Carries runs. Holds no state of its own that a restart would miss."""

    def __init__(self, parts: Parts, undoing: Undoing) -> None:
        self._parts = parts
        self._undoing = undoing
        self._admission = Admission(parts)

    async def drive(self, name: str) -> None:
        """Carries the run called `name` to its last word, or until it waits for a person or the service stops."""
        found = self._parts.journal.state.runs.get(name)
        inherited = found.intent if found is not None else None
        renewals = self._parts.journal.renewals
        while not self._parts.stopping:
            run = self._parts.journal.state.runs.get(name)
            if run is None or not self._parts.holds(run):
                return
            if renewals != self._parts.journal.renewals:  # another history: what it shows under way is not ours
                renewals, inherited = self._parts.journal.renewals, run.intent
            try:
                if run.intent is not None:
                    await self._interrupted(run, run.intent, inherited)
                else:
                    await self._step(run)
            except StoreError:
                await self._parts.clock.sleep(STORE_AGAIN)

    async def _step(self, run: Run) -> None:
        now = self._parts.clock.now()
        effect = r.next_effect(self._parts.journal.state, run, now)
        match effect:
            case r.Await() if self._disabled(run):
                await self._control(run, r.End(RunStatus.CANCELLED, self._disabled(run)), standing=effect)
            case r.AskGuards():
                if not await self._admission_round(run):
                    await self._parts.rest(run.id, LOOK_AGAIN)
            case r.Await(until=until):
                await self._parts.rest(run.id, until - now if until is not None else 3600.0)
            case r.Issue():
                await self._issue(run, effect)
            case r.Look():
                await self._verify(run)
            case r.Reconcile():
                await self._reconcile(run)
            case r.TakeBack(undo=undo):
                if await self._undoing.take_back(undo, cause="rollback") is None:
                    await self._parts.rest(run.id, BUSY_AGAIN)
            case _:
                await self._control(run, effect)

    def _disabled(self, run: Run) -> str:
        """Why a run that waits for a yes must not wait any longer: its rule is gone, switched off (G19), or another now."""
        if run.status is not RunStatus.AWAITING_APPROVAL:
            return ""
        state, moment = self._parts.journal.state, self._parts.journal.moment()
        return self._admission.switched_off(state, moment, run) or outdated(self._parts.planner, state, run)

    async def _admission_round(self, run: Run) -> bool:
        entries = await self._admission.ask(run)
        intent = next((entry for entry in entries if isinstance(entry.fact, e.StepIntent)), None)
        if intent is not None:
            await self._perform(run, intent)
        return bool(entries)

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _issue(self, run: Run, effect: r.Issue) -> None:
        await self._ordered(run, effect, standing=effect)

    async def _ordered(self, run: Run, effect: r.Issue, standing: r.Effect) -> None:
        """Announces the attempt, if the run machine still says `standing`, and makes it."""
        entries = await self._parts.journal.commit(
            lambda state, moment: self._order(state, moment, run.id, effect, standing)
        )
        if not entries:
            await self._parts.rest(run.id, LOOK_AGAIN)
        elif isinstance(entries[0].fact, e.StepIntent):
            await self._perform(run, entries[0])

    def _order(
        self, state: State, moment: Moment, name: str, effect: r.Issue, standing: r.Effect
    ) -> Sequence[e.AnyFact]:
        run = self._unmoved(state, moment, name, standing)
        if run is None or (state.pause_for(run.plan.rule) is not None and not effect.by):
            return ()
        if self._parts.withheld(state, moment) or self._undoing.at_work(state, f"{run.id}/{effect.step}"):
            return ()  # else what is being taken back and what is ordered anew could not be told apart
        reason = "" if r.bound_to_finish(run) else self._admission.withdrawn(state, moment, run, effect.step)
        if reason:
            ended = r.End(RunStatus.CANCELLED, reason)
            return _control_facts(run, r.park(run, reason, moment.at) if run.doubt else ended)
        return [order(run, effect.step, effect.attempt, moment, effect.by)]

    def _unmoved(self, state: State, moment: Moment, name: str, effect: r.Effect) -> Run | None:
        run = state.runs.get(name)
        if run is None or self._parts.stopping or not self._parts.holds(run):
            return None
        return run if r.next_effect(state, run, moment.at) == effect else None

    async def _perform(self, run: Run, entry: e.Entry) -> None:
        intent = entry.fact
        assert isinstance(intent, e.StepIntent)
        step = run.plan.steps[intent.step]
        began = self._parts.clock.monotonic()
        outcome = await self._parts.effects[run.dry].issue(token_of(entry), step)
        seconds = self._parts.clock.monotonic() - began
        await self.record_outcome(intent, outcome, seconds, simulated=run.dry and step.effect != "read")

    async def record_outcome(self, intent: e.StepIntent, outcome: Outcome, seconds: float, *, simulated: bool) -> None:
        """Makes the outcome durable, however long the store takes: it happened, so it has to be on record (G8, G15)."""
        told = told_of(intent, outcome, seconds, simulated=simulated)
        await self._parts.journal.insist(lambda state, _moment: _outcome_or_evidence(state, told))

    async def _interrupted(self, run: Run, intent: e.StepIntent, inherited: e.StepIntent | None) -> None:
        """An intent that nobody is at work on: an earlier process left it, or the store lost the answer to ours."""
        if run.dry:
            outcome = ok("a dry run that was interrupted: nothing was issued")
        elif intent == inherited or run.issuer != self._parts.journal.boot:
            outcome = unknown("the service stopped between intent and outcome; it may have been carried out")
        else:
            outcome = not_issued("the store lost the answer to the announcement, so nothing was done")
        told = told_of(intent, outcome, 0.0, simulated=run.dry)
        await self._parts.journal.insist(
            lambda state, _moment: _outcome_or_evidence(state, told) if self._still_open(state, run) else ()
        )

    def _still_open(self, state: State, run: Run) -> bool:
        """Whether it is still this replica that has to say what became of this very attempt."""
        current = state.runs.get(run.id)
        return current is not None and self._parts.holds(current) and current.intent == run.intent

    async def _reconcile(self, run: Run) -> None:
        step = run.plan.steps[run.step]
        found = await self._parts.effects[run.dry].reconcile(run, step)
        if found.presence is Presence.PRESENT:
            outcome = Outcome(result=Result.OK, sentence=found.sentence, receipt=found.receipt)
            told = e.StepOutcome(
                incident=run.incident,
                run=run.id,
                step=run.step,
                attempt=run.attempt,
                outcome=outcome,
                reconciled=True,
            )
            await self._parts.journal.commit(
                lambda state, moment: [told] if self._unmoved(state, moment, run.id, r.Reconcile()) else ()
            )
            return
        following = r.after_reconcile(run, found, self._parts.clock.now())
        await self._after_reconcile(run, following)

    async def _after_reconcile(self, run: Run, following: r.Effect) -> None:
        match following:
            case r.Await(until=until) if until is not None:
                await self._parts.rest(run.id, until - self._parts.clock.now())
            case r.Issue():
                await self._ordered(run, following, standing=r.Reconcile())
            case _:
                await self._control(run, following, standing=r.Reconcile())

    # ── control ──────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _control(self, run: Run, effect: r.Effect, standing: r.Effect | None = None) -> None:
        """Appends the control entry that `effect` stands for, if the run machine still says `standing`."""
        expected = standing or effect
        entries = await self._parts.journal.commit(
            lambda state, moment: _control_facts(run, effect) if self._unmoved(state, moment, run.id, expected) else ()
        )
        if not entries:
            await self._parts.rest(run.id, 0.05)

    # ── verification ─────────────────────────────────────────────────────────────────────────────────────────────────
    async def _verify(self, run: Run) -> None:
        if run.dry:
            await self._conclude(run, NOT_ASKED, "a dry run has nothing to verify")
            return
        watch = Watch.begin(run.plan.verify, self._parts.clock.now(), run.verify_started)
        verdict = conclude(watch, self._parts.clock.now())
        last: list[Look | None] = [None] * len(run.plan.verify)
        while verdict is None:
            if self._parts.stopping:
                return
            seen = [await self._look(check, run) for check in watch.checks]
            await self._record_looks(run, seen, last)
            now = self._parts.clock.now()
            watch = advance(watch, seen, now)
            verdict = conclude(watch, now)
            if verdict is None:
                await self._parts.clock.sleep(watch.every)
        await self._conclude(run, verdict.word, verdict.sentence)

    async def _look(self, check: PlannedCheck, run: Run) -> Observation:
        probe = self._parts.probes.get(check.probe)
        if probe is None:
            return not_seen(f"there is no probe {check.probe} any more")
        call = LookCall(
            arguments=check.arguments, newer_than=run.verify_after or 0.0, now=self._parts.clock.now(), timeout=10.0
        )
        return await answered(Observation, lambda: probe.look(call), seconds=20.0, otherwise=not_seen)

    async def _record_looks(self, run: Run, seen: Sequence[Observation], last: list[Look | None]) -> None:
        told = [
            e.VerifyLooked(incident=run.incident, run=run.id, check=place, observation=observation)
            for place, observation in enumerate(seen)
            if observation.look is not last[place]
        ]
        last[:] = [observation.look for observation in seen]
        if told:
            await self._parts.journal.commit(
                lambda state, moment: told if self._unmoved(state, moment, run.id, r.Look()) else ()
            )

    async def _conclude(self, run: Run, word: str, sentence: str) -> None:
        told = e.VerifyConcluded(incident=run.incident, run=run.id, verdict=word, sentence=sentence, simulated=run.dry)
        await self._parts.journal.commit(
            lambda state, moment: [told] if self._unmoved(state, moment, run.id, r.Look()) else ()
        )


def told_of(intent: e.StepIntent, outcome: Outcome, seconds: float, *, simulated: bool) -> e.StepOutcome:
    """The entry that says what came of an attempt."""
    return e.StepOutcome(
        incident=intent.incident,
        run=intent.run,
        step=intent.step,
        attempt=intent.attempt,
        outcome=outcome,
        seconds=round(seconds, 3),
        simulated=simulated,
    )


def _outcome_or_evidence(state: State, told: e.StepOutcome) -> Sequence[e.AnyFact]:
    """The outcome, or late evidence where the attempt already has a final one; nothing if it is this very one."""
    run = state.runs.get(told.run)
    if run is not None and run.intent is None and run.outcome == told.outcome and _last(run, told):
        return ()  # the store had lost the answer only
    if run is not None and admits_outcome(run, told):
        return [told]
    return [
        e.LateEvidence(incident=told.incident, run=told.run, step=told.step, attempt=told.attempt, outcome=told.outcome)
    ]


def _last(run: Run, told: e.StepOutcome) -> bool:
    return (run.step, run.attempt) == (told.step, told.attempt)


def _control_facts(run: Run, effect: r.Effect) -> Sequence[e.AnyFact]:
    match effect:
        case r.StartVerify():
            return [e.VerifyStarted(incident=run.incident, run=run.id, after=run.outcome_at)]
        case r.Rollback(reason=reason):
            return [e.RollbackStarted(incident=run.incident, run=run.id, reason=reason)]
        case r.Park(reason=reason):
            return [
                e.RunParked(incident=run.incident, run=run.id, reason=reason),
                e.Escalated(incident=run.incident, run=run.id, reason=reason),
            ]
        case r.Expire():
            return [e.ApprovalExpired(incident=run.incident, run=run.id)]
        case r.End(result=result, reason=reason):
            return [e.RunEnded(incident=run.incident, run=run.id, result=result.value, reason=reason)]
        case _:
            return ()
