"""Lost history is noticed, whatever lost it, and nothing is done before a named person says so (G16).

The store is the real one, a SQLite file; what was really done is read from the target's own ledger.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from remediator.core import entries as e
from remediator.core.chain import Head, Mark
from remediator.core.fleet import enforced
from remediator.core.holds import safe_mode
from remediator.core.state import RunStatus
from remediator.engine.history import first_effect
from remediator.errors import NotCommitted, StoreError
from remediator.stores.high_water import HighWaterFile
from remediator.stores.lane import Lane
from remediator.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from remediator.engine.supervisor import Engine
    from tests.engine.conftest import Rig

T = TypeVar("T")
# When the histories end that are spoiled here, after the beginning of the virtual time (s).
LATER = 3 * 3600.0


class Inline(Lane):
    """A lane on the caller's own thread: virtual time does not wait for real threads."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()


@dataclass(frozen=True)
class Place:
    """Where one service keeps everything."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def journal(self) -> Path:
        return self.data / "journal.db"

    @property
    def mark(self) -> Path:
        return self.root / "data.high-water"

    def sql(self, *statements: str) -> None:
        """What somebody with a shell does to the file."""
        with closing(sqlite3.connect(self.journal, isolation_level=None)) as shell:
            for table in ("journal", "claim"):
                for verb in ("update", "delete"):
                    shell.execute(f"DROP TRIGGER IF EXISTS {table}_no_{verb}")
            for statement in statements:
                shell.execute(statement)

    def cut(self, left: str) -> None:
        """Leaves only so many entries, and makes the rest of the file fit. `left` is SQL over `n`, how many there are."""
        with closing(sqlite3.connect(self.journal)) as shell:
            (last,) = shell.execute(f"SELECT {left} FROM (SELECT max(seq) AS n FROM journal)").fetchone()  # noqa: S608
        self.sql(
            f"DELETE FROM claim WHERE seq > {last:d}",  # noqa: S608
            "DELETE FROM snapshot",
            f"DELETE FROM journal WHERE seq > {last:d}",  # noqa: S608
            "UPDATE head SET seq = coalesce((SELECT max(seq) FROM journal), 0)",
            "UPDATE head SET mac = coalesce((SELECT mac FROM journal WHERE seq = head.seq), zeroblob(32))",
        )


def use(rig: Rig, place: Place) -> None:
    rig.file = SqliteStore(place.journal)
    rig.marks = HighWaterFile(place.mark, Inline("mark"))


async def work(rig: Rig, place: Place, domain: str, seconds: float = 900.0) -> None:
    """One life of a service: an alert, a run, and time."""
    use(rig, place)
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert(domain, at=rig.clock.wall - 60))
        await rig.clock.run(seconds)


@pytest.fixture(autouse=True)
def _inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SQLite store works on the test's own thread."""
    monkeypatch.setattr("remediator.stores.sqlite.Lane", Inline)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """What several lives of a service leave: `old` is a copy of its directory from before the last one."""
    return Place(tmp_path_factory.mktemp("lived"))


@pytest.fixture
async def place(lived: Place, tmp_path: Path, rig: Rig) -> Place:
    """A copy of what was left, with the clock after its end."""
    if not lived.data.exists():
        lived.data.mkdir()
        await work(rig, lived, "a.example")
        shutil.copytree(lived.data, lived.root / "old")
        shutil.copy(lived.mark, lived.root / "old.high-water")
        await work(rig, lived, "b.example")
        other = Place(lived.root / "other")
        other.data.mkdir(parents=True)
        await work(rig, other, "a.example")
        forked = Place(lived.root / "forked")
        shutil.copytree(lived.root / "old", forked.data)
        shutil.copy(lived.root / "old.high-water", forked.mark)
        rig.starts += 50
        await work(rig, forked, "d.example")
        use(rig, forked)
        async with rig.engine() as engine:
            for number in range(30):
                await rig.accept(engine, rig.alert(f"n{number}.example", resolved_at=rig.clock.wall))
    shutil.copytree(lived.root, tmp_path / "place")
    fresh = type(rig)()
    rig.clock, rig.world, rig.starts = fresh.clock, fresh.world, 100
    rig.clock.wall += 24 * 3600.0
    rig.host = "host after a boot"
    found = Place(tmp_path / "place")
    use(rig, found)
    return found


Spoil = Callable[[Place], None]


def restored(place: Place, source: str) -> None:
    shutil.rmtree(place.data)
    shutil.copytree(place.root / source, place.data)


