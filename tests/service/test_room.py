"""A service whose disk has too little room, by its settings: what Alertmanager, people and Prometheus hear of it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from remediator.core.space import Room
from remediator.observe import Observer, Redactor

if TYPE_CHECKING:
    from tests.service.conftest import Home, Service, Work


async def test_below_the_line_alertmanager_is_told_to_send_again_and_people_why(home: Home, work: Work) -> None:
    text = home.settings.read_text(encoding="utf-8")
    home.write("remediator.yml", text.replace("{ path: data }", "{ path: data, min_free: 999999GiB }"))
    async with work(home.build()) as service:
        refused = await service.fire()
        assert refused.status_code == 503
        assert "nothing new begins below 999999 GiB (storage.min_free, storage.min_free_percent)" in refused.text
        ready = await service.client.get("/-/ready")
        assert (ready.status_code, "the disk of the journal has" in ready.text) == (503, True)
        assert (await service.client.get("/-/healthy")).status_code == 200
        assert await service.metric("remediator_disk_low ") == ["remediator_disk_low 1.0"]
        assert await service.metric("remediator_disk_free_bytes ") != ["remediator_disk_free_bytes 0.0"]
        status = (await service.client.get("/api/v1/status")).json()["data"]
        assert any("the disk of the journal has" in problem for problem in status["problems"])
        paused = await service.client.post("/api/v1/pause", json={"reason": "look at the disk", "by": "ana"})
        assert paused.status_code == 200, "a person's stop fits"
        await service.until(lambda: "room" in service.built.journal.state.escalated)


async def test_with_room_all_is_as_ever(service: Service) -> None:
    assert (await service.fire()).status_code == 202
    assert await service.metric("remediator_disk_low ") == ["remediator_disk_low 0.0"]


def test_the_log_says_once_that_there_is_too_little_and_once_that_there_is_room_again() -> None:
    log = io.StringIO()
    observer = Observer(Redactor(()), form="logfmt", stream=log)
    for room, low in ((9, ""), (1, "too little"), (1, "too little"), (9, ""), (9, "")):
        observer.room_is(Room(free=room, total=10), low)
    first, second = log.getvalue().splitlines()
    assert "level=error kind=disk.low" in first
    assert "level=warning kind=disk.room" in second
