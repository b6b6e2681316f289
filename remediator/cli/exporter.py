"""`remediator exporter`: hands the flags to the exporter, imported only then. They are named as those of `serve`."""

from __future__ import annotations

from pathlib import Path

import click

from remediator.cli.options import FILE


@click.command(epilog="\b\nExamples:\n  remediator exporter --config.file exporter.yml")
@click.option("--config.file", "config_file", type=FILE, envvar="REMEDIATOR_EXPORTER_CONFIG_FILE", help="Settings.")
@click.option(
    "--web.listen-address", "listen", envvar="REMEDIATOR_EXPORTER_LISTEN_ADDRESS",
    help="Address to listen on.  [default: 127.0.0.1:9925]",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Only check the settings: exit 1 if they have faults.")
@click.option(
    "--log.level", "log_level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True,
    help="From which level on to log.",
)  # fmt: skip
@click.option(
    "--log.format", "log_format", type=click.Choice(["auto", "logfmt", "json"]), default="auto", show_default=True,
    help="Form of the log; auto means logfmt on a terminal, JSON otherwise.",
)  # fmt: skip
@click.pass_context
def exporter(
    ctx: click.Context, config_file: Path | None, listen: str | None, log_level: str, log_format: str, *, check: bool
) -> None:
    """Exports IP reputation and mail outcomes.

    Asks Sender Score and DNS lists about the addresses in its settings, and counts the records that kumod's log hook posts
    to /api/v1/log-records, until SIGTERM or Ctrl-C. Exits 0 after a clean stop, 1 if it could not start.
    """
    from remediator import exporter as room

    if check:
        if config_file is None:
            raise click.UsageError("--check needs --config.file, the settings to check")
        warnings = room.check_settings(config_file)
        for warning in warnings:
            click.echo(str(warning))
        click.echo(f"{config_file}: no errors, {len(warnings)} warnings")
        return
    options = room.ExporterOptions(config_file=config_file, listen=listen, log_level=log_level, log_format=log_format)
    ctx.exit(room.run_exporter(options))
