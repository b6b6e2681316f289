"""`remediator explain`: what every rule would say to an alert, and why: from match to plan, and the nearest miss."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
import msgspec

from remediator.cli.client import Client, Unreachable, incident_path
from remediator.cli.options import FILE, chatter, connected, moment, output
from remediator.cli.plan_text import after_text, check_text, condition_text, step_rows
from remediator.cli.story_text import decision, pruned
from remediator.cli.text import plain, safe_json, screen, table, wrapped
from remediator.core.verdicts import Answer
from remediator.core.views import ExplanationView, StoryView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WOULD = {
    "run": ("WOULD RUN", "green"),
    "ask": ("WOULD ASK A PERSON", "green"),
    "join": ("WOULD JOIN", "yellow"),
    "hold": ("WOULD WAIT", "yellow"),
    "refuse": ("WOULD NOT RUN", "red"),
}
_ACTS = frozenset({"run", "ask"})
_SIGN = {Answer.ALLOW: "✓", Answer.ASK: "?", Answer.DEFER: "✗", Answer.DENY: "✗"}
_HANG = 10


@click.command(
    epilog="\b\nExamples:\n"
    "  remediator explain --alert 'alertname=HighBounceRate,severity=critical,domain=gmail.com'\n"
    "  remediator explain payload.json -o json\n"
    "  remediator explain --incident inc-8a2c"
)
@click.argument("payload", required=False)
@click.option("--alert", "labels_text", metavar="NAME=VALUE,…", help="The labels of an alert that need not exist.")
@click.option("--incident", metavar="ID", help="An incident that is on record: what was decided then, and why.")
@click.option(
    "--at", type=moment, metavar="TIME", help="With --incident: as decided at this time, such as 2026-11-24T04:31:00Z."
)
@click.option("--now", "anew", is_flag=True, help="With --incident: what the rules would say to its alert now.")
@click.option("--rule", default="", help="Only what this rule would say.")
@click.option("--offline", is_flag=True, help="Ask no service: the rules of --config.file, and no PromQL is evaluated.")
@click.option(
    "--config.file",
    "config_file",
    type=FILE,
    envvar="REMEDIATOR_CONFIG_FILE",
    help="Settings, to do without a service.",
)
@output
@connected
@click.pass_context
def explain(
    ctx: click.Context,
    client: Client,
    payload: str | None,
    labels_text: str | None,
    incident: str | None,
    at: float | None,
    rule: str,
    config_file: Path | None,
    form: str,
    *,
    offline: bool,
    anew: bool,
) -> None:
    """Would this alert act, why, and what exactly would be done?

    PAYLOAD is a notification as Alertmanager posts it, or one alert, as JSON; - reads it from stdin. A rule that starts
    by a schedule is explained by --rule alone. Exits 0 if a rule would run or ask a person, 1 if none would.
    """
    due = rule and payload is None and labels_text is None and incident is None
    if incident is not None or at is not None or anew:
        alone = payload is None and labels_text is None and not (anew and at is not None)
        story = _story(client, incident, alone=alone)
        if not anew:
            _tell_decision(ctx, story, at, form)
        alerts: list[Mapping[str, str]] = [story.incident.labels]
    else:
        alerts = [{}] if due else _alerts(payload, labels_text)
    asked = rule if due else ""
    told = [(labels, _explained(client, labels, asked, config_file, offline=offline)) for labels in alerts]
    told = [(labels, [view for view in views if not rule or view.rule == rule]) for labels, views in told]
    _give(told, form)
    ctx.exit(0 if any(view.would in _ACTS for _, views in told for view in views) else 1)


def _give(told: Sequence[tuple[Mapping[str, str], Sequence[ExplanationView]]], form: str) -> None:
    if form == "json":
        plainly = [view for _, views in told for view in views]
        click.echo(safe_json(msgspec.json.format(msgspec.json.encode(plainly), indent=2).decode()))
        return
    for labels, views in told:
        if len(told) > 1:
            click.echo("alert " + _labels_text(labels))
        for line in tree(views, screen()):
            click.echo(line)


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────────
def _story(client: Client, incident: str | None, *, alone: bool) -> StoryView:
    if incident is None:
        raise click.UsageError("--at and --now are about an incident: give --incident ID with them")
    if not alone:
        raise click.UsageError("--incident stands alone: no PAYLOAD, no --alert, and only one of --at and --now")
    return client.get(incident_path(incident)).read(StoryView)


def _tell_decision(ctx: click.Context, story: StoryView, at: float | None, form: str) -> NoReturn:
    """What was decided then; ends the command."""
    when, view = decision(story, at)
    if form != "json":
        if missing := pruned(story):
            chatter(missing)
        click.echo(click.style(when, bold=True))
    _give([(story.incident.labels, [view])], form)
    ctx.exit(0 if view.would in _ACTS else 1)


def _alerts(payload: str | None, labels_text: str | None) -> list[Mapping[str, str]]:
    if (payload is None) == (labels_text is None):
        raise click.UsageError(
            "give one of --alert 'name=value,…', --incident ID, or a PAYLOAD (a file, or - for stdin)"
        )
    if labels_text is not None:
        return [parse_labels(labels_text)]
    assert payload is not None
    try:
        body = sys.stdin.buffer.read() if payload == "-" else Path(payload).read_bytes()
    except OSError as fault:
        raise click.UsageError(f"{plain(payload)} cannot be read: {fault.strerror}") from fault
    return _labels_in(body, "stdin" if payload == "-" else payload)


def parse_labels(text: str) -> dict[str, str]:
    """Labels of `alertname=X,domain="a,b"`; a value with a comma stands in double quotes. UsageError."""
    import re

    pattern = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^,"]*))\s*(?:,|\Z)')
    labels: dict[str, str] = {}
    position = 0
    stripped = text.strip().removeprefix("{").removesuffix("}")
    while position < len(stripped):
        found = pattern.match(stripped, position)
        if found is None:
            raise click.UsageError(
                f"--alert: {plain(stripped[position:])!r} is not a label; expected name=value, "
                'with double quotes around a value that has a comma: alertname=HighBounceRate,note="a,b"'
            )
        quoted = found[2]
        labels[found[1]] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else found[3].strip()
        position = found.end()
    if not labels:
        raise click.UsageError("--alert names no label; expected for example alertname=HighBounceRate,domain=gmail.com")
    return labels


class _Told(msgspec.Struct):
    rules: list[ExplanationView]


class _Alert(msgspec.Struct):
    labels: dict[str, str]


class _Payload(msgspec.Struct):
    alerts: list[_Alert] = []
    labels: dict[str, str] | None = None


def _labels_in(body: bytes, where: str) -> list[Mapping[str, str]]:
    try:
        read = msgspec.json.decode(body, type=_Payload)
    except msgspec.DecodeError as fault:
        raise click.UsageError(
            f"{plain(where)} is no notification and no alert ({fault}); "
            'expected JSON with "alerts": [{"labels": …}] or "labels": …'
        ) from fault
    found = read.alerts if read.labels is None else [_Alert(labels=read.labels)]
    if not found:
        raise click.UsageError(f"{plain(where)} holds no alert")
    return [alert.labels for alert in found]


def _explained(
    client: Client, labels: Mapping[str, str], rule: str, config_file: Path | None, *, offline: bool
) -> Sequence[ExplanationView]:
    if not offline:
        try:
            asked = {"labels": dict(labels)} | ({"rule": rule} if rule else {})
            return client.post("/api/v1/explain", asked).read(_Told).rules
        except Unreachable as fault:
            if config_file is None:
                raise Unreachable(f"{fault.message}; or explain without it: --config.file FILE") from fault
            chatter(f"{fault.message}")
            chatter(f"explaining from {config_file} instead, without the history of the service")
    if config_file is None:
        raise click.UsageError("--offline needs --config.file: which rules?")
    from remediator.service import explain_offline

    views: Sequence[ExplanationView] = explain_offline(config_file, labels, rule)
    return views


def _labels_text(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{plain(name)}={plain(value)}" for name, value in sorted(labels.items()))


# ── what is told ─────────────────────────────────────────────────────────────────────────────────────────────────────
def tree(views: Sequence[ExplanationView], width: int) -> list[str]:
    """The explanations as text: the rules that match in full, then the nearest miss, then the others in a line each."""
    lines: list[str] = []
    for view in views:
        if view.would != "no_match":
            lines += _matched(view, width)
    misses = [view for view in views if view.would == "no_match"]
    for heading, some in (
        ("nearest miss", [view for view in misses if view.nearest_miss]),
        ("no match", [view for view in misses if not view.nearest_miss]),
    ):
        lines += [click.style(heading, bold=True)] if some else []
        lines += table([[f"rule {plain(view.rule)}" if view.rule else "", _miss(view)] for view in some], width)
    return lines


def _miss(view: ExplanationView) -> str:
    failed = [match for match in view.matches if not match.ok]
    if not failed:
        return plain(view.sentence)
    got = (f"(got {plain(match.got)})" if match.got else "(the alert has no such label)" for match in failed)
    return "; ".join(f"✗ {plain(match.matcher)}   {told}" for match, told in zip(failed, got, strict=True))


def _matched(view: ExplanationView, width: int) -> list[str]:
    word, colour = _WOULD.get(view.would, (plain(view.would).upper(), "yellow"))
    name = f"rule {plain(view.rule)}"
    space = max(2, width - len(name) - len(word))
    lines = [click.style(name, bold=True) + " " * space + click.style(word, fg=colour, bold=True)]
    lines += _block("start", [plain(view.schedule)] if view.schedule else [], width)
    lines += _block("match", [f"{'✓' if match.ok else '✗'} {plain(match.matcher)}" for match in view.matches], width)
    lines += _block("group", [f"{plain(name)} = {plain(value)}" for name, value in sorted(view.target.items())], width)
    if view.plan is not None and view.plan.when is not None:
        lines += _block("when", [condition_text(view.plan.when)], width)
    verdicts = [[f"{_SIGN[told.answer]} {plain(told.guard)}", plain(told.sentence)] for told in view.verdicts]
    lines += _block("guards", table(verdicts, width - _HANG), width)
    lines += _block("mode", [_mode(view.mode)] if view.mode else [], width)
    if view.plan is not None:
        lines += _block("plan", table(step_rows(view.plan), width - _HANG), width)
        lines += _block("verify", [check_text(check) for check in view.plan.verify], width)
        lines += _block("else", [after_text(view.plan)], width)
        lines += _block("digest", [plain(view.digest)] if view.digest else [], width)
    if view.would not in _ACTS or not view.verdicts:
        lines += _block("so", [plain(view.sentence)], width)
    return lines


def _mode(mode: str) -> str:
    return f"{mode}: nothing would be touched" if mode == "dry-run" else plain(mode)


def _block(heading: str, texts: Sequence[str], width: int) -> list[str]:
    lines: list[str] = []
    for place, text in enumerate(texts):
        lead = (f"  {heading}" if place == 0 else "").ljust(_HANG)
        # Rows of a table are laid out already; a wrap would tear their columns.
        lines += [lead + text] if len(lead) + len(text) <= width else wrapped(lead, text, width, hang=_HANG + 2)
    return lines
