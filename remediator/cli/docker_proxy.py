"""`remediator docker-proxy`: hands the flags to the proxy, imported only then."""

from __future__ import annotations

from pathlib import Path

import click

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    "docker-proxy",
    epilog="\b\nExamples:\n  remediator docker-proxy --listen /run/docker-proxy/docker.sock --allow mta1",
)
@click.option(
    "--engine", type=FILE, default=Path("/var/run/docker.sock"), show_default=True, help="The Docker Engine's socket."
)
@click.option("--listen", type=FILE, required=True, help="The socket to make, for remediator alone.")
@click.option("--allow", multiple=True, required=True, help="A container that may be restarted; repeat it for more.")
@click.pass_context
def docker_proxy(ctx: click.Context, engine: Path, listen: Path, allow: tuple[str, ...]) -> None:
    """Lets restarts of named containers through to Docker.

    Runs until SIGTERM or Ctrl-C. Nothing is forwarded: what is allowed is asked of the Engine anew, and answers are cut
    down to the state of the named containers. Exits 0 after a clean stop, 1 if it could not start.
    """
    from remediator.docker_proxy import ProxyOptions, run_docker_proxy

    ctx.exit(run_docker_proxy(ProxyOptions(engine=engine, listen=listen, allow=allow)))
