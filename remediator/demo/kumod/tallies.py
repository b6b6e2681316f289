"""What the simulated kumod counts for its metrics, since its start. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection
    from random import Random

    from remediator.demo.kumod.queues import ReadyQueue

_K = TypeVar("_K")

SMTP_CLIENT = "smtp_client"
# The upper bounds of every latency histogram of kumod, in seconds: what takes longer than ten cannot be told apart.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# How single deliveries spread around a domain's typical latency: factor and share of the messages.
_SPREAD = ((0.5, 0.5), (1.0, 0.3), (2.0, 0.15), (4.0, 0.05))


class Outcome(StrEnum):
    """How an attempt to deliver ended; the value is the end of the metric's name."""

    DELIVERED = "delivered"
    FAIL = "fail"
    TRANSFAIL = "transfail"


@dataclass(slots=True)
class Latency:
    """A histogram over `BUCKETS`: counts per bucket, the last one beyond all bounds, and the sum in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def observe(self, seconds: float, count: int) -> None:
        """Count so many attempts of that length."""
        place = next((at for at, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))
        self.counts[place] += count
        self.total += seconds * count


@dataclass(slots=True)
class Tallies:
    """Counters keyed by their label values. A restart begins with new ones; what is idle for long is dropped."""

    received: Counter[str] = field(default_factory=Counter)
    by_service: dict[Outcome, Counter[str]] = field(default_factory=lambda: {o: Counter() for o in Outcome})
    by_provider: dict[Outcome, Counter[str]] = field(default_factory=lambda: {o: Counter() for o in Outcome})
    by_source: dict[Outcome, Counter[tuple[str, ...]]] = field(default_factory=lambda: {o: Counter() for o in Outcome})
    connections: Counter[str] = field(default_factory=Counter)
    ready_full: Counter[str] = field(default_factory=Counter)
    delayed_ready_full: Counter[str] = field(default_factory=Counter)
    delayed_rate: Counter[str] = field(default_factory=Counter)
    latency: dict[str, Latency] = field(default_factory=dict)

    def open(self, ready: ReadyQueue) -> None:
        """A ready queue comes into being: its series and the global ones appear, at zero if they are new."""
        for outcome in Outcome:
            for service in (SMTP_CLIENT, ready.service):
                self.by_service[outcome][service] += 0
            self.by_provider[outcome][ready.provider] += 0
            self.by_source[outcome][ready.provider, ready.source, ready.pool] += 0
        for service in (SMTP_CLIENT, ready.service):
            self.connections[service] += 1
            self.ready_full[service] += 0

    def finish(self, ready: ReadyQueue, outcome: Outcome, count: int) -> None:
        """Count attempts of a ready queue, under its own name and under the global one: both are exported."""
        self.by_service[outcome][SMTP_CLIENT] += count
        self.by_service[outcome][ready.service] += count
        self.by_provider[outcome][ready.provider] += count
        self.by_source[outcome][ready.provider, ready.source, ready.pool] += count

    def time(self, count: int, *, typical_s: float, rng: Random) -> None:
        """Spread the latencies of so many attempts; few are drawn one by one, many are divided."""
        histogram = self.latency.setdefault(SMTP_CLIENT, Latency())
        if count < 20:
            factors = [factor for factor, _ in _SPREAD]
            for factor in rng.choices(factors, [share for _, share in _SPREAD], k=count):
                histogram.observe(typical_s * factor, 1)
            return
        left = count
        for factor, share in _SPREAD[1:]:
            part = round(count * share)
            histogram.observe(typical_s * factor, part)
            left -= part
        histogram.observe(typical_s * _SPREAD[0][0], left)

    def keep(self, ready: Collection[ReadyQueue], scheduled: Collection[str]) -> None:
        """Drop the series of queues that are gone; the global `smtp_client` stays."""
        services = {SMTP_CLIENT} | {queue.service for queue in ready}
        providers = {queue.provider for queue in ready}
        sources = {(queue.provider, queue.source, queue.pool) for queue in ready}
        for outcome in Outcome:
            _retain(self.by_service[outcome], services)
            _retain(self.by_provider[outcome], providers)
            _retain(self.by_source[outcome], sources)
        for counter in (self.connections, self.ready_full):
            _retain(counter, services)
        for counter in (self.delayed_ready_full, self.delayed_rate):
            _retain(counter, scheduled)


def _retain(counter: Counter[_K], keys: Collection[_K]) -> None:
    for key in [key for key in counter if key not in keys]:
        del counter[key]
