"""The fold: how one entry changes the state, and which entries it does not admit."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from remediator.core import entries as e
from remediator.core.alerts import AlertStatus, parse_notification
from remediator.core.fold import REMEMBERED, fold
from remediator.core.outcomes import failed_for_now, ok
from remediator.core.planning import dispose
from remediator.core.state import Matches, Moment, RunStatus, State, Storm
from remediator.errors import IllegalEntry

if TYPE_CHECKING:
    from tests.unit.conftest import Build

INCIDENT, RUN = "inc-1", "inc-1.1"
NAMES: dict[str, Any] = {"incident": INCIDENT, "run": RUN}


def refused(build: Build, state: State, fact: e.AnyFact, why: str) -> None:
    """The fold does not admit `fact`, and says why."""
    with pytest.raises(IllegalEntry, match=why):
        build.fold(state, fact)


# ── order and kinds ──────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("seq", [0, 1, 3, -1])
def test_entries_follow_each_other_without_gap(build: Build, seq: int) -> None:
    state = build.fold(State(), e.ServiceStopped(reason="-"))
    with pytest.raises(IllegalEntry, match=f"entry {seq} cannot follow entry 1"):
        fold(state, build.entry(seq, e.ServiceStopped(reason="-")))


def test_a_kind_that_this_version_does_not_know_is_refused(build: Build) -> None:
    class Unknown(e.Fact, frozen=True, kw_only=True, tag="from.tomorrow"):
        pass

    refused(build, State(), typing.cast("e.AnyFact", Unknown()), r"'from\.tomorrow' is not a kind of entry")


@pytest.mark.parametrize(
    "fact",
    [
        e.ConfigRefused(problems=()),
        e.Quarantined(what="x", reason="-"),
        e.LateEvidence(**NAMES, step=0, attempt=1, outcome=ok("-")),
        e.PauseCleared(scope="all", by="ana"),
        e.EpisodeLapsed(identity="nobody", reason="-"),
        e.MessageOutcome(message="m", receiver="r", outcome=ok("-")),
    ],
    ids=e.kind_of,
)
def test_what_is_only_kept_changes_nothing(build: Build, fact: e.AnyFact) -> None:
    before = build.started()
    assert build.fold(before, fact) == msgspec.structs.replace(before, seq=before.seq + 1)


def test_the_journal_names_its_store_and_the_rules_in_force(build: Build) -> None:
    loaded = e.ConfigLoaded(digest="r2", rules=(), mode="auto", longest_window=1e6)
    state = build.fold(State(), e.JournalOpened(store_id="s-1"), loaded)
    assert (state.store_id, state.rules_digest, state.longest_window) == ("s-1", "r2", 1e6)
    again = build.fold(state, msgspec.structs.replace(loaded, longest_window=60.0))
    assert again.longest_window == 1e6  # a reload does not make the limiters forget


# ── intake ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def received(alerts: int = 1) -> e.NotificationReceived:
    return e.NotificationReceived(alerts=alerts, body=msgspec.Raw(b"{}"))


def test_a_notification_is_disposed_of_once_and_whole(build: Build) -> None:
    state = build.fold(State(), received(2))
    read = e.AlertRead(identity="", status=AlertStatus.FIRING, starts_at=0.0)
    refused(build, state, e.NotificationDisposed(notification=1, alerts=(read,)), "has 2 alerts, 1 got a disposition")
    refused(build, state, e.NotificationDisposed(notification=2, alerts=(read,) * 2), "twice, or never received")
    state = build.fold(state, e.NotificationDisposed(notification=1, alerts=(read,) * 2))
    refused(build, state, e.NotificationDisposed(notification=1, alerts=(read,) * 2), "twice, or never received")
    assert (state.tally.received, state.tally.disposed, len(state.pending), len(state.episodes)) == (2, 2, 0, 0)


def heard(build: Build, state: State, *reads: e.AlertRead, after: float = 0.0) -> State:
    state = build.fold(state, received(len(reads)), after=after)
    return build.fold(state, e.NotificationDisposed(notification=state.seq, alerts=reads), after=after)


def firing(starts: float = 0.0, labels: dict[str, str] | None = None, identity: str = "a1") -> e.AlertRead:
    found = {"alertname": "Bounces"} if labels is None else labels
    return e.AlertRead(identity=identity, status=AlertStatus.FIRING, starts_at=starts, labels=found)


def resolved(ends: float | None = 9.0, word: str = "resolved", identity: str = "a1") -> e.AlertRead:
    told = (e.Disposal(disposition=word),)
    return e.AlertRead(identity=identity, status=AlertStatus.RESOLVED, starts_at=0.0, ends_at=ends, disposals=told)


def test_an_episode_keeps_its_earliest_and_its_latest_start_and_when_it_was_heard(build: Build) -> None:
    state = heard(build, State(), firing(5.0))
    state = heard(build, state, firing(3.0, {}), after=10.0)
    state = heard(build, state, firing(7.0, {}), after=20.0)
    (episode,) = state.episodes.values()
    assert (episode.starts_at, episode.latest_start, episode.last_heard) == (3.0, 7.0, build.zero + 20.0)
    assert (episode.id, episode.labels) == ("a1.1", {"alertname": "Bounces"})


def test_a_stale_end_ends_nothing_and_a_stale_firing_begins_nothing(build: Build) -> None:
    state = heard(build, State(), firing())
    assert heard(build, state, resolved(word="stale")).episodes["a1"].status == "open"
    over = heard(build, state, resolved())
    assert over.episodes["a1"].status == "resolved"
    assert heard(build, over, firing(1.0, {})).episodes["a1"].number == 1
    assert heard(build, over, firing(20.0)).episodes["a1"].number == 2
    assert heard(build, over, resolved(50.0)).episodes["a1"].ends_at == 9.0
    assert heard(build, State(), resolved()).episodes == State().episodes


def test_an_end_without_a_time_is_when_it_was_heard(build: Build) -> None:
    state = heard(build, heard(build, State(), firing()), resolved(None), after=30.0)
    assert state.episodes["a1"].ends_at == build.zero + 30.0


def test_a_lapsed_episode_is_over_but_proves_no_recovery(build: Build) -> None:
    state = heard(build, build.fold(State(), *build.open()), firing())
    state = build.fold(state, e.EpisodeLapsed(identity="a1", reason="silence"), after=99.0)
    assert (state.episodes["a1"].status, state.episodes["a1"].ends_at) == ("lapsed", build.zero + 99.0)
    assert state.incidents[INCIDENT].resolved_at is None
    assert build.fold(state, e.EpisodeLapsed(identity="a1", reason="again")).episodes == state.episodes


# ── incidents ────────────────────────────────────────────────────────────────────────────────────────────────────────
def joined(identity: str) -> e.AlertRead:
    told = (e.Disposal(disposition="joined", incident=INCIDENT, rule="bounces"),)
    return e.AlertRead(identity=identity, status=AlertStatus.FIRING, starts_at=0.0, labels={"a": "1"}, disposals=told)


def test_an_incident_has_resolved_when_all_of_its_alerts_have(build: Build) -> None:
    state = heard(build, build.fold(State(), *build.open()), firing(), joined("a2"), joined("a2"))
    assert state.incidents[INCIDENT].episodes == ("a1", "a2")
    assert state.incident_by_episode["a2"] == (INCIDENT,)
    state = heard(build, state, resolved())
    assert state.incidents[INCIDENT].resolved_at is None
    state = heard(build, state, resolved(identity="a2"), after=30.0)
    assert state.incidents[INCIDENT].resolved_at == build.zero + 30.0
    again = heard(build, state, joined("a3"), after=40.0)
    assert again.incidents[INCIDENT].resolved_at is None


def test_an_end_that_was_heard_already_keeps_its_time(build: Build) -> None:
    state = heard(build, build.fold(State(), *build.open()), firing())
    state = heard(build, state, resolved(), after=5.0)
    state = heard(build, state, firing(20.0), after=6.0)
    state = heard(build, state, resolved(30.0), after=7.0)
    assert state.incidents[INCIDENT].resolved_at == build.zero + 5.0


def test_joining_an_incident_that_is_closed_joins_nothing(build: Build) -> None:
    state = heard(build, State(), joined("a2"))
    assert state.incidents == State().incidents
    assert state.episodes["a2"].status == "open"


def test_a_rule_works_on_a_target_once_at_a_time(build: Build) -> None:
    state = build.fold(State(), *build.open())
    opened, _ = build.open(number=2)
    refused(build, state, opened, "incident inc-1 is open for bounces on domain=example.com")
    closed = build.fold(state, e.IncidentClosed(incident=INCIDENT, result="failed", reason="-"))
    assert build.fold(closed, opened).open_by_key[("bounces", "domain=example.com")] == "inc-2"


def test_closing_an_incident_leaves_nothing_of_it(build: Build) -> None:
    state = build.fold(State(), build.open()[0])
    other = e.IncidentOpened(incident="inc-9", rule="other", target={}, episode="a1.1", labels={})
    state = build.fold(state, other)
    closed = build.fold(state, e.IncidentClosed(incident=INCIDENT, result="failed", reason="-"))
    assert set(closed.incidents) == {"inc-9"}
    assert closed.incident_by_episode["a1"] == ("inc-9",)
    assert dict(closed.open_by_key) == {("other", ""): "inc-9"}
    empty = build.fold(closed, e.IncidentClosed(incident="inc-9", result="failed", reason="-"))
    assert not empty.incident_by_episode
    refused(build, empty, e.IncidentClosed(incident="inc-9", result="failed", reason="-"), "incident inc-9 is not open")


def test_two_alerts_end_in_an_incident_that_is_gone(build: Build) -> None:
    state = heard(build, build.fold(State(), *build.open()), firing(), joined("a2"))
    gone = msgspec.structs.replace(state, incidents=state.incidents.delete(INCIDENT))
    assert heard(build, gone, resolved()).episodes["a1"].status == "resolved"


def test_an_ordinary_escalation_does_not_stand_in_for_one_that_is_made_once(build: Build) -> None:
    state = build.fold(State(), *build.open(), e.Escalated(incident=INCIDENT, reason="-"), after=5.0)
    assert not state.escalated
    state = build.fold(state, e.Escalated(incident=INCIDENT, reason="-", about="blast_radius:bounces"), after=6.0)
    assert dict(state.escalated) == {"blast_radius:bounces": build.zero + 6.0}


# ── the brakes over all rules ────────────────────────────────────────────────────────────────────────────────────────
def test_care_is_due_on_the_first_start_and_on_no_other(build: Build) -> None:
    started = e.ServiceStarted(version="1", mode="auto")
    state = build.fold(State(), started)
    assert (state.served, state.cautions["all"].since, state.cautions["all"].used) == (True, build.moment(), 0)
    assert build.fold(state, started, after=9.0).cautions == state.cautions


def test_silence_is_measured_between_two_processes(build: Build) -> None:
    stopped = e.ServiceStopped(reason="-")
    state = build.fold(build.fold(State(), stopped), stopped, after=500.0)
    assert (state.last, state.silence) == (build.moment(500.0), 0.0)
    again = build.fold(state, stopped, stopped, moment=build.moment(4100.0, boot="boot-2"))
    assert again.silence == 3600.0
    assert build.fold(again, stopped, moment=build.moment(4000.0, boot="boot-3")).silence == 0.0


def test_the_runs_that_begin_where_care_is_due_are_counted(build: Build) -> None:
    begun = [e.CautionBegan(scope=scope, reason="-") for scope in ("all", "rule:bounces", "rule:other")]
    state = build.fold(State(), *begun, *build.open(), build.start())
    assert {scope: caution.used for scope, caution in state.cautions.items()} == {
        "all": 1, "rule:bounces": 1, "rule:other": 0,
    }  # fmt: skip
    dry = build.fold(State(), *begun, *build.open(dry=True), build.start(dry=True))
    assert dry.cautions["all"].used == 0


def test_only_an_outage_makes_deaf(build: Build) -> None:
    state = build.fold(State(), e.CautionBegan(scope="all", reason="-", outage=7200.0), after=5.0)
    assert state.deaf_until == build.zero + 5.0
    state = build.fold(state, e.CautionBegan(scope="all", reason="-"), after=9.0)
    assert (state.deaf_until, state.cautions["all"].since) == (build.zero + 5.0, build.moment(9.0))


def test_a_storm_has_its_beginning_and_its_end(build: Build) -> None:
    ended = e.StormEnded(episodes=0, reason="-")
    assert build.fold(State(), ended).storm is None
    state = build.fold(State(), e.StormBegan(episodes=51, limit=50, window=60.0))
    assert state.storm == Storm(began=build.moment())
    state = build.fold(state, ended, after=70.0)
    assert state.storm == Storm(began=build.moment(), ended=build.moment(70.0))
    again = build.fold(state, e.StormBegan(episodes=51, limit=50, window=60.0), after=90.0)
    assert again.storm == Storm(began=build.moment(90.0))


def test_firings_that_rules_match_are_remembered_and_no_others(build: Build) -> None:
    state = build.received(State(), build.body(build.wire_alert(), build.wire_alert(alertname="Nobody")))
    assert state.matched == (Matches(at=build.moment(), episodes=1),)
    repeated = build.received(state, build.body(build.wire_alert()), after=5.0)
    assert repeated.matched == state.matched


def test_what_is_remembered_of_firings_is_bounded_and_none_is_forgotten(build: Build) -> None:
    state = State()
    for number in range(REMEMBERED + 44):
        state = build.received(state, build.body(build.wire_alert(alertname="Bounces", domain=f"d{number}.example")))
    assert len(state.matched) == REMEMBERED
    assert sum(one.episodes for one in state.matched) == REMEMBERED + 44


def test_an_alert_that_waited_was_heard_when_it_came(build: Build) -> None:
    body = build.body(build.wire_alert())
    state = build.fold(State(), e.NotificationReceived(alerts=1, body=msgspec.Raw(body)))
    facts = dispose(build.planner(), state, state.seq, parse_notification(body), build.zero + 7200.0)
    state = build.fold(state, *facts, after=7200.0)
    assert [episode.last_heard for episode in state.episodes.values()] == [build.zero]


# ── people and messages ──────────────────────────────────────────────────────────────────────────────────────────────
def test_pauses_stand_side_by_side_until_cleared(build: Build) -> None:
    both = (e.PauseSet(scope="all", reason="x", by="ana"), e.PauseSet(scope="rule:bounces", reason="y", by="ben"))
    state = build.fold(State(), *both)
    found = state.pause_for("bounces")
    assert found is not None
    assert found.scope == "all"
    state = build.fold(state, e.PauseCleared(scope="all", by="ana"))
    found = state.pause_for("bounces")
    assert found is not None
    assert (found.scope, found.reason, found.by, found.at) == ("rule:bounces", "y", "ben", build.zero)
    assert state.pause_for("other") is None


def test_whoever_was_held_back_by_a_pause_looks_again_when_it_is_cleared(build: Build) -> None:
    held = e.RunDecided(**NAMES, answer="defer", verdicts=(), until=build.zero + 600.0)
    state = build.fold(State(), e.PauseSet(scope="all", reason="x", by="ana"), *build.open(), held)
    other = build.plan(rule="other")
    state = build.fold(state, *build.open(other, number=2))
    cleared = build.fold(state, e.PauseCleared(scope="all", by="ana"))
    assert cleared.runs[RUN].not_before is None
    assert cleared.runs["inc-2.1"] == state.runs["inc-2.1"]


def test_a_message_stays_until_it_was_delivered_or_given_up(build: Build) -> None:
    intent = e.MessageIntent(message="m", receiver="r", incident=INCIDENT, subject="s", text="t")
    state = build.fold(State(), intent)
    assert state.outbox["m"].next_at == build.zero
    later = e.MessageOutcome(message="m", receiver="r", outcome=failed_for_now("503"), next_at=build.zero + 60.0)
    state = build.fold(state, later)
    assert (state.outbox["m"].attempt, state.outbox["m"].next_at) == (2, build.zero + 60.0)
    assert not build.fold(state, e.MessageOutcome(message="m", receiver="r", outcome=ok("told"), attempt=2)).outbox


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("earlier", "now", "seconds"),
    [
        (Moment(100.0, 10.0, "a"), Moment(160.0, 70.0, "a"), 60.0),
        (Moment(100.0, 10.0, "a"), Moment(9e9, 70.0, "a"), 60.0),
        (Moment(100.0, 10.0, "a"), Moment(40.0, 70.0, "a"), -60.0),
        (Moment(100.0, 10.0, "a"), Moment(160.0, 5.0, "b"), 60.0),
    ],
)
def test_time_passes_by_the_clock_that_moved_less(earlier: Moment, now: Moment, seconds: float) -> None:
    assert now.since(earlier) == seconds


def test_runs_under_way_are_listed_in_the_order_of_their_planning(build: Build) -> None:
    other = build.plan(rule="other")
    state = build.fold(State(), *build.open(other, number=2), after=5.0)
    state = build.fold(state, *build.open(), after=9.0)
    assert [run.id for run in state.active_runs] == ["inc-2.1", "inc-1.1"]


@pytest.mark.parametrize("status", RunStatus)
def test_a_status_is_final_or_not(status: RunStatus) -> None:
    waiting = {"planned", "deferred", "awaiting_approval", "running", "verifying", "rolling_back", "needs_person"}
    assert status.final is (status.value not in waiting)
