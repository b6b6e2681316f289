"""Dry-run touches nothing (G9), by the kernel's account: every playbook that is shipped, and one with every other action.

The service runs under `strace`; the same playbooks in live mode are the control and must trip every wire they should.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from tests.kit.houses import UNBRAKED, House, Target, free_port, kumod, target
from tests.kit.wires import BEGIN, CALLS, END, STRACE, Tripped, wires

pytestmark = pytest.mark.e2e

TOP = Path(__file__).parents[2]
EVERYTHING = """version: 1
rules: []
playbooks:
  - name: a-request
    params: { domain: domain }
    steps: [{ name: Call, action: http, with: { url: "http://127.0.0.1:@target@/call" } }]
    verify: [{ expr: vector(1), within: 2s, every: 1s, samples: 1 }]
  - name: a-program
    params: { domain: domain }
    steps: [{ name: Start, action: command, with: { argv: [/bin/echo, "{{ params.domain }}"] } }]
    verify: [{ expr: vector(1), within: 2s, every: 1s, samples: 1 }]
  - name: a-silence
    params: { domain: domain }
    steps:
      - name: Silence
        action: alertmanager.silence
        with: { labels: { domain: "{{ params.domain }}" }, reason: a test }
        undo: { after: 1h }
    verify: [{ expr: vector(1), within: 2s, every: 1s, samples: 1 }]
  - name: a-cache
    params: { domain: domain }
    steps:
      - name: Configure
        action: redis.config_set
        with: { server: cache, parameter: timeout, value: "300" }
        undo: { after: 1h }
    verify: [{ expr: vector(1), within: 2s, every: 1s, samples: 1 }]
"""
# What each playbook does to the world when it is meant: the wires that the control must trip.
LIVE = {
    "pause-and-throttle-domain": {"connect", "send", "file"},
    "raise-sending-rate": {"connect", "file"},
    "restart-kumod": {"connect"},
    "rotate-away-from-address": {"connect"},
    "pause-campaign": {"connect", "send"},
    "relieve-node": {"connect"},
    "delivery-report": {"connect"},
    "complaint-report": set(),
    "check-alert": {"connect"},
    "a-request": {"connect", "send"},
    "a-program": {"process"},
    "a-silence": {"connect", "send"},
    "a-cache": {"connect"},
}
BOOKS = {
    "shipped, and every other action": TOP / "rules" / "incidents.yml",
    "demo": TOP / "remediator/demo/files/rules.yml",
}
WORDS = {"node": "mta1", "ip": "192.0.2.10", "campaign": "spring", "alert": "Other"}
DOMAINS = {"raise-sending-rate": "yahoo.com"}  # else its lock would be held by the run before


def settings(mode: str, prometheus: int, there: int, kumo: int) -> str:
    """Every neighbour that a playbook could touch."""
    return f"""mode: {mode}
limits: {{ grace: 2s, max_runs: 50, {UNBRAKED} }}
prometheus: {{ url: "http://127.0.0.1:{prometheus}" }}
alertmanager: {{ url: "http://127.0.0.1:{there}" }}
targets:
  kumomta:
    nodes: {{ mta1: {{ url: "http://127.0.0.1:{kumo}" }} }}
    shaping_files: {{ mta1: kumod/shaping.toml }}
    sources: {{ 192.0.2.10: {{ node: mta1, source: ip-1 }} }}
  docker: {{ socket: docker.sock, allow: [mta1] }}
  redis: {{ cache: {{ url: "redis://127.0.0.1:{free_port()}" }} }}
  http: {{ allow: ["http://127.0.0.1:{there}/"] }}
  command: {{ allow: [/bin/echo] }}
