"""The real process: how it starts, reloads, stops, dies and starts again, and what it says when it cannot."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from remediator.demo.stage import free_port
from tests.kit.small_rules import pausing_a_domain

pytestmark = pytest.mark.e2e

# Real processes on a busy machine: patience, not a measurement (s).
PATIENCE = 60.0
GRACE = 2
# What a stop may take beyond the grace of running steps: last entry, slow clients, tasks, store (s), and patience.
BOUND = GRACE + 15.0

RULES = pausing_a_domain("auto")


@dataclass
class Site:
    """A directory with settings, and the processes that were started in it."""

    root: Path
    port: int = field(default_factory=free_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.write("rules.yml", RULES)
        self.write(
            "remediator.yml",
            f'rule_files: [rules.yml]\nstorage: {{ path: data }}\nweb: {{ listen_address: "127.0.0.1:{self.port}" }}\n'
            f"limits: {{ grace: {GRACE}s }}\n"
            'targets: { kumomta: { nodes: { mta1: { url: "http://127.0.0.1:9" } } } }\n',
        )

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def write(self, name: str, text: str) -> None:
        """A file that only its owner may read."""
        (self.root / name).write_text(text, encoding="utf-8")
        (self.root / name).chmod(0o600)

    @property
    def log(self) -> str:
        """What all processes have written."""
        return (self.root / "log").read_text(encoding="utf-8")

    def start(self, *flags: str) -> subprocess.Popen[bytes]:
        """Starts one, as an operator would."""
        with (self.root / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "remediator", "serve", "--config.file", "remediator.yml", *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.root,
            )
        self.processes.append(process)
        return process

    def ready(self, process: subprocess.Popen[bytes]) -> None:
        """Waits until it answers."""
        self.wait(lambda: self.get("/-/ready").status_code == 200, process)

    def get(self, path: str) -> httpx.Response:
        """What it answers."""
        return httpx.get(f"{self.url}{path}", trust_env=False, timeout=10.0)

    def wait(self, true: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        """Waits until it is so, for as long as the process lives."""
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            with contextlib.suppress(httpx.TransportError):
                if true():
                    return
            assert process.poll() is None, self.log
            time.sleep(0.05)
        raise AssertionError(f"not in time:\n{self.log}")

    def entries(self, after: int = 0) -> list[dict[str, object]]:
        """The journal after an entry, by the API."""
        found = self.get(f"/api/v1/entries?after={after}").json()["data"]["entries"]
        assert isinstance(found, list)
        return found

    def journal(self) -> list[str]:
        """The kinds of all entries, read offline, with its chain checked."""
        verified = self.cli("log", "verify", "--storage.path", "data")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        exported = self.cli("log", "export", "--storage.path", "data")
        assert exported.returncode == 0, exported.stderr
        return re.findall(r'"kind":\s*"([a-z_.]+)"', exported.stdout) or [
            json.loads(line)["kind"] for line in exported.stdout.splitlines()
        ]

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "remediator", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            cwd=self.root,
            check=False,
        )

    def fire(self, domain: str) -> int:
        """Alertmanager posts."""
        labels = {"alertname": "HighBounceRate", "domain": domain, "severity": "critical"}
        alert = {"status": "firing", "labels": labels, "annotations": {}, "startsAt": datetime.now(tz=UTC).isoformat()}
        body = {"version": "4", "groupKey": "{}", "status": "firing", "receiver": "r", "alerts": [alert]}
        return httpx.post(f"{self.url}/api/v1/alerts", json=body, trust_env=False, timeout=10.0).status_code


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site; what was started there is ended."""
    built = Site(tmp_path)
    try:
        yield built
    finally:
        for process in built.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def rules_in_force(site: Site) -> list[str]:
    return [rule["rule"] for rule in site.get("/api/v1/rules").json()["data"]["rules"]]


def test_sighup_takes_good_rules_and_refuses_bad_ones(site: Site) -> None:
    process = site.start()
    site.ready(process)
    site.write("rules.yml", RULES.replace("name: high-bounce-rate", "name: a-new-name"))
    process.send_signal(signal.SIGHUP)
    site.wait(lambda: rules_in_force(site) == ["a-new-name"], process)
    site.write("rules.yml", RULES.replace("kumomta.suspend", "kumomta.suspnd"))
    process.send_signal(signal.SIGHUP)
    site.wait(lambda: site.entries()[-1]["kind"] == "config.refused", process)
    assert "unknown-action" in str(site.entries()[-1]["sentence"])
    assert rules_in_force(site) == ["a-new-name"]
    assert "\nremediator_config_last_reload_successful 0.0\n" in site.get("/metrics").text
    site.write("rules.yml", RULES)
    process.send_signal(signal.SIGHUP)
    site.wait(lambda: rules_in_force(site) == ["high-bounce-rate"], process)
    assert "\nremediator_config_last_reload_successful 1.0\n" in site.get("/metrics").text
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=BOUND) == 0


