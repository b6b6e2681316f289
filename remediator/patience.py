"""Many waits, one timer: a deadline for each of thousands of requests without a timer for each.

`asyncio.timeout` makes and cancels a timer for every use, which during an alert storm is a tenth of the time of an answer.
Here a wait is an entry in a dict, and one timer looks through them a few times within their length; so a wait may end up to
a quarter of its length late. Touches nothing but the running loop.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Patience:
    """Waits that may all last `seconds`. `with patience.wait():` raises TimeoutError in the task that waited too long."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waits: dict[Wait, None] = {}  # in the order of their ends, since all are equally long
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def wait(self) -> Wait:
        """A wait that begins with its `with` block."""
        return Wait(self)

    def add(self, wait: Wait) -> None:
        """Begins to watch `wait`."""
        loop = asyncio.get_running_loop()
        wait.end = loop.time() + self.seconds
        self._waits[wait] = None
        if self._timer is None or self._loop is not loop:
            self._loop = loop
            self._timer = loop.call_later(self.seconds / 4, self._look)

    def drop(self, wait: Wait) -> None:
        """Ends to watch `wait`."""
        self._waits.pop(wait, None)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for wait in list(self._waits):
            if loop.time() < wait.end:
                break
            self._waits.pop(wait)
            wait.overdue = True
            wait.task.cancel()
        if self._waits:
            self._timer = loop.call_later(self.seconds / 4, self._look)


class Wait:
    """One wait of one task."""

    __slots__ = ("_cancels", "_patience", "end", "overdue", "task")

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self.overdue = False
        self.end = float("inf")

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can wait")
        self.task = task
        self._cancels = task.cancelling()
        self._patience.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._patience.drop(self)
        if self.overdue and self.task.uncancel() <= self._cancels and kind is asyncio.CancelledError:
            raise TimeoutError from None
