"""The desk: what people may ask for. Each request becomes entries with a name in them, or a refusal that says why.

Every request goes through the same lane as the engine's own decisions, so two people at once get one yes and one "too
late: ana was first". There is no other way to steer the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from remediator.core import entries as e
from remediator.core.anew import outdated
from remediator.core.by_hand import plan_by_hand
from remediator.core.fold_runs import lost_lock
from remediator.core.holds import Patience, standing
from remediator.core.outcomes import UndoOutcome
from remediator.core.planning import Unplannable
from remediator.core.runs import GRACE, ISSUE_WITHIN, own_undos
from remediator.core.state import CLOCK, SAFE_MODE, Moment, Run, RunStatus, State
from remediator.core.telling import clock_time
from remediator.engine.parts import Parts
from remediator.engine.undoing import BELL as UNDO_BELL
from remediator.engine.undoing import Undoing
from remediator.errors import RefusedRequest

DECISIONS = ("mark_done", "continue", "rollback", "abort")
# How long the target is asked whether an earlier attempt is still at work, while a person waits for the answer (s).
ASKING = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What an undo by hand came to, effect by effect."""

    undo: str
    outcome: UndoOutcome


class Desk:
    """People's requests."""

    def __init__(self, parts: Parts, undoing: Undoing) -> None:
        self._parts = parts
        self._undoing = undoing

    # ── approvals ────────────────────────────────────────────────────────────────────────────────────────────────────
    async def approve(self, name: str, *, digest: str, by: str, reason: str = "") -> Run:
        """Says yes to exactly the plan with this digest; the guards are asked again before anything is done."""
        run = self._find(name, RunStatus.AWAITING_APPROVAL)

        def decide(state: State, moment: Moment) -> Sequence[e.AnyFact]:
            current = _waiting(state, run.id, moment)
            if digest != current.digest:
                raise RefusedRequest(
                    409, f"plan {digest} is not what waits; the plan is {current.digest} now: look again"
                )
            if why := outdated(self._parts.planner, state, current):
                raise RefusedRequest(409, f"{why}: look again")
            return [e.ApprovalGiven(incident=run.incident, run=run.id, digest=digest, by=_named(by), reason=reason)]

        await self._parts.journal.commit(decide)
        self._parts.ring(run.id)
        return run

    async def reject(self, name: str, *, by: str, reason: str = "") -> Run:
        """Says no."""
        run = self._find(name, RunStatus.AWAITING_APPROVAL)

        def decide(state: State, moment: Moment) -> Sequence[e.AnyFact]:
            _waiting(state, run.id, moment)
            return [e.ApprovalRefused(incident=run.incident, run=run.id, by=_named(by), reason=reason)]

        await self._parts.journal.commit(decide)
        return run

    # ── pause ────────────────────────────────────────────────────────────────────────────────────────────────────────
    async def pause(self, *, scope: str, reason: str, by: str, seconds: float | None = None) -> None:
        """Stops new effects for `scope` (`all` or `rule:NAME`); steps under way finish, undos go on (G20)."""
        if not reason.strip():
            raise RefusedRequest(400, "a pause needs a reason: the next one on call will ask")
        if seconds is not None and not seconds > 0:
            raise RefusedRequest(400, f"a pause of {seconds:g}s would be over before it began")
        kind, _, rule = scope.partition(":")
        if scope != "all" and kind != "rule":
            raise RefusedRequest(400, f"{scope!r} is not what can be paused: expected all or rule:NAME")
        if scope != "all" and self._parts.config.ruleset.rule(rule) is None:
            raise RefusedRequest(404, f"there is no rule {rule!r}")

        def decide(_state: State, moment: Moment) -> Sequence[e.AnyFact]:
            until = moment.at + seconds if seconds is not None and isfinite(seconds) else None
            return [e.PauseSet(scope=scope, reason=reason.strip(), by=_named(by), until=until)]

        await self._parts.journal.commit(decide)

    async def resume(self, *, scope: str, by: str) -> None:
        """Ends a pause."""

        def decide(state: State, _moment: Moment) -> Sequence[e.AnyFact]:
            if scope not in state.pauses:
                raise RefusedRequest(409, f"{scope} is not paused")
            return [e.PauseCleared(scope=scope, by=_named(by))]

        await self._parts.journal.commit(decide)

    # ── the breaker ──────────────────────────────────────────────────────────────────────────────────────────────────
    async def restore(self, rule: str, *, target: str = "", by: str, reason: str) -> int:
        """Lifts the demotions of a rule, or those on one target; it begins anew. Gives how many there were."""
        if not reason.strip():
            raise RefusedRequest(400, "a rule is restored with a reason: what is different now?")

        def decide(state: State, _moment: Moment) -> Sequence[e.AnyFact]:
            demoted = [one for one in state.tracks.get(rule, ()) if one.demoted and target in {"", one.target}]
            if not demoted:
                where = f" on {target}" if target else ""
                known = self._parts.config.ruleset.rule(rule) is not None or rule in state.tracks
                raise RefusedRequest(
                    409 if known else 404, f"{rule} is not demoted{where}" if known else f"there is no rule {rule!r}"
                )
            return [
                e.RuleRestored(rule=rule, target=one.target, by=_named(by), reason=reason.strip()) for one in demoted
            ]

        return len(await self._parts.journal.commit(decide))

    # ── holds ────────────────────────────────────────────────────────────────────────────────────────────────────────
    async def release(self, *, by: str, reason: str, patience: Patience = "window") -> tuple[str, ...]:
        """Releases what holds everything back (safe mode), or what is limited (a stepped clock); the names of what stood.

        After safe mode effects begin when the longest limiter window has passed since the loss; with patience `none` at
        once. A clock that is released is trusted from now on.
        """
        if not reason.strip():
            raise RefusedRequest(400, "a release needs a reason: whoever reads the journal later will ask")
        name, why, at_once = _named(by), reason.strip(), patience == "none"

        def decide(state: State, moment: Moment) -> Sequence[e.AnyFact]:
            words = {hold.word for hold in standing(state, moment)}
            if not words:
                raise RefusedRequest(
                    409, "there is nothing to release: neither safe mode nor a hold of the clock stands"
                )
            safe = [e.SafeModeReleased(by=name, reason=why, at_once=at_once)] if SAFE_MODE in words else []
            return [*safe, *([e.ClockReleased(by=name, reason=why)] if CLOCK in words else [])]

        entries = await self._parts.journal.commit(decide)
        return tuple(entry.kind.partition(".")[0] for entry in entries if entry.kind.endswith(".released"))

    # ── undo ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    async def undo(self, name: str, *, by: str, step: int | None = None) -> list[Undone]:
        """Takes back now what an incident or a run left behind, newest first; RefusedRequest if there is nothing."""
        state = self._parts.journal.state
        if why := self._parts.withheld(state, self._parts.journal.moment()):
            raise RefusedRequest(409, why)
        mine = [
            undo
            for undo in state.undos.values()
            if name in {undo.run, undo.incident} and (step is None or undo.step == step)
        ]
        if not mine:
            raise RefusedRequest(404, f"{name} left nothing behind that could be taken back")
        done = []
        for undo in sorted(mine, key=lambda one: (one.run, one.step), reverse=True):
            outcome = await self._undoing.take_back(undo.id, cause="person", by=_named(by))
            if outcome is not None:
                done.append(Undone(undo=undo.id, outcome=outcome))
        if not done:
            raise RefusedRequest(409, f"{name} is being worked on; try again when its step has ended")
        self._parts.ring(UNDO_BELL)
        return done

    # ── a run that needs a person ────────────────────────────────────────────────────────────────────────────────────
    async def decide(self, name: str, *, decision: str, by: str, reason: str) -> Run:
        """Ends the doubt about a parked run: mark_done, continue (one more attempt), rollback or abort.

        `continue` is refused while the earlier attempt is seen at work: it would be made twice.
        """
        if decision not in DECISIONS:
            raise RefusedRequest(400, f"{decision!r} is not a decision: expected one of {', '.join(DECISIONS)}")
        run = self._find(name, RunStatus.NEEDS_PERSON)
        if decision == "continue":
            await self._refuse_while_running(run)

        def decider(state: State, moment: Moment) -> Sequence[e.AnyFact]:
            current = state.runs.get(run.id)
            if current is None or current.status is not RunStatus.NEEDS_PERSON:
                raise RefusedRequest(409, f"{run.id} does not wait for a person any more")
            other = lost_lock(state, current)
            if other and decision != "abort":
                sentence = f"{other} holds the target of {run.id} now; decide when it has ended, or abort"
                raise RefusedRequest(409, sentence)
            if why := _too_soon(current, decision, moment):
                raise RefusedRequest(409, why)
            return _decided(state, current, decision, _named(by), reason)

        await self._parts.journal.commit(decider)
        self._parts.ring(run.id)
        return run

    async def _refuse_while_running(self, run: Run) -> None:
        """Refuses to make again what is at work. Without an answer in time it is left to the action to refuse."""
        try:
            async with asyncio.timeout(ASKING):
                found = await self._parts.effects[run.dry].reconcile(run, run.plan.steps[run.step])
        except TimeoutError:
            return
        if found.running:
            instead = "so it is not made again: wait for its end, or decide mark_done, rollback or abort"
            raise RefusedRequest(409, f"{found.sentence}, {instead}")

    # ── by hand ──────────────────────────────────────────────────────────────────────────────────────────────────────
    async def run(self, playbook: str, *, params: Mapping[str, str], by: str, reason: str) -> str:
        """Runs a playbook by hand, through the same guards and journal; gives the incident's id."""

        def decide(state: State, moment: Moment) -> Sequence[e.AnyFact]:
            try:
                facts = plan_by_hand(
                    self._parts.planner, playbook, params, by=_named(by), reason=reason, seq=state.seq, now=moment.at
                )
            except Unplannable as fault:
                raise RefusedRequest(400, str(fault)) from None
            opened = facts[0]
            assert isinstance(opened, e.IncidentOpened)
            running = next(
                (one for one in state.incidents.values() if (one.rule, one.target) == (opened.rule, opened.target)),
                None,
            )
            if running is not None:
                raise RefusedRequest(409, f"{running.id} already runs {playbook} on {running.target_text}")
            return facts

        entries = await self._parts.journal.commit(decide)
        opened = entries[0].fact
        assert isinstance(opened, e.IncidentOpened)
        return opened.incident

    # ── shared ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def _find(self, name: str, status: RunStatus) -> Run:
        runs = self._parts.journal.state.runs
        named = [run for run in runs.values() if name in {run.id, run.incident}]
        if not named:
            raise RefusedRequest(404, f"{name} has no run under way")
        for run in named:
            if run.status is status:
                return run
        raise RefusedRequest(409, f"{named[0].id} is {named[0].status.value}: too late, or too early{_first(named[0])}")


