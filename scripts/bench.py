"""`make bench`: throughput, latency, memory and matching, as ratios within one run (these machines are noisy).

The bare server is uvicorn with starlette, same event loop and parser, that answers 202 without reading the body. The load
is wrk with 16 connections, one alert a request, every alert distinct. Nothing here asserts a time; it prints a table.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import httpx

from remediator.core.alerts import Alert, AlertStatus, Notification
from remediator.core.matchers import parse_matchers
from remediator.core.planning import Planner, dispose
from remediator.core.rendering import parse_template
from remediator.core.rules import Mode, Playbook, Rule, Ruleset, Rung
from remediator.core.state import State

ROOT = Path(__file__).resolve().parent.parent
# Seconds of a burst and of sustained load; bursts to a service; services.
BURST, SUSTAINED, TURNS, SERVICES = 1, 5, 4, 3
CONNECTIONS = 16
# What ansible-rulebook's in-memory intake did beside a bare floor on the machine where both were measured.
PEER_PER_S, PEER_BARE_PER_S = 1_360.0, 19_000.0

BARE = """
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
import sys, uvicorn
async def taken(request): return Response(status_code=202)
uvicorn.run(Starlette(routes=[Route("/api/v1/alerts", taken, methods=["POST"])]), host="127.0.0.1", port=int(sys.argv[1]),
            http="httptools", loop="asyncio", log_level="warning", access_log=False)
"""

LUA = """
local n = 0
local id = 0
function setup(thread) id = id + 1; thread:set("id", id) end
function request()
  n = n + 1
  local body = string.format('{"receiver":"r","status":"firing","alerts":[{"status":"firing",'
    .. '"labels":{"alertname":"BenchAlert","severity":"critical","instance":"mta%d-%d","domain":"example.com"},'
    .. '"annotations":{"summary":"a summary of usual length"},'
    .. '"startsAt":"2026-11-24T11:02:04.2Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://prometheus.example:9090/graph",'
    .. '"fingerprint":"0123456789abcdef"}],"groupLabels":{},"commonLabels":{},"commonAnnotations":{},'
    .. '"externalURL":"http://alertmanager.example:9093","version":"4","groupKey":"{}:{}","truncatedAlerts":0}', id, n)
  return wrk.format("POST", "/api/v1/alerts", {["Content-Type"] = "application/json"}, body)
end
"""

RULES = """version: 1
rules:
  - name: bench
    match: [alertname = SomethingElse]
    group_by: [instance]
    playbook: nothing
playbooks:
  - name: nothing
    params: {}
    steps: [{ name: wait, action: wait, with: { seconds: 1s } }]
    verify: [{ expr: up == 1, within: 1m }]
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw."""

    per_s: float
    p99_ms: float
    errors: int


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(command: list[str], port: int, path: str) -> subprocess.Popen[bytes]:
    """A server process that answers on `path`."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    for _ in range(200):
        try:
            httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return process
    process.kill()
    raise SystemExit(f"{command[-1]} does not answer:\n{process.communicate()[1].decode()}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that was started here."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=40)
    except subprocess.TimeoutExpired:
        process.kill()
    if process.stderr is not None:
        process.stderr.close()


def load(port: int, script: Path, seconds: int) -> Load:
    """wrk against one server."""
    text = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script), f"http://127.0.0.1:{port}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    per_s = float(found(r"Requests/sec:\s+([\d.]+)", text))
    amount, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    p99 = float(amount) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Load(per_s, p99, int(bad.group(1)) if bad else 0)


def found(pattern: str, text: str) -> str:
    """The first group of `pattern`."""
    match = re.search(pattern, text)
    if match is None:
        raise SystemExit(f"wrk printed no {pattern}:\n{text}")
    return match.group(1)


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(found(r"VmRSS:\s+(\d+)", status)) / 1024


def settings(root: Path, port: int, rules: str = RULES) -> Path:
    """A settings file for a service in dry-run."""
    (root / "rules.yml").write_text(rules, encoding="utf-8")
    file = root / "remediator.yml"
    file.write_text(
        f"mode: dry-run\nrule_files: [rules.yml]\nstorage: {{ path: {root}/data }}\n"
        f'web: {{ listen_address: "127.0.0.1:{port}" }}\nprometheus: {{ url: "http://127.0.0.1:1" }}\n',
        encoding="utf-8",
    )
    for path in (root / "rules.yml", file):
        path.chmod(0o600)
    return file


def serve(root: Path, rules: str = RULES) -> tuple[subprocess.Popen[bytes], int]:
    """remediator on an empty journal."""
    port = free_port()
    root.mkdir(parents=True)
    config = settings(root, port, rules)
    command = [sys.executable, "-m", "remediator", "serve", "--config.file", str(config), "--log.level", "error"]
    return start(command, port, "/-/healthy"), port


