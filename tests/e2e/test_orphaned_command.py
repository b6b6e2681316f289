"""SIGKILL while a step's command runs: the next life neither starts it again nor guesses what it did.

The command writes to a ledger of its own when it starts and when it ends, and ends when the test says so.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from remediator.cli.root import root
from remediator.demo.stage import free_port

pytestmark = pytest.mark.e2e

PATIENCE = 30.0
# Why the run waits for a person.
RUNS = "step 1 (Run it) may or may not have happened: the command of the interrupted attempt still runs (it holds its lock)"
ENDED = (
    "step 1 (Run it) may or may not have happened: "
    "no process of the command of the interrupted attempt is left; how it ended is not known"
)
# Ends when the file `go` is there, and in any case after about a minute, so that nothing is left behind.
CHILD = """\
#!/bin/sh
echo start >> "$1/ledger"
left=600
while [ ! -e "$1/go" ] && [ $left -gt 0 ]; do sleep 0.1; left=$((left - 1)); done
echo end >> "$1/ledger"
"""
RULES = """\
version: 1
rules:
  - name: run-it
    match: [alertname = Orphan]
    group_by: [domain]
    mode: auto
    playbook: run-it
playbooks:
  - name: run-it
    steps:
      - name: Run it
        action: command
        with: { argv: [ROOT/child, ROOT] }
        timeout: 2m
