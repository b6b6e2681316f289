"""Notifications and alerts: what is read from captured bodies, what is refused, what is put aside alone."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core import alerts
from remediator.core.alerts import (
    MOST_WITHHELD,
    Alert,
    AlertStatus,
    Malformed,
    count_alerts,
    identity,
    parse_alert,
    parse_notification,
    parse_time,
)

if TYPE_CHECKING:
    from tests.unit.conftest import Build

# How many alerts a file has, how many of them fire, and how many were withheld.
CAPTURED = {
    "group-firing": (3, 3, 0),
    "large-500": (500, 500, 0),
    "mixed-firing-resolved": (3, 2, 0),
    "receiver-name-escaped": (1, 1, 0),
    "repeat-1-first": (1, 1, 0),
    "repeat-2": (1, 1, 0),
    "repeat-3": (1, 1, 0),
    "repeat-4-resolved": (1, 0, 0),
    "resolved-only": (2, 0, 0),
    "single-firing": (1, 1, 0),
    "single-resolved": (1, 0, 0),
    "starts-at-nanoseconds": (1, 1, 0),
    "truncated-hides-firing": (2, 0, 1),
    "truncated-large": (2, 2, 498),
    "truncated-max-alerts": (2, 2, 1),
    "truncated-mixed": (2, 1, 1),
    "ungrouped-firing": (1, 1, 0),
    "ungrouped-resolved": (1, 0, 0),
    "ungrouped-unicode": (1, 1, 0),
    "unicode-escapes-firing": (1, 1, 0),
    "unicode-escapes-resolved": (1, 0, 0),
}


def read(body: bytes) -> list[Alert]:
    found = [alert for alert in parse_notification(body).alerts if isinstance(alert, Alert)]
    assert len(found) == count_alerts(body)
    return found


@pytest.mark.parametrize("name", CAPTURED)
def test_every_captured_notification_is_read_whole(build: Build, name: str) -> None:
    notification = parse_notification(build.fixture(name))
    firing = [alert for alert in read(build.fixture(name)) if alert.status is AlertStatus.FIRING]
    assert (len(notification.alerts), len(firing), notification.truncated) == CAPTURED[name]


@pytest.mark.parametrize("name", CAPTURED)
def test_a_firing_alert_has_no_end_and_a_resolved_one_has_it_after_its_start(build: Build, name: str) -> None:
    for alert in read(build.fixture(name)):
        if alert.status is AlertStatus.FIRING:
            assert alert.ends_at is None
        else:
            assert alert.ends_at is not None
            assert alert.ends_at > alert.starts_at


def test_every_captured_file_is_looked_at(build: Build) -> None:
    from pathlib import Path

    folder = Path(__file__).parents[2] / "fixtures" / "alertmanager"
    assert {path.stem for path in folder.glob("*.json")} == {*CAPTURED, "prometheus-to-alertmanager-post"}


def test_what_prometheus_sends_to_alertmanager_is_not_a_notification(build: Build) -> None:
    with pytest.raises(ValueError, match="not an Alertmanager notification"):
        parse_notification(build.fixture("prometheus-to-alertmanager-post"))


def test_the_status_of_the_group_decides_nothing(build: Build) -> None:
    body = build.body(build.wire_alert(), status="resolved")
    assert [alert.status for alert in read(body)] == [AlertStatus.FIRING]


def test_the_receiver_arrives_as_the_sender_quoted_it(build: Build) -> None:
    assert parse_notification(build.fixture("receiver-name-escaped")).receiver == r"kumo\.remediator \(prod\)"


def test_labels_outside_ascii_arrive_unchanged(build: Build) -> None:
    (alert,) = read(build.fixture("unicode-escapes-firing"))
    assert alert.labels["tenant"] == "O'Brien\nGmbH\\Söhne 株式会社"
    assert alert.labels["campaign"] == 'Été "soldes" 2026 – 50% <off> & more'
    assert "🚨\tTAB" in alert.annotations["description"]


def test_five_hundred_alerts_are_five_hundred_identities(build: Build) -> None:
    assert len({identity(alert.labels) for alert in read(build.fixture("large-500"))}) == 500


def test_the_three_repeats_are_the_same_bytes(build: Build) -> None:
    assert len({build.fixture(name) for name in ("repeat-1-first", "repeat-2", "repeat-3")}) == 1


# ── times ────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2026-11-24T10:28:04.359896406Z", 1795516084.359896),
        ("2026-11-24T10:28:04.3Z", 1795516084.3),
        ("2026-11-24T11:28:04+01:00", 1795516084.0),
        ("2026-11-24T05:58:04-04:30", 1795516084.0),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00.000Z", None),
    ],
)
def test_times_are_unix_seconds_whatever_their_zone_and_fraction(text: str, expected: float | None) -> None:
    assert parse_time(text) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-11-24", "2026-11-24T10:28:04", "1795516084", "2026-13-01T00:00:00Z"]
)
def test_what_is_no_time_with_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an RFC 3339 time|has no time zone"):
        parse_time(text)


@given(st.text(max_size=40))
def test_no_text_breaks_the_reading_of_times(text: str) -> None:
    with contextlib.suppress(ValueError):
        parse_time(text)


# ── refused for ever ─────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"alerts": 3}',
        b'{"alerts": [], "truncatedAlerts": "many"}',
        b'{"alerts": [}',
        b'{"alerts": []',
        b"\xff\xfe\x00",
        b'{"receiver": "\xff", "alerts": []}',
        b"[" * 100_000,
        b'{"alerts": ' + b"[" * 100_000,
        b'{"alerts":[{"a":' + b'{"a":' * 100_000,
    ],
)
def test_a_body_that_can_never_be_a_notification_is_refused_with_a_reason(body: bytes) -> None:
    for reader in (count_alerts, parse_notification):
        with pytest.raises(ValueError, match="the body is"):
            reader(body)


def test_more_alerts_than_a_sane_sender_has_are_refused(build: Build) -> None:
    body = b'{"alerts": [' + b",".join([b"{}"] * (alerts.MAX_ALERTS + 1)) + b"]}"
    with pytest.raises(ValueError, match="20001 alerts in one notification"):
        count_alerts(body)


def test_unknown_fields_are_accepted_because_newer_senders_only_add(build: Build) -> None:
    wire = build.wire_alert() | {"routeID": "7", "silenced": {"by": []}}
    assert len(read(build.body(wire, notificationReason="repeat", version="5"))) == 1


# ── one bad alert never fails its neighbours ─────────────────────────────────────────────────────────────────────────
BAD: dict[str, dict[str, Any]] = {
    "no status": {"status": None},
    "an unknown status": {"status": "smouldering"},
    "no labels": {"labels": {}},
    "only empty labels": {"labels": {"a": "", "b": ""}},
    "labels that are no object": {"labels": ["a", "b"]},
    "a label that is a number": {"labels": {"a": 3}},
    "a label without a name": {"labels": {"": "x"}},
    "a label with NUL": {"labels": {"a": "x\0y"}},
    "a label name with NUL": {"labels": {"a\0": "x"}},
    "a label that is too long": {"labels": {"a": "x" * 4097}},
    "a label name that is too long": {"labels": {"a" * 201: "x"}},
    "too many labels": {"labels": {f"l{number}": "x" for number in range(65)}},
    "no start": {"startsAt": None},
    "a start that is no time": {"startsAt": "soon"},
    "an end that is no time": {"endsAt": "later"},
    "annotations that are text": {"annotations": "x"},
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_alert_is_put_aside_and_its_neighbours_are_read(build: Build, fault: str) -> None:
    wire = {name: value for name, value in (build.wire_alert() | BAD[fault]).items() if value is not None}
    notification = parse_notification(build.body(build.wire_alert(), wire, build.wire_alert()))
    before, bad, after = notification.alerts
    assert isinstance(before, Alert)
    assert isinstance(after, Alert)
    assert isinstance(bad, Malformed)
    assert bad.reason
    assert len(bad.reason) <= 300


def test_an_alert_nested_too_deeply_is_put_aside() -> None:
    deep = b'{"status":"firing","startsAt":"2026-11-24T10:28:04Z","labels":{"a":"b"},"x":' + b"[" * 50_000
    bad = parse_alert(deep)
    assert isinstance(bad, Malformed)
    assert bad.reason == "nested too deeply"


def test_a_lone_surrogate_does_not_get_through(build: Build) -> None:
    body = build.body(build.wire_alert(a="PLACE")).replace(b"PLACE", b"\\ud800")
    try:
        (found,) = parse_notification(body).alerts
    except ValueError:
        return
    assert isinstance(found, Malformed)


def test_labels_without_a_value_are_dropped_as_the_sender_would(build: Build) -> None:
    (alert,) = read(build.body(build.wire_alert(alertname="A", empty="")))
    assert alert.labels == {"alertname": "A"}


def test_annotations_are_cut_to_size_rather_than_refused(build: Build) -> None:
    wire = build.wire_alert() | {"annotations": {f"n{place}": "x" * 20_000 for place in range(70)} | {"n0": "a\0b"}}
    (alert,) = read(build.body(wire))
    assert len(alert.annotations) == 64
    assert len(alert.annotations["n1"]) == 16_384
    assert alert.annotations["n0"] == "a\N{REPLACEMENT CHARACTER}b"


def test_annotations_that_are_null_are_none(build: Build) -> None:
    (alert,) = read(build.body(build.wire_alert() | {"annotations": None}))
    assert alert.annotations == {}


def test_a_start_in_year_one_is_the_beginning_of_time(build: Build) -> None:
    (alert,) = read(build.body(build.wire_alert() | {"startsAt": "0001-01-01T00:00:00Z"}))
    assert alert.starts_at == 0.0


def test_a_firing_alert_keeps_no_end_even_if_the_sender_gives_one(build: Build) -> None:
    (alert,) = read(build.body(build.wire_alert() | {"endsAt": "2027-01-01T00:00:00Z"}))
    assert alert.ends_at is None


def test_a_resolved_alert_may_come_without_an_end(build: Build) -> None:
    (alert,) = read(build.body(build.wire_alert(ends=5.0) | {"endsAt": ""}))
    assert (alert.status, alert.ends_at) == (AlertStatus.RESOLVED, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "status": st.sampled_from(["firing", "resolved"]) | json_values,
            "labels": st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3) | json_values,
            "startsAt": st.just("2026-11-24T10:28:04Z") | json_values,
            "endsAt": st.just("0001-01-01T00:00:00Z") | json_values,
            "annotations": json_values,
            "fingerprint": json_values,
        },
    )
)
def test_no_alert_at_all_breaks_the_reading(wire: dict[str, Any]) -> None:
    body = json.dumps({"alerts": [wire]}).encode()
    (found,) = parse_notification(body).alerts
    assert isinstance(found, (Alert, Malformed))


# ── identity ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_identity_does_not_depend_on_the_order_of_labels() -> None:
    assert identity({"a": "1", "b": "2"}) == identity({"b": "2", "a": "1"})


def test_labels_that_tell_replicas_apart_are_not_part_of_the_identity() -> None:
    assert (
        identity({"a": "1", "replica": "x"}) == identity({"a": "1", "prometheus_replica": "y"}) == identity({"a": "1"})
    )


def test_which_labels_are_ignored_can_be_said() -> None:
    assert identity({"a": "1", "zone": "x"}, ["zone"]) == identity({"a": "1"})
    assert identity({"a": "1", "replica": "x"}, ["zone"]) != identity({"a": "1"})


@given(
    st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3),
    st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3),
)
def test_different_labels_have_different_identities(one: dict[str, str], other: dict[str, str]) -> None:
    if not set(one) & alerts.IGNORED_LABELS and not set(other) & alerts.IGNORED_LABELS:
        assert (identity(one) == identity(other)) == (one == other)


def test_a_boundary_between_name_and_value_cannot_be_moved() -> None:
    assert identity({"ab": "c"}) != identity({"a": "bc"})
    assert identity({"a": "b", "c": "d"}) != identity({"a": "b\xffc\xffd"})


@pytest.mark.parametrize(("said", "taken"), [(-1, 0), (0, 0), (498, 498), (10**30, MOST_WITHHELD), (-(10**30), 0)])
def test_a_number_of_withheld_alerts_that_cannot_be_is_taken_for_one_that_can(
    build: Build, said: int, taken: int
) -> None:
    assert parse_notification(build.body(build.wire_alert(), truncated=said)).truncated == taken
