"""A thread of its own for a thing that blocks, so that the event loop never does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Lane:
    """One thread that does one piece of work after another, in the order in which it was asked.

    Work that was asked for is done, also when whoever asked is cancelled and no longer waits for it. Its own thread and
    queue rather than a pool: handing over a piece of work then costs a third (measured), and an append is handed over for
    every few answers of an alert storm.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[], T]) -> T:
        """Does `work` on the lane's thread; gives back or raises what it does."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put((work, done))
        return await done

    def end(self) -> None:
        """Takes no more work; the thread ends when what was asked for is done."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, done = job
            try:
                answer, fault = work(), None
            except BaseException as raised:  # noqa: BLE001  (whatever it is, it belongs to who asked)
                answer, fault = None, raised
            try:
                done.get_loop().call_soon_threadsafe(_tell, done, answer, fault)
            except RuntimeError:
                continue  # the loop is closed: nobody is left to hear it


def _tell(done: asyncio.Future[Any], answer: object, fault: BaseException | None) -> None:
    if done.done():
        return  # whoever asked no longer waits
    if fault is None:
        done.set_result(answer)
    else:
        done.set_exception(fault)
