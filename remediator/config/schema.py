"""JSON Schema of the three kinds of files, for editors: draft-07, from the very models that load them.

Actions and probes in force add their names, arguments and descriptions. The order is fixed, so that a stored schema only
changes when the format does. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from remediator.config.cases_model import CasesFile
from remediator.config.compiling_playbooks import SHORT_PROBES
from remediator.config.exporter_model import ExporterFile
from remediator.config.rules_model import RulesFile
from remediator.config.settings_model import SettingsFile
from remediator.config.shapes import DURATION_PATTERN
from remediator.core.params import Param, ParamType

if TYPE_CHECKING:
    from pydantic import BaseModel

    from remediator.ports import Catalogue

# JSON has no narrower type for it; a schema is a tree of these.
Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_BLANK: Schema = {"type": "string", "pattern": r"\{\{.*\}\}"}
_ITEMS: Schema = {"type": "array", "items": {"type": ["string", "number"]}}
_BY_TYPE: Mapping[ParamType, Schema] = {
    ParamType.DURATION: {"type": "string", "pattern": DURATION_PATTERN},
    ParamType.RATE: {"type": "string", "pattern": r"^[1-9][0-9]{0,8}/(s|sec|m|min|h|hr|d|day)$"},
    ParamType.INT: {"type": "integer"},
    ParamType.NUMBER: {"type": "number"},
    ParamType.BOOL: {"type": "boolean"},
    ParamType.URL: {"type": "string", "format": "uri"},
    ParamType.PATH: {"type": "string", "pattern": "^/"},
    ParamType.ARGV: {**_ITEMS, "minItems": 1},
    ParamType.NAMES: {**_ITEMS, "minItems": 1},
    ParamType.OBJECT: {"type": "object"},
    ParamType.TEXT: {"type": ["string", "number", "boolean"]},
}
_INTERVAL: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "times": {
            "description": "Times of day, each from start_time on and before end_time.",
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["start_time", "end_time"],
                "properties": {
                    "start_time": {"description": 'For example "02:00", in quotes.', "type": "string"},
                    "end_time": {
                        "description": 'For example "04:00"; "24:00" is the end of the day.',
                        "type": "string",
                    },
                },
            },
        },
        "weekdays": {"description": "For example monday:friday.", **_ITEMS},
        "days_of_month": {"description": '1 to 31; "-1" is the last day; ranges in quotes: "1:7".', **_ITEMS},
        "months": {"description": "Names or numbers, for example january:march.", **_ITEMS},
        "years": {"description": 'For example 2030 or "2030:2032".', **_ITEMS},
        "location": {"description": "A time zone such as Europe/Berlin. Default UTC.", "type": "string"},
    },
}


def rules_schema(catalogue: Catalogue | None = None) -> Schema:
    """The schema of rules files; with a catalogue also of the arguments of its actions and probes."""
    schema = _schema(RulesFile, "Rules and playbooks of remediator")
    if catalogue is not None:
        _add_actions(schema["definitions"]["StepShape"], catalogue)
        _add_probes(schema["definitions"]["CheckShape"], catalogue)
    return schema


def settings_schema() -> Schema:
    """The schema of remediator.yml."""
    return _schema(SettingsFile, "Settings of remediator")


def exporter_schema() -> Schema:
    """The schema of exporter.yml."""
    return _schema(ExporterFile, "Settings of remediator exporter")


def cases_schema() -> Schema:
    """The schema of rules/*_test.yml."""
    return _schema(CasesFile, "Tests of rules of remediator")


def _schema(model: type[BaseModel], title: str) -> Schema:
    raw = model.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    shapes = raw.pop("$defs")
    definitions = {name: _tidy(shapes[name]) for name in sorted(shapes)}
    if "IntervalsShape" in definitions:
        definitions["IntervalsShape"]["properties"]["time_intervals"]["items"] = _INTERVAL
    body = _tidy(raw)
    for owner in (body, *definitions.values()):
        for described in owner["properties"].values():
            if "description" not in described:  # told by the shape itself, in the same words
                name = described["allOf"][0]["$ref"].rpartition("/")[2]
                described["description"] = definitions[name]["description"]
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": title, **body, "definitions": definitions}


def _tidy(node: Any) -> Any:
    """Without what says nothing to an author: titles, null arms, defaults of null."""
    if isinstance(node, list):
        return [_tidy(part) for part in node]
    if not isinstance(node, dict):
        return node
    found: Schema = {}
    for key, value in node.items():
        if key == "properties":
            found[key] = {name: _property(part) for name, part in value.items()}
        elif not (key == "title" and isinstance(value, str)):
            found[key] = _tidy(value)
    return found


def _property(node: Schema) -> Schema:
    tidy: Schema = _tidy(node)
    tidy.pop("default", None)  # defaults are told in the description, in the spelling of the file
    arms = [arm for arm in tidy.get("anyOf", []) if arm != {"type": "null"}]
    if len(arms) == 1:
        tidy.pop("anyOf")
        tidy.update(arms[0])
    elif arms:
        tidy["anyOf"] = arms
    if "$ref" in tidy:  # draft-07 ignores what stands beside $ref
        tidy["allOf"] = [{"$ref": tidy.pop("$ref")}]
    return tidy


def _add_actions(step: Schema, catalogue: Catalogue) -> None:
    actions = catalogue.actions
    step["properties"]["action"] = {
        "description": step["properties"]["action"]["description"],
        "oneOf": [{"const": kind, "description": actions[kind].summary} for kind in sorted(actions)],
    }
    step["anyOf"] = [{"required": ["action"]}, {"required": ["manual"]}]
    step["allOf"] = [
        {
            "if": {"required": ["action"], "properties": {"action": {"const": kind}}},
            "then": {"properties": {"with": arguments_schema(actions[kind].params, actions[kind].summary)}},
        }
        for kind in sorted(actions)
    ]


def _add_probes(check: Schema, catalogue: Catalogue) -> None:
    probes = catalogue.probes
    for key, kind in SHORT_PROBES.items():
        if kind not in probes or key == "expr":
            continue
        short = {"type": ["string", "array"]}
        long = arguments_schema(probes[kind].params, probes[kind].summary)
        described = check["properties"][key]["description"]
        check["properties"][key] = {"description": described, "anyOf": [short, long]}
    check["properties"]["probe"] = {
        "description": check["properties"]["probe"]["description"],
        "oneOf": [{"const": kind, "description": probes[kind].summary} for kind in sorted(probes)],
    }
    check["oneOf"] = [{"required": [key]} for key in (*SHORT_PROBES, "probe")]
    check["allOf"] = [
        {
            "if": {"required": ["probe"], "properties": {"probe": {"const": kind}}},
            "then": {"properties": {"with": arguments_schema(probes[kind].params, probes[kind].summary)}},
        }
        for kind in sorted(probes)
    ]


def arguments_schema(params: Mapping[str, Param], summary: str) -> Schema:
    """The schema of a plug-in's arguments."""
    schema: Schema = {
        "type": "object",
        "description": summary,
        "additionalProperties": False,
        "properties": {name: _param_schema(param) for name, param in params.items()},
    }
    required = [name for name, param in params.items() if param.required]
    if required:
        schema["required"] = required
    return schema


def _param_schema(param: Param) -> Schema:
    """A literal of the type, or a text with a blank."""
    description = f"{param.doc} ({param.type}{'' if param.required else ', optional'})"
    kind = {"enum": list(param.choices)} if param.choices else _BY_TYPE.get(param.type, _TEXT)
    if kind.get("type") in ("array", "object") or kind == _TEXT:
        return {"description": description, **kind}
    return {"description": description, "anyOf": [kind, _BLANK]}
