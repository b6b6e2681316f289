"""The kinds of journal entries: one class for each thing that can happen, in the past tense.

Fields are only ever added. `incident` and `run` are ids, times are unix seconds, `by` is a person, `reason` is for people.
"""

from __future__ import annotations

import msgspec

from remediator.core.alerts import AlertStatus
from remediator.core.outcomes import Observation, Outcome, UndoOutcome
from remediator.core.plans import Plan
from remediator.core.verdicts import Verdict


class Fact(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="kind"):
    """What an entry tells."""


# ── intake and planning ──────────────────────────────────────────────────────────────────────────────────────────────
class NotificationReceived(Fact, frozen=True, kw_only=True, tag="notification.received"):
    """A notification was accepted, byte for byte as JSON; nothing has been decided about it yet."""

    alerts: int
    body: msgspec.Raw
    peer: str = ""


class Disposal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was decided on one alert for one rule, with its reason; `rule` is empty where no rule was asked."""

    disposition: str
    reason: str = ""
    rule: str = ""
    incident: str = ""


class AlertRead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One alert of a notification with what became of it. `labels` only where the episode changes."""

    identity: str
    status: AlertStatus
    starts_at: float
    ends_at: float | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    fingerprint: str = ""
    disposals: tuple[Disposal, ...] = ()


class NotificationDisposed(Fact, frozen=True, kw_only=True, tag="notification.disposed"):
    """Every alert of one notification got its disposition (G2). `notification` is that entry's sequence number."""

    notification: int
    receiver: str = ""
    group_key: str = ""
    truncated: int = 0
    alerts: tuple[AlertRead, ...]


class EpisodeLapsed(Fact, frozen=True, kw_only=True, tag="episode.lapsed"):
    """Nothing was heard of a firing alert for so long that it no longer counts as firing; this proves nothing."""

    identity: str
    reason: str


class IncidentOpened(Fact, frozen=True, kw_only=True, tag="incident.opened"):
    """A rule goes to work on a target."""

    incident: str
    rule: str
    target: dict[str, str]
    episode: str
    labels: dict[str, str]
    severity: str = ""
    summary: str = ""
    by: str = ""  # a person, for a run by hand


class IncidentClosed(Fact, frozen=True, kw_only=True, tag="incident.closed"):
    """The last word on an incident: `recovered`, `reported`, `resolved`, `failed`, `simulated`, `cancelled`, `held`."""

    incident: str
    result: str
    reason: str


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
class RunPlanned(Fact, frozen=True, kw_only=True, tag="run.planned"):
    """A plan was made. Nothing has been touched."""

    incident: str
    run: str
    plan: Plan
    digest: str
    dry: bool
    mode: str


class RunDecided(Fact, frozen=True, kw_only=True, tag="run.decided"):
    """The guards were asked; all their verdicts. `answer` is the strictest (`allow`, `ask`, `defer`, `deny`)."""

    incident: str
    run: str
    answer: str
    verdicts: tuple[Verdict, ...]
    until: float | None = None


class ApprovalRequested(Fact, frozen=True, kw_only=True, tag="approval.requested"):
    """A person is asked to say yes to exactly this plan."""

    incident: str
    run: str
    digest: str
    expires: float


class ApprovalGiven(Fact, frozen=True, kw_only=True, tag="approval.given"):
    """A named person said yes to the plan with this digest. The guards are asked again."""

    incident: str
    run: str
    digest: str
    by: str
    reason: str = ""


class ApprovalRefused(Fact, frozen=True, kw_only=True, tag="approval.refused"):
    """A named person said no."""

    incident: str
    run: str
    by: str
    reason: str = ""


class ApprovalExpired(Fact, frozen=True, kw_only=True, tag="approval.expired"):
    """Nobody answered in time, which is a no."""

    incident: str
    run: str


class RunStarted(Fact, frozen=True, kw_only=True, tag="run.started"):
    """All guards allowed it; locks and budget are taken by this entry. `deadline` ends the run whatever happens."""

    incident: str
    run: str
    rule: str
    target: str
    locks: tuple[str, ...]
    deadline: float
    dry: bool


class StepIntent(Fact, frozen=True, kw_only=True, tag="step.intent"):
    """An attempt is about to be made; durable before its first byte leaves (G8).

    `key` is what a `keyed` target stores. `issue_by` is the last moment at which it may leave. `undo_at` is when its
    effect is taken back, recorded before the effect exists (G10). Who ordered a repeated attempt is in `by`.
    """

    incident: str
    run: str
    step: int
    attempt: int
    action: str
    key: str
    issue_by: float
    timeout: float
    undo_at: float | None = None
    dry: bool = False
    by: str = ""


