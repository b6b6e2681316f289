"""All checks, in the order in which a person wants to read of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from remediator.doctor import alertmanager, home, places, prometheus
from remediator.doctor.case import Case
from remediator.doctor.findings import Finding

Check = Callable[[Case], Awaitable[list[Finding]]]


@dataclass(frozen=True, slots=True)
class Area:
    """Some checks under one word."""

    name: str
    checks: tuple[Check, ...]


AREAS: tuple[Area, ...] = (
    Area("home", (home.rules, home.journal)),
    Area(
        "prometheus",
        (
            prometheus.answers,
            prometheus.clock,
            prometheus.series,
            prometheus.alerts,
            prometheus.scrapes,
            prometheus.max_age,
            prometheus.instances,
            prometheus.scraped_ourselves,
        ),
    ),
    Area("alertmanager", (alertmanager.answers, alertmanager.routes)),
    Area(
        "targets",
        (places.kumods, places.shaping_files, places.docker, places.redis, places.commands, places.http),
    ),
    Area("people", (home.people,)),
)


async def examine(case: Case, done: Callable[[int], object]) -> list[Finding]:
    """All findings; `done` is told how many checks have been made."""
    found: list[Finding] = []
    made = 0
    for area in AREAS:
        for check in area.checks:
            found += await check(case)
            made += 1
            done(made)
    return found


def total() -> int:
    """How many checks there are."""
    return sum(len(area.checks) for area in AREAS)
