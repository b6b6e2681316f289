"""`python -m tests.kit.narrow`: the real store on a file system that is really full, at sixty places (reliability.md G17).

Mounts a small tmpfs in a namespace of its own, so it needs no rights, but a kernel that lets users make one. Each time a
file is laid down that leaves a little more room than the time before, entries are appended until there is none left, and
then as many as fit into the ballast. Then the file is taken away, and all must go on; and every entry that was
acknowledged must be there, in an unbroken chain.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from remediator.core.chain import Head, check, sign
from remediator.core.entries import Record
from remediator.errors import StoreFull
from remediator.stores.sqlite import SqliteStore

KEY = bytes(32)
APART, DISK = 24 * 1024, 64 * 1024 * 1024
BODY = b'{"fact":"' + b"x" * 700 + b'"}'


def records(head: Head) -> list[Record]:
    """One to seven entries that follow."""
    made: list[Record] = []
    for seq in range(head.seq + 1, head.seq + 2 + head.seq % 7):
        mac = sign(KEY, seq, made[-1].mac if made else head.mac, BODY)
        made.append(Record(seq=seq, id=f"e{seq}", at=float(seq), kind="pause.set", body=BODY, mac=mac))
    return made


async def until_full(store: SqliteStore, head: Head) -> tuple[Head, int]:
    """Appends until there is no room; the end, and how many appends fitted."""
    fitted = 0
    while True:
        try:
            head = await store.append(head, records(head))
        except StoreFull:
            return head, fitted
        fitted += 1


async def one(path: Path, place: int) -> tuple[int, int]:
    """One place at which it becomes full; how many appends fitted before and into the ballast."""
    store = SqliteStore(path)
    await store.open()
    filler, room = path.with_name("filler"), await store.room()
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.free - 64 * 1024 - place * APART)
    head, before = await until_full(store, Head())
    assert store.spent(), "nothing new is to begin now"
    head, into = await until_full(store, head)
    assert store.spent()
    filler.unlink()
    await store.room()
    assert not store.spent(), "there is room again"
    for _ in range(20):
        head = await store.append(head, records(head))
    await store.close()
    await whole(path, head)
    return before, into


async def whole(path: Path, head: Head) -> None:
    """Everything that was acknowledged is there, and the file is sound."""
    store = SqliteStore(path)
    await store.open()
    chained = list(check(KEY, ((one.seq, one.body, one.mac) for one in await store.read(0, 1_000_000))))
    await store.close()
    assert chained[-1] == head
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def places(directory: Path, count: int) -> Iterator[tuple[int, int]]:
    """Every place, each on an empty disk."""
    for place in range(count):
        yield asyncio.run(one(directory / "data" / "journal.db", place))
        for left in (directory / "data").iterdir():
            left.unlink()


def main() -> None:
    """Makes the namespace, and in it the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--places", type=int, default=60, help="how many")
    parser.add_argument("--inside", type=Path, help="the small file system, once there is one")
    asked = parser.parse_args()
    if asked.inside is None:
        again = f"{sys.executable} -m tests.kit.narrow --places {asked.places} --inside /mnt"
        inside = f"mount -t tmpfs -o size={DISK} none /mnt && exec {again}"
        sys.exit(subprocess.run(["unshare", "-Urm", "sh", "-c", inside], check=False).returncode)
    found = list(places(asked.inside, asked.places))
    before, into = [one for one, _ in found], [one for _, one in found]
    print(
        f"| {len(found)} places | full after {min(before)} to {max(before)} appends | {min(into)} to {max(into)} more "
        "fitted into the ballast | nothing lost, all went on |"
    )


if __name__ == "__main__":
    main()
