"""The schema that editors read: whole, described, and in agreement with what is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remediator.config.documents import Raw, parse_document
from remediator.config.schema import cases_schema, rules_schema, settings_schema
from remediator.ports import Catalogue

GOLDEN = Path(__file__).parents[2] / "golden" / "config"


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """All mappings in a schema."""
    if isinstance(node, dict):
        yield node
        for part in node.values():
            yield from nodes(part)
    elif isinstance(node, list):
        for part in node:
            yield from nodes(part)


@pytest.fixture(params=["rules", "settings", "plain", "cases"])
def schema(request: pytest.FixtureRequest, catalogue: Catalogue) -> dict[str, Any]:
    """Each schema."""
    kinds = {
        "rules": lambda: rules_schema(catalogue),
        "settings": settings_schema,
        "plain": rules_schema,
        "cases": cases_schema,
    }
    return kinds[request.param]()


def test_every_key_has_a_description(schema: dict[str, Any]) -> None:
    owners = (schema, *schema["definitions"].values())
    bare = [
        (owner.get("title"), key)
        for owner in owners
        for key, part in owner["properties"].items()
        if not part.get("description")
    ]
    assert bare == []


def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    targets = {node["$ref"] for node in nodes(schema) if isinstance(node.get("$ref"), str)}
    assert targets <= {f"#/definitions/{name}" for name in schema["definitions"]}
    assert targets


def test_it_is_draft_07_and_always_the_same(schema: dict[str, Any], catalogue: Catalogue) -> None:
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert not any("$defs" in node or "prefixItems" in node for node in nodes(schema))
    assert list(schema["definitions"]) == sorted(schema["definitions"])
    again = json.dumps(rules_schema(catalogue))
    assert json.dumps(rules_schema(catalogue)) == again


def unknown(schema: dict[str, Any], node: dict[str, Any], raw: Raw) -> list[str]:
    """The keys of `raw` that the schema does not know; enough of a validator to see that both speak of the same keys."""
    while "allOf" in node and len(node["allOf"]) == 1 and "$ref" in node["allOf"][0]:
        node = node["allOf"][0]
    if "$ref" in node:
        node = schema["definitions"][node["$ref"].rpartition("/")[2]]
    if isinstance(raw, list):
        return [key for part in raw for key in unknown(schema, node.get("items", {}), part)]
    if not isinstance(raw, dict) or "properties" not in node:
        return []
    found = [key for key in raw if key not in node["properties"] and node.get("additionalProperties") is False]
    return found + [
        key
        for name, part in raw.items()
        if name in node["properties"]
        for key in unknown(schema, node["properties"][name], part)
    ]


@pytest.mark.parametrize("name", ["design.good.yml", "everything.good.yml"])
def test_it_knows_every_key_that_loads(name: str, catalogue: Catalogue) -> None:
    schema = rules_schema(catalogue)
    document = parse_document(name, (GOLDEN / name).read_text())
    assert unknown(schema, schema, document.value) == []


def test_it_does_not_know_a_misspelt_key(catalogue: Catalogue) -> None:
    schema = rules_schema(catalogue)
    document = parse_document("f", (GOLDEN / "unknown-field.bad.yml").read_text())
    assert unknown(schema, schema, document.value) == ["fro"]


def test_actions_bring_their_arguments(catalogue: Catalogue) -> None:
    step = rules_schema(catalogue)["definitions"]["StepShape"]
    assert [kind["const"] for kind in step["properties"]["action"]["oneOf"]] == sorted(catalogue.actions)
    suspend = next(arm for arm in step["allOf"] if arm["if"]["properties"]["action"]["const"] == "kumomta.suspend")
    arguments = suspend["then"]["properties"]["with"]
    assert list(arguments["properties"]) == ["node", "domain", "tenant", "reason"]
    assert arguments["required"] == ["node", "reason"]
    assert arguments["additionalProperties"] is False
