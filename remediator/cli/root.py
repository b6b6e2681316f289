"""The `remediator` command itself: finds the command that was meant, imports only that one, and turns our errors into text.

May import click and nothing heavier, so that `remediator status` at 3 a.m. starts at once.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

import click

from remediator import __version__
from remediator.cli.text import plain, plain_lines
from remediator.errors import RemediatorError

if TYPE_CHECKING:
    from collections.abc import Mapping

# In the order of the help text: looking, acting, rules, service.
COMMANDS: Mapping[str, str] = {
    "status": "remediator.cli.status:status",
    "log": "remediator.cli.log:log",
    "explain": "remediator.cli.explain:explain",
    "approve": "remediator.cli.decisions:approve",
    "reject": "remediator.cli.decisions:reject",
    "decide": "remediator.cli.decisions:decide",
    "pause": "remediator.cli.pause:pause",
    "resume": "remediator.cli.pause:resume",
    "release": "remediator.cli.release:release",
    "restore": "remediator.cli.restore:restore",
    "undo": "remediator.cli.undo:undo",
    "run": "remediator.cli.by_hand:run",
    "check": "remediator.cli.check:check",
    "test": "remediator.cli.test:test",
    "doctor": "remediator.cli.doctor:doctor",
    "schema": "remediator.cli.schema:schema",
    "serve": "remediator.cli.serve:serve",
    "exporter": "remediator.cli.exporter:exporter",
    "docker-proxy": "remediator.cli.docker_proxy:docker_proxy",
    "demo": "remediator.cli.demo:demo",
}
# What people type who know other tools.
ELSEWHERE: Mapping[str, str] = {
    "plan": "explain",
    "simulate": "explain",
    "lint": "check",
    "stop": "pause",
    "start": "serve",
}


class Group(click.Group):
    """A group that names the nearest command when there is none by the name given."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the nearest command in the error."""
        name = args[0]
        known = self.list_commands(ctx)
        if name in known or name.startswith("-"):
            return super().resolve_command(ctx, args)
        close = [ELSEWHERE[name]] if ELSEWHERE.get(name) in known else get_close_matches(name, known, n=1)
        advice = f"did you mean '{close[0]}'?" if close else f"expected one of {', '.join(known)}."
        raise click.UsageError(f"There is no command '{plain(name)}'; {advice}", ctx=ctx)


class Root(Group):
    """The top group: imports a command only when it is asked for, and turns our own errors into a line on stderr."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of the help text."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command called `cmd_name`."""
        del ctx
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        found = getattr(import_module(module), name)
        assert isinstance(found, click.Command)
        return found

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command; an error of ours ends it with exit code 1."""
        try:
            return super().invoke(ctx)
        except RemediatorError as fault:
            raise click.ClickException(plain_lines(str(fault))) from fault


@click.command(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExamples:\n  remediator status\n  remediator explain --alert 'alertname=HighBounceRate,domain=gmail.com'",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colours; auto means on a terminal, unless NO_COLOR is set.",
)
@click.pass_context
def root(ctx: click.Context, color: str) -> None:
    """Acts on Prometheus alerts by a runbook: guarded, verified, undone in time, and always with a reason on record.

    \b
    Exit codes: 0 ok, 1 the answer is no, 2 usage, 3 warnings with --lint-fatal,
    4 nobody answers.

    \b
    Completion, for bash:
      eval "$(_REMEDIATOR_COMPLETE=bash_source remediator)"
    """
    if color != "auto":
        ctx.color = color == "always"
    elif os.environ.get("NO_COLOR"):
        ctx.color = False


def main() -> None:
    """The console script."""
    root(prog_name="remediator")
