"""`remediator release`: a person ends safe mode, or the hold after a step of a clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from remediator.cli.options import because, connected, person

if TYPE_CHECKING:
    from remediator.cli.client import Client

_WORDS = {"safe_mode": "safe mode", "clock": "the hold of the clock"}


class Released(msgspec.Struct, frozen=True):
    """What was released."""

    released: tuple[str, ...]


@click.command(
    epilog="\b\nExamples:\n  remediator release --reason 'restored on purpose, limits checked'\n"
    "  remediator release --reason 'a fresh test system' --now\n"
    "  remediator release --reason 'the machine slept, its clock is right again'"
)
@because
@click.option("--now", "at_once", is_flag=True, help="Do not wait for the longest limiter window after safe mode.")
@person
@connected
def release(client: Client, reason: str, by: str, *, at_once: bool) -> None:
    """Ends safe mode, or the hold after a step of a clock.

    Safe mode follows lost history. Find out first what is gone: log and messages name the entries, `log verify --anchors`
    compares. After it effects begin when the longest limiter window has passed since, for nobody can know what of the
    limits was used up in what was lost. After a step of a clock, make sure that it is right; what is limited then
    begins at once. It would begin by itself after one longest window.
    """
    if not reason.strip():
        raise click.UsageError("a release needs a reason: whoever reads the journal later will ask")
    body = {"reason": reason, "by": by, "patience": "none" if at_once else "window"}
    done = client.post("/api/v1/release", body).read(Released).released
    click.echo(f"released {' and '.join(_WORDS.get(word, word) for word in done)}")
    if "safe_mode" in done and not at_once:
        click.echo("effects begin when the longest limiter window has passed; remediator status says when")
