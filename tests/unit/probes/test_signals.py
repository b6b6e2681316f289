"""What is asked of Prometheus about a fleet and about itself, and which answers may be rested on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from remediator.core.brakes import Members
from remediator.core.outcomes import Look
from remediator.core.plans import PlannedTrust
from remediator.probes.signals import CLOCKS_APART, PrometheusSignals

if TYPE_CHECKING:
    from remediator.actions.prometheus_client import Prometheus

    Answers = Any

NOW = 1_795_518_303.0
MTA1 = PlannedTrust(instance="mta1")
MakeVector = Callable[[list[str]], str]


def told(**values: float) -> str:
    """The answer to the one question."""
    result = [{"metric": {"about": name}, "value": [NOW, f"{value:.3f}"]} for name, value in values.items()]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


def series(*labels: dict[str, str], value: str = "1") -> str:
    """A vector of these series."""
    result = [{"metric": one, "value": [NOW, value]} for one in labels]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


# ── the fleet ────────────────────────────────────────────────────────────────────────────────────────────────────────
async def members(prometheus: Prometheus, expr: str = "up == 1") -> Members:
    return await PrometheusSignals(prometheus).members(expr, now=NOW)


async def test_every_series_is_a_member_with_its_labels(prometheus: Prometheus, answers: Answers) -> None:
    answers.by_expr["up == 1"] = series({"__name__": "up", "instance": "a"}, {"instance": "b", "job": "k"})
    answers.fresh("up{}", age=10)
    assert await members(prometheus) == Members(series=({"instance": "a"}, {"instance": "b", "job": "k"}))


async def test_one_number_without_labels_is_a_count(prometheus: Prometheus, answers: Answers) -> None:
    answers.fresh("up{}", age=10)
    for value, found in {"4": Members(count=4), "0": Members(count=0)}.items():
        answers.by_expr["count(up == 1)"] = series({}, value=value)
        assert await members(prometheus, "count(up == 1)") == found
    for value in ("4.5", "-1", "NaN", "+Inf"):
        answers.by_expr["count(up == 1)"] = series({}, value=value)
        assert "is no count" in (await members(prometheus, "count(up == 1)")).fault


async def test_nobody_is_an_answer_where_there_is_data(prometheus: Prometheus, answers: Answers) -> None:
    answers.fresh("up{}", age=10)
    assert await members(prometheus) == Members()


@pytest.mark.parametrize(
    ("expr", "age", "status", "words"),
    [
        ("up == ", None, 200, "cannot be read"),
        ("up == bool 1", None, 200, "without it"),
        ("up == 1", None, 200, "there is no data for up{}"),
        ("vector(1) == 1", None, 200, "a number alone"),
        ("up == 1", 121.0, 200, "the newest sample is 2m1s old"),
        ("up == 1", 10.0, 503, "Prometheus answered 503"),
    ],
)
async def test_what_is_no_answer_has_its_fault(
    prometheus: Prometheus, answers: Answers, expr: str, age: float | None, status: int, words: str
) -> None:
    answers.status = status
    if age is not None:
        answers.fresh("up{}", age=age)
    assert words in (await members(prometheus, expr)).fault


async def test_an_age_that_cannot_be_told_is_a_fault(prometheus: Prometheus, answers: Answers) -> None:
    answers.by_expr["max(timestamp(up{}))"] = "<html>"
    assert "could not be told" in (await members(prometheus)).fault


# ── itself ───────────────────────────────────────────────────────────────────────────────────────────────────────────
async def trust(prometheus: Prometheus, asked: PlannedTrust = MTA1, starting: float = 120.0) -> tuple[Look, str]:
    seen = await PrometheusSignals(prometheus).trust(asked, starting=starting, now=NOW)
    return seen.look, seen.sentence


FINE = {"clock": NOW, "up": 1.0, "sampled": NOW - 15.0, "lowest": 1.0, "began": NOW - 9000.0}


@pytest.mark.parametrize(
    ("changes", "look", "words"),
    [
        ({}, Look.GOOD, "reaches mta1"),
        ({"clock": NOW - CLOCKS_APART + 1, "sampled": NOW - 40}, Look.GOOD, "reaches mta1"),
        ({"clock": NOW - CLOCKS_APART - 1}, Look.BAD, "31s behind ours"),
        ({"clock": NOW + CLOCKS_APART + 2}, Look.BAD, "ahead of ours"),
        ({"clock": float("nan")}, Look.UNKNOWN, "does not tell its time"),
        ({"up": 0.0}, Look.BAD, "does not reach mta1 (up is 0)"),
        ({"sampled": NOW - 130.0}, Look.UNKNOWN, "the last scrape of mta1 was 2m10s ago"),
        ({"lowest": 0.0}, Look.BAD, "mta1 is still starting: up for less than 2m"),
        ({"began": NOW - 40.0}, Look.BAD, "mta1 is still starting: up for 40s"),
        ({"began": NOW - 120.0}, Look.GOOD, "reaches mta1"),
    ],
)
async def test_it_is_trusted_only_while_it_can_be(
    prometheus: Prometheus, answers: Answers, changes: dict[str, float], look: Look, words: str
) -> None:
    answers.otherwise = told(**{**FINE, **changes})
    seen = await trust(prometheus)
    assert (seen[0], words in seen[1]) == (look, True)
    assert len(answers.asked) == 1  # in one question


@pytest.mark.parametrize(("must", "look"), [(False, Look.GOOD), (True, Look.UNKNOWN)])
async def test_an_instance_that_is_not_scraped_is_judged_only_where_the_rule_insists(
    prometheus: Prometheus, answers: Answers, must: bool, look: Look
) -> None:
    answers.otherwise = told(clock=NOW)
    seen = await trust(prometheus, PlannedTrust(instance="mta1", must=must))
    assert (seen[0], "scrapes nothing it calls mta1" in seen[1]) == (look, True)


async def test_without_an_instance_only_prometheus_itself_is_asked(prometheus: Prometheus, answers: Answers) -> None:
    answers.otherwise = told(clock=NOW)
    assert (await trust(prometheus, PlannedTrust()))[0] is Look.GOOD
    assert answers.asked == ['label_replace(vector(time()), "about", "clock", "", "")']


async def test_a_name_from_outside_stays_a_name(prometheus: Prometheus, answers: Answers) -> None:
    answers.otherwise = told(**FINE)
    await trust(prometheus, PlannedTrust(instance='a"} or vector(1) #'), starting=0.0)
    assert 'min(up{instance="a\\"} or vector(1) #"})' in answers.asked[0]
    assert "min_over_time" not in answers.asked[0]


async def test_no_answer_is_no_trust(prometheus: Prometheus, answers: Answers) -> None:
    answers.status = 503
    assert (await trust(prometheus))[0] is Look.UNKNOWN
    answers.status, answers.otherwise = 200, told(up=1.0)
    assert (await trust(prometheus))[0] is Look.UNKNOWN
