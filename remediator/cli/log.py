"""`remediator log`: what happened, from a running service: the list, one incident line by line, and what comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from remediator.cli import log_offline, story_text
from remediator.cli.client import Client, Query, incident_path
from remediator.cli.options import chatter, connected, duration, give_json, incident_argument, output, pair
from remediator.cli.root import Group
from remediator.cli.text import clock, day, pairs, plain, safe_json, span, table, wide, wrapped
from remediator.core.views import IncidentView, LineView, StatusView, StoryView

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 500
WAIT = 20.0
_COLOURS = {
    "succeeded": "green", "recovered": "green", "failed": "red", "rolled_back": "red", "needs_person": "red",
    "unverified": "yellow", "denied": "yellow", "expired": "yellow",
}  # fmt: skip


class LogGroup(Group):
    """`remediator log` alone is `remediator log list`, options included."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's, with `list` put in where no command is named."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=LogGroup, epilog="\b\nExamples:\n  remediator log\n  remediator log show inc-8a2c")
def log() -> None:
    """What happened, and whether the record of it is whole.

    Without a command, `list`. Times are UTC.
    """


class Page(msgspec.Struct, frozen=True):
    """Lines of the action log, and where the next ones are."""

    incidents: tuple[IncidentView, ...]
    next: str | None = None


class Entries(msgspec.Struct, frozen=True):
    """Lines of the journal, and its present end."""

    entries: tuple[LineView, ...]
    head: int = 0


# ── list ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
@log.command(
    "list", epilog="\b\nExamples:\n  remediator log list --since 24h --result failed\n  remediator log list -q"
)
@click.option("--since", type=duration, default="24h", show_default=True, help="How far back.")
@click.option("--rule", help="Only incidents of this rule.")
@click.option("--status", help="Only incidents that stand so, such as running or closed.")
@click.option("--result", help="Only incidents that ended so, such as recovered or failed.")
@click.option(
    "--label",
    "labels",
    type=pair,
    metavar="NAME=VALUE",
    multiple=True,
    help="Only incidents with this label; may be repeated.",
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="At most so many.")
@click.option("-q", "--quiet", is_flag=True, help="Only the ids.")
@output
@connected
def list_incidents(client: Client, limit: int, form: str, *, quiet: bool, **wanted: object) -> None:
    """Incidents, newest first."""
    query = _query(wanted)
    found: list[IncidentView] = []
    cursor: str | None = ""
    while cursor is not None and len(found) < limit:
        asked = {**query, "limit": min(PAGE, limit - len(found)), **({"cursor": cursor} if cursor else {})}
        page = client.get("/api/v1/incidents", asked).read(Page)
        found += page.incidents
        cursor = page.next
    if form == "json":
        click.echo(safe_json(msgspec.json.format(msgspec.json.encode(found), indent=2).decode()))
    elif quiet:
        click.echo("\n".join(plain(one.incident) for one in found), nl=bool(found))
    else:
        _tabulate(found)
    if cursor is not None:
        chatter(f"there are more than {limit}; see them with a larger --limit")


def _query(wanted: dict[str, object]) -> dict[str, Query]:
    labels = wanted.pop("labels")
    assert isinstance(labels, tuple)
    query: dict[str, Query] = {name: value for name, value in wanted.items() if isinstance(value, (str, float))}
    if labels:
        query["label"] = [f"{name}={value}" for name, value in labels]
    return query


def _tabulate(found: list[IncidentView]) -> None:
    if not found:
        chatter("no incidents; look further back with --since 7d")
        return
    rows = [
        [
            f"{day(one.opened_at)} {clock(one.opened_at)}",
            plain(one.incident),
            plain(one.rule),
            plain(one.target),
            plain(one.result or one.status) + (" (dry-run)" if one.dry and one.result != "simulated" else ""),
            plain(one.sentence),
        ]
        for one in found
    ]
    for line in table(rows, wide()):
        click.echo(line)


