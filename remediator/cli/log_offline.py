"""`log verify` and `log export`: whether the journal can be believed, and how it leaves the house.

Both can read the SQLite file beside a running service or without one; they take no lock and write nothing.
"""

from __future__ import annotations

import csv
import io
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from remediator.cli.options import DIRECTORY, FILE, chatter, connected, duration, output
from remediator.cli.progress import progress
from remediator.cli.text import count, plain, plural, safe_json, stamp
from remediator.cli.veil import Veil
from remediator.core.anchors import Anchor, anchors_in, compare
from remediator.core.chain import Break, Head, check
from remediator.core.entries import JournalPruned, decode
from remediator.core.views import LineView, StatusView, line_of
from remediator.errors import CorruptJournal, StoreRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from remediator.cli.client import Client
    from remediator.core.entries import Record
    from remediator.stores.sqlite_reader import Reader

JOURNAL = "journal.db"
PAGE = 1000
SOURCE = "remediator"


def head_text(text: str) -> Anchor:
    """Type of an option: `1204:9f2c…`, as status, log lines and exports give a head: its place and 16 digits of its mac."""
    found = anchors_in(text)
    if len(found) != 1 or text != f"{found[0].seq}:{found[0].digits}":
        raise click.BadParameter(f"{plain(text)!r} is not a head; expected for example 1204:9f2c63d01b7aee45")
    return found[0]


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
    "heads",
    type=head_text,
    metavar="SEQ:MAC",
    multiple=True,
    help="A head from a log line, a message or an export; may be repeated.",
)
@click.option(
    "--anchors",
    "files",
    type=FILE,
    multiple=True,
    help="A file with heads in it: storage.anchor_file, collected log lines, messages; may be repeated.",
)
@output
@click.pass_context
def verify(
    ctx: click.Context,
    storage: Path,
    key_file: Path | None,
    heads: tuple[Anchor, ...],
    files: tuple[Path, ...],
    form: str,
) -> None:
    """Checks that the journal is as it was written.

    Needs no service, and may run beside one. Exits 1 and names the first entry that is not as it was written. A cut end, and
    what was written anew by somebody who has the key, show only by a head that was published before: --head, --anchors.
    """
    anchors = [*heads, *(anchor for path in files for anchor in _published(path))]
    with opened(storage) as reader:
        key = _key(key_file or key_beside(storage))
        start, total = reader.start(), reader.head().seq
        with progress("checking", total) as show:
            end = _checked(key, reader, start, anchors, show)
    gone = sum(anchor.seq < start.seq for anchor in anchors)
    if gone:
        chatter(
            f"{plural(gone, 'head')} before entry {start.seq}: that part was pruned and cannot be compared any more"
        )
    _tell(start, end, len(anchors) - gone, form)
    ctx.exit(1 if isinstance(end, Break) else 0)


def _published(path: Path) -> list[Anchor]:
    """The heads in a file; UsageError if there is none, for then nothing would be compared."""
    try:
        found = anchors_in(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as fault:
        raise click.UsageError(f"--anchors: {path} cannot be read: {fault.strerror}") from fault
    if not found:
        raise click.UsageError(f"--anchors: {path} has no head in it; expected texts such as 1204:9f2c63d01b7aee45")
    return found


def _checked(
    key: bytes, reader: Reader, start: Head, anchors: Sequence[Anchor], show: Callable[[int], None]
) -> Head | Break:
    """The end of the chain from `start`.

    Where the beginning was pruned, an entry of the chain itself has to name the one that it goes on from.
    """
    end: Head | Break = start
    signed = start == Head()

    def lines() -> Iterator[tuple[int, bytes, bytes]]:
        nonlocal signed
        for record in reader.records():
            yield record.seq, record.body, record.mac
            if not signed and record.kind == "journal.pruned":  # by now the chain has shown that it is ours
                signed = _names(record, start)

    for end in compare(check(key, lines(), start), anchors, start):
        if isinstance(end, Head) and end.seq % PAGE == 0:
            show(end.seq)
    if isinstance(end, Head) and not signed:
        end = Break(
            start.seq + 1, f"the journal begins after entry {start}, and no entry says that it was pruned there"
        )
    return end


def _names(record: Record, start: Head) -> bool:
    fact = decode(record.seq, record.body).fact
    return isinstance(fact, JournalPruned) and (fact.seq, fact.mac) == (start.seq, start.mac.hex())


def _tell(start: Head, end: Head | Break, compared: int, form: str) -> None:
    intact = isinstance(end, Head)
    if form == "json":
        told: dict[str, object] = {"intact": intact, "seq": end.seq}
        told |= {"from": str(start)} if start.seq else {}
        told |= {"anchors": compared} if compared else {}
        told |= {"head": str(end)} if isinstance(end, Head) else {"sentence": end.sentence}
        click.echo(msgspec.json.encode(told).decode())
    elif isinstance(end, Break):
        click.echo(f"{click.style('broken', fg='red', bold=True)} at entry {end.seq}: {end.sentence}")
        chatter("what stands before it is intact; keep the file as it is, and compare it with a backup and an export")
    else:
        pruned = f", from checkpoint {start} on (what stood before is pruned)" if start.seq else ""
        seen = f", as {plural(compared, 'head')} seen before" if compared else ""
        word = click.style("intact", fg="green", bold=True)
        click.echo(f"{word}, {plural(end.seq - start.seq, 'entry')}, head {end}{pruned}{seen}")


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
@click.option("--redact", is_flag=True, help="Without labels, arguments, sentences and names: to be shown outside.")
@connected
def export(client: Client, since: float | None, form: str, storage: Path | None, *, redact: bool) -> None:
    """The journal on stdout, oldest first.

    Its head is told on stderr: keep that elsewhere, for `log verify --head`.
    """
    give = _veiled(_csv_line if form == "csv" else _json_line, on=redact)
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


def _veiled(give: Callable[[LineView], str], *, on: bool) -> Callable[[LineView], str]:
    if not on:
        return give
    veil = Veil(secrets.token_bytes(32))
    return lambda line: give(veil.line(line))


def _export(
    lines: Iterator[LineView],
    total: int,
    since: float | None,
    give: Callable[[LineView], str],
    now: float | None = None,
) -> None:
    oldest = _oldest(since, now)
    written, first = 0, 0
    with progress("exporting", total) as show:
        for line in lines:
            first = first or line.seq
            if line.at >= oldest:
                click.echo(give(line))
                written += 1
            if line.seq % PAGE == 0:
                show(line.seq)
            if line.seq >= total:  # what is appended meanwhile is for the next export
                break
    gone = f"; entries 1 to {first - 1} were pruned" if first > 1 else ""
    chatter(f"{count(written)} of {plural(total - max(first - 1, 0), 'entry')}{gone}")


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
