"""Schedules: at which moments a rule comes due by itself, in the syntax of cron and the time of a zone. Pure.

The library (cronsim) reads the expression and steps through the calendar as Debian's cron does; it has no clock, so every
moment is passed in. Its rules where clocks are changed, which we keep and test:

* A fixed time (minute and hour do not begin with `*`) that is skipped in spring comes at the first minute after the gap:
  02:30 at 03:00. One that is lived twice in autumn comes the first time only.
* What recurs (`*/15 * * * *`, `0 * * * *`) goes by real time: nothing of a skipped hour comes, and an hour that is lived
  twice has its moments twice.

An occurrence that could not begin within `ON_TIME` seconds of its moment is *missed*: the service was away, or its clock
was set forward. `skip` passes over it. `run_once` makes up for the latest one, if it is no older than `within`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from collections.abc import Iterator

# How late (s) an occurrence may begin and is still on time: a restart or a slow store must not lose one.
ON_TIME = 60.0
FIELDS = 5
# How far back (s) the latest occurrence is looked for, ever farther until one is found.
_LOOKS_BACK = (3_600.0, 86_400.0, 8 * 86_400.0, 32 * 86_400.0, 367 * 86_400.0, 9 * 367 * 86_400.0)


class Missed(StrEnum):
    """What becomes of an occurrence that could not begin on time."""

    SKIP = "skip"
    RUN_ONCE = "run_once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a rule comes due: a cron expression of five fields, read in `zone`. `within` in seconds.

    `severity` is that of its incidents: whom their messages go to.
    """

    cron: str
    time_zone: str = "UTC"
    zone: tzinfo = UTC
    missed: Missed = Missed.SKIP
    within: float = 3600.0
    severity: str = "info"

    @property
    def text(self) -> str:
        """As people read it: `0 9 * * * (Europe/Berlin)`."""
        return f"{self.cron} ({self.time_zone})"

    @property
    def patience(self) -> float:
        """How late (s) an occurrence may be and is still started."""
        return max(ON_TIME, self.within) if self.missed is Missed.RUN_ONCE else ON_TIME

    def following(self, after: float) -> float | None:
        """The first occurrence later than `after` (unix s); None if none comes within fifty years."""
        return next(self.occurrences(after), None)

    def latest(self, after: float, until: float) -> float | None:
        """The last occurrence later than `after` and not later than `until` (unix s), if there is one."""
        for back in _LOOKS_BACK:
            start = max(after, until - back)
            found = None
            for moment in self.occurrences(start):
                if moment > until:
                    break
                found = moment
            if found is not None or start == after:
                return found
        return None

    def occurrences(self, after: float) -> Iterator[float]:
        """All occurrences later than `after`, in order; a fixed time that is lived twice could else come once more."""
        start = datetime.fromtimestamp(after, self.zone)
        for moment in CronSim(self.cron, start):
            at = moment.timestamp()
            if at > after:
                yield at


def parse_schedule(
    cron: str, *, time_zone: str = "UTC", missed: Missed = Missed.SKIP, within: float = 3600.0, severity: str = "info"
) -> Schedule:
    """A schedule whose expression and zone are good; ValueError says what is not, and what to write."""
    schedule = Schedule(
        cron=" ".join(cron.split()),
        time_zone=time_zone,
        zone=read_zone(time_zone),
        missed=missed,
        within=within,
        severity=severity,
    )
    if len(cron.split()) != FIELDS:
        raise ValueError(
            f"'{cron}' has {len(cron.split())} fields; write five: minute, hour, day of month, month, day of week"
        )
    try:
        first = schedule.following(0.0)
    except CronSimError as fault:
        part = str(fault).removeprefix("Bad ")
        raise ValueError(f"'{cron}' is no cron expression: bad {part}; write for example 0 9 * * MON-FRI") from None
    if first is None:
        raise ValueError(f"'{cron}' never comes; there is no such day")
    return schedule


def read_zone(name: str) -> tzinfo:
    """The zone of that name; ValueError if it is unknown, or would depend on the machine."""
    if name == "UTC":
        return UTC
    try:
        if name not in {"", "Local", "localtime"}:
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    raise ValueError(f"'{name}' is no time zone; write for example Europe/Berlin, or UTC")
