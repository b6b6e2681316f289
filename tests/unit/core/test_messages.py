"""What people are told of an incident: whole in itself, and only what is so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from remediator.core import entries as e
from remediator.core.consequences import Routing, consequences
from remediator.core.messages import LONGEST_TEXT, MOST_STEPS, call_of, done, happened, instead
from remediator.core.outcomes import Outcome, Result, failed, failed_for_now, ok
from remediator.core.state import State

if TYPE_CHECKING:
    from tests.unit.conftest import Build

NAMES: dict[str, Any] = {"incident": "inc-1", "run": "inc-1.1"}
ROUTING = Routing(
    by_severity={"critical": ("sms", "email", "slack")},
    escalate=("pager",),
    base_url="https://r.example",
    early=("slack", "pager"),
    fallback=("sms", "email", "slack", "pager", "log"),
)


def entailed(build: Build, before: State, fact: e.AnyFact, routing: Routing = ROUTING) -> list[e.MessageIntent]:
    """The messages that are appended with `fact`."""
    facts = consequences(before, build.fold(before, fact), fact, build.planner(), routing)
    return [one for one in facts if isinstance(one, e.MessageIntent)]


def closed(result: str = "recovered") -> e.IncidentClosed:
    return e.IncidentClosed(incident="inc-1", result=result, reason="0.03 < 0.10")


def ended(result: str) -> e.RunEnded:
    return e.RunEnded(**NAMES, result=result, reason="-")


# ── the text ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_last_word_tells_what_happened_what_was_done_whether_it_worked_and_what_ends_when(build: Build) -> None:
    plan = build.plan(build.planned_step(does="pause example.com", undo_after=60.0), build.planned_step(name="Report"))
    state = build.started(plan)
    state = build.fold(
        state, build.intent(undo_at=60.0), build.outcome(), build.intent(1), build.outcome(Result.FAILED, 1)
    )
    state = build.fold(state, ended("failed"))
    message = entailed(build, state, closed("failed"))[0]
    assert message.subject == "[failed] bounces on domain=example.com"
    assert message.text == (
        "inc-1: bounces on domain=example.com\n"
        "What happened: Bounces, critical\n"
        "What we did:\n"
        "  pause example.com: ok\n"
        "  Report: failed\n"
        "Did it work: failed: 0.03 < 0.10\n"
        "Will be taken back: mail.pause at 1970-01-01 00:01:00Z"
    )
    assert (message.link, message.severity, message.call) == ("https://r.example/incidents/inc-1", "critical", "begin")
    assert (message.target, message.since) == ({"domain": "example.com"}, build.zero)


def test_what_is_in_doubt_or_was_taken_back_is_said_so(build: Build) -> None:
    state = build.fold(build.started(), build.intent(), build.outcome(Result.UNKNOWN))
    incident = state.incidents["inc-1"]
    assert done(incident, state) == ["What we did:", "  Pause: may or may not have happened"]
    state = build.fold(build.started(), build.intent(), build.outcome(), e.RollbackStarted(**NAMES, reason="-"))
    state = build.fold(state, ended("rolled_back"))
    assert done(state.incidents["inc-1"], state) == ["What we did:", "  Pause: ok", "  what was changed was taken back"]


def test_a_dry_run_did_nothing(build: Build) -> None:
    state = build.fold(build.started(dry=True), build.intent(dry=True), build.outcome(simulated=True))
    assert done(state.incidents["inc-1"], state) == ["What we did: nothing"]
    state = build.fold(state, ended("simulated"))
    assert state.incidents["inc-1"].did == ()


def test_a_run_whose_incident_is_gone_leaves_nothing_behind(build: Build) -> None:
    state = build.fold(build.started(), build.intent(), build.outcome(), closed("failed"), ended("failed"))
    assert not state.incidents


def test_many_steps_are_cut(build: Build) -> None:
    incident = build.incident(did=tuple(f"step {number}: ok" for number in range(MOST_STEPS + 3)))
    lines = done(incident, State())
    assert (len(lines), lines[-1]) == (MOST_STEPS + 2, "  and 3 more")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"summary": "too many bounces"}, "What happened: too many bounces (Bounces, critical)"),
        ({"summary": "too many bounces", "labels": {}, "severity": ""}, "What happened: too many bounces"),
        ({}, "What happened: Bounces, critical"),
        ({"by": "ana", "summary": "asked"}, "What happened: ana started it by hand: asked"),
        ({"by": "ana"}, "What happened: ana started it by hand"),
    ],
)
def test_what_happened_is_one_line(build: Build, changes: dict[str, Any], line: str) -> None:
    assert happened(build.incident(**changes)) == [line]


def test_where_nothing_is_known_nothing_is_said(build: Build) -> None:
    assert happened(build.incident(labels={}, severity="")) == []


@pytest.mark.parametrize(
    ("result", "call"), [("recovered", "end"), ("closed_by_person", "end"), ("failed", "begin"), ("unverified", "")]
)
def test_only_an_end_that_settles_it_ends_the_call(result: str, call: str) -> None:
    assert call_of(result) == call


def test_a_reason_for_people_stands_between_what_was_done_and_what_ends_when(build: Build) -> None:
    (message,) = entailed(build, build.started(), e.Escalated(**NAMES, reason="step 1 is in doubt"))
    assert message.text.split("\n")[2:] == ["What we did: nothing", "Why people are needed: step 1 is in doubt"]


# ── who hears when ───────────────────────────────────────────────────────────────────────────────────────────────────
def test_some_hear_that_work_begins(build: Build) -> None:
    plan = build.plan(
        build.planned_step(does="pause example.com", undo_after=7200.0), build.planned_step(name="Report")
    )
    before = build.fold(State(), *build.open(plan))
    (message,) = entailed(build, before, build.start(plan))
    assert (message.receiver, message.subject) == ("slack", "[acting] bounces on domain=example.com")
    assert message.text.split("\n")[2:] == [
        "What we do now:", "  1. pause example.com (taken back after 2h)", "  2. Report",
    ]  # fmt: skip


def test_nobody_hears_of_the_start_of_a_dry_run_a_later_rung_or_a_run_without_incident(build: Build) -> None:
    before = build.fold(State(), *build.open(dry=True))
    assert entailed(build, before, build.start(dry=True)) == []
    rung = build.plan(rung=1)
    assert entailed(build, build.fold(State(), *build.open(rung)), build.start(rung)) == []
    gone = build.fold(State(), *build.open(), closed("failed"))
    assert entailed(build, gone, build.start()) == []


def test_whoever_was_called_hears_that_it_is_over(build: Build) -> None:
    state = build.started()
    for message in entailed(build, state, e.Escalated(**NAMES, reason="-")):
        state = build.fold(state, message)
    assert [one.receiver for one in entailed(build, state, closed())] == ["sms", "email", "slack", "pager"]
    assert [one.receiver for one in entailed(build, state, closed("resolved"))] == ["pager"]
    assert [one.receiver for one in entailed(build, state, closed("failed"))] == ["sms", "email", "slack"]
    assert entailed(build, build.started(), closed("resolved")) == []
    assert entailed(build, State(), e.MessageOutcome(message="m", receiver="r", outcome=ok("-"))) == []


def test_an_incident_that_nobody_knows_has_no_last_word(build: Build) -> None:
    assert consequences(State(), State(), closed(), build.planner(), ROUTING) == []


def test_a_receiver_gets_back_what_it_gave_for_the_first_message(build: Build) -> None:
    state = build.started()
    (first,) = entailed(build, build.fold(State(), *build.open()), build.start())
    state = build.fold(state, first)
    told = e.MessageOutcome(message=first.message, receiver="slack", outcome=ok("taken", receipt={"ts": "1"}))
    state = build.fold(state, told)
    assert state.incidents["inc-1"].told == {"slack": {"ts": "1"}}
    last = {one.receiver: one for one in entailed(build, state, closed())}
    assert (last["slack"].thread, last["sms"].thread) == ({"ts": "1"}, {})
    state = build.fold(state, last["slack"])
    assert state.incidents["inc-1"].told["slack"] == {"ts": "1"}
    assert state.outbox[last["slack"].message].thread == {"ts": "1"}


# ── the next receiver ────────────────────────────────────────────────────────────────────────────────────────────────
def sent(build: Build, *receivers: str, told: tuple[str, ...] | None = None) -> State:
    """A state in which these receivers are to get one message."""
    state = build.started()
    for receiver in receivers:
        intent = e.MessageIntent(
            message=f"msg-{receiver}", receiver=receiver, incident="inc-1", subject="s", text="t", call="begin",
            told=receivers if told is None else told,
        )  # fmt: skip
        state = build.fold(state, intent)
    return state


def lost(receiver: str, outcome: Outcome | None = None, next_at: float | None = None) -> e.MessageOutcome:
    return e.MessageOutcome(
        message=f"msg-{receiver}", receiver=receiver, outcome=outcome or failed("404 no_service"), next_at=next_at
    )


def test_what_a_receiver_does_not_take_goes_to_the_next_that_has_not_got_it(build: Build) -> None:
    state = sent(build, "sms", "email")
    (message,) = entailed(build, state, lost("sms"))
    assert (message.receiver, message.instead_of, message.call) == ("slack", "sms", "begin")
    assert message.text == "t\n(sms did not take this message: 404 no_service)"
    state = build.fold(state, lost("sms"), message)
    again = e.MessageOutcome(message=message.message, receiver="slack", outcome=failed("x"))
    (further,) = entailed(build, state, again)
    assert further.receiver == "pager"


@pytest.mark.parametrize(
    "fact", [lost("sms", ok("taken")), lost("sms", failed_for_now("503"), next_at=9.0), lost("unknown")]
)
def test_what_was_taken_or_is_tried_again_goes_nowhere_else(build: Build, fact: e.MessageOutcome) -> None:
    assert entailed(build, sent(build, "sms"), fact) == []


def test_when_all_have_been_tried_there_is_no_next(build: Build) -> None:
    assert entailed(build, sent(build, "log", told=ROUTING.fallback), lost("log")) == []
    assert entailed(build, sent(build, "sms"), lost("sms"), Routing()) == []


def test_two_that_fail_together_send_the_next_only_one_copy_as_long_as_it_has_not_got_it(build: Build) -> None:
    state = sent(build, "sms", "email")
    (message,) = entailed(build, state, lost("sms"))
    state = build.fold(state, lost("sms"), message)
    assert entailed(build, state, lost("email")) == []


def test_the_news_that_work_begins_goes_to_nobody_else(build: Build) -> None:
    (first,) = entailed(build, build.fold(State(), *build.open()), build.start())
    state = build.fold(build.started(), first)
    assert entailed(build, state, e.MessageOutcome(message=first.message, receiver="slack", outcome=failed("x"))) == []


def test_a_message_of_no_incident_goes_on_as_well(build: Build) -> None:
    intent = e.MessageIntent(message="m", receiver="sms", incident="", subject="s", text="t", told=("sms",))
    state = build.fold(State(), intent)
    (message,) = entailed(build, state, e.MessageOutcome(message="m", receiver="sms", outcome=failed("x")))
    assert (message.receiver, message.thread) == ("email", {})


def test_a_text_has_room_for_the_line_about_its_receiver() -> None:
    text = instead("t" * LONGEST_TEXT, "sms", "x" * 9000)
    assert len(text) <= LONGEST_TEXT
    assert text.endswith("x)")