class StepOutcome(Fact, frozen=True, kw_only=True, tag="step.outcome"):
    """What came of an attempt. `simulated` marks a dry run's step: nothing left this process."""

    incident: str
    run: str
    step: int
    attempt: int
    outcome: Outcome
    seconds: float = 0.0
    simulated: bool = False
    reconciled: bool = False  # told by the target's own record, not by the attempt


class VerifyStarted(Fact, frozen=True, kw_only=True, tag="verify.started"):
    """From here on only samples newer than `after` count."""

    incident: str
    run: str
    after: float


class VerifyLooked(Fact, frozen=True, kw_only=True, tag="verify.looked"):
    """A look whose answer differs from the one before; equal looks are not repeated in the journal."""

    incident: str
    run: str
    check: int
    observation: Observation


class VerifyConcluded(Fact, frozen=True, kw_only=True, tag="verify.concluded"):
    """`recovered`, `not_recovered` or `unknown` (could not tell), with the sentence that says what was seen."""

    incident: str
    run: str
    verdict: str
    sentence: str
    simulated: bool = False


class RollbackStarted(Fact, frozen=True, kw_only=True, tag="run.rollback_started"):
    """The effects of this run are taken back, newest first."""

    incident: str
    run: str
    reason: str


class RunParked(Fact, frozen=True, kw_only=True, tag="run.parked"):
    """The run needs a person: an effect may or may not have happened. Locks are kept, or let go as its author said."""

    incident: str
    run: str
    reason: str


class RunReminded(Fact, frozen=True, kw_only=True, tag="run.reminded"):
    """People are called again for a parked run: call `number` after the first. It changes nothing else."""

    incident: str
    run: str
    number: int
    reason: str


class PersonDecided(Fact, frozen=True, kw_only=True, tag="person.decided"):
    """A named person decided on a parked run: `mark_done`, `continue`, `rollback` or `abort`."""

    incident: str
    run: str
    decision: str
    by: str
    reason: str


class RunEnded(Fact, frozen=True, kw_only=True, tag="run.ended"):
    """A run's last word; its locks are free.

    `result` is one of `succeeded`, `failed`, `denied`, `cancelled`, `expired`, `rolled_back`, `unverified`,
    `closed_by_person`, `simulated`.
    """

    incident: str
    run: str
    result: str
    reason: str


class LateEvidence(Fact, frozen=True, kw_only=True, tag="late.evidence"):
    """An outcome that arrived after a final one; it changes nothing and is kept."""

    incident: str
    run: str
    step: int
    attempt: int
    outcome: Outcome


# ── undo ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
class UndoIntent(Fact, frozen=True, kw_only=True, tag="undo.intent"):
    """An effect is about to be taken back. `cause` is `expiry`, `rollback` or `person`."""

    incident: str
    run: str
    step: int
    attempt: int
    cause: str
    by: str = ""


class UndoConcluded(Fact, frozen=True, kw_only=True, tag="undo.outcome"):
    """What came of it. `next_at` is when it is tried again, where it has to be."""

    incident: str
    run: str
    step: int
    attempt: int
    outcome: UndoOutcome
    next_at: float | None = None


# ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────────
class PauseSet(Fact, frozen=True, kw_only=True, tag="pause.set"):
    """A person's stop. `scope` is `all` or `rule:NAME`; `until` None lasts until somebody resumes."""

    scope: str
    reason: str
    by: str
    until: float | None = None


class PauseCleared(Fact, frozen=True, kw_only=True, tag="pause.cleared"):
    """A pause ended, by a person or by its own end (`by` is then `clock`)."""

    scope: str
    by: str


class Escalated(Fact, frozen=True, kw_only=True, tag="incident.escalated"):
    """People are needed: the ladder is exhausted, nobody could tell, or a guard says that this is bigger than one target."""

    incident: str
    reason: str
    run: str = ""
    about: str = ""  # what is escalated once and not for every run: `storm`, `budget`, `blast_radius:RULE`


class Quarantined(Fact, frozen=True, kw_only=True, tag="quarantined"):
    """Something that could not be worked on was put aside after its tries, so that the rest goes on (G13)."""

    what: str
    reason: str
    incident: str = ""
    run: str = ""
    notification: int = 0
