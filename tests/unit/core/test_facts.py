"""Asking the guards: all of them, and whatever is broken denies (reliability.md G7)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.facts import Guard, ask_guards, stricter
from remediator.core.plans import PlannedGuards, PlannedLimit
from remediator.core.verdicts import Answer, Verdict, allow, ask, defer, deny

if TYPE_CHECKING:
    from collections.abc import Callable

    from remediator.core.facts import Facts
    from tests.unit.conftest import Build


class Says:
    """A guard that answers what it is given."""

    summary = "test"

    def __init__(self, name: str, answer: Callable[[], Any]) -> None:
        self.name = name
        self._answer = answer

    def check(self, facts: Facts) -> Verdict | None:
        """Answers."""
        found: Verdict | None = self._answer()
        return found


class Broken(Exception):
    """Something that no guard should raise."""


def says(verdict: Verdict) -> Callable[[], Any]:
    return lambda: verdict


def raises(fault: BaseException) -> Callable[[], Any]:
    def answer() -> Any:
        raise fault

    return answer


FAULTS = [
    Broken("the database is away"), ValueError(), KeyError("x"), TypeError("no"), ZeroDivisionError(), RecursionError(),
    AttributeError("'NoneType'"), TimeoutError(), OSError(5, "disk"), AssertionError(), StopIteration(), MemoryError(),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_guard_that_raises_denies_and_says_so(build: Build, fault: Exception) -> None:
    guards: list[Guard] = [Says("good", lambda: allow("good", "-")), Says("broken", raises(fault))]
    decision = ask_guards(guards, build.facts())
    assert decision.answer is Answer.DENY
    assert decision.strictest.guard == "broken"
    assert type(fault).__name__ in decision.strictest.sentence
    assert len(decision.verdicts) == 2


@pytest.mark.parametrize("said", [True, 1, "allow", Answer.ALLOW, (), {"answer": "allow"}, object()])
def test_a_guard_that_says_something_else_denies(build: Build, said: object) -> None:
    for evidence in ({}, {"evidence": None}):
        decision = ask_guards([Says("odd", lambda: said)], build.facts(**evidence))
        assert decision.answer is Answer.DENY
        assert "gave no verdict" in decision.strictest.sentence


@pytest.mark.parametrize("answer", [0, "allow", None, float("nan")])
def test_a_verdict_with_a_made_up_answer_denies(build: Build, answer: Any) -> None:
    verdict = Verdict(guard="odd", answer=answer, sentence="-")
    assert ask_guards([Says("odd", lambda: verdict)], build.facts()).answer is Answer.DENY


def test_saying_nothing_is_waiting_for_evidence_and_with_evidence_it_denies(build: Build) -> None:
    guards: list[Guard] = [Says("good", lambda: allow("good", "-")), Says("silent", lambda: None)]
    assert ask_guards(guards, build.facts(evidence=None)).answer is Answer.ALLOW
    decision = ask_guards(guards, build.facts())
    assert (decision.answer, decision.strictest.guard) == (Answer.DENY, "silent")


def test_without_guards_nothing_is_allowed(build: Build) -> None:
    assert ask_guards([], build.facts()).answer is Answer.DENY
    assert ask_guards([Says("silent", lambda: None)], build.facts(evidence=None)).answer is Answer.DENY


def test_the_order_of_guards_does_not_matter(build: Build) -> None:
    verdicts = [allow("a", "-"), ask("b", "-"), defer("c", "-", 5.0), defer("d", "-", 9.0), deny("e", "-")]
    for chosen in itertools.combinations(verdicts, 3):
        decisions = [
            ask_guards([Says(one.guard, says(one)) for one in order], build.facts())
            for order in itertools.permutations(chosen)
        ]
        assert len({(decision.answer, decision.until, decision.strictest) for decision in decisions}) == 1


def test_every_guard_is_asked_even_after_a_no(build: Build) -> None:
    asked: list[str] = []

    class Notes(Says):
        def check(self, facts: Facts) -> Verdict | None:
            asked.append(self.name)
            return deny(self.name, "-")

    ask_guards([Notes(name, lambda: None) for name in "abc"], build.facts())
    assert asked == ["a", "b", "c"]


def test_a_stop_of_the_process_is_no_verdict(build: Build) -> None:
    with pytest.raises(KeyboardInterrupt):
        ask_guards([Says("slow", raises(KeyboardInterrupt()))], build.facts())


# ── tightening at once, loosening later (G19) ────────────────────────────────────────────────────────────────────────
names = st.lists(st.sampled_from(["day", "night", "weekend"]), unique=True, max_size=3).map(tuple)
limits = st.builds(PlannedLimit, st.integers(1, 10), st.sampled_from([60.0, 3600.0, 21600.0]))
guards = st.builds(
    PlannedGuards,
    cooldown=st.sampled_from([0.0, 60.0, 1800.0]),
    rate_limit=limits,
    blast_radius=limits,
    concurrency=st.integers(1, 5),
    mute_time_intervals=names,
    active_time_intervals=names,
)


@given(guards, guards)
def test_of_two_limits_both_are_kept(planned: PlannedGuards, loaded: PlannedGuards) -> None:
    both = stricter(planned, loaded)
    for one in (planned, loaded):
        assert both.cooldown >= one.cooldown
        assert both.concurrency <= one.concurrency
        assert set(both.mute_time_intervals) >= set(one.mute_time_intervals)
        for mine, other in ((both.rate_limit, one.rate_limit), (both.blast_radius, one.blast_radius)):
            assert mine.count <= other.count
            assert mine.window >= other.window


@given(guards)
def test_what_did_not_change_stays(planned: PlannedGuards) -> None:
    assert stricter(planned, None) == stricter(planned, planned) == planned


@pytest.mark.parametrize(
    ("planned", "loaded", "both"),
    [
        ((), (), ()),
        (("day",), (), ("day",)),
        ((), ("day",), ("day",)),
        (("day", "night"), ("day",), ("day",)),
        (("day",), ("day", "night"), ("day",)),
        (("day",), ("night",), ("night",)),
    ],
)
def test_a_run_may_work_only_when_both_allow(
    build: Build, planned: tuple[str, ...], loaded: tuple[str, ...], both: tuple[str, ...]
) -> None:
    one, other = build.limits(active_time_intervals=planned), build.limits(active_time_intervals=loaded)
    assert stricter(one, other).active_time_intervals == both
