"""`log verify` and `log export`: whether the journal can be believed, and how it leaves the house.

Both can read the SQLite file beside a running service or without one; they take no lock and write nothing.
"""

from __future__ import annotations

import csv
import io
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from remediator.cli.options import DIRECTORY, FILE, chatter, connected, duration, output
from remediator.cli.progress import progress
from remediator.cli.text import count, plain, plural, safe_json, stamp
from remediator.core.chain import Break, Head, check
from remediator.core.entries import JournalPruned, decode
from remediator.core.views import LineView, StatusView, line_of
from remediator.errors import CorruptJournal, StoreRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from remediator.cli.client import Client
    from remediator.core.entries import Record
    from remediator.stores.sqlite_reader import Reader

JOURNAL = "journal.db"
PAGE = 1000
SOURCE = "remediator"


def head_text(text: str) -> tuple[int, str]:
    """Type of an option: `1204:9f2c…`, as status, log lines and exports give a head: its place and 16 digits of its mac."""
    seq, colon, digits = text.partition(":")
    if not colon or not seq.isdecimal() or len(digits) < 16 or set(digits) - set("0123456789abcdef"):
        raise click.BadParameter(f"{plain(text)!r} is not a head; expected for example 1204:9f2c63d01b7aee45")
    return int(seq), digits[:16]


# ── verify ───────────────────────────────────────────────────────────────────────────────────────────────────────────
@click.command(
    epilog="\b\nExamples:\n  remediator log verify --storage.path data"
    "\n  remediator log verify --key-file data.key -o json"
)
@click.option(
    "--storage.path", "storage", type=DIRECTORY, envvar="REMEDIATOR_STORAGE_PATH", default="data", show_default=True,
    help="State directory of the service.",
)  # fmt: skip
@click.option(
    "--key-file",
    type=FILE,
    envvar="REMEDIATOR_KEY_FILE",
    help="Key that signs the journal.  [default: data.key beside data]",
)
@click.option(
    "--head",
    "anchor",
    type=head_text,
    metavar="SEQ:MAC",
    help="A head from a log line or an export: a cut end shows only by it.",
)
@output
@click.pass_context
def verify(ctx: click.Context, storage: Path, key_file: Path | None, anchor: tuple[int, str] | None, form: str) -> None:
    """Checks that the journal is as it was written.

    Needs no service, and may run beside one. Exits 1 and names the first entry that is not as it was written.
    """
    with opened(storage) as reader:
        key = _key(key_file or key_beside(storage))
        start, total = reader.start(), reader.head().seq
        with progress("checking", total) as show:
            end, seen = _checked(key, reader, start, anchor, show)
    if isinstance(end, Head) and anchor is not None and not seen:
        if anchor[0] < start.seq:
            chatter(f"entry {anchor[0]} was pruned: what stood there cannot be compared any more")
        else:
            end = Break(min(end.seq, anchor[0]) + 1, _lost(anchor, end))
    _tell(start, end, form)
    ctx.exit(1 if isinstance(end, Break) else 0)


def _checked(
    key: bytes, reader: Reader, start: Head, anchor: tuple[int, str] | None, show: Callable[[int], None]
) -> tuple[Head | Break, bool]:
    """The end of the chain from `start`, and whether the anchor was passed on the way.

    Where the beginning was pruned, an entry of the chain itself has to name the one that it goes on from.
    """
    end: Head | Break = start
    seen = anchor is not None and (start.seq, start.mac.hex()[:16]) == anchor
    signed = start == Head()

    def lines() -> Iterator[tuple[int, bytes, bytes]]:
        nonlocal signed
        for record in reader.records():
            yield record.seq, record.body, record.mac
            if not signed and record.kind == "journal.pruned":  # by now the chain has shown that it is ours
                signed = _names(record, start)

    for end in check(key, lines(), start):
        if isinstance(end, Head):
            seen = seen or (anchor is not None and (end.seq, end.mac.hex()[:16]) == anchor)
            if end.seq % PAGE == 0:
                show(end.seq)
    if isinstance(end, Head) and not signed:
        end = Break(
            start.seq + 1, f"the journal begins after entry {start}, and no entry says that it was pruned there"
        )
    return end, seen


def _names(record: Record, start: Head) -> bool:
    fact = decode(record.seq, record.body).fact
    return isinstance(fact, JournalPruned) and (fact.seq, fact.mac) == (start.seq, start.mac.hex())


def _lost(anchor: tuple[int, str], end: Head) -> str:
    if anchor[0] > end.seq:
        return f"the journal ends at entry {end.seq}, but it once went to entry {anchor[0]}: its end was cut off"
    return f"entry {anchor[0]} is intact, but it is not the one that was seen as {anchor[0]}:{anchor[1]}"


