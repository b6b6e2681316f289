"""What operators ordered: suspensions, ready-queue suspensions and bounces, as kumod keeps them. Pure: time is passed in.

Kept in memory, each with an end; the same criteria a second time replace the entry *and its id*. All times are seconds
since 1970: orders run by the wall clock, not by mail time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Hashable

    from remediator.demo.kumod.names import QueueName


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Which scheduled queues are meant. Nothing set means all of them; queue names win over everything else."""

    campaign: str | None = None
    tenant: str | None = None
    domain: str | None = None
    routing_domain: str | None = None
    queue_names: frozenset[str] = frozenset()

    def match(self, queue: QueueName) -> bool:
        """Does a queue fit?"""
        if self.queue_names:
            return str(queue) in self.queue_names
        wanted = (self.campaign, self.tenant, self.domain, self.routing_domain)
        found = (queue.campaign, queue.tenant, queue.domain, queue.routing_domain)
        return all(want is None or want == have for want, have in zip(wanted, found, strict=True))


@dataclass(slots=True, kw_only=True)
class Order:
    """An entry with a reason and an end; `id` names it for whoever wants to take it back."""

    reason: str
    expires: float
    id: str = field(default_factory=lambda: str(uuid4()))


@dataclass(slots=True, kw_only=True)
class Suspension(Order):
    """Scheduled queues whose mail is not tried."""

    criteria: Criteria

    @property
    def key(self) -> Hashable:
        """What makes two entries the same."""
        return self.criteria


@dataclass(slots=True, kw_only=True)
class ReadySuspension(Order):
    """One source that does not send to one site; any name is accepted, also of a queue that does not exist."""

    name: str

    @property
    def key(self) -> Hashable:
        """What makes two entries the same."""
        return self.name


@dataclass(slots=True, kw_only=True)
class Bounce(Order):
    """Scheduled queues whose mail is destroyed, and how much of it by now."""

    criteria: Criteria
    bounced: Counter[str] = field(default_factory=Counter)

    @property
    def key(self) -> Hashable:
        """What makes two entries the same."""
        return self.criteria


OrderT = TypeVar("OrderT", Suspension, ReadySuspension, Bounce)


class Book(Generic[OrderT]):
    """The entries of one kind, in the order in which they came."""

    def __init__(self) -> None:
        """Empty, as after each start."""
        self._entries: list[OrderT] = []

    def add(self, entry: OrderT) -> None:
        """Enter an order; one with the same key is thereby gone."""
        self._entries = [old for old in self._entries if old.key != entry.key]
        self._entries.append(entry)

    def remove(self, order_id: str, now: float) -> OrderT | None:
        """Take an order back; None if it has expired or never was."""
        found = next((entry for entry in self.active(now) if entry.id == order_id), None)
        if found is not None:
            self._entries.remove(found)
        return found

    def active(self, now: float) -> list[OrderT]:
        """What is in force; what has expired is forgotten."""
        self._entries = [entry for entry in self._entries if entry.expires > now]
        return list(self._entries)


class Orders:
    """All orders of one node. They live as long as its process."""

    def __init__(self) -> None:
        """None yet."""
        self.suspensions: Book[Suspension] = Book()
        self.ready_suspensions: Book[ReadySuspension] = Book()
        self.bounces: Book[Bounce] = Book()

    def at(self, now: float) -> Snapshot:
        """What is in force now, in the form in which the model of mail asks for it."""
        ready = {entry.name: entry.expires - now for entry in self.ready_suspensions.active(now)}
        return Snapshot(self.suspensions.active(now), ready, self.bounces.active(now))


class Snapshot:
    """The orders of one moment; answers are remembered, since a tick asks the same thing many times."""

    def __init__(self, suspensions: list[Suspension], ready: dict[str, float], bounces: list[Bounce]) -> None:
        """Take the lists as they are."""
        self._suspensions = suspensions
        self._ready = ready
        self._bounces = bounces
        self._known: dict[QueueName, bool] = {}

    def suspended(self, queue: QueueName) -> bool:
        """Is this scheduled queue suspended?"""
        if queue not in self._known:
            self._known[queue] = any(entry.criteria.match(queue) for entry in self._suspensions)
        return self._known[queue]

    def resumes_in(self, ready_queue: str) -> float | None:
        """Seconds for which a ready queue is still suspended; None if it is not."""
        return self._ready.get(ready_queue)

    def bouncing(self, queue: QueueName) -> Counter[str] | None:
        """Where to count the messages of a queue that is bounced by order; None if it is not."""
        return next((entry.bounced for entry in self._bounces if entry.criteria.match(queue)), None)
