"""A service on a journal whose beginning was pruned: what it tells of incidents that are gone, half gone, or whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from remediator.core.chain import Head
from remediator.core.entries import JournalPruned

if TYPE_CHECKING:
    from tests.service.conftest import Service

LABELS = {"alertname": "HighBounceRate", "severity": "critical"}


async def prune(service: Service, until: int) -> None:
    """All up to that entry is pruned, as retention does it."""
    journal = service.built.journal
    await journal.save()
    [record] = [one for one in await journal.store.read(0, 10_000) if one.seq == until]
    fact = JournalPruned(seq=until, mac=record.mac.hex(), count=until)
    await journal.commit(lambda _state, _moment: [fact])
    await journal.save()
    await journal.store.prune(Head(until, record.mac))


async def place_of(service: Service, incident: str, kind: str) -> int:
    """Where in the journal an entry of that kind stands."""
    return [one.seq for one in await service.built.journal.store.find(incident=incident, kind=kind)][-1]


async def test_a_pruned_journal_is_told_as_far_as_it_goes(service: Service) -> None:
    names = []
    for domain in ("a.example", "b.example", "c.example"):
        await service.fire({**LABELS, "domain": domain})
        names.append(str((await service.closed())[0]["incident"]))
    gone, half, whole = names
    until = await place_of(service, half, "run.decided")
    await prune(service, until)

    told = await service.client.get(f"/api/v1/incidents/{gone}")
    assert told.status_code == 404
    assert f"there is no incident {gone}" in told.text

    story = (await service.client.get(f"/api/v1/incidents/{half}")).json()["data"]
    assert story["lines"][0]["kind"] not in {"incident.opened", "run.planned", "run.decided"}
    assert story["lines"][-1]["kind"] == "incident.closed"
    assert story["plans"] == []
    assert (await service.client.get(f"/incidents/{half}")).status_code == 200, "the console shows what is left"

    story = (await service.client.get(f"/api/v1/incidents/{whole}")).json()["data"]
    assert story["lines"][0]["kind"] == "incident.opened"
    assert len(story["plans"]) == 1

    rows = (await service.client.get("/api/v1/incidents")).json()["data"]["incidents"]
    assert [row["incident"] for row in rows] == [whole, half]
    entries = (await service.client.get("/api/v1/entries?after=0&limit=1000")).json()["data"]["entries"]
    assert entries[0]["seq"] == until + 1
    explained = await service.client.post("/api/v1/explain", json={"labels": {**LABELS, "domain": "d.example"}})
    assert explained.status_code == 200
    assert explained.json()["data"]["rules"][0]["rule"] == "high-bounce-rate"
