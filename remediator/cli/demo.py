"""`remediator demo`: hands over to the story; imported only then."""

from __future__ import annotations

import click


@click.command(epilog="\b\nExamples:\n  remediator demo --story dry-run")
@click.option(
    "--story", type=click.Choice(["all", "dry-run", "failure"]), default="all", show_default=True,
    help="Everything, the same without touching anything, or a remedy that does not help.",
)  # fmt: skip
@click.pass_context
def demo(ctx: click.Context, story: str) -> None:
    """Plays the runbook's incidents on a simulated site.

    Real Prometheus, real Alertmanager, simulated mail servers. Exits 1 if the story does not come out right.
    """
    from remediator.demo.story import main as play

    ctx.exit(play(["--story", story]))
