"""What can be asked of a running service: `ports.Surface` over an engine, a store and an observer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from remediator import __version__
from remediator.core.entries import Entry, NotificationReceived, decode
from remediator.core.holds import Patience, standing
from remediator.core.plans import Plan
from remediator.core.state import State
from remediator.core.views import (
    ExplanationView,
    IncidentView,
    LineView,
    ReloadView,
    RuleView,
    StatusView,
    StoryView,
    UndoneView,
    line_of,
    status_of,
    undos_of,
)
from remediator.engine.desk import Desk
from remediator.engine.explaining import Explainer
from remediator.engine.supervisor import Engine
from remediator.errors import RefusedRequest
from remediator.observe import Observer
from remediator.ports import Accepted, IncidentFilter, IncidentRow, Store

Reload = Callable[[str], Awaitable[ReloadView]]


class Access(Protocol):
    """What watches the files of the credentials; `trouble` is what is wrong with them now, empty if nothing is."""

    trouble: str


class ServiceSurface:
    """The surface of one service."""

    def __init__(self, engine: Engine, store: Store, observer: Observer, *, reload: Reload, access: Access) -> None:
        self._engine = engine
        self._store = store
        self._observer = observer
        self._reload = reload
        self._explainer = Explainer(engine.parts)
        self._moved = asyncio.Event()
        self._last_notification: float | None = None
        self._access = access
        engine.parts.journal.listen(self._on_commit)

    def _on_commit(self, entries: Sequence[Entry], _before: State, _after: State) -> None:
        for entry in entries:
            if isinstance(entry.fact, NotificationReceived):
                self._last_notification = entry.at
        self._moved.set()
        self._moved = asyncio.Event()

    # ── intake ───────────────────────────────────────────────────────────────────────────────────────────────────────
    async def accept(self, body: bytes, peer: str) -> Accepted:
        """Accepts a notification, once it is durable."""
        return await self._engine.intake.accept(body, peer)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def ready(self) -> tuple[str, ...]:
        """Why the service is not ready; empty when it is."""
        parts = self._engine.parts
        reasons = []
        if parts.stopping:
            reasons.append("the service is stopping")
        if parts.journal.broken:
            reasons.append(f"the journal is not what it was, and a person has to look: {parts.journal.broken}")
        elif parts.journal.last_error:
            reasons.append(f"the journal cannot be written: {parts.journal.last_error}")
        elif parts.journal.history.trouble:
            reasons.append(parts.journal.history.trouble)
        if parts.space.low:
            reasons.append(parts.space.low)
        if not parts.config.ruleset.rules and not parts.config.ruleset.playbooks:
            reasons.append("no rules are loaded")
        return tuple(reasons)

    def status(self) -> StatusView:
        """The 3 a.m. screen."""
        parts = self._engine.parts
        told = {
            "version": __version__,
            "mode": parts.config.mode.word,
            "rules": len(parts.config.ruleset.rules),
            "head": str(parts.journal.head),
            "last_notification_at": self._last_notification,
        }
        trouble = (self._access.trouble,) if self._access.trouble else ()
        holds = tuple(hold.sentence for hold in standing(parts.journal.state, parts.journal.moment()))
        return status_of(parts.journal.state, parts.clock.now(), told, (*self.ready(), *trouble, *holds))

    def rules(self) -> Sequence[RuleView]:
        """The rules in force."""
        config, now = self._engine.parts.config, self._engine.parts.clock.now()
        return [
            RuleView(
                rule=rule.name,
                summary=rule.summary,
                mode=min(rule.mode, config.mode).word,
                match=tuple(str(matcher) for matcher in rule.match),
                group_by=rule.group_by,
                playbooks=tuple(rung.playbook for rung in rule.ladder),
                runbook_url=rule.runbook_url,
                source=rule.source,
                schedule=rule.schedule.text if rule.schedule is not None else "",
                next_at=rule.schedule.following(now) if rule.schedule is not None else None,
            )
            for rule in config.ruleset.rules
        ]

    async def incidents(self, wanted: IncidentFilter) -> Sequence[IncidentView]:
        """Lines of the action log, newest first."""
        return [_incident(row) for row in await self._store.incidents(wanted)]

    async def story(self, name: str) -> StoryView:
        """One incident, line by line."""
        whole = await self._whole(name)
        entries = [decode(record.seq, record.body) for record in await self._store.find(incident=whole, limit=10_000)]
        row = await self._row(whole)
        parts = self._engine.parts
        plans: list[Plan] = [entry.fact.plan for entry in entries if entry.kind == "run.planned"]  # type: ignore[union-attr]
        return StoryView(
            incident=_incident(row),
            lines=tuple(line_of(entry) for entry in entries),
            plans=tuple(plans),
            undos=undos_of(parts.journal.state, parts.clock.now(), whole),
        )

    async def _whole(self, name: str) -> str:
        """The id of the incident that `name` means: an id, a run's id, or a prefix that fits only one."""
        prefix = name.partition(".")[0]
        if not prefix.startswith("inc-"):
            prefix = f"inc-{prefix}"
        found = await self._store.resolve(prefix)
        if prefix in found:
            return prefix
        if not found:
            raise RefusedRequest(404, f"there is no incident {name}")
        if len(found) > 1:
            raise RefusedRequest(409, f"{name} fits {', '.join(found[:5])}; write one more letter")
        return found[0]

    async def _row(self, whole: str) -> IncidentRow:
        rows = await self._store.incidents(IncidentFilter(incident=whole, limit=1))
        if not rows:
            raise RefusedRequest(404, f"there is no incident {whole}")
        return rows[0]

    async def lines(self, after: int, limit: int) -> Sequence[LineView]:
        """The journal after entry `after`, as lines."""
        return [line_of(decode(record.seq, record.body)) for record in await self._store.read(after, limit)]

    async def changed(self, after: int, seconds: float) -> int:
        """The head's sequence number, as soon as it is beyond `after` or after `seconds`."""
        journal = self._engine.parts.journal
        if journal.head.seq <= after:
            moved = self._moved
            try:
                async with asyncio.timeout(seconds):
                    await moved.wait()
            except TimeoutError:
                pass
        return journal.head.seq

    async def explain(self, labels: Mapping[str, str], rule: str = "") -> Sequence[ExplanationView]:
        """What every rule would say to this alert now; of one rule, also what if it came due."""
        return await self._explainer.explain(labels, rule)

    def metrics(self) -> bytes:
        """The exposition text of /metrics."""
        return self._observer.render()

    # ── steering ─────────────────────────────────────────────────────────────────────────────────────────────────────
    async def approve(self, name: str, *, digest: str, by: str, reason: str) -> None:
        """Says yes to exactly that plan."""
        whole = await self._named(name)
        await self._desk().approve(whole, digest=digest, by=by, reason=reason)

    async def reject(self, name: str, *, by: str, reason: str) -> None:
        """Says no."""
        whole = await self._named(name)
        await self._desk().reject(whole, by=by, reason=reason)

    async def pause(self, *, scope: str, reason: str, by: str, seconds: float | None) -> None:
        """Stops new effects."""
        await self._desk().pause(scope=scope, reason=reason, by=by, seconds=seconds)

    async def resume(self, *, scope: str, by: str) -> None:
        """Ends a pause."""
        await self._desk().resume(scope=scope, by=by)

    async def restore(self, rule: str, *, target: str, by: str, reason: str) -> int:
        """Lifts what the breaker demoted of a rule."""
        return await self._desk().restore(rule, target=target, by=by, reason=reason)

    async def release(self, *, by: str, reason: str, patience: Patience) -> Sequence[str]:
        """Releases safe mode."""
        return await self._desk().release(by=by, reason=reason, patience=patience)

    async def undo(self, name: str, *, by: str, step: int | None) -> Sequence[UndoneView]:
        """Takes back what an incident or run left behind."""
        whole = await self._named(name)
        done = await self._desk().undo(whole, by=by, step=step)
        return [
            UndoneView(undo=one.undo, result=one.outcome.result.value, sentence=one.outcome.sentence) for one in done
        ]

    async def decide(self, name: str, *, decision: str, by: str, reason: str) -> None:
        """Ends the doubt about a parked run."""
        whole = await self._named(name)
        await self._desk().decide(whole, decision=decision, by=by, reason=reason)

    async def run(self, playbook: str, *, params: Mapping[str, str], by: str, reason: str) -> str:
        """Runs a playbook by hand; gives the incident's id."""
        return await self._desk().run(playbook, params=params, by=by, reason=reason)

    async def reload(self, *, by: str) -> ReloadView:
        """Loads the rules again: all or nothing."""
        self._desk()
        return await self._reload(by)

    def _desk(self) -> Desk:
        """The desk, as long as it is open: nothing may follow the last entry of a service that stops."""
        if self._engine.parts.stopping:
            raise RefusedRequest(503, "the service is stopping; try again when it is back")
        return self._engine.desk

    async def _named(self, name: str) -> str:
        """A run's id as it is; anything else as the whole id of an incident."""
        if name in self._engine.parts.journal.state.runs:
            return name
        return await self._whole(name)


def _incident(row: IncidentRow) -> IncidentView:
    return IncidentView(
        incident=row.incident,
        rule=row.rule,
        target=row.target,
        status=row.status,
        result=row.result,
        opened_at=row.opened_at,
        changed_at=row.changed_at,
        sentence=row.sentence,
        labels=dict(row.labels),
        dry=row.dry,
    )
