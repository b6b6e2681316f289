"""Kills a real process at every point of every shape, then at every point of every recovery, and judges what is left.

usage: python -m tests.crash.enumerator [--pairs all|NUMBER|FRACTION] [--seed N] [--jobs N] [--shape NAME ...]
                                        [--journal whole|outcome-only]

A parent that has imported everything forks one process a life. Each runs the whole engine on a real SQLite file with a
virtual clock, and dies by SIGKILL (or, in the middle of the bytes of a commit, by SIGXFSZ) at the point it was told. The
next life begins over what is on the disk. Prints one line of JSON a shape and one table row; exit code 1 if a promise was
broken.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from remediator.engine.supervisor import Engine
from remediator.errors import RefusedRequest
from remediator.stores.sqlite import SqliteStore
from tests.crash.judge import arrivals_of, faults_of
from tests.crash.mortal import Clocks, Points, Shared, plant
from tests.crash.shapes import SHAPES, Life, Shape, begins, rests, rig_for
from tests.crash.target import Outside

if TYPE_CHECKING:
    from remediator.core.chain import Head
    from remediator.core.entries import Record
    from remediator.ports import IncidentRow


class OutcomeOnlyStore(SqliteStore):
    """A bug on purpose: intents are kept back until something else is appended (reliability.md, finding 1)."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._from: Head | None = None
        self._kept: list[Record] = []
        self._rows: list[IncidentRow] = []

    async def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow] = ()) -> Head:
        """Says that an intent is durable, and is not telling the truth."""
        first = self._from if self._from is not None else expect
        kept, kept_rows = [*self._kept, *records], [*self._rows, *rows]
        if any(record.kind == "step.intent" for record in records):
            self._from, self._kept, self._rows = first, kept, kept_rows
            return type(expect)(records[-1].seq, records[-1].mac)
        self._from, self._kept, self._rows = None, [], []
        return await super().append(first, kept, kept_rows)


STORES: dict[str, type[SqliteStore]] = {"whole": SqliteStore, "outcome-only": OutcomeOnlyStore}


# ── one life, in a process of its own ────────────────────────────────────────────────────────────────────────────────
async def live(shape: Shape, root: Path, shared: Shared, points: Points, store: type[SqliteStore]) -> None:
    """From the start of a service until nothing is left to be done, or until it dies."""
    rig = rig_for(shape, root, shared, points)
    rig.store = store(root / "journal.db")  # type: ignore[assignment]
    parts = rig.parts()
    engine = Engine(parts)
    await parts.journal.open()
    tasks = [asyncio.ensure_future(parts.journal.run()), asyncio.ensure_future(engine.run("test"))]
    life = Life(rig, Outside(root), points)
    acting: dict[int, asyncio.Future[object]] = {}
    limit = rig.clock.mono + 50_000
    await rig.clock.settle()
    while not rests(shape, life, engine):
        if not _act(shape, life, engine, acting):
            assert await rig.clock.jump(limit), f"does not end: {engine.parts.journal.state.runs}"
        await rig.clock.settle()
        for task in tasks:
            if task.done():
                task.result()
    for task in reversed(tasks):
        task.cancel()
        with suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task
    await parts.journal.close()


def _act(shape: Shape, life: Life, engine: Engine, acting: dict[int, asyncio.Future[object]]) -> bool:
    started = False
    for place, act in enumerate(shape.acts):
        before = acting.pop(place, None)
        if before is not None and not before.done():
            acting[place] = before
            continue
        if before is not None:
            with suppress(RefusedRequest):
                before.result()
        if (wish := act(life, engine)) is not None:
            acting[place] = asyncio.ensure_future(wish)
            started = True
    return started


def _be_born(shape: Shape, root: Path, shared: Shared, fatal: int, store: type[SqliteStore]) -> None:
    """The life of a forked process; never returns."""
    status = 1
    try:
        points = Points(shared, fatal)
        plant(points, root / "journal.db")
        asyncio.run(live(shape, root, shared, points, store))
        (root / "points").write_text(json.dumps(points.names), encoding="utf-8")
        status = 0
    except BaseException:  # noqa: BLE001  (whatever it is, the parent has to be told)
        (root / "error").write_text(traceback.format_exc(), encoding="utf-8")
    finally:
        os._exit(status)


