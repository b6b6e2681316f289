"""Journal entries: an envelope (`Entry`: sequence number, id, time, who) around one *fact* (`kinds.py`), and their bytes.

The journal is the only truth. The kind of a fact is also the word in log, metric and console.
"""

from __future__ import annotations

import msgspec

from remediator.core.kinds import (
    AlertRead,
    ApprovalExpired,
    ApprovalGiven,
    ApprovalRefused,
    ApprovalRequested,
    Disposal,
    EpisodeLapsed,
    Escalated,
    Fact,
    IncidentClosed,
    IncidentOpened,
    LateEvidence,
    NotificationDisposed,
    NotificationReceived,
    PauseCleared,
    PauseSet,
    PersonDecided,
    Quarantined,
    RollbackStarted,
    RunDecided,
    RunEnded,
    RunParked,
    RunPlanned,
    RunReminded,
    RunStarted,
    StepIntent,
    StepOutcome,
    UndoConcluded,
    UndoIntent,
    VerifyConcluded,
    VerifyLooked,
    VerifyStarted,
)
from remediator.core.kinds_effects import EffectLost
from remediator.core.kinds_fleet import CautionBegan, StormBegan, StormEnded
from remediator.core.kinds_holds import ClockAnomaly, ClockReleased, SafeModeEntered, SafeModeReleased
from remediator.core.kinds_keeping import JournalPruned, StateSwept
from remediator.core.kinds_messages import MessageIntent, MessageOutcome
from remediator.core.kinds_rules import RuleDemoted, RuleRestored, RunRelapsed
from remediator.core.kinds_schedules import ScheduleDue, ScheduleSet
from remediator.core.kinds_service import (
    ConfigLoaded,
    ConfigRefused,
    JournalOpened,
    LeaseTaken,
    ServiceStarted,
    ServiceStopped,
)

AnyFact = (
    JournalOpened | ServiceStarted | ServiceStopped | LeaseTaken | ConfigLoaded | ConfigRefused
    | NotificationReceived | NotificationDisposed | EpisodeLapsed | IncidentOpened | IncidentClosed
    | RunPlanned | RunDecided | ApprovalRequested | ApprovalGiven | ApprovalRefused | ApprovalExpired | RunStarted
    | StepIntent | StepOutcome | VerifyStarted | VerifyLooked | VerifyConcluded | RollbackStarted | RunParked | RunReminded
    | PersonDecided | RunEnded | LateEvidence | UndoIntent | UndoConcluded | PauseSet | PauseCleared | Escalated
    | MessageIntent | MessageOutcome | Quarantined | StateSwept | JournalPruned | CautionBegan | StormBegan | StormEnded
    | RunRelapsed | RuleDemoted | RuleRestored | EffectLost | ScheduleSet | ScheduleDue | SafeModeEntered | SafeModeReleased
    | ClockAnomaly | ClockReleased
)  # fmt: skip


class Entry(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A fact with its place and time. `mono` is the monotonic clock of boot `boot` of replica `replica`, in seconds.

    Processes with the same `host` have that clock in common; empty where that is not known.
    """

    seq: int
    id: str
    at: float
    mono: float
    boot: str
    replica: str
    fact: AnyFact
    host: str = ""

    @property
    def kind(self) -> str:
        """The word for what happened, the same in YAML, log, metric and page."""
        return kind_of(self.fact)


class Draft(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """An entry before it has a place: what is signed and stored (the sequence number is the store's key)."""

    id: str
    at: float
    mono: float
    boot: str
    replica: str
    fact: AnyFact
    host: str = ""


class Record(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a store keeps of an entry: opaque bytes, their place in the chain, and what it is found by.

    `claims` are names that may exist only once in a journal (one intent per attempt, one run per episode and rule):
    the store refuses a second, as a belt beside the fold's braces.
    """

    seq: int
    id: str
    at: float
    kind: str
    body: bytes
    mac: bytes
    incident: str = ""
    run: str = ""
    rule: str = ""
    claims: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(Draft)
_encoder = msgspec.json.Encoder()


def encode(draft: Draft) -> bytes:
    """The bytes that are signed and stored."""
    return _encoder.encode(draft)


def decode(seq: int, body: bytes) -> Entry:
    """The entry at `seq`; msgspec.DecodeError (a ValueError) if the bytes are not one of ours."""
    return placed_at(seq, _decoder.decode(body))


def placed_at(seq: int, draft: Draft) -> Entry:
    """The draft as the entry at `seq`."""
    return Entry(
        seq=seq,
        id=draft.id,
        at=draft.at,
        mono=draft.mono,
        boot=draft.boot,
        replica=draft.replica,
        fact=draft.fact,
        host=draft.host,
    )


def kind_of(fact: Fact) -> str:
    """The kind of a fact, as stored."""
    return str(type(fact).__struct_config__.tag)


def claims_of(fact: AnyFact) -> tuple[str, ...]:
    """The names that this fact may be the only one to carry."""
    if type(fact) is NotificationReceived:  # claims nothing, and an alert storm consists of it
        return ()
    match fact:
        case StepIntent():
            return (f"intent:{fact.run}/{fact.step}/{fact.attempt}",)
        case UndoIntent():
            return (f"undo:{fact.run}/{fact.step}/{fact.attempt}",)
        case RunPlanned():
            return (f"run:{fact.run}",)
        case IncidentOpened():
            episode = (f"episode:{fact.rule}/{fact.episode}",) if fact.episode else ()
            return (f"incident:{fact.incident}", *episode)
        case NotificationDisposed():
            return (f"disposed:{fact.notification}",)
        case RunEnded():
            return (f"ended:{fact.run}",)
        case RunRelapsed():
            return (f"relapsed:{fact.run}",)
        case _:
            return ()


__all__ = [
    "AlertRead",
    "AnyFact",
    "ApprovalExpired",
    "ApprovalGiven",
    "ApprovalRefused",
    "ApprovalRequested",
    "CautionBegan",
    "ClockAnomaly",
    "ClockReleased",
    "ConfigLoaded",
    "ConfigRefused",
    "Disposal",
    "Draft",
    "EffectLost",
    "Entry",
    "EpisodeLapsed",
    "Escalated",
    "Fact",
    "IncidentClosed",
    "IncidentOpened",
    "JournalOpened",
    "JournalPruned",
    "LateEvidence",
    "LeaseTaken",
    "MessageIntent",
    "MessageOutcome",
    "NotificationDisposed",
    "NotificationReceived",
    "PauseCleared",
    "PauseSet",
    "PersonDecided",
    "Quarantined",
    "Record",
    "RollbackStarted",
    "RuleDemoted",
    "RuleRestored",
    "RunDecided",
    "RunEnded",
    "RunParked",
    "RunPlanned",
    "RunRelapsed",
    "RunReminded",
    "RunStarted",
    "SafeModeEntered",
    "SafeModeReleased",
    "ScheduleDue",
    "ScheduleSet",
    "ServiceStarted",
    "ServiceStopped",
    "StateSwept",
    "StepIntent",
    "StepOutcome",
    "StormBegan",
    "StormEnded",
    "UndoConcluded",
    "UndoIntent",
    "VerifyConcluded",
    "VerifyLooked",
    "VerifyStarted",
    "claims_of",
    "decode",
    "encode",
    "kind_of",
    "placed_at",
]
