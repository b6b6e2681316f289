"""The oracle and the probe promql against a real Prometheus that scrapes a metric we steer."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_fixed

from remediator.actions.http_client import HttpClient
from remediator.actions.prometheus_client import Prometheus
from remediator.actions.targets import PrometheusTarget
from remediator.core.outcomes import Look, Observation
from remediator.ports import LookCall
from remediator.probes.oracle import PrometheusOracle
from remediator.probes.promql import PromqlProbe

pytestmark = pytest.mark.e2e

EXPR = "bounce_ratio > 0.2"
# Real programs on a busy machine: patience, not a measurement (s).
PATIENCE = 60.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Exporter:
    """Serves whatever text it is told."""

    def __init__(self) -> None:
        self.text = "bounce_ratio 0.31\n"
        self.port = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"content-type: text/plain\r\ncontent-length: {len(self.text)}\r\nconnection: close\r\n\r\n"
        writer.write(f"HTTP/1.1 200 OK\r\n{head}{self.text}".encode())
        writer.close()


@pytest.fixture
async def exporter() -> AsyncIterator[Exporter]:
    one = Exporter()
    listening = await asyncio.start_server(one.talk, "127.0.0.1", 0)
    one.port = listening.sockets[0].getsockname()[1]
    yield one
    listening.close()
    await listening.wait_closed()


@pytest.fixture
def server(tmp_path: Path, exporter: Exporter) -> Iterator[tuple[int, int]]:
    """A Prometheus of its own, by port and process id."""
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"scrape_configs: [{{job_name: test, static_configs: [{{targets: ['127.0.0.1:{exporter.port}']}}]}}]\n",
        encoding="utf-8",
    )
    port = free_port()
    flags = [
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    process = subprocess.Popen(["prometheus", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield port, process.pid
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def prometheus(server: tuple[int, int]) -> Prometheus:
    return Prometheus(PrometheusTarget(url=f"http://127.0.0.1:{server[0]}", max_age=10.0), http=HttpClient())


def wall() -> float:
    return time.time()


async def until(ask: Callable[[], Awaitable[Observation]], fits: Callable[[Observation], bool]) -> Observation:
    """Asks every fifth of a second until the answer fits."""
    retrying = AsyncRetrying(
        wait=wait_fixed(0.2), stop=stop_after_delay(PATIENCE), retry=retry_if_result(lambda seen: not fits(seen))
    )

    async def once() -> Observation:
        return await ask()

    return await retrying(once)


def is_now(look: Look) -> Callable[[Observation], bool]:
    return lambda seen: seen.look is look


async def test_what_is_seen_becomes_good_bad_and_unknown_as_the_world_changes(
    prometheus: Prometheus, exporter: Exporter
) -> None:
    oracle, probe = PrometheusOracle(prometheus), PromqlProbe(prometheus)

    def asked(hold: float = 0.0) -> Awaitable[Observation]:
        return oracle.holds(EXPR, hold=hold, now=wall())

    good = await until(asked, is_now(Look.GOOD))
    assert good.value == 0.31
    short = await asked(3600.0)
    assert short.look is Look.BAD
    assert "of 1h" in short.sentence
    held = await until(lambda: asked(3.0), is_now(Look.GOOD))
    assert "all of the last 3s" in held.sentence

    changed = wall()
    exporter.text = "bounce_ratio 0.02\n"

    def looked() -> Awaitable[Observation]:
        return probe.look(LookCall(arguments={"expr": "bounce_ratio < 0.1"}, newer_than=changed, now=wall()))

    assert (await looked()).look is not Look.BAD
    recovered = await until(looked, is_now(Look.GOOD))
    assert recovered.at is not None
    assert recovered.at > changed
    assert (await until(asked, is_now(Look.BAD))).look is Look.BAD

    exporter.text = "something_else 1\n"
    gone = await until(asked, is_now(Look.UNKNOWN))
    assert "no data" in gone.sentence

    exporter.text = "bounce_ratio NaN\n"
    nan = await until(
        lambda: oracle.holds("bounce_ratio", hold=0.0, now=wall()), lambda seen: "no number" in seen.sentence
    )
    assert nan.look is Look.UNKNOWN
    exporter.text = 'bounce_ratio{d="a"} 0.5\nbounce_ratio{d="b"} 0.6\n'
    several = await until(asked, lambda seen: "2 series" in seen.sentence)
    assert several.look is Look.UNKNOWN


async def test_a_stopped_prometheus_is_unknown(prometheus: Prometheus, server: tuple[int, int]) -> None:
    oracle = PrometheusOracle(prometheus)
    await until(lambda: oracle.holds(EXPR, hold=0.0, now=wall()), is_now(Look.GOOD))
    os.kill(server[1], signal.SIGSTOP)
    probe = PromqlProbe(prometheus)
    seen = await probe.look(LookCall(arguments={"expr": EXPR}, newer_than=0.0, now=wall(), timeout=1.0))
    assert seen.look is Look.UNKNOWN
    assert "does not answer" in seen.sentence
