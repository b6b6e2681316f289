"""A plan: a playbook rendered for an incident. Every argument is final; the digest names exactly this plan.

A plan is what dry-run shows, what is approved (by digest), what the journal keeps, and what is executed. It carries all
that the run needs from rule and playbook, so a reload cannot change a run that is under way (G19).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from remediator.core.brakes import Brakes
from remediator.core.outcomes import EffectClass
from remediator.core.rules import OnError, OnFailure, OnUnknown

# Before the name of a rule whose effects are made again.
AGAIN = "again:"


class PlannedCondition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A PromQL question with every blank filled. `hold` in seconds, looking back."""

    expr: str
    hold: float = 0.0
    because: str = ""


class PlannedLimit(msgspec.Struct, frozen=True, omit_defaults=True):
    """At most `count` in any `window` seconds."""

    count: int
    window: float


class PlannedGuards(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The guards of the rule at planning time. At the effect the stricter of these and the loaded rule's count."""

    cooldown: float
    rate_limit: PlannedLimit
    blast_radius: PlannedLimit
    concurrency: int
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()
    brakes: Brakes = Brakes()


class PlannedFleet(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The questions who is healthy and who there is, every blank filled."""

    healthy: str
    of: str = ""


class PlannedTrust(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has to be in order at Prometheus; `instance` is whose scrape, and whether there `must` be one."""

    instance: str = ""
    must: bool = False


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step, ready to be issued."""

    name: str
    action: str
    arguments: dict[str, Any]  # JSON values; msgspec has no recursive types
    effect: EffectClass
    timeout: float
    attempts: int = 1
    delay: float = 5.0
    undo_after: float | None = None
    on_error: OnError = OnError.STOP
    does: str = ""  # the action's own sentence for these arguments
    places: tuple[str, ...] = ()  # what it touches, each as `kind name`: node mta1, container kumod
    kept_in: str = ""  # the place in whose memory, and nowhere else, its effect lives
    forgets: tuple[str, ...] = ()  # the places whose memory it empties
    key: str = ""  # of an effect that is made again: its own key, its end (unix s), and the undo that it takes over
    until: float | None = None
    replaces: str = ""


class PlannedCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part of the verification, ready to be asked."""

    probe: str
    arguments: dict[str, Any]
    hold: float
    within: float
    every: float
    samples: int


# What stands between the sentences of a report.
BETWEEN = " · "


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A playbook rendered for one incident."""

    rule: str
    playbook: str
    rung: int
    target: dict[str, str]
    params: dict[str, Any]
    when: PlannedCondition | None = None
    require: tuple[PlannedCondition, ...] = ()
    min_healthy: PlannedFleet | None = None
    trust: PlannedTrust | None = None
    guards: PlannedGuards
    locks: tuple[str, ...]
    steps: tuple[PlannedStep, ...]
    verify: tuple[PlannedCheck, ...] = ()
    on_failure: tuple[OnFailure, ...] = ()
    on_unknown: OnUnknown = OnUnknown.HOLD
    continue_on_resolve: bool = False
    atomic_from: int | None = None
    limit: float
    give_up: float
    approval_timeout: float = 3600.0
    rules_digest: str = ""
    runbook_url: str = ""

    @property
    def digest(self) -> str:
        """Names exactly this plan: 16 hex digits of SHA-256 over its canonical JSON, the rule text's own digest apart."""
        canonical = msgspec.json.encode(msgspec.structs.replace(self, rules_digest=""), order="sorted")
        return hashlib.sha256(canonical).hexdigest()[:16]

    @property
    def is_report(self) -> bool:
        """Whether it only looks and verifies nothing: then what its steps saw is what there is to say of a run."""
        return not self.verify and all(step.effect is EffectClass.READ for step in self.steps)

    def said(self, step: int, sentence: str, *, before: str) -> str:
        """What a run says of itself after a step: the step's sentence; a report has all of them, those `before` first."""
        if not self.is_report:
            return sentence
        return f"{f'{before}{BETWEEN}' if before else ''}{self.steps[step].name}: {sentence}"

    def judged(self, sentence: str, before: str) -> str:
        """What a run says of itself after its verification; a report has none, and keeps what its steps said."""
        return (before if self.is_report else "") or sentence


def most_places(steps: Sequence[PlannedStep]) -> list[str]:
    """The places that these steps touch, of the kind of which they touch the most: a node and its container are one."""
    kinds: dict[str, dict[str, None]] = {}
    for step in steps:
        for place in step.places if step.effect is not EffectClass.READ else ():
            kinds.setdefault(place.partition(" ")[0], {})[place] = None
    return max((list(places) for places in kinds.values()), key=len, default=[])


def same_place(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether two sets of labels speak of one place: they have a label in common, and agree in all that both have."""
    common = one.keys() & other.keys()
    return bool(common) and all(one[name] == other[name] for name in common)


def target_text(target: dict[str, str]) -> str:
    """The target as people read it and as locks are named: `domain=example.com, instance=mta1`."""
    return ", ".join(f"{name}={target[name]}" for name in sorted(target))