"""


@contextmanager
def playing(root: Path, book: str, mode: str) -> Iterator[tuple[House, Target, frozenset[int]]]:
    """A service under strace with one book of rules, among its neighbours; the target, and whom a dry run may ask."""
    (root / "kumod").mkdir(parents=True)
    with target() as prometheus, target() as there, kumod(root / "kumod", "mta1") as kumo:
        rules = yaml.safe_load(BOOKS[book].read_text(encoding="utf-8"))
        if book != "demo":
            rules["playbooks"] += yaml.safe_load(EVERYTHING.replace("@target@", str(there.port)))["playbooks"]
        house = House(root, settings(mode, prometheus.port, there.port, kumo), json.dumps(rules))
        try:
            house.start(*STRACE, "-e", f"trace={CALLS}", "-o", str(root / "trace"))
            # In a dry run steps of class `read` are done for real: the neighbours may be asked, never told.
            asked = {prometheus.port, kumo, there.port} if mode == "dry-run" else {prometheus.port}
            yield house, there, frozenset(asked)
        finally:
            house.end()


def play(house: House, asked: frozenset[int]) -> dict[str, list[Tripped]]:
    """Runs every playbook by hand, one after the other; the wires that tripped, by playbook."""
    told = yaml.safe_load((house.root / "rules.yml").read_text(encoding="utf-8"))
    found = {}
    for playbook in told["playbooks"]:
        name = playbook["name"]
        words = {**WORDS, "domain": DOMAINS.get(name, "gmail.com")}
        params = {param: words[param] for param in playbook.get("params", {})}
        mark(house, f"{BEGIN}/{name}")
        answer = httpx.post(
            f"{house.url}/api/v1/run",
            json={"playbook": name, "params": params, "by": "ana", "reason": "to see"},
            trust_env=False,
            timeout=30.0,
        )
        assert answer.status_code == 200, answer.text
        incident = answer.json()["data"]["incident"]
        house.wait(lambda incident=incident: stepped(house, incident))  # type: ignore[misc]
        mark(house, f"{END}/{name}")
        found[name] = (BEGIN + "/" + name, END + "/" + name)
    house.stop()
    lines = (house.root / "trace").read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: wires(cut(lines, *marks), house.root / "data", asked) for name, marks in found.items()}


def cut(lines: list[str], begin: str, end: str) -> list[str]:
    """The part of a trace that belongs to one playbook, with its marks."""
    first = next(place for place, line in enumerate(lines) if begin + " " in line)
    last = next(place for place, line in enumerate(lines) if end + " " in line)
    return lines[first : last + 1]


def mark(house: House, path: str) -> None:
    """Leaves a mark in the trace."""
    httpx.get(f"{house.url}{path}", trust_env=False, timeout=30.0)


def stepped(house: House, incident: str) -> bool:
    """Whether all steps of the incident's run are behind it."""
    found = httpx.get(f"{house.url}/api/v1/entries?after=0&limit=1000", trust_env=False, timeout=30.0).json()["data"]
    kinds = [one["kind"] for one in found["entries"] if one.get("incident") == incident]
    return bool({"run.ended", "verify.started", "run.parked"} & set(kinds))


@pytest.mark.parametrize("book", BOOKS)
def test_a_dry_run_trips_no_wire_of_the_kernel(tmp_path: Path, book: str) -> None:
    with playing(tmp_path / "house", book, "dry-run") as (house, there, asked):
        found = play(house, asked)
        assert set(found) <= set(LIVE), "a new playbook: say in LIVE what it does when it is meant"
        assert {name: list(map(str, tripped)) for name, tripped in found.items() if tripped} == {}
        assert not there.arrivals
        assert not (house.root / "kumod" / "kumod.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("book", BOOKS)
def test_the_same_playbooks_live_trip_every_wire_they_should(tmp_path: Path, book: str) -> None:
    with playing(tmp_path / "house", book, "auto") as (house, _there, asked):
        found = play(house, asked)
    for name, tripped in found.items():
        assert {one.wire for one in tripped} >= LIVE[name], f"{name}: {list(map(str, tripped))}"
