"""The SQLite store among real processes: a second one, one that is killed, one whose disk takes no more bytes."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from remediator.core.chain import Head, check
from remediator.errors import StoreRefused
from remediator.stores.sqlite import SqliteStore
from remediator.stores.sqlite_reader import offline_read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

KEY = b"k" * 32

PRELUDE = """
import asyncio, resource, sys
from pathlib import Path
from remediator.core.chain import Head, sign
from remediator.core.entries import Record
from remediator.errors import AppendUnknown, NotCommitted, StoreError
from remediator.stores.sqlite import SqliteStore

path = Path(sys.argv[1])

def batch(head, number):
    made, mac = [], head.mac
    for seq in range(head.seq + 1, head.seq + 1 + number):
        body = b"entry %d" % seq
        mac = sign(b"k" * 32, seq, mac, body)
        made.append(Record(seq=seq, id=f"id-{seq}", at=1.0, kind="x", body=body, mac=mac, claims=(f"claim-{seq}",)))
    return made

def say(*words):
    print(*words, flush=True)
"""

WRITES_UNTIL_KILLED = """
async def main():
    store = SqliteStore(path)
    head = (await store.open()).head
    while True:
        head = await store.append(head, batch(head, 1 + head.seq % 5))
        say(head.seq, head.mac.hex())
asyncio.run(main())
"""

HOLDS_THE_FILE = """
async def main():
    store = SqliteStore(path)
    await store.open()
    say("open")
    await asyncio.Event().wait()
asyncio.run(main())
"""

MEETS_A_FULL_DISK = """
async def main():
    store = SqliteStore(path)
    head = (await store.open()).head
    head = await store.append(head, batch(head, 10))
    log = path.with_name(path.name + "-wal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + int(sys.argv[2]), before[1]))
    refusals = 0
    while refusals < 3:
        try:
            head = await store.append(head, batch(head, 10))
        except (AppendUnknown, NotCommitted) as fault:
            refusals += 1
            say(type(fault).__name__)
            found = await store.read(0)
            last = Head(found[-1].seq, found[-1].mac)
            assert type(fault) is AppendUnknown or last == head, "NotCommitted, but something was written"
            head = last
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    head = await store.append(head, batch(head, 10))
    say("acknowledged", head.seq)
    await store.close()
asyncio.run(main())
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", PRELUDE + script, *map(str, arguments)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the file open."""
    with start(HOLDS_THE_FILE, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def whole(path: Path) -> Head:
    """The end of the journal, every entry of it checked."""
    records = list(offline_read(path))
    heads = list(check(KEY, [(record.seq, record.body, record.mac) for record in records]))
    assert len(heads) == len(records)
    assert all(isinstance(head, Head) for head in heads)
    assert [record.body for record in records] == [b"entry %d" % (number + 1) for number in range(len(records))]
    return Head(records[-1].seq, records[-1].mac) if records else Head()


async def test_a_second_process_is_refused_until_the_first_is_gone(path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(StoreRefused, match=rf"another remediator \(pid {holder.pid}\)"):
        await SqliteStore(path).open()
    holder.kill()
    holder.wait()
    store = SqliteStore(path)
    assert (await store.open()).head == Head()
    await store.close()


def test_twenty_kills_in_the_middle_of_writing_lose_nothing_that_was_acknowledged(path: Path) -> None:
    entries = 0
    for turn in range(20):
        with start(WRITES_UNTIL_KILLED, path) as process:
            assert process.stdout is not None
            told = [process.stdout.readline() for _ in range(1 + turn * 7 % 40)]
            process.send_signal(signal.SIGKILL)
            told += process.stdout.readlines()
        acknowledged = [line.split() for line in told if line.endswith("\n")]
        assert acknowledged, "the writer ended by itself"
        found = whole(path)
        macs = {record.seq: record.mac.hex() for record in offline_read(path, after=entries)}
        for seq, mac in acknowledged:
            assert macs[int(seq)] == mac, f"kill {turn} lost entry {seq}, which was acknowledged"
        entries = int(acknowledged[-1][0])
        assert found.seq - entries <= 5, "more was written than the one append under way"
        entries = found.seq
    assert entries > 500, "the kills came too early to test anything"


@pytest.mark.parametrize("spare", [0, 5_000, 200_000])
def test_a_disk_that_takes_no_more_bytes_leaves_a_whole_journal_that_goes_on(path: Path, spare: int) -> None:
    with start(MEETS_A_FULL_DISK, path, spare) as process:
        told, _ = process.communicate()
    assert process.returncode == 0
    *refusals, end = told.splitlines()
    assert refusals == ["AppendUnknown"] * 3, "an error of COMMIT itself leaves in doubt what was written"
    assert end == f"acknowledged {whole(path).seq}"
