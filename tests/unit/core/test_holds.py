"""What holds everything back, and for how long: safe mode after lost history (G16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.core.consequences import Routing, consequences
from remediator.core.holds import Standing, safe_mode, standing
from remediator.core.state import Hold, RunStatus, State
from remediator.core.verdicts import defer

if TYPE_CHECKING:
    from tests.unit.conftest import Build

LOST = e.SafeModeEntered(reason="entry 12 is gone", lasts=100.0)


def told(hold: Standing | None) -> tuple[str, float | None]:
    assert hold is not None
    return hold.sentence, hold.until


# ── safe mode ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_safe_mode_stands_until_somebody_releases_it(build: Build) -> None:
    state = build.fold(State(), LOST)
    sentence = (
        "safe mode since 2026-11-24 10:26:40Z: entry 12 is gone; "
        "no effects until somebody releases it: remediator release --reason TEXT"
    )
    for after in (0.0, 1e7):
        assert [hold.word for hold in standing(state, build.moment(after))] == ["safe_mode"]
        assert told(safe_mode(state, build.moment(after))) == (sentence, None)


def test_after_a_release_the_longest_window_has_to_pass_since_the_loss(build: Build) -> None:
    state = build.fold(State(), LOST)
    state = build.fold(state, e.SafeModeReleased(by="ana", reason="checked"), after=40.0)
    assert told(safe_mode(state, build.moment(40.0))) == (
        (
            "safe mode since 2026-11-24 10:26:40Z: entry 12 is gone; released by ana, "
            "effects begin 2026-11-24 10:28:20Z, after the longest window"
        ),
        build.zero + 100.0,
    )
    assert safe_mode(state, build.moment(99.9)) is not None
    assert safe_mode(state, build.moment(100.0)) is None


def test_a_release_that_does_not_wait_ends_it_at_once(build: Build) -> None:
    state = build.fold(State(), LOST, e.SafeModeReleased(by="ana", reason="a test system", at_once=True))
    assert safe_mode(state, build.moment()) is None


def test_the_wall_clock_does_not_shorten_the_wait(build: Build) -> None:
    state = build.fold(State(), LOST, e.SafeModeReleased(by="ana", reason="checked"))
    assert safe_mode(state, build.moment(1.0, step=1e6)) is not None


def test_a_release_of_nothing_changes_nothing(build: Build) -> None:
    state = build.fold(State(), e.SafeModeReleased(by="ana", reason="-"))
    assert not state.holds


@pytest.mark.parametrize(
    "release",
    [
        e.SafeModeReleased(by="ana", reason="-"),
        e.SafeModeReleased(by="ana", reason="-", at_once=True),
    ],
)
def test_whoever_waited_looks_again_after_a_release(build: Build, release: e.SafeModeReleased) -> None:
    until = build.zero + 900.0
    held = e.RunDecided(
        incident="inc-1", run="inc-1.1", answer="defer", verdicts=(defer("clock", "-", until),), until=until
    )
    state = build.fold(State(), *build.open(), held, LOST)
    assert state.runs["inc-1.1"].not_before == until
    run = build.fold(state, release).runs["inc-1.1"]
    assert (run.status, run.not_before) == (RunStatus.DEFERRED, None)


def test_lost_history_calls_people_once_and_says_what_to_do(build: Build) -> None:
    state = build.fold(State(), LOST)
    routing = Routing(escalate=("people",), base_url="https://console.example")
    (escalated,) = consequences(State(), state, LOST, build.planner(), routing)
    assert isinstance(escalated, e.Escalated)
    assert escalated.reason == (
        "safe mode: entry 12 is gone; no effects until somebody releases it: remediator release --reason TEXT"
    )
    (message,) = consequences(state, state, escalated, build.planner(), routing)
    assert isinstance(message, e.MessageIntent)
    assert message.subject == "[people are needed] all rules"
    assert message.text == f"all rules\n{escalated.reason}"
    assert message.link == "https://console.example/"


def test_a_mark_is_expected_once_it_was_kept(build: Build) -> None:
    state = build.fold(State(), e.ServiceStarted(version="1", mode="auto", marked=True))
    assert build.fold(state, e.ServiceStarted(version="1", mode="auto")).marked


def test_a_second_loss_begins_the_wait_anew(build: Build) -> None:
    state = build.fold(State(), LOST, e.SafeModeReleased(by="ana", reason="-"))
    state = build.fold(state, LOST, after=90.0)
    hold: Hold = state.holds["safe_mode"]
    assert (hold.since.at, hold.released_by) == (build.zero + 90.0, "")
