"""Failures that others had (reference: peers.md), against the real service: what cannot be seen is never called a success.

F8: no data was taken for a cure. F15: lost telemetry "resolved" the alert. F20: the stop needed what was down.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.houses import UNBRAKED, Answers, House, free_port, notification, target

pytestmark = pytest.mark.e2e

SEEN = ("empty", "nan", "status_503", "timeout", "stale")
RULES = """version: 1
rules:
  - name: order
    mode: auto
    match: [act = yes]
    group_by: [domain]
    guards: { cooldown: 0s, blast_radius: 100 per 1h, concurrency: 20, breaker: { failures: 100, pause: 1h },
              waves: { first: 20 }, max_targets: 20, irreversible_after: 0s }
    when: { expr: 'bouncing{domain="{{ labels.domain }}"} > 0' }
    playbook: see
    with: { domain: "{{ labels.domain }}" }
playbooks:
  - name: see
    params: { domain: domain }
    steps: [{ name: Order, action: http, with: { url: "http://127.0.0.1:@target@/order" } }]
    verify:
      - { expr: 'bounces{domain="{{ params.domain }}"} < 1', within: 3s, every: 1s, samples: 1 }
"""


class Prometheus(Answers):
    """A Prometheus that fails in the way that the question names."""

    def asked(self, query: str) -> None:
        """Says that mail bounces; whether it still does, it answers by the domain in the question."""
        if "bouncing{" in query or '"about"' in query:
            super().asked(query)
        elif "status_503" in query.replace("-", "_"):
            self.answer({"status": "error", "errorType": "unavailable", "error": "starting"}, status=503)
        elif "timeout" in query:
            time.sleep(3.0)
            self.answer(self.yes())
        elif "nan" in query:
            now = datetime.now(tz=UTC).timestamp() + 1
            self.answer(self.yes(f"{now}") if "timestamp" in query else self.yes("NaN"))
        elif "stale" in query:
            old = datetime.now(tz=UTC).timestamp() - 3600
            self.answer(self.yes(f"{old}", age=3600.0) if "timestamp" in query else self.yes("0", age=3600.0))
        else:
            self.answer({"status": "success", "data": {"resultType": "vector", "result": []}})


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A service whose Prometheus has nothing to say."""
    with target(Prometheus) as there:
        settings = (
            f'mode: auto\nprometheus: {{ url: "http://127.0.0.1:{there.port}", timeout: 1s }}\n'
            f"limits: {{ grace: 2s, max_runs: 50, {UNBRAKED} }}\n"
            f'targets: {{ http: {{ allow: ["http://127.0.0.1:{there.port}/"] }} }}\n'
        )
        built = House(tmp_path_factory.mktemp("house"), settings, RULES.replace("@target@", str(there.port)))
        try:
            built.start()
            yield built
        finally:
            built.end()


def post(house: House, body: dict[str, object]) -> None:
    httpx.post(f"{house.url}/api/v1/alerts", json=body, trust_env=False, timeout=10.0).raise_for_status()


def entries(house: House, domain: str) -> list[dict[str, Any]]:
    """The entries of the incident on this domain."""
    told = httpx.get(f"{house.url}/api/v1/entries?after=0&limit=1000", trust_env=False, timeout=10.0).json()
    rows: list[dict[str, Any]] = told["data"]["entries"]
    mine = {
        row["incident"]
        for row in rows
        if row["kind"] == "incident.opened" and row["fact"]["target"]["domain"] == domain
    }
    return [row for row in rows if row.get("incident") in mine]


def kinds(house: House, domain: str) -> list[str]:
    return [row["kind"] for row in entries(house, domain)]


def ended(house: House, domain: str) -> dict[str, Any]:
    """The last word on the run on this domain."""
    house.wait(lambda: "incident.closed" in kinds(house, domain))
    (end,) = [row["fact"] for row in entries(house, domain) if row["kind"] == "run.ended"]
    return dict(end)


@pytest.fixture(scope="module")
def fired(house: House) -> House:
    """All ways to fail at once."""
    post(house, notification(*({"act": "yes", "domain": f"{name.replace('_', '-')}.example"} for name in SEEN)))
    return house


@pytest.mark.parametrize("name", SEEN)
def test_f08_a_prometheus_that_cannot_tell_is_unknown_and_no_success_and_people_are_called(
    fired: House, name: str
) -> None:
    domain = f"{name.replace('_', '-')}.example"
    end = ended(fired, domain)
    assert end["result"] == "unverified", end
    (told,) = [row["fact"] for row in entries(fired, domain) if row["kind"] == "verify.concluded"]
    assert told["verdict"] == "unknown", told
    assert "incident.escalated" in kinds(fired, domain)


def test_f15_resolved_and_an_absent_metric_could_not_tell(house: House) -> None:
    body: dict[str, Any] = notification({"act": "yes", "domain": "gone.example"})
    post(house, body)
    house.wait(lambda: "verify.started" in kinds(house, "gone.example"))
    (alert,) = body["alerts"]
    now = datetime.now(tz=UTC).isoformat()
    post(house, {**body, "status": "resolved", "alerts": [{**alert, "status": "resolved", "endsAt": now}]})
    end = ended(house, "gone.example")
    assert end["result"] == "unverified", end
    (closed,) = [row["fact"] for row in entries(house, "gone.example") if row["kind"] == "incident.closed"]
    assert closed["result"] == "unverified", "a resolved message alone proves nothing"
    assert "incident.escalated" in kinds(house, "gone.example")


def test_f20_pause_and_log_work_while_redis_prometheus_and_alertmanager_are_down(tmp_path: Path) -> None:
    settings = (
        f'mode: auto\nprometheus: {{ url: "http://127.0.0.1:{free_port()}" }}\n'
        f'alertmanager: {{ url: "http://127.0.0.1:{free_port()}" }}\n'
        f'targets: {{ redis: {{ cache: {{ url: "redis://127.0.0.1:{free_port()}" }} }}, '
        'http: { allow: ["http://127.0.0.1:9/"] } }\n'
    )
    house = House(tmp_path, settings, RULES.replace("@target@", "9"))
    try:
        house.start()
        post(house, notification({"act": "yes", "domain": "a.example"}))
        house.wait(lambda: "run.decided" in kinds(house, "a.example"))
        paused = cli(house, "pause", "look first", "--by", "ana", "--url", house.url)
        assert "paused until somebody resumes: look first" in paused
        assert "pause.set" in cli(house, "log", "export", "--url", house.url)
    finally:
        house.end()
    assert "pause.set" in cli(house, "log", "export", "--storage.path", "data"), "and without a service"


def cli(house: House, *words: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "remediator", *words],
        capture_output=True, text=True, timeout=60, cwd=house.root, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
