"""From a notification to dispositions, incidents and plans."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core import entries as e
from remediator.core.alerts import Alert, AlertStatus, parse_notification
from remediator.core.misses import nearest_miss
from remediator.core.planning import (
    Unplannable,
    dispose,
    incident_id,
    target_of,
)
from remediator.core.rules import Mode
from remediator.core.state import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.core.planning import Planner
    from tests.unit.conftest import Build

LABELS = {"alertname": "Bounces", "domain": "example.com", "instance": "mta1"}


def settle(build: Build, state: State, planner: Planner, *alerts: Alert, after: float = 0.0) -> tuple[State, list[str]]:
    """The state after one notification, and the dispositions of its alerts."""
    raw = msgspec.Raw(b"{}")
    state = build.fold(state, e.NotificationReceived(alerts=len(alerts), body=raw), after=after)
    facts = dispose(planner, state, state.seq, build.notification(*alerts), build.zero + after)
    return build.fold(state, *facts, after=after), dispositions(facts)


def dispositions(facts: Sequence[e.AnyFact]) -> list[str]:
    """One word for each alert and rule."""
    (disposed,) = [fact for fact in facts if isinstance(fact, e.NotificationDisposed)]
    return [disposal.disposition for alert in disposed.alerts for disposal in alert.disposals]


# ── captured notifications ───────────────────────────────────────────────────────────────────────────────────────────
# What becomes of the alerts of a file when it is the first that is ever heard, by a rule for everything on one instance.
CAPTURED = {
    "single-firing": {"planned": 1},
    "single-resolved": {"stale": 1},
    "group-firing": {"planned": 3},
    "mixed-firing-resolved": {"planned": 2, "stale": 1},
    "resolved-only": {"stale": 2},
    "truncated-hides-firing": {"stale": 2},
    "truncated-max-alerts": {"planned": 2},
    "truncated-mixed": {"planned": 1, "stale": 1},
    "truncated-large": {"planned": 1, "joined": 1},
    "large-500": {"planned": 3, "joined": 497},
    "receiver-name-escaped": {"planned": 1},
    "starts-at-nanoseconds": {"planned": 1},
    "ungrouped-firing": {"planned": 1},
    "ungrouped-resolved": {"stale": 1},
    "ungrouped-unicode": {"planned": 1},
    "unicode-escapes-firing": {"planned": 1},
    "unicode-escapes-resolved": {"stale": 1},
}


def of_captured(build: Build) -> Planner:
    """Plans for any of the captured alerts."""
    rule = build.rule("any", "alertname=~.+", group_by=("instance",), ladder=(build.rung(domain="static.example"),))
    return build.planner(rule)


def hear(build: Build, state: State, name: str) -> tuple[State, Counter[str]]:
    """The state after a captured notification, and what became of its alerts."""
    body = build.fixture(name)
    notification = parse_notification(body)
    state = build.fold(state, e.NotificationReceived(alerts=len(notification.alerts), body=msgspec.Raw(body)))
    facts = dispose(of_captured(build), state, state.seq, notification, build.zero)
    return build.fold(state, *facts), Counter(dispositions(facts))


@pytest.mark.parametrize("name", CAPTURED)
def test_a_captured_notification_gets_its_dispositions(build: Build, name: str) -> None:
    state, found = hear(build, State(), name)
    assert found == CAPTURED[name]
    assert state.tally.received == state.tally.disposed == sum(found.values())


def test_byte_identical_repeats_are_duplicates_and_the_end_is_heard(build: Build) -> None:
    state = State()
    heard: list[str] = []
    for name in ("repeat-1-first", "repeat-2", "repeat-3", "repeat-4-resolved", "repeat-1-first"):
        state, found = hear(build, state, name)
        heard.extend(found)
    assert heard == ["planned", "duplicate", "duplicate", "resolved", "stale"]
    assert len(state.runs) == 1


def test_a_snapshot_ends_only_what_it_says_has_ended(build: Build) -> None:
    state, _ = hear(build, State(), "group-firing")
    state, found = hear(build, state, "mixed-firing-resolved")
    assert found == {"duplicate": 2, "resolved": 1}
    assert [
        incident.target["instance"] for incident in state.incidents.values() if incident.resolved_at is not None
    ] == ["mta2.example:8000"]
    _, found = hear(build, state, "resolved-only")
    assert found == {"resolved": 2}


def test_an_alert_that_truncation_hides_stays_open(build: Build) -> None:
    fields = {"alertname": "KumoQueueDepthHigh"}
    state, planner = State(), of_captured(build)
    for instance in ("mta1", "mta2", "mta3"):
        state, _ = settle(build, state, planner, build.alert(fields, instance=instance))
    state, found = hear(build, state, "truncated-hides-firing")
    assert found == {"resolved": 2}
    assert [one.labels["instance"] for one in state.episodes.values() if one.status == "open"] == ["mta3"]


def test_how_many_alerts_were_withheld_is_on_record(build: Build) -> None:
    notification = parse_notification(build.fixture("truncated-large"))
    facts = dispose(of_captured(build), State(), 1, notification, build.zero)
    (disposed,) = [fact for fact in facts if isinstance(fact, e.NotificationDisposed)]
    assert disposed.truncated == 498


# ── duplicates do nothing (G3) ───────────────────────────────────────────────────────────────────────────────────────
# Two firings of one alert: from 0 to 10, and again from 20. Copies may say another start, and come at any time.
TWO_FIRINGS = {"fire": (0.0, None), "copy": (0.0, None), "twin": (1.0, None), "resolve": (0.0, 10.0),
               "resolve again": (1.0, 10.0), "re-fire": (20.0, None), "re-fire again": (20.0, None)}  # fmt: skip


class Orders:
    """All orders of some deliveries, sharing what they begin with."""

    def __init__(self, build: Build, *, closing: bool) -> None:
        self._build = build
        self._closing = closing
        self._planner = build.planner()
        self.orders = 0
        self.plans: Counter[tuple[int, int]] = Counter()

    def go(self, state: State, left: tuple[str, ...], first: int, second: int) -> None:
        """Delivers what is left in all orders; so many runs were planned for the first and the second firing."""
        assert first <= 1, "the first firing was planned twice"
        assert second <= 1, "the second firing was planned twice"
        if not left:
            self.orders += 1
            self.plans[first, second] += 1
        for name in left:
            starts, ends = TWO_FIRINGS[name]
            alert = self._build.alert(starts=starts, ends=ends)
            after, (word,) = settle(self._build, state, self._planner, alert, after=100.0)
            planned = word == "planned"
            rest = tuple(other for other in left if other != name)
            self.go(self._close(after), rest, first + (planned and starts < 10), second + (planned and starts >= 10))

    def _close(self, state: State) -> State:
        """Every run has its last word at once, so that nothing but the episode can hold a copy back."""
        if self._closing:
            for run in state.active_runs:
                state = self._build.fold(
                    state,
                    e.RunEnded(incident=run.incident, run=run.id, result="failed", reason="-"),
                    e.IncidentClosed(incident=run.incident, result="failed", reason="-"),
                )
        return state


def test_in_every_order_each_firing_is_planned_at_most_once(build: Build) -> None:
    orders = Orders(build, closing=True)
    orders.go(State(), tuple(TWO_FIRINGS), 0, 0)
    assert orders.orders == 5040
    assert set(orders.plans) == {(1, 0), (1, 1), (0, 1)}


def test_in_every_order_an_open_incident_is_joined_rather_than_doubled(build: Build) -> None:
    orders = Orders(build, closing=False)
    orders.go(State(), ("fire", "copy", "resolve", "twin", "resolve again", "re-fire"), 0, 0)
    assert orders.orders == 720
    assert set(orders.plans) == {(1, 0), (0, 1)}


@given(st.permutations(["firing", "firing", "resolved"]), st.booleans())
def test_what_one_copy_in_a_snapshot_says_to_fire_fires_wherever_it_stands(
    build: Build, order: list[str], known: bool
) -> None:
    state, planner = State(), build.planner()
    if known:
        state, _ = settle(build, state, planner, build.alert(replica="a"))
    alerts = [
        build.alert(replica=str(place), ends=50.0 if word == "resolved" else None) for place, word in enumerate(order)
    ]
    state, words = settle(build, state, planner, *alerts)
    assert Counter(words) == Counter(
        {"stale": 1, "duplicate": 2} if known else {"stale": 1, "duplicate": 1, "planned": 1}
    )
    (episode,) = state.episodes.values()
    assert (episode.status, episode.number) == ("open", 1)


def test_a_second_end_in_one_snapshot_is_stale(build: Build) -> None:
    state, _ = settle(build, State(), build.planner(), build.alert())
    ended = [build.alert(replica=name, ends=5.0) for name in "ab"]
    _, words = settle(build, state, build.planner(), *ended)
    assert words == ["resolved", "stale"]


def test_after_a_lapse_the_same_firing_counts_as_new(build: Build) -> None:
    state, _ = settle(build, State(), build.planner(), build.alert())
    state = build.fold(state, e.EpisodeLapsed(identity=build.identity(), reason="silence"))
    state, words = settle(build, state, build.planner(), build.alert())
    assert words == ["joined"]
    assert state.episodes[build.identity()].number == 2


@pytest.mark.parametrize(
    ("ends", "kept"), [(100.0, 100.0), (399.0, 399.0), (400.0, 400.0), (401.0, 400.0), (9e8, 400.0)]
)
def test_an_end_that_lies_far_ahead_cannot_make_later_firings_stale(build: Build, ends: float, kept: float) -> None:
    state, _ = settle(build, State(), build.planner(), build.alert())
    state, _ = settle(build, state, build.planner(), build.alert(ends=ends), after=100.0)
    assert state.episodes[build.identity()].ends_at == build.zero + kept


def test_a_resolved_alert_without_an_end_ends_now(build: Build) -> None:
    state, _ = settle(build, State(), build.planner(), build.alert())
    unended = msgspec.structs.replace(build.alert(ends=5.0), ends_at=None)
    state, words = settle(build, state, build.planner(), unended, after=7.0)
    assert words == ["resolved"]
    assert state.episodes[build.identity()].ends_at == build.zero + 7.0


# ── dispositions ─────────────────────────────────────────────────────────────────────────────────────────────────────
def disposals(build: Build, planner: Planner, *alerts: Alert, state: State | None = None) -> list[e.Disposal]:
    facts = dispose(planner, state or State(), 1, build.notification(*alerts), build.zero)
    (disposed,) = [fact for fact in facts if isinstance(fact, e.NotificationDisposed)]
    return [disposal for alert in disposed.alerts for disposal in alert.disposals]


def test_an_alert_for_which_no_rule_is_written_is_unmatched_with_the_nearest_miss(build: Build) -> None:
    planner = build.planner(
        build.rule("near", "alertname=Bounces", "severity=critical"), build.rule("far", "job=x", "y=z")
    )
    (found,) = disposals(build, planner, build.alert())
    assert found == e.Disposal(
        disposition="unmatched", reason="nearest miss: rule near: severity=\"critical\" (got '')"
    )


def test_it_is_told_where_only_an_annotation_has_what_a_label_should(build: Build) -> None:
    """This user's business alerts have their severity there, and no matcher sees it (reliability.md §3.5)."""
    planner = build.planner(build.rule("near", "alertname=Bounces", "severity=critical"))
    alert = msgspec.structs.replace(build.alert(), annotations={"severity": "critical"})
    (found,) = disposals(build, planner, alert)
    assert found.reason == (
        "nearest miss: rule near: severity=\"critical\" (got '', and 'critical' as an annotation: matchers see labels only)"
    )
    (found,) = disposals(build, planner, msgspec.structs.replace(alert, labels={**alert.labels, "severity": "minor"}))
    assert found.reason == "nearest miss: rule near: severity=\"critical\" (got 'minor')"