def file_restored(place: Place) -> None:
    shutil.copy(place.root / "old/journal.db", place.journal)
    for log in place.data.glob("*-wal"):
        log.unlink()


def with_a_log(place: Place) -> None:
    restored(place, "old")
    (place.data / "journal.db-wal").touch()


def with_a_mark_in_it(place: Place) -> None:
    restored(place, "old")
    shutil.copy(place.root / "old.high-water", place.data)


def emptied(place: Place) -> None:
    for file in place.data.iterdir():
        file.unlink()


def empty_file(place: Place) -> None:
    emptied(place)
    place.journal.touch()


def torn(place: Place) -> None:
    place.mark.write_bytes(place.mark.read_bytes()[:40])


def emptied_mark(place: Place) -> None:
    place.mark.write_bytes(b"")


def other_mark(place: Place) -> None:
    shutil.copy(place.root / "other/data.high-water", place.mark)


LOSSES: dict[str, tuple[Spoil, str]] = {
    "an older copy of the file": (file_restored, "the journal ends at entry"),
    "an older copy of the directory": (lambda p: restored(p, "old"), "the journal ends at entry"),
    "an older copy, with a log beside it": (with_a_log, "the journal ends at entry"),
    "an older copy, with its mark in it": (with_a_mark_in_it, "the journal ends at entry"),
    "the file is deleted": (lambda p: p.journal.unlink(), "another journal"),
    "the directory is deleted": (lambda p: shutil.rmtree(p.data), "another journal"),
    "the directory is emptied": (emptied, "another journal"),
    "an empty file": (empty_file, "another journal"),
    "the mark is deleted": (lambda p: p.mark.unlink(), "the high-water mark is gone"),
    "the mark is torn": (torn, "the high-water mark cannot be read"),
    "the mark is empty": (emptied_mark, "the high-water mark cannot be read"),
    "the mark of another journal": (other_mark, "another journal than the one"),
    "another journal": (lambda p: restored(p, "other/data"), "another journal than the one"),
    "a fork of the same journal, longer": (lambda p: restored(p, "forked/data"), "not the one that was seen"),
    "the last entry is cut off": (lambda p: p.cut("n - 1"), "the journal ends at entry"),
    "half of it is cut off": (lambda p: p.cut("n / 2"), "the journal ends at entry"),
    "all but the first entry is cut off": (lambda p: p.cut("1"), "the journal ends at entry 1,"),
    "every entry is deleted": (lambda p: p.cut("0"), "the journal ends at entry 0,"),
}


def effects(rig: Rig) -> int:
    return rig.world.count("do") + rig.world.count("undo")


async def nothing_happens(rig: Rig, engine: Engine) -> None:
    """Alerts, time and people's undos: no effect before a release; everything is taken in."""
    before = effects(rig)
    await rig.accept(engine, rig.alert("z.example", at=rig.clock.wall - 60))
    await rig.clock.run(120.0)
    assert effects(rig) == before
    assert not engine.parts.journal.state.pending
    held = [run for run in engine.parts.journal.state.runs.values() if run.incident and not run.dry]
    assert any("safe mode since" in run.reason for run in held)


def told(rig: Rig) -> int:
    return sum("safe mode" in message.text for message in rig.world.messages)


async def held_and_released(rig: Rig, engine: Engine, reason: str) -> None:
    """The loss is on record and told once; nothing is done; a person ends it."""
    await nothing_happens(rig, engine)
    assert reason in engine.parts.journal.state.holds["safe_mode"].reason
    assert told(rig) == 1
    before = effects(rig)
    await rig.ask(engine.desk.release(by="ana", reason="checked", patience="none"))
    await rig.clock.run(600.0)
    assert effects(rig) > before


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_start_after_a_loss_is_in_safe_mode_until_a_person_releases_it(
    rig: Rig, place: Place, loss: str
) -> None:
    spoil, reason = LOSSES[loss]
    spoil(place)
    place.data.mkdir(exist_ok=True)
    async with rig.engine() as engine:
        assert reason in engine.parts.journal.state.holds["safe_mode"].reason
        await rig.clock.run(30.0)
        assert not rig.world.ledger
    use(rig, place)
    async with rig.engine() as engine:  # a restart changes nothing, and calls nobody a second time
        await held_and_released(rig, engine, reason)


