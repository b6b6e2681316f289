"""A real service in a directory of its own, and a target that keeps its own ledger: what the kit's rigs are built of."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.kit.histories import Arrival

PATIENCE = 90.0  # real processes, perhaps traced, on a busy machine (s)
_MARK = re.compile(r"\[kr:([^\]\s]+)\]")


def free_port() -> int:
    """A loopback port that nobody listens on."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    return int(server.server_address[1])


class Answers(BaseHTTPRequestHandler):
    """Writes down what comes, and answers as a Prometheus that says yes, or as a target that obeys."""

    protocol_version = "HTTP/1.1"
    server: Target

    def do_GET(self) -> None:
        """A question."""
        if self.path.startswith("/api/v1/query"):
            self.asked(parse_qs(urlsplit(self.path).query).get("query", [""])[0])
        else:
            self.answer([])

    def do_POST(self) -> None:
        """An order, or a question of Prometheus in a form."""
        length = int(self.headers.get("Content-Length", "0"))
        raw = self.rfile.read(length)
        if len(raw) < length:
            return  # whoever sent it died on the way: half an order is none
        body = raw.decode("utf-8", "replace")
        if self.path.startswith("/api/v1/query"):
            self.asked(parse_qs(body).get("query", [""])[0])
            return
        marked = _MARK.search(body)
        self.server.take(Arrival(what="do", key=marked[1] if marked else f"{self.command} {self.path}", at=time.time()))
        identity = "00000000-0000-0000-0000-000000000001"
        self.answer({"id": identity, "silenceID": identity})

    do_DELETE = do_POST  # noqa: N815

    def asked(self, query: str) -> None:
        """Prometheus is asked: for a value, for the time of a sample, or for its own time."""
        if '"about"' in query:
            self.answer(self.yes(f"{time.time()}", about="clock"))
        else:
            self.answer(self.yes(f"{time.time()}") if "timestamp(" in query else self.yes())

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Says nothing."""

    def yes(self, value: str = "1", age: float = 0.0, **labels: str) -> object:
        """One sample, so old (s)."""
        now = time.time()
        result = [{"metric": labels, "value": [now - age, value]}]
        return {"status": "success", "data": {"resultType": "vector", "result": result}}

    def answer(self, value: object, status: int = 200) -> None:
        """Answers with JSON."""
        told = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)


class Target(ThreadingHTTPServer):
    """A target on loopback whose ledger this process keeps, whatever becomes of the service."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, answers: type[Answers] = Answers) -> None:
        super().__init__(("127.0.0.1", 0), answers)
        self.arrivals: list[Arrival] = []
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def take(self, arrival: Arrival) -> None:
        """Something has arrived."""
        with self._lock:
            self.arrivals.append(arrival)

    def handle_error(self, request: object, client_address: object) -> None:
        """A service that dies in the middle of a request is no error of ours."""


