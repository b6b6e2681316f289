"""docker.restart against a small Engine on a real Unix socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from remediator.actions.docker import DockerRestart
from remediator.actions.http_client import HttpClient
from remediator.actions.targets import DockerTarget
from remediator.core.outcomes import Presence, Result
from remediator.core.places import kept_in, places_of
from remediator.plugins import describe_catalogue
from remediator.ports import Call

MakeCall = Callable[..., Call]
CONTAINER: dict[str, Any] = {"container": "kumod", "stop_timeout": 10}
ANNOUNCED = 1_795_518_240.0  # 2026-11-24 11:04:00Z
RUNNING = {
    "Status": "running",
    "Running": True,
    "Restarting": False,
    "Paused": False,
    "StartedAt": "2026-11-24T10:00:00Z",
}


class Engine:
    """Answers inspect and restart of the container kumod; `cut` closes the connection after a restart, unanswered."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = dict(RUNNING)
        self.asked: list[str] = []
        self.cut = False
        self.status = 204

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line = head.partition("\r\n")[0].removesuffix(" HTTP/1.1")
        self.asked.append(line)
        if line == "GET /containers/kumod/json":
            writer.write(answer(200, json.dumps({"State": self.state})))
        elif line.startswith("POST /containers/kumod/restart"):
            if self.status == 204:
                self.state["StartedAt"] = "2026-11-24T11:05:00Z"
            if self.cut:
                writer.transport.abort()
                return
            writer.write(answer(self.status, ""))
        else:
            writer.write(answer(404, '{"message":"No such container"}'))
        writer.close()

    @property
    def restarts(self) -> list[str]:
        return [line for line in self.asked if line.startswith("POST")]


def answer(status: int, body: str) -> bytes:
    length = "" if status == 204 else f"content-length: {len(body)}\r\n"
    return f"HTTP/1.1 {status} X\r\n{length}\r\n{body}".encode()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    """An Engine that listens at tmp_path/docker.sock."""
    one = Engine()
    listening = await asyncio.start_unix_server(one.talk, tmp_path / "docker.sock")
    yield one
    listening.close()
    await listening.wait_closed()


async def no_rest(_seconds: float) -> None:
    return None


@pytest.fixture
def action(tmp_path: Path) -> DockerRestart:
    socket = tmp_path / "docker.sock"
    target = DockerTarget(socket=socket, allow=frozenset({"kumod", "gone"}))
    return DockerRestart(target, http=HttpClient(socket=socket, rest=no_rest))


async def test_a_running_container_is_restarted_once(
    engine: Engine, action: DockerRestart, make_call: MakeCall
) -> None:
    outcome = await action.perform(make_call(CONTAINER))
    assert outcome.result is Result.OK
    assert engine.asked == ["GET /containers/kumod/json", "POST /containers/kumod/restart?t=10"]
    assert outcome.evidence["started_before"] == "2026-11-24T10:00:00Z"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"Restarting": True, "Status": "restarting"}, "starting already"),
        ({"Health": {"Status": "starting"}}, "starting already"),
        ({"Running": False, "Status": "exited"}, "not running"),
        ({"Paused": True}, "paused"),
    ],
)
async def test_a_container_in_another_state_is_left_alone(
    engine: Engine, action: DockerRestart, make_call: MakeCall, change: dict[str, Any], word: str
) -> None:
    engine.state.update(change)
    outcome = await action.perform(make_call(CONTAINER))
    assert outcome.result is Result.FAILED
    assert word in outcome.sentence
    assert engine.restarts == []


async def test_an_unhealthy_container_may_be_restarted(
    engine: Engine, action: DockerRestart, make_call: MakeCall
) -> None:
    engine.state["Health"] = {"Status": "unhealthy"}
    assert (await action.perform(make_call(CONTAINER))).result is Result.OK


async def test_a_lost_answer_is_unknown_and_the_start_time_tells(
    engine: Engine, action: DockerRestart, make_call: MakeCall
) -> None:
    engine.cut = True
    call = make_call(CONTAINER, issued_at=ANNOUNCED)
    assert (await action.perform(call)).result is Result.UNKNOWN
    assert len(engine.restarts) == 1
    found = await action.reconcile(call)
    assert found.presence is Presence.PRESENT
    assert "2026-11-24T11:05:00Z" in found.sentence


