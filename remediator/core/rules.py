"""What operators write, compiled: rules (when to act) and playbooks (how to act). Frozen values; `config` builds them.

A `Ruleset` is replaced as a whole on reload and never changed. Runs keep the plan they were made with, not the rule, so
a reload cannot change a run (G19). Durations are seconds throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from remediator.core.brakes import Brakes, MinHealthy, Trust
from remediator.core.index import RuleIndex
from remediator.core.intervals import TimeInterval
from remediator.core.matchers import Matcher
from remediator.core.outcomes import EffectClass
from remediator.core.params import ParamType
from remediator.core.rendering import Template, Tree
from remediator.core.schedules import Schedule


class Mode(IntEnum):
    """How far a rule may go; the most careful of server, file and rule wins, which is `min`."""

    OFF = 0
    DRY_RUN = 1
    APPROVE = 2
    AUTO = 3

    @property
    def word(self) -> str:
        """The spelling in YAML, log and metrics."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def parse(cls, word: str) -> Mode:
        """The mode called `word`; ValueError lists the four."""
        for mode in cls:
            if mode.word == word:
                return mode
        raise ValueError(f"'{word}' is not a mode: expected off, dry-run, approve or auto")


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` within any `window` seconds."""

    count: int
    window: float


@dataclass(frozen=True, slots=True)
class Condition:
    """A PromQL question. `hold` is the rule's `for`: it must have been true that long, looking back (seconds)."""

    expr: Template
    hold: float = 0.0
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """Every reason not to act, with defaults that are safe at 3 a.m."""

    cooldown: float = 1800.0
    rate_limit: Limit = Limit(2, 21600.0)
    blast_radius: Limit = Limit(3, 3600.0)
    concurrency: int = 1
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()
    require: tuple[Condition, ...] = ()
    brakes: Brakes = Brakes()
    min_healthy: MinHealthy | None = None
    trust: Trust = Trust.UNCHECKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One playbook of a rule's ladder, with the values for its parameters."""

    playbook: str
    arguments: Mapping[str, Template]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When to act: matchers, target (`group_by`), `when`, guards, mode and a ladder of playbooks.

    Instead of matchers a rule may have a `schedule`; its `targets` are then written down, one or one for each node, and
    `group_by` names their labels.
    `give_up` is how long a run may wait for its guards or an approval before it expires (default 4 h).
    """

    name: str
    match: tuple[Matcher, ...]
    group_by: tuple[str, ...]
    ladder: tuple[Rung, ...]
    summary: str = ""
    runbook_url: str = ""
    when: Condition | None = None
    guards: Guards = Guards()
    mode: Mode = Mode.DRY_RUN
    locks: tuple[Template, ...] = ()
    give_up: float = 14400.0
    approval_timeout: float = 3600.0
    stop: bool = False  # whether rules that stand later are not asked about an alert that this one takes on
    source: str = ""  # file:line, for people
    schedule: Schedule | None = None
    targets: tuple[Mapping[str, str], ...] = ()


class OnError(StrEnum):
    """What a failed step means for the rest of its playbook."""

    STOP = "stop"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One action. `undo_after` in seconds; None when nothing lasting is left behind, or the author wrote `undo: never`.

    `forgets` are the places whose memory it empties, beside those that its action tells of.
    """

    name: str
    action: str
    arguments: Mapping[str, Tree]
    effect: EffectClass
    timeout: float = 30.0
    attempts: int = 1
    delay: float = 5.0
    undo_after: float | None = None
    on_error: OnError = OnError.STOP
    forgets: tuple[Template, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One part of a verification: a probe that must turn good within `within` and stay good for `hold` seconds.

    `samples` good looks in a row are needed, `every` seconds apart (G11: three by default).
    """

    probe: str
    arguments: Mapping[str, Tree]
    hold: float = 0.0
    within: float = 600.0
    every: float = 15.0
    samples: int = 3


class OnFailure(StrEnum):
    """What happens after a failed step or a verification that saw no recovery, in this order."""

    ROLLBACK = "rollback"
    ESCALATE = "escalate"


class OnUnknown(StrEnum):
    """What a parked run does with its locks while it waits for a person."""

    HOLD = "hold"
    RELEASE = "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """How to act: typed parameters, steps, verification, what to do on failure. `limit` bounds the whole run (G12).

    `continue_on_resolve`: the alert's end stops nothing. `atomic_from`: once this step (from 0) was issued, all that
    follow are too, whatever resolves or is switched off (drain, restart, undrain).
    """

    name: str
    params: Mapping[str, ParamType]
    steps: tuple[Step, ...]
    verify: tuple[Check, ...] = ()
    on_failure: tuple[OnFailure, ...] = (OnFailure.ESCALATE,)
    on_unknown: OnUnknown = OnUnknown.HOLD
    continue_on_resolve: bool = False
    atomic_from: int | None = None
    limit: float = 1800.0
    summary: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """All loaded rules and playbooks, with an index so that many rules cost what few do. `digest` names this text."""

    rules: tuple[Rule, ...]
    playbooks: Mapping[str, Playbook]
    time_intervals: Mapping[str, tuple[TimeInterval, ...]] = field(default_factory=dict)
    digest: str = ""
    index: RuleIndex = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", RuleIndex([None if rule.schedule else rule.match for rule in self.rules]))

    def rule(self, name: str) -> Rule | None:
        """The rule called `name`, if it is loaded."""
        return next((rule for rule in self.rules if rule.name == name), None)
