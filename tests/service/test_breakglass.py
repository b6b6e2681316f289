"""The file PAUSED: its presence is a pause, whatever is in it; its absence ends that pause and no other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.state import Pause
from remediator.service.breakglass import LOOK_EVERY, BreakGlass
from remediator.system import SystemClock

if TYPE_CHECKING:
    from tests.service.conftest import Service


class Hasty(SystemClock):
    """A clock that counts the looks, and is in a hurry between them."""

    def __init__(self) -> None:
        self.looked = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """One look is over."""
        if seconds == LOOK_EVERY:
            self.looked.set()
        await asyncio.sleep(0.001 if seconds == LOOK_EVERY else seconds)


class Watched:
    """A service whose file is watched."""

    def __init__(self, service: Service, path: Path, clock: Hasty) -> None:
        self.service, self.path, self.clock = service, path, clock

    @property
    def pause(self) -> Pause | None:
        """The pause of everything, if there is one."""
        return self.service.built.journal.state.pauses.get("all")

    async def looks(self, number: int = 2) -> None:
        """Waits until it has looked again."""
        async with asyncio.timeout(20):
            for _ in range(number):
                self.clock.looked.clear()
                await self.clock.looked.wait()

    async def says(self, text: str | bytes) -> Pause | None:
        """The pause after a look at a file with this text."""
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        await self.looks()
        return self.pause


@asynccontextmanager
async def watching(service: Service, path: Path) -> AsyncIterator[Watched]:
    clock = Hasty()
    service.built.engine.parts.clock = clock
    watch = asyncio.ensure_future(BreakGlass(path, service.built.engine.parts).watch())
    try:
        yield Watched(service, path, clock)
        assert not watch.done(), "the watch goes on, whatever it has read"
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch


@pytest.fixture
async def watched(service: Service, tmp_path: Path) -> AsyncIterator[Watched]:
    async with watching(service, tmp_path / "data" / "PAUSED") as watched:
        yield watched


async def test_the_file_is_a_pause_within_a_look_and_its_removal_the_end(watched: Watched) -> None:
    assert watched.pause is None
    pause = await watched.says("")
    assert pause is not None
    assert (pause.by, pause.reason, pause.until) == ("PAUSED file", "the file PAUSED is there", None)
    await watched.looks(5)
    assert len(await watched.service.facts("pause.set")) == 1, "one entry, however often it is looked at"
    watched.path.unlink()
    await watched.looks()
    assert watched.pause is None
    (cleared,) = await watched.service.facts("pause.cleared")
    assert isinstance(cleared, e.PauseCleared)
    assert cleared.by == "PAUSED file"


async def test_a_file_that_says_who_why_and_until_when_is_believed(watched: Watched) -> None:
    until = watched.clock.now() + 3600
    pause = await watched.says(json.dumps({"by": "ana", "reason": "no\nnetwork", "until": until}))
    assert pause is not None
    assert (pause.by, pause.reason, pause.until) == ("ana, PAUSED file", "no network", until)


@pytest.mark.parametrize(
    "text",
    [
        b"because I say so",
        b"\xff\xfe\x00junk",
        b"[1, 2]",
        b'"text"',
        b"[" * 4000,
        b'{"reason": ' * 300,
        b'{"until": true}',
        b'{"until": "tomorrow"}',
        b'{"until": 1' + b"0" * 400 + b"}",
        b'{"until": 1e999}',
        b'{"until": NaN}',
        b'{"until": -1}',
        b'{"by": ["ana"], "reason": {"a": 1}}',
        b'{"by": "\\ud800", "reason": "\\udfff half a character"}',
        b'{"reason": "' + b"x" * 100_000 + b'"}',
    ],
)
async def test_junk_is_a_pause_without_an_end(watched: Watched, text: bytes) -> None:
    pause = await watched.says(text)
    assert pause is not None
    assert pause.until is None
    assert pause.by.endswith("PAUSED file")
    assert pause.reason
    assert len(pause.reason) <= 500


async def test_a_directory_of_that_name_is_a_pause_too(watched: Watched) -> None:
    watched.path.mkdir()
    await watched.looks()
    assert watched.pause is not None


async def test_an_end_in_the_past_is_no_pause_and_ends_one_that_the_file_made(watched: Watched) -> None:
    past = json.dumps({"until": watched.clock.now() - 1})
    assert await watched.says(past) is None
    assert await watched.says("") is not None
    assert await watched.says(past) is None


async def test_a_pause_of_a_person_is_not_ended_by_a_file_that_is_not_there(watched: Watched) -> None:
    await watched.service.built.surface.pause(scope="all", reason="migration", by="ana", seconds=None)
    await watched.looks()
    assert watched.pause is not None
    assert watched.pause.by == "ana"
    await watched.says("")
    assert watched.pause.by == "ana", "the first pause stays"
    watched.path.unlink()
    await watched.looks()
    assert watched.pause is not None
    await watched.service.built.surface.resume(scope="all", by="ana")
    await watched.looks()
    assert watched.pause is None


async def test_a_resume_with_the_file_still_there_is_paused_again(watched: Watched) -> None:
    await watched.says("")
    await watched.service.built.surface.resume(scope="all", by="ana")
    await watched.looks()
    assert watched.pause is not None, "the file is the word of somebody who has only a shell"


async def test_a_paused_service_holds_back_and_goes_on_when_the_file_goes(watched: Watched) -> None:
    await watched.says("no network")
    await watched.service.fire()
    surface = watched.service.built.surface
    await watched.service.until(lambda: any(run.sentence for run in surface.status().held_back))
    (held,) = surface.status().held_back
    assert "PAUSED" in held.sentence
    watched.path.unlink()
    (row,) = await watched.service.closed()
    assert row["result"] == "simulated"
