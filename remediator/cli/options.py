"""Options that several commands share, and how an answer is given as JSON."""

from __future__ import annotations

import functools
import getpass
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from remediator.cli.client import DEFAULT_URL, Answer, Client
from remediator.cli.text import plain
from remediator.core.durations import parse_duration

Result = TypeVar("Result")
Command = Callable[..., Result]


def duration(text: str) -> float:
    """Type of an option: seconds of a duration as Prometheus writes it; the usage error names the right spelling."""
    try:
        return parse_duration(text)
    except ValueError as fault:
        raise click.BadParameter(str(fault)) from fault


def moment(text: str) -> float:
    """Type of an option: unix seconds of a time as the log writes it; UTC where no zone is named."""
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError as fault:
        raise click.BadParameter(f"{plain(text)!r} is not a time; expected for example 2026-11-24T04:31:00Z") from fault
    return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()


def pair(text: str) -> tuple[str, str]:
    """Type of an option `name=value`: both parts; everything behind the first `=` is the value."""
    name, equals, rest = text.partition("=")
    if not equals or not name.strip():
        raise click.BadParameter(f"{plain(text)!r} is not of the form name=value")
    return name.strip(), rest


FILE = click.Path(path_type=Path, dir_okay=False)
DIRECTORY = click.Path(path_type=Path, file_okay=False)


def connected(command: Command[Result]) -> Command[Result]:
    """Adds --url, --token-file and --timeout; the command gets `client`."""

    @click.option(
        "--url", envvar="REMEDIATOR_URL", default=DEFAULT_URL, show_default=True, help="Where the service is."
    )
    @click.option("--token-file", type=FILE, envvar="REMEDIATOR_TOKEN_FILE", help="File that holds the token.")
    @click.option("--timeout", type=duration, default="10s", show_default=True, help="How long to wait for an answer.")
    @functools.wraps(command)
    def asking(*, url: str, token_file: Path | None, timeout: float, **rest: object) -> Result:
        with Client(url=url, token_file=token_file, timeout=timeout) as client:
            return command(client=client, **rest)

    return asking


def output(command: Command[Result]) -> Command[Result]:
    """Adds `-o table|json`; the command gets `form`."""
    choice = click.Choice(["table", "json"])
    return click.option("-o", "--output", "form", type=choice, default="table", show_default=True, help="Form.")(
        command
    )


def person(command: Command[Result]) -> Command[Result]:
    """Adds `--by`, who is asking: who is logged in, also behind sudo, unless a name is given."""
    return click.option(
        "--by",
        envvar=["REMEDIATOR_BY", "SUDO_USER", "USER"],
        default=_login,
        required=True,
        help="Who orders this.  [default: $USER]",
    )(command)


def _login() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's number without a name
        return None


def incident_argument(command: Command[Result]) -> Command[Result]:
    """Adds INCIDENT: an id, or any beginning of it that fits only one; shells complete it."""
    return click.argument("incident", shell_complete=_known_incidents)(command)


def _known_incidents(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    url, token_file = ctx.params.get("url") or DEFAULT_URL, ctx.params.get("token_file")
    try:
        with Client(url=url, token_file=token_file, timeout=1.0) as client:
            found = client.get("/api/v1/incidents", {"limit": 100}).read(_Known).incidents
    except click.ClickException:
        return []  # a shell that completes shows no errors
    return [plain(one.incident) for one in found if one.incident.startswith(incomplete)]


class _Incident(msgspec.Struct):
    incident: str


class _Known(msgspec.Struct):
    incidents: list[_Incident]


def because(command: Command[Result]) -> Command[Result]:
    """Adds a mandatory `-m WHY`."""
    return click.option("-m", "--reason", required=True, help="Why; kept in the journal.")(command)


def unasked(command: Command[Result]) -> Command[Result]:
    """Adds `--yes`; the command gets `yes`."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask.")(command)


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether a person agrees: `--yes`, or `y` on a terminal. A usage error where there is nobody to ask."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on; look at the plan, then add --yes")
    return click.confirm(question, default=False, err=True)


def give_json(answer: Answer) -> None:
    """Prints an answer as it came."""
    click.echo(answer.json())


def chatter(text: str) -> None:
    """Says something that is not the answer: on stderr."""
    click.echo(text, err=True)


def finish(ctx: click.Context, code: int) -> None:
    """Ends the command with an exit code."""
    ctx.exit(code)
