"""`remediator schema`: the JSON Schema of rules and settings, for editors. Needs no service."""

from __future__ import annotations

import json

import click


@click.command(epilog="\b\nExamples:\n  remediator schema\n  remediator schema config")
@click.argument("kind", type=click.Choice(["rules", "config", "exporter", "tests"]), default="rules")
def schema(kind: str) -> None:
    """Prints the JSON Schema of rules or settings.

    `config` is the service's settings file, `exporter` the exporter's, `tests` a file of rule tests.
    Save it, and name it in the first line of a file:
    # yaml-language-server: $schema=rules.schema.json
    """
    from remediator.config.schema import cases_schema, exporter_schema, rules_schema, settings_schema
    from remediator.plugins import describe_catalogue

    match kind:
        case "rules":
            found = rules_schema(describe_catalogue())
        case "exporter":
            found = exporter_schema()
        case "tests":
            found = cases_schema()
        case _:
            found = settings_schema()
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))
