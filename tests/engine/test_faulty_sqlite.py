"""Every call of two reference scenarios to the real SQLite store, with every fault, and no restart (reliability.md H3, G15).

The faults come from where they come from: a second connection holds the lock, the file may not grow, the system refuses
bytes in the middle of a commit. The whole engine works on it, on a virtual clock; the target keeps its own ledger.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.chain import GENESIS, Head, check
from remediator.core.fold import fold
from remediator.core.outcomes import UndoResult, failed_for_now
from remediator.core.state import State
from remediator.engine.supervisor import Engine
from remediator.errors import StoreError
from remediator.stores.sqlite import SqliteStore
from tests.kit.histories import History, from_body
from tests.kit.history import judge
from tests.kit.troubled import FRAME, LOG_HEAD, Fault, Fragile, Trouble, TroubledStore, plant

if TYPE_CHECKING:
    from remediator.core.entries import Record
    from tests.engine.conftest import Rig

pytestmark = pytest.mark.heavy

# Shorter than the minute in which G2 and G10 must be kept, so that those can be asked for as well (s).
OUTAGE = 45.0
KEY = b"k" * 32


# ── the scenarios ────────────────────────────────────────────────────────────────────────────────────────────────────
def one_run(rig: Rig) -> None:
    """A read, a step that is retried, a temporary one whose undo fails first, and a message that is sent twice."""
    lasting = rig.step("keyed_lasting", undo_after=400.0, attempts=4)
    rig.playbooks = (rig.playbook(rig.step("read", attempts=2), rig.step("safe", attempts=4), lasting),)
    rig.world.outcomes["safe"] = [failed_for_now("503")]
    rig.world.undo_results = [UndoResult.FAILED]
    rig.world.told = [failed_for_now("busy")]


def two_targets(rig: Rig) -> None:
    """Two runs side by side, so that one has something to do while the other's append fails."""
    first = rig.step("safe", attempts=4)
    rig.playbooks = (rig.playbook(first, rig.step("keyed_lasting", undo_after=60.0, attempts=4), rig.step("keyed")),)
    rig.world.outcomes["safe"] = [failed_for_now("503")]
    rig.world.undo_results = [UndoResult.FAILED, UndoResult.UNKNOWN]
    rig.world.told = [failed_for_now("busy"), failed_for_now("busy")]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is played, how many appends it has without a fault, and what arrives."""

    prepare: Callable[[Rig], None]
    domains: tuple[str, ...]
    appends: int
    reads: int
    arrivals: Counter[str]


SCENARIOS = {
    "one run": Scenario(
        prepare=one_run,
        domains=("example.com",),
        appends=21,
        reads=3,
        arrivals=Counter({"read": 1, "safe": 2, "keyed_lasting": 1, "undo": 2, "message": 2}),
    ),
    "two targets": Scenario(
        prepare=two_targets,
        domains=("example.com", "example.org"),
        appends=33,
        reads=2,
        arrivals=Counter({"safe": 3, "keyed_lasting": 2, "keyed": 2, "undo": 4, "message": 4}),
    ),
}
CALLS = {"open": 1, "load_snapshot": 1, "read": 3, "save_snapshot": 1}


@dataclass
class Watcher:
    """Sees every arrival, and holds it against the disk and against the state of the store."""

    rig: Rig
    store: TroubledStore | None = None
    domains: tuple[str, ...] = ()
    wrong: list[str] = field(default_factory=list)
    accepted: bool = False

    async def witness(self, what: str) -> None:
        """The store works; whether there was an intent is asked of the history, at the end."""
        assert self.store is not None
        if self.store.trouble.failing:
            self.wrong.append(f"{what} arrived while the store could not commit")
        if what == "message":
            records = await SqliteStore.find(self.store, kind="message.intent")
            facts = [e.decode(record.seq, record.body).fact for record in records]
            messages = {fact.message for fact in facts if isinstance(fact, e.MessageIntent)}
            self.wrong += [f"{m.id} without an intent" for m in self.rig.world.messages if m.id not in messages]

    @property
    def content(self) -> bytes:
        """What Alertmanager sends."""
        return self.rig.body(*(self.rig.alert(domain) for domain in self.domains))

    async def deliver(self, engine: Engine) -> None:
        """Alertmanager: tries again until it is told 2xx."""
        while not self.accepted:
            try:
                await engine.intake.accept(self.content, "test")
                self.accepted = True
            except StoreError:
                await self.rig.clock.sleep(5.0)


class Player:
    """Plays a scenario from start to rest, whatever its store does; nothing is started a second time once it has begun."""

    def __init__(self, scenario: Scenario, rig: Rig, path: Path, trouble: Trouble) -> None:
        self._scenario, self._rig, self._path, self.trouble = scenario, rig, path, trouble
        trouble.clock = rig.clock
        scenario.prepare(rig)
        self.before_close: Callable[[Path], object] = str
        self.watcher = Watcher(rig, domains=scenario.domains)
        rig.world.witness = self.watcher.witness

    def _place(self) -> tuple[float, int]:
        assert self.watcher.store is not None
        return self._rig.clock.wall, self.watcher.store.seq

    async def _begin(self) -> Engine:
        while True:
            store = TroubledStore(self._path, self.trouble)
            self.watcher.store = store
            self._rig.store = store  # type: ignore[assignment]
            parts = self._rig.parts()
            self._rig.world.place = self._place
            engine = Engine(parts)
            opening = asyncio.ensure_future(parts.journal.open())
            with suppress(StoreError):
                await self._rig.clock.until(opening.done)
                await opening
                return engine
            await store.close()
            await self._rig.clock.run(5.0)

    async def play(self) -> TroubledStore:
        """The whole of it, and what must hold after it."""
        engine = await self._begin()
        journal, clock = engine.parts.journal, self._rig.clock
        tasks = [asyncio.ensure_future(w) for w in (journal.run(), engine.run("test"), self.watcher.deliver(engine))]

        def rests() -> bool:
            for task in tasks:
                if task.done():
                    task.result()
            state = journal.state
            return self.watcher.accepted and not (state.runs or state.undos or state.outbox or state.pending)

        await clock.until(rests, within=20_000)
        for task in reversed(tasks):
            task.cancel()
            with suppress(asyncio.CancelledError, BaseExceptionGroup):
                await task
        store = self.watcher.store
        assert store is not None
        await self._check(engine, await SqliteStore.read(store, 0))
        self.before_close(self._path)
        leaving = asyncio.ensure_future(journal.close())
        await clock.until(leaving.done)
        await leaving
        return store

    async def _check(self, engine: Engine, records: Sequence[Record]) -> None:
        world, state = self._rig.world, State()
        for record in records:
            state = fold(state, e.decode(record.seq, record.body))
        assert state == engine.parts.journal.state
        assert not engine.parts.journal.last_error
        assert not self.watcher.wrong
        assert not world.standing
        arrived = Counter(kind if what == "do" else what for what, kind, _ in world.ledger)
        arrived["message"] = len(world.messages)
        assert arrived == self._scenario.arrivals
        lines = [from_body(record.seq, record.body) for record in records]
        acks = [json.loads(self.watcher.content)]
        assert judge(History(lines=lines, arrivals=world.arrivals, acks=acks)) == []
        facts = [e.decode(record.seq, record.body).fact for record in records]
        ends = Counter((f.run, f.step, f.attempt) for f in facts if isinstance(f, e.StepOutcome) and not f.reconciled)
        assert all(ends[f.run, f.step, f.attempt] == 1 for f in facts if isinstance(f, e.StepIntent))
        assert [f.result for f in facts if isinstance(f, e.RunEnded)] == ["succeeded"] * len(self._scenario.domains)


Stage = Callable[[str, "Trouble | None"], Player]


@pytest.fixture
def quick() -> Iterator[Path]:
    """A directory in memory, where there is one: eight hundred journals are made in it."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="faulty-", dir=memory if memory.is_dir() else None) as place:
        yield Path(place)


