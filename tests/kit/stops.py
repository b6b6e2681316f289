"""A real service that is asked to stop, with targets that can be held at any moment; they keep the ledger themselves."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.kit.histories import Arrival, History, Line, from_sqlite
from tests.kit.history import judge
from tests.kit.houses import PATIENCE, UNBRAKED, UNGUARDED, Answers, House, Target, notification

# What a stop may take beyond the grace of running steps (s): the guarantee's five.
BEYOND = 5.0
PLACES = ("silence", "order", "look", "undo")
RULES = """version: 1
rules:
  - name: two-effects
    mode: auto
    match: [act = yes]
    group_by: [domain]
    guards:
@unguarded@    when: { expr: 'bounces{domain="{{ labels.domain }}"} > 0' }
    playbook: two-effects
    with: { domain: "{{ labels.domain }}" }
playbooks:
  - name: two-effects
    params: { domain: domain }
    steps:
      - name: Silence
        action: alertmanager.silence
        with: { labels: { domain: "{{ params.domain }}" }, reason: stopped }
        timeout: 20s
        undo: { after: @after@ }
      - name: Order
        action: http
        timeout: 20s
        with:
          url: "@target@/order/{{ incident.id }}"
          json: { reason: "[kr:{{ incident.id }}.1/1] order" }
    verify:
      - { expr: 'good{domain="{{ params.domain }}"} == 1', every: 200ms, samples: 2, within: 60s }
""".replace("@unguarded@", UNGUARDED)


class Holding(Answers):
    """A Prometheus, an Alertmanager with silences and a target of orders, each of which can be held before it answers."""

    server: Held

    def do_GET(self) -> None:  # noqa: N802
        """The silences in force, the alert that is asked for (it fires), or a question."""
        parts = urlsplit(self.path)
        if parts.path == "/api/v2/silences":
            self.answer(list(self.server.silences.values()))
        elif parts.path == "/api/v2/alerts":
            told = (one.partition("=") for one in parse_qs(parts.query).get("filter", ()))
            labels = {name: value.strip('"') for name, _, value in told}
            self.answer([{"labels": labels, "status": {"state": "active"}}])
        else:
            super().do_GET()

    def do_POST(self) -> None:  # noqa: N802
        """A silence or an order, which has its effect, and an answer as soon as nobody holds it."""
        if self.path != "/api/v2/silences":
            self._ordered()
            return
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = f"00000000-0000-0000-0000-{next(self.server.numbers):012d}"
        self.server.silences[name] = {"id": name, "status": {"state": "active"}, **told}
        self.server.keys[name] = told["comment"].partition("[kr:")[2].partition("]")[0]
        self.server.take(Arrival(what="do", key=self.server.keys[name], at=time.time()))
        self.server.hold("silence")
        self.answer({"silenceID": name})

    def _ordered(self) -> None:
        arrived = len(self.server.arrivals)
        answered, self.answer = self.answer, lambda value, status=200: self._late(arrived, value, status)  # type: ignore[method-assign]
        try:
            super().do_POST()
        finally:
            self.answer = answered  # type: ignore[method-assign]

    def _late(self, arrived: int, value: object, status: int) -> None:
        if self.path.startswith("/order/") and len(self.server.arrivals) > arrived:
            self.server.hold("order")
        Answers.answer(self, value, status)

    def do_DELETE(self) -> None:  # noqa: N802
        """The end of a silence."""
        name = self.path.rpartition("/")[2]
        self.server.silences.pop(name, None)
        self.server.take(Arrival(what="undo", key=self.server.keys[name], at=time.time()))
        self.server.hold("undo")
        self.answer({})

    def asked(self, query: str) -> None:
        """Prometheus is asked."""
        if query.startswith("good"):
            self.server.hold("look")
        super().asked(query)


class Held(Target):
    """What `Holding` answers for. `hold` is where its answers wait."""

    def __init__(self) -> None:
        super().__init__(Holding)
        self.silences: dict[str, object] = {}
        self.keys: dict[str, str] = {}
        self.numbers = itertools.count(1)
        self.free = {place: threading.Event() for place in PLACES}
        self.reached = {place: threading.Event() for place in PLACES}
        self.release()

    def hold(self, place: str) -> None:
        """Waits here until it is let go."""
        self.reached[place].set()
        self.free[place].wait(PATIENCE)

    def shut(self, *places: str) -> None:
        """From now on nothing leaves these places."""
        for place in places:
            self.free[place].clear()

    def release(self) -> None:
        """Everything held leaves."""
        for event in self.free.values():
            event.set()


@dataclass
class Stopping:
    """A service with such a target, and what was accepted by it."""

    house: House
    there: Held
    acks: list[object] = field(default_factory=list)

    def fire(self, domain: str = "a.example", **labels: str) -> httpx.Response:
        """Alertmanager posts one alert, by default one that nobody acts on."""
        body = notification({"alertname": "Stopping", "domain": domain, **labels})
        answer = httpx.post(f"{self.house.url}/api/v1/alerts", json=body, trust_env=False, timeout=30.0)
        if answer.status_code == 202:
            self.acks.append(body)
        return answer

    def arrive(self, place: str) -> None:
        """Waits until something of the service's is held there."""
        assert self.there.reached[place].wait(PATIENCE), f"nothing came to {place}:\n{self.house.log[-3000:]}"

    def refuses(self) -> httpx.Response:
        """Waits until new notifications are refused; the first refusal."""
        limit = time.monotonic() + PATIENCE
        while (answer := self.fire("late.example")).status_code == 202:
            assert time.monotonic() < limit, "it goes on taking notifications"
        return answer

    def send(self, *signals: signal.Signals) -> None:
        """Asks it to stop."""
        assert self.house.process is not None
        for one in signals:
            self.house.process.send_signal(one)

    def ended(self, within: float) -> int:
        """Its exit code, once it has ended."""
        assert self.house.process is not None
        return self.house.process.wait(timeout=within)

    @property
    def lines(self) -> list[Line]:
        """The journal, by plain SQL."""
        return from_sqlite(self.house.journal)

    def told(self, *kinds: str) -> list[Line]:
        """The entries of these kinds."""
        return [line for line in self.lines if line.kind in kinds]

    def effects(self) -> list[str]:
        """What the target has in its ledger."""
        return [f"{one.what} {one.key.rpartition('/')[2]}" for one in self.there.arrivals]

    def judged(self) -> None:
        """The whole history, by the checker that shares no code with the service."""
        found = judge(History(lines=self.lines, arrivals=list(self.there.arrivals), acks=self.acks))
        assert not found, "\n".join(map(str, found))


@contextlib.contextmanager
def stopping(root: Path, *, grace: str = "10s", after: str = "10m") -> Iterator[Stopping]:
    """A service in `root` that is not started yet; whatever stands at the end is ended."""
    server = Held()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.port}"
    settings = (
        f"mode: auto\nprometheus: {{ url: {url!r} }}\nalertmanager: {{ url: {url!r} }}\n"
        f"limits: {{ max_runs: 10000, grace: {grace}, {UNBRAKED} }}\n"
        f"targets: {{ http: {{ allow: ['{url}/'] }} }}\n"
    )
    house = House(root, settings, RULES.replace("@target@", url).replace("@after@", after))
    try:
        yield Stopping(house, server)
    finally:
        server.release()
        house.end()
        server.shutdown()
        server.server_close()
        thread.join()