@pytest.mark.parametrize("left", ["n - 3", "0"])
async def test_a_loss_under_a_running_service_is_noticed_at_the_next_append(rig: Rig, place: Place, left: str) -> None:
    async with rig.engine() as engine:
        place.cut(left)
        await held_and_released(rig, engine, "was seen and is gone: the store ends at entry")


async def test_what_the_remaining_history_shows_under_way_is_unknown_and_never_issued_again(
    rig: Rig, place: Place
) -> None:
    """The outcome of a `once` step is lost while the same process goes on: its own intent is no proof of anything."""
    rig.playbooks = (rig.playbook(rig.step("once"), on_failure=()),)
    async with rig.engine() as engine:
        await rig.accept(engine, rig.alert("y.example", at=rig.clock.wall - 60))
        await rig.clock.until(lambda: rig.world.count("do", "once") == 1)
        await rig.clock.run(5.0)
        (intent,) = await engine.parts.journal.store.find(kind="step.intent", incident=rig.run_of(engine).incident)
        place.cut(str(intent.seq))
        await rig.accept(engine, rig.alert("n.example", resolved_at=rig.clock.wall))
        await rig.ask(engine.desk.release(by="ana", reason="checked", patience="none"))
        await rig.clock.run(600.0)
        assert rig.world.count("do", "once") == 1
        assert rig.run_of(engine).status is RunStatus.NEEDS_PERSON


async def test_the_very_first_effect_is_behind_the_mark(rig: Rig, place: Place) -> None:
    """A crash at the first effect, within the second in which the mark is not written again for lesser things."""
    async with rig.engine() as engine:
        seen = asyncio.Event()

        async def witness(what: str) -> None:
            if what == "do":
                seen.set()
                await asyncio.Event().wait()

        rig.world.witness = witness
        await rig.accept(engine, rig.alert("y.example", at=rig.clock.wall - 60))
        await rig.clock.until(seen.is_set)
    rig.world.witness = None
    place.cut("n - 1")
    use(rig, place)
    async with rig.engine() as engine:
        await held_and_released(rig, engine, "the journal ends at entry")


async def test_a_journal_that_is_as_it_was_is_not_in_safe_mode(rig: Rig, place: Place) -> None:
    async with rig.engine() as engine:
        assert not engine.parts.journal.state.holds
        await rig.accept(engine, rig.alert("y.example", at=rig.clock.wall - 60))
        await rig.clock.run(600.0)
    assert effects(rig)


async def test_an_older_mark_is_no_loss(rig: Rig, place: Place) -> None:
    shutil.copy(place.root / "old.high-water", place.mark)
    async with rig.engine() as engine:
        assert not engine.parts.journal.state.holds


# ── the release ──────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_after_a_release_effects_wait_for_the_longest_window_since_the_loss(rig: Rig, place: Place) -> None:
    restored(place, "old")
    async with rig.engine() as engine:
        journal = engine.parts.journal
        await rig.clock.run(3600.0)
        assert await rig.ask(engine.desk.release(by="ana", reason="checked")) == ("safe_mode",)
        hold = safe_mode(journal.state, journal.moment())
        assert hold is not None
        assert hold.until == pytest.approx(rig.clock.wall + enforced(86400.0) - 3600.0)
        await rig.refused(engine.desk.undo("inc-x", by="ana"), 409, "released by ana, effects begin")
        await rig.clock.run(enforced(86400.0) - 3601.0)
        assert not effects(rig)
        await rig.accept(engine, rig.alert("y.example", at=rig.clock.wall - 60))
        await rig.clock.run(600.0)
        assert effects(rig)


async def test_a_release_needs_a_name_a_reason_and_something_to_release(rig: Rig, place: Place) -> None:
    restored(place, "old")
    async with rig.engine() as engine:
        await rig.refused(engine.desk.release(by="ana", reason=" "), 400, "a release needs a reason")
        await rig.refused(engine.desk.release(by=" ", reason="r"), 400, "needs a name")
        await rig.ask(engine.desk.release(by="ana", reason="r", patience="none"))
        await rig.refused(engine.desk.release(by="ana", reason="r"), 409, "nothing to release")


async def test_what_is_due_is_not_taken_back_in_safe_mode_and_is_afterwards(rig: Rig, place: Place) -> None:
    restored(place, "old")
    async with rig.engine() as engine:
        due = [undo.id for undo in engine.parts.journal.state.undos.values()]
        assert due
        await rig.clock.run(3 * 3600.0)
        assert not effects(rig)
        await rig.refused(
            engine.desk.undo(due[0].partition("/")[0], by="ana"), 409, "no effects until somebody releases"
        )
        await rig.ask(engine.desk.release(by="ana", reason="r", patience="none"))
        await rig.clock.run(60.0)
        assert rig.world.count("undo") == len(due)


