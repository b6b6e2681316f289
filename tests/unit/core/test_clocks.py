"""What time it is where wall clocks are set and processes come and go, and when a clock was stepped (G5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.clocks import MOST_CLOCKS, last_known, placed, step_between
from remediator.core.fold import fold
from remediator.core.state import Moment, State, Undo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.conftest import Build

STOPPED = e.ServiceStopped(reason="-")


def written(*moments: Moment, state: State | None = None) -> State:
    """The state after an entry at each of these moments."""
    state = state or State()
    for one in moments:
        state = fold(
            state,
            e.Entry(
                seq=state.seq + 1,
                id="x",
                at=one.at,
                mono=one.mono,
                boot=one.boot,
                host=one.host,
                replica="r",
                fact=STOPPED,
            ),
        )
    return state


def steady(state: State) -> float:
    assert state.last is not None
    return state.last.steady


# ── the journal's own clock ──────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ([Moment(1000.0, 5.0, "a")], 1000.0),
        ([Moment(1000.0, 5.0, "a"), Moment(1060.0, 65.0, "a")], 1060.0),
        ([Moment(1000.0, 5.0, "a"), Moment(9e9, 65.0, "a")], 1060.0),  # the wall clock was set on
        ([Moment(1000.0, 5.0, "a"), Moment(0.0, 65.0, "a")], 1060.0),  # and back
        ([Moment(1000.0, 5.0, "a"), Moment(4600.0, 7.0, "b")], 1000.0),  # nobody knows how long nobody was there
        ([Moment(1000.0, 5.0, "a", "m"), Moment(9e9, 65.0, "b", "m")], 1060.0),  # the machine knows
        ([Moment(1000.0, 5.0, "a", "m"), Moment(1060.0, 65.0, "a", "n")], 1000.0),  # another boot of it does not
        (  # two at once: each proves what passed between its own entries
            [
                Moment(1000.0, 5.0, "a"),
                Moment(1010.0, 900.0, "b"),
                Moment(1020.0, 25.0, "a"),
                Moment(1030.0, 920.0, "b"),
            ],
            1020.0,
        ),
        ([Moment(1000.0, 500.0, "a", "m"), Moment(1060.0, 60.0, "b", "m")], 1000.0),  # one that went back does not
    ],
)
def test_the_journals_clock_moves_on_by_what_has_provably_passed(moments: Sequence[Moment], expected: float) -> None:
    assert steady(written(*moments)) == expected


def test_now_is_placed_after_the_last_entry_as_the_next_entry_would_be() -> None:
    state = written(Moment(1000.0, 5.0, "a", "m"), Moment(1001.0, 70.0, "b"))
    assert placed(state, Moment(1500.0, 505.0, "c", "m")).steady == 1500.0
    assert placed(state, Moment(1500.0, 6.0, "c", "m")).steady == 1001.0
    assert placed(state, Moment(1500.0, 505.0, "c")).steady == 1000.0
    assert placed(State(), Moment(1500.0, 505.0, "c")).steady == 1500.0


def test_an_entry_of_a_state_from_before_there_was_such_a_clock_counts_as_the_wall_said() -> None:
    old = Moment(1000.0, 5.0, "a")
    assert placed(State(seq=1, last=old), Moment(1000.5, 65.0, "a")).steady == 1060.0
    assert placed(State(seq=1, last=old), Moment(1060.0, 9.0, "b")).since(old) == 0.0
    assert Moment(1060.0, 9.0, "b").since(old) == 60.0


def test_only_so_many_clocks_are_remembered_and_the_oldest_go_first() -> None:
    first = [Moment(1000.0 + number, 5.0, f"boot-{number}") for number in range(MOST_CLOCKS + 1)]
    state = written(*first)
    assert len(state.pulses) == MOST_CLOCKS
    state = written(Moment(1000.0, 65.0, "boot-8"), Moment(1000.0, 5.0, "boot-9"), state=state)
    assert set(state.pulses) == {f"boot-{number}" for number in range(1, MOST_CLOCKS + 1)}
    assert placed(state, Moment(1000.0, 1e6, "boot-0")).steady == steady(state)


def test_one_writer_alone_keeps_the_same_map() -> None:
    state = written(Moment(1000.0, 5.0, "a"))
    assert written(Moment(1001.0, 6.0, "a"), state=state).pulses is state.pulses


# ── how much has passed ──────────────────────────────────────────────────────────────────────────────────────────────
def passed(*moments: Moment) -> float:
    """Seconds between the first and the last of these, as a limiter counts them."""
    first = placed(State(), moments[0])
    return placed(written(*moments[:-1]), moments[-1]).since(first)


def test_between_two_processes_of_one_machine_a_limiter_counts_the_smaller_of_wall_and_monotonic() -> None:
    begun = Moment(1000.0, 5.0, "a", "m")
    assert passed(begun, Moment(4600.0, 3605.0, "b", "m")) == 3600.0
    assert passed(begun, Moment(11_800.0, 3605.0, "b", "m")) == 3600.0
    assert passed(begun, Moment(1060.0, 3605.0, "b", "m")) == 60.0


def test_between_two_boots_a_wall_clock_that_came_up_late_empties_no_window() -> None:
    begun = Moment(1000.0, 5.0, "a", "m")
    assert passed(begun, Moment(1060.0, 65.0, "a", "m"), Moment(90_000.0, 3.0, "b", "n")) == 60.0
    assert passed(begun, Moment(90_000.0, 3.0, "b", "n"), Moment(90_030.0, 33.0, "b", "n")) == 30.0


@pytest.mark.parametrize(
    ("now", "left"),
    [
        (Moment(1060.0, 65.0, "a", "m"), 7140.0),
        (
            Moment(8200.0, 65.0, "b", "m"),
            0.0,
        ),  # by the wall it is time: early is safe, the target's own end is the same
        (
            Moment(-80_000.0, 7205.0, "b", "m"),
            0.0,
        ),  # another process, the wall clock set back by a day: the machine knows
        (Moment(-80_000.0, 6205.0, "b", "m"), 1000.0),
        (Moment(-80_000.0, 7.0, "b", "n"), 7200.0),  # after a boot nobody does: never later than its whole time again
    ],
)
def test_an_undo_of_another_process_goes_by_the_clock_that_has_moved_most(now: Moment, left: float) -> None:
    begun = Moment(1000.0, 5.0, "a", "m")
    state = written(begun)
    undo = Undo(
        run="r", incident="i", step=0, action="a", arguments={}, key="k", due_at=8200.0, since=placed(State(), begun)
    )
    assert undo.left(placed(state, now)) == left


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("now", "clock", "by", "reason"),
    [
        (Moment(1060.0, 65.0, "a", "m"), "", 0.0, ""),
        (Moment(1062.0, 65.0, "a", "m"), "", 0.0, ""),
        (Moment(1058.0, 65.0, "a", "m"), "", 0.0, ""),
        (Moment(1000.0, 4.9999999, "b", "m"), "", 0.0, ""),  # as rounding may have it
        (Moment(1062.5, 65.0, "a", "m"), "wall", 2.5, "the wall clock was stepped by +2.5 s (or the machine slept)"),
        (Moment(1057.5, 65.0, "a", "m"), "wall", -2.5, "the wall clock was stepped by -2.5 s"),
        (
            Moment(4660.0, 65.0, "b", "m"), "wall", 3600.0,
            "the wall clock was stepped by +3600.0 s (or the machine slept), while no service ran",
        ),
        (Moment(998.0, 65.0, "b", "n"), "", 0.0, ""),
        (Moment(9e9, 65.0, "b", "n"), "", 0.0, ""),
        (
            Moment(990.0, 65.0, "b", "n"), "wall", -10.0,
            "the wall clock is 10.0 s before the last entry, which another process wrote",
        ),
        (Moment(1060.0, 2.0, "b", "m"), "monotonic", -3.0, "the monotonic clock of this machine went back by 3.0 s"),
    ],
)  # fmt: skip
def test_a_step_is_told_by_two_clocks_of_one_machine_or_by_a_wall_clock_that_went_back(
    now: Moment, clock: str, by: float, reason: str
) -> None:
    step = step_between(Moment(1000.0, 5.0, "a", "m"), now)
    assert (step is not None) == bool(clock)
    if step is not None:
        assert (step.clock, step.by, step.reason, step.since) == (clock, by, reason, 1000.0)


def test_a_process_that_begins_compares_its_clocks_with_its_machines_last_entry_or_else_the_last_of_all() -> None:
    mine, other = Moment(1000.0, 5.0, "a", "m"), Moment(1010.0, 700.0, "b", "n")
    state = written(mine, other)
    for host, at in (("m", 1000.0), ("n", 1010.0), ("o", 1010.0)):
        known = last_known(state, Moment(2000.0, 9.0, "c", host))
        assert known is not None
        assert known.at == at
    assert last_known(State(), mine) is None


def test_a_state_keeps_its_clocks_over_a_snapshot(build: Build) -> None:
    state = build.fold(State(), STOPPED)
    state = build.fold(state, STOPPED, moment=build.moment(9.0, boot="boot-2"))
    assert set(state.pulses) == {"boot-1"}
