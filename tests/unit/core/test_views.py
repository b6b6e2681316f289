"""Views: entries and state as plain values that any JSON tool can read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.outcomes import Result
from remediator.core.state import State
from remediator.core.verdicts import allow
from remediator.core.views import fact_of, line_of, runs_of, status_of, undos_of

if TYPE_CHECKING:
    from tests.unit.conftest import Build

NAMES: dict[str, Any] = {"incident": "inc-1", "run": "inc-1.1"}
TOLD: dict[str, object] = {"version": "0.1.0", "mode": "auto", "rules": 3, "head": "7:ab", "last_notification_at": 9.5}


def test_a_line_has_a_word_a_sentence_and_where_it_belongs(build: Build) -> None:
    verdicts = (allow("mode", "the mode is auto"),)
    line = line_of(build.entry(7, e.RunDecided(**NAMES, answer="allow", verdicts=verdicts)))
    assert (line.seq, line.at, line.kind, line.word) == (7, build.zero, "run.decided", "decided")
    assert (line.incident, line.run, line.verdicts) == ("inc-1", "inc-1.1", verdicts)
    assert line.sentence == "run: 1 guards passed"
    plain = line_of(build.entry(8, e.ServiceStopped(reason="-")))
    assert (plain.incident, plain.run, plain.verdicts) == ("", "", ())
    assert json.loads(msgspec.json.encode(line))["fact"]["answer"] == "allow"


def test_a_notification_is_shown_without_its_body() -> None:
    fact = e.NotificationReceived(alerts=2, body=msgspec.Raw(b'{"secret": 1}'), peer="192.0.2.7")
    assert fact_of(fact) == {"kind": "notification.received", "alerts": 2, "peer": "192.0.2.7", "bytes": 13}


def test_a_fact_is_shown_with_its_kind() -> None:
    assert fact_of(e.ServiceStopped(reason="SIGTERM")) == {"kind": "service.stopped", "reason": "SIGTERM"}


def busy(build: Build) -> State:
    """One run of each kind: held back, waiting for a yes, running, and in doubt."""
    state = State()
    for number in (1, 2, 3, 4):
        plan = build.plan(target={"domain": f"d{number}.example"}, locks=(f"d{number}",))
        state = build.fold(state, *build.open(plan, number=number), after=float(number))
        if number > 2:
            state = build.fold(state, build.start(plan, number=number))
    defer = e.RunDecided(**NAMES, answer="defer", verdicts=(), until=build.zero + 60.0)
    request = e.ApprovalRequested(incident="inc-2", run="inc-2.1", digest="x", expires=build.zero + 90.0)
    names: dict[str, Any] = {"incident": "inc-4", "run": "inc-4.1"}
    intent = build.intent(undo_at=build.zero + 30.0, **names)
    unknown = build.outcome(Result.UNKNOWN, **names)
    return build.fold(state, defer, request, intent, unknown, e.RunParked(**names, reason="in doubt"))


def test_a_run_is_shown_with_what_it_waits_for(build: Build) -> None:
    held, asking, running, doubt = runs_of(busy(build))
    assert [run.status for run in (held, asking, running, doubt)] == [
        "deferred", "awaiting_approval", "running", "needs_person",
    ]  # fmt: skip
    assert (held.until, asking.until, running.until) == (build.zero + 60.0, build.zero + 90.0, None)
    assert (running.deadline, running.target) == (build.zero + 1800.0, "domain=d3.example")
    assert doubt.sentence == "in doubt"


def test_the_status_says_what_needs_a_person_what_runs_and_what_is_held_back(build: Build) -> None:
    pauses = (e.PauseSet(scope="rule:x", reason="-", by="ana"), e.PauseSet(scope="all", reason="-", by="ben"))
    state = build.fold(busy(build), *pauses, e.NotificationReceived(alerts=2, body=msgspec.Raw(b"{}")))
    view = status_of(state, build.zero + 91.0, TOLD, ["the store is slow"])
    assert [run.run for run in view.needs_you] == ["inc-2.1", "inc-4.1"]
    assert [run.run for run in view.running] == ["inc-3.1"]
    assert [run.run for run in view.held_back] == ["inc-1.1"]
    assert [pause.scope for pause in view.pauses] == ["all", "rule:x"]
    assert (view.version, view.mode, view.rules, view.head, view.entries) == ("0.1.0", "auto", 3, "7:ab", state.seq)
    assert (view.received, view.disposed, view.pending, view.last_notification_at) == (2, 0, 1, 9.5)
    assert view.problems == ("the store is slow",)
    (undo,) = view.undos
    assert (undo.undo, undo.overdue, undo.due_at) == ("inc-4.1/0", True, build.zero + 30.0)
    json.loads(msgspec.json.encode(view))


@pytest.mark.parametrize("told", [{"last_notification_at": None}, {"last_notification_at": "x"}, {}])
def test_without_a_notification_there_is_no_time_of_one(told: dict[str, object]) -> None:
    some = {name: value for name, value in TOLD.items() if name != "last_notification_at"}
    assert status_of(State(), 0.0, some | told, ()).last_notification_at is None


@pytest.mark.parametrize(("after", "overdue"), [(0.0, False), (90.0, False), (90.1, True)])
def test_an_undo_is_overdue_a_minute_after_its_time(build: Build, after: float, overdue: bool) -> None:
    (undo,) = undos_of(busy(build), build.zero + after)
    assert undo.overdue is overdue


def test_undos_can_be_shown_of_one_incident(build: Build) -> None:
    state = build.fold(build.started(), build.intent(undo_at=build.zero + 60.0), build.outcome())
    later = msgspec.structs.replace(state.undos["inc-1.1/0"], run="inc-2.1", incident="inc-2", due_at=build.zero)
    state = msgspec.structs.replace(state, undos=state.undos.set("inc-2.1/0", later))
    assert [undo.undo for undo in undos_of(state, 0.0)] == ["inc-2.1/0", "inc-1.1/0"]
    assert [undo.undo for undo in undos_of(state, 0.0, "inc-1")] == ["inc-1.1/0"]
    assert undos_of(state, 0.0, "inc-9") == ()
