"""Hostile bodies at a real service, by the hundred thousand; after every hundred a good one has to be taken.

usage: python -m tests.kit.flood [--bodies N] [--seed N]. Prints one row of a table; exit code 1 if anything broke.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.kit.bodies import bodies, good
from tests.kit.houses import House, ordering, target

ALLOWED = {202, 400, 413}


@dataclass
class Flood:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    probes: int = 0

    def post(self, client: httpx.Client, body: bytes) -> int:
        """One body; its status."""
        while True:
            answer = client.post("/api/v1/alerts", content=body, headers={"content-type": "application/json"})
            if answer.status_code != 503:  # a full queue is an honest answer: the sender tries again
                return answer.status_code

    def run(self, house: House, seed: int, count: int) -> None:
        """All of them."""
        with httpx.Client(base_url=house.url, trust_env=False, timeout=60.0) as client:
            for number, body in enumerate(bodies(seed, count), 1):
                status = self.post(client, body)
                self.statuses[status] += 1
                if status not in ALLOWED:
                    self.faults.append(f"body {number} of seed {seed} was answered {status}")
                if number % 100 == 0:
                    self.probes += 1
                    if self.post(client, good(number)) != 202:
                        self.faults.append(f"the good one after body {number} was not taken")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.kit.flood", description=__doc__)
    parser.add_argument("--bodies", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    flood = Flood()
    with tempfile.TemporaryDirectory() as root, target() as there:
        house = ordering(Path(root), there.port)
        try:
            house.start()
            flood.run(house, asked.seed, asked.bodies)
            house.wait(lambda: not house.status()["pending"], within=600.0)
        finally:
            house.end()
    told = ", ".join(f"{count} x {status}" for status, count in sorted(flood.statuses.items()))
    print("\n".join(flood.faults[:20]))
    print(f"| hostile bodies | {asked.bodies} from seed {asked.seed}: {told} | {flood.probes} good ones between them | "
          f"{len(flood.faults)} violations |")  # fmt: skip
    return 1 if flood.faults else 0


if __name__ == "__main__":
    sys.exit(main())
