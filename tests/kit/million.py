"""`python -m tests.kit.million`: makes a journal of a million entries and measures how long a start on it takes.

The entries are those of a busy place: a thousand alerts that fire and are repeated, each notification with its disposition.
A snapshot lies where the service would have left it: as far from the end as it ever lies (`SNAPSHOT_EVERY`). Each start is a
process of its own, on the real store: after a clean stop, and after a kill in the middle of writing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from remediator.core.alerts import AlertStatus
from remediator.core.chain import Head
from remediator.core.entries import AnyFact, JournalOpened, NotificationDisposed, NotificationReceived, Record
from remediator.core.kinds import AlertRead, Disposal
from remediator.core.state import Moment, State
from remediator.engine import journal as journal_module
from remediator.engine.journal import Journal
from remediator.engine.scribe import Page, Scribe
from remediator.ports import Snapshot
from remediator.stores.sqlite import SqliteStore
from remediator.system import SystemClock
from tests.kit.frozen import freeze

KEY = bytes(32)
FIRING, PAGE = 1000, 500
BEGIN = 1_790_000_000.0


def facts(entries: int, firing: int = FIRING) -> Iterator[AnyFact]:
    """The first of a journal, and then notifications with what became of them; `firing` alerts in turn."""
    yield JournalOpened(store_id="million")
    for place in range((entries - 1) // 2):
        number, first = place % firing, place < firing
        labels = {"alertname": "KumoQueueDepthHigh", "severity": "warning", "instance": f"mta{number}.example"}
        yield NotificationReceived(alerts=1, body=msgspec.Raw(_body(labels)), peer="10.0.0.7")
        read = AlertRead(
            identity=f"{number:032x}",
            status=AlertStatus.FIRING,
            starts_at=BEGIN + number,
            labels=labels if first else {},
            disposals=(Disposal(disposition="unmatched" if first else "duplicate", reason="nothing matches"),),
        )
        yield NotificationDisposed(notification=2 + 2 * place, receiver="remediator", group_key="{}", alerts=(read,))


def _body(labels: dict[str, str]) -> bytes:
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": "The queue is deep", "runbook_url": "https://runbooks.example.com/queue"},
        "startsAt": "2026-09-21T14:13:20Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=kumo%3Aqueued_messages+%3E+1000",
    }
    told = {"version": "4", "groupKey": "{}", "status": "firing", "receiver": "remediator", "alerts": [alert]}
    return json.dumps(told).encode()


async def make(path: Path, entries: int, after_snapshot: int, firing: int = FIRING) -> None:
    """A journal of so many entries, with a snapshot `after_snapshot` entries before its end."""
    store = SqliteStore(path)
    await store.open()
    scribe, clock = Scribe(key=KEY, replica="r", boot="b"), SystemClock()
    page, told, saved = Page(State(), Head()), facts(entries, firing), False
    while some := list(itertools.islice(told, PAGE)):
        before, page = page.head, Page(page.state, page.head)
        scribe.write(page, Moment(clock.now(), clock.monotonic(), "b"), some, lambda _before, _after, _fact: ())
        await store.append(before, page.records)
        if not saved and page.head.seq >= entries - after_snapshot:
            saved = True
            await store.save_snapshot(Snapshot(head=page.head, state=freeze(page.state, KEY)))
    await store.close()


class Counting(SqliteStore):
    """The real store, which counts what a start reads of it."""

    entries = 0

    async def read(self, after: int, limit: int = 1000) -> Sequence[Record]:
        """Counts."""
        found = await super().read(after, limit)
        self.entries += len(found)
        return found


async def start(path: Path) -> tuple[Journal, Counting]:
    """A journal that was opened as the service opens it."""
    store = Counting(path)
    journal = Journal(store, SystemClock(), key=KEY, replica="r", boot="new")
    await journal.open()
    return journal, store


# ── the measurement ──────────────────────────────────────────────────────────────────────────────────────────────────
async def _measure(path: Path) -> None:
    began = time.perf_counter()
    journal, store = await start(path)
    told = {
        "seconds": round(time.perf_counter() - began, 2),
        "read": store.entries,
        "head": journal.head.seq,
        "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(told))
    await store.close()


async def _die(path: Path) -> None:
    """Opens, writes, and is killed with entries in the log."""
    journal, store = await start(path)
    fact = NotificationReceived(alerts=1, body=msgspec.Raw(_body({"alertname": "Last"})))
    page = Page(journal.state, journal.head)
    Scribe(key=KEY, replica="r", boot="dies").write(page, journal.moment(), [fact], lambda _b, _a, _f: ())
    await store.append(journal.head, page.records)
    os.kill(os.getpid(), signal.SIGKILL)


def _process(verb: str, path: Path) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.kit.million", verb, str(path)], capture_output=True, check=False
    )
    told: dict[str, object] = json.loads(done.stdout) if done.stdout else {}
    return told


def main() -> None:
    """Makes, starts three times, prints."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("verb", nargs="?", choices=["all", "open", "die"], default="all")
    options.add_argument("path", nargs="?", type=Path)
    options.add_argument("--entries", type=int, default=1_000_000)
    asked = options.parse_args()
    if asked.verb != "all":
        asyncio.run(_measure(asked.path) if asked.verb == "open" else _die(asked.path))
        return
    with tempfile.TemporaryDirectory(prefix="million-") as place:
        path = Path(place) / "data" / "journal.db"
        began = time.perf_counter()
        asyncio.run(make(path, asked.entries, journal_module.SNAPSHOT_EVERY))
        size = path.stat().st_size // 1024**2
        print(f"| {asked.entries:,} entries, {size} MiB, made in {time.perf_counter() - began:.0f} s |")
        print(f"| after a clean stop | {_process('open', path)} |")
        _process("die", path)
        print(f"| after a kill | {_process('open', path)} |")


if __name__ == "__main__":
    main()
