"""The shapes of a rule's own brakes: inhibition, breaker, healthy floor, trust. Parts of `rules_model`."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from remediator.config.documents import Bare
from remediator.config.shapes import (
    MAX_COUNT,
    Count,
    LabelNames,
    Misspelt,
    Name,
    PositiveSeconds,
    Shape,
    Text,
    kind_of,
)


def _inhibitor(raw: object) -> object:
    return {"rule": raw} if isinstance(raw, str) else raw


class InhibitionShape(Shape):
    """A rule that goes first."""

    noun: ClassVar[str] = "an item of 'inhibited_by'"
    rule: Name = Field(description="The name of the rule that goes first.")
    equal: LabelNames | None = Field(
        default=None,
        description="Labels whose values must be equal in both alerts; [] for anywhere. Default: the same target.",
    )


def _one_or_many(raw: object) -> object:
    if isinstance(raw, (str, dict)):
        return [raw]
    if not isinstance(raw, list):
        raise Misspelt("wrong-type", f"must be the name of a rule or a list, not {kind_of(raw)}", "write [ … ]")
    return raw


_INHIBITION = {
    "type": "object",
    "additionalProperties": False,
    "required": ["rule"],
    "properties": {
        "rule": {"type": "string", "description": "The name of the rule that goes first."},
        "equal": {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            "description": "Labels whose values must be equal in both alerts; [] for anywhere.",
        },
    },
}
_INHIBITIONS = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"anyOf": [{"type": "string"}, _INHIBITION]}},
    ]
}
Inhibitions = Annotated[
    list[Annotated[InhibitionShape, BeforeValidator(_inhibitor)]],
    BeforeValidator(_one_or_many),
    WithJsonSchema(_INHIBITIONS),
]


class BreakerShape(Shape):
    """When a rule that does not help is demoted, and for how long."""

    noun: ClassVar[str] = "'breaker'"
    failures: Count = Field(default=3, description="Runs in a row that did not help. Default 3.")
    pause: PositiveSeconds = Field(
        default=3600.0, description="After this one run may try whether it helps again. Default 1h."
    )


class WavesShape(Shape):
    """How many targets of a rule are taken on together."""

    noun: ClassVar[str] = "'waves'"
    first: Count = Field(default=1, description="Targets in the first wave. Default 1.")
    growth: Count = Field(
        default=2,
        description="How many times as many the next wave has once all of the last were seen to be well. Default 2.",
    )
    rest: PositiveSeconds = Field(
        default=3600.0,
        description="After so long without a run of the rule it begins with the first again. Default 1h.",
    )


_FLOOR = re.compile(r"(?P<number>[1-9][0-9]{0,4})(?P<share>%?)")


def _floor(raw: object) -> tuple[int, int]:
    """The count and the percentage that are promised, 0 for what is not."""
    count = percent = 0
    for item in raw if isinstance(raw, list) else [raw]:
        found = _FLOOR.fullmatch(item) if isinstance(item, Bare | str) else None
        if found is None or int(found["number"]) > (99 if found["share"] else MAX_COUNT):
            raise Misspelt("bad-floor", f"{kind_of(item)} is no number of healthy ones", "write 3, 60% or [3, 60%]")
        if found["share"]:
            percent = max(percent, int(found["number"]))
        else:
            count = max(count, int(found["number"]))
    if not count and not percent:
        raise Misspelt("bad-floor", "the list is empty", "write 3, 60% or [3, 60%]")
    return count, percent


_FLOOR_SCHEMA = {"type": ["string", "integer"], "pattern": "^[1-9][0-9]{0,4}%?$", "minimum": 1}
Floor = Annotated[
    tuple[int, int],
    BeforeValidator(_floor),
    WithJsonSchema({"anyOf": [_FLOOR_SCHEMA, {"type": "array", "items": _FLOOR_SCHEMA}]}),
]


class MinHealthyShape(Shape):
    """How much of the fleet stays healthy while targets are treated."""

    noun: ClassVar[str] = "'min_healthy'"
    expr: Text = Field(
        description="PromQL: one series for each healthy member, with the labels that targets have; or their count."
    )
    of: Text | None = Field(default=None, description="PromQL: all members, or their count. Needed for a percentage.")
    at_least: Floor = Field(
        description="So many stay healthy: 3, 60%, or both as a list (the stricter counts). A percentage is rounded up."
    )
