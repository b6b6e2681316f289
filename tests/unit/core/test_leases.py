"""Who is at work on what: by the envelope of what was appended, until it stops, or others take what it held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.leases import BEAT_EVERY, GONE_AFTER, NOBODY, SILENT_AFTER, holders
from remediator.core.outcomes import UndoOutcome, UndoResult
from remediator.core.state import State
from remediator.errors import IllegalEntry

if TYPE_CHECKING:
    from tests.unit.conftest import Build

UNDONE: dict[str, Any] = {"incident": "inc-1", "run": "inc-1.1", "step": 0}


def work(build: Build) -> State:
    """A run with a temporary effect in the air, a message and a notification: all by boot-1."""
    state = build.fold(build.started(), build.intent(undo_at=build.zero + 600.0))
    message = e.MessageIntent(message="m", receiver="r", incident="inc-1", subject="s", text="t")
    return build.fold(state, message, e.NotificationReceived(alerts=1, body=msgspec.Raw(b"{}")))


def kept(state: State) -> set[str]:
    """Who holds the run, its undo, the message and the notification."""
    return {one.holder for many in (state.runs, state.undos, state.outbox, state.pending) for one in many.values()}


def test_open_work_belongs_to_the_process_that_appended_it(build: Build) -> None:
    state = work(build)
    assert kept(state) == holders(state) == {"boot-1"}
    assert state.runs["inc-1.1"].issuer == "boot-1"
    assert holders(State()) == frozenset()


def test_who_takes_the_lease_holds_all_of_the_gone_and_nothing_of_others(build: Build) -> None:
    there = build.moment(boot="boot-2")
    state = build.fold(work(build), *build.open(build.plan(locks=("other",), target={"domain": "b.example"}), number=2))
    state = build.fold(state, e.NotificationReceived(alerts=1, body=msgspec.Raw(b"{}")), moment=build.moment(boot="b3"))
    state = build.fold(state, e.LeaseTaken(holders=("boot-1",), epoch=1), moment=there)
    assert holders(state) == {"boot-2", "b3"}
    assert {run.holder for run in state.runs.values()} == {"boot-2"}
    assert state.runs["inc-1.1"].issuer == "boot-1"  # who made the attempt does not change
    assert state.epoch == 1


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_lease_that_does_not_follow_the_last_one_is_refused(build: Build, epoch: int) -> None:
    with pytest.raises(IllegalEntry, match=f"lease {epoch} cannot follow lease 0"):
        build.fold(work(build), e.LeaseTaken(holders=("boot-1",), epoch=epoch))


def test_a_clean_stop_leaves_its_work_to_anybody(build: Build) -> None:
    state = build.fold(work(build), e.ServiceStopped(reason="-"))
    assert holders(state) == {NOBODY}
    assert build.fold(state, e.LeaseTaken(holders=(NOBODY,), epoch=1)).runs["inc-1.1"].holder == "boot-1"


def test_an_undo_that_another_has_in_hand_names_it_until_its_end_or_that_of_the_other(build: Build) -> None:
    there = build.moment(boot="boot-2")
    state = build.fold(work(build), build.outcome())
    state = build.fold(state, e.UndoIntent(**UNDONE, attempt=1, cause="person", by="ana"), moment=there)
    assert (state.undos["inc-1.1/0"].holder, state.undos["inc-1.1/0"].at_work) == ("boot-1", "boot-2")
    assert holders(state) == {"boot-1", "boot-2"}
    failed = UndoOutcome(result=UndoResult.FAILED, sentence="-")
    told = build.fold(state, e.UndoConcluded(**UNDONE, attempt=1, outcome=failed, next_at=build.zero + 60.0))
    assert told.undos["inc-1.1/0"].at_work == ""
    over = build.fold(state, e.LeaseTaken(holders=("boot-2",), epoch=1), moment=build.moment(boot="boot-1"))
    assert (over.undos["inc-1.1/0"].holder, over.undos["inc-1.1/0"].at_work) == ("boot-1", "")


def test_a_silent_replica_stops_well_before_others_take_its_work() -> None:
    assert BEAT_EVERY < SILENT_AFTER < GONE_AFTER - 10.0
