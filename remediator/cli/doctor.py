"""`remediator doctor`: is everything there that the rules rest on, and does it let us in? Each no comes with what to do."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from remediator.cli.client import Client
from remediator.cli.options import FILE, connected, duration, output
from remediator.cli.progress import progress
from remediator.cli.text import plain, safe_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.doctor import Case, Finding
    from remediator.doctor.sending import Seen

SETTINGS = "remediator.yml"
# How many entries one question about the journal asks for.
PAGE = 500


@click.command(
    epilog="\b\nExamples:\n  remediator doctor --config.file remediator.yml\n  remediator doctor --send-test -o json"
)
@click.option(
    "--config.file", "config_file", type=FILE, envvar="REMEDIATOR_CONFIG_FILE", default=SETTINGS, show_default=True,
    help="Settings.",
)  # fmt: skip
@click.option("--send-test", is_flag=True, help="Also send a marked alert through Alertmanager, and wait for it.")
@click.option("--within", type=duration, default="2m", show_default=True, help="How long to wait for the marked alert.")
@output
@connected
@click.pass_context
def doctor(ctx: click.Context, client: Client, config_file: Path, within: float, form: str, *, send_test: bool) -> None:
    """Is everything there, and does it let us in?

    Asks Prometheus, Alertmanager, every target and every receiver, and changes nothing. `--send-test` posts an alert called
    RemediatorTest to Alertmanager and waits until the service at --url has decided on it. Exits 1 if there is a ✗.
    """
    from remediator.doctor import Mark, examine
    from remediator.doctor.building import from_settings
    from remediator.doctor.rounds import total

    if not config_file.is_file():
        raise click.UsageError(f"there is no {config_file} here; name the settings with --config.file")
    case = from_settings(config_file)
    with progress("examining", total()) as done:
        found = asyncio.run(examine(case, done))
    if send_test:
        found += _sent(case, client, within)
    click.echo(_as_json(found) if form == "json" else _as_table(found), nl=False)
    ctx.exit(1 if any(one.mark is Mark.BAD for one in found) else 0)


def _sent(case: Case, client: Client, within: float) -> list[Finding]:
    from remediator.doctor.sending import send_test

    journal = _Journal(client, after=client.get("/api/v1/status").read(_Status).entries)

    async def look(mark: str) -> Seen | None:
        return journal.look(mark)

    return asyncio.run(send_test(case, uuid.uuid4().hex, look, within=within))


class _Status(msgspec.Struct):
    entries: int


class _Line(msgspec.Struct):
    seq: int
    at: float
    kind: str
    fact: dict[str, object] = {}


class _Lines(msgspec.Struct):
    entries: list[_Line]


class _Journal:
    """What the service wrote since we began."""

    def __init__(self, client: Client, after: int) -> None:
        self._client = client
        self._after = after

    def look(self, mark: str) -> Seen | None:
        """The decision on the marked alert, if it has been written."""
        from remediator.doctor.sending import MARK, Seen

        answer = self._client.get("/api/v1/entries", {"after": self._after, "limit": PAGE})
        for line in answer.read(_Lines).entries:
            self._after = line.seq
            for alert in _alerts(line):
                labels, disposals = alert.get("labels"), alert.get("disposals")
                if isinstance(labels, dict) and labels.get(MARK) == mark:
                    first = disposals[0] if isinstance(disposals, list) and disposals else {}
                    return Seen(disposition=str(first.get("disposition", "decided")), at=line.at)
        return None


def _alerts(line: _Line) -> list[dict[str, object]]:
    found = line.fact.get("alerts")
    whole = found if isinstance(found, list) else []
    return [one for one in whole if isinstance(one, dict)] if line.kind == "notification.disposed" else []


def _as_table(found: Sequence[Finding]) -> str:
    wide = max((len(one.area) for one in found), default=0)
    lines = []
    for one in found:
        lines.append(f"{one.mark.sign} {one.area:<{wide}}  {plain(one.sentence)}")
        if one.fix:
            lines.append(f"  {'':<{wide}}  → {plain(one.fix)}")
    counts = [sum(one.mark.value == mark for one in found) for mark in ("good", "bad", "untold")]
    return "\n".join([*lines, f"{counts[0]} ✓, {counts[1]} ✗, {counts[2]} –"]) + "\n"


def _as_json(found: Sequence[Finding]) -> str:
    whole = [{"area": one.area, "mark": one.mark.value, "sentence": one.sentence, "fix": one.fix} for one in found]
    return safe_json(json.dumps(whole, ensure_ascii=False, indent=2)) + "\n"
