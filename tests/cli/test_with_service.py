"""The command line against a real service: started as an operator would, asked, paused, stopped, and its journal checked."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from remediator.cli.demo import demo
from remediator.cli.serve import serve
from tests.kit.small_rules import pausing_a_domain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result

    from tests.cli.conftest import Cli

pytestmark = pytest.mark.e2e

RULES = pausing_a_domain("auto")
SETTINGS = """\
mode: MODE
rule_files: [rules.yml]
storage: { path: data }
targets:
  kumomta:
    nodes: { mta1: { url: "http://127.0.0.1:9" } }
"""
ALERT = {"alertname": "HighBounceRate", "severity": "critical", "domain": "a.example"}


@dataclass(frozen=True)
class Service:
    """A service under way, and the command line that asks it."""

    process: subprocess.Popen[bytes]
    url: str
    cli: Cli

    def ask(self, line: str) -> Result:
        """One command line, sent to this service."""
        return self.cli(f"remediator {line}", env={"REMEDIATOR_URL": self.url})

    def alert(self) -> None:
        """Alertmanager posts."""
        alert = {"status": "firing", "labels": ALERT, "annotations": {}, "startsAt": "2026-11-24T03:09:51Z"}
        body = {"version": "4", "groupKey": "{}", "status": "firing", "receiver": "remediator", "alerts": [alert]}
        httpx.post(f"{self.url}/api/v1/alerts", json=body, trust_env=False).raise_for_status()

    def until(self, condition: str, line: str) -> Result:
        """Asks again, waiting at the service's journal in between, until the answer says so."""
        after = 0
        result = self.ask(line)
        for _ in range(50):
            if re.search(condition, result.stdout):
                return result
            query = {"after": after, "wait": 1}
            after = httpx.get(f"{self.url}/api/v1/entries", params=query, trust_env=False).json()["data"]["head"]
            result = self.ask(line)
        raise AssertionError(f"{line} never said {condition!r}, but {result.stdout!r} and {result.stderr!r}")

    def stop(self) -> int:
        """SIGTERM, as systemd sends it."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert isinstance(port, int)
        return port


@pytest.fixture(params=["dry-run"])
def service(request: pytest.FixtureRequest, cli: Cli, tmp_path: Path) -> Iterator[Service]:
    """A service in the mode that the test names, in an empty directory, until the test ends."""
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "remediator.yml").write_text(SETTINGS.replace("MODE", request.param))
    address = f"127.0.0.1:{_free_port()}"
    words = ["serve", "--config.file", "remediator.yml", "--web.listen-address", address, "--log.format", "json"]
    process = _started(words, tmp_path)
    try:
        _await_ready(f"http://{address}", process, tmp_path)
        yield Service(process, f"http://{address}", cli)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _started(words: list[str], directory: Path) -> subprocess.Popen[bytes]:
    with (directory / "service.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "remediator", *words], stdout=log, stderr=log, cwd=directory, env=dict(os.environ)
        )


def _await_ready(url: str, process: subprocess.Popen[bytes], directory: Path) -> None:
    transport = httpx.HTTPTransport(retries=8)  # with pauses that double: about a minute in all
    with httpx.Client(transport=transport, trust_env=False) as client:
        response = client.get(f"{url}/-/ready")
    assert response.status_code == 200, (response.text, (directory / "service.log").read_text())
    assert process.poll() is None


def test_a_dry_run_from_alert_to_intact_journal(service: Service, tmp_path: Path) -> None:
    explained = service.ask("explain --alert alertname=HighBounceRate,severity=critical,domain=a.example")
    assert explained.exit_code == 0, explained.stderr
    assert "WOULD RUN" in explained.stdout
    assert "kumomta.suspend" in explained.stdout
    service.alert()
    service.until("simulated", "log")
    incident = service.ask("log -q").stdout.strip()
    story = service.ask(f"log show {incident[:9]}").stdout
    assert "high-bounce-rate · domain=a.example" in story
    assert "would: ok" in story
    assert service.ask("status").exit_code == 0
    exported = [json.loads(line) for line in service.ask("log export").stdout.splitlines()]
    assert [one["id"] for one in exported] == [str(seq) for seq in range(1, len(exported) + 1)]
    assert service.stop() == 0
    assert service.ask("status").exit_code == 4
    verified = service.ask("log verify")
    assert verified.exit_code == 0
    assert verified.stdout.startswith("intact, ")
    offline = service.ask("log export --storage.path data")
    assert [json.loads(line) for line in offline.stdout.splitlines()][: len(exported)] == exported
    assert (tmp_path / "data.key").stat().st_mode & 0o077 == 0


def test_a_pause_holds_an_alert_back_until_it_is_resumed(service: Service) -> None:
    assert service.ask("pause 'database migration' --for 1h").exit_code == 0
    assert "PAUSED      everything by ana until" in service.ask("status").stdout
    service.alert()
    held = service.until("HELD BACK", "status")
    assert "database migration" in held.stdout
    assert service.ask("resume").exit_code == 0
    service.until("simulated", "log")


def test_a_file_pauses_a_service_and_resume_ends_it(service: Service, cli: Cli, tmp_path: Path) -> None:
    away = cli("remediator pause 'no network' --url http://127.0.0.1:9")
    assert away.exit_code == 0
    assert "wrote data/PAUSED" in away.stdout
    service.until("PAUSED .*no network", "status")
    assert service.ask("resume").exit_code == 0
    assert not (tmp_path / "data" / "PAUSED").exists()
    service.until("· running ·", "status")


def test_a_playbook_by_hand_is_on_record_with_its_person(service: Service) -> None:
    started = service.ask("run pause-domain -p domain=b.example -m 'asked by the provider'")
    assert started.exit_code == 0, started.stderr
    assert "by ana" in service.until("closed", f"log show {started.stdout.strip()}").stdout
    wrong = service.ask("run no-such-playbook -m why")
    assert wrong.exit_code == 1
    assert "no-such-playbook" in wrong.stderr


@pytest.mark.parametrize("service", ["approve"], indirect=True)
def test_a_plan_is_approved_by_its_digest_and_rejected_for_good(service: Service) -> None:
    service.alert()
    waiting = service.until("NEEDS YOU", "status")
    assert waiting.exit_code == 1
    incident = service.ask("log -q").stdout.strip()
    refused = service.ask(f"reject {incident} --yes -m 'known outage'")
    assert refused.exit_code == 0, refused.stderr
    assert "a.example" in refused.stdout
    assert "refused by ana: known outage" in service.until("closed", f"log show {incident}").stdout
    assert "was rejected already" in service.ask(f"reject {incident} --yes").stdout
    late = service.ask(f"approve {incident} --yes")
    assert late.exit_code == 1
    assert "does not wait for approval" in late.stderr


def test_the_example_of_serve_works_and_every_flag_is_heard(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "remediator.yml").write_text(SETTINGS.replace("MODE", "auto"))
    example = next(line for line in (serve.epilog or "").splitlines() if line.strip().startswith("remediator "))
    address = f"127.0.0.1:{_free_port()}"
    flags = f"--web.listen-address {address} --storage.path elsewhere --web.external-url http://remediator.example.com"
    words = shlex.split(f"{example} {flags} --log.level warning --log.format logfmt")[1:]
    service = Service(_started(words, tmp_path), f"http://{address}", cli)
    try:
        _await_ready(service.url, service.process, tmp_path)
        status = service.ask("status").stdout
        assert service.ask("pause why").exit_code == 0
        assert service.stop() == 0
    finally:
        service.process.kill()
        service.process.wait()
    log = (tmp_path / "service.log").read_text()
    assert status.startswith("dry-run · ")
    assert (tmp_path / "elsewhere" / "journal.db").exists()
    assert not (tmp_path / "data").exists()
    assert "kind=pause.set" in log
    assert "service.started" not in log


def test_the_example_of_demo_works(tmp_path: Path) -> None:
    example = next(line for line in (demo.epilog or "").splitlines() if line.strip().startswith("remediator "))
    told = subprocess.run(
        [sys.executable, "-m", "remediator", *shlex.split(example)[1:]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        cwd=tmp_path,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "The story came out right." in told.stdout


def test_a_configuration_that_cannot_be_is_told_with_its_place(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "remediator.yml").write_text("mdoe: auto\n")
    result = cli("remediator serve --config.file remediator.yml")
    assert result.exit_code == 1
    assert "remediator.yml:1:1: error[unknown-field]" in result.stderr


def test_the_rules_are_explained_without_a_service(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "remediator.yml").write_text(SETTINGS.replace("MODE", "auto"))
    labels = ",".join(f"{name}={value}" for name, value in ALERT.items())
    line = f"remediator explain --alert {labels} --config.file remediator.yml"
    offline = cli(f"{line} --offline")
    assert offline.exit_code == 0, offline.stderr
    assert "WOULD RUN" in offline.stdout
    fallen_back = cli(f"{line} --url http://127.0.0.1:9")
    assert fallen_back.stdout == offline.stdout
    assert "explaining from remediator.yml instead" in fallen_back.stderr
