"""The chain: every change to what was written shows, with the first bad place (reliability.md G18)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.chain import GENESIS, Break, Head, check, sign

KEY = b"k" * 32
Line = tuple[int, bytes, bytes]


def written(count: int = 6, key: bytes = KEY) -> list[Line]:
    """A journal of so many entries."""
    lines: list[Line] = []
    mac = GENESIS
    for seq in range(1, count + 1):
        body = f'{{"entry":{seq}}}'.encode()
        mac = sign(key, seq, mac, body)
        lines.append((seq, body, mac))
    return lines


def last(lines: list[Line], key: bytes = KEY, start: Head | None = None) -> Head | Break:
    return list(check(key, lines, start or Head()))[-1]


def test_what_was_written_is_good_to_its_head() -> None:
    lines = written()
    assert last(lines) == Head(6, lines[-1][2])
    assert len(list(check(KEY, lines))) == 6
    assert list(check(KEY, [])) == []


def test_a_check_can_begin_at_any_head() -> None:
    lines = written()
    assert last(lines[3:], start=Head(3, lines[2][2])) == Head(6, lines[-1][2])
    assert last(lines[3:], start=Head(3, GENESIS)) == Break(4, _changed(4))


def _changed(seq: int) -> str:
    return f"entry {seq} is not what was written: it was changed, moved, or signed with another key"


@pytest.mark.parametrize("place", range(6))
def test_a_changed_byte_is_found_where_it_is(place: int) -> None:
    lines = written()
    seq, body, mac = lines[place]
    for bad in (
        (seq, body.replace(b"e", b"E", 1), mac),
        (seq, body, mac[:-1] + bytes([mac[-1] ^ 1])),
        (seq, body, b""),
    ):
        assert last([*lines[:place], bad, *lines[place + 1 :]]) == Break(place + 1, _changed(place + 1))


@pytest.mark.parametrize("place", range(5))
def test_a_missing_entry_is_found(place: int) -> None:
    lines = written()
    found = last([*lines[:place], *lines[place + 1 :]])
    assert found == Break(place + 1, f"entry {place + 1} is missing: the next one is {place + 2}")


@pytest.mark.parametrize("place", range(5))
def test_a_missing_entry_cannot_be_hidden_by_new_numbers(place: int) -> None:
    lines = written()
    rest = [(seq - 1, body, mac) for seq, body, mac in lines[place + 1 :]]
    found = last([*lines[:place], *rest])
    assert isinstance(found, Break)
    assert found.seq == place + 1


@pytest.mark.parametrize("place", range(5))
def test_entries_cannot_change_places(place: int) -> None:
    lines = written()
    (one, first, mac), (two, second, other) = lines[place : place + 2]
    swapped = [(one, second, other), (two, first, mac)]
    assert last([*lines[:place], *swapped, *lines[place + 2 :]]) == Break(place + 1, _changed(place + 1))


@pytest.mark.parametrize("place", range(6))
def test_an_entry_cannot_be_put_between(place: int) -> None:
    lines = written()
    forged = (place + 1, b'{"forged":1}', sign(b"another key", place + 1, GENESIS, b'{"forged":1}'))
    later = [(seq + 1, body, mac) for seq, body, mac in lines[place:]]
    assert last([*lines[:place], forged, *later]) == Break(place + 1, _changed(place + 1))


def test_a_repeated_entry_is_found() -> None:
    lines = written()
    assert last([*lines[:3], lines[2], *lines[3:]]) == Break(4, "entry 4 is missing: the next one is 3")


def test_another_key_opens_nothing() -> None:
    assert last(written(), key=b"x" * 32) == Break(1, _changed(1))


def test_nothing_is_read_after_the_first_bad_place() -> None:
    lines = written()
    lines[2] = (3, b"changed", lines[2][2])
    assert [type(one) for one in check(KEY, lines)] == [Head, Head, Break]


def test_a_cut_tail_shows_only_against_a_head_that_was_kept() -> None:
    lines = written()
    kept = last(lines)
    assert isinstance(last(lines[:4]), Head)
    assert last(lines[:4]) != kept


@given(st.integers(1, 2**62), st.binary(min_size=32, max_size=32), st.binary(), st.binary())
def test_the_parts_of_what_is_signed_cannot_be_moved(seq: int, previous: bytes, body: bytes, more: bytes) -> None:
    signed = sign(KEY, seq, previous, body)
    assert signed == sign(KEY, seq, previous, body)
    assert signed != sign(KEY, seq + 1, previous, body)
    assert not more or signed != sign(KEY, seq, previous, body + more)


def test_a_head_is_told_in_a_form_that_can_be_written_down() -> None:
    assert str(Head()) == "0:0000000000000000"
    assert str(Head(7, b"\xab" * 32)) == "7:abababababababab"
