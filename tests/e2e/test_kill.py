"""SIGKILL in the middle of everything, then a restart: the target must have received exactly the effects of one run.

One stage (simulated kumod with its own fsynced ledger, real Prometheus) serves many places; each place has a domain and a
journal of its own, so that effects cannot be mixed up. The ledger is the target's, never ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from remediator.demo.stage import NODE, Stage, free_port

PLACES = range(2, 27)

RULES = """version: 1
rules:
  - name: suspend-domain
    mode: auto
    match: [alertname = KillTest]
    group_by: [instance, domain]
    when: { expr: 'up{instance="{{ labels.instance }}"} == 1' }
    playbook: suspend
    with: { node: "{{ labels.instance }}", domain: "{{ labels.domain }}" }
playbooks:
  - name: suspend
    params: { node: name, domain: domain }
    steps:
      - name: Suspend
        action: kumomta.suspend
        with: { node: "{{ params.node }}", domain: "{{ params.domain }}", reason: kill test }
        timeout: 2s
        undo: { after: 4s }
      - name: Report
        action: kumomta.queue_report
        with: { node: "{{ params.node }}" }
        timeout: 2s
        on_error: continue
    verify:
      - { expr: 'up{instance="{{ params.node }}"} == 1', within: 30s, every: 500ms, samples: 2 }
"""


@dataclass
class Place:
    """One journal, one domain, one kill."""

    stage: Stage
    root: Path
    number: int
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def domain(self) -> str:
        """What only this place touches."""
        return f"d{self.number}.example"

    @property
    def url(self) -> str:
        """Where this place's service answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts the service, also after the kill."""
        log = (self.root / "log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "remediator", "serve", "--config.file", str(self.root / "remediator.yml")],
            stdout=log,
            stderr=log,
        )
        log.close()
        self.wait(lambda: httpx.get(f"{self.url}/-/ready", trust_env=False).status_code == 200)

    def wait(self, true: object, within: float = 40.0) -> None:
        """Waits until `true()`."""
        assert callable(true)
        limit = time.monotonic() + within
        while time.monotonic() < limit:
            try:
                if true():
                    return
            except httpx.HTTPError:
                pass
            assert self.process is not None
            assert self.process.poll() is None, (self.root / "log").read_text(encoding="utf-8")
            time.sleep(0.02)
        raise AssertionError(f"place {self.number}: not in time\n{(self.root / 'log').read_text(encoding='utf-8')}")

    def head(self) -> int:
        """How many entries the journal has."""
        answer = httpx.get(f"{self.url}/api/v1/status", trust_env=False, timeout=5.0)
        entries: int = answer.json()["data"]["entries"]
        return entries

    def done(self) -> bool:
        """Whether the incident has its last word and nothing is left to be taken back."""
        status = httpx.get(f"{self.url}/api/v1/status", trust_env=False, timeout=5.0).json()["data"]
        busy = status["pending"] or status["running"] or status["held_back"] or status["undos"]
        rows = httpx.get(f"{self.url}/api/v1/incidents", trust_env=False, timeout=5.0).json()["data"]["incidents"]
        return bool(rows) and not busy

    def results(self) -> list[str]:
        """The results of all incidents."""
        rows = httpx.get(f"{self.url}/api/v1/incidents", trust_env=False, timeout=5.0).json()["data"]["incidents"]
        return [row["result"] for row in rows]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The neighbours, once for all places."""
    root = tmp_path_factory.mktemp("stage")
    built = Stage(root)
    built.write_files()
    try:
        built.start_neighbours()
        yield built
    finally:
        built.strike()


def make_place(stage: Stage, number: int) -> Place:
    """A place with a journal and settings of its own."""
    place = Place(stage=stage, root=stage.root / f"place-{number}", number=number, port=free_port())
    place.root.mkdir()
    (place.root / "rules.yml").write_text(RULES, encoding="utf-8")
    (place.root / "remediator.yml").write_text(
        f"mode: auto\nrule_files: [rules.yml]\nstorage: {{ path: {place.root}/data }}\n"
        f'web: {{ listen_address: "127.0.0.1:{place.port}" }}\n'
        f'prometheus: {{ url: "http://127.0.0.1:{stage.ports.prometheus}" }}\n'
        f'targets: {{ kumomta: {{ nodes: {{ {NODE}: {{ url: "http://127.0.0.1:{stage.ports.kumod}" }} }} }} }}\n',
        encoding="utf-8",
    )
    for path in place.root.iterdir():
        path.chmod(0o600)
    return place


def alert(place: Place) -> dict[str, object]:
    """The notification that Alertmanager would send."""
    labels = {"alertname": "KillTest", "instance": NODE, "domain": place.domain}
    now = datetime.now(tz=UTC).isoformat()
    firing = {
        "status": "firing",
        "labels": labels,
        "annotations": {},
        "startsAt": now,
        "endsAt": "0001-01-01T00:00:00Z",
    }
    return {"version": "4", "receiver": "r", "groupKey": "g", "status": "firing", "alerts": [firing]}


def effects(place: Place) -> list[str]:
    """What the target applied for this place's domain, by the target's own ledger."""
    lines = [json.loads(text) for text in place.stage.ledger.read_text(encoding="utf-8").splitlines()]
    mine = [line for line in lines if line["applied"]]
    ids = {
        line.get("id") for line in mine if isinstance(line["body"], dict) and line["body"].get("domain") == place.domain
    }
    return [
        f"{line['method']} {line['path']}"
        for line in mine
        if isinstance(line["body"], dict)
        and (line["body"].get("domain") == place.domain or line["body"].get("id") in ids - {None})
    ]


def play(stage: Stage, number: int) -> tuple[int, list[str], list[str]]:
    """One place: deliver, kill when the journal has `number` entries, restart, wait; what the target received."""
    place = make_place(stage, number)
    place.start()
    assert place.process is not None
    try:
        answer = httpx.post(f"{place.url}/api/v1/alerts", json=alert(place), trust_env=False, timeout=10.0)
        assert answer.status_code == 202
        place.wait(lambda: place.head() >= number or place.done())
        killed_at = place.head()
        place.process.kill()
        place.process.wait()
        place.start()
        place.wait(place.done, within=60)
        return killed_at, effects(place), place.results()
    finally:
        place.process.kill()
        place.process.wait()


@pytest.mark.e2e
def test_kill_minus_nine_anywhere_leaves_the_effects_of_exactly_one_run(stage: Stage) -> None:
    with ThreadPoolExecutor(max_workers=4) as pool:
        played = list(pool.map(lambda number: play(stage, number), PLACES))
    once = ["POST /api/admin/suspend/v1", "DELETE /api/admin/suspend/v1", "POST /api/admin/rebind/v1"]
    for number, (killed_at, seen, results) in zip(PLACES, played, strict=True):
        assert seen == once, f"place {number}, killed at entry {killed_at}: {seen}"
        assert results == ["recovered"], f"place {number}, killed at entry {killed_at}: {results}"
    assert len({killed_at for killed_at, _, _ in played}) >= 20, "at least 20 different places"
