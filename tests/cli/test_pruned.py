"""A real journal whose beginning was pruned, read without its service: verify, export, and heads published before."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from remediator.core.anchors import anchor_line
from remediator.core.chain import Head, sign
from remediator.core.entries import AnyFact, Draft, JournalOpened, JournalPruned, PauseSet, Record, encode, kind_of
from remediator.ports import Snapshot
from remediator.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli

KEY = bytes(range(32))
LAST_GONE, LAST = 4, 9
"""Entries 1 to 4 are pruned; entry 8 says so."""


def written(place: int, fact: AnyFact, before: bytes) -> Record:
    """One entry."""
    draft = Draft(id=f"e{place}", at=1_790_000_000.0 + place, mono=1.0, boot="b", replica="r", fact=fact)
    body = encode(draft)
    mac = sign(KEY, place, before, body)
    return Record(seq=place, id=draft.id, at=draft.at, kind=kind_of(fact), body=body, mac=mac)


def records() -> list[Record]:
    """The journal as it was."""
    made: list[Record] = []
    for place in range(1, LAST + 1):
        fact: AnyFact = PauseSet(scope="all", reason=f"number {place}", by="ana")
        if place == 1:
            fact = JournalOpened(store_id="s")
        elif place == LAST - 1:
            fact = JournalPruned(seq=LAST_GONE, mac=made[LAST_GONE - 1].mac.hex(), count=LAST_GONE)
        made.append(written(place, fact, made[-1].mac if made else Head().mac))
    return made


@pytest.fixture
async def journal(tmp_path: Path) -> Path:
    """The journal after the pruning, and its key."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data.key").write_text(KEY.hex() + "\n", encoding="ascii")
    store, made = SqliteStore(tmp_path / "data" / "journal.db"), records()
    await store.open()
    head = await store.append(Head(), made)
    await store.save_snapshot(Snapshot(head=head, state=b"state"))
    await store.prune(Head(LAST_GONE, made[LAST_GONE - 1].mac))
    await store.close()
    return tmp_path / "data" / "journal.db"


def head_at(place: int) -> str:
    return str(Head(place, records()[place - 1].mac))


def test_a_pruned_journal_is_intact_from_its_checkpoint_on(journal: Path, cli: Cli) -> None:
    result = cli("remediator log verify")
    checkpoint = f"from checkpoint {head_at(LAST_GONE)} on (what stood before is pruned)"
    assert (result.exit_code, result.stdout) == (0, f"intact, 5 entries, head {head_at(LAST)}, {checkpoint}\n")
    told = json.loads(cli("remediator log verify -o json").stdout)
    assert told == {"intact": True, "seq": LAST, "from": head_at(LAST_GONE), "head": head_at(LAST)}
    assert journal.exists()


def test_heads_of_what_was_pruned_are_counted_and_the_others_compared(journal: Path, cli: Cli, tmp_path: Path) -> None:
    lines = [anchor_line(one.at, Head(one.seq, one.mac)) for one in records()]
    (tmp_path / "anchors").write_text("".join(lines))
    result = cli("remediator log verify --anchors anchors")
    assert result.exit_code == 0
    assert result.stdout.endswith("as 6 heads seen before\n"), "the checkpoint and what follows"
    assert "3 heads before entry 4: that part was pruned" in result.stderr
    (tmp_path / "anchors").write_text(f"{LAST_GONE}:{'0' * 16}\n")
    result = cli("remediator log verify --anchors anchors")
    assert result.exit_code == 1
    assert result.stdout.startswith("broken at entry 4: ")
    assert journal.exists()


def test_a_beginning_that_was_cut_off_is_no_pruning(journal: Path, cli: Cli) -> None:
    """By somebody who moves the checkpoint on, without the key."""
    mac = records()[5].mac.hex()
    with closing(sqlite3.connect(journal, isolation_level=None)) as connection:
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('pruning', '6')")
        connection.execute("DELETE FROM journal WHERE seq <= 6")
        connection.execute("UPDATE meta SET value = '6' WHERE key = 'pruned_seq'")
        connection.execute("UPDATE meta SET value = ? WHERE key = 'pruned_mac'", (mac,))
    result = cli("remediator log verify")
    assert result.exit_code == 1
    assert result.stdout.startswith("broken at entry 7: ")
    assert "no entry says that it was pruned there" in result.stdout


def test_an_export_says_what_is_no_longer_there(journal: Path, cli: Cli) -> None:
    result = cli("remediator log export --storage.path data")
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["id"] for one in told] == ["5", "6", "7", "8", "9"]
    assert told[3]["type"] == "journal.pruned"
    assert "5 of 5 entries; entries 1 to 4 were pruned" in result.stderr
    assert f"head {head_at(LAST)}" in result.stderr
    assert journal.exists()
