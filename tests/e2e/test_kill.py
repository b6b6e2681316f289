"""SIGKILL before and after every append, then a restart: the target must have received exactly the effects of one run.

One stage (simulated kumod with its own fsynced ledger, real Prometheus) serves many places; each place has a domain and a
journal of its own, so that effects cannot be mixed up. The ledger is the target's, never ours.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from remediator.demo.stage import NODE, Stage, free_port
from tests.kit.histories import History, from_kumod, from_sqlite
from tests.kit.history import judge

# From the first entry of the service to the conclusion of the verification; the run's last word is append 13 or 14.
PLACES = [(number, when) for number in range(2, 13) for when in ("before", "after")]
ONCE = ["POST /api/admin/suspend/v1", "DELETE /api/admin/suspend/v1", "POST /api/admin/rebind/v1"]
DYING = Path(__file__).with_name("serve_and_die.py")

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
        undo: { after: 10m }
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
    when: str
    port: int
    process: subprocess.Popen[bytes] | None = None
    acks: list[object] = field(default_factory=list)  # what was answered with 202

    @property
    def domain(self) -> str:
        """What only this place touches."""
        return f"d{self.number}-{self.when}.example"

    @property
    def url(self) -> str:
        """Where this place's service answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, doomed: str) -> None:
        """Starts the service, to die at its place (`yes`) or to live (`no`)."""
        settings = str(self.root / "remediator.yml")
        living = ["-m", "remediator", "serve", "--config.file", settings]
        dying = [str(DYING), settings, str(self.number), self.when]
        with (self.root / "log").open("ab") as log:
            command = [sys.executable, *(dying if doomed == "yes" else living)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def ready(self) -> None:
        """Waits until it answers."""
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

    def done(self) -> bool:
        """Whether the incident has its last word."""
        status = httpx.get(f"{self.url}/api/v1/status", trust_env=False, timeout=5.0).json()["data"]
        busy = status["pending"] or status["running"] or status["held_back"]
        rows = httpx.get(f"{self.url}/api/v1/incidents", trust_env=False, timeout=5.0).json()["data"]["incidents"]
        return bool(rows) and not busy

    def take_back(self) -> None:
        """What a person does: takes back what the run left behind, now."""
        (row,) = httpx.get(f"{self.url}/api/v1/incidents", trust_env=False, timeout=5.0).json()["data"]["incidents"]
        url = f"{self.url}/api/v1/incidents/{row['incident']}/undo"
        httpx.post(url, json={"by": "test"}, trust_env=False, timeout=30.0).raise_for_status()

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


def make_place(stage: Stage, number: int, when: str) -> Place:
    """A place with a journal and settings of its own."""
    root = stage.root / f"place-{number}-{when}"
    place = Place(stage=stage, root=root, number=number, when=when, port=free_port())
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
    """What the target applied for this place's domain, in order, by the target's own ledger."""
    lines = [json.loads(text) for text in place.stage.ledger.read_text(encoding="utf-8").splitlines()]
    applied = [line for line in lines if line["applied"] and isinstance(line["body"], dict)]
    ours = {line["id"] for line in applied if line["body"].get("domain") == place.domain and line.get("id")}
    return [
        f"{line['method']} {line['path']}"
        for line in applied
        if line["body"].get("domain") == place.domain or line["body"].get("id") in ours
    ]


def deliver(place: Place) -> None:
    """What Alertmanager does: sends until it is accepted, or the receiver is dead."""
    assert place.process is not None
    while place.process.poll() is None:
        sent = alert(place)
        try:
            answer = httpx.post(f"{place.url}/api/v1/alerts", json=sent, trust_env=False, timeout=10.0)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            if answer.status_code == 202:
                place.acks.append(sent)
                return


def play(stage: Stage, number: int, when: str) -> tuple[int, list[str], list[str]]:
    """One place: deliver, die there, restart, deliver again, wait; how it died, what the target received, the results."""
    place = make_place(stage, number, when)
    place.start(doomed="yes")
    assert place.process is not None
    try:
        deliver(place)
        limit = time.monotonic() + 60
        while place.process.poll() is None and time.monotonic() < limit:
            if finished(place):
                break
            time.sleep(0.05)
        status = place.process.poll()
        if status is not None:
            place.start(doomed="no")
            place.ready()
            deliver(place)
            place.wait(place.done, within=60)
        place.take_back()
        judged(place)
        return status or 0, effects(place), place.results()
    finally:
        place.process.kill()
        place.process.wait()


def judged(place: Place) -> None:
    """The journal, the target's ledger and what was accepted, by the checker that shares no code with us."""
    arrivals = from_kumod(
        place.stage.ledger.read_text(encoding="utf-8").splitlines(), lambda body: body.get("domain") == place.domain
    )
    lines = from_sqlite(place.root / "data" / "journal.db")
    found = judge(History(lines=lines, arrivals=list(arrivals), acks=place.acks))
    assert not found, f"{place.number} {place.when}: " + "\n".join(map(str, found))


def finished(place: Place) -> bool:
    """Whether the run came to its end without dying."""
    try:
        return place.done()
    except httpx.HTTPError:
        return False


@pytest.mark.e2e
@pytest.mark.heavy
def test_kill_minus_nine_at_every_append_leaves_the_effects_of_exactly_one_run(stage: Stage) -> None:
    with ThreadPoolExecutor(max_workers=4) as pool:
        played = list(pool.map(lambda at: play(stage, *at), PLACES))
    for at, (status, seen, results) in zip(PLACES, played, strict=True):
        assert seen == ONCE, f"{at}, status {status}: {seen}"
        assert results == ["recovered"], f"{at}, status {status}: {results}"
    left = httpx.get(f"http://127.0.0.1:{stage.ports.kumod}/api/admin/suspend/v1", trust_env=False).json()
    assert left == [], "every suspension was taken back"
    killed = [status for status, _, _ in played if status == -signal.SIGKILL]
    assert len(killed) == len(PLACES) >= 20, f"{len(killed)} places were real"
