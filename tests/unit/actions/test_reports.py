"""Steps that only look: orders of kumod, containers and their logs, Redis, alerts."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import respx

from remediator.actions.alert_report import AlertReport
from remediator.actions.docker_report import DockerLogReport, DockerReport
from remediator.actions.http_client import HttpClient
from remediator.actions.kumomta.order_report import OrderReport
from remediator.actions.redis_report import RedisReport
from remediator.actions.targets import AlertmanagerTarget, DockerTarget, RedisServer, RedisTargets
from remediator.core.outcomes import Result
from remediator.demo.kumod.admin import ReadySuspension
from remediator.ports import Call

if TYPE_CHECKING:
    Bench = Any

MakeCall = Callable[..., Call]
LOG: dict[str, Any] = {"container": "kumod", "word": "error", "since": 3600.0}
ALERTS = "http://alertmanager.example:9093/api/v2/alerts"


# ── kumod's orders ───────────────────────────────────────────────────────────────────────────────────────────────────
async def test_orders_are_told_with_their_author(bench: Bench, make_call: MakeCall) -> None:
    quiet = await OrderReport(bench.kumod).perform(make_call({"node": "mta1"}))
    assert quiet.sentence == "mta1: nothing is suspended or being bounced"
    entry = ReadySuspension(name="ip-1->mx.example@smtp_client", reason="rule_hash=77", expires=bench.clock.at + 60)
    bench.sim.orders.ready_suspensions.add(entry)
    seen = await OrderReport(bench.kumod).perform(make_call({"node": "mta1"}))
    assert seen.result is Result.OK
    assert "1 suspended ready queue" in seen.sentence
    assert "ip-1->mx.example@smtp_client, by kumod's traffic shaping automation" in seen.sentence


async def test_a_suspension_without_criteria_is_of_unknown_extent(bench: Bench, make_call: MakeCall) -> None:
    posted = await bench.kumod.post(
        bench.kumod.node("mta1"),
        "/api/admin/suspend/v1",
        {"reason": "by hand"},
        until=asyncio.get_running_loop().time() + 5,
    )
    assert posted.result is Result.OK
    seen = await OrderReport(bench.kumod).perform(make_call({"node": "mta1"}))
    assert "of unknown extent, by someone else ('by hand')" in seen.sentence


async def test_half_a_report_is_none(bench: Bench, make_call: MakeCall) -> None:
    bench.wire.cut.add("GET /api/admin/bounce/v1")
    seen = await OrderReport(bench.kumod).perform(make_call({"node": "mta1"}))
    assert seen.result is Result.FAILED
    unknown = await OrderReport(bench.kumod).perform(make_call({"node": "mta9"}))
    assert "no kumod is called 'mta9'" in unknown.sentence


# ── containers ───────────────────────────────────────────────────────────────────────────────────────────────────────
@asynccontextmanager
async def engine(path: Path, status: int, body: bytes) -> AsyncIterator[list[str]]:
    """An Engine that has one answer to everything."""
    asked: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head.partition("\r\n")[0])
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_unix_server(talk, path)
    try:
        yield asked
    finally:
        listening.close()
        await listening.wait_closed()


def docker(path: Path) -> tuple[DockerTarget, HttpClient]:
    async def no_rest(_seconds: float) -> None:
        return None

    def redact(text: str) -> str:
        return text.replace("hunter2", "***")

    return DockerTarget(socket=path, allow=frozenset({"kumod"})), HttpClient(socket=path, rest=no_rest, redact=redact)


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "d.sock"


async def test_containers_that_are_not_well_are_named(socket: Path, make_call: MakeCall) -> None:
    listed = [
        {"Names": ["/kumod"], "State": "running", "Status": "Up 3 hours (healthy)"},
        {"Names": ["/redis"], "State": "running", "Status": "Up 3 hours (unhealthy)"},
        {"Names": ["/tsa"], "State": "exited", "Status": "Exited (1) 2 hours ago"},
        {"Names": []},
        "odd",
    ]
    target, http = docker(socket)
    async with engine(socket, 200, json.dumps(listed).encode()) as asked:
        seen = await DockerReport(target, http=http).perform(make_call({}))
    assert asked == ["GET /containers/json?all=1 HTTP/1.1"]
    assert seen.sentence == "1 of 3 containers run; redis: Up 3 hours (unhealthy); tsa: Exited (1) 2 hours ago"
    assert list(seen.evidence["containers"]) == ["redis", "tsa", "kumod"]  # type: ignore[call-overload]


def frame(stream: int, text: str) -> bytes:
    return struct.pack(">BxxxL", stream, len(text.encode())) + text.encode()


async def test_lines_with_the_word_are_counted_out_of_the_engines_frames(socket: Path, make_call: MakeCall) -> None:
    body = frame(1, "started\nan Error: hunter2\n") + frame(2, "ERROR again\x1b[31m\n") + frame(1, "fine\n")
    target, http = docker(socket)
    async with engine(socket, 200, body) as asked:
        call = make_call(LOG)
        seen = await DockerLogReport(target, http=http).perform(call)
    assert f"since={int(call.now) - 3600}&tail=5000" in asked[0]
    assert seen.sentence == "2 lines of kumod's log of the last 1h contain 'error'"
    assert seen.evidence == {"lines": ["an Error: ***", "ERROR again [31m"]}


async def test_a_log_of_a_terminal_has_no_frames(socket: Path, make_call: MakeCall) -> None:
    target, http = docker(socket)
    async with engine(socket, 200, b"one error\r\nfine\r\n"):
        seen = await DockerLogReport(target, http=http).perform(make_call(LOG))
    assert seen.evidence == {"lines": ["one error"]}


async def test_an_engine_that_refuses_or_is_not_there_is_a_failure(socket: Path, make_call: MakeCall) -> None:
    target, http = docker(socket)
    for kind, arguments in ((DockerReport, {}), (DockerLogReport, LOG)):
        gone = await kind(target, http=http).perform(make_call(arguments))
        assert "Docker does not answer" in gone.sentence
        async with engine(socket, 404, b"No such container"):
            refused = await kind(target, http=http).perform(make_call(arguments))
        assert refused.result is Result.FAILED
        assert "404 'No such container'" in refused.sentence
    for body in (b"{", b"{}"):
        async with engine(socket, 200, body):
            odd = await DockerReport(target, http=http).perform(make_call({}))
        assert "not readable" in odd.sentence


def test_a_log_that_is_not_allowed_or_without_a_word_is_refused(socket: Path) -> None:
    action = DockerLogReport(*docker(socket)[:1], http=None)
    assert "not allowed (allowed: kumod)" in action.faults({**LOG, "container": "redis"})[0]
    assert action.faults({**LOG, "word": " "}) == ["no word to look for"]
    assert "at most 7d" in action.faults({**LOG, "since": 1e9})[0]
    assert "not the name of a container" in action.faults({**LOG, "container": "../kumod"})[0]


# ── Redis ────────────────────────────────────────────────────────────────────────────────────────────────────────────
@asynccontextmanager
async def redis_that_says(text: str) -> AsyncIterator[RedisTargets]:
    """A Redis that gives this text to INFO and OK to everything else."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = []
            for _ in range(int(line[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2])
            body = text.encode()
            writer.write(b"$%d\r\n%s\r\n" % (len(body), body) if words[0].upper() == b"INFO" else b"+OK\r\n")
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield RedisTargets(servers={"cache": RedisServer(name="cache", host="127.0.0.1", port=port)})
    finally:
        listening.close()


@pytest.mark.parametrize(
    ("most", "told"),
    [(2 << 30, "cache uses 512 of 2048 MiB"), (0, "cache uses 512 MiB without a limit")],
)
async def test_the_memory_of_a_redis_is_told_with_what_it_evicted(most: int, told: str, make_call: MakeCall) -> None:
    text = f"used_memory:{512 << 20}\r\nmaxmemory:{most}\r\nmaxmemory_policy:allkeys-lru\r\nevicted_keys:17\r\n"
    async with redis_that_says(text) as targets:
        seen = await RedisReport(targets).perform(make_call({"server": "cache"}))
    assert seen.sentence == f"{told}, policy allkeys-lru, 17 keys evicted so far"
    assert seen.evidence["evicted_keys"] == 17
    assert "(known: cache)" in RedisReport(targets).faults({"server": "other"})[0]


# ── alerts ───────────────────────────────────────────────────────────────────────────────────────────────────────────
@respx.mock
async def test_alerts_are_counted_and_those_held_back_told_apart(make_call: MakeCall) -> None:
    route = respx.get(ALERTS).respond(
        json=[
            {"labels": {"alertname": "B", "domain": "a.example"}, "status": {"state": "active"}},
            {"labels": {"alertname": "A"}, "status": {"state": "suppressed"}},
        ]
    )
    action = AlertReport(AlertmanagerTarget(url="http://alertmanager.example:9093/"), http=HttpClient())
    seen = await action.perform(make_call({"alertname": "A"}))
    assert route.calls.last.request.url.params["filter"] == 'alertname="A"'
    assert (
        seen.sentence
        == "2 alerts fire, 1 of them held back by silences or other alerts; the first: alertname=A (held back)"
    )
    assert seen.evidence["alerts"] == ["alertname=A (held back)", "alertname=B, domain=a.example"]


@respx.mock
@pytest.mark.parametrize(("status", "body"), [(200, "{"), (200, "[1]"), (503, "busy")])
async def test_an_alertmanager_that_is_not_well_is_a_failure(status: int, body: str, make_call: MakeCall) -> None:
    respx.get(ALERTS).respond(status, text=body)
    action = AlertReport(AlertmanagerTarget(url="http://alertmanager.example:9093"), http=HttpClient())
    assert (await action.perform(make_call({}))).result is Result.FAILED