# ── stories ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass
class Found:
    """What the stories of one shape came to."""

    shape: str
    points: int = 0
    singles: int = 0
    pairs: int = 0
    all_pairs: int = 0
    torn: int = 0
    parked: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """The sum of two."""
        for name in ("singles", "pairs", "all_pairs", "torn", "parked", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.points = max(self.points, other.points)
        self.faults += other.faults


@dataclass(frozen=True)
class Death:
    """What a first death left, on the disk and in memory."""

    left: Path
    memory: tuple[int, Clocks, int]


class Enumerator:
    """Plays the stories of one shape in directories below `root`."""

    def __init__(self, name: str, root: Path, store: type[SqliteStore]) -> None:
        self.found = Found(shape=name)
        self._shape = SHAPES[name]
        self._root = root
        self._store = store
        self._shared = Shared()
        self._arrivals = frozenset[tuple[str, str]]()

    def life(self, root: Path, fatal: int) -> str:
        """Lives once; how it ended: `over`, `killed`, or what broke."""
        _, clocks, lives = self._shared.get()
        self._shared.put(0, clocks, lives + 1)
        child = os.fork()
        if child == 0:
            _be_born(self._shape, root, self._shared, fatal, self._store)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            self.found.torn += os.WTERMSIG(status) == signal.SIGXFSZ
            return "killed" if os.WTERMSIG(status) in {signal.SIGKILL, signal.SIGXFSZ} else f"signal {status}"
        if os.WEXITSTATUS(status) == 0:
            return "over"
        told = root / "error"
        return told.read_text(encoding="utf-8") if told.exists() else f"exit code {os.WEXITSTATUS(status)}"

    def whole(self) -> list[str]:
        """The story without a crash; the names of its points."""
        root = self._begin()
        self._finish(root, "no crash")
        if self.found.faults:
            return []
        names = json.loads((root / "points").read_text(encoding="utf-8"))
        self.found.points = len(names)
        self._arrivals = arrivals_of(root)
        shutil.rmtree(root)
        assert isinstance(names, list)
        return names

    def single(self, names: Sequence[str], number: int) -> int:
        """Dies at point `number`, lives again and is judged; how many points the recovery has."""
        root = self._begin()
        self.found.singles += 1
        where = f"killed at {number} ({names[number - 1]})"
        if self._dies(root, number, where):
            self._finish(root, where)
        shutil.rmtree(root)
        return self._shared.get()[0]

    def death(self, number: int) -> Death:
        """Dies at point `number`; what that leaves, for others to die over."""
        root = self._begin()
        self._dies(root, number, f"killed at {number}")
        return Death(root, self._shared.get())

    def _dies(self, root: Path, number: int, where: str) -> bool:
        ended = self.life(root, number)
        if ended != "killed":
            self.found.faults.append(f"{self.found.shape}, {where}: {ended}")
        return ended == "killed"

    def pair(self, first: Death, where: str, second: int) -> None:
        """Over what a first death left: dies again at point `second` of the recovery, lives again and is judged."""
        root = self._copy(first.left)
        self._shared.put(*first.memory)
        self.found.pairs += 1
        where = f"{where}, again at {second}"
        if self._dies(root, second, where):
            self._finish(root, where)
        shutil.rmtree(root)

    def _begin(self) -> Path:
        self._shared.reset(*begins())
        return Path(tempfile.mkdtemp(dir=self._root))

    def _copy(self, root: Path) -> Path:
        copy = Path(tempfile.mkdtemp(dir=self._root))
        for file in root.iterdir():
            shutil.copyfile(file, copy / file.name)
        return copy

    def _finish(self, root: Path, where: str) -> None:
        ended = self.life(root, 0)
        if ended != "over":
            self.found.faults.append(f"{self.found.shape}, {where}: the next life came to grief: {ended}")
            return
        faults, results = faults_of(self._shape, root)
        self.found.parked += results == ["needs_person"]
        if results != ["needs_person"] and self._arrivals - arrivals_of(root):
            faults.append(f"never arrived: {sorted(self._arrivals - arrivals_of(root))}")
        self.found.faults += [f"{self.found.shape}, {where}: {fault}" for fault in faults]


def play(name: str, root: Path, wanted: Options, part: int) -> Found:
    """This part of the singles of one shape, and of their pairs those that are wanted."""
    began = time.monotonic()
    stories = Enumerator(name, root, STORES[wanted.journal])
    names = stories.whole()
    dice = random.Random(f"{wanted.seed} {name} {part}")
    for number in range(1 + part, len(names) + 1, wanted.jobs):
        points = stories.single(names, number)
        stories.found.all_pairs += points
        if seconds := wanted.choose(dice, points):
            doubles(stories, number, names[number - 1], seconds)
    stories.found.seconds = time.monotonic() - began
    return stories.found


def doubles(stories: Enumerator, number: int, name: str, seconds: Sequence[int]) -> None:
    """Second deaths over one first death; how many of them end with a person is not counted."""
    torn, parked = stories.found.torn, stories.found.parked
    first = stories.death(number)
    for second in seconds:
        stories.pair(first, f"killed at {number} ({name})", second)
    shutil.rmtree(first.left)
    stories.found.torn, stories.found.parked = torn, parked


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, kw_only=True)
class Options:
    """What is asked for."""

    pairs: str = "0"
    seed: int = 1
    jobs: int = 1
    journal: str = "whole"
    shapes: tuple[str, ...] = tuple(SHAPES)

    def choose(self, dice: random.Random, points: int) -> Sequence[int]:
        """Which points of a recovery are second deaths: all, or about so many for each first one."""
        if self.pairs == "all":
            return range(1, points + 1)
        whole, part = divmod(float(self.pairs), 1)
        number = int(whole) + (dice.random() < part)
        return sorted(dice.sample(range(1, points + 1), min(points, number)))


