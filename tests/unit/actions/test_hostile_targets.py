"""Whatever a target does, a step ends, says what is known, makes at most one change, and follows nobody (H4)."""

from __future__ import annotations

import asyncio
import gc
import math
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from remediator.actions.docker import DockerRestart
from remediator.actions.http import Http
from remediator.actions.http_client import HttpClient, deadline
from remediator.actions.kumomta.bounce import Bounce
from remediator.actions.kumomta.client import Kumod
from remediator.actions.kumomta.suspend import Suspend
from remediator.actions.prometheus_client import Prometheus, Useless
from remediator.actions.silence import Silence
from remediator.actions.targets import (
    AlertmanagerTarget,
    DockerTarget,
    HttpTargets,
    KumoTargets,
    Node,
    PrometheusTarget,
)
from remediator.core.outcomes import Outcome, Presence, Result
from remediator.core.params import Json
from remediator.ports import Action, Call, Clock
from tests.kit.hostile import WAYS, Ledger, target

MakeCall = Callable[..., Call]
Build = Callable[[int, Path, Clock], tuple[Action, dict[str, Json]]]
TIMEOUT = 0.4
SELECT: dict[str, Json] = {"node": "mta1", "domain": "a.example", "reason": "bounces"}


def _http(method: str) -> Build:
    def build(port: int, _socket: Path, _clock: Clock) -> tuple[Action, dict[str, Json]]:
        url = f"http://127.0.0.1:{port}/v1/x"
        return Http(HttpTargets(allow=(url,)), http=HttpClient()), {"url": url, "method": method}

    return build


def _kumod(port: int, clock: Clock) -> Kumod:
    nodes = {"mta1": Node(name="mta1", url=f"http://127.0.0.1:{port}")}
    return Kumod(KumoTargets(nodes=nodes), http=HttpClient(), clock=clock)


def _silence(port: int, _socket: Path, _clock: Clock) -> tuple[Action, dict[str, Json]]:
    action = Silence(AlertmanagerTarget(url=f"http://127.0.0.1:{port}"), http=HttpClient())
    return action, {"labels": {"alertname": "A", "domain": "a.example"}}


def _docker(_port: int, socket: Path, _clock: Clock) -> tuple[Action, dict[str, Json]]:
    where = DockerTarget(socket=socket, allow=frozenset({"kumod"}))
    return DockerRestart(where, http=HttpClient(socket=socket)), {"container": "kumod", "stop_timeout": 1}


KINDS: dict[str, Build] = {
    "http POST": _http("POST"),
    "http GET": _http("GET"),
    "kumomta.suspend": lambda port, _socket, clock: (Suspend(_kumod(port, clock)), SELECT),
    "kumomta.bounce": lambda port, _socket, clock: (Bounce(_kumod(port, clock)), SELECT),
    "alertmanager.silence": _silence,
    "docker.restart": _docker,
}
SPOKEN = {"200 OK"}


def test_there_are_at_least_forty_ways_for_every_kind_of_step() -> None:
    assert len(WAYS) >= 40


@pytest.mark.parametrize("turns", range(5))
async def test_a_connection_that_comes_as_the_target_closes_is_not_left_open(turns: int) -> None:
    async with target(WAYS["hangs after accepting"], Ledger()) as port:
        client = socket.create_connection(("127.0.0.1", port))  # in this thread: the loop cannot accept it meanwhile
        for _ in range(turns):
            await asyncio.sleep(0)
    client.close()
    gc.collect()  # what was left open is told now, and fails this test


@pytest.mark.parametrize("kind", KINDS)
async def test_whatever_a_target_does_a_step_ends_and_says_what_is_known(
    kind: str, make_call: MakeCall, clock: Clock, tmp_path: Path
) -> None:
    async def one(number: int, name: str) -> None:
        ledger, socket = Ledger(), tmp_path / f"{number}.sock"
        async with target(WAYS[name], ledger, socket if kind == "docker.restart" else None) as port:
            action, arguments = KINDS[kind](port, socket, clock)
            call = make_call(arguments, timeout=TIMEOUT)
            async with asyncio.timeout(60):
                outcome = await action.perform(call)
                found = await action.reconcile(call)
            _judge(kind, name, outcome, ledger)
            assert found.presence is not Presence.PRESENT, (name, found.sentence)

    names = list(WAYS)
    for start in range(0, len(names), 10):  # side by side, or the hanging ones would take their time one by one
        await asyncio.gather(*(one(place, names[place]) for place in range(start, min(start + 10, len(names)))))


def _judge(kind: str, name: str, outcome: Outcome, ledger: Ledger) -> None:
    told = (kind, name, outcome, ledger)
    assert outcome.sentence, told
    assert outcome.sentence.isprintable(), told
    assert len(outcome.sentence) < 1000, told
    assert len(repr(outcome.evidence)) < 100_000, told
    asked, done = ledger.writes(ledger.asked), ledger.writes(ledger.done)
    assert asked <= 1, (told, "a change is sent once, whatever comes back")
    match outcome.result:
        case Result.NOT_ISSUED:
            assert asked == 0, (told, "what was sent is never called not issued")
        case Result.FAILED:
            assert done == 0 or kind == "http GET", (told, "what may have been carried out is never called failed")
        case Result.OK if kind != "http GET":
            assert done >= 1 or name.startswith("lies"), (told, "what was not carried out is never called done")
        case _:
            assert asked or kind != "http POST", told


@pytest.mark.parametrize("name", WAYS)
async def test_no_hostile_answer_is_evidence(name: str) -> None:
    async with target(WAYS[name], Ledger()) as port:
        prometheus = Prometheus(PrometheusTarget(url=f"http://127.0.0.1:{port}", timeout=TIMEOUT), http=HttpClient())
        async with asyncio.timeout(60):
            found = await prometheus.instant("up", at=1.0, until=deadline(TIMEOUT))
    if name == "answers NaN":  # a vector by its shape; that its value is none is for the oracle to see
        assert [math.isnan(one.value) for one in found] == [True] if not isinstance(found, Useless) else False
        return
    assert isinstance(found, Useless), (name, found)
    assert found.sentence.isprintable()
