"""Whatever is posted to the webhook, nothing breaks, nothing wedges, and the next good notification is taken (G13)."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import httpx
import pytest

from tests.kit.bodies import bodies, good

COUNT = 2000
SEED = 20261124
ALLOWED = {202, 400, 413}


async def post(service: Any, body: bytes) -> httpx.Response:
    """What Alertmanager's HTTP client would do with this body."""
    answer = await service.client.post("/api/v1/alerts", content=body, headers={"content-type": "application/json"})
    assert isinstance(answer, httpx.Response)
    return answer


@pytest.mark.heavy
async def test_two_thousand_hostile_bodies_break_nothing(service: Any) -> None:
    statuses: Counter[int] = Counter()
    probes = 0
    for number, body in enumerate(bodies(SEED, COUNT)):
        answer = await post(service, body)
        assert answer.status_code in ALLOWED, (number, body[:200], answer.text)
        if answer.status_code != 202:
            assert answer.json()["error"], "a refusal says why"
        statuses[answer.status_code] += 1
        if number % 100 == 99:
            probes += 1
            assert (await post(service, good(number))).status_code == 202, "a good one after all that is taken"
    state = service.built.journal
    await service.until(lambda: not state.state.pending)
    assert sum(statuses.values()) == COUNT
    assert probes == COUNT // 100
    assert min(statuses[202], statuses[400]) > COUNT // 20, f"the corpus hits both ways: {statuses}"
    assert state.state.tally.received == state.state.tally.disposed, "every alert has its disposition (G2)"
    reasons: dict[str, set[str]] = defaultdict(set)
    for fact in await service.facts("notification.disposed"):
        for alert in fact.alerts:
            for disposal in alert.disposals:
                reasons[disposal.disposition].add(disposal.reason)
    assert "" not in reasons["quarantined"] | reasons["unmatched"], "and each says why"
    assert len(reasons["quarantined"]) > 5


def test_a_seed_makes_the_same_bodies_again() -> None:
    first, second = list(bodies(7, 200)), list(bodies(7, 200))
    assert first == second
    assert len(set(first)) > 150