def _first(run: Run | None) -> str:
    return f"; {run.approved_by} was first" if run is not None and run.approved_by else ""


def _waiting(state: State, name: str, moment: Moment) -> Run:
    run = state.runs.get(name)
    if run is None or run.status is not RunStatus.AWAITING_APPROVAL:
        raise RefusedRequest(409, f"{name} does not wait for approval any more{_first(run)}")
    if run.approval_expires is not None and moment.at >= run.approval_expires:
        raise RefusedRequest(409, f"the request for {name} expired at {clock_time(run.approval_expires)}")
    return run


def _named(by: str) -> str:
    name = by.strip()
    if not name:
        raise RefusedRequest(400, "a person's decision needs a name (--by)")
    return name[:100]


def _too_soon(run: Run, decision: str, moment: Moment) -> str:
    """Why a run must not end yet: its locks would be free while its last attempt can still arrive (G6)."""
    if decision not in {"abort", "rollback"} or not run.doubt:
        return ""
    issued = run.outcome_at if run.issued_at is None else run.issued_at
    until = issued + ISSUE_WITHIN + run.plan.steps[run.step].timeout + GRACE
    if moment.at >= until:
        return ""
    tried = f"what step {run.step + 1} tried may still arrive until {clock_time(until)}"
    return f"{tried}, and its target would be free by then; {decision} after that"


def _decided(state: State, run: Run, decision: str, by: str, reason: str) -> Sequence[e.AnyFact]:
    told = e.PersonDecided(incident=run.incident, run=run.id, decision=decision, by=by, reason=reason)
    match decision:
        case "rollback" if own_undos(state, run):
            return [told, e.RollbackStarted(incident=run.incident, run=run.id, reason=f"ordered by {by}: {reason}")]
        case "abort" | "rollback":
            result = RunStatus.CLOSED_BY_PERSON.value
            why = f"{decision} by {by}: {reason}"
            return [told, e.RunEnded(incident=run.incident, run=run.id, result=result, reason=why)]
        case _:
            return [told]