def test_without_rules_nothing_comes_near(build: Build) -> None:
    empty = build.planner().ruleset
    assert nearest_miss(type(empty)(rules=(), playbooks={}), LABELS) == "no rules are loaded"
    far = build.planner(*(build.rule(f"r{place}", f"job=x{place}") for place in range(101))).ruleset
    assert nearest_miss(far, LABELS) == "no rule comes near it"


def test_after_a_rule_that_takes_an_alert_on_and_says_stop_no_other_is_asked(build: Build) -> None:
    rules = [
        build.rule("off", mode=Mode.OFF, stop=True),
        build.rule("no-target", group_by=("tenant",), stop=True),
        build.rule("first", stop=True),
        build.rule("second"),
        build.rule("third"),
    ]
    found = disposals(build, build.planner(*rules), build.alert())
    assert [(one.rule, one.disposition) for one in found] == [
        ("off", "suppressed"),
        ("no-target", "quarantined"),
        ("first", "planned"),
        ("second", "suppressed"),
        ("third", "suppressed"),
    ]
    assert found[4].reason == "rule first stands before it, took the alert on and says stop"


def test_every_matching_rule_gives_its_own_answer_in_file_order(build: Build) -> None:
    off = build.rule("off", mode=Mode.OFF)
    no_target = build.rule("no-target", group_by=("tenant",))
    no_param = build.rule("no-param", ladder=(build.rung(domain="{{ labels.tenant }}"),))
    planner = build.planner(build.rule("first"), off, no_target, no_param, build.rule("last"))
    found = disposals(build, planner, build.alert())
    assert [(one.rule, one.disposition) for one in found] == [
        ("first", "planned"),
        ("off", "suppressed"),
        ("no-target", "quarantined"),
        ("no-param", "quarantined"),
        ("last", "planned"),
    ]
    assert all(one.reason for one in found)


