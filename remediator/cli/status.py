"""`remediator status`: the 3 a.m. screen: one line on the whole, then what needs a person, runs, waits, will be undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from remediator.cli.options import connected, give_json, output
from remediator.cli.text import clock, day, pairs, plain, plural, screen, span, wrapped
from remediator.core.views import StatusView

if TYPE_CHECKING:
    from remediator.cli.client import Client
    from remediator.core.views import DemotionView, PauseView, RunView, UndoView

_COLOURS = {
    "NEEDS YOU": "red",
    "PROBLEM": "red",
    "OVERDUE": "red",
    "PAUSED": "yellow",
    "DEMOTED": "yellow",
    "HELD BACK": "yellow",
}
_HEADING = 12
_NAME_WIDTHS = (12, 24, 16)
Row = tuple[str, tuple[str, str, str], str]


@click.command(epilog="\b\nExamples:\n  remediator status\n  remediator status -o json")
@connected
@output
@click.pass_context
def status(ctx: click.Context, client: Client, form: str) -> None:
    """How things stand, on one screen.

    Mode, pauses, what needs you, what runs, what will be undone, what is held back.

    Exits 1 when something needs a person: a run that waits for one, an undo that is overdue, or a fault of the service.
    """
    answer = client.get("/api/v1/status")
    view = answer.read(StatusView)
    if form == "json":
        give_json(answer)
    else:
        for line in screenful(view, screen()):
            click.echo(line)
    ctx.exit(1 if needs_somebody(view) else 0)


def needs_somebody(view: StatusView) -> bool:
    """Whether a person has to do something."""
    return bool(view.needs_you or view.problems or any(undo.overdue for undo in view.undos))


def screenful(view: StatusView, width: int) -> list[str]:
    """The status in lines of at most `width` columns."""
    rows = _rows(view)
    sizes = [
        min(limit, max((len(row[1][place]) for row in rows if row[1][0]), default=0))
        for place, limit in enumerate(_NAME_WIDTHS)
    ]
    lines = wrapped("", _headline(view), width, hang=4)
    before = ""
    for heading, names, sentence in rows:
        lead = _lead("" if heading == before else heading, names, sizes)
        before = heading
        first, *rest = _row(lead, sentence, width)
        lines += [_coloured(first, heading), *rest]
    return lines


def _row(lead: str, sentence: str, width: int) -> list[str]:
    """A row; a sentence that does not fit beside the names goes below them."""
    if len(lead) == _HEADING or len(lead) + len(sentence) <= width:
        return wrapped(lead, sentence, width)
    return [lead.rstrip(), *wrapped(" " * _HEADING, sentence, width)]


def _headline(view: StatusView) -> str:
    heard = view.last_notification_at
    stopped = any(pause.scope == "all" for pause in view.pauses)
    parts = [
        plain(view.mode),
        "paused" if stopped else "running",
        plural(view.rules, "rule"),
        f"last notification {span(view.now - heard)} ago" if heard is not None else "no notification yet",
    ]
    if view.pending:
        parts.append(f"{plural(view.pending, 'notification')} to look at")
    return " · ".join(parts)


def _rows(view: StatusView) -> list[Row]:
    now = view.now
    rows: list[Row] = [("PROBLEM", ("", "", ""), plain(problem)) for problem in view.problems]
    rows += [("PAUSED", ("", "", ""), _pause(pause, now)) for pause in view.pauses]
    rows += [("DEMOTED", ("", "", ""), _demoted(one, now)) for one in view.demoted]
    rows += [("NEEDS YOU", _names(run), _needs(run, now)) for run in view.needs_you]
    rows += [("OVERDUE", _undone(undo), _undo(undo, now)) for undo in view.undos if undo.overdue]
    rows += [("RUNNING", _names(run), _running(run, now)) for run in view.running]
    rows += [("UNDO", _undone(undo), _undo(undo, now)) for undo in view.undos if not undo.overdue]
    rows += [("HELD BACK", _names(run), _held(run, now)) for run in view.held_back]
    return rows


def _names(run: RunView) -> tuple[str, str, str]:
    return plain(run.incident), plain(run.rule), plain(run.target)


def _undone(undo: UndoView) -> tuple[str, str, str]:
    return plain(undo.incident), plain(undo.action), ""


def _pause(pause: PauseView, now: float) -> str:
    what = "everything" if pause.scope == "all" else plain(pause.scope.replace(":", " "))
    end = f"until {_moment(pause.until, now)}" if pause.until is not None else "until somebody resumes"
    return f"{what} by {plain(pause.by)} {end}: {plain(pause.reason)}"


def _demoted(one: DemotionView, now: float) -> str:
    where = f" on {plain(one.target)}" if one.target else ""
    tries = f"one run may try from {_moment(one.tries_at, now)}" if one.tries_at > now else "one run may try now"
    return f"{plain(one.rule)}{where} to {plain(one.mode)}, {tries}: {plain(one.reason)}"


def _needs(run: RunView, now: float) -> str:
    if run.status == "awaiting_approval":
        left = f", {span(run.until - now)} left" if run.until is not None else ""
        return f"approve or reject{left}"
    return f"decide: {plain(run.sentence) or 'nobody can tell what became of a step'}"


def _running(run: RunView, now: float) -> str:
    dry = "dry-run, " if run.dry else ""
    since = f" {span(now - run.planned_at)}"
    end = f", ends in {span(run.deadline - now)} at the latest" if run.deadline is not None else ""
    why = f": {plain(run.sentence)}" if run.sentence else ""
    return f"{dry}{plain(run.status).replace('_', ' ')}{since}{end}{why}"


def _undo(undo: UndoView, now: float) -> str:
    if undo.overdue:
        tried = f", tried {undo.tries} times" if undo.tries else ""
        return f"{pairs(undo.arguments)} overdue by {span(now - undo.due_at)}{tried}"
    return f"{pairs(undo.arguments)} in {span(undo.next_at - now)}"


def _held(run: RunView, now: float) -> str:
    until = f"; asks again {_moment(run.until, now)}" if run.until is not None else ""
    return f"{plain(run.sentence) or 'planned'}{until}"


def _moment(at: float, now: float) -> str:
    return f"{clock(at)}Z" if day(at) == day(now) else f"{day(at)} {clock(at)}Z"


def _lead(heading: str, names: tuple[str, str, str], sizes: list[int]) -> str:
    lead = heading.ljust(_HEADING)
    if not names[0]:
        return lead
    return lead + "".join(_cut(name, size).ljust(size + 2) for name, size in zip(names, sizes, strict=True) if name)


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"


def _coloured(line: str, heading: str) -> str:
    if not line.startswith(heading):
        return line
    return click.style(heading, fg=_COLOURS.get(heading), bold=True) + line[len(heading) :]
