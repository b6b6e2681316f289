"""What people and their tools are shown: entries and state as plain values, ready for JSON, page and terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from remediator.core import entries as e
from remediator.core.plans import Plan, target_text
from remediator.core.state import RunStatus, State
from remediator.core.telling import tell
from remediator.core.verdicts import Verdict


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a timeline."""

    seq: int
    at: float
    kind: str
    word: str
    sentence: str
    incident: str = ""
    run: str = ""
    verdicts: tuple[Verdict, ...] = ()
    fact: dict[str, object] = {}


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is under way."""

    run: str
    incident: str
    rule: str
    target: str
    status: str
    sentence: str
    dry: bool
    digest: str
    plan: Plan
    planned_at: float
    deadline: float | None = None
    until: float | None = None


class UndoView(msgspec.Struct, frozen=True, kw_only=True):
    """A lasting effect that will be taken back."""

    undo: str
    incident: str
    action: str
    arguments: dict[str, object]
    due_at: float
    next_at: float
    tries: int
    overdue: bool


class PauseView(msgspec.Struct, frozen=True, kw_only=True):
    """A person's stop."""

    scope: str
    reason: str
    by: str
    at: float
    until: float | None = None


class DemotionView(msgspec.Struct, frozen=True, kw_only=True):
    """What the breaker took from a rule; `target` empty: everywhere. From `tries_at` on one run may try."""

    rule: str
    target: str
    mode: str
    reason: str
    since: float
    tries_at: float


