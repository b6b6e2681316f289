"""The order proof (H10): by the kernel's own account, nothing leaves before the record that allows it is on disk.

`strace` writes down every write to the log of the SQLite file, every sync of it and every send. For each acknowledgement
the record of its notification, and for each effect the record of its intent, must have been written, then synced, and
the sync must have returned, before the send began. We cannot cut the power in a test; this is what a cut would find.

    python -m tests.kit.order --acks 1000 --effects 500
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.kit.houses import House, notification, ordering, target

STRACE = ("strace", "--seccomp-bpf", "-f", "-qq", "-y", "-s", "16384")
CALLS = "sendto,sendmsg,write,writev,pwrite64,pwritev,fdatasync,fsync,recvfrom,read"
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_WAL = re.compile(r"^\d+<[^>]*journal\.db-wal>")
_TAKEN = re.compile(r'\\"domain\\":\\"(m\d+\.example)\\"')
_KEY = re.compile(r'\\"key\\":\\"(inc-[a-z0-9]+\.\d+/\d+)\\"')
_ENTRY = re.compile(r'HTTP/1\.1 20\d.*\\"entry\\":(\d+)')
_ORDER = re.compile(r'"POST /order/(inc-[a-z0-9]+) HTTP')
_DONE = re.compile(r"= 0$")


@dataclass
class Proof:
    """What a trace shows. `late` names what left before its record was on disk."""

    acks: int = 0
    effects: int = 0
    late: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.acks} acknowledgements, {self.effects} effects, {len(self.late)} before their record was on disk"


@dataclass
class _Reader:
    """Follows a trace. A name is `written` with its first write to the log, `safe` when a later sync has returned."""

    domains: dict[int, str]  # the domain of each notification's entry
    proof: Proof = field(default_factory=Proof)
    written: set[str] = field(default_factory=set)
    safe: set[str] = field(default_factory=set)
    syncing: dict[str, frozenset[str]] = field(default_factory=dict)  # by thread: what its sync will have made safe

    def take(self, line: str) -> None:
        """One line."""
        if (resumed := _RESUMED.match(line)) is not None:
            self._returned(resumed[1], resumed[3])
        elif (call := _CALL.match(line)) is not None:
            self._called(call[1], call[2], call[3])

    def _called(self, thread: str, name: str, rest: str) -> None:
        if name in {"fdatasync", "fsync"} and _WAL.match(rest):
            self.syncing[thread] = frozenset(self.written)
            if "<unfinished" not in rest:
                self._returned(thread, rest)
        elif name.startswith("pwrite") and _WAL.match(rest):
            self.written.update(_TAKEN.findall(rest), _KEY.findall(rest))
        elif name in {"sendto", "sendmsg", "write", "writev"} and not _WAL.match(rest):
            self._sent(rest)

    def _returned(self, thread: str, rest: str) -> None:
        made = self.syncing.pop(thread, frozenset())
        if _DONE.search(rest.rstrip()):
            self.safe |= made

    def _sent(self, rest: str) -> None:
        for entry in _ENTRY.findall(rest):
            self.proof.acks += 1
            self._judge(self.domains.get(int(entry), f"entry {entry}"))
        for incident in _ORDER.findall(rest):  # the head of the request: its first bytes
            self.proof.effects += 1
            self._judge(f"{incident}.1/0")

    def _judge(self, name: str) -> None:
        if name not in self.safe:
            self.proof.late.append(name)


def prove(lines: Iterable[str], domains: dict[int, str]) -> Proof:
    """What a trace (`strace -f -y`) shows; `domains` says which alert each acknowledged entry holds."""
    reader = _Reader(domains)
    for line in lines:
        reader.take(line)
    return reader.proof


def traced(house: House, *, acks: int, effects: int) -> Proof:
    """Runs the service under strace with this much to do; the target is the caller's."""
    trace = house.root / "trace"
    house.start(*STRACE, "-e", f"trace={CALLS}", "-o", str(trace))
    domains: dict[int, str] = {}
    numbers = iter(range(acks))
    lock = threading.Lock()

    def send() -> None:
        with httpx.Client(trust_env=False, timeout=60.0) as client:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                labels = {"domain": f"m{number}.example", "act": "yes" if number < effects else "no"}
                while (
                    answer := client.post(f"{house.url}/api/v1/alerts", json=notification(labels))
                ).status_code == 503:
                    pass  # strace makes it slow: it was not taken, and Alertmanager would send again as well
                answer.raise_for_status()
                domains[answer.json()["data"]["entry"]] = labels["domain"]

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    house.wait(house.idle, within=300.0)
    house.stop()
    with trace.open(encoding="ascii", errors="replace") as lines:
        return prove(lines, domains)


def row(*, acks: int, effects: int) -> str:
    """One row of a table: what was traced and what was found."""
    with tempfile.TemporaryDirectory() as root, target() as there:
        house = ordering(Path(root), there.port)
        try:
            proof = traced(house, acks=acks, effects=effects)
        finally:
            house.end()
    if proof.late or proof.acks < acks or proof.effects < effects:
        raise AssertionError(f"{proof}: {proof.late[:10]}")
    return f"| order of record, sync and send (strace) | {proof} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the row."""
    parser = argparse.ArgumentParser(prog="order")
    parser.add_argument("--acks", type=int, default=1000)
    parser.add_argument("--effects", type=int, default=500)
    options = parser.parse_args(argv)
    print(row(acks=options.acks, effects=options.effects))
    return 0


if __name__ == "__main__":
    sys.exit(main())
