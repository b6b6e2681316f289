"""`make soak`: the test kit at its large sizes, one row of a table each. Hours; every part prints how to run it alone.

`--share 0.01` runs a hundredth of every size. Exit code 1 if any part found a violation.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of trouble: the module that makes it, its sizes at full length, and arguments that stay as they are."""

    name: str
    module: str
    sizes: dict[str, float]
    others: tuple[str, ...] = ()

    def command(self, share: float, seed: int) -> list[str]:
        """What to run for a share of the whole."""
        sizes = [word for name, size in self.sizes.items() for word in (f"--{name}", _part(size, share))]
        others = [word.format(seed=seed) for word in self.others]
        return [sys.executable, "-m", self.module, *sizes, *others]


def _part(size: float, share: float) -> str:
    """A share of a size; a small one may be a fraction (second deaths for each first one)."""
    return f"{size * share:g}" if size < 20 else str(max(1, round(size * share)))


PARTS = (
    Part("sim", "tests.sim.simulator", {"seeds": 200_000}, ("--start", "{seed}", "--jobs", "2")),
    Part("crash", "tests.crash.enumerator", {"pairs": 14}, ("--seed", "{seed}", "--jobs", "2")),
    Part("bodies", "tests.kit.flood", {"bodies": 200_000}, ("--seed", "{seed}")),
    Part("storm", "tests.kit.storm", {"alerts": 100_000, "kills": 200}, ("--seed", "{seed}")),
    Part("pair", "tests.kit.pair", {"alerts": 10_000, "slow": 900}, ("--repeats", "5", "--seed", "{seed}")),
    Part("narrow", "tests.kit.narrow", {"places": 60}),
    Part("million", "tests.kit.million", {"entries": 1_000_000}),
    Part("machine", "tests.kit.machine", {"examples": 10_000}, ("--steps", "50")),
    Part("machine-file", "tests.kit.machine", {"examples": 2_000}, ("--steps", "50", "--store", "sqlite")),
    Part("order", "tests.kit.order", {"acks": 1_000, "effects": 500}),
)


def run(part: Part, share: float, seed: int) -> int:
    """Runs one part and prints its row; its exit code."""
    command = part.command(share, seed)
    print(f"── {part.name}: python {' '.join(command[1:])}", flush=True)
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    print("\n".join(rows) or done.stdout[-2000:], flush=True)
    print(f"   {time.monotonic() - began:.0f} s, exit {done.returncode}", flush=True)
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], file=sys.stderr)
    return done.returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="scripts/soak.py", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="how much of every size (default: all of it)")
    parser.add_argument("--seed", type=int, default=1, help="where the seeds begin")
    parser.add_argument("--only", action="append", choices=[part.name for part in PARTS], help="just this part")
    asked = parser.parse_args(arguments)
    wanted = [part for part in PARTS if not asked.only or part.name in asked.only]
    codes = [run(part, asked.share, asked.seed) for part in wanted]
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
