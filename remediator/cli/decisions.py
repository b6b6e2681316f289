"""`approve`, `reject`, `decide`: a person's word on a run that waits. The plan is shown first, its digest is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from remediator.cli.client import Refused, incident_path
from remediator.cli.options import because, chatter, confirmed, connected, incident_argument, person, unasked
from remediator.cli.plan_text import after_text, check_text, condition_text, step_rows
from remediator.cli.text import plain, screen, span, table, wrapped
from remediator.core.views import RunView, StatusView, StoryView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.cli.client import Client

AWAITING = "awaiting_approval"
PARKED = "needs_person"
_AGAIN = {"approval.given": "approved", "approval.refused": "rejected"}


@click.command(epilog="\b\nExamples:\n  remediator approve inc-7f3k --yes -m 'agreed with the mail team'")
@incident_argument
@click.option("-m", "--reason", default="", help="Why; kept in the journal.")
@person
@unasked
@connected
@click.pass_context
def approve(ctx: click.Context, client: Client, incident: str, by: str, reason: str, *, yes: bool) -> None:
    """Says yes to exactly the plan that is shown.

    The guards are asked again before anything is done.
    Exits 1 if the plan has changed meanwhile, or is too late.
    """
    run = _waiting(client, incident, "approved")
    if run is None:
        return
    for line in plan_page(run, client, screen()):
        click.echo(line)
    if not confirmed(f"Approve this plan ({run.digest})?", yes=yes):
        chatter("nothing was approved")
        ctx.exit(1)
    client.post(incident_path(run.run, "approve"), {"digest": run.digest, "by": by, "reason": reason})
    click.echo(f"approved {run.run}, plan {run.digest}")


@click.command(epilog="\b\nExamples:\n  remediator reject inc-7f3k --yes -m 'the provider is known to be down'")
@incident_argument
@click.option("-m", "--reason", default="", help="Why; kept in the journal.")
@person
@unasked
@connected
@click.pass_context
def reject(ctx: click.Context, client: Client, incident: str, by: str, reason: str, *, yes: bool) -> None:
    """Says no to a plan that waits."""
    run = _waiting(client, incident, "rejected")
    if run is None:
        return
    for line in plan_page(run, client, screen()):
        click.echo(line)
    if not confirmed("Reject this plan?", yes=yes):
        chatter("nothing was rejected")
        ctx.exit(1)
    client.post(incident_path(run.run, "reject"), {"by": by, "reason": reason})
    click.echo(f"rejected {run.run}")


@click.command(epilog="\b\nExamples:\n  remediator decide inc-7f3k mark_done -m 'looked at the queue: it is suspended'")
@incident_argument
@click.argument("decision", type=click.Choice(["mark_done", "continue", "rollback", "abort"]))
@because
@person
@connected
def decide(client: Client, incident: str, decision: str, reason: str, by: str) -> None:
    """Ends the doubt about a parked run.

    It is parked because nobody could tell whether a step took effect.

    \b
    mark_done  the step did what it should: go on behind it
    continue   it did not: try it once more (refused while the earlier attempt is seen at work)
    rollback   take back what the run left behind, and end it
    abort      end it, and leave everything as it is
    """
    client.post(incident_path(incident, "decide"), {"decision": decision, "by": by, "reason": reason})
    click.echo(f"{decision} decided for {plain(incident)}: {plain(reason)}")


def plan_page(run: RunView, client: Client, width: int) -> list[str]:
    """What a person says yes or no to."""
    now = client.get("/api/v1/status").read(StatusView).now
    plan = run.plan
    rows = [
        ("rule", [f"{plain(run.rule)} on {plain(run.target)}"]),
        ("when", [condition_text(plan.when)] if plan.when is not None else []),
        ("plan", table(step_rows(plan), width - 10)),
        ("verify", [check_text(check) for check in plan.verify]),
        ("else", [after_text(plan)]),
        ("runbook", [plain(plan.runbook_url)] if plan.runbook_url else []),
        ("expires", [f"in {span(run.until - now)}"] if run.until is not None else []),
        ("digest", [plain(run.digest)]),
    ]
    lines = [click.style(f"{plain(run.run)} waits for a yes", bold=True)]
    for heading, texts in rows:
        for place, text in enumerate(texts):
            lines += wrapped((f"  {heading}" if place == 0 else "").ljust(10), text, width)
    return lines


def _waiting(client: Client, name: str, word: str) -> RunView | None:
    """The run of that name that waits for approval; None if the same answer was given already (and that is said)."""
    status = client.get("/api/v1/status").read(StatusView)
    found = [run for run in status.needs_you if run.status == AWAITING and name and _fits(run, name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise Refused(409, f"'{plain(name)}' fits {_names(found)}; give more of the id")
    story = client.get(incident_path(name)).read(StoryView)
    given = [line for line in story.lines if line.kind in _AGAIN]
    if given and _AGAIN[given[-1].kind] == word:
        click.echo(f"{plain(story.incident.incident)} was {word} already: {plain(given[-1].sentence)}")
        return None
    why = f"approval {plain(given[-1].sentence)}" if given else plain(story.incident.sentence)
    stands = plain(story.incident.result or story.incident.status).replace("_", " ")
    raise Refused(409, f"{plain(story.incident.incident)} does not wait for approval: it is {stands} ({why})")


def _fits(run: RunView, name: str) -> bool:
    return run.run == name or run.incident.startswith(name)


def _names(runs: Sequence[RunView]) -> str:
    return ", ".join(plain(run.run) for run in runs)
