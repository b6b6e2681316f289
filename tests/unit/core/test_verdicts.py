"""Verdicts: combining them is taking the strictest, and there is nothing that makes it laxer."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.verdicts import Answer, Decision, Verdict, allow, ask, decide, defer, deny

EVERY = [
    allow("a", "fine"),
    ask("b", "a person"),
    defer("c", "later"),
    defer("d", "soon", 10.0),
    defer("e", "in a while", 20.0),
    deny("f", "no"),
]
TRIPLES = list(itertools.product(EVERY, repeat=3))
verdicts = st.lists(st.sampled_from(EVERY), min_size=1, max_size=6)


def answer(*found: Verdict) -> Answer:
    return decide(found).answer


def meaning(*found: Verdict) -> tuple[Answer, float | None]:
    """What the engine acts on."""
    decision = decide(found)
    return decision.answer, decision.until if decision.answer is Answer.DEFER else None


def test_combining_is_commutative_associative_and_idempotent() -> None:
    for one, two, three in TRIPLES:
        assert len({meaning(*order) for order in itertools.permutations([one, two, three])}) == 1
        left, right = decide([one, two]).strictest, decide([two, three]).strictest
        assert meaning(left, three) == meaning(one, right) == meaning(one, two, three)
        assert meaning(one, one, two, three) == meaning(one, two, three)


def test_another_verdict_never_makes_a_decision_laxer() -> None:
    for one, two, three in TRIPLES:
        assert answer(one, two, three) >= answer(one, two) >= answer(one)


@given(verdicts)
def test_one_deny_denies_and_only_allows_allow(found: list[Verdict]) -> None:
    answers = {verdict.answer for verdict in found}
    assert (answer(*found) is Answer.DENY) == (Answer.DENY in answers)
    assert (answer(*found) is Answer.ALLOW) == (answers == {Answer.ALLOW})


def test_without_any_verdict_the_answer_is_no() -> None:
    decision = decide([])
    assert decision.answer is Answer.DENY
    assert decision.strictest.sentence == "no guard was asked"


@pytest.mark.parametrize(
    ("found", "until"),
    [
        ([defer("a", "-", 10.0)], 10.0),
        ([defer("a", "-", 10.0), defer("b", "-", 20.0)], 20.0),
        ([defer("a", "-", 10.0), defer("b", "-")], None),
        ([defer("a", "-", 10.0), allow("b", "-")], 10.0),
        ([defer("a", "-", 0.0)], 0.0),
        ([allow("a", "-")], None),
        ([deny("a", "-")], None),
    ],
)
def test_a_deferral_clears_when_the_last_of_them_does(found: list[Verdict], until: float | None) -> None:
    assert decide(found).until == until


def test_among_deferrals_the_one_without_an_end_decides_and_is_told() -> None:
    decision = Decision(verdicts=(defer("a", "-", 10.0), defer("b", "no end"), defer("c", "-", 99.0)))
    assert decision.strictest.guard == "b"


def test_answers_are_spelt_as_in_yaml_and_log() -> None:
    assert [one.word for one in Answer] == ["allow", "ask", "defer", "deny"]