@pytest.fixture
def stage(rig: Rig, quick: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Gives players, each with a fresh world and a fresh file."""
    plant(monkeypatch)
    made: list[Player] = []

    def make(name: str, trouble: Trouble | None) -> Player:
        path = quick / str(len(made)) / "journal.db"
        made.append(Player(SCENARIOS[name], type(rig)(), path, trouble or Trouble()))
        return made[-1]

    return make


# ── every call, every fault ──────────────────────────────────────────────────────────────────────────────────────────
SPANS = {"once": 0.0, "for a while": OUTAGE}
# Of one run alone a long outage is played on the memory store (test_store_faults.py).
CASES = [
    (name, fault, span)
    for name in SCENARIOS
    for fault in Fault
    for span in SPANS
    if (name, span) != ("one run", "for a while")
]


def test_there_are_at_least_six_hundred_cases() -> None:
    assert sum(SCENARIOS[name].appends for name, _, _ in CASES) >= 600


@pytest.mark.parametrize("name", SCENARIOS)
async def test_the_scenario_makes_so_many_calls(name: str, stage: Stage) -> None:
    player = stage(name, None)
    store = await player.play()
    assert store.trouble.calls == Counter(
        {**CALLS, "append": SCENARIOS[name].appends, "read": SCENARIOS[name].reads}
    ), "a call has come or gone: set the numbers to what they are now"


@pytest.mark.parametrize(("name", "fault", "span"), CASES)
async def test_a_fault_at_any_append_stops_action_and_ends_without_a_restart(
    name: str, fault: Fault, span: str, stage: Stage
) -> None:
    for number in range(1, SCENARIOS[name].appends + 1):
        trouble = Trouble(fault=fault, number=number, seconds=SPANS[span])
        await stage(name, trouble).play()
        assert trouble.struck, number


@pytest.mark.parametrize("fault", [Fault.FAIL_BEFORE, Fault.DELAY])
@pytest.mark.parametrize("call", CALLS)
async def test_a_fault_at_any_other_call_is_got_over(call: str, fault: Fault, stage: Stage) -> None:
    for number in range(1, CALLS[call] + 1):
        for seconds in SPANS.values():
            trouble = Trouble(call=call, fault=fault, number=number, seconds=seconds)
            await stage("one run", trouble).play()
            assert trouble.struck


# ── a log that was cut ───────────────────────────────────────────────────────────────────────────────────────────────
RANDOM_CUTS = 500


def cuts(length: int) -> list[int]:
    """Every boundary of a frame, and many places between."""
    dice = random.Random(4)
    whole = range(LOG_HEAD, length + 1, FRAME)
    return [0, *whole, *(dice.randrange(length + 1) for _ in range(RANDOM_CUTS))]


async def test_a_log_cut_anywhere_leaves_whole_appends_and_all_that_were_on_the_disk(stage: Stage, quick: Path) -> None:
    player = stage("two targets", None)
    kept: list[tuple[bytes, bytes]] = []
    player.before_close = lambda path: kept.append((path.read_bytes(), Fragile.log.read_bytes()))
    store = await player.play()
    [(base, log)] = kept
    assert store.sizes[-1][0] == len(log), "the log was emptied meanwhile: its length tells nothing"
    cut = quick / "cut" / "journal.db"
    cut.parent.mkdir()
    seen = set()
    for size in cuts(len(log)):
        cut.write_bytes(base)
        cut.with_name("journal.db-wal").write_bytes(log[:size])
        cut.with_name("journal.db-shm").unlink(missing_ok=True)
        opened = SqliteStore(cut)
        await opened.open()
        found = await opened.read(0)
        await opened.close()
        heads = list(check(KEY, [(one.seq, one.body, one.mac) for one in found], Head(0, GENESIS)))
        assert all(isinstance(head, Head) for head in heads)
        assert len(found) == max(seq for end, seq in store.sizes if end <= size), size
        seen.add(len(found))
    assert seen == {seq for _, seq in store.sizes}, "each append was lost once"
