"""What is: the state that folding the journal gives. Frozen records in persistent maps, so a state is a value.

A failed append keeps the old state simply by not taking the new one; two states can be compared; a snapshot is their
encoding. Only what is still open is kept: closed incidents live in the journal and in the store's projection.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import immutables
import msgspec

from remediator.core import moments
from remediator.core.entries import NotificationReceived, StepIntent
from remediator.core.outcomes import EffectClass, Outcome, Result
from remediator.core.plans import Plan, target_text

Map = immutables.Map
Moment = moments.Moment


class EpisodeStatus(StrEnum):
    """Whether the alert of an episode still fires, as far as was heard."""

    OPEN = "open"
    RESOLVED = "resolved"
    LAPSED = "lapsed"


class Episode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One unbroken firing of one alert; `number` counts the firings of the same alert.

    Copies can disagree about the start: `starts_at` is the earliest that was heard, `latest_start` the latest.
    """

    identity: str
    number: int
    status: EpisodeStatus
    starts_at: float
    ends_at: float | None = None
    latest_start: float
    last_heard: float
    labels: dict[str, str]
    fingerprint: str = ""

    @property
    def id(self) -> str:
        """Unique over time: the alert's identity and which firing of it."""
        return f"{self.identity}.{self.number}"


class Incident(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule at work on a target. `episodes` are the identities of its alerts; `closed` with its result at the end.

    `did` has a line for each step of the runs that have ended. `told` are the receivers that were told of it, each with
    what it gave back for its first message.
    """

    id: str
    rule: str
    target: dict[str, str]
    labels: dict[str, str]
    severity: str = ""
    summary: str = ""
    episodes: tuple[str, ...]
    runs: tuple[str, ...] = ()
    opened: Moment
    changed_at: float
    resolved_at: float | None = None
    closed: bool = False
    result: str = ""
    sentence: str = ""
    dry: bool = False
    by: str = ""
    status: str = "planned"
    place: int = 0  # the entry that opened it: what is older may be pruned
    did: tuple[str, ...] = ()
    told: dict[str, dict[str, object]] = {}

    @property
    def target_text(self) -> str:
        """The target as people read it."""
        return target_text(self.target)


class RunStatus(StrEnum):
    """Where a run is; the last nine are final."""

    PLANNED = "planned"
    DEFERRED = "deferred"
    AWAITING_APPROVAL = "awaiting_approval"
    RUNNING = "running"
    VERIFYING = "verifying"
    ROLLING_BACK = "rolling_back"
    NEEDS_PERSON = "needs_person"
    SUCCEEDED = "succeeded"
    UNVERIFIED = "unverified"
    FAILED = "failed"
    DENIED = "denied"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    ROLLED_BACK = "rolled_back"
    CLOSED_BY_PERSON = "closed_by_person"
    SIMULATED = "simulated"

    @property
    def final(self) -> bool:
        """Whether nothing more can happen to a run with this status."""
        return self not in WAITING and self not in WORKING and self is not RunStatus.NEEDS_PERSON


WAITING = frozenset({RunStatus.PLANNED, RunStatus.DEFERRED, RunStatus.AWAITING_APPROVAL})
WORKING = frozenset({RunStatus.RUNNING, RunStatus.VERIFYING, RunStatus.ROLLING_BACK})
SAFE_MODE, CLOCK = "safe_mode", "clock"  # the holds after lost history, and after a step of a clock


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The execution of one plan, as far as it got.

    `step` and `attempt` are the last ones issued (-1, 0 before the first). `intent` is an attempt whose outcome is not
    yet known. `outcome` is the last final one. `doubt` is set while an effect of this step may or may not have happened;
    `earlier_doubt` says that it is an attempt before the last one that is in doubt. `issued_at` is when the last attempt
    was announced, `expires_at` when its effect ends. `reminded` counts the calls that followed the one at `parked_at`.
    """

    id: str
    incident: str
    plan: Plan
    digest: str
    dry: bool
    mode: str
    status: RunStatus = RunStatus.PLANNED
    planned: Moment
    place: int = 0  # in the order in which runs were planned
    decided: tuple[str, ...] = ()
    not_before: float | None = None
    approval_expires: float | None = None
    approved_by: str = ""
    started: Moment | None = None
    deadline: float | None = None
    step: int = -1
    attempt: int = 0
    intent: StepIntent | None = None
    outcome: Outcome | None = None
    outcome_at: float = 0.0
    issued_at: float | None = None
    expires_at: float | None = None
    doubt: bool = False
    earlier_doubt: bool = False
    results: tuple[Result | None, ...] = ()
    verify_after: float | None = None
    verify_started: float | None = None
    verdict: str = ""
    ordered: str = ""  # a person's order to try the step in doubt once more: their name
    holder: str = ""  # the boot of the process that may go on with it (`leases.py`)
    issuer: str = ""  # the boot of the process that announced the last attempt
    undo_tries: tuple[int, ...] = ()  # how often each step was tried to be taken back; an attempt's name is used once
    parked_at: float | None = None
    reminded: int = 0
    reason: str = ""


class Undo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A lasting effect that will be taken back: when, what the action needs for it, and how often it was tried.

    `since` is the moment at which that time was set, by both clocks; `failing_since` (unix s) when taking it back first
    failed.
    """

    run: str
    incident: str
    step: int
    action: str
    arguments: dict[str, Any]  # JSON values; msgspec has no recursive types
    key: str
    due_at: float
    receipt: dict[str, object] = {}
    certain: bool = False  # whether the effect is known to have happened
    tries: int = 0
    next_at: float | None = None
    cause: str = ""
    since: Moment | None = None
    failing_since: float | None = None
    place: int = 0  # the entry that opened its incident
    holder: str = ""
    at_work: str = ""  # the boot of the process that announced a try and has not told what came of it
    rule: str = ""
    target: str = ""
    where: dict[str, str] = {}  # the target, label by label
    does: str = ""
    effect: EffectClass = EffectClass.ONCE
    kept_in: str = ""  # the place in whose memory, and nowhere else, the effect lives
    replaces: str = ""  # the undo of the same effect, from before it was forgotten and made again

    @property
    def id(self) -> str:
        """Names the effect: run and step."""
        return f"{self.run}/{self.step}"

    @property
    def at(self) -> float:
        """When it is to be tried (again)."""
        return self.next_at if self.next_at is not None else self.due_at

    def left(self, now: Moment) -> float:
        """Seconds until then, by the clock that has moved more: a wall clock that was set back makes nothing last."""
        by_wall = self.at - now.at
        return by_wall if self.since is None else min(by_wall, self.at - self.since.at - now.ran(self.since))


class Grant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A live run took its place in the limiters; never given back by failure, recovery or reload (G5)."""

    rule: str
    target: str
    run: str
    incident: str
    taken: Moment
    ended: Moment | None = None
    place: int = 0  # the entry that opened its incident
    where: dict[str, str] = {}  # the target, label by label
    began: int = 0  # the entries that began and ended it
    over: int = 0
    helped: bool | None = None  # whether it was seen to help; None where nobody looked


class Track(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a rule has fared lately on one target, or (`target` empty) on all: what the breaker counts.

    `bad` runs in a row did not help, on `targets`. `last` is the run that was counted last; `may_relapse` says that it
    helped, or that nobody verified it, so that it counts as bad if the alert comes back; `earlier` and `lifted` are then
    what `bad` and `demoted` were before it. `demoted` is the most that the rule may do since `since`, empty if it may all.
    """

    target: str = ""
    bad: int = 0
    targets: tuple[str, ...] = ()
    last: str = ""
    ended: Moment
    may_relapse: bool = False
    earlier: int = 0
    lifted: str = ""
    demoted: str = ""
    since: Moment | None = None
    pause: float = 0.0
    reason: str = ""


class Matches(msgspec.Struct, frozen=True, kw_only=True):
    """So many alerts began to fire, as far as rules match them, in one notification."""

    at: Moment
    episodes: int


class Storm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The last storm of alerts; its rest begins when it has ended."""

    began: Moment
    ended: Moment | None = None


class Scheduled(msgspec.Struct, frozen=True, kw_only=True):
    """A rule's schedule as it is awaited (`text`); occurrences up to `last` (unix s) are decided, or count for nothing."""

    text: str
    last: float


class Caution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Care that is due since a first start, an outage or a long pause; `used` counts the live runs that began since."""

    since: Moment
    reason: str
    used: int = 0


class Hold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why nothing begins, since when, and for how long at least (s)."""

    reason: str
    since: Moment
    lasts: float
    released_by: str = ""

    def left(self, now: Moment) -> float:
        """Seconds until it may end, by the clock that has moved least."""
        return self.lasts - now.since(self.since)


class Pause(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person's stop. `since` is the moment at which it was set, by both clocks."""

    scope: str
    reason: str
    by: str
    at: float
    until: float | None = None
    since: Moment | None = None

    def left(self, now: Moment) -> float:
        """Seconds until it ends, by the clock that has moved less: a wall clock that was stepped ends no stop early."""
        since = self.since or Moment(self.at, now.mono, "")
        return (math.inf if self.until is None else self.until) - since.at - now.since(since)


class Outgoing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message that people have not got yet; the rest as in `MessageIntent`."""

    message: str
    receiver: str
    incident: str
    subject: str
    text: str
    attempt: int
    next_at: float
    holder: str = ""
    severity: str = ""
    call: str = ""
    link: str = ""
    target: dict[str, str] = {}
    since: float | None = None
    thread: dict[str, object] = {}
    told: tuple[str, ...] = ()


class Pending(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A notification that nothing has been decided about; `at` is when it came."""

    seq: int
    at: float
    fact: NotificationReceived
    holder: str = ""


class Tally(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The equation of G2: received = disposed + pending, at every position."""

    received: int = 0
    disposed: int = 0
    notifications: int = 0


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is still open, and what the limiters have to remember."""

    seq: int = 0
    store_id: str = ""
    epoch: int = 0  # how often work was taken over from a holder that was gone
    rules_digest: str = ""
    longest_window: float = 86400.0
    tally: Tally = Tally()
    pending: Map[int, Pending] = Map()
    episodes: Map[str, Episode] = Map()
    incidents: Map[str, Incident] = Map()
    open_by_key: Map[tuple[str, str], str] = Map()
    runs: Map[str, Run] = Map()
    grants: Map[str, tuple[Grant, ...]] = Map()
    locks: Map[str, str] = Map()
    undos: Map[str, Undo] = Map()
    pauses: Map[str, Pause] = Map()
    outbox: Map[str, Outgoing] = Map()
    escalated: Map[str, float] = Map()
    incident_by_episode: Map[str, tuple[str, ...]] = Map()
    firings: int = 0  # the highest number of a firing that was forgotten: no later one may have its name again
    forgotten_until: float = 0.0  # the latest end of a firing that was forgotten (unix s)
    pruned_seq: int = 0
    pruned_mac: str = ""  # of entry `pruned_seq`, in hex
    last: Moment | None = None  # of the last entry
    silence: float = 0.0  # s without an entry before the first one of the process that wrote the last one
    served: bool = False  # whether a service was ever started on this journal
    deaf_until: float = 0.0  # the end of the last outage after which care was due (unix s)
    matched: tuple[Matches, ...] = ()
    storm: Storm | None = None
    cautions: Map[str, Caution] = Map()
    tracks: Map[str, tuple[Track, ...]] = Map()  # by rule
    schedules: Map[str, Scheduled] = Map()  # by rule
    marked: bool = False  # whether a high-water mark was kept outside the store
    holds: Map[str, Hold] = Map()
    pulses: Map[str, Moment] = Map()  # the last entry by each clock that tells the time of this journal, `last`'s apart

    @property
    def active_runs(self) -> tuple[Run, ...]:
        """Runs that are not final, in the order in which they were planned."""
        return tuple(sorted(self.runs.values(), key=lambda run: run.place))

    def pause_for(self, rule: str) -> Pause | None:
        """The pause that holds this rule back, the general one first."""
        return self.pauses.get("all") or self.pauses.get(f"rule:{rule}")
