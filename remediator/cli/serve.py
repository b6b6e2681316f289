"""`remediator serve`: hands the flags to the service, imported only then. They are named as Prometheus names its own."""

from __future__ import annotations

from pathlib import Path

import click

from remediator.cli.options import DIRECTORY, FILE

MODES = ("off", "dry-run", "approve", "auto")


@click.command(epilog="\b\nExamples:\n  remediator serve --config.file remediator.yml --mode dry-run")
@click.option("--config.file", "config_file", type=FILE, envvar="REMEDIATOR_CONFIG_FILE", help="Settings.")
@click.option(
    "--web.listen-address", "listen", envvar="REMEDIATOR_LISTEN_ADDRESS",
    help="Address to listen on.  [default: 127.0.0.1:9097]",
)  # fmt: skip
@click.option("--web.external-url", "external_url", help="How people reach it, for links in messages.")
@click.option(
    "--storage.path", "storage", type=DIRECTORY, envvar="REMEDIATOR_STORAGE_PATH",
    help="State directory.  [default: data]",
)  # fmt: skip
@click.option(
    "--mode", type=click.Choice(MODES), envvar="REMEDIATOR_MODE", help="Can only make it more careful than the file."
)
@click.option(
    "--log.level", "log_level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True,
    help="From which level on to log.",
)  # fmt: skip
@click.option(
    "--log.format", "log_format", type=click.Choice(["auto", "logfmt", "json"]), default="auto", show_default=True,
    help="Form of the log; auto means logfmt on a terminal, JSON otherwise.",
)  # fmt: skip
@click.pass_context
def serve(
    ctx: click.Context,
    config_file: Path | None,
    listen: str | None,
    external_url: str | None,
    storage: Path | None,
    mode: str | None,
    log_level: str,
    log_format: str,
) -> None:
    """Runs the service, until SIGTERM or Ctrl-C.

    Exits 0 after a clean stop, 1 if it could not start.

    Told no mode, by file or flag, it touches nothing (dry-run).
    """
    from remediator import service

    options = service.ServeOptions(
        config_file=config_file,
        listen=listen,
        storage=storage,
        mode=mode,
        external_url=external_url,
        log_level=log_level,
        log_format=log_format,
    )
    ctx.exit(service.serve(options))