def bench_intake(root: Path) -> None:
    """Durable acks against the bare floor, in short turns one after the other, so that both meet the same noise."""
    script = root / "load.lua"
    script.write_text(LUA, encoding="ascii")
    bare_port = free_port()
    bare = start([sys.executable, "-c", BARE, str(bare_port)], bare_port, "/api/v1/alerts")
    bursts: list[tuple[Load, Load]] = []
    sustained: list[tuple[Load, Load]] = []
    try:
        for service in range(SERVICES):
            process, port = serve(root / f"intake-{service}")
            if service == 0:
                time.sleep(2)
                print(f"idle RSS                                  {rss_mib(process.pid):8.0f} MiB    (≤ 110)")
            bursts += [(load(bare_port, script, BURST), load(port, script, BURST)) for _ in range(TURNS)]
            sustained.append((load(bare_port, script, SUSTAINED), load(port, script, SUSTAINED)))
            stop(process)
    finally:
        stop(bare)
    report(f"bursts of {BURST} s", bursts)
    report(f"sustained, {SUSTAINED} s", sustained)


def report(what: str, pairs: list[tuple[Load, Load]]) -> None:
    """The medians, and the median of what each turn came to against the bare turn beside it."""
    shares = [ours.per_s / floor.per_s for floor, ours in pairs]
    tails = [ours.p99_ms / floor.p99_ms for floor, ours in pairs]
    bare_per_s, per_s = median([floor.per_s for floor, _ in pairs]), median([ours.per_s for _, ours in pairs])
    peer = PEER_PER_S / PEER_BARE_PER_S
    print(f"── {what}")
    print(f"bare uvicorn + starlette                  {bare_per_s:8.0f} /s     (median of {len(pairs)} turns)")
    print(f"durable acks, 16 connections              {per_s:8.0f} /s")
    print(f"  share of bare, from {min(shares):.2f} to {max(shares):.2f}        {median(shares):8.2f}        (≥ 0.40)")
    print(f"  times ansible-rulebook's share of bare  {median(shares) / peer:8.1f}        (≥ 4)")
    print(f"  p99 against bare                        {median(tails):8.1f}        (≤ 12)")
    print(f"  answers that were not 2xx               {sum(ours.errors for _, ours in pairs):8d}        (0)")


def median(values: list[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def bench_memory(root: Path) -> None:
    """10,000 distinct firing alerts, a hundred to a notification; then the same memory once they are planned."""
    rules = RULES.replace("SomethingElse", "BenchAlert")
    process, port = serve(root / "memory", rules)
    try:
        with httpx.Client(trust_env=False, timeout=30) as client:
            for turn in range(100):
                alerts = [firing(f"mta{turn}-{place}") for place in range(100)]
                body = {"version": "4", "receiver": "r", "groupKey": "g", "alerts": alerts}
                client.post(f"http://127.0.0.1:{port}/api/v1/alerts", json=body).raise_for_status()
            while client.get(f"http://127.0.0.1:{port}/api/v1/status").json()["data"]["pending"]:
                time.sleep(0.2)
            time.sleep(2)
        print(f"RSS with 10,000 distinct firing alerts    {rss_mib(process.pid):8.0f} MiB    (≤ 256)")
    finally:
        stop(process)


def firing(instance: str) -> dict[str, object]:
    """An alert of the bench."""
    return {
        "status": "firing",
        "labels": {"alertname": "BenchAlert", "severity": "critical", "instance": instance},
        "annotations": {"summary": "a summary of usual length"},
        "startsAt": "2026-11-24T11:02:04.2Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": "0123456789abcdef",
    }


def planner(count: int) -> Planner:
    """A planner with `count` rules, each for an alert of its own."""
    rules = tuple(
        Rule(
            name=f"rule-{place}",
            match=parse_matchers(f'alertname = "Alert{place}", severity =~ "critical|warning", domain =~ ".+"'),
            group_by=("domain",),
            ladder=(Rung(playbook="p", arguments={"domain": parse_template("{{ labels.domain }}")}),),
            mode=Mode.AUTO,
        )
        for place in range(count)
    )
    book = Playbook(name="p", params={}, steps=())
    return Planner(ruleset=Ruleset(rules=rules, playbooks={"p": book}), server_mode=Mode.AUTO, fittings={})


def bench_matching() -> None:
    """The cost of disposing of an alert that matches one rule, with 10 rules and with 10,000; the best of five each."""
    costs = {}
    for count in (10, 10_000):
        one = planner(count)
        alert = Alert(
            status=AlertStatus.FIRING,
            labels={"alertname": f"Alert{count // 2}", "severity": "critical", "domain": "example.com"},
            starts_at=1.0,
        )
        notification = Notification(receiver="r", group_key="g", truncated=0, external_url="", alerts=(alert,))
        best = float("inf")
        facts = dispose(one, State(), 1, notification, 0.0)
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(500):
                dispose(one, State(), 1, notification, 0.0)
            best = min(best, (time.perf_counter() - began) / 500)
        assert any(type(fact).__name__ == "RunPlanned" for fact in facts), SimpleNamespace(facts=facts)
        costs[count] = best * 1e6
    print(f"dispose of an alert, 10 rules             {costs[10]:8.1f} us")
    print(f"dispose of an alert, 10,000 rules         {costs[10_000]:8.1f} us")
    print(f"  ratio                                   {costs[10_000] / costs[10]:8.2f}        (≤ 1.5)")


def main() -> int:
    """Prints the table."""
    if shutil.which("wrk") is None:
        print("wrk is not installed: apt-get install wrk", file=sys.stderr)
        return 1
    root = Path(tempfile.mkdtemp(prefix="remediator-bench-"))
    try:
        print(json.dumps({"connections": CONNECTIONS, "cpus": os.cpu_count()}))
        bench_intake(root)
        bench_memory(root)
        bench_matching()
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
