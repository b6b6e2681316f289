"""Names of queues. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueName:
    """The name of a scheduled queue, in its parts: `campaign:tenant@domain!routing_domain`, all but the domain optional."""

    domain: str
    tenant: str | None = None
    campaign: str | None = None
    routing_domain: str | None = None

    def __str__(self) -> str:
        """The spelling that stands in labels and requests."""
        tenant = self.tenant or ""
        owner = f"{self.campaign}:{tenant}@" if self.campaign else f"{tenant}@" if tenant else ""
        return f"{owner}{self.domain}{f'!{self.routing_domain}' if self.routing_domain else ''}"


def ready_queue_name(*, source: str, site: str) -> str:
    """The name of the ready queue that leads from an egress source to a site; the exact key of a ready-queue suspension."""
    return f"{source}->{site}@smtp_client"
