"""The pieces of a rehearsal by themselves: virtual time, the judging of numbers, what is the same."""

from __future__ import annotations

import asyncio

import pytest

from remediator.config.cases_model import Word
from remediator.core.outcomes import Look
from remediator.rehearsal import Coverage, Seen
from remediator.rehearsal.answers import holds, observed
from remediator.rehearsal.expecting import same
from remediator.rehearsal.loop import StandsStill, VirtualClock, VirtualLoop


@pytest.mark.parametrize(
    ("expr", "value", "true"),
    [
        ("ratio > 0.20", 0.27, True),
        ("ratio > 0.20", 0.2, False),
        ("0.20 < ratio", 0.27, True),
        ("0.20 >= ratio", 0.27, False),
        ("(ratio) == 0", 0.0, True),
        ("1 != ratio", 1.0, False),
        ("sum(rate(x[5m])) / sum(rate(y[5m])) <= 0.1", 0.1, True),
        ("(a < 0.10) or b == 0", 0.05, True),
        ("a < 0.10 or b == 0", 0.5, False),
        ("up unless a > 3", 5.0, True),
        ("a > b", 0.0, True),
        ("up", 0.0, True),
        ("http://mta1/healthy", 0.0, True),
        ("a > bool 1", 0.5, False),
    ],
)
def test_a_number_is_judged_by_the_first_comparison(expr: str, value: float, true: bool) -> None:
    assert holds(expr, value) is true


@pytest.mark.parametrize(
    ("answer", "look"),
    [
        (Word.TRUE, Look.GOOD),
        (Word.FALSE, Look.BAD),
        (Word.ABSENT, Look.UNKNOWN),
        (Word.ERROR, Look.UNKNOWN),
        (0.1, Look.BAD),
    ],
)
def test_words_are_looks(answer: Word | float, look: Look) -> None:
    assert observed(answer, "a > 0.2", 1.0).look is look


@pytest.mark.parametrize(
    ("written", "rendered", "same_value"),
    [
        ("30s", 30.0, True),
        ("2", 2, True),
        ("2.5", 2.5, True),
        ("30s", 31.0, False),
        ("true", True, True),
        ("true", False, False),
        ("a", "a", True),
        (["a", "30s"], ["a", 30.0], True),
        (["a"], ["a", "b"], False),
        ({"a": "1"}, {"a": 1}, True),
        ({"a": "1"}, {"b": 1}, False),
        ("x", None, False),
        ("five", 5.0, False),
    ],
)
def test_what_is_written_means_what_was_rendered(written: object, rendered: object, same_value: bool) -> None:
    assert same(written, rendered) is same_value


def run(coroutine: object) -> object:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)  # type: ignore[arg-type]


def test_hours_take_no_time_and_every_wait_lives_in_the_same_time() -> None:
    async def hours() -> tuple[float, float]:
        clock = VirtualClock(asyncio.get_running_loop(), 1000.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7200.0):
                await clock.sleep(10_000.0)
        return clock.now(), clock.monotonic()

    assert run(hours()) == (8200.0, 7200.0)


def test_a_wait_without_an_end_is_told() -> None:
    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(StandsStill, match="nothing is waited for"):
        run(never())


def test_work_that_lets_no_time_pass_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remediator.rehearsal.loop.MOST_TURNS", 100)

    async def spins() -> None:
        for _ in range(1000):
            await asyncio.sleep(0)

    with pytest.raises(StandsStill, match="time stands still"):
        run(spins())


def test_what_one_file_of_tests_leaves_out_another_may_see() -> None:
    a, b, c = (Seen(kind="rules", owner=name, what="") for name in "abc")
    both = Coverage.of_all([Coverage((a, b), {a}), Coverage((b, c), {b})])
    assert both.missing == [c]
    assert both.share() == (2, 3)
    assert Coverage(()).percent == 100.0