# ── show ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
@log.command(epilog="\b\nExamples:\n  remediator log show inc-8a2c\n  remediator log show inc-8a2c --steps")
@incident_argument
@click.option("--steps", is_flag=True, help="Only the steps: every try with what came of it.")
@click.option("--raw", is_flag=True, help="The entries themselves, one JSON object in a line.")
@output
@connected
def show(client: Client, incident: str, form: str, *, steps: bool, raw: bool) -> None:
    """One incident, line by line. INCIDENT is its id or any beginning of it that fits only one."""
    if steps and raw:
        raise click.UsageError("--steps and --raw are two ways to show the same; give one of them")
    answer = client.get(incident_path(incident))
    story = answer.read(StoryView)
    if missing := story_text.pruned(story):
        chatter(missing)
    if steps and form == "json":
        click.echo(safe_json(msgspec.json.format(msgspec.json.encode(story_text.attempts(story)), indent=2).decode()))
    elif steps:
        for text in story_text.steps(story, wide()):
            click.echo(text)
    elif raw:
        for entry in story.lines:
            click.echo(_json_line({"seq": entry.seq, "at": entry.at, "fact": entry.fact}))
    elif form == "json":
        give_json(answer)
    else:
        for text in timeline(story, wide()):
            click.echo(text)


def timeline(story: StoryView, width: int | None) -> list[str]:
    """The story of an incident, in lines of at most `width` columns."""
    one = story.incident
    word = plain(one.result or one.status).replace("_", " ")
    took = f"{word} in {span(one.changed_at - one.opened_at)}" if one.result else word
    parts = [plain(one.rule), plain(one.target), took, *(["dry-run"] if one.dry else []), f"{day(one.opened_at)} UTC"]
    lines = wrapped("", " · ".join(part for part in parts if part), width, hang=4)
    lines[0] = lines[0].replace(took, click.style(took, fg=_COLOURS.get(one.result), bold=True), 1)
    widest = max((len(plain(entry.word)) for entry in story.lines), default=0)
    today = day(one.opened_at)
    for entry in story.lines:
        if day(entry.at) != today:
            today = day(entry.at)
            lines.append(f"── {today} UTC")
        lines += _told(entry, widest, width)
    for undo in story.undos:
        lines.append(f"still there: {plain(undo.action)} {pairs(undo.arguments)}, taken back {day(undo.due_at)} "
                     f"{clock(undo.due_at)}Z")  # fmt: skip
    return lines


def _told(entry: LineView, widest: int, width: int | None) -> list[str]:
    lead = f"{clock(entry.at)}  {plain(entry.word).ljust(widest)}  "
    return wrapped(lead, plain(entry.sentence), width)


# ── tail ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
@log.command(epilog="\b\nExamples:\n  remediator log tail -n 20\n  remediator log tail --rule high-bounce-rate -o json")
@click.option("-n", "--lines", type=click.IntRange(0, 10_000), default=10, show_default=True, help="Begin so far back.")
@click.option("--rule", default="", help="Only what belongs to incidents of this rule.")
@click.option("--incident", default="", help="Only what belongs to this incident.")
@output
@connected
def tail(client: Client, lines: int, rule: str, incident: str, form: str) -> None:
    """The journal as it grows, until Ctrl-C."""
    mine = _Choice(client, rule=rule, incident=incident)
    after = max(0, client.get("/api/v1/status").read(StatusView).entries - lines)
    chatter("following the journal; Ctrl-C ends it")
    try:
        for entry in _follow(client, after):
            if mine.takes(entry):
                click.echo(_json_line(entry) if form == "json" else _tail_line(entry))
    except KeyboardInterrupt:
        chatter("")


def _follow(client: Client, after: int) -> Iterator[LineView]:
    while True:
        query = {"after": after, "limit": PAGE, "wait": WAIT}
        page = client.get("/api/v1/entries", query, wait=WAIT).read(Entries)
        yield from page.entries
        after = page.entries[-1].seq if page.entries else after


class _Choice:
    """Which lines are wanted; entries name their incident, so those of a rule are learned from the list."""

    def __init__(self, client: Client, *, rule: str, incident: str) -> None:
        self._rule = rule
        self._incident = incident
        self._known: set[str] = set()
        if rule:
            page = client.get("/api/v1/incidents", {"rule": rule, "limit": PAGE}).read(Page)
            self._known = {one.incident for one in page.incidents}

    def takes(self, entry: LineView) -> bool:
        """Whether this line is wanted."""
        if self._rule and entry.kind == "incident.opened" and entry.fact.get("rule") == self._rule:
            self._known.add(entry.incident)
        if self._incident and not (entry.incident and entry.incident.startswith(self._incident)):
            return False
        return not self._rule or entry.incident in self._known


def _tail_line(entry: LineView) -> str:
    lead = f"{clock(entry.at)}  {plain(entry.incident).ljust(12)}  {plain(entry.word).ljust(12)}  "
    return lead + plain(entry.sentence)


def _json_line(value: object) -> str:
    return safe_json(msgspec.json.encode(value).decode())


log.add_command(log_offline.verify)
log.add_command(log_offline.export)
