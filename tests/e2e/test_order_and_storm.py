"""Real processes: nothing leaves before its record is on disk, and no acknowledged alert is lost under kills.

Per commit in the size that a commit can wait for; `python -m tests.kit.order` and `python -m tests.kit.storm` are the
same in full (1,000 acknowledgements and 500 effects; 100,000 alerts under 200 kills).
"""

from __future__ import annotations

import re

import pytest

from tests.kit import order, storm

pytestmark = pytest.mark.e2e


def test_no_answer_and_no_effect_leaves_before_its_record_is_synced() -> None:
    told = order.row(acks=1000, effects=60)
    assert "1000 acknowledgements, 60 effects, 0 before" in told


def test_a_storm_under_kills_loses_nothing_that_was_acknowledged() -> None:
    told = storm.row(alerts=2000, kills=3)
    assert "3 SIGKILLs" in told
    sent_again = re.search(r"\(([\d,]+) sent again\)", told)
    assert sent_again is not None
    assert sent_again[1] != "0", "the kills struck while nobody was sending"
