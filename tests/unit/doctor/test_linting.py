"""What `check --prometheus.url` asks, and where it says that something is missing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import respx

from remediator.config import load_settings
from remediator.doctor.building import for_prometheus
from remediator.doctor.linting import problems
from remediator.errors import Problem

if TYPE_CHECKING:
    from tests.unit.doctor.conftest import Site


def asked(site: Site) -> list[Problem] | str:
    ruleset, settings = site.case().ruleset, load_settings(site.settings())
    with respx.mock(assert_all_called=False) as mock:
        site.answer(mock)
        return asyncio.run(problems(for_prometheus(ruleset, "http://prometheus:9090", settings)))


def test_what_is_missing_is_told_at_the_place_of_the_rule(site: Site) -> None:
    assert asked(site) == []
    site.series.pop()
    del site.alerts[0]
    found = asked(site)
    assert not isinstance(found, str)
    assert [(one.name, one.severity) for one in found] == [
        ("series-missing", "warning"),
        ("alert-not-defined", "warning"),
    ]
    assert {one.position.file for one in found} == {str(site.root / "rules.yml")}
    assert [one.position.line for one in found] == [3, 3]


def test_a_prometheus_that_does_not_answer_says_nothing_of_the_rules(site: Site) -> None:
    site.prometheus = 503
    found = asked(site)
    assert isinstance(found, str)
    assert "503" in found


def test_no_settings_are_needed(site: Site) -> None:
    case = for_prometheus(site.case().ruleset, "http://prometheus:9090", None)
    assert case.targets.prometheus is not None
    assert case.targets.prometheus.url == "http://prometheus:9090"
