"""What came of trying: the outcome of an attempt, of an undo, of a look. Three-valued where the world is.

A timeout after the first byte was sent is `unknown`, never `failed` and never `ok`: it may have been carried out.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class EffectClass(StrEnum):
    """What repeating an action would do (the rule author's and the plug-in's word, DESIGN §2)."""

    READ = "read"  # no effect: repeat freely
    SAFE = "safe"  # sets an absolute state: repeating is harmless
    KEYED = "keyed"  # the target stores our key and can be asked for it
    ONCE = "once"  # everything else: never repeated by itself


class Result(StrEnum):
    """The four outcomes of an attempt."""

    OK = "ok"
    FAILED = "failed"  # certainly without the wanted effect
    NOT_ISSUED = "not_issued"  # nothing left this process
    UNKNOWN = "unknown"  # may have been carried out


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an attempt came to.

    `sentence` is for people; `evidence` is small, redacted JSON kept in the journal; `receipt` is what the action needs
    to take its effect back (an id, the previous value); `retryable` says that the failure may pass.
    """

    result: Result
    sentence: str
    evidence: dict[str, object] = {}
    receipt: dict[str, object] = {}
    retryable: bool = False


def ok(
    sentence: str, *, receipt: dict[str, object] | None = None, evidence: dict[str, object] | None = None
) -> Outcome:
    """An attempt whose effect is certain."""
    return Outcome(result=Result.OK, sentence=sentence, receipt=receipt or {}, evidence=evidence or {})


def failed(sentence: str, *, evidence: dict[str, object] | None = None) -> Outcome:
    """An attempt that certainly had no effect and will not have one if repeated as it is."""
    return Outcome(result=Result.FAILED, sentence=sentence, evidence=evidence or {})


def failed_for_now(sentence: str, *, evidence: dict[str, object] | None = None) -> Outcome:
    """An attempt that certainly had no effect, for a reason that may pass."""
    return Outcome(result=Result.FAILED, sentence=sentence, evidence=evidence or {}, retryable=True)


def not_issued(sentence: str) -> Outcome:
    """An attempt of which nothing left this process; may be tried again."""
    return Outcome(result=Result.NOT_ISSUED, sentence=sentence, retryable=True)


def unknown(sentence: str, *, evidence: dict[str, object] | None = None) -> Outcome:
    """An attempt that may have been carried out. Never a success, never repeated by itself for class `once`."""
    return Outcome(result=Result.UNKNOWN, sentence=sentence, evidence=evidence or {})


class Presence(StrEnum):
    """What asking the target about an earlier attempt showed."""

    PRESENT = "present"
    ABSENT = "absent"
    UNDECIDED = "undecided"


class Found(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer of an action's own check after an unknown outcome.

    `running` says that the attempt is still being carried out: whatever it will have done, it must not be made again yet.
    """

    presence: Presence
    sentence: str
    receipt: dict[str, object] = {}
    running: bool = False


class UndoResult(StrEnum):
    """What came of taking an effect back."""

    UNDONE = "undone"
    GONE = "gone"  # no longer there: expired at the target, or lost by its restart
    FOREIGN = "foreign"  # somebody else changed it: left alone, reported
    FAILED = "failed"  # tried and refused; will be tried again
    UNKNOWN = "unknown"  # may have been carried out; will be compared again


class UndoOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an undo came to; `UNDONE`, `GONE` and `FOREIGN` are final."""

    result: UndoResult
    sentence: str
    evidence: dict[str, object] = {}


class Look(StrEnum):
    """Three-valued: the good state is seen, its opposite is seen, or nobody can tell."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


class Observation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a probe saw. `value` is the number behind it, if there is one; `at` the time of the newest sample (unix s)."""

    look: Look
    sentence: str
    value: float | None = None
    at: float | None = None
