"""What the contract tests share: places where a store can lie, and a scribe who writes signed records."""

from __future__ import annotations

import sqlite3
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from remediator.core.chain import GENESIS, Head, check, sign
from remediator.core.entries import Record
from remediator.ports import IncidentRow, Snapshot
from remediator.stores.memory import Disk, MemoryStore
from remediator.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from remediator.ports import Store

KEY = b"k" * 32


class Place(Protocol):
    """Where a journal lies. Each store from it is another process's hold on the same journal."""

    def store(self) -> Store:
        """A store on this place, not open yet."""
        ...

    async def spoil_newest_snapshot(self) -> None:
        """Changes one byte of the newest snapshot's state; no store is open."""
        ...

    async def kept_snapshots(self) -> int:
        """How many snapshots lie there; no store is open."""
        ...


class MemoryPlace:
    """A disk in memory."""

    def __init__(self) -> None:
        self.disk = Disk()

    def store(self) -> Store:
        return MemoryStore(self.disk)

    async def spoil_newest_snapshot(self) -> None:
        newest = max(self.disk.snapshots)
        snapshot, digest = self.disk.snapshots[newest]
        spoilt = Snapshot(head=snapshot.head, state=b"?" + snapshot.state[1:])
        self.disk.snapshots[newest] = (spoilt, digest)

    async def kept_snapshots(self) -> int:
        return len(self.disk.snapshots)


class SqlitePlace:
    """A file of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def store(self) -> Store:
        return SqliteStore(self.path)

    async def spoil_newest_snapshot(self) -> None:
        self.change(
            "UPDATE snapshot SET state = CAST('?' || substr(state, 2) AS BLOB) WHERE seq = (SELECT max(seq) FROM snapshot)"
        )

    async def kept_snapshots(self) -> int:
        with closing(sqlite3.connect(self.path)) as connection:
            return len(connection.execute("SELECT seq FROM snapshot").fetchall())

    def beside(self, name: str) -> Path:
        """Another file that belongs to this journal, such as `-wal`."""
        return self.path.with_name(self.path.name + name)

    def change(self, *statements: str) -> None:
        """What another hand does to the file while nobody has it open."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def overwrite_page_of(self, name: str) -> None:
        """What a bad disk does to the root page of a table or index."""
        with closing(sqlite3.connect(self.path)) as connection:
            [page] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
            [size] = connection.execute("PRAGMA page_size").fetchone()
        with self.path.open("r+b") as file:
            file.seek((page - 1) * size)
            file.write(b"\xff" * size)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[SqliteStore]:
        """An open store on the file."""
        store = SqliteStore(self.path)
        await store.open()
        try:
            yield store
        finally:
            await store.close()

    async def fill(self, scribe: Scribe, number: int = 3) -> list[Record]:
        """A closed journal of so many records."""
        records = scribe.records(Head(), number, incident="inc-a", claims=("run:inc-a.1",))
        async with self.opened() as store:
            await store.append(Head(), records, [scribe.row("inc-a", 1.0)])
        return records

    async def on_writer(self, store: SqliteStore, sql: str) -> list[tuple[Any, ...]]:
        """What the writer's own connection answers."""
        assert store._lanes is not None
        connection = store._writer._connected()
        return await store._lanes[0].run(lambda: connection.execute(sql).fetchall())

    async def on_reader(self, store: SqliteStore, sql: str) -> list[tuple[Any, ...]]:
        """What the reader's own connection answers."""
        assert store._lanes is not None
        return await store._lanes[1].run(lambda: store._reader._ask(sql, ()))


@dataclass
class Scribe:
    """Writes records that follow a head, properly signed."""

    ids: count[int] = field(default_factory=count)

    def records(
        self, head: Head, number: int = 1, *, incident: str = "", kind: str = "pause.set", claims: tuple[str, ...] = ()
    ) -> list[Record]:
        """`number` records that follow `head`; the claims go to the first."""
        made: list[Record] = []
        for seq in range(head.seq + 1, head.seq + 1 + number):
            name = f"id-{next(self.ids)}"
            body = f'{{"id":"{name}"}}'.encode()
            mac = sign(KEY, seq, made[-1].mac if made else head.mac, body)
            made.append(
                Record(
                    seq=seq,
                    id=name,
                    at=1000.25 + seq,
                    kind=kind,
                    body=body,
                    mac=mac,
                    incident=incident,
                    run=f"{incident}.1" if incident else "",
                    rule="bounce" if incident else "",
                    claims=() if made else claims,
                )
            )
        return made

    def row(self, incident: str, opened_at: float, *, status: str = "open", rule: str = "bounce") -> IncidentRow:
        """A line of the action log."""
        return IncidentRow(
            incident=incident,
            rule=rule,
            target="domain=example.org",
            status=status,
            result="",
            opened_at=opened_at,
            changed_at=opened_at + 1,
            sentence=f"{incident} is {status}",
            labels={"domain": "example.org"},
        )

    def is_whole(self, records: Sequence[Record]) -> bool:
        """Whether the records are an unbroken chain from the first entry on."""
        heads = list(check(KEY, [(record.seq, record.body, record.mac) for record in records], Head(0, GENESIS)))
        return len(heads) == len(records) and all(isinstance(head, Head) for head in heads)


@pytest.fixture
def scribe() -> Scribe:
    return Scribe()


@pytest.fixture(params=["memory", "sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    match request.param:
        case "memory":
            return MemoryPlace()
        case _:
            return SqlitePlace(tmp_path / "state" / "journal.db")


@pytest.fixture
def file(tmp_path: Path) -> SqlitePlace:
    return SqlitePlace(tmp_path / "state" / "journal.db")


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    """An open store on an empty place."""
    async with AsyncExitStack() as stack:
        opened = place.store()
        await opened.open()
        stack.push_async_callback(opened.close)
        yield opened
