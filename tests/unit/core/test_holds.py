"""What holds everything back, and for how long: safe mode after lost history (G16), a stepped clock (G5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.consequences import Routing, consequences
from remediator.core.fleet import enforced
from remediator.core.holds import Standing, clock_hold, safe_mode, standing
from remediator.core.state import Hold, RunStatus, State
from remediator.core.verdicts import Answer, defer
from remediator.guards.clock import ClockGuard

if TYPE_CHECKING:
    from tests.unit.conftest import Build

LOST = e.SafeModeEntered(reason="entry 12 is gone", lasts=100.0)


STEPPED = e.ClockAnomaly(
    clock="wall",
    step=3600.0,
    since=1_795_515_999.0,
    reason="the wall clock was stepped by +3600.0 s (or the machine slept)",
    lasts=enforced(86_400.0),
)


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
    state = build.fold(State(), e.SafeModeReleased(by="ana", reason="-"), e.ClockReleased(by="ana", reason="-"))
    assert not state.holds


@pytest.mark.parametrize(
    "release",
    [
        e.SafeModeReleased(by="ana", reason="-"),
        e.SafeModeReleased(by="ana", reason="-", at_once=True),
        e.ClockReleased(by="ana", reason="-"),
    ],
)
def test_whoever_waited_looks_again_after_a_release(build: Build, release: e.AnyFact) -> None:
    until = build.zero + 900.0
    held = e.RunDecided(
        incident="inc-1", run="inc-1.1", answer="defer", verdicts=(defer("clock", "-", until),), until=until
    )
    state = build.fold(State(), *build.open(), held, LOST, STEPPED)
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


# ── the clock ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_stepped_clock_holds_for_one_longest_window_and_says_so_and_clears_by_itself(build: Build) -> None:
    state = build.fold(State(), STEPPED)
    assert told(clock_hold(state, build.moment(40.0))) == (
        (
            "the wall clock was stepped by +3600.0 s (or the machine slept), seen 2026-11-24 10:26:40Z; "
            "what is limited is held until 2026-11-25 10:41:05Z (one longest window), "
            "or until a named person releases it: remediator release --reason TEXT"
        ),
        build.zero + 87_265.0,
    )
    assert clock_hold(state, build.moment(87_264.9)) is not None
    assert clock_hold(state, build.moment(87_265.0)) is None
    assert clock_hold(State(), build.moment()) is None


def test_a_hold_that_the_settings_cut_short_says_which_setting(build: Build) -> None:
    state = build.fold(State(), msgspec.structs.replace(STEPPED, lasts=300.0))
    assert "held until 2026-11-24 10:31:40Z (limits.clock_hold), or" in told(clock_hold(state, build.moment()))[0]


def test_another_step_begins_the_wait_of_the_clock_anew_and_a_release_ends_it(build: Build) -> None:
    state = build.fold(build.fold(State(), STEPPED), STEPPED, after=1000.0)
    assert clock_hold(state, build.moment(87_265.0 + 999.0)) is not None
    assert clock_hold(build.fold(state, e.ClockReleased(by="ana", reason="NTP")), build.moment(1001.0)) is None


def test_neither_clock_shortens_the_wait_of_the_clock(build: Build) -> None:
    state = build.fold(State(), STEPPED)
    assert clock_hold(state, build.moment(1.0, step=1e6)) is not None
    assert clock_hold(state, build.moment(90_000.0, step=-10_000.0)) is not None


def test_all_holds_are_told_the_stricter_first(build: Build) -> None:
    state = build.fold(State(), STEPPED, LOST)
    assert [hold.word for hold in standing(state, build.moment(1.0))] == ["safe_mode", "clock"]
    assert standing(State(), build.moment()) == ()


def test_a_step_calls_people_and_more_of_them_while_it_holds_do_not(build: Build) -> None:
    routing = Routing(escalate=("people",))
    state = build.fold(State(), STEPPED)
    (escalated,) = consequences(State(), state, STEPPED, build.planner(), routing)
    assert isinstance(escalated, e.Escalated)
    assert escalated.reason.startswith("clock: the wall clock was stepped by +3600.0 s (or the machine slept), seen ")
    again = build.fold(state, STEPPED, after=5.0)
    assert consequences(state, again, STEPPED, build.planner(), routing) == []
    later = build.fold(state, STEPPED, after=90_000.0)
    assert len(consequences(state, later, STEPPED, build.planner(), routing)) == 1


def test_the_clock_guard_defers_what_is_limited_until_the_hold_clears(build: Build) -> None:
    guard, state = ClockGuard(), build.fold(State(), STEPPED)
    for dry in (False, True):
        verdict = guard.check(build.facts(state, build.run(dry=dry), moment=build.moment(1.0)))
        assert (verdict.guard, verdict.answer) == ("clock", Answer.DEFER)
        assert verdict.until == build.zero + 87_265.0
    allowed = guard.check(build.facts(moment=build.moment()))
    assert (allowed.answer, allowed.sentence) == (Answer.ALLOW, "the clocks agree")
