"""The shipped rules: their tests pass, and together have seen all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediator.config.cases import case_files
from remediator.rehearsal import Coverage, rehearse, reporting

HOUSE = Path(__file__).parents[2]


@pytest.mark.heavy
def test_the_tests_of_the_shipped_rules_pass_and_have_seen_all_of_them() -> None:
    outcomes = [rehearse(path) for path in case_files([HOUSE / "rules"])]
    assert len(outcomes) >= 5
    assert all(outcome.passed for outcome in outcomes), reporting.text(outcomes)
    seen = Coverage.of_all(outcome.coverage for outcome in outcomes)
    assert seen.missing == [], reporting.coverage_text(seen)
