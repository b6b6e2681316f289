"""Queues as counted batches: one number may stand for thousands of messages. Pure; times are mail time, in seconds."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from remediator.demo.kumod.names import QueueName

# Messages born within so many seconds of one another age as one. It bounds the batches of a queue that piles up for days.
_BORN_STEP = 60


class Batch(NamedTuple):
    """Messages that share their fate: how many, due when, after how many attempts, born when."""

    size: int
    due: float
    attempts: int
    born: float


class _Slot(NamedTuple):
    due: int
    attempts: int
    born: int


class ScheduledQueue:
    """Messages of one queue name that wait for their due time."""

    def __init__(self, name: QueueName) -> None:
        """An empty queue."""
        self.name = name
        self.text = str(name)
        self.total = 0
        self.last_changed = 0.0
        self._heap: list[_Slot] = []
        self._counts: dict[_Slot, int] = {}

    def add(self, count: int, *, due: float, attempts: int, born: float, step: int = 1) -> None:
        """Put messages in. Due times are rounded down to a multiple of `step` seconds, so that a long wait has few slots."""
        if count <= 0:
            return
        slot = _Slot(int(due) // step * step, attempts, int(born) // _BORN_STEP * _BORN_STEP)
        if slot not in self._counts:
            self._counts[slot] = 0
            heapq.heappush(self._heap, slot)
        self._counts[slot] += count
        self.total += count

    def take_due(self, now: float) -> list[Batch]:
        """Take out what is due by now, oldest first."""
        found: list[Batch] = []
        while self._heap and self._heap[0].due <= now:
            slot = heapq.heappop(self._heap)
            count = self._counts.pop(slot)
            self.total -= count
            found.append(Batch(count, slot.due, slot.attempts, slot.born))
        return found

    def take_all(self) -> list[Batch]:
        """Take everything out, in order of due time."""
        return self.take_due(float("inf"))

    def batches(self) -> Iterator[Batch]:
        """What is in it, in order of due time; nothing is taken."""
        for slot in sorted(self._heap):
            yield Batch(self._counts[slot], slot.due, slot.attempts, slot.born)


@dataclass(slots=True, kw_only=True)
class Waiting:
    """Messages of one scheduled queue that stand in a ready queue."""

    queue: ScheduledQueue
    count: int
    attempts: int
    born: float


class ReadyQueue:
    """Messages that may be sent now, on their way from one source to one site; first in, first out."""

    def __init__(self, *, name: str, source: str, site: str, provider: str, pool: str) -> None:
        """An empty queue; `name` is what a ready-queue suspension must spell."""
        self.name = name
        self.source = source
        self.site = site
        self.provider = provider
        self.pool = pool
        self.total = 0
        self.limited_since: float | None = None
        self.throttled_since: float | None = None
        self.last_changed = 0.0
        self._waiting: deque[Waiting] = deque()

    @property
    def service(self) -> str:
        """Its value of the label `service`."""
        return f"smtp_client:{self.name}"

    def push(self, waiting: Waiting) -> None:
        """Append messages."""
        last = self._waiting[-1] if self._waiting else None
        if last is not None and (last.queue, last.attempts, last.born) == (
            waiting.queue,
            waiting.attempts,
            waiting.born,
        ):
            last.count += waiting.count
        else:
            self._waiting.append(waiting)
        self.total += waiting.count

    def take(self, limit: int) -> list[Waiting]:
        """Take at most `limit` messages from the front."""
        found: list[Waiting] = []
        while limit > 0 and self._waiting:
            first = self._waiting[0]
            count = min(limit, first.count)
            if count == first.count:
                found.append(self._waiting.popleft())
            else:
                first.count -= count
                found.append(Waiting(queue=first.queue, count=count, attempts=first.attempts, born=first.born))
            limit -= count
            self.total -= count
        return found

    def take_of(self, queue: ScheduledQueue) -> list[Waiting]:
        """Take what belongs to one scheduled queue, wherever it stands."""
        found = [waiting for waiting in self._waiting if waiting.queue is queue]
        if found:
            self._waiting = deque(waiting for waiting in self._waiting if waiting.queue is not queue)
            self.total -= sum(waiting.count for waiting in found)
        return found

    def count_of(self, queues: set[ScheduledQueue]) -> int:
        """How many messages of these scheduled queues stand here."""
        return sum(waiting.count for waiting in self._waiting if waiting.queue in queues)

    def queues(self) -> set[ScheduledQueue]:
        """The scheduled queues whose messages stand here."""
        return {waiting.queue for waiting in self._waiting}
