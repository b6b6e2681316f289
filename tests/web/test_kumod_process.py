"""The simulated kumod as a process of its own: start, both listeners, faults on real sockets, restart, end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from remediator.demo.control import Control

pytestmark = pytest.mark.e2e
SUSPEND = "/api/admin/suspend/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A process that listens."""

    process: subprocess.Popen[str]
    api: httpx.Client
    control: Control
    ledger: Path


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    ledger = tmp_path / "ledger.jsonl"
    argv = [sys.executable, "-m", "remediator.demo.kumod", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]
    argv += ["--node", "kumod-7", "--ledger", str(ledger), "--rate", "100", "--speed", "5"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"kumod-sim kumod-7 listening on (\S+) control on (\S+)\n", line)
        assert found is not None, line
        with (
            httpx.Client(base_url=f"http://{found[1]}", trust_env=False, timeout=5.0) as api,
            Control(f"http://{found[2]}") as control,
        ):
            yield Running(process=process, api=api, control=control, ledger=ledger)
        process.kill()


def wait_for_delivery(control: Control, more_than: int) -> int:
    """Wait (at most ten seconds) until mail has been delivered."""
    deadline = time.monotonic() + 10
    delivered = -1
    while time.monotonic() < deadline:
        domains = control.state()["domains"]
        assert isinstance(domains, dict)
        delivered = domains["gmail.com"]["delivered"]
        if delivered > more_than:
            return int(delivered)
    pytest.fail(f"only {delivered} messages delivered, more than {more_than} expected")


def test_mail_flows_effects_are_on_record_and_sigterm_ends_it(running: Running) -> None:
    wait_for_delivery(running.control, 0)
    assert running.api.get("/metrics").status_code == 200
    order_id = running.api.post(SUSPEND, json={"domain": "gmail.com", "reason": "e2e"}).json()["id"]
    running.control.domain("yahoo.com", bounce_ratio=0.5)
    written = [json.loads(line) for line in running.ledger.read_text().splitlines()]
    assert [(entry["node"], entry["id"], entry["applied"]) for entry in written] == [("kumod-7", order_id, True)]
    assert running.control.ledger() == written
    running.control.faults("/metrics", "hang")
    with pytest.raises(httpx.ReadTimeout):
        running.api.get("/metrics", timeout=0.3)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=5) == 0


def test_a_hanging_request_does_not_keep_the_process_alive(running: Running) -> None:
    running.control.faults("/metrics", "hang")
    with running.api.stream("GET", "/api/check-liveness/v1"):
        pass
    argv = [sys.executable, "-c", f"import httpx; httpx.get('{running.api.base_url}/metrics', timeout=30)"]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as caller:
        deadline = time.monotonic() + 10
        while running.control.state()["faults"] and time.monotonic() < deadline:
            pass
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=5) == 0
        assert caller.wait(timeout=10) != 0


@pytest.mark.parametrize(("kind", "applied"), [("reset_before", False), ("reset_after_apply", True)])
def test_a_reset_reaches_the_caller_as_a_reset(running: Running, kind: str, applied: bool) -> None:
    running.control.faults(SUSPEND, "reset_after_apply" if applied else "reset_before")
    with pytest.raises(httpx.ReadError):
        running.api.post(SUSPEND, json={"domain": "gmail.com", "reason": "e2e"})
    assert [entry["applied"] for entry in running.control.ledger()] == [applied]
    assert len(running.api.get(SUSPEND).json()) == applied


def test_a_dripping_answer_outlives_a_timeout_per_read(running: Running) -> None:
    running.control.faults("/api/check-liveness/v1", "drip")
    answer = running.api.get("/api/check-liveness/v1", timeout=1.9)
    assert answer.text == "OK"
    assert answer.elapsed.total_seconds() > 0.9


def test_a_restart_refuses_connections_and_then_reads_its_spool(running: Running) -> None:
    before = running.api.get("/api/machine-info").json()["online_since"]
    running.control.restart(startup_s=0.5, down_s=0.5)
    with pytest.raises(httpx.TransportError):
        running.api.get("/api/check-liveness/v1")
    deadline = time.monotonic() + 10
    told: list[str] = []
    while "OK" not in told and time.monotonic() < deadline:
        try:
            told.append(running.api.get("/api/check-liveness/v1").text)
        except httpx.TransportError:
            continue
    assert "waiting for spool startup" in told
    assert running.api.get("/api/machine-info").json()["online_since"] > before


def test_a_port_in_use_is_told_and_ends_with_one(running: Running) -> None:
    address = str(running.api.base_url).removeprefix("http://").rstrip("/")
    argv = [sys.executable, "-m", "remediator.demo.kumod", "--listen", address]
    found = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert found.returncode == 1
    assert f"cannot listen on {address}" in found.stderr
