"""One simulated node: its mail, its orders, its clockwork, its start and end. No HTTP here.

Two clocks: wall time, which the caller passes in and by which orders end, and mail time, which runs `speed` times as fast.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from remediator.demo.kumod import shaping
from remediator.demo.kumod.admin import Criteria, Orders
from remediator.demo.kumod.domains import Domain, Retries
from remediator.demo.kumod.faults import Faults
from remediator.demo.kumod.ledger import Ledger
from remediator.demo.kumod.mail import Mail

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from remediator.demo.kumod.queues import ScheduledQueue

# kumod looks at its files every ten seconds, drops idle series every sixty, and stops taking mail below a tenth of the disk.
_SHAPING_EVERY = 10.0
_SWEEP_EVERY = 60.0
_LEAST_DISK = 10.0
MEMORY_LIMIT = 1_538_067_456


def default_domains(inject_per_s: float = 20.0) -> list[Domain]:
    """The destinations of a node that is told nothing else: four providers, two sources, one pool."""
    sites = {
        "gmail.com": ("google", "(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com"),
        "yahoo.com": ("yahoo", "(mta5|mta6|mta7).am0.yahoodns.net"),
        "outlook.com": ("microsoft", "outlook-com.olc.protection.outlook.com"),
        "example.net": ("example", "mx.example.net"),
    }
    return [
        Domain(name=name, provider=provider, site=site, inject_per_s=inject_per_s)
        for name, (provider, site) in sites.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebind:
    """A rebind that was accepted and waits for the next tick, as kumod does it after the answer."""

    criteria: Criteria
    moves: dict[str, str]
    always_flush: bool


class Kumod:
    """The state of a node. Its attributes are what the routes read and what scenario control writes."""

    def __init__(
        self,
        *,
        now: float,
        name: str = "kumod-1",
        version: str = "2026.06.23",
        speed: float = 1.0,
        seed: int = 1,
        domains: Iterable[Domain] | None = None,
        retries: Retries | None = None,
        shaping_file: Path | None = None,
        ledger_file: Path | None = None,
    ) -> None:
        """A node that came up at `now`. OSError if the ledger cannot be written."""
        self.name = name
        self.version = version
        self.online_since = now
        self.disk_free_percent = 60.0
        self.memory_percent: float | None = None
        self.log_filter = "kumod=info"
        self.shutting_down = False
        self.shaping_error: str | None = None
        self.restarts = 0
        self.orders = Orders()
        self.faults = Faults()
        self.ledger = Ledger(ledger_file, node=name)
        self.mail = Mail(domains=default_domains() if domains is None else domains, rng=Random(seed), retries=retries)
        self._speed = speed
        self._ticked_at = now
        self._swept_at = now
        self._shaped_at = now
        self._ready_at = now
        self._down_until = now
        self._shaping_file = shaping_file
        self._rebinds: list[Rebind] = []
        self.read_shaping()

    def tick(self, now: float) -> None:
        """Let the world go on until `now`. A clock that goes back only makes it wait."""
        elapsed = max(0.0, now - self._ticked_at)
        self._ticked_at = now
        if self.mail.log_hook is not None:
            self.mail.log_hook.at = now
        if now - self._shaped_at >= _SHAPING_EVERY:
            self._shaped_at = now
            self.read_shaping()
        if self.starting(now):
            return
        for rebind in self._rebinds:
            self._carry_out(rebind)
        self._rebinds.clear()
        self.mail.advance(self.mail.now + elapsed * self._speed, self.orders.at(now))
        if now - self._swept_at >= _SWEEP_EVERY:
            self._swept_at = now
            self.mail.sweep()

    def liveness(self, now: float) -> str | None:
        """Why no mail is accepted now, in kumod's words and order; None if it is."""
        if self.shutting_down:
            return "shutting down"
        if self.memory_usage >= MEMORY_LIMIT:
            return "load shedding"
        if self.starting(now):
            return "waiting for spool startup"
        if self.disk_free_percent < _LEAST_DISK:
            return "storage is too full"
        return None

    @property
    def memory_usage(self) -> int:
        """Bytes in use: what was told, else what so many messages take."""
        if self.memory_percent is not None:
            return int(MEMORY_LIMIT * self.memory_percent / 100)
        return 180_000_000 + 2_000 * self.message_count

    @property
    def message_count(self) -> int:
        """Messages in all queues."""
        ready = sum(queue.total for queue in self.mail.ready.values())
        return ready + sum(queue.total for queue in self.mail.scheduled.values())

    def starting(self, now: float) -> bool:
        """Is the spool still being read?"""
        return now < self._ready_at

    def down(self, now: float) -> bool:
        """Is there no process that would accept a connection?"""
        return now < self._down_until

    def restart(self, now: float, *, startup_s: float, down_s: float) -> None:
        """A restart of the process: its orders and counters are gone, it sends again; the spool is as it was."""
        self.restarts += 1
        self._down_until = now + down_s
        self.online_since = self._down_until
        self._ready_at = self._down_until + startup_s
        self.orders = Orders()
        self.log_filter = "kumod=info"
        self.memory_percent = None
        self.mail.stopped = False
        self._rebinds.clear()
        self.mail.restart()
        self.read_shaping()

    def read_shaping(self) -> None:
        """Read the shaping file. A broken one is reported and the old rates stay."""
        if self._shaping_file is None:
            return
        try:
            self.mail.shaping = shaping.read(self._shaping_file)
        except (OSError, ValueError) as error:
            self.shaping_error = f"{self._shaping_file}: {error}"
            print(f"kumod-sim {self.name}: {self.shaping_error}; the rates before it stay", file=sys.stderr, flush=True)
        else:
            self.shaping_error = None

    def rebind_later(self, rebind: Rebind) -> None:
        """Accept a rebind; it is carried out at the next tick."""
        self._rebinds.append(rebind)

    def queues(self, criteria: Criteria) -> list[ScheduledQueue]:
        """The scheduled queues that fit."""
        return [queue for queue in self.mail.scheduled.values() if criteria.match(queue.name)]

    def wall(self, mail_time: float) -> float:
        """The wall time at which mail time will be, or was, that."""
        return self._ticked_at + (mail_time - self.mail.now) / self._speed

    def since(self, release: str) -> bool:
        """Is this version that release or a later one? What has no date in it is a build of the main branch."""
        mine = re.match(r"(\d{4})\.(\d{2})(?:\.(\d{2}))?", self.version)
        return mine is None or tuple(int(part or 0) for part in mine.groups()) >= tuple(map(int, release.split(".")))

    def _carry_out(self, rebind: Rebind) -> None:
        for queue in self.queues(rebind.criteria):
            if rebind.always_flush:
                self.mail.flush(queue)
            if rebind.moves:
                self.mail.rebind(queue, rebind.moves)
