"""Turns what Prometheus said into good, bad or "could not tell". Pure.

Good needs a non-empty answer of one plain series on new samples. Bad needs an empty answer *and* new data for every
selector: emptiness alone mixes "the condition is false" with "there is no data" (alertmanager.md §4).
"""

from __future__ import annotations

from collections.abc import Sequence

from remediator.actions.prometheus_client import Freshness, Series, Useless, one_value
from remediator.core.durations import format_duration
from remediator.core.outcomes import Look, Observation


def cannot_tell(sentence: str) -> Observation:
    """Neither good nor bad, and why."""
    return Observation(look=Look.UNKNOWN, sentence=sentence)


def judge_vector(
    expr: str, series: Sequence[Series], fresh: Freshness, *, newer_than: float, now: float
) -> Observation:
    """What an instant answer says of the condition `expr`; only samples after `newer_than` count."""
    told = " ".join(expr.split())
    if not fresh.newest:
        return cannot_tell("the expression reads no series, so it proves nothing")
    oldest = fresh.oldest
    if oldest is None:
        return cannot_tell(f"no data: nothing is there for {fresh.missing[0]}")
    if not series and fresh.missing:
        return cannot_tell(f"no data for {fresh.missing[0]}, so the empty answer proves nothing")
    if oldest <= newer_than:
        age = format_duration(float(max(0, round(now - oldest))))
        return cannot_tell(f"no new sample yet: the newest of {_named(fresh, oldest)} is {age} old")
    if not series:
        return Observation(look=Look.BAD, sentence=f"not so: {told}", at=oldest)
    value = one_value(series)
    if isinstance(value, Useless):
        return cannot_tell(value.sentence)
    return Observation(look=Look.GOOD, sentence=f"{told} (now {value:.6g})", value=value, at=oldest)


def _named(fresh: Freshness, oldest: float) -> str:
    return next(name for name, at in fresh.newest.items() if at == oldest)