async def test_a_restart_that_may_still_come_is_undecided(
    engine: Engine, action: DockerRestart, make_call: MakeCall
) -> None:
    engine.status = 500
    call = make_call(CONTAINER, issued_at=ANNOUNCED)
    assert (await action.perform(call)).result is Result.UNKNOWN
    found = await action.reconcile(call)
    assert found.presence is Presence.UNDECIDED
    assert "may yet be stopped" in found.sentence


@pytest.mark.parametrize("started", ["2026-11-24T11:05:00.123456789Z", "2026-11-24T12:05:00+01:00"])
async def test_in_another_life_the_time_of_the_attempt_is_in_the_journal_and_tells(
    engine: Engine, action: DockerRestart, make_call: MakeCall, started: str
) -> None:
    engine.state["StartedAt"] = started
    found = await action.reconcile(make_call(CONTAINER, issued_at=ANNOUNCED))
    assert found.presence is Presence.PRESENT
    assert engine.restarts == []


@pytest.mark.parametrize("started", ["", "yesterday", "2026-11-24T11:05:00"])
async def test_a_start_time_that_cannot_be_read_is_left_to_a_person(
    engine: Engine, action: DockerRestart, make_call: MakeCall, started: str
) -> None:
    engine.state["StartedAt"] = started
    found = await action.reconcile(make_call(CONTAINER, issued_at=ANNOUNCED))
    assert found.presence is Presence.UNDECIDED
    assert "compare that" in found.sentence
    assert (await action.reconcile(make_call(CONTAINER))).presence is Presence.UNDECIDED


async def test_without_an_engine_nothing_was_issued(action: DockerRestart, make_call: MakeCall) -> None:
    assert (await action.perform(make_call(CONTAINER))).result is Result.NOT_ISSUED


async def test_a_container_that_docker_does_not_know_is_not_issued(
    engine: Engine, action: DockerRestart, make_call: MakeCall
) -> None:
    outcome = await action.perform(make_call({**CONTAINER, "container": "gone"}))
    assert outcome.result is Result.NOT_ISSUED
    assert engine.restarts == []


async def test_a_timeout_that_leaves_no_room_is_refused(
    engine: Engine, action: DockerRestart, make_call: MakeCall
) -> None:
    outcome = await action.perform(make_call(CONTAINER, timeout=12.0))
    assert outcome.result is Result.FAILED
    assert "raise the timeout" in outcome.sentence
    assert engine.asked == []


@pytest.mark.parametrize(
    "change",
    [{"container": ""}, {"container": "redis"}, {"container": "../kumod"}, {"stop_timeout": 0}, {"stop_timeout": 601}],
)
def test_what_is_not_allowed_is_refused(action: DockerRestart, change: dict[str, Any]) -> None:
    assert action.faults({**CONTAINER, **change})


def test_a_restart_tells_which_container_and_which_kumods_forget() -> None:
    nodes = {"kumod": ("mta1:8000", "mta2:8000")}
    action = DockerRestart(DockerTarget(socket=Path("/x"), allow=frozenset({"kumod"}), nodes=nodes), http=None)
    assert action.places({"container": "kumod"}) == ("container kumod",)
    assert action.forgets({"container": "kumod"}) == ["node mta1:8000", "node mta2:8000"]
    assert action.forgets({"container": "other"}) == []
    assert DockerRestart(None, http=None).forgets({"container": "kumod"}) == []


def test_actions_on_kumod_and_redis_tell_where_they_act_and_what_a_restart_loses() -> None:
    actions = describe_catalogue().actions
    kumod = {"node": "mta1", "domain": "example.com", "server": "cache", "ip": "192.0.2.1"}
    told = {kind: (places_of(one, kumod), kept_in(one, kumod)) for kind, one in actions.items()}
    in_memory = {"kumomta.suspend", "kumomta.suspend_ready_queue"}
    assert {kind for kind, (_, where) in told.items() if where == "node mta1"} == in_memory
    on_node = {kind for kind in actions if kind.startswith("kumomta.")} - {"kumomta.suspend_source"}
    assert {kind for kind, (places, _) in told.items() if places == ("node mta1",)} == on_node
    assert told["redis.config_set"] == (("redis cache",), "redis cache")
    assert told["command"] == ((), "")
