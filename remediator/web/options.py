"""What the web floor can be told: limits, deadlines and the few things of the outside that it needs. Plain values only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MIB = 1024 * 1024


def _ignore(_code: int) -> None:
    """Nobody counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebOptions:
    """Sizes in bytes, times in seconds.

    `now` is the wall clock. `body_limit` and `body_deadline` bound one notification (reliability.md G14: 8 MiB, 10 s),
    `body_budget` all bodies that are held at once, `in_flight` the requests under way; above these the answer is 503, which
    Alertmanager tries again. `streams` bounds live pages and long polls, `heartbeat` is how often a silent stream says
    that it lives, `stream_life` after how long it is ended, so that credentials are looked at again.
    `hosts` are names under which the console is reached beyond loopback ones. `answered` hears the status of every
    webhook request.
    """

    now: Callable[[], float]
    body_limit: int = 8 * MIB
    request_limit: int = 256 * 1024
    body_deadline: float = 10.0
    body_budget: int = 64 * MIB
    in_flight: int = 512
    streams: int = 64
    heartbeat: float = 15.0
    stream_life: float = 1800.0
    external_url: str = ""
    hosts: frozenset[str] = frozenset()
    answered: Callable[[int], None] = _ignore
