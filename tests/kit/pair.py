"""A storm of alerts from a pair of Alertmanagers that do not see each other: everything comes twice, and again, and at once.

Each group has a connection of its own, is sent by both, sent again with Alertmanager's backoff (0.5 s x 1.5, 50 % jitter,
at most 60 s) until it is taken, and repeated with the same bytes; meanwhile connections stand open on which heads drip, or
nothing is said. The service may open 1,024 files. It has to answer probes and take a pause all the time.

    python -m tests.kit.pair --alerts 10000 --repeats 5 --slow 900
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.kit.histories import History, from_sqlite
from tests.kit.history import judge
from tests.kit.houses import House, Target, notification, ordering, target
from tests.kit.judging import Violation, identity
from tests.kit.storm import undisposed

FILES, MEMORY = 1024, 256 * 1024 * 1024  # open files, and bytes (G14)
ACTS_EVERY, LARGE, LARGE_EVERY = 10, 50, 20  # one group of ten is acted on, one of twenty has fifty alerts
PADDING = "x" * 330  # an alert is about 583 bytes with its annotations (alertmanager.md §1)
LIMITED = ("sh", "-c", f'ulimit -n {FILES}; exec "$@"', "sh")
PAUSE_EVERY = 0.2  # how soon it is probed and paused again (s)


@dataclass
class Seen:
    """What came back, and what the service used meanwhile."""

    statuses: Counter[int] = field(default_factory=Counter)
    without_retry_after: int = 0
    acks: list[object] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)  # how long each answer took (s)
    pauses: int = 0
    missed: list[str] = field(default_factory=list)
    memory: int = 0  # the highest (bytes)
    files: int = 0  # the most at once


def groups(alerts: int) -> list[dict[str, object]]:
    """Notifications of so many different firing alerts in all, alone or in large groups; one of ten is acted on."""
    made: list[dict[str, object]] = []
    number = 0
    while number < alerts:
        size = min(LARGE if len(made) % LARGE_EVERY == LARGE_EVERY - 1 else 1, alerts - number)
        acts = {"act": "yes"} if len(made) % ACTS_EVERY == 0 else {}
        labels = [{"alertname": "Storm", "domain": f"n{number + one}.example", **acts} for one in range(size)]
        body = notification(*labels)
        for alert in body["alerts"]:  # type: ignore[attr-defined]
            alert["annotations"] = {"description": PADDING}
        made.append({**body, "groupKey": f'{{}}:{{domain="n{number}"}}'})
        number += size
    return made


async def ask(port: int, method: str, path: str, body: bytes = b"", patience: float = 30.0) -> tuple[int, bytes]:
    """The status and the head of an answer, on a connection of its own; 0 if it was cut off."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                told = await reader.readuntil(b"\r\n\r\n")
                return int(told.split(b" ", 2)[1]), told.lower()
            finally:
                writer.close()
    return 0, b""


@dataclass
class Rig:
    """Both senders, those who are slow, and the one who asks and pauses."""

    house: House
    seen: Seen
    chance: random.Random
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def deliver(self, told: dict[str, object], body: bytes, repeats: int) -> None:
        """One group of one Alertmanager: until it is taken, and then the repeats."""
        for _ in range(repeats):
            rest = 0.5
            while True:
                status, head = await ask(self.house.port, "POST", "/api/v1/alerts", body)
                self.seen.statuses[status] += 1
                if status == 202:
                    self.seen.acks.append(told)
                    break
                if status == 503 and b"retry-after:" not in head:
                    self.seen.without_retry_after += 1
                await asyncio.sleep(rest * self.chance.uniform(0.5, 1.5))
                rest = min(60.0, rest * 1.5)

    async def drip(self) -> None:
        """A client whose head never ends; when it is cut off it comes again."""
        while not self.over.is_set():
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.house.port)
                writer.write(b"POST /api/v1/alerts HTTP/1.1\r\nHost: 127.0.0.1\r\n")
                ended = asyncio.ensure_future(reader.read())
                over = asyncio.ensure_future(self.over.wait())
                done, left = await asyncio.wait({ended, over}, return_when=asyncio.FIRST_COMPLETED)
                for task in left:
                    task.cancel()
                writer.close()
                for task in done:
                    task.result()
            await asyncio.sleep(0.2)

    async def control(self) -> None:
        """Whoever is on duty: is it alive, and does it stop when it is told to?"""
        while not self.over.is_set():
            began = time.monotonic()
            status, _ = await ask(self.house.port, "GET", "/-/healthy")
            self.seen.probes.append(time.monotonic() - began)
            if status != 200:
                self.seen.missed.append(f"/-/healthy was answered {status}")
            await self._pause()
            self._measure()
            await asyncio.sleep(PAUSE_EVERY)

    async def _pause(self) -> None:
        body = json.dumps({"reason": "storm", "by": "test", "seconds": 60}).encode()
        for method, path, sent in (("POST", "/api/v1/pause", body), ("POST", "/api/v1/resume", b'{"by": "test"}')):
            status, _ = await ask(self.house.port, method, path, sent)
            if status // 100 != 2:
                self.seen.missed.append(f"{method} {path} was answered {status}")
        self.seen.pauses += 1

    def _measure(self) -> None:
        assert self.house.process is not None
        place = Path(f"/proc/{self.house.process.pid}")
        peak = (place / "status").read_text(encoding="ascii").partition("VmHWM:")[2].split()[0]
        self.seen.memory = max(self.seen.memory, int(peak) * 1024)
        self.seen.files = max(self.seen.files, len(list((place / "fd").iterdir())))

    async def run(self, alerts: int, repeats: int, slow: int) -> None:
        """The storm."""
        dripping = [asyncio.ensure_future(self.drip()) for _ in range(slow)]
        watching = asyncio.ensure_future(self.control())
        made = [(told, json.dumps(told).encode()) for told in groups(alerts)]
        pair = [asyncio.ensure_future(self.deliver(*one, repeats)) for one in made for _ in range(2)]
        try:
            await asyncio.gather(*pair)
        finally:
            self.over.set()
            await asyncio.gather(watching, *dripping)