def test_a_second_alert_on_the_same_target_joins(build: Build) -> None:
    planner = build.planner()
    first, second = build.alert(), build.alert(instance="mta2")
    (one, other) = disposals(build, planner, first, second)
    assert (one.disposition, other.disposition) == ("planned", "joined")
    assert one.incident == other.incident
    state, _ = settle(build, State(), planner, first, second)
    assert len(state.incidents[one.incident].episodes) == 2
    _, words = settle(build, state, planner, build.alert(instance="mta3"))
    assert words == ["joined"]


def test_a_malformed_alert_is_quarantined_and_opens_no_episode(build: Build) -> None:
    body = build.body(build.wire_alert(), build.wire_alert() | {"labels": {}})
    state = build.received(State(), body)
    assert len(state.episodes) == 1
    assert state.tally == type(state.tally)(received=2, disposed=2, notifications=1)


def test_the_servers_mode_bounds_every_rule(build: Build) -> None:
    assert disposals(build, build.planner(mode=Mode.OFF), build.alert())[0].disposition == "suppressed"
    for server, rule, dry in itertools.product(Mode, Mode, (True, False)):
        if Mode.OFF in (server, rule):
            continue
        planner = build.planner(build.rule(mode=rule), mode=server)
        facts = dispose(planner, State(), 1, build.notification(build.alert()), build.zero)
        (planned,) = [fact for fact in facts if isinstance(fact, e.RunPlanned)]
        assert planned.mode == min(server, rule).word
        assert planned.dry is (Mode.DRY_RUN in (server, rule)), dry


