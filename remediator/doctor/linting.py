"""What `remediator check --prometheus.url` adds: which series and alerts that rules rest on are not there."""

from __future__ import annotations

from remediator.doctor.case import Case
from remediator.doctor.findings import Finding, Mark
from remediator.doctor.prometheus import alerts, answers, series
from remediator.errors import Position, Problem

NAMES = {"series": "series-missing", "alerts": "alert-not-defined"}


async def problems(case: Case) -> list[Problem] | str:
    """The warnings; a sentence instead where Prometheus does not answer, since then nothing can be told."""
    reached = await answers(case)
    if reached[0].mark is Mark.BAD:
        return reached[0].sentence
    found = [*await series(case), *await alerts(case)]
    return [_problem(one) for one in found if one.mark is Mark.BAD]


def _problem(finding: Finding) -> Problem:
    file, _, line = finding.source.rpartition(":")
    position = Position(file, int(line), 1) if file and line.isdigit() else Position(finding.source, 1, 1)
    return Problem(
        position=position,
        name=NAMES.get(finding.area, finding.area),
        sentence=finding.sentence,
        fix=finding.fix,
        severity="warning",
    )
