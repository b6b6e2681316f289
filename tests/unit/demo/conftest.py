"""A small world of mail: one or more destinations, orders, and a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from remediator.demo.kumod.admin import Orders
from remediator.demo.kumod.domains import Domain, Retries, Stream
from remediator.demo.kumod.mail import Mail


class World:
    """Mail and the orders that it obeys; both clocks are the same here."""

    def __init__(self, domains: list[Domain], *, retries: Retries | None = None, seed: int = 1) -> None:
        self.orders = Orders()
        self.mail = Mail(domains=domains, rng=Random(seed), retries=retries)

    def run(self, seconds: float, *, step: float = 1.0) -> None:
        """Let time pass in steps."""
        end = self.mail.now + seconds
        while self.mail.now < end:
            now = min(end, self.mail.now + step)
            self.mail.advance(now, self.orders.at(now))

    def scheduled(self) -> int:
        return sum(queue.total for queue in self.mail.scheduled.values())

    def ready(self) -> int:
        return sum(queue.total for queue in self.mail.ready.values())


MakeDomain = Callable[..., Domain]


@pytest.fixture
def make_domain() -> MakeDomain:
    """Build a destination whose mail all belongs to one queue, `news:acme@…`."""

    def build(name: str = "gmail.com", **settings: object) -> Domain:
        domain = Domain(name=name, provider="google", site=f"mx.{name}", bounce_ratio=0.0, transfail_ratio=0.0)
        domain.streams = (Stream(tenant="acme", campaign="news", share=1.0),)
        for field, value in settings.items():
            setattr(domain, field, value)
        return domain

    return build


@pytest.fixture
def make_world() -> Callable[..., World]:
    """Build a world."""
    return World
