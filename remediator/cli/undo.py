"""`remediator undo`: takes back now what an incident left behind, after showing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from remediator.cli.client import Refused, incident_path
from remediator.cli.options import chatter, confirmed, connected, incident_argument, person, unasked
from remediator.cli.text import clock, day, pairs, plain, screen, table
from remediator.core.views import StoryView, UndoneView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.cli.client import Client
    from remediator.core.views import UndoView

# Comparing, touching and looking again at several targets takes longer than an answer usually does (s).
WORK = 120.0
_TAKEN_BACK = frozenset({"undone", "gone"})


class _Undone(msgspec.Struct):
    undone: list[UndoneView]


@click.command(epilog="\b\nExamples:\n  remediator undo inc-6c01 --yes\n  remediator undo inc-6c01 --step 1 --yes")
@incident_argument
@click.option("--step", type=click.IntRange(1), help="Only this step, as `log show` counts them.  [default: all]")
@person
@unasked
@connected
@click.pass_context
def undo(ctx: click.Context, client: Client, incident: str, step: int | None, by: str, *, yes: bool) -> None:
    """Takes back now what an incident left behind.

    Newest first, without waiting for it to expire.
    Only what is still ours is touched: what somebody has changed since is left alone and reported. Exits 1 unless all
    of it is gone.
    """
    story = client.get(incident_path(incident)).read(StoryView)
    name = story.incident.incident
    left = [one for one in story.undos if step is None or _step(one) == step]
    if not left:
        which = f"step {step} of {plain(name)}" if step is not None else plain(name)
        raise Refused(404, f"{which} left nothing behind that could be taken back")
    for line in _what(left):
        click.echo(line)
    if not confirmed("Take this back now?", yes=yes):
        chatter("nothing was taken back")
        ctx.exit(1)
    # Steps count from 1 for people and from 0 on the wire.
    body = {"by": by, "step": step - 1 if step is not None else None}
    done = client.post(incident_path(name, "undo"), body, wait=WORK).read(_Undone).undone
    for line in table([[plain(one.undo), plain(one.result), plain(one.sentence)] for one in done], screen()):
        click.echo(line)
    ctx.exit(0 if all(one.result in _TAKEN_BACK for one in done) else 1)


def _step(undo: UndoView) -> int:
    return int(undo.undo.rpartition("/")[2]) + 1


def _what(left: Sequence[UndoView]) -> list[str]:
    rows = [
        [
            f"step {_step(one)}",
            plain(one.action),
            f"{pairs(one.arguments)}, else taken back {day(one.due_at)} {clock(one.due_at)}Z",
        ]
        for one in left
    ]
    return table(rows, screen())
