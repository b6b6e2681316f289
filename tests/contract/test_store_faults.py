"""Faults on purpose do what they say, on the memory store and around any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from remediator.core.chain import Head
from remediator.errors import AppendUnknown, Conflict, NotCommitted, StoreError, StoreFull
from remediator.stores.faults import Fault, Faults, FaultyStore
from remediator.stores.memory import MemoryStore

if TYPE_CHECKING:
    from remediator.ports import Store
    from tests.contract.conftest import Place, Scribe

RAISED = {
    Fault.FAIL_BEFORE: (NotCommitted, 0),
    Fault.COMMIT_THEN_FAIL: (AppendUnknown, 1),
    Fault.LOSE_THEN_FAIL: (AppendUnknown, 0),
    Fault.FULL: (StoreFull, 0),
    Fault.CONFLICT: (Conflict, 0),
}


@pytest.fixture(params=["inside the memory store", "around a store"])
def faulty(request: pytest.FixtureRequest, place: Place) -> tuple[Store, Faults]:
    faults = Faults()
    if request.param == "around a store":
        return FaultyStore(place.store(), faults), faults
    return MemoryStore(faults=faults), faults


@pytest.mark.parametrize("fault", Fault)
async def test_the_planned_append_fails_as_planned_and_only_that_one(
    faulty: tuple[Store, Faults], scribe: Scribe, fault: Fault
) -> None:
    store, faults = faulty
    faults.on(2, fault)
    await store.open()
    head = await store.append(Head(), scribe.records(Head()))
    error, written = RAISED[fault]
    with pytest.raises(StoreError) as raised:
        await store.append(head, scribe.records(head))
    assert type(raised.value) is error
    records = await store.read(0)
    assert len(records) == 1 + written
    head = Head(records[-1].seq, records[-1].mac)
    assert (await store.append(head, scribe.records(head))).seq == 2 + written
    assert faults.appends == 3
    await store.close()


async def test_an_outage_lasts_until_it_ends(faulty: tuple[Store, Faults], scribe: Scribe) -> None:
    store, faults = faulty
    await store.open()
    faults.begin(Fault.FULL)
    for _ in range(3):
        with pytest.raises(StoreFull):
            await store.append(Head(), scribe.records(Head()))
    faults.next(Fault.FAIL_BEFORE)
    with pytest.raises(NotCommitted, match="before anything"):
        await store.append(Head(), scribe.records(Head()))
    faults.end()
    assert (await store.append(Head(), scribe.records(Head()))).seq == 1
    await store.close()
