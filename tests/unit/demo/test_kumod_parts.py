"""The small pure parts of the simulated kumod: names, durations, rates, orders, faults, the ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remediator.demo.kumod import humantime, shaping
from remediator.demo.kumod.admin import Criteria, Orders, Suspension
from remediator.demo.kumod.faults import Fault, Faults, Kind
from remediator.demo.kumod.ledger import Ledger
from remediator.demo.kumod.names import QueueName
from remediator.demo.kumod.shaping import Bucket, Rate


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (QueueName(domain="gmail.com"), "gmail.com"),
        (QueueName(domain="gmail.com", tenant="acme"), "acme@gmail.com"),
        (QueueName(domain="gmail.com", tenant="acme", campaign="news"), "news:acme@gmail.com"),
        (QueueName(domain="gmail.com", campaign="news"), "news:@gmail.com"),
        (QueueName(domain="gmail.com", tenant="acme", routing_domain="mx.x"), "acme@gmail.com!mx.x"),
    ],
)
def test_a_queue_is_spelt_as_kumod_spells_it(name: QueueName, text: str) -> None:
    assert str(name) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300.0),
        ("1h 30m", 5_400.0),
        ("1h30m", 5_400.0),
        ("2days", 172_800.0),
        ("1500ms", 1.5),
        ("1M", 2_630_016.0),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert humantime.parse(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "5", "m", "5 parsecs", "1h-2m", "99999999999999999999y"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"empty|expected|unknown|large"):
        humantime.parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1_798.012, "29m 58s 12ms"),
        (299.999001, "4m 59s 999ms 1us"),
        (90_061.0, "1day 1h 1m 1s"),
        (0.0, "0s"),
        (-1.0, "0s"),
    ],
)
def test_remaining_time_is_spelt_in_all_its_parts(seconds: float, text: str) -> None:
    assert humantime.spell(seconds) == text


def test_an_instant_without_a_zone_is_refused() -> None:
    assert humantime.parse_instant("2026-08-04T12:00:00Z") == humantime.parse_instant("2026-08-04T14:00:00+02:00")
    with pytest.raises(ValueError, match="premature"):
        humantime.parse_instant("2026-08-04T12:00:00")


@pytest.mark.parametrize(
    ("text", "count", "period", "burst"),
    [
        ("100/h", 100, 3_600, 100),
        ("1,000/minute", 1_000, 60, 1_000),
        ("10_000/d", 10_000, 86_400, 10_000),
        ("10/s,max_burst=1", 10, 1, 1),
    ],
)
def test_rates_are_read(text: str, count: int, period: int, burst: int) -> None:
    assert Rate.parse(text) == Rate(count=count, period=period, burst=burst)


@pytest.mark.parametrize("text", ["", "100", "100/fortnight", "0/h", "-1/h", "a/h"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a rate"):
        Rate.parse(text)


def test_a_bucket_lets_the_burst_through_and_then_the_rate() -> None:
    bucket = Bucket(Rate.parse("60/min"), 0.0)
    assert bucket.available(0.0) == 60
    bucket.spend(60)
    assert bucket.available(0.5) == 0
    assert bucket.wait == pytest.approx(0.5)
    assert bucket.available(10.0) == 10
    assert bucket.available(1_000.0) == 60


def test_the_most_particular_rate_of_the_file_holds() -> None:
    found = shaping.load(
        '["default"]\nmax_message_rate = "9/s"\n["a.com"]\nmax_message_rate = "8/s"\n'
        '["a.com".sources."ip-1"]\nmax_message_rate = "7/s"\n["b.com"]\nmx_rollup = false\n'
    )
    rates = [found.rate("a.com", "ip-1"), found.rate("a.com", "ip-2"), found.rate("b.com", "ip-1")]
    assert [rate.count for rate in rates if rate is not None] == [7, 8, 9]


def test_a_missing_shaping_file_shapes_nothing(tmp_path: Path) -> None:
    assert shaping.read(tmp_path / "absent.toml") == shaping.NOTHING


def test_no_criteria_mean_every_queue_and_queue_names_win() -> None:
    queue = QueueName(domain="gmail.com", tenant="acme")
    assert Criteria().match(queue)
    assert not Criteria(campaign="news").match(queue)
    assert Criteria(domain="yahoo.com", queue_names=frozenset({"acme@gmail.com"})).match(queue)
    assert not Criteria(domain="gmail.com", queue_names=frozenset({"gmail.com"})).match(queue)


def test_the_same_criteria_replace_an_order_and_its_id() -> None:
    book = Orders().suspensions
    first, other, again = (
        Suspension(reason=reason, expires=100.0, criteria=Criteria(domain=domain))
        for reason, domain in (("a", "x.com"), ("b", "y.com"), ("c", "x.com"))
    )
    for entry in (first, other, again):
        book.add(entry)
    assert [entry.reason for entry in book.active(0.0)] == ["b", "c"]
    assert book.remove(first.id, 0.0) is None
    assert book.remove(again.id, 0.0) is again


def test_an_order_ends_by_the_clock() -> None:
    book = Orders().suspensions
    entry = Suspension(reason="a", expires=100.0, criteria=Criteria())
    book.add(entry)
    assert book.active(99.9) == [entry]
    assert book.remove(entry.id, 100.0) is None


def test_a_fault_meets_so_many_requests_under_its_path() -> None:
    faults = Faults()
    faults.add(Fault(path_prefix="/api/admin/", kind=Kind.HANG, count=2))
    met = [
        faults.take(path)
        for path in ("/metrics", "/api/admin/suspend/v1", "/api/admin/bounce/v1", "/api/admin/rebind/v1")
    ]
    assert met == [None, Kind.HANG, Kind.HANG, None]


def test_the_ledger_is_on_disk_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    for _ in range(2):
        ledger = Ledger(path, node="kumod-1")
        ledger.append({"method": "POST", "path": "/x", "applied": True})
        ledger.close()
    assert [json.loads(line)["n"] for line in path.read_text().splitlines()] == [1, 2]
