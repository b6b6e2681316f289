"""The Protocols between the rooms: what the engine needs of clocks, stores, actions, probes and receivers.

Protocols and small values only. Plug-ins implement these, the engine calls them, the composition root brings the two
together. All times are unix seconds by the wall clock unless a name says `mono`; all durations are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

from remediator.core.chain import Head, Mark
from remediator.core.entries import Record
from remediator.core.holds import Patience
from remediator.core.outcomes import EffectClass, Found, Observation, Outcome, UndoOutcome
from remediator.core.params import Json, Param
from remediator.core.views import (
    ExplanationView,
    IncidentView,
    LineView,
    ReloadView,
    RuleView,
    StatusView,
    StoryView,
    UndoneView,
)
from remediator.people import Checkable, Message, Receiver

__all__ = ["Checkable", "Message", "Receiver"]  # they belong to the ports, too


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
class Clock(Protocol):
    """The only way to know the time or to wait."""

    def now(self) -> float:
        """Wall clock, unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards within one boot of the process."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits; cancellable."""
        ...


# ── the store ────────────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """What opening found. `grade` is `strict` or `relaxed`; warnings are sentences for people.

    `alone` says that no other process can be at work on this journal as long as it is open (a file lock, not a trust).
    """

    store_id: str
    grade: str
    head: Head
    warnings: tuple[str, ...] = ()
    alone: bool = True
    start: Head = Head()


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRow:
    """One line of the action log, derived from the journal and written in the same transaction as its entries."""

    incident: str
    rule: str
    target: str
    status: str
    result: str
    opened_at: float
    changed_at: float
    sentence: str
    labels: Mapping[str, str]
    dry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentFilter:
    """Which lines to list: newest first. Empty texts do not filter; `labels` must all be equal."""

    since: float = 0.0
    incident: str = ""
    rule: str = ""
    status: str = ""
    result: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    before: tuple[float, str] | None = None  # the cursor: (opened_at, incident) of the last line seen
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A folded state at `head`; can always be dropped and rebuilt."""

    head: Head
    state: bytes


class Store(Protocol):
    """An ordered list with compare-and-append; nothing else has to be atomic (reliability.md §4.1).

    `append` raises Conflict, NotCommitted, AppendUnknown or StoreFull; on return the records are durable.
    """

    async def open(self) -> StoreInfo:
        """Checks settings and refuses unsafe ones (StoreRefused); takes whatever makes this the only writer."""
        ...

    async def close(self) -> None:
        """Releases everything; safe to call twice."""
        ...

    async def read(self, after: int, limit: int = 1000) -> Sequence[Record]:
        """The records that follow `after`, contiguous, at most `limit`, never an uncommitted one."""
        ...

    async def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow] = ()) -> Head:
        """Appends all or nothing if the journal still ends at `expect`; `rows` are upserted in the same transaction."""
        ...

    async def find(self, *, incident: str = "", kind: str = "", limit: int = 1000) -> Sequence[Record]:
        """The records of one incident (by its whole id), or of one kind, oldest first."""
        ...

    async def resolve(self, prefix: str) -> Sequence[str]:
        """The ids of incidents that begin with `prefix`, at most 10."""
        ...

    async def incidents(self, wanted: IncidentFilter) -> Sequence[IncidentRow]:
        """Lines of the action log, newest first."""
        ...

    async def heartbeat(self, holder: str, ttl: float) -> None:
        """Says that `holder` is there; forgotten `ttl` s later. A hint that no safety depends on; raises StoreError."""
        ...

    async def alive(self) -> Mapping[str, float]:
        """Who is there, with the age (s) of the last word of each, by one clock for all."""
        ...

    async def wait(self, after: int) -> None:
        """Returns once the journal is longer than `after`: a hint, which may come early or, from some stores, never."""
        ...

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keeps the two newest."""
        ...

    async def load_snapshot(self) -> Snapshot | None:
        """The newest that is whole."""
        ...

    async def start(self) -> Head:
        """The entry after which the journal begins: the last one that was pruned."""
        ...

    async def size(self) -> int:
        """Bytes that are in use."""
        ...

    async def prune(self, start: Head) -> None:
        """Deletes the entries up to and with `start`, their claims, and the lines of incidents without any entry left;
        NotCommitted unless a snapshot lies above it and a later entry `journal.pruned` names it."""
        ...


class HighWater(Protocol):
    """Keeps a Mark outside the store, where nothing that befalls the store befalls it too (G16)."""

    async def load(self) -> Mark | None:
        """The mark; None if there never was one. StoreError if there is one that cannot be read."""

    async def save(self, mark: Mark) -> None:
        """Replaces the mark, durably; StoreError if that failed."""


class Archive(Protocol):
    """Where entries go before they are pruned."""

    async def keep(self, start: Head, records: Sequence[Record]) -> str:
        """Writes the records that follow `start`, durable on return, and names the file; StoreError if it could not."""
        ...


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What an action is called with. `arguments` have the types its `params` declare.

    `key` names run and step at the target (`inc-7f3kq2m8.1/0`); it is the same for every attempt of a step.
    `expires_at` is when a temporary effect should end; it is set at the target too where the target can. `issued_at` is
    when the attempt was announced, by our clock (unix s); `reconcile` is asked about the attempt of that moment.
    `timeout` bounds the whole call.
    """

    arguments: Mapping[str, Json]
    key: str
    timeout: float
    now: float
    incident: str = ""
    expires_at: float | None = None
    issued_at: float | None = None