def _part(root: Path, wanted: Options, part: int) -> None:
    """What one of the jobs does; its results are a file."""
    found = [asdict(play(name, root, wanted, part)) for name in wanted.shapes]
    (root / f"part-{part}.json").write_text(json.dumps(found), encoding="utf-8")


def enumerate_deaths(wanted: Options) -> list[Found]:
    """Plays everything that is asked for, `jobs` processes side by side."""
    memory = Path("/dev/shm")
    gc.collect()
    gc.freeze()  # a child must not copy pages only because the collector looks at them
    gc.disable()
    with tempfile.TemporaryDirectory(prefix="crash-", dir=memory if memory.is_dir() else None) as place:
        root = Path(place)
        children = list(_forked(root, wanted))
        statuses = [os.waitpid(child, 0)[1] for child in children]
        if any(statuses):
            raise SystemExit("a part of the enumeration broke down")
        total = {name: Found(shape=name) for name in wanted.shapes}
        for part in range(wanted.jobs):
            for one in json.loads((root / f"part-{part}.json").read_text(encoding="utf-8")):
                total[one["shape"]].add(Found(**one))
    return list(total.values())


def _forked(root: Path, wanted: Options) -> Iterator[int]:
    for part in range(wanted.jobs):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _part(root, wanted, part)
                status = 0
            except BaseException:  # noqa: BLE001  (the parent has to be told)
                traceback.print_exc()
            finally:
                os._exit(status)
        yield child


def asked(arguments: Sequence[str]) -> Options:
    """The options of a command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.enumerator", description=__doc__)
    parser.add_argument(
        "--pairs", default="0", help="second deaths for each first one: how many on average (0.25, 14), or all"
    )
    parser.add_argument("--seed", type=int, default=1, help="chooses the second deaths")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--journal", choices=sorted(STORES), default="whole")
    parser.add_argument("--shape", action="append", choices=sorted(SHAPES), dest="shapes")
    told = parser.parse_args(arguments)
    shapes = tuple(told.shapes or SHAPES)
    return Options(pairs=told.pairs, seed=told.seed, jobs=told.jobs, journal=told.journal, shapes=shapes)


def row(found: Sequence[Found]) -> str:
    """One row of a table: what was killed, and what came of it."""
    singles, pairs, torn = (sum(getattr(one, name) for one in found) for name in ("singles", "pairs", "torn"))
    faults = sum(len(one.faults) for one in found)
    seconds = sum(one.seconds for one in found)
    each = 1000 * seconds / max(1, singles + pairs)
    return (
        f"| crashes | {len(found)} shapes, {singles} single deaths, {pairs} pairs, {torn} within the bytes of a commit | "
        f"{each:.0f} ms of one core a story | {faults} violations |"
    )


def main(arguments: Sequence[str]) -> int:
    """The command; 1 if a promise was broken."""
    found = enumerate_deaths(asked(arguments))
    sys.stdout.write("".join(json.dumps(asdict(one)) + "\n" for one in found) + row(found) + "\n")
    return 1 if any(one.faults for one in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
