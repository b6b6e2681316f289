"""The shape of a rule's schedule. A part of `rules_model`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from remediator.config.shapes import LabelName, Misspelt, Name, PositiveSeconds, Shape, Text, kind_of, one_of
from remediator.core.schedules import Missed


def _short(raw: object) -> object:
    if isinstance(raw, str):
        return {"cron": raw}
    if not isinstance(raw, dict):
        raise Misspelt(
            "wrong-type", f"must be a cron expression or keys and values, not {kind_of(raw)}", 'write "0 9 * * *"'
        )
    return raw


class ScheduleShape(Shape):
    """When a rule comes due by itself."""

    noun: ClassVar[str] = "'schedule'"
    cron: Text = Field(description='Five fields as in cron, in quotes: "0 9 * * MON-FRI"; SUN#1 is the first Sunday.')
    time_zone: Text | None = Field(
        default=None, description="The zone it is read in, such as Europe/Berlin. Default UTC."
    )
    missed: Annotated[str, one_of(*Missed), WithJsonSchema({"enum": [str(word) for word in Missed]})] = Field(
        default=Missed.SKIP,
        description="An occurrence that could not begin within a minute: skip (default), or run_once for the latest.",
    )
    within: PositiveSeconds | None = Field(
        default=None, description="With missed: run_once, how late it may still begin. Default 1h."
    )
    severity: Name | None = Field(
        default=None, description="Whom its messages go to, by the settings' notify. Default info."
    )


_SCHEDULE = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["cron"],
            "properties": {
                "cron": {"type": "string", "description": 'Five fields as in cron: "0 9 * * MON-FRI".'},
                "time_zone": {"type": "string", "description": "Such as Europe/Berlin. Default UTC."},
                "missed": {"enum": [str(word) for word in Missed], "description": "Default skip."},
                "within": {"type": "string", "description": "With run_once, how late it may begin. Default 1h."},
                "severity": {"type": "string", "description": "Whom its messages go to. Default info."},
            },
        },
    ]
}

ScheduleField = Annotated[ScheduleShape, BeforeValidator(_short), WithJsonSchema(_SCHEDULE)]
TargetLabels = Annotated[
    dict[LabelName, Text],
    WithJsonSchema({"type": "object", "minProperties": 1, "additionalProperties": {"type": ["string", "number"]}}),
]
