"""A real service with 1,024 files under the storm of a pair of Alertmanagers, with slow clients on the line (G14, H9).

Per commit in the size that a commit can wait for; `python -m tests.kit.pair` is the same in full (10,000 alerts, each ten
times, and 900 slow heads).
"""

from __future__ import annotations

import pytest

from tests.kit import pair

pytestmark = pytest.mark.e2e


def test_a_storm_of_a_pair_loses_nothing_makes_nothing_twice_and_stays_bounded() -> None:
    told = pair.row(alerts=400, repeats=2, slow=50)
    assert "12 orders, none twice" in told, told