def _tell(start: Head, end: Head | Break, form: str) -> None:
    intact = isinstance(end, Head)
    if form == "json":
        told: dict[str, object] = {"intact": intact, "seq": end.seq}
        told |= {"from": str(start)} if start.seq else {}
        told |= {"head": str(end)} if isinstance(end, Head) else {"sentence": end.sentence}
        click.echo(msgspec.json.encode(told).decode())
    elif isinstance(end, Break):
        click.echo(f"{click.style('broken', fg='red', bold=True)} at entry {end.seq}: {end.sentence}")
        chatter("what stands before it is intact; keep the file as it is, and compare it with a backup and an export")
    else:
        pruned = f", from checkpoint {start} on (what stood before is pruned)" if start.seq else ""
        word = click.style("intact", fg="green", bold=True)
        click.echo(f"{word}, {plural(end.seq - start.seq, 'entry')}, head {end}{pruned}")


def key_beside(storage: Path) -> Path:
    """Where the service keeps the key of the journal in `storage`: `data.key` beside `data`, not in it."""
    directory = storage.resolve()
    return directory.with_name(directory.name + ".key")


def _key(path: Path) -> bytes:
    from remediator.system import journal_key

    try:
        return journal_key(path, journal_exists=True)
    except (OSError, ValueError) as fault:
        raise StoreRefused(f"the key {path} cannot be read ({fault}); name it with --key-file") from fault


@contextmanager
def opened(storage: Path) -> Iterator[Reader]:
    """The journal in a state directory, to be read."""
    from remediator.stores.sqlite_reader import offline

    with offline(storage / JOURNAL) as reader:
        yield reader


# ── export ───────────────────────────────────────────────────────────────────────────────────────────────────────────
@click.command(
    epilog="\b\nExamples:\n  remediator log export --since 7d --format csv\n  remediator log export --storage.path data"
)
@click.option("--since", type=duration, help="Only what is not older.  [default: everything]")
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True,
    help="jsonl has the keys of CloudEvents 1.0.",
)  # fmt: skip
@click.option(
    "--storage.path", "storage", type=DIRECTORY, help="Read this state directory instead of asking the service."
)
@connected
def export(client: Client, since: float | None, form: str, storage: Path | None) -> None:
    """The journal on stdout, oldest first.

    Its head is told on stderr: keep that elsewhere, for `log verify --head`.
    """
    give = _csv_line if form == "csv" else _json_line
    if form == "csv":
        click.echo(_csv(["seq", "time", "kind", "incident", "run", "word", "sentence"]))
    if storage is not None:
        with opened(storage) as reader:
            head = reader.head()
            _export(map(_from_record, reader.records()), head.seq, since, give)
            chatter(f"head {head}")
    else:
        status = client.get("/api/v1/status").read(StatusView)
        _export(_asked(client), status.entries, since, give, now=status.now)
        chatter(f"head {status.head}")


def _export(
    lines: Iterator[LineView],
    total: int,
    since: float | None,
    give: Callable[[LineView], str],
    now: float | None = None,
) -> None:
    oldest = _oldest(since, now)
    written = 0
    with progress("exporting", total) as show:
        for line in lines:
            if line.at >= oldest:
                click.echo(give(line))
                written += 1
            if line.seq % PAGE == 0:
                show(line.seq)
            if line.seq >= total:  # what is appended meanwhile is for the next export
                break
    chatter(f"{count(written)} of {plural(total, 'entry')}")


def _oldest(since: float | None, now: float | None) -> float:
    if since is None:
        return 0.0
    if now is None:
        from remediator.system import SystemClock

        now = SystemClock().now()
    return now - since


def _asked(client: Client) -> Iterator[LineView]:
    from remediator.cli.log import Entries

    after = 0
    while page := client.get("/api/v1/entries", {"after": after, "limit": PAGE}).read(Entries).entries:
        yield from page
        after = page[-1].seq


def _from_record(record: object) -> LineView:
    from remediator.core.entries import Record

    assert isinstance(record, Record)
    try:
        return line_of(decode(record.seq, record.body))
    except ValueError as fault:
        raise CorruptJournal(record.seq, f"is not readable ({fault}); run `remediator log verify`") from fault


def _json_line(line: LineView) -> str:
    subject = line.run or line.incident
    told: dict[str, object] = {
        "specversion": "1.0",
        "id": str(line.seq),
        "source": SOURCE,
        "type": line.kind,
        "time": stamp(line.at),
        **({"subject": subject} if subject else {}),
        "data": {"sentence": line.sentence, **line.fact},
    }
    return safe_json(msgspec.json.encode(told).decode())


def _csv_line(line: LineView) -> str:
    return _csv([str(line.seq), stamp(line.at), line.kind, line.incident, line.run, line.word, line.sentence])


def _csv(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([_harmless(plain(cell)) for cell in cells])
    return text.getvalue()


def _harmless(cell: str) -> str:
    # Spreadsheets run a cell that begins like a formula; alert text must not reach one.
    return f"'{cell}" if cell[:1] in {"=", "+", "-", "@"} else cell
