"""Whether it helped: seen, several times, held, and in time; or not; or nobody could tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.outcomes import Look, Observation
from remediator.core.verification import NOT_RECOVERED, RECOVERED, UNKNOWN, Verdict, Watch, advance, conclude

if TYPE_CHECKING:
    from remediator.core.plans import PlannedCheck
    from tests.unit.conftest import Build

LOOKS = {"+": Look.GOOD, "-": Look.BAD, "?": Look.UNKNOWN}


def watch(*looks: str, checks: list[PlannedCheck], every: float = 10.0) -> tuple[Verdict | None, float]:
    """The verdict on looks such as `++-` at each check, every ten seconds, and when it fell."""
    seen, now = Watch.begin(checks, 0.0), 0.0
    verdict = conclude(seen, now)
    for place, signs in enumerate(zip(*looks, strict=True)):
        if verdict is not None:
            break
        observations = [Observation(look=LOOKS[sign], sentence=f"saw {sign}") for sign in signs]
        now = place * every
        seen = advance(seen, observations, now)
        verdict = conclude(seen, now)
    return verdict, now


@pytest.mark.parametrize(
    ("looks", "samples", "hold", "within", "word"),
    [
        ("+++", 3, 0.0, 600.0, RECOVERED),
        ("++", 3, 0.0, 600.0, None),
        ("++-++", 3, 0.0, 600.0, None),
        ("++?+++", 3, 0.0, 600.0, RECOVERED),
        ("+", 1, 0.0, 600.0, RECOVERED),
        ("+++", 3, 20.0, 600.0, RECOVERED),
        ("+++", 3, 20.001, 600.0, None),
        ("++++", 3, 20.001, 600.0, RECOVERED),
        ("-++++", 3, 30.0, 600.0, RECOVERED),
        ("----", 3, 0.0, 30.0, NOT_RECOVERED),
        ("---", 3, 0.0, 30.0, None),
        ("????", 3, 0.0, 30.0, UNKNOWN),
        ("---?", 3, 0.0, 30.0, UNKNOWN),
        ("???-", 3, 0.0, 30.0, NOT_RECOVERED),
        ("--++", 3, 0.0, 30.0, NOT_RECOVERED),
        ("-+++", 3, 0.0, 30.0, RECOVERED),
        ("-+++", 3, 30.0, 30.0, NOT_RECOVERED),
    ],
)
def test_a_check_has_to_be_seen_good_held_and_in_time(
    build: Build, looks: str, samples: int, hold: float, within: float, word: str | None
) -> None:
    verdict, _ = watch(looks, checks=[build.check(samples=samples, hold=hold, within=within)])
    assert (verdict.word if verdict else None) == word


@pytest.mark.parametrize(
    ("looks", "sentence"),
    [
        ("+++", "saw +"),
        ("----", "not recovered within 30s: saw -"),
        ("????", "could not tell within 30s: saw ?"),
        ("--++", "good for the last 10s only when 30s were over: saw +"),
    ],
)
def test_the_verdict_says_what_was_seen(build: Build, looks: str, sentence: str) -> None:
    verdict, _ = watch(looks, checks=[build.check(within=30.0)])
    assert verdict is not None
    assert verdict.sentence == sentence


def test_all_checks_have_to_hold_at_the_same_time(build: Build) -> None:
    checks = [build.check(), build.check()]
    verdict, at = watch("+++---+++", "---++++++", checks=checks)
    assert verdict == Verdict(RECOVERED, "saw +; saw +")
    assert at == 80.0


def test_one_check_that_is_late_fails_all(build: Build) -> None:
    checks = [build.check(within=600.0), build.check(within=20.0)]
    verdict, at = watch("+++", "++-", checks=checks)
    assert verdict == Verdict(NOT_RECOVERED, "not recovered within 20s: saw -")
    assert at == 20.0


def test_a_check_that_held_in_time_may_wait_for_the_other(build: Build) -> None:
    checks = [build.check(within=20.0), build.check(within=600.0)]
    verdict, _ = watch("++++++", "---+++", checks=checks)
    assert verdict is not None
    assert verdict.word == RECOVERED


def test_without_checks_nobody_can_say(build: Build) -> None:
    verdict, _ = watch(checks=[])
    assert verdict is not None
    assert verdict.word == UNKNOWN
    assert "declares no verification" in verdict.sentence


def test_without_a_look_nobody_can_say_either(build: Build) -> None:
    seen = Watch.begin([build.check(within=30.0)], 0.0)
    assert conclude(seen, 29.9) is None
    assert conclude(seen, 30.0) is None  # it looks at least once, however late
    blind = advance(seen, [Observation(look=Look.UNKNOWN, sentence="no data")], 30.0)
    assert conclude(blind, 30.0) == Verdict(UNKNOWN, "could not tell within 30s: no data")


@pytest.mark.parametrize(("look", "word"), [(Look.GOOD, UNKNOWN), (Look.BAD, NOT_RECOVERED), (Look.UNKNOWN, UNKNOWN)])
def test_a_restart_does_not_extend_the_time_and_what_it_missed_is_not_held_against_the_remedy(
    build: Build, look: Look, word: str
) -> None:
    seen = Watch.begin([build.check(within=30.0, samples=3)], 25.0, 0.0)
    assert seen.resumed
    for now in (25.0, 35.0):
        seen = advance(seen, [Observation(look=look, sentence="saw it")], now)
    verdict = conclude(seen, 35.0)
    assert verdict is not None
    assert verdict.word == word
    assert ("since nobody looked for a while" in verdict.sentence) == (look is Look.GOOD)


def test_a_verification_that_was_taken_up_at_once_missed_nothing(build: Build) -> None:
    seen = Watch.begin([build.check(within=30.0, samples=3, every=10.0)], 9.9, 0.0)
    assert (seen.started, seen.resumed) == (0.0, False)


def test_rows_begin_anew_after_a_restart_and_can_still_be_long_enough(build: Build) -> None:
    seen = Watch.begin([build.check(within=600.0, samples=2)], 300.0, 0.0)
    for now in (300.0, 310.0):
        seen = advance(seen, [Observation(look=Look.GOOD, sentence="saw +")], now)
    assert conclude(seen, 310.0) == Verdict(RECOVERED, "saw +")


def test_looks_are_as_often_as_the_most_impatient_check_asks(build: Build) -> None:
    assert Watch.begin([build.check(every=20.0), build.check(every=5.0)], 0.0).every == 5.0
    assert Watch.begin([], 0.0).every == 15.0


@given(st.text("+-?", min_size=1, max_size=40))
def test_success_needs_the_last_samples_to_be_good(build: Build, looks: str) -> None:
    verdict, at = watch(looks, checks=[build.check(samples=3, hold=20.0, within=200.0)])
    if verdict is not None and verdict.word == RECOVERED:
        place = round(at / 10.0)
        assert looks[place - 2 : place + 1] == "+++"
    if "+++" not in looks:
        assert verdict is None or verdict.word != RECOVERED


@given(st.text("+-?", min_size=21, max_size=40))
def test_every_verification_ends_in_time(build: Build, looks: str) -> None:
    verdict, at = watch(looks, checks=[build.check(within=200.0)])
    assert verdict is not None
    assert at <= 200.0