def test_sigterm_ends_it_in_time_whoever_hangs_on_the_line(site: Site) -> None:
    process = site.start()
    site.ready(process)
    assert site.fire("a.example") == 202
    with contextlib.ExitStack() as held:
        silent, halfway, hanging, live = (held.enter_context(connected(site.port)) for _ in range(4))
        halfway.sendall(b"POST /api/v1/alerts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: appl")
        hanging.sendall(
            b"POST /api/v1/alerts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 500\r\n\r\n" + b'{"version": "4", '
        )
        live.sendall(f"GET /api/v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\n\r\n".encode())
        assert live.recv(100).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=BOUND) == 0, site.log
        assert time.monotonic() - began < BOUND
        assert silent.recv(1) == b"", "and the line was closed"
        assert hanging.recv(100).startswith(b"HTTP/1.1 503 "), "Alertmanager sends it again"
    kinds = site.journal()
    assert kinds[-1] == "service.stopped", kinds
    assert kinds.count("service.stopped") == 1
    assert "Traceback" not in site.log, site.log


def connected(port: int) -> socket.socket:
    """A line to the service that nobody hurries."""
    line = socket.create_connection(("127.0.0.1", port))
    line.settimeout(PATIENCE)
    return line


def test_a_second_process_on_the_same_journal_is_refused_with_a_sentence(site: Site) -> None:
    first = site.start()
    site.ready(first)
    second = site.start("--web.listen-address", f"127.0.0.1:{free_port()}")
    assert second.wait(timeout=PATIENCE) == 1
    told = site.log.partition("remediator cannot start:\n")[2]
    assert "journal.db" in told
    assert f"another remediator (pid {first.pid}) has " in told
    assert "stop it first" in told
    assert "Traceback" not in told
    assert site.get("/-/ready").status_code == 200, "the first goes on"
    assert site.fire("a.example") == 202


def test_a_port_in_use_is_refused_with_a_sentence(site: Site) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", site.port))
        taken.listen()
        assert site.start().wait(timeout=PATIENCE) == 1
    assert f"remediator cannot start:\ncannot listen on 127.0.0.1:{site.port}: Address already in use" in site.log
    assert "Traceback" not in site.log


def test_after_kill_minus_nine_it_starts_and_knows_what_it_accepted(site: Site) -> None:
    process = site.start()
    site.ready(process)
    for number in range(20):
        assert site.fire(f"d{number}.example") == 202
    process.kill()
    process.wait()
    again = site.start()
    site.ready(again)
    site.wait(lambda: site.get("/api/v1/status").json()["data"]["disposed"] == 20, again)
    site.wait(lambda: not open_incidents(site), again)
    again.send_signal(signal.SIGTERM)
    assert again.wait(timeout=BOUND) == 0
    kinds = site.journal()
    assert kinds.count("notification.received") == 20
    assert kinds.count("notification.disposed") == 20
    assert kinds.count("incident.opened") == kinds.count("incident.closed") == 20
    assert (kinds.count("service.started"), kinds.count("service.stopped")) == (2, 1)


def open_incidents(site: Site) -> list[str]:
    rows = site.get("/api/v1/incidents").json()["data"]["incidents"]
    return [row["incident"] for row in rows if row["status"] != "closed"]


def test_a_journal_whose_key_is_lost_is_not_gone_on_with(site: Site) -> None:
    process = site.start()
    site.ready(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=BOUND) == 0
    (site.root / "data.key").unlink()
    assert site.start().wait(timeout=PATIENCE) == 1
    assert "data.key is missing; restore the key, or move the journal away" in site.log
    assert not (site.root / "data.key").exists()
    site.write("data.key", "00" * 32 + "\n")
    assert site.start().wait(timeout=PATIENCE) == 1
    assert "journal entry 1: " in site.log, "another key is not ours"
    assert "Traceback" not in site.log
