"""The shape of a rules file: which keys there are, what each may hold, and what it means (shown by editors).

Only the shape. Whether names exist, blanks may be filled and queries can be asked is for `compiling` to see.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from remediator.config.brakes_model import BreakerShape, Inhibitions, MinHealthyShape, WavesShape
from remediator.config.each import Each
from remediator.config.schedule_model import ScheduleField, TargetLabels
from remediator.config.shapes import (
    Count,
    LabelName,
    LabelNames,
    Misspelt,
    ModeWord,
    Name,
    Names,
    PerWindow,
    PositiveSeconds,
    Seconds,
    Shape,
    Switch,
    Text,
    Texts,
    Url,
    kind_of,
    one_of,
)
from remediator.core.brakes import Trust
from remediator.core.outcomes import EffectClass
from remediator.core.params import ParamType
from remediator.core.rules import OnError, OnFailure, OnUnknown

ONE_VALUE = tuple(kind for kind in ParamType if kind not in {ParamType.ARGV, ParamType.NAMES, ParamType.OBJECT})
_ANYTHING = WithJsonSchema({})


def _version(raw: object) -> int:
    if raw != "1":
        raise Misspelt("bad-version", f"{kind_of(raw)} is not a version we know", "write version: 1")
    return 1


Version = Annotated[int, BeforeValidator(_version), WithJsonSchema({"const": 1})]
Arguments = Annotated[dict[str, object], WithJsonSchema({"type": "object"})]
EachWord = Annotated[str, one_of(*Each), WithJsonSchema({"enum": [str(word) for word in Each]})]


class WhenShape(Shape):
    """A question to Prometheus that must be answered with yes."""

    noun: ClassVar[str] = "'when'"
    expr: Text = Field(
        description="PromQL; true when the result is not empty. Blanks only inside double-quoted values."
    )
    hold: Seconds = Field(
        default=0.0, alias="for", description="Must have been true that long, looking back. Default 0."
    )


class RequireShape(Shape):
    """A precondition of acting."""

    noun: ClassVar[str] = "an item of 'require'"
    expr: Text = Field(description="PromQL; must be true, or nothing is done.")
    because: Text = Field(
        description="Why, as one sentence for people; shown word for word when it holds an action back."
    )
    hold: Seconds = Field(
        default=0.0, alias="for", description="Must have been true that long, looking back. Default 0."
    )


class GuardsShape(Shape):
    """Every reason not to act."""

    noun: ClassVar[str] = "'guards'"
    cooldown: Seconds | None = Field(
        default=None, description="Leave the same target alone so long after a run. Default 30m."
    )
    rate_limit: PerWindow | None = Field(
        default=None, description="Runs per target in any such window. Default 2 per 6h."
    )
    blast_radius: PerWindow | None = Field(
        default=None,
        description="Different targets of this rule in any such window; one more: hold and escalate. Default 3 per 1h.",
    )
    concurrency: Count | None = Field(default=None, description="Runs of this rule at the same time. Default 1.")
    waves: WavesShape | None = Field(
        default=None,
        description="Many targets: one first, and more only where that was seen to help. Default 1, 2, 4 …",
    )
    max_targets: Count | None = Field(
        default=None,
        description="Targets under treatment or a temporary effect at once, and places in one plan. Default 5.",
    )
    irreversible_after: Seconds | None = Field(
        default=None,
        description="A step that cannot be taken back waits until its alert has fired so long, or 'when' looks back so "
        "far. Default 2m.",
    )
    mute_time_intervals: Names | None = Field(
        default=None, description="Names of time intervals in which nothing is done."
    )
    active_time_intervals: Names | None = Field(
        default=None, description="Names of time intervals outside which nothing is done."
    )
    require: list[RequireShape] | None = Field(
        default=None, description="Preconditions in PromQL, each with its reason."
    )
    breaker: BreakerShape | None = Field(
        default=None, description="Demotes a rule whose runs do not help. Default 3 failures, pause 1h."
    )
    relapse: Seconds | None = Field(
        default=None, description="An alert back so soon after a run that helped makes it one that did not. Default 1h."
    )
    min_healthy: MinHealthyShape | None = Field(
        default=None, description="How much of the fleet stays healthy; targets under treatment count as unwell."
    )
    trust: Annotated[str, one_of(*Trust), WithJsonSchema({"enum": [str(word) for word in Trust]})] | None = Field(
        default=None,
        description="Asked first: prometheus (it answers, its clock agrees), target (and its scrape works), "
        "target-if-scraped (the default with instance in group_by), or unchecked.",
    )
    starting: Seconds | None = Field(
        default=None, description="With trust target: one that came up so lately is still starting. Default 2m."
    )


class ApprovalShape(Shape):
    """How long a person has to say yes."""

    noun: ClassVar[str] = "'approval'"
    timeout: PositiveSeconds = Field(description="After this the request expires and is escalated. Default 1h.")


class RuleShape(Shape):
    """When to act: matchers (or a schedule), target, condition, guards, mode and playbook."""

    noun: ClassVar[str] = "a rule"
    name: Name = Field(description="Names the rule in log, metrics and console; unique.")
    summary: Text | None = Field(default=None, description="One sentence for people.")
    runbook_url: Url | None = Field(default=None, description="Where people read on.")
    match: Texts | None = Field(
        default=None, description="Matchers as in Alertmanager; all must pass. A text or a list of texts."
    )
    group_by: LabelNames | None = Field(
        default=None, description="The labels that make the target: one incident, lock and cooldown per value."
    )
    schedule: ScheduleField | None = Field(
        default=None, description="Instead of match: when the rule comes due by itself, as a cron expression."
    )
    target: TargetLabels | None = Field(
        default=None, description="With schedule, instead of group_by: the target, label by label."
    )
    each: EachWord | None = Field(
        default=None,
        description="With schedule: node, for one target per node of the settings; {{ each.node }} in target is its name.",
    )
    when: WhenShape | None = Field(default=None, description="Asked of Prometheus before anything is touched.")
    guards: GuardsShape | None = Field(default=None, description="Every reason not to act.")
    inhibited_by: Inhibitions | None = Field(
        default=None,
        description="Rules that go first: while they have an open incident on the same target, this waits.",
    )
    mode: ModeWord | None = Field(
        default=None, description="off, dry-run, approve or auto; the most careful of server, file and rule wins."
    )
    playbook: Names = Field(description="What to do. A list is a ladder: the next one after a verified failure.")
    arguments: dict[str, Text] = Field(
        default_factory=dict, alias="with", description="A value for each parameter of the playbook."
    )
    locks: Texts | None = Field(default=None, description="Names of locks a run holds. Default: its target.")
    give_up: PositiveSeconds | None = Field(
        default=None, description="How long a run may wait for its guards. Default 4h."
    )
    stop: Switch = Field(
        default=False,
        description="Where this rule takes an alert on, rules that stand later are not asked about it. Default false.",
    )
    approval: ApprovalShape | None = Field(default=None, description="How long a person has to approve (mode approve).")


def _undo(raw: object) -> object:
    if isinstance(raw, str):
        if raw != "never":
            raise Misspelt("bad-undo", f"'{raw}' is not an undo", "write undo: never, or undo: { after: 2h }")
        return {"never": "never"}
    return raw


class UndoShape(Shape):
    """When a lasting effect is taken back."""

    noun: ClassVar[str] = "'undo'"
    after: PositiveSeconds | None = Field(default=None, description="Taken back so long after it took effect.")
    never: str | None = Field(default=None, description="Write undo: never.", exclude=True)


class RetryShape(Shape):
    """How often a step is tried."""

    noun: ClassVar[str] = "'retry'"
    attempts: Count = Field(default=1, description="Tries in all. Default 1.")
    delay: Seconds = Field(default=5.0, description="Time between two tries. Default 5s.")


class StepShape(Shape):
    """One action, or something that a person does."""

    noun: ClassVar[str] = "a step"
    name: Text = Field(description="The heading that people see.")
    action: Text | None = Field(default=None, description="What is done: the kind of an installed action.")
    manual: Text | None = Field(default=None, description="Instead of an action: what a person does, as one sentence.")
    arguments: Arguments = Field(default_factory=dict, alias="with", description="The arguments of the action.")
    each: EachWord | None = Field(
        default=None,
        description="node: the step is made for each node of the settings, in their order; {{ each.node }} is its name.",
    )
    timeout: PositiveSeconds | None = Field(default=None, description="Bounds one try. Default 30s.")
    retry: RetryShape | None = Field(default=None, description="How often it is tried. Default once.")
    undo: Annotated[
        UndoShape | None,
        BeforeValidator(_undo),
        WithJsonSchema(
            {
                "anyOf": [
                    {"const": "never"},
                    {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["after"],
                        "properties": {
                            "after": {
                                "type": "string",
                                "description": "Taken back so long after it took effect.",
                            }
                        },
                    },
                ]
            }
        ),
    ] = Field(default=None, description="When a lasting effect is taken back: { after: 2h }, or never.")
    on_error: Annotated[str, one_of(*OnError), WithJsonSchema({"enum": [str(word) for word in OnError]})] = Field(
        default=OnError.STOP, description="What a failure means for the rest: stop (default) or continue."
    )
    forgets: Texts | None = Field(
        default=None,
        description="Names of nodes whose memory this step empties (a restart): temporary effects of ours that are lost "
        "there are named before, and made again after it.",
    )
    effect: (
        Annotated[str, one_of(*EffectClass), WithJsonSchema({"enum": [str(word) for word in EffectClass]})] | None
    ) = Field(default=None, description="What repeating would do, if you know it to be worse than the action says.")


class CheckShape(Shape):
    """One part of a verification; exactly one of expr, http, command, alert and probe."""

    noun: ClassVar[str] = "an item of 'verify'"
    expr: Text | None = Field(default=None, description="PromQL that must become and stay true.")
    http: Annotated[object, _ANYTHING] = Field(
        default=None, description="A URL that must answer well, or the arguments of the http probe."
    )
    command: Annotated[object, _ANYTHING] = Field(
        default=None, description="A program as a list that must end well, or the arguments of the probe."
    )
    alert: Annotated[object, _ANYTHING] = Field(
        default=None, description="What Alertmanager must say, or the arguments of the alert probe."
    )
    probe: Text | None = Field(
        default=None, description="The kind of another installed probe; its arguments stand in 'with'."
    )
    arguments: Arguments = Field(default_factory=dict, alias="with", description="The arguments of 'probe'.")
    hold: Seconds = Field(default=0.0, alias="for", description="Must hold so long, looking forward. Default 0.")
    within: PositiveSeconds = Field(default=600.0, description="The deadline. Default 10m.")
    every: PositiveSeconds = Field(default=15.0, description="Time between two looks. Default 15s.")
    samples: Count = Field(default=3, description="Good looks in a row that are needed. Default 3.")


class PlaybookShape(Shape):
    """How to act: typed parameters, steps, verification, and what to do on failure."""

    noun: ClassVar[str] = "a playbook"
    name: Name = Field(description="Names the playbook; unique.")
    summary: Text | None = Field(default=None, description="One sentence for people.")
    params: dict[
        LabelName,
        Annotated[str, one_of(*ONE_VALUE), WithJsonSchema({"enum": [str(kind) for kind in ONE_VALUE]})],
    ] = Field(default_factory=dict, description="Parameters and their types; an empty or malformed value is refused.")
    steps: list[StepShape] = Field(
        min_length=1, description="In this order; a failure stops unless on_error says continue."
    )
    verify: list[CheckShape] = Field(
        default_factory=list, description="All must be seen to be good, or the run has not succeeded."
    )
    on_failure: Annotated[
        list[Annotated[str, one_of(*OnFailure)]],
        WithJsonSchema({"type": "array", "items": {"enum": [str(word) for word in OnFailure]}}),
    ] = Field(
        default_factory=lambda: [OnFailure.ESCALATE.value],
        description="In this order: rollback, escalate. Default escalate.",
    )
    on_unknown: Annotated[str, one_of(*OnUnknown), WithJsonSchema({"enum": [str(word) for word in OnUnknown]})] = Field(
        default=OnUnknown.HOLD,
        description="While a run waits for a person: hold its locks (default), or release them to other runs.",
    )
    continue_on_resolve: Switch = Field(
        default=False, description="Carry the plan out although the alert has resolved. Default false."
    )
    atomic_from: Text | None = Field(
        default=None,
        description="The name of a step: once it was made, all that follow are too, whatever resolves or is switched off.",
    )
    limit: PositiveSeconds | None = Field(
        default=None, description="Bounds the whole run. Default: as long as its parts can take, at least 30m."
    )


class DefaultsShape(Shape):
    """What the rules of this file say if they say nothing."""

    noun: ClassVar[str] = "'defaults'"
    mode: ModeWord | None = Field(
        default=None, description="The mode of the rules of this file, and the most any of them may do."
    )
    guards: GuardsShape | None = Field(default=None, description="Each key that a rule does not set itself.")
    give_up: PositiveSeconds | None = Field(default=None, description="How long a run may wait for its guards.")
    approval: ApprovalShape | None = Field(default=None, description="How long a person has to approve.")


class IntervalsShape(Shape):
    """A named block of time intervals, in Alertmanager's own syntax."""

    noun: ClassVar[str] = "an item of 'time_intervals'"
    name: Name = Field(description="Named by mute_time_intervals and active_time_intervals.")
    time_intervals: Annotated[
        list[dict[str, object]], WithJsonSchema({"type": "array", "items": {"type": "object"}})
    ] = Field(min_length=1, description="Alertmanager's: times, weekdays, days_of_month, months, years, location.")


class Outline(Shape):
    """A file of rules and playbooks whose items are looked at one by one, so that one bad rule hides no other fault."""

    noun: ClassVar[str] = "a rules file"
    version: Version = Field(description="The version of this format: 1.")
    defaults: object = Field(default=None, description="What rules of this file say if they say nothing.")
    rules: list[object] = Field(default_factory=list, description="When to act.")
    playbooks: list[object] = Field(default_factory=list, description="How to act.")
    time_intervals: list[object] = Field(default_factory=list, description="When hands stay off.")


class RulesFile(Shape):
    """A file of rules and playbooks."""

    noun: ClassVar[str] = "a rules file"
    version: Version = Field(description="The version of this format: 1.")
    defaults: DefaultsShape | None = Field(default=None, description="What rules of this file say if they say nothing.")
    rules: list[RuleShape] = Field(default_factory=list, description="When to act; their order counts only for stop.")
    playbooks: list[PlaybookShape] = Field(
        default_factory=list, description="How to act; rules of all files may use them."
    )
    time_intervals: list[IntervalsShape] = Field(default_factory=list, description="When hands stay off.")
