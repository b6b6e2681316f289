"""Whether it helped: folding looks into recovered, not recovered, or could not tell. Pure; the engine does the looking.

Every check must be *seen* good `samples` times in a row and have held for its `hold`, all at the same time, before its
`within` is over (G11). Looks that could tell nothing break a row and are remembered: when the time is over and the last
look was one of those, the verdict is `unknown`, which is neither success nor failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from remediator.core.durations import format_duration
from remediator.core.outcomes import Look, Observation
from remediator.core.plans import PlannedCheck

RECOVERED = "recovered"
NOT_RECOVERED = "not_recovered"
UNKNOWN = "unknown"
NOT_ASKED = "not_asked"


@dataclass(frozen=True, slots=True)
class Row:
    """How one check stands: good looks in a row, since when, and the last look."""

    good: int = 0
    since: float | None = None
    last: Observation | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a verification."""

    word: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Watch:
    """A verification under way; `started` in unix seconds. One that was taken up again after a restart is `resumed`."""

    checks: tuple[PlannedCheck, ...]
    started: float
    rows: tuple[Row, ...]
    looks: int = 0
    resumed: bool = False

    @classmethod
    def begin(cls, checks: Sequence[PlannedCheck], now: float, started: float | None = None) -> Watch:
        """A watch over `checks` that has seen nothing yet.

        One that `started` earlier keeps its time; its rows begin anew, for nobody looked in between.
        """
        began = now if started is None else started
        watch = cls(tuple(checks), began, tuple(Row() for _ in checks))
        return replace(watch, resumed=now - began >= watch.every)

    @property
    def every(self) -> float:
        """Seconds between looks: the shortest that a check asks for."""
        return min((check.every for check in self.checks), default=15.0)


def advance(watch: Watch, observations: Sequence[Observation], now: float) -> Watch:
    """The watch after one look at every check."""
    rows = tuple(_advance(row, seen, now) for row, seen in zip(watch.rows, observations, strict=True))
    return replace(watch, rows=rows, looks=watch.looks + 1)


def _advance(row: Row, seen: Observation, now: float) -> Row:
    if seen.look is not Look.GOOD:
        return Row(0, None, seen)
    return Row(row.good + 1, row.since if row.since is not None else now, seen)


def conclude(watch: Watch, now: float) -> Verdict | None:
    """The verdict, or None while there is time left and the good state has not held long enough."""
    if not watch.checks:
        return Verdict(UNKNOWN, "the playbook declares no verification, so nobody can say whether it helped")
    if not watch.looks:
        return None
    if all(_held(check, row, now) for check, row in zip(watch.checks, watch.rows, strict=True)):
        return Verdict(RECOVERED, "; ".join(row.last.sentence for row in watch.rows if row.last is not None))
    for check, row in zip(watch.checks, watch.rows, strict=True):
        if now - watch.started >= check.within and not _held(check, row, now):
            return _too_late(watch, check, row, now)
    return None


def _held(check: PlannedCheck, row: Row, now: float) -> bool:
    return row.since is not None and row.good >= check.samples and now - row.since >= check.hold


def _too_late(watch: Watch, check: PlannedCheck, row: Row, now: float) -> Verdict:
    within = format_duration(check.within)
    if watch.resumed and row.last is not None and row.good == watch.looks:
        seen = f"good at every look since it was taken up again: {row.last.sentence}"
        return Verdict(UNKNOWN, f"could not tell within {within}, since nobody looked for a while; {seen}")
    if row.last is None or row.last.look is Look.UNKNOWN:
        seen = row.last.sentence if row.last else "nobody looked"
        return Verdict(UNKNOWN, f"could not tell within {within}: {seen}")
    if row.since is not None:
        held = format_duration(float(round(now - row.since)))
        return Verdict(NOT_RECOVERED, f"good for the last {held} only when {within} were over: {row.last.sentence}")
    return Verdict(NOT_RECOVERED, f"not recovered within {within}: {row.last.sentence}")
