"""Asks Prometheus whether a rule's condition holds now and did for its `for`: the evidence before an effect."""

from __future__ import annotations

import math
from dataclasses import dataclass

from remediator.actions.http_client import deadline
from remediator.actions.prometheus_client import Prometheus, Series, Useless, expression_fault, freshness
from remediator.core.durations import format_duration
from remediator.core.outcomes import Look, Observation
from remediator.probes.judging import cannot_tell, judge_vector

# How many points a look back has, and the bounds of the step between them (s).
POINTS = 20
MIN_STEP, MAX_STEP = 1.0, 60.0


class PrometheusOracle:
    """Implements `ports.Oracle`."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus

    async def holds(self, expr: str, *, hold: float, now: float) -> Observation:
        """GOOD if `expr` gives one series now, on samples no older than the target's `max_age`, and did for `hold`."""
        fault = expression_fault(expr)
        if fault:
            return cannot_tell(fault)
        until = deadline(self._prometheus.timeout)
        series = await self._prometheus.instant(expr, at=now, until=until)
        if isinstance(series, Useless):
            return cannot_tell(series.sentence)
        fresh = await freshness(self._prometheus, expr, at=now, until=until)
        if isinstance(fresh, Useless):
            return cannot_tell(fresh.sentence)
        seen = judge_vector(expr, series, fresh, newer_than=now - self._prometheus.max_age, now=now)
        if seen.look is not Look.GOOD or hold <= 0:
            return seen
        points = _points(hold, now)
        past = await self._prometheus.between(expr, start=points.start, end=points.end, step=points.step, until=until)
        if isinstance(past, Useless):
            return cannot_tell(past.sentence)
        return _held(seen, past, points, hold)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Points:
    """The moments that a look back asks for, on whole milliseconds so that none is lost by rounding."""

    start: float
    end: float
    step: float
    count: int


def _points(hold: float, now: float) -> _Points:
    """At least `POINTS` moments for holds from 20 s to 20 min; the first is no later than the beginning of the hold."""
    step = round(max(MIN_STEP, min(MAX_STEP, hold / POINTS)) * 1000)
    end = round(now * 1000)
    steps = math.ceil(hold * 1000 / step)
    return _Points(start=(end - steps * step) / 1000, end=end / 1000, step=step / 1000, count=steps + 1)


def _held(seen: Observation, past: tuple[Series, ...], points: _Points, hold: float) -> Observation:
    """Whether the condition was true at every moment of the look back, by one and the same series."""
    if len(past) > 1:
        return cannot_tell(f"{len(past)} series within the last {format_duration(hold)} where one is meant")
    samples = past[0].samples if past else ()
    if not all(math.isfinite(value) for _at, value in samples):
        return cannot_tell(f"there is a value within the last {format_duration(hold)} that is no number")
    if len(samples) >= points.count:
        sentence = f"{seen.sentence}, true for all of the last {format_duration(hold)}"
        return Observation(look=Look.GOOD, sentence=sentence, value=seen.value, at=seen.at)
    since = points.end
    for at, _value in reversed(samples):
        if since - at > points.step * 1.5:
            break
        since = at
    lasted = format_duration(float(round(points.end - since)))
    sentence = f"{seen.sentence}, but true only for the last {lasted} of {format_duration(hold)}"
    return Observation(look=Look.BAD, sentence=sentence, value=seen.value, at=seen.at)
