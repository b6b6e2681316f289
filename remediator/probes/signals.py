"""Asks Prometheus about a fleet, and about itself: does it answer, is its clock ours, does it reach the target."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping

from remediator.actions.http_client import deadline
from remediator.actions.prometheus_client import AHEAD, Prometheus, Useless, expression_fault, freshness
from remediator.core.brakes import Members
from remediator.core.outcomes import Look, Observation
from remediator.core.plans import PlannedTrust
from remediator.core.promql import quote
from remediator.core.telling import length
from remediator.probes.judging import cannot_tell

TIMEOUT = 10.0
# How far the two clocks may be apart (s), the time that the answer took not counted: less than the freshness that is asked.
CLOCKS_APART = 30.0


class PrometheusSignals:
    """Implements `engine.signals.Signals`."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus

    async def members(self, expr: str, *, now: float) -> Members:
        """The series that `expr` gives; one without any label is taken for a count."""
        fault = expression_fault(expr)
        if fault:
            return Members(fault=fault)
        until = deadline(TIMEOUT)
        series = await self._prometheus.instant(expr, at=now, until=until)
        if isinstance(series, Useless):
            return Members(fault=series.sentence)
        fresh = await freshness(self._prometheus, expr, at=now, until=until)
        if isinstance(fresh, Useless):
            return Members(fault=fresh.sentence)
        if fresh.oldest is None or fresh.missing:
            return Members(fault=f"there is no data for {fresh.missing[0] if fresh.missing else 'a number alone'}")
        if fresh.oldest <= now - self._prometheus.max_age:
            return Members(fault=f"the newest sample is {length(now - fresh.oldest)} old")
        labels = [{name: value for name, value in one.labels.items() if name != "__name__"} for one in series]
        if len(series) == 1 and not labels[0]:
            return _counted(series[0].value)
        return Members(series=tuple(labels))

    async def trust(self, asked: PlannedTrust, *, starting: float, now: float) -> Observation:
        """All in one question. It names no time, so that Prometheus answers at its own."""
        before = asyncio.get_running_loop().time()
        answer = await self._prometheus.instant(_question(asked.instance, starting), at=None, until=deadline(TIMEOUT))
        if isinstance(answer, Useless):
            return cannot_tell(answer.sentence)
        took = asyncio.get_running_loop().time() - before
        found = {one.labels.get("about", ""): one.value for one in answer}
        clock = found.get("clock")
        if clock is None or not math.isfinite(clock):
            return cannot_tell("Prometheus does not tell its time")
        apart = max(now - clock, clock - (now + took), 0.0)
        if apart > CLOCKS_APART:
            side = "behind" if clock < now else "ahead of"
            sentence = f"the clock of Prometheus is {length(apart)} {side} ours, so what it calls now is not"
            return Observation(look=Look.BAD, sentence=sentence, value=apart)
        if not asked.instance:
            return Observation(
                look=Look.GOOD, sentence="Prometheus answers, and its clock agrees with ours", value=apart
            )
        return _scraped(asked, found, clock, starting, self._prometheus.max_age)


def _counted(value: float) -> Members:
    if not math.isfinite(value) or value < 0 or value != int(value):
        return Members(fault=f"{value:g} is no count")
    return Members(count=int(value))


def _question(instance: str, starting: float) -> str:
    parts = {"clock": "vector(time())"}
    if instance:
        selector = f"{{instance={quote(instance)}}}"
        parts["up"] = f"min(up{selector})"
        parts["sampled"] = f"min(timestamp(up{selector}))"
        parts["began"] = f"max(process_start_time_seconds{selector})"
        if starting > 0:
            parts["lowest"] = f"min(min_over_time(up{selector}[{max(1, round(starting * 1000))}ms]))"
    return " or ".join(f'label_replace({expr}, "about", "{word}", "", "")' for word, expr in parts.items())


def _scraped(
    asked: PlannedTrust, found: Mapping[str, float], clock: float, starting: float, max_age: float
) -> Observation:
    """What the scrape of the instance says of itself."""
    name, up, sampled = asked.instance, found.get("up"), found.get("sampled")
    if up is None or sampled is None:
        if not asked.must:
            return Observation(look=Look.GOOD, sentence=f"Prometheus answers; it scrapes nothing it calls {name}")
        return cannot_tell(f"Prometheus scrapes nothing it calls {name}; if that is so, write trust: prometheus")
    if not -AHEAD <= clock - sampled <= max_age:
        when = f"{length(clock - sampled)} ago" if clock - sampled > max_age else f"at {sampled}, which is not yet"
        return cannot_tell(f"the last scrape of {name} was {when}")
    if up != 1.0:
        return Observation(look=Look.BAD, sentence=f"Prometheus does not reach {name} (up is {up:g})", value=up)
    age = clock - found.get("began", float("-inf"))
    if not (found.get("lowest", 1.0) >= 1.0 and age >= starting):  # not a number is not enough either
        since = f"for {length(age)}" if 0 <= age < starting else f"for less than {length(starting)}"
        return Observation(look=Look.BAD, sentence=f"{name} is still starting: up {since}", value=up)
    return Observation(look=Look.GOOD, sentence=f"Prometheus answers, and reaches {name}", value=up)
