"""Anchors: where the journal ended, in the log and in a file of its own, and the file itself."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from remediator.core.anchors import anchors_in
from remediator.core.chain import Head
from remediator.core.entries import AnyFact, PauseSet
from remediator.engine.journal import Journal
from remediator.errors import StoreError
from remediator.observe import Observer, Redactor
from remediator.service.anchoring import EVERY, Anchoring
from remediator.stores.anchor_file import AnchorFile
from remediator.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.service.conftest import Home, Service, Work


class Rests:
    """A clock whose sleeps end when the test says so."""

    def __init__(self) -> None:
        self.rests: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return 1_790_000_000.0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        rest: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.rests.append((seconds, rest))
        await rest


class Lines:
    """Takes lines, or not."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.broken = False

    async def add(self, line: str) -> None:
        if self.broken:
            raise StoreError("the anchor file /far cannot be written (Stale file handle); see storage.anchor_file")
        self.lines.append(line)


class Stage:
    """A journal in memory, whose ends are published."""

    def __init__(self) -> None:
        self.clock, self.lines, self.log = Rests(), Lines(), io.StringIO()
        self.journal = Journal(MemoryStore(), self.clock, key=bytes(32), replica="r", boot="b")
        self.observer = Observer(Redactor(()), form="logfmt", stream=self.log, now=self.clock.now)
        self.anchoring = Anchoring(self.journal, self.observer, self.clock, self.lines)

    async def append(self, fact: AnyFact) -> Head:
        """One more entry; the engine itself is not at work here."""
        wish = asyncio.ensure_future(self.journal.insist(lambda _state, _moment: [fact]))
        await settled()
        await wish
        return self.journal.head

    @property
    def seqs(self) -> list[int]:
        """The places in the file."""
        return [anchor.seq for line in self.lines.lines for anchor in anchors_in(line)]


async def settled() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage at work."""
    made = Stage()
    await made.journal.open()
    tasks = [asyncio.ensure_future(made.journal.run()), asyncio.ensure_future(made.anchoring.watch())]
    await settled()
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


PAUSE = PauseSet(scope="all", reason="test", by="ana")


async def test_every_five_minutes_the_end_goes_to_the_log_and_to_the_file(stage: Stage) -> None:
    head = await stage.append(PAUSE)
    assert stage.lines.lines == []
    (seconds, rest), *_ = stage.clock.rests
    assert seconds == EVERY == 300.0
    rest.set_result(None)
    await settled()
    assert stage.lines.lines == [f"2026-09-21T14:13:20Z {head.seq}:{head.mac.hex()}\n"]
    assert f"head={head}" in stage.log.getvalue()
    stage.clock.rests[-1][1].set_result(None)
    await settled()
    assert len(stage.lines.lines) == 1, "the same end is not written a second time"


async def test_a_file_that_cannot_be_written_stops_nothing_and_is_told(stage: Stage) -> None:
    stage.lines.broken = True
    await stage.append(PAUSE)
    await stage.anchoring.publish()
    assert "kind=anchor.failed" in stage.log.getvalue()
    assert "Stale file handle" in stage.log.getvalue()
    assert b"remediator_anchor_errors_total 1.0" in stage.observer.render()
    stage.lines.broken = False
    await stage.anchoring.publish()
    assert stage.seqs == [stage.journal.head.seq], "what was not written is written the next time"


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_lines_are_added_and_nothing_is_lost_of_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "anchors"
    await AnchorFile(path).add("one\n")
    file = AnchorFile(path)
    await file.add("two\n")
    path.rename(tmp_path / "anchors.1")
    await file.add("three\n")
    assert (tmp_path / "anchors.1").read_text() == "one\ntwo\n"
    assert path.read_text() == "three\n"
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_line_that_a_crash_cut_short_does_not_run_into_the_next(tmp_path: Path) -> None:
    path = tmp_path / "anchors"
    path.write_text("2026-09-21T14:13:20Z 5:0123456789abcdef\n2026-09-21T14:18:20Z 9:0123456789ab")
    await AnchorFile(path).add("2026-09-21T14:23:20Z 12:0123456789abcdef\n")
    assert [anchor.seq for anchor in anchors_in(path.read_text())] == [5, 12]


async def test_a_file_that_cannot_be_opened_is_a_sentence_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot be written \(.*\); see storage\.anchor_file"):
        await AnchorFile(tmp_path / "nowhere" / "anchors").add("x\n")


async def test_the_end_of_a_run_is_an_anchor_at_once(service: Service) -> None:
    built, clock, lines = service.built, Rests(), Lines()
    watching = asyncio.ensure_future(Anchoring(built.journal, built.observer, clock, lines).watch())
    await settled()
    await service.fire()
    await service.closed()
    await settled()
    watching.cancel()
    records = await built.journal.store.read(0, 10_000)
    [end] = [record.seq for record in records if record.kind == "run.ended"]
    assert anchors_in("".join(lines.lines))[0].seq >= end


async def test_a_service_writes_the_file_of_its_settings(home: Home, work: Work) -> None:
    text = home.settings.read_text(encoding="utf-8")
    home.write("remediator.yml", text.replace("{ path: data }", "{ path: data, anchor_file: far/anchors }"))
    (home.root / "far").mkdir()
    async with work(home.build()) as service:
        await service.built.anchoring.publish()
        head = service.built.journal.head
    assert anchors_in((home.root / "far" / "anchors").read_text())[-1] == (head.seq, head.mac.hex())
