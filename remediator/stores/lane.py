"""A thread of its own for a thing that blocks, so that the event loop never does."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Lane:
    """One thread that does one piece of work after another, in the order in which it was asked.

    Work that was asked for is done, also when whoever asked is cancelled and no longer waits for it.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """Does `work` on the lane's thread; gives back or raises what it does."""
        done = asyncio.get_running_loop().run_in_executor(self._pool, work)
        done.add_done_callback(_mark_seen)
        return await asyncio.shield(done)

    def end(self) -> None:
        """Takes no more work; the thread ends when what was asked for is done."""
        self._pool.shutdown(wait=False)


def _mark_seen(done: asyncio.Future[T]) -> None:
    # Nobody may be left to fetch the error of abandoned work; asyncio would complain about it.
    if not done.cancelled():
        done.exception()