class Action(Protocol):
    """A plug-in that changes the world (or, with effect class `read`, one that reports on it).

    `kind` is the word in YAML. `lasting` says whether it leaves something that `undo` can take back.
    An exception out of `perform` is taken as an unknown outcome; out of `undo` as unknown too.
    """

    kind: ClassVar[str]
    effect: ClassVar[EffectClass]
    lasting: ClassVar[bool]
    params: ClassVar[Mapping[str, Param]]
    summary: ClassVar[str]

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Why these arguments must be refused (shape rules such as "at least one selector"); empty if they may pass."""
        ...

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """What would be done, as one imperative sentence without a full stop."""
        ...

    async def perform(self, call: Call) -> Outcome:
        """Does it, once."""
        ...

    async def reconcile(self, call: Call) -> Found:
        """Asks the target whether an earlier attempt with this key took effect."""
        ...

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        """Takes it back, after comparing: only what is still ours is touched."""
        ...


# ── probes ───────────────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True, kw_only=True)
class LookCall:
    """What a probe is called with; only what happened after `newer_than` (unix s) may count as good."""

    arguments: Mapping[str, Json]
    newer_than: float
    now: float
    timeout: float = 10.0


class Probe(Protocol):
    """A plug-in that only looks. An exception out of `look` is taken as "could not tell"."""

    kind: ClassVar[str]
    params: ClassVar[Mapping[str, Param]]
    summary: ClassVar[str]

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """What must hold, as one phrase."""
        ...

    async def look(self, call: LookCall) -> Observation:
        """Looks once."""
        ...


class Oracle(Protocol):
    """Asks Prometheus whether a condition holds; three-valued, with the value seen."""

    async def holds(self, expr: str, *, hold: float, now: float) -> Observation:
        """GOOD if `expr` is non-empty now and was for all of the last `hold` seconds; UNKNOWN for anything that is not
        one plain answer: an error, a warning, no data, NaN, several series, an old sample."""
        ...


class AlertSource(Protocol):
    """Asks Alertmanager what it says now of an alert: still firing, silenced, gone."""

    async def state(self, labels: Mapping[str, str]) -> Observation:
        """GOOD if it is active there, BAD if it is silenced or inhibited (with by what), UNKNOWN if it is not listed or
        nobody answers: an empty list is no proof of anything (alertmanager.md §2.6)."""
        ...


# ── what the composition root hands to the engine ────────────────────────────────────────────────────────────────────
@runtime_checkable
class Catalogue(Protocol):
    """The plug-ins in force, by kind."""

    @property
    def actions(self) -> Mapping[str, Action]:
        """All actions by kind."""

    @property
    def probes(self) -> Mapping[str, Probe]:
        """All probes by kind."""


# ── what the web floor needs of the engine ───────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A notification that is durable: its place in the journal and how many alerts it carries."""

    entry: int
    alerts: int


class Surface(Protocol):
    """Everything that can be asked of a running service; what the web floor serves and nothing more.

    Requests of people raise RefusedRequest with a sentence; a store that cannot commit raises StoreError.
    `name` is the id of an incident or a run, or a prefix of an incident's id that fits only one.
    """

    async def accept(self, body: bytes, peer: str) -> Accepted:
        """Accepts a notification, once it is durable; RefusedNotification for what is wrong for ever."""

    def ready(self) -> tuple[str, ...]:
        """Why the service is not ready (rules not loaded, journal not writable); empty when it is."""

    def status(self) -> StatusView:
        """The 3 a.m. screen."""

    def rules(self) -> Sequence[RuleView]:
        """The rules in force."""

    async def incidents(self, wanted: IncidentFilter) -> Sequence[IncidentView]:
        """Lines of the action log, newest first."""

    async def story(self, name: str) -> StoryView:
        """One incident, line by line."""

    async def lines(self, after: int, limit: int) -> Sequence[LineView]:
        """The journal after entry `after`, as lines."""

    async def changed(self, after: int, seconds: float) -> int:
        """The head's sequence number, as soon as it is beyond `after` or after `seconds`."""

    async def explain(self, labels: Mapping[str, str], rule: str = "") -> Sequence[ExplanationView]:
        """What every rule (or `rule`, which may come due by a schedule) would say now, the matching ones first."""

    async def approve(self, name: str, *, digest: str, by: str, reason: str) -> None:
        """Says yes to exactly that plan."""

    async def reject(self, name: str, *, by: str, reason: str) -> None:
        """Says no."""

    async def pause(self, *, scope: str, reason: str, by: str, seconds: float | None) -> None:
        """Stops new effects."""

    async def resume(self, *, scope: str, by: str) -> None:
        """Ends a pause."""

    async def restore(self, rule: str, *, target: str, by: str, reason: str) -> int:
        """Lifts what the breaker demoted of a rule (on one target, if it is named); gives how many demotions."""

    async def release(self, *, by: str, reason: str, patience: Patience) -> Sequence[str]:
        """Releases safe mode; the names of what stood."""

    async def undo(self, name: str, *, by: str, step: int | None) -> Sequence[UndoneView]:
        """Takes back what an incident or run left behind."""

    async def decide(self, name: str, *, decision: str, by: str, reason: str) -> None:
        """Ends the doubt about a parked run."""

    async def run(self, playbook: str, *, params: Mapping[str, str], by: str, reason: str) -> str:
        """Runs a playbook by hand; gives the incident's id."""

    async def reload(self, *, by: str) -> ReloadView:
        """Loads the rules again: all or nothing."""

    def metrics(self) -> bytes:
        """The exposition text of /metrics."""
