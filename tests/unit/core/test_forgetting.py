"""What is over for long is forgotten, by an entry, and a forgotten firing never comes back under its old name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.forgetting import keep_for, needed_from, next_number, sweep, swept
from remediator.core.planning import dispose
from remediator.core.rules import Guards
from remediator.core.state import Grant, State
from remediator.errors import IllegalEntry

if TYPE_CHECKING:
    from remediator.core.alerts import Alert
    from tests.unit.conftest import Build

DAY = 86_400.0


def told(build: Build, state: State, *alerts: Alert, after: float) -> tuple[State, list[str]]:
    """The state after these alerts came, and what became of them."""
    seq = state.seq + 1
    received = e.NotificationReceived(alerts=len(alerts), body=msgspec.Raw(b"{}"))
    state = build.fold(state, received, after=after)
    facts = dispose(build.planner(), state, seq, build.notification(*alerts), build.moment(after).at)
    for fact in facts:
        state = build.fold(state, fact, after=after)
    (disposed,) = [fact for fact in facts if isinstance(fact, e.NotificationDisposed)]
    return state, [disposal.disposition for read in disposed.alerts for disposal in read.disposals]


def over(build: Build, *, starts: float = 0.0, ends: float = 60.0) -> State:
    """An alert that no rule matches fired and was resolved."""
    state, _ = told(build, State(), build.alert(starts=starts, alertname="Other"), after=starts)
    state, _ = told(build, state, build.alert(starts=starts, ends=ends, alertname="Other"), after=ends)
    return state


def forget(build: Build, state: State, after: float, keep: float = DAY) -> State:
    """The state after a sweep at that time; it must have found something."""
    (fact,) = sweep(state, build.moment(after), keep)
    return build.fold(state, fact, after=after)


def test_episodes_are_kept_a_day_twice_the_longest_cooldown_or_twice_the_repeat_interval(build: Build) -> None:
    slow = build.rule("slow", guards=Guards(cooldown=2 * DAY))
    assert keep_for([], 28_800.0) == DAY
    assert keep_for([build.rule()], 3 * DAY) == 3 * DAY
    assert keep_for([build.rule(), slow], 28_800.0) == 4 * DAY


def test_a_resolved_firing_is_forgotten_when_its_time_is_over_and_not_before(build: Build) -> None:
    state = over(build)
    assert sweep(state, build.moment(DAY + 59.0), DAY) == []
    after = forget(build, state, DAY + 61.0)
    assert len(after.episodes) == 0
    assert after.forgotten_until == build.zero + 60.0


def test_what_fires_is_never_forgotten(build: Build) -> None:
    state, _ = told(build, State(), build.alert(alertname="Other"), after=0.0)
    assert sweep(state, build.moment(400 * DAY), DAY) == []


def test_what_lapsed_is_remembered_over_a_long_silence(build: Build) -> None:
    state, _ = told(build, State(), build.alert(alertname="Other"), after=0.0)
    (name,) = state.episodes
    state = build.fold(state, e.EpisodeLapsed(identity=name, reason="silence"), after=28_800.0)
    assert sweep(state, build.moment(7 * DAY), DAY) == []
    after = forget(build, state, 7 * DAY + 28_801.0)
    assert len(after.episodes) == 0
    assert after.forgotten_until == 0.0, "nobody said that it had ended: what fires on is no late copy"


def test_an_episode_of_an_open_incident_stays(build: Build) -> None:
    state, dispositions = told(build, State(), build.alert(), after=0.0)
    assert dispositions == ["planned"]
    state, _ = told(build, state, build.alert(ends=60.0), after=60.0)
    assert sweep(state, build.moment(30 * DAY), DAY) == []


def test_a_late_copy_of_a_forgotten_firing_is_stale_and_a_new_firing_is_not(build: Build) -> None:
    state = forget(build, over(build), DAY + 61.0)
    now = DAY + 100.0
    state, dispositions = told(build, state, build.alert(alertname="Other"), after=now)
    assert dispositions == ["stale"]
    state, dispositions = told(build, state, build.alert(starts=60.0, alertname="Other"), after=now)
    assert dispositions == ["stale"], "it began when the forgotten one ended"
    assert len(state.episodes) == 0
    state, dispositions = told(build, state, build.alert(starts=61.0, alertname="Other"), after=now)
    assert dispositions == ["unmatched"]


def test_on_a_fresh_journal_an_alert_that_fires_for_long_is_new(build: Build) -> None:
    _, dispositions = told(build, State(), build.alert(starts=-30 * DAY), after=0.0)
    assert dispositions == ["planned"]


def test_a_firing_after_a_forgotten_one_gets_another_incident(build: Build) -> None:
    state, _ = told(build, State(), build.alert(), after=0.0)
    (first,) = state.incidents
    state = build.fold(state, e.IncidentClosed(incident=first, result="recovered", reason="-"), after=1.0)
    (gone,) = state.runs
    state = msgspec.structs.replace(state, runs=state.runs.delete(gone))
    state, _ = told(build, state, build.alert(ends=60.0), after=60.0)
    state = forget(build, state, DAY + 61.0)
    state, dispositions = told(build, state, build.alert(starts=DAY), after=DAY + 100.0)
    assert dispositions == ["planned"]
    (second,) = state.incidents
    assert second != first, "the store holds the claims of the first for as long as its entries"
    assert next_number(state, "another") == 2


def test_a_place_in_a_limiter_is_forgotten_when_no_window_reaches_it(build: Build) -> None:
    old = Grant(rule="r", target="t", run="a.1", incident="a", taken=build.moment(), ended=build.moment(10.0), place=3)
    running = Grant(rule="s", target="t", run="b.1", incident="b", taken=build.moment(), place=5)
    state = State(seq=9, grants=State().grants.update({"r": (old,), "s": (running,)}))
    horizon = DAY * 1.05 + 60.0
    assert sweep(state, build.moment(horizon), DAY) == []
    assert needed_from(state, build.moment(horizon)) == 3
    after = forget(build, state, horizon + 11.0)
    assert dict(after.grants) == {"s": (running,)}
    assert needed_from(state, build.moment(horizon + 11.0)) == 5


def test_an_escalation_is_forgotten_when_no_window_reaches_it(build: Build) -> None:
    state = State(escalated=State().escalated.update({"old": build.zero, "new": build.zero + 3600.0}))
    after = forget(build, state, DAY * 1.05 + 61.0)
    assert dict(after.escalated) == {"new": build.zero + 3600.0}


def test_forgetting_again_changes_nothing(build: Build) -> None:
    state = forget(build, over(build), DAY + 61.0)
    fact = e.StateSwept(before=build.zero + 2 * DAY, lapsed_before=0.0, escalated_before=0.0)
    assert swept(state, fact, build.moment(2 * DAY)) == state


def test_entries_that_something_open_rests_on_are_needed(build: Build) -> None:
    assert needed_from(State(seq=7), build.moment()) == 8
    state, _ = told(build, over(build), build.alert(), after=100.0)
    (incident,) = state.incidents.values()
    assert needed_from(state, build.moment()) == incident.place == 6
    received = e.NotificationReceived(alerts=1, body=msgspec.Raw(b"{}"))
    waiting = build.fold(over(build), received, after=100.0)
    assert needed_from(waiting, build.moment()) == waiting.seq


def test_only_what_is_there_and_not_pruned_yet_can_be_pruned(build: Build) -> None:
    state = build.fold(over(build), e.JournalPruned(seq=2, mac="ab", count=2))
    assert (state.pruned_seq, state.pruned_mac) == (2, "ab")
    for seq in (2, 9):
        with pytest.raises(IllegalEntry, match="cannot be pruned"):
            build.fold(state, e.JournalPruned(seq=seq, mac="cd", count=1))


def test_a_late_end_of_a_forgotten_firing_is_stale(build: Build) -> None:
    state = forget(build, over(build), DAY + 61.0)
    _, dispositions = told(build, state, build.alert(ends=60.0, alertname="Other"), after=DAY + 100.0)
    assert dispositions == ["stale"]
