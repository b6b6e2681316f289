"""A storm of alerts while the service is killed again and again; the client's own list of acknowledgements is the truth.

SIGKILL strikes at random moments under load. A sender does what Alertmanager does: it sends until it is told 2xx. At the
end every acknowledged alert is in the journal, every one has its disposition, and no order reached the target twice.

    python -m tests.kit.storm --alerts 100000 --kills 200
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.kit.histories import History, from_sqlite
from tests.kit.history import judge
from tests.kit.houses import House, Target, notification, ordering, target
from tests.kit.judging import Violation

SENDERS = 8
ORDER_EVERY = 50  # one notification of so many carries an alert that is acted on


@dataclass
class Sender:
    """What Alertmanager is to us: it repeats until it hears 2xx, and remembers what it heard."""

    house: House
    alerts: int  # in each notification
    numbers: itertools.count[int]
    pace: float
    stopped: threading.Event = field(default_factory=threading.Event)
    acks: list[object] = field(default_factory=list)
    delivered: set[int] = field(default_factory=set)
    tries: int = 0

    def run(self) -> None:
        """Sends until it is stopped; what is under way then is still sent."""
        with httpx.Client(trust_env=False, timeout=20.0) as client:
            while not self.stopped.is_set():
                number = next(self.numbers)
                acts = {"act": "yes"} if number % ORDER_EVERY == 0 else {}
                labels = [{"domain": f"n{number}-{place}.example"} for place in range(self.alerts)]
                body = notification({**labels[0], **acts}, *labels[1:])
                while not self._deliver(client, body):
                    time.sleep(0.05)
                self.delivered.add(number)
                time.sleep(self.pace)

    def _deliver(self, client: httpx.Client, body: dict[str, object]) -> bool:
        self.tries += 1
        try:
            answer = client.post(f"{self.house.url}/api/v1/alerts", json=body)
        except httpx.TransportError:
            return False
        if answer.status_code // 100 == 2:
            self.acks.append(body)
            return True
        assert answer.status_code == 503, f"Alertmanager would drop it: {answer.status_code} {answer.text}"
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What a storm came to."""

    alerts: int
    kills: int
    tries: int
    acks: int
    orders: int
    entries: int
    violations: Sequence[Violation]

    def __str__(self) -> str:
        return (
            f"{self.alerts:,} acknowledged alerts in {self.acks:,} notifications ({self.tries - self.acks:,} sent again), "
            f"{self.kills} SIGKILLs, {self.orders} orders, {self.entries:,} entries: {len(self.violations)} violations"
        )


def storm(house: House, there: Target, *, alerts: int, kills: int, seed: int, each: int = 20) -> Weather:
    """Sends until `alerts` were acknowledged, killing the service `kills` times on the way; judges what is left."""
    chance = random.Random(seed)
    numbers = itertools.count()
    senders = [Sender(house, each, numbers, pace=0.01) for _ in range(SENDERS)]
    house.start()
    threads = [threading.Thread(target=sender.run) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        done = 0
        for kill in range(kills):
            wanted = alerts * (kill + 1) // (kills + 1)
            _until(senders, wanted, each)
            time.sleep(chance.uniform(0.0, 0.3))
            assert house.process is not None
            house.process.kill()
            house.process.wait()
            done += 1
            house.start()
        _until(senders, alerts, each)
    finally:
        for sender in senders:
            sender.stopped.set()
        for thread in threads:
            thread.join()
    house.wait(lambda: not house.status()["pending"] and not house.status()["running"], within=600.0)
    house.stop()
    lines = from_sqlite(house.journal)
    acks = [body for sender in senders for body in sender.acks]
    history = History(lines=lines, arrivals=list(there.arrivals), acks=acks)
    return Weather(
        alerts=len(acks) * each,
        kills=done,
        tries=sum(sender.tries for sender in senders),
        acks=len(acks),
        orders=len(there.arrivals),
        entries=len(lines),
        violations=[*judge(history), *undisposed(history)],
    )


def _until(senders: Sequence[Sender], alerts: int, each: int) -> None:
    limit = time.monotonic() + 600.0
    while sum(len(sender.acks) for sender in senders) * each < alerts:
        assert time.monotonic() < limit, "the storm does not get on"
        time.sleep(0.01)


def undisposed(history: History) -> list[Violation]:
    """Notifications without a disposition: nothing was pending when the service was stopped."""
    done = {line.fact["notification"] for line in history.of("notification.disposed")}
    left = [line.seq for line in history.of("notification.received") if line.seq not in done]
    return [Violation("G2", tuple(left), "never disposed of")] if left else []


def row(*, alerts: int, kills: int, seed: int = 1) -> str:
    """One row of a table: the storm and what was found."""
    with tempfile.TemporaryDirectory() as root, target() as there:
        house = ordering(Path(root), there.port)
        try:
            weather = storm(house, there, alerts=alerts, kills=kills, seed=seed)
        finally:
            house.end()
    if weather.violations:
        raise AssertionError("\n".join(map(str, weather.violations[:20])))
    return f"| storm with kills | {weather} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the row."""
    parser = argparse.ArgumentParser(prog="storm")
    parser.add_argument("--alerts", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    print(row(alerts=options.alerts, kills=options.kills, seed=options.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
