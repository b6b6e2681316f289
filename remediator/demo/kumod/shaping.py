"""Traffic shaping as far as the simulation obeys it: `max_message_rate` out of a TOML file. Pure but for `read`.

```toml
["default"]
max_message_rate = "1000/s"

["example.com"]
max_message_rate = "100/h"

["example.com".sources."ip-1"]
max_message_rate = "10/min"
```

As in kumod, a rate holds for one source on its way to one site: two sources of a pool send twice as much together.
A token bucket stands in for kumod's generic cell rate algorithm; it holds the whole quantity unless `max_burst` says less.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PERIODS = {
    **dict.fromkeys(("s", "sec", "second"), 1),
    **dict.fromkeys(("m", "min", "minute"), 60),
    **dict.fromkeys(("h", "hr", "hour"), 3_600),
    **dict.fromkeys(("d", "day"), 86_400),
}
_RATE = re.compile(r"(?:local:)?([0-9][0-9_,]{0,17})/([a-z]+)(?:,max_burst=([0-9]{1,18}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many messages a period (in seconds), and how many of them may go at once."""

    count: int
    period: int
    burst: int

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read `100/h`, `1,000/min` or `10/s,max_burst=1`; ValueError for anything else and for zero."""
        found = _RATE.fullmatch(text.strip())
        period = _PERIODS.get(found[2]) if found else None
        count = int(re.sub("[_,]", "", found[1])) if found else 0
        if found is None or period is None or count == 0:
            raise ValueError(f"{text!r} is not a rate; write quantity/period, such as 100/h")
        return cls(count=count, period=period, burst=int(found[3]) if found[3] else count)


class Bucket:
    """What a rate still lets through, in mail time."""

    def __init__(self, rate: Rate, now: float) -> None:
        """Full: the whole burst may go."""
        self.rate = rate
        self._tokens = float(rate.burst)
        self._at = now

    def available(self, now: float) -> int:
        """How many messages may go now."""
        self._tokens = min(self.rate.burst, self._tokens + (now - self._at) * self.rate.count / self.rate.period)
        self._at = now
        return int(self._tokens)

    def spend(self, count: int) -> None:
        """So many went."""
        self._tokens -= count

    @property
    def wait(self) -> float:
        """Seconds until the next message may go."""
        return max(0.0, 1.0 - self._tokens) * self.rate.period / self.rate.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    """The rates of one reading of the file, keyed by domain and by domain and source."""

    domains: Mapping[str, Rate]
    sources: Mapping[tuple[str, str], Rate]

    def rate(self, domain: str, source: str) -> Rate | None:
        """The rate of a path: of its source, else of its domain, else the default."""
        return self.sources.get((domain, source)) or self.domains.get(domain) or self.domains.get("default")


NOTHING = Shaping(domains={}, sources={})


def load(text: str) -> Shaping:
    """Read the TOML; ValueError for broken TOML and for what is not a rate. Other options are ignored."""
    domains: dict[str, Rate] = {}
    sources: dict[tuple[str, str], Rate] = {}
    for domain, section in tomllib.loads(text).items():
        if not isinstance(section, Mapping):
            raise ValueError(f'{domain} is not a section; write ["{domain}"]')
        if (rate := _rate(section)) is not None:
            domains[domain] = rate
        parts = section.get("sources", {})
        if not isinstance(parts, Mapping):
            raise ValueError(f"{domain}: sources is not a section")
        for source, options in parts.items():
            if isinstance(options, Mapping) and (rate := _rate(options)) is not None:
                sources[domain, source] = rate
    return Shaping(domains=domains, sources=sources)


def read(path: Path) -> Shaping:
    """Read the file; one that is missing shapes nothing. OSError and ValueError as they come."""
    try:
        return load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return NOTHING


def _rate(section: Mapping[str, object]) -> Rate | None:
    value = section.get("max_message_rate")
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f'max_message_rate must be text such as "100/h", not {value!r}')
    return Rate.parse(value)
