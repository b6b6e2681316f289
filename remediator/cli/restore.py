"""`restore`: gives a rule back what the breaker took from it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from remediator.cli.options import connected, person
from remediator.cli.text import plain, plural
from remediator.core.views import RestoredView

if TYPE_CHECKING:
    from remediator.cli.client import Client


@click.command(epilog="\b\nExamples:\n  remediator restore high-bounce-rate -m 'the playbook is repaired'")
@click.argument("rule")
@click.option("-m", "--reason", required=True, help="What is different now; kept in the journal.")
@click.option("--target", default="", help="Only on this target, as status shows it.  [default: on all]")
@person
@connected
def restore(client: Client, rule: str, by: str, reason: str, target: str) -> None:
    """Restores a rule that was demoted: its runs did not help.

    It begins anew, in its own mode. Without this, one run may try after each pause, and a run that helps restores it.
    """
    path = f"/api/v1/rules/{quote(rule, safe='')}/restore"
    done = client.post(path, {"reason": reason, "target": target, "by": by}).read(RestoredView)
    click.echo(f"restored {plain(rule)}: {plural(done.demotions, 'demotion')} lifted")
