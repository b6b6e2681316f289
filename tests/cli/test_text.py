"""Text that comes from outside is harmless on a terminal; lengths and columns are as people read them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.cli.text import count, pairs, plain, plural, safe_json, span, stamp, table, wrapped


@given(st.text(alphabet=st.characters() | st.sampled_from("\x1b[]()\x07\x9b\x9d;m0\\")))
def test_no_control_and_no_reordering_character_is_left(text: str) -> None:
    shown = plain(text)
    categories = {unicodedata.category(sign) for sign in shown}
    assert not categories & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S"])))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\x9b2Jb", "ab"),
        ("a\x1bcb", "ab"),
        ("a\x1b(0b", "ab"),
        ("one\r\ntwo\tthree", "one two three"),
        ("\u202egnp.exe", "gnp.exe"),
        ("inc-\u200b7f3k", "inc-7f3k"),
        ("übergröße 日本 🙂", "übergröße 日本 🙂"),
    ],
)
def test_escape_sequences_go_as_a_whole(raw: str, shown: str) -> None:
    assert plain(raw) == shown


def test_json_keeps_what_it_says_and_loses_what_it_draws() -> None:
    assert safe_json('"\x9b\u202e\x7fü"') == '"\\u009b\\u202e\\u007fü"'


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"), (0, "0s"), (59.4, "59s"), (59.6, "1m"), (60, "1m"), (702, "11m 42s"), (3600, "1h 00m"),
        (4080, "1h 08m"), (86_399, "23h 59m"), (86_400, "1d 00h"), (273_600, "3d 04h"),
    ],
)  # fmt: skip
def test_a_length_of_time_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_counts_and_words() -> None:
    assert (count(1204), plural(1, "entry"), plural(2, "entry"), plural(0, "rule")) == (
        "1 204",
        "1 entry",
        "2 entries",
        "0 rules",
    )
    assert stamp(1_790_000_000.25) == "2026-09-21T14:13:20.250Z"
    assert stamp(1_790_000_000.9996) == "2026-09-21T14:13:21.000Z"


def test_pairs_are_told_apart_whatever_is_in_them() -> None:
    assert pairs({"b": "x", "a": 4}) == "a=4 b=x"
    assert pairs({"a": "x b=y", "c": "", "d": True, "e": ["p", "q r"]}) == 'a="x b=y" c="" d=true e=["p", "q r"]'


@given(st.text(alphabet="ab ", min_size=1), st.integers(40, 100))
def test_wrapping_loses_no_word_and_keeps_the_width(text: str, width: int) -> None:
    lines = wrapped("12:00:00  ", text, width)
    assert max(map(len, lines)) <= width
    assert "".join("".join(lines).split()) == "12:00:00" + "".join(text.split())


def test_without_a_width_a_line_stays_a_line() -> None:
    assert wrapped("lead ", "word " * 100, None) == [("lead " + "word " * 100).rstrip()]


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table([["a", "bb", "c"], ["aaa", "b", "c"]], None) == ["a    bb  c", "aaa  b   c"]