def test_what_is_received_is_disposed_or_pending_at_every_entry(build: Build) -> None:
    state, numbers = State(), random.Random(7)
    for _ in range(30):
        alerts = [build.alert(instance=str(numbers.randrange(5))) for _ in range(numbers.randrange(4))]
        state = build.fold(state, e.NotificationReceived(alerts=len(alerts), body=msgspec.Raw(b"{}")))
        assert state.tally.received == state.tally.disposed + sum(one.fact.alerts for one in state.pending.values())
        if numbers.random() < 0.6:
            facts = dispose(build.planner(), state, state.seq, build.notification(*alerts), build.zero)
            state = build.fold(state, *facts)
            assert state.tally.received == state.tally.disposed + sum(one.fact.alerts for one in state.pending.values())


def test_the_incident_opens_before_the_disposition_and_the_plan_comes_after(build: Build) -> None:
    facts = dispose(build.planner(), State(), 1, build.notification(build.alert()), build.zero)
    assert [e.kind_of(fact) for fact in facts] == ["incident.opened", "notification.disposed", "run.planned"]


def test_an_open_firing_of_a_known_alert_gets_the_next_number(build: Build) -> None:
    state, _ = settle(build, State(), build.planner(), build.alert())
    state, _ = settle(build, state, build.planner(), build.alert(ends=5.0))
    facts = dispose(build.planner(), state, 9, build.notification(build.alert(starts=20.0)), build.zero)
    (disposed,) = [fact for fact in facts if isinstance(fact, e.NotificationDisposed)]
    assert disposed.alerts[0].status is AlertStatus.FIRING
    state = build.fold(state, e.NotificationReceived(alerts=1, body=msgspec.Raw(b"{}")))
    state = build.fold(state, msgspec.structs.replace(disposed, notification=state.seq))
    assert state.episodes[build.identity()].id == f"{build.identity()}.2"


# ── targets ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("value", ["", " ", "*", "all", ".*", "%", "--"])
def test_a_target_that_is_empty_or_a_wildcard_is_none(build: Build, value: str) -> None:
    with pytest.raises(Unplannable, match="no target: label domain is"):
        target_of(build.rule(), {"domain": value})


def test_a_target_is_the_values_of_group_by(build: Build) -> None:
    rule = build.rule(group_by=("instance", "domain"))
    assert target_of(rule, LABELS) == {"instance": "mta1", "domain": "example.com"}
    with pytest.raises(Unplannable, match="label domain is ''"):
        target_of(rule, {"instance": "mta1"})


def test_the_name_of_an_incident_is_the_same_for_every_planner_and_different_for_every_firing() -> None:
    names = {incident_id(rule, f"{episode}.{number}") for rule in "ab" for episode in "xy" for number in range(200)}
    assert len(names) == 800
    assert all(len(name) == 12 and not set(name[4:]) & set("aeiouylS0O1") for name in names)
    assert incident_id("a", "x.1") == incident_id("a", "x.1") != incident_id("a x", ".1")
