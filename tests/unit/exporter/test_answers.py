"""What answers of Sender Score and DNS lists mean; above all, what they do not mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.exporter.answers import Reply, Result, is_sound, question, read_listing, read_score

ADDRESSES = st.lists(st.ip_addresses(v=4).map(str), max_size=3).map(tuple)


@pytest.mark.parametrize(
    ("ip", "zone", "name"),
    [
        ("192.0.2.25", "zen.spamhaus.org", "25.2.0.192.zen.spamhaus.org"),
        (
            "2001:db8::1",
            "zen.spamhaus.org",
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.spamhaus.org",
        ),
    ],
)
def test_an_address_is_asked_for_in_reverse_below_the_zone(ip: str, zone: str, name: str) -> None:
    assert question(ip, zone) == name


@pytest.mark.parametrize(
    ("addresses", "result", "value"),
    [
        (("127.0.4.99",), Result.SCORE, 99),
        (("127.0.4.0",), Result.SCORE, 0),
        (("127.0.4.100",), Result.SCORE, 100),
        (("127.0.4.101",), Result.MALFORMED, 0),
        (("127.0.4.255",), Result.MALFORMED, 0),
        (("127.0.4.80", "127.0.4.20"), Result.MALFORMED, 0),
        (("127.0.4.80", "127.0.0.2"), Result.MALFORMED, 0),
        (("127.0.0.1",), Result.MALFORMED, 0),
        (("127.255.255.255",), Result.REFUSED, 0),
        (("127.255.255.254",), Result.REFUSED, 0),
        (("127.0.4.80", "127.255.255.255"), Result.REFUSED, 0),
        (("203.0.113.9",), Result.FOREIGN, 0),
        ((), Result.NO_SCORE, 0),
    ],
)
def test_a_score_is_127_0_4_n_and_nothing_else_is(addresses: tuple[str, ...], result: Result, value: int) -> None:
    learned = read_score(Reply(addresses=addresses, ttl=60.0))
    assert (learned.result, learned.value, learned.ttl) == (result, value, 60.0)


@pytest.mark.parametrize(
    ("addresses", "codes", "result"),
    [
        (("127.0.0.2",), (), Result.LISTED),
        (("127.0.0.10", "127.0.0.4"), (), Result.LISTED),
        ((), (), Result.CLEAR),
        (("127.0.0.10",), ("127.0.0.2", "127.0.0.3"), Result.CLEAR),
        (("127.0.0.10", "127.0.0.3"), ("127.0.0.2", "127.0.0.3"), Result.LISTED),
        (("127.0.0.1",), (), Result.REFUSED),
        (("127.255.255.254",), (), Result.REFUSED),
        (("127.255.255.252",), ("127.0.0.2",), Result.REFUSED),
        (("127.0.0.2", "127.255.255.255"), (), Result.REFUSED),
        (("198.51.100.1",), (), Result.FOREIGN),
        (("127.0.0.2", "198.51.100.1"), (), Result.FOREIGN),
    ],
)
def test_an_error_code_of_a_list_is_no_listing_and_no_clean_bill(
    addresses: tuple[str, ...], codes: tuple[str, ...], result: Result
) -> None:
    learned = read_listing(Reply(addresses=addresses), codes)
    assert learned.result is result
    assert learned.value == (1.0 if result is Result.LISTED else 0.0)


@pytest.mark.parametrize(
    ("fault", "result"),
    [
        ("timeout", Result.TIMEOUT),
        ("servfail", Result.SERVFAIL),
        ("refused", Result.REFUSED),
        ("odd", Result.MALFORMED),
    ],
)
def test_a_fault_of_dns_teaches_nothing(fault: str, result: Result) -> None:
    for learned in (read_score(Reply(fault=fault)), read_listing(Reply(fault=fault), ())):
        assert learned.result is result
        assert not learned.result.good


@given(addresses=ADDRESSES)
def test_what_does_not_begin_with_127_never_teaches_anything(addresses: tuple[str, ...]) -> None:
    foreign = (*addresses, "203.0.113.9")
    assert not read_score(Reply(addresses=foreign)).result.good
    assert not read_listing(Reply(addresses=foreign), ()).result.good


@given(octets=st.tuples(*[st.integers(0, 255)] * 3))
def test_a_good_score_is_always_from_0_to_100(octets: tuple[int, int, int]) -> None:
    learned = read_score(Reply(addresses=(f"127.{octets[0]}.{octets[1]}.{octets[2]}",)))
    assert not learned.result.good or (0 <= learned.value <= 100 and octets[:2] == (0, 4))


@pytest.mark.parametrize(
    ("bad", "good", "sound"),
    [
        (Reply(addresses=("127.0.0.2",)), Reply(), True),
        (Reply(addresses=("127.0.0.10", "127.0.0.4", "127.0.0.2")), Reply(), True),
        (Reply(), Reply(), False),
        (Reply(addresses=("127.0.0.2",)), Reply(addresses=("127.0.0.2",)), False),
        (Reply(addresses=("127.255.255.254",)), Reply(addresses=("127.255.255.254",)), False),
        (Reply(fault="timeout"), Reply(), False),
        (Reply(addresses=("127.0.0.2",)), Reply(fault="servfail"), False),
    ],
)
def test_a_list_that_fails_its_test_points_is_not_believed(bad: Reply, good: Reply, sound: bool) -> None:
    assert is_sound(bad, good) is sound
