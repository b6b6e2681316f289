"""What is asked of the journal's file itself: a real SQLite journal, read beside its writer or after it."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import pytest

from remediator.cli.log_offline import export, verify
from remediator.core.anchors import anchor_line
from remediator.core.chain import Head, sign
from remediator.core.entries import Draft, JournalOpened, PauseSet, Record, encode, kind_of
from remediator.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.cli.conftest import Cli

KEY = bytes(range(32))
ENTRIES = 5


def _records(key: bytes) -> list[Record]:
    found: list[Record] = []
    mac = Head().mac
    for seq in range(1, ENTRIES + 1):
        fact = JournalOpened(store_id="s") if seq == 1 else PauseSet(scope="all", reason=f"number {seq}", by="ana")
        draft = Draft(id=f"e{seq}", at=1_790_000_000.0 + seq, mono=1.0, boot="b", replica="r", fact=fact)
        body = encode(draft)
        mac = sign(key, seq, mac, body)
        found.append(Record(seq=seq, id=draft.id, at=draft.at, kind=kind_of(fact), body=body, mac=mac))
    return found


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Path]:
    """A state directory with five entries and its key beside it, while the service has it open."""
    directory = tmp_path / "data"
    directory.mkdir()
    (tmp_path / "data.key").write_text(KEY.hex() + "\n", encoding="ascii")
    store = SqliteStore(directory / "journal.db")
    await store.open()
    await store.append(Head(), _records(KEY))
    yield directory / "journal.db"
    await store.close()


def _tamper(journal: Path, statement: str, *values: object) -> None:
    """Does what somebody with the file would: takes the triggers away first."""
    connection = sqlite3.connect(journal, isolation_level=None)
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for (name,) in names:
        connection.execute(f'DROP TRIGGER "{name}"')
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(statement, values)
    connection.close()


def _head() -> str:
    last = _records(KEY)[-1]
    return str(Head(last.seq, last.mac))


def test_an_intact_journal_is_said_to_be_with_its_head(journal: Path, cli: Cli) -> None:
    result = cli("remediator log verify")
    assert (result.exit_code, result.stdout) == (0, f"intact, 5 entries, head {_head()}\n")
    told = json.loads(cli("remediator log verify -o json").stdout)
    assert told == {"intact": True, "seq": 5, "head": _head()}
    assert journal.exists()


def test_the_examples_of_its_help_work(journal: Path, cli: Cli) -> None:
    lines = [line.strip() for text in (verify.epilog, export.epilog) for line in (text or "").splitlines()]
    run = [line for line in lines if line.startswith("remediator ") and "--since" not in line]
    assert len(run) == 3
    for line in run:
        assert cli(line).exit_code == 0
    assert journal.exists()


def test_a_changed_entry_is_named(journal: Path, cli: Cli) -> None:
    _tamper(
        journal,
        "UPDATE journal SET body = CAST(replace(CAST(body AS TEXT), 'number 3', 'number 9') AS BLOB) WHERE seq = 3",
    )
    result = cli("remediator log verify")
    assert result.exit_code == 1
    assert result.stdout.startswith("broken at entry 3: ")
    told = json.loads(cli("remediator log verify -o json").stdout)
    assert (told["intact"], told["seq"]) == (False, 3)


def test_a_missing_entry_is_named(journal: Path, cli: Cli) -> None:
    _tamper(journal, "DELETE FROM journal WHERE seq = 2")
    result = cli("remediator log verify")
    assert result.exit_code == 1
    assert "entry 2 is missing" in result.stdout


def test_a_cut_end_shows_by_a_head_that_was_seen_before(journal: Path, cli: Cli) -> None:
    head = _head()
    assert cli(f"remediator log verify --head {head}").exit_code == 0
    _tamper(journal, "DELETE FROM journal WHERE seq = 5")
    assert cli("remediator log verify").exit_code == 0
    result = cli(f"remediator log verify --head {head}")
    assert result.exit_code == 1
    assert "its end was cut off" in result.stdout


def test_a_journal_that_was_written_anew_is_not_the_one_that_was_seen(journal: Path, cli: Cli) -> None:
    result = cli("remediator log verify --head 3:0123456789abcdef")
    assert result.exit_code == 1
    assert "entry 3 is intact, but it is not the one" in result.stdout
    assert journal.exists()


def _written_anew(journal: Path, seq: int) -> None:
    """What somebody does who has the key as well: changes an entry and signs all that follow."""
    mac = _records(KEY)[seq - 2].mac
    for record in _records(KEY)[seq - 1 :]:
        body = record.body.replace(b"number", b"forged")
        mac = sign(KEY, record.seq, mac, body)
        _tamper(journal, "UPDATE journal SET body = ?, mac = ? WHERE seq = ?", body, mac, record.seq)


def _publish(tmp_path: Path, *places: int, name: str = "anchors") -> None:
    """An anchor file as the service writes it."""
    records = {record.seq: record for record in _records(KEY)}
    lines = [anchor_line(records[seq].at, Head(seq, records[seq].mac)) for seq in places]
    (tmp_path / name).write_text("".join(lines), encoding="ascii")


def test_only_anchors_show_what_was_written_anew_with_the_key(journal: Path, cli: Cli, tmp_path: Path) -> None:
    _publish(tmp_path, 2, 5)
    assert cli("remediator log verify --anchors anchors").exit_code == 0
    _written_anew(journal, 4)
    assert cli("remediator log verify").exit_code == 0, "the chain alone says that all is well"
    result = cli("remediator log verify --anchors anchors")
    assert result.exit_code == 1
    assert result.stdout.startswith("broken at entry 5: entry 5 is intact, but it is not the one that was seen as 5:")
    assert "of the entries 3 to 5 some were written anew with the key" in result.stdout
    told = json.loads(cli("remediator log verify --anchors anchors -o json").stdout)
    assert (told["intact"], told["seq"]) == (False, 5)


def test_heads_of_log_lines_and_messages_are_anchors_too(journal: Path, cli: Cli, tmp_path: Path) -> None:
    _publish(tmp_path, 3)
    (tmp_path / "service.log").write_text(f'level=info sentence="the journal ends here" head={_head()}\n')
    result = cli("remediator log verify --anchors anchors --anchors service.log")
    assert (result.exit_code, result.stdout) == (0, f"intact, 5 entries, head {_head()}, as 2 heads seen before\n")
    told = json.loads(cli("remediator log verify --anchors service.log -o json").stdout)
    assert told == {"intact": True, "seq": 5, "head": _head(), "anchors": 1}
    _tamper(journal, "DELETE FROM journal WHERE seq >= 4")
    result = cli("remediator log verify --anchors service.log")
    assert result.stdout.startswith("broken at entry 4: the journal ends at entry 3, but it once went to entry 5")


def test_an_anchor_file_in_which_nothing_stands_compares_nothing_and_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("nothing was published at 20:30\n")
    result = cli("remediator log verify --anchors empty")
    assert (result.exit_code, "has no head in it" in result.stderr) == (2, True)
    result = cli("remediator log verify --anchors missing")
    assert (result.exit_code, "cannot be read" in result.stderr) == (2, True)


def test_another_key_breaks_at_the_first_entry(journal: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("ab" * 32)
    result = cli("remediator log verify --key-file other")
    assert result.exit_code == 1
    assert "broken at entry 1" in result.stdout
    assert journal.exists()


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        ("no journal", "there is no journal at data/journal.db"),
        ("no key", "data.key is missing"),
        ("bad key", "holds no key of 32 bytes"),
    ],
)
def test_what_is_missing_is_named_and_nothing_is_made(
    prepare: str, says: str, journal: Path, cli: Cli, tmp_path: Path
) -> None:
    key = tmp_path / "data.key"
    match prepare:
        case "no journal":
            journal.rename(tmp_path / "elsewhere")
        case "no key":
            key.unlink()
        case _:
            key.write_text("not hex")
    result = cli("remediator log verify")
    assert result.exit_code == 1
    assert says in result.stderr
    assert result.stdout == ""
    assert key.exists() is (prepare != "no key")


@pytest.mark.parametrize("head", ["5", "x:0123456789abcdef", "5:xyz", "5:0123"])
def test_a_head_that_is_none_is_a_usage_error(head: str, cli: Cli) -> None:
    assert cli(f"remediator log verify --head {head}").exit_code == 2


def test_an_export_needs_no_service_when_it_is_given_the_directory(journal: Path, cli: Cli) -> None:
    result = cli("remediator log export --storage.path data")
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["type"] for one in told] == ["journal.opened", *["pause.set"] * 4]
    assert told[2]["data"]["reason"] == "number 3"
    assert "5 of 5 entries" in result.stderr
    assert f"head {_head()}" in result.stderr
    assert journal.exists()


def test_an_unreadable_entry_ends_the_export_with_its_number(journal: Path, cli: Cli) -> None:
    _tamper(journal, "UPDATE journal SET body = X'00' WHERE seq = 4")
    result = cli("remediator log export --storage.path data")
    assert result.exit_code == 1
    assert "journal entry 4" in result.stderr
    assert len(result.stdout.splitlines()) == 3