def storm(house: House, there: Target, *, alerts: int, repeats: int, slow: int, seed: int) -> tuple[Seen, list[str]]:
    """The storm, and everything that is wrong with what is left of it."""
    seen = Seen()
    house.start(*LIMITED)
    asyncio.run(Rig(house, seen, random.Random(seed)).run(alerts, repeats, slow))
    house.wait(house.idle, within=900.0)
    house.stop()
    history = History(lines=from_sqlite(house.journal), arrivals=list(there.arrivals), acks=seen.acks)
    found = [*judge(history), *undisposed(history), *_once(history, alerts)]
    wrong = [*map(str, found), *seen.missed]
    if set(seen.statuses) - {0, 202, 503} or seen.without_retry_after:
        wrong.append(f"answers {dict(seen.statuses)}, {seen.without_retry_after} of 503 without Retry-After")
    return seen, wrong


def _once(history: History, alerts: int) -> list[Violation]:
    """At most one run an alert, exactly one for those that are acted on, and one order of each at the target."""
    acting = {
        identity(alert["labels"])
        for line in history.of("notification.received")
        for alert in line.fact["body"]["alerts"]
        if "act" in alert["labels"]
    }
    runs, orders = len(history.of("run.planned")), Counter(one.key for one in history.arrivals or ())
    if runs != len(acting) or len(orders) != runs or max(orders.values(), default=0) > 1:
        told = f"{len(acting)} of {alerts} alerts are acted on: {runs} runs, {orders.total()} orders of {len(orders)}"
        return [Violation("G3", (), told)]
    return []


def row(*, alerts: int, repeats: int, slow: int, seed: int = 1, memory: int = MEMORY) -> str:
    """One row of a table: the storm and what was found; AssertionError if a promise was not kept."""
    with tempfile.TemporaryDirectory() as root, target() as there:
        house = ordering(Path(root), there.port)
        try:
            seen, wrong = storm(house, there, alerts=alerts, repeats=repeats, slow=slow, seed=seed)
        finally:
            house.end()
    if seen.memory > memory:
        wrong.append(f"{seen.memory / 2**20:.0f} MiB of memory, allowed are {memory / 2**20:.0f}")
    if seen.files > FILES - 16:
        wrong.append(f"{seen.files} files were open")
    if wrong:
        raise AssertionError("\n".join(wrong[:20]))
    again = sum(count for status, count in seen.statuses.items() if status != 202)
    return (
        f"| storm of a pair | {alerts:,} alerts from two senders, {len(seen.acks):,} times taken, {again:,} sent again, "
        f"{slow} slow heads | {len(there.arrivals)} orders, none twice"
        f" | {seen.memory / 2**20:.0f} MiB, {seen.files} files | "
        f"{len(seen.probes)} probes and {seen.pauses} pauses answered, the slowest probe in {max(seen.probes):.2f} s |"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the row."""
    parser = argparse.ArgumentParser(prog="pair")
    parser.add_argument("--alerts", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--slow", type=int, default=900)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    print(row(alerts=options.alerts, repeats=options.repeats, slow=options.slow, seed=options.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