class RestoredView(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that was given back what the breaker took from it, in so many places."""

    restored: str
    demotions: int


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """The 3 a.m. screen: mode, pauses, what needs a person, what runs, what is held back, what will be undone."""

    version: str
    mode: str
    rules: int
    rules_digest: str
    head: str
    entries: int
    now: float
    last_notification_at: float | None
    pending: int
    received: int
    disposed: int
    pauses: tuple[PauseView, ...]
    needs_you: tuple[RunView, ...]
    running: tuple[RunView, ...]
    held_back: tuple[RunView, ...]
    undos: tuple[UndoView, ...]
    problems: tuple[str, ...] = ()
    demoted: tuple[DemotionView, ...] = ()


class IncidentView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the action log."""

    incident: str
    rule: str
    target: str
    status: str
    result: str
    opened_at: float
    changed_at: float
    sentence: str
    labels: dict[str, str]
    dry: bool


class StoryView(msgspec.Struct, frozen=True, kw_only=True):
    """One incident, from the first episode to the last word."""

    incident: IncidentView
    lines: tuple[LineView, ...]
    plans: tuple[Plan, ...]
    undos: tuple[UndoView, ...]


def line_of(entry: e.Entry) -> LineView:
    """The entry as one line of a timeline; a notification's body is left to `log show --raw`."""
    word, sentence = tell(entry.fact)
    verdicts = entry.fact.verdicts if isinstance(entry.fact, e.RunDecided) else ()
    return LineView(
        seq=entry.seq,
        at=entry.at,
        kind=entry.kind,
        word=word,
        sentence=sentence,
        incident=getattr(entry.fact, "incident", ""),
        run=getattr(entry.fact, "run", ""),
        verdicts=verdicts,
        fact=fact_of(entry.fact),
    )


def fact_of(fact: e.AnyFact) -> dict[str, object]:
    """The fact as plain JSON values."""
    if isinstance(fact, e.NotificationReceived):
        return {"kind": e.kind_of(fact), "alerts": fact.alerts, "peer": fact.peer, "bytes": len(bytes(fact.body))}
    plain: dict[str, object] = msgspec.to_builtins(fact)
    return plain


def runs_of(state: State) -> list[RunView]:
    """All runs under way, oldest first."""
    return [
        RunView(
            run=run.id,
            incident=run.incident,
            rule=run.plan.rule,
            target=target_text(run.plan.target),
            status=run.status.value,
            sentence=run.reason,
            dry=run.dry,
            digest=run.digest,
            plan=run.plan,
            planned_at=run.planned.at,
            deadline=run.deadline,
            until=run.approval_expires if run.status is RunStatus.AWAITING_APPROVAL else run.not_before,
        )
        for run in state.active_runs
    ]


def undos_of(state: State, now: float, incident: str = "") -> tuple[UndoView, ...]:
    """What will be taken back, the next one first; of one incident, if it is named."""
    mine = [undo for undo in state.undos.values() if not incident or undo.incident == incident]
    return tuple(
        UndoView(
            undo=undo.id,
            incident=undo.incident,
            action=undo.action,
            arguments=dict(undo.arguments),
            due_at=undo.due_at,
            next_at=undo.at,
            tries=undo.tries,
            overdue=undo.due_at + 60.0 < now,
        )
        for undo in sorted(mine, key=lambda undo: (undo.at, undo.id))
    )


def demotions_of(state: State) -> tuple[DemotionView, ...]:
    """What the breaker took, by rule and target."""
    return tuple(
        DemotionView(
            rule=rule,
            target=track.target,
            mode=track.demoted,
            reason=track.reason,
            since=track.since.at,
            tries_at=track.since.at + track.pause,
        )
        for rule in sorted(state.tracks)
        for track in sorted(state.tracks[rule], key=lambda one: one.target)
        if track.demoted and track.since is not None
    )


_NEEDS = frozenset({RunStatus.AWAITING_APPROVAL.value, RunStatus.NEEDS_PERSON.value})
_WAITS = frozenset({RunStatus.PLANNED.value, RunStatus.DEFERRED.value})


def status_of(state: State, now: float, told: Mapping[str, object], problems: Sequence[str]) -> StatusView:
    """The status of the service; `told` brings version, mode, rules, head and last_notification_at."""
    runs = runs_of(state)
    return StatusView(
        version=str(told["version"]),
        mode=str(told["mode"]),
        rules=int(str(told["rules"])),
        rules_digest=state.rules_digest,
        head=str(told["head"]),
        entries=state.seq,
        now=now,
        last_notification_at=_maybe(told.get("last_notification_at")),
        pending=len(state.pending),
        received=state.tally.received,
        disposed=state.tally.disposed,
        pauses=tuple(
            PauseView(scope=pause.scope, reason=pause.reason, by=pause.by, at=pause.at, until=pause.until)
            for pause in sorted(state.pauses.values(), key=lambda one: one.scope)
        ),
        needs_you=tuple(run for run in runs if run.status in _NEEDS),
        running=tuple(run for run in runs if run.status not in _NEEDS and run.status not in _WAITS),
        held_back=tuple(run for run in runs if run.status in _WAITS),
        undos=undos_of(state, now),
        problems=tuple(problems),
        demoted=demotions_of(state),
    )


def _maybe(value: object) -> float | None:
    return value if isinstance(value, float) else None


class MatchView(msgspec.Struct, frozen=True, kw_only=True):
    """One matcher of a rule against an alert."""

    matcher: str
    ok: bool
    got: str


class ExplanationView(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule says to one alert, and why: `would` is `run`, `ask`, `hold`, `refuse`, `join` or `no_match`."""

    rule: str
    source: str
    would: str
    sentence: str
    matches: tuple[MatchView, ...]
    target: dict[str, str] = {}
    mode: str = ""
    verdicts: tuple[Verdict, ...] = ()
    plan: Plan | None = None
    digest: str = ""
    nearest_miss: bool = False
    schedule: str = ""  # of a rule that no alert starts: when it does


class RuleView(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded rule, as people list it."""

    rule: str
    summary: str
    mode: str
    match: tuple[str, ...]
    group_by: tuple[str, ...]
    playbooks: tuple[str, ...]
    runbook_url: str
    source: str
    schedule: str = ""
    next_at: float | None = None


class UndoneView(msgspec.Struct, frozen=True, kw_only=True):
    """What an undo by hand came to, for one effect."""

    undo: str
    result: str
    sentence: str


class ReloadView(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a reload: the rules in force, and why new ones were refused."""

    ok: bool
    rules: int
    digest: str
    problems: tuple[str, ...] = ()