@contextlib.contextmanager
def target(answers: type[Answers] = Answers) -> Iterator[Target]:
    """A target that serves until the block ends."""
    server = Target(answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def kumod(root: Path, node: str) -> Iterator[int]:
    """A simulated kumod with a ledger (`kumod.jsonl`) and a shaping file in `root`; gives its port."""
    port, control = free_port(), free_port()
    (root / "shaping.toml").write_text('["gmail.com"]\nmax_message_rate = "60/s"\n', encoding="utf-8")
    command = [sys.executable, "-m", "remediator.demo.kumod", "--node", node, "--seed", "7", "--rate", "1"]
    command += ["--listen", f"127.0.0.1:{port}", "--control", f"127.0.0.1:{control}"]
    command += ["--ledger", str(root / "kumod.jsonl"), "--shaping", str(root / "shaping.toml")]
    with (root / "kumod.log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        limit = time.monotonic() + PATIENCE
        try:
            while time.monotonic() < limit:
                with contextlib.suppress(httpx.TransportError):
                    httpx.get(f"http://127.0.0.1:{control}/control/state", trust_env=False).raise_for_status()
                    break
                time.sleep(0.05)
            yield port
        finally:
            process.kill()


@dataclass
class House:
    """A directory with settings, and the service that runs in it."""

    root: Path
    settings: str  # `remediator.yml` but for the storage and the address
    rules: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.root.mkdir(exist_ok=True)
        place = (
            f'storage: {{ path: data }}\nweb: {{ listen_address: "127.0.0.1:{self.port}" }}\nrule_files: [rules.yml]\n'
        )
        self.write("remediator.yml", place + self.settings)
        self.write("rules.yml", self.rules)

    def write(self, name: str, text: str) -> None:
        """A file that only its owner may read."""
        (self.root / name).write_text(text, encoding="utf-8")
        (self.root / name).chmod(0o600)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.root / "data" / "journal.db"

    @property
    def log(self) -> str:
        """What its processes have written."""
        return (self.root / "log").read_text(encoding="utf-8", errors="replace")

    def start(self, *before: str) -> None:
        """Starts it, behind the words of `before` (such as strace and its options), and waits until it is ready."""
        serve = [sys.executable, "-m", "remediator", "serve", "--config.file", "remediator.yml"]
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*before, *serve], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.root
            )
        self.wait(lambda: httpx.get(f"{self.url}/-/ready", trust_env=False, timeout=10.0).status_code == 200)

    def wait(self, true: Callable[[], bool], within: float = PATIENCE) -> None:
        """Waits until it is so, for as long as the service lives."""
        assert self.process is not None
        limit = time.monotonic() + within
        while time.monotonic() < limit:
            with contextlib.suppress(httpx.TransportError):
                if true():
                    return
            assert self.process.poll() is None, self.log
            time.sleep(0.05)
        raise AssertionError(f"not in time:\n{self.log[-3000:]}")

    def status(self) -> dict[str, int]:
        """What the service says of itself."""
        told: dict[str, int] = httpx.get(f"{self.url}/api/v1/status", trust_env=False, timeout=30.0).json()["data"]
        return told

    def idle(self) -> bool:
        """Whether nothing is pending and no run is under way."""
        told = self.status()
        return not (told["pending"] or told["running"] or told["held_back"])

    def stop(self) -> None:
        """Ends it as an operator does; strace ends with what it traces."""
        if self.process is not None and self.process.poll() is None:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
            for pid in children.split() if self.process.args[0] == "strace" else [str(self.process.pid)]:  # type: ignore[index]
                subprocess.run(["kill", "-TERM", pid], check=True)
            self.process.wait(timeout=PATIENCE)

    def end(self) -> None:
        """SIGKILL, whatever stands; for the end of a test."""
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            self.stop()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def notification(*labels: dict[str, str]) -> dict[str, object]:
    """What Alertmanager posts for these firing alerts."""
    now = datetime.now(tz=UTC).isoformat()
    alerts: Sequence[object] = [
        {"status": "firing", "labels": one, "annotations": {}, "startsAt": now, "endsAt": "0001-01-01T00:00:00Z"}
        for one in labels
    ]
    return {"version": "4", "receiver": "r", "groupKey": "g", "status": "firing", "alerts": alerts}


# What would hold back a rig that wants many runs at once, set out of the way.
UNBRAKED = "budget: 10000 per 1h, storm: { episodes: 10000 per 1m, ends_below: 10 }, first_runs: { runs: 10000 }"
UNGUARDED = """\
      cooldown: 0s
      rate_limit: 10000 per 1h
      blast_radius: 10000 per 1h
      concurrency: 10000
      max_targets: 10000
      waves: { first: 10000 }
      irreversible_after: 0s
      breaker: { failures: 10000, pause: 1h }
"""
ORDERS = """version: 1
rules:
  - name: order
    mode: auto
    match: [act = yes]
    group_by: [domain]
    give_up: 10m
    guards:
@unguarded@    when: { expr: 'bounces{domain="{{ labels.domain }}"} > 0' }
    playbook: order
    with: { domain: "{{ labels.domain }}" }
playbooks:
  - name: order
    params: { domain: domain }
    steps:
      - name: Order
        action: http
        with:
          url: "http://127.0.0.1:@target@/order/{{ incident.id }}"
          json: { reason: "[kr:{{ incident.id }}.1/0] order", domain: "{{ params.domain }}" }
""".replace("@unguarded@", UNGUARDED)


def ordering(root: Path, port: int) -> House:
    """A service that orders something once of the target at `port` for every alert with the label `act=yes`."""
    settings = (
        f'mode: auto\nprometheus: {{ url: "http://127.0.0.1:{port}" }}\n'
        f"limits: {{ max_runs: 10000, grace: 2s, {UNBRAKED} }}\n"
        f'targets: {{ http: {{ allow: ["http://127.0.0.1:{port}/"] }} }}\n'
    )
    return House(root, settings, ORDERS.replace("@target@", str(port)))
