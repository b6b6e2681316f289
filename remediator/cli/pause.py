"""`pause` and `resume`: the kill switch. Without a service that answers, the break-glass file in its state directory.

The file is what `touch data/PAUSED` makes; a service stops new effects while it is there (DESIGN §4, G20).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from remediator.cli.client import Refused, Unreachable, is_local
from remediator.cli.options import DIRECTORY, chatter, connected, duration, person
from remediator.cli.text import plain
from remediator.core.durations import format_duration

if TYPE_CHECKING:
    from remediator.cli.client import Client
    from remediator.cli.options import Command, Result

FILE = "PAUSED"


def _stored(command: Command[Result]) -> Command[Result]:
    return click.option(
        "--storage.path", "storage", type=DIRECTORY, envvar="REMEDIATOR_STORAGE_PATH",
        help="State directory of the service, for when it does not answer.  [default: data]",
    )(command)  # fmt: skip


@click.command(
    epilog="\b\nExamples:\n  remediator pause 'database migration' --for 2h\n"
    "  remediator pause 'bad data' --rule high-bounce-rate"
)
@click.argument("reason")
@click.option("--for", "seconds", type=duration, help="End by itself after this long.  [default: until resume]")
@click.option("--rule", default="", help="Only this rule.  [default: everything]")
@person
@_stored
@connected
def pause(client: Client, reason: str, seconds: float | None, rule: str, by: str, storage: Path | None) -> None:
    """Stops new effects, at once. Steps under way finish; undos and verification go on.

    With no service to tell, this writes the file PAUSED into its state directory, which does the same when it is seen.
    """
    if not reason.strip():
        raise click.UsageError("a pause needs a reason: the next one on call will ask")
    scope = f"rule:{rule}" if rule else "all"
    end = f" for {format_duration(seconds)}" if seconds is not None else " until somebody resumes"
    try:
        client.post("/api/v1/pause", {"scope": scope, "reason": reason, "by": by, "seconds": seconds})
    except Unreachable as fault:
        file = _break_glass(fault, client, storage, rule)
        _write(file, reason=reason, by=by, seconds=seconds)
        chatter(fault.message)
        click.echo(f"wrote {file}: a service with this state directory is paused{end} once it sees the file")
    else:
        click.echo(f"paused{' rule ' + plain(rule) if rule else ''}{end}: {plain(reason)}")


@click.command(epilog="\b\nExamples:\n  remediator resume\n  remediator resume --rule high-bounce-rate")
@click.option("--rule", default="", help="Only this rule.  [default: everything]")
@person
@_stored
@connected
def resume(client: Client, rule: str, by: str, storage: Path | None) -> None:
    """Ends a pause.

    Removes the file PAUSED too, if `pause` had to write one.
    """
    # The file goes first: a service that still saw it would pause again.
    file = _place(storage) / FILE if not rule and (storage is not None or is_local(client.url)) else None
    removed = file is not None and _remove(file)
    try:
        client.post("/api/v1/resume", {"scope": f"rule:{rule}" if rule else "all", "by": by})
    except Unreachable as fault:
        if not removed:
            raise
        chatter(fault.message)
        click.echo(f"removed {file}: a service with this state directory goes on once it sees that")
    except Refused as fault:
        if not (removed and fault.status == 409):
            raise
        click.echo(f"resumed by removing {file}")
    else:
        click.echo(f"resumed{' rule ' + plain(rule) if rule else ''}" + (f", and removed {file}" if removed else ""))


def _place(storage: Path | None) -> Path:
    return storage if storage is not None else Path("data")


def _break_glass(fault: Unreachable, client: Client, storage: Path | None, rule: str) -> Path:
    """Where the file has to be written; the fault again, with what to do, where that cannot be known."""
    if rule:
        raise Unreachable(f"{fault.message}; a file can only pause everything: leave out --rule for that") from fault
    if storage is None and not is_local(client.url):
        raise Unreachable(
            f"{fault.message}; on its own host, `remediator pause --storage.path DIR` works without it"
        ) from fault
    directory = _place(storage)
    if not directory.is_dir():
        raise Unreachable(
            f"{fault.message}; there is no state directory {directory} to put a file {FILE} in either: "
            "name it with --storage.path"
        ) from fault
    return directory / FILE


def _write(file: Path, *, reason: str, by: str, seconds: float | None) -> None:
    from remediator.system import SystemClock

    until = SystemClock().now() + seconds if seconds is not None else None
    text = json.dumps({"reason": reason, "by": by, "until": until}, ensure_ascii=False) + "\n"
    # Whole or not at all: a service may look at any moment.
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8", errors="replace")
        fresh.replace(file)
    except OSError as fault:
        fresh.unlink(missing_ok=True)
        raise Unreachable(f"{file} cannot be written: {fault.strerror}; run this as the service's user") from fault


def _remove(file: Path) -> bool:
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as fault:
        raise Unreachable(f"{file} cannot be removed: {fault.strerror}; run this as the service's user") from fault
    return True