async def test_the_longest_window_that_was_in_force_counts_also_where_the_new_journal_does_not_know_it(
    rig: Rig, place: Place
) -> None:
    marks = HighWaterFile(place.mark, Inline("mark"))
    mark = await marks.load()
    assert mark is not None
    await marks.save(Mark(store_id=mark.store_id, head=mark.head, window=1e6))
    shutil.rmtree(place.data)
    place.data.mkdir()
    async with rig.engine() as engine:
        assert engine.parts.journal.state.holds["safe_mode"].lasts == enforced(1e6)


# ── the mark ─────────────────────────────────────────────────────────────────────────────────────────────────────────
class Counted(HighWaterFile):
    """Counts what is written, and fails when told to."""

    saved = 0
    fails = False

    async def save(self, mark: Mark) -> None:
        if self.fails:
            raise NotCommitted("there is no space")
        self.saved += 1
        await super().save(mark)


async def test_the_mark_is_written_once_a_second_at_most_and_once_more_when_it_is_quiet(rig: Rig, place: Place) -> None:
    rig.marks = marks = Counted(place.mark, Inline("mark"))
    async with rig.engine() as engine:
        await rig.clock.run(10.0)
        before = marks.saved
        for number in range(20):
            resolved = rig.alert(f"n{number}.example", resolved_at=rig.clock.wall)
            await rig.accept(engine, resolved)
        assert marks.saved - before <= 1
        await rig.clock.run(1.5)
        mark = await marks.load()
        assert mark is not None
        assert mark.head == engine.parts.journal.head
        again = marks.saved
        await rig.clock.run(10.0)
        assert marks.saved == again


async def test_a_stop_leaves_the_mark_at_the_very_end(rig: Rig, place: Place) -> None:
    marks = HighWaterFile(place.mark, Inline("mark"))
    async with rig.engine() as engine:
        journal = engine.parts.journal
        await rig.accept(engine, rig.alert("n.example", resolved_at=rig.clock.wall))
        before = await marks.load()
        assert before is not None
        assert before.head != journal.head  # within the second in which it is not written again
        await rig.ask(journal.close())
        after = await marks.load()
        assert after is not None
        assert after.head == journal.head


async def test_without_a_mark_there_is_no_effect_and_others_wait_until_it_can_be_written(
    rig: Rig, place: Place
) -> None:
    rig.marks = marks = Counted(place.mark, Inline("mark"))
    said = list[str]()
    async with rig.engine() as engine:
        journal = engine.parts.journal
        journal.history.on_trouble = said.append
        marks.fails = True
        for domain in ("x.example", "y.example"):
            await rig.accept(engine, rig.alert(domain, at=rig.clock.wall - 60))
            await rig.clock.run(60.0)
        assert not rig.world.count("do")
        assert journal.history.trouble == "there is no space"
        assert "there is no space" in said
        await rig.refused(engine.desk.undo("inc-x", by="ana"), 409, "there is no space")
        marks.fails = False
        await rig.clock.run(1.5)
        await rig.clock.run(2 * 3600.0)
        assert rig.world.count("do") == 2  # of the second; the first was told at once that nothing was done
        assert not journal.history.trouble


async def test_a_mark_that_cannot_be_written_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    marks = HighWaterFile(tmp_path / "nowhere" / "mark")
    assert await marks.load() is None
    with pytest.raises(StoreError, match="give its directory to the user"):
        await marks.save(Mark(store_id="s", head=Head(), window=1.0))


def test_only_a_live_start_and_an_undo_are_first_effects() -> None:
    def entry(fact: e.RunStarted | e.UndoIntent | e.ServiceStopped) -> e.Entry:
        return e.Entry(seq=1, id="x", at=0.0, mono=0.0, boot="b", replica="r", fact=fact)

    live, dry = (
        e.RunStarted(incident="i", run="i.1", rule="r", target="t", locks=(), deadline=1.0, dry=dry)
        for dry in (False, True)
    )
    undo = e.UndoIntent(incident="i", run="i.1", step=0, attempt=1, cause="expiry")
    assert first_effect([entry(live)])
    assert first_effect([entry(undo)])
    assert not first_effect([entry(dry), entry(e.ServiceStopped(reason="-"))])