"""


@dataclass
class Site:
    """A directory with a service and the program it may start."""

    root: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.write("child", CHILD, 0o700)
        self.write("rules.yml", RULES.replace("ROOT", str(self.root)), 0o600)
        self.write(
            "remediator.yml",
            "mode: auto\nrule_files: [rules.yml]\nstorage: { path: data }\n"
            f'web: {{ listen_address: "127.0.0.1:{self.port}" }}\n'
            f"targets: {{ command: {{ allow: [{self.root}/child] }} }}\n",
            0o600,
        )

    def write(self, name: str, text: str, mode: int) -> None:
        """A file of the site."""
        (self.root / name).write_text(text, encoding="utf-8")
        (self.root / name).chmod(mode)

    def start(self) -> None:
        """Starts the service and waits until it answers."""
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "remediator", "serve", "--config.file", "remediator.yml"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.root,
            )
        self.wait(lambda: self.get("/-/ready").status_code == 200)

    def kill(self) -> None:
        """Kills the service, and only it."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def get(self, path: str) -> httpx.Response:
        """What it answers."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False, timeout=10.0)

    def post(self, path: str, body: object) -> httpx.Response:
        """How it answers to what is sent."""
        return httpx.post(f"http://127.0.0.1:{self.port}{path}", json=body, trust_env=False, timeout=30.0)

    def cli(self, *words: str) -> Result:
        """What a command of ours prints, and how it ends."""
        return CliRunner().invoke(root, [*words, "--url", f"http://127.0.0.1:{self.port}"])

    def fire(self) -> int:
        """Alertmanager posts, of an alert old enough for a step that cannot be taken back."""
        since = datetime.now(tz=UTC) - timedelta(hours=1)
        labels = {"alertname": "Orphan", "domain": "a.example"}
        alert = {"status": "firing", "labels": labels, "annotations": {}, "startsAt": since.isoformat()}
        body = {"version": "4", "groupKey": "{}", "status": "firing", "receiver": "r", "alerts": [alert]}
        return self.post("/api/v1/alerts", body).status_code

    def approve(self) -> bool:
        """A person says yes, as soon as the run asks: a step that cannot be taken back is not taken on trust."""
        asked = self.facts("run.planned")
        if not asked:
            return False
        (fact,) = asked
        body = {"by": "test", "digest": fact["digest"]}
        return self.post(f"/api/v1/incidents/{fact['incident']}/approve", body).status_code < 300

    def wait(self, true: Callable[[], bool]) -> None:
        """Waits until it is so, for as long as the service lives."""
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            with contextlib.suppress(httpx.TransportError):
                if true():
                    return
            assert self.process is not None
            assert self.process.poll() is None, self.log
            time.sleep(0.05)
        raise AssertionError(f"not in time:\n{self.log}\n{self.entries()}")

    @property
    def log(self) -> str:
        """What the service has written."""
        return (self.root / "log").read_text(encoding="utf-8")

    def ledger(self) -> list[str]:
        """What the command itself has put on record."""
        path = self.root / "ledger"
        return path.read_text(encoding="utf-8").split() if path.exists() else []

    def entries(self) -> list[dict[str, object]]:
        """The journal, by the API."""
        found = self.get("/api/v1/entries?after=0").json()["data"]["entries"]
        assert isinstance(found, list)
        return found

    def facts(self, kind: str) -> list[dict[str, object]]:
        """What the entries of one kind say."""
        found = [entry["fact"] for entry in self.entries() if entry["kind"] == kind]
        return [fact for fact in found if isinstance(fact, dict)]

    def incident(self) -> str:
        """The one incident's name."""
        (fact,) = self.facts("run.planned")
        return str(fact["incident"])

    def waits_for_a_person(self) -> bool:
        """Whether the run is parked, by the metrics."""
        return "\nremediator_needs_person 1.0\n" in self.get("/metrics").text


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site whose command runs; the command and the service are ended."""
    built = Site(tmp_path)
    try:
        built.start()
        assert built.fire() == 202
        built.wait(built.approve)
        built.wait(lambda: built.ledger() == ["start"])
        yield built
    finally:
        built.write("go", "", 0o600)
        if built.process is not None:
            built.kill()


def let_it_end(site: Site) -> None:
    """The command comes to its end, whoever waits for it."""
    site.write("go", "", 0o600)
    limit = time.monotonic() + PATIENCE
    while site.ledger()[-1:] != ["end"]:
        assert time.monotonic() < limit, site.ledger()
        time.sleep(0.05)


def told_everywhere(site: Site, reason: str) -> None:
    """The reason stands in the journal, the log, the API, the console and what the commands print."""
    name = site.incident()
    assert [fact["reason"] for fact in site.facts("run.parked")] == [reason]
    assert [fact["reason"] for fact in site.facts("incident.escalated")] == [reason]
    places = {
        "log": site.log,
        "api": site.get(f"/api/v1/incidents/{name}").text,
        "console": unescape(site.get(f"/incidents/{name}").text),
        "log show": " ".join(site.cli("log", "show", name).output.split()),
        "status": site.cli("status", "-o", "json").output,
    }
    assert {place for place, text in places.items() if reason in text} == set(places)


def test_a_command_that_outlives_a_crash_is_not_started_again_and_a_person_is_told(site: Site) -> None:
    site.kill()
    site.start()
    site.wait(site.waits_for_a_person)
    told_everywhere(site, RUNS)
    order = {"decision": "continue", "by": "ana", "reason": "it did not happen"}
    refused = site.post(f"/api/v1/incidents/{site.incident()}/decide", order)
    assert refused.status_code == 409
    assert "still runs (it holds its lock), so it is not made again: wait for its end" in refused.text
    assert not site.facts("person.decided")
    assert site.ledger() == ["start"]

    let_it_end(site)
    site.kill()
    site.start()
    site.wait(site.waits_for_a_person)
    assert site.ledger() == ["start", "end"], "one start in two further lives"
    assert len(site.facts("step.intent")) == 1
    ordered = site.cli("decide", site.incident(), "continue", "-m", "it did half of it", "--by", "ana")
    assert ordered.exit_code == 0, ordered.output
    site.wait(lambda: bool(site.facts("run.ended")))
    assert site.ledger() == ["start", "end"] * 2, "one more, by a person's order"
    assert [fact.get("by", "") for fact in site.facts("step.intent")] == ["", "ana"]


def test_a_command_that_ended_while_nobody_watched_is_not_started_again_and_a_person_is_told(site: Site) -> None:
    site.kill()
    let_it_end(site)
    site.start()
    site.wait(site.waits_for_a_person)
    told_everywhere(site, ENDED)
    assert site.ledger() == ["start", "end"]
    assert len(site.facts("step.intent")) == 1
