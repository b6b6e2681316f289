"""How much a start reads: what lies behind the snapshot, however long the journal is (docs/guarantees.md has the figure)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from remediator.core.entries import PauseSet
from remediator.engine import journal as journal_module
from tests.kit.million import PAGE, make, start

if TYPE_CHECKING:
    from pathlib import Path

BEHIND = 700


@pytest.mark.parametrize("entries", [2_001, 8_001])
async def test_a_start_reads_what_lies_behind_the_snapshot_however_long_the_journal_is(
    entries: int, tmp_path: Path
) -> None:
    await make(tmp_path / "journal.db", entries, BEHIND, firing=50)
    journal, store = await start(tmp_path / "journal.db")
    await store.close()
    assert journal.head.seq == entries
    assert len(journal.state.episodes) == 50
    assert BEHIND - PAGE <= store.entries <= BEHIND


async def test_the_service_leaves_a_snapshot_so_often_that_no_start_reads_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lane itself saves; nothing has to be stopped for it."""
    await make(tmp_path / "journal.db", 1_001, 0, firing=50)
    monkeypatch.setattr(journal_module, "SNAPSHOT_EVERY", 40)
    journal, store = await start(tmp_path / "journal.db")
    first = journal.head.seq
    lane = asyncio.ensure_future(journal.run())
    for _ in range(130):
        await journal.commit(lambda _state, _moment: [PauseSet(scope="all", reason="again", by="ana")])
    lane.cancel()
    await asyncio.wait({lane})
    await store.close()  # without the snapshot of a clean stop
    again, store = await start(tmp_path / "journal.db")
    await store.close()
    assert again.head.seq == first + 130
    assert store.entries <= 40
