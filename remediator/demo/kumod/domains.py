"""Destinations: how they behave, whose mail goes there, what became of it; and when failed mail is tried again. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from remediator.demo.kumod.names import QueueName


@dataclass(slots=True, kw_only=True)
class Stream:
    """A share of a domain's mail that belongs to one tenant and campaign; `bounce_ratio` is its own, if it has one."""

    tenant: str | None
    campaign: str | None
    share: float
    bounce_ratio: float | None = None

    def queue(self, domain: str) -> QueueName:
        """The scheduled queue of its mail to a domain."""
        return QueueName(domain=domain, tenant=self.tenant, campaign=self.campaign)


@dataclass(slots=True, kw_only=True)
class Truth:
    """What really became of a domain's mail since the world began; a restart does not forget it."""

    injected: int = 0
    delivered: int = 0
    failed: int = 0
    transfailed: int = 0
    suspended_attempts: int = 0
    expired: int = 0
    admin_bounced: int = 0


@dataclass(slots=True, kw_only=True)
class Domain:
    """A destination and how it behaves. The numbers may be changed at any time.

    `throttle_per_s` is what the receiver takes at most; `blocked` makes it refuse everything for now. Of what was delivered,
    `complaint_ratio` is complained about and `oob_ratio` bounces after all; only the log hook hears of these.
    """

    name: str
    provider: str
    site: str
    pool: str = "pool-1"
    sources: tuple[str, ...] = ("ip-1", "ip-2")
    streams: tuple[Stream, ...] = (
        Stream(tenant="acme", campaign="newsletter", share=0.7),
        Stream(tenant="globex", campaign="receipts", share=0.3),
    )
    inject_per_s: float = 20.0
    bounce_ratio: float = 0.02
    transfail_ratio: float = 0.01
    throttle_per_s: float | None = None
    latency_s: float = 0.2
    complaint_ratio: float = 0.0
    oob_ratio: float = 0.0
    blocked: bool = False
    truth: Truth = field(default_factory=Truth)

    def bounces(self, queue: QueueName) -> tuple[float, str]:
        """The ratio of a queue's mail that bounces, and what it is counted under: its stream's own, else the domain's."""
        for stream in self.streams:
            if stream.bounce_ratio is not None and (stream.tenant, stream.campaign) == (queue.tenant, queue.campaign):
                return stream.bounce_ratio, f"bounce {stream.tenant} {stream.campaign}"
        return self.bounce_ratio, "bounce"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """When mail that failed for now is tried again, and when it is given up; kumod's own defaults."""

    interval: float = 1_200.0
    longest: float = 4 * 3_600.0
    max_age: float = 7 * 86_400.0

    def delay(self, attempts: int) -> float:
        """Seconds to wait after the n-th attempt: doubled each time."""
        return float(min(self.longest, self.interval * 2 ** min(attempts - 1, 30)))
