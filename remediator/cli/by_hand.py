"""`remediator run`: a playbook by hand, through the same guards, locks and journal as any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from remediator.cli.options import because, chatter, connected, pair, person
from remediator.cli.text import plain

if TYPE_CHECKING:
    from remediator.cli.client import Client


class _Started(msgspec.Struct):
    incident: str


@click.command(epilog="\b\nExamples:\n  remediator run pause-and-throttle-domain -p domain=gmail.com -m 'asked by ana'")
@click.argument("playbook")
@click.option(
    "-p", "--param", "params", type=pair, metavar="NAME=VALUE", multiple=True, help="A parameter of the playbook."
)
@because
@person
@connected
def run(client: Client, playbook: str, params: tuple[tuple[str, str], ...], reason: str, by: str) -> None:
    """Runs a playbook by hand. Prints the id of its incident; the guards may still hold it back."""
    given = dict(params)
    if len(given) != len(params):
        twice = next(name for name, _ in params if [one for one, _ in params].count(name) > 1)
        raise click.UsageError(f"-p {plain(twice)} is given twice; a parameter has one value")
    body = {"playbook": playbook, "params": given, "by": by, "reason": reason}
    started = client.post("/api/v1/run", body).read(_Started)
    click.echo(plain(started.incident))
    chatter(f"follow it with: remediator log tail --incident {plain(started.incident)}")
