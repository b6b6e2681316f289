"""Anchors: what is read of a text, what a footer and a line say, and how a chain is held against them."""

from __future__ import annotations

import pytest

from remediator.core.anchors import Anchor, anchor_line, anchors_in, compare, footer
from remediator.core.chain import GENESIS, Break, Head, check, sign

KEY = b"k" * 32
Line = tuple[int, bytes, bytes]


def written(count: int = 6, key: bytes = KEY, word: str = "entry") -> list[Line]:
    """A journal of so many entries."""
    lines: list[Line] = []
    mac = GENESIS
    for seq in range(1, count + 1):
        body = f'{{"{word}":{seq}}}'.encode()
        mac = sign(key, seq, mac, body)
        lines.append((seq, body, mac))
    return lines


def anchor(line: Line, digits: int = 16) -> Anchor:
    return Anchor(line[0], line[2].hex()[:digits])


def end(lines: list[Line], *anchors: Anchor, start: Head | None = None) -> Head | Break:
    begun = start or Head()
    return list(compare(check(KEY, lines, begun), anchors, begun))[-1]


def test_a_footer_says_where_the_journal_ends_and_an_anchor_is_read_of_it() -> None:
    head = Head(1204, bytes.fromhex("9f2c63d01b7aee45" + "00" * 24))
    assert footer(head) == "journal 1204:9f2c63d01b7aee45"
    assert anchors_in(f"look\n\n{footer(head)}\n") == [Anchor(1204, "9f2c63d01b7aee45")]
    assert footer(Head()) == ""


def test_a_line_of_the_anchor_file_has_its_time_and_the_whole_mac() -> None:
    head = Head(7, bytes(range(32)))
    line = anchor_line(1_790_000_000.0, head)
    assert line == f"2026-09-21T14:13:20Z 7:{bytes(range(32)).hex()}\n"
    assert anchors_in(line) == [Anchor(7, bytes(range(32)).hex())]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "at 20:30 it ended",
        "5:0123456789abcde",  # one digit short
        "x5:0123456789abcdef",
        "1:5:0123456789abcdef",
        "5:0123456789abcdefg",
        "5:0123456789ABCDEF",
        "00:1b:44:11:3a:b7:00:1b:44:11:3a:b7",
        "5:" + "a" * 65,
    ],
)
def test_what_is_no_anchor_is_not_taken_for_one(text: str) -> None:
    assert anchors_in(text) == []


def test_anchors_are_found_in_log_lines() -> None:
    text = 'ts=… head=5:0123456789abcdef\n{"head": "6:fedcba9876543210"}\nhead="7:aaaaaaaaaaaaaaaa".'
    assert [one.seq for one in anchors_in(text)] == [5, 6, 7]


def test_a_journal_that_runs_through_all_its_anchors_is_whole() -> None:
    lines = written()
    heads = [anchor(line, digits) for line in lines for digits in (16, 40, 64)]
    assert end(lines, *heads) == Head(6, lines[-1][2])
    assert list(compare(check(KEY, lines), heads)) == [Head(), *check(KEY, lines)]
    assert end(lines) == Head(6, lines[-1][2])


def test_a_break_of_the_chain_comes_before_any_anchor() -> None:
    lines = written()
    bad = [*lines[:2], (3, b"other", lines[2][2]), *lines[3:]]
    found = end(bad, anchor(lines[5]))
    assert isinstance(found, Break)
    assert found.seq == 3


def test_a_cut_end_is_named_by_the_first_entry_that_is_gone() -> None:
    lines = written()
    sentence = "the journal ends at entry 4, but it once went to entry 6: its end was cut off"
    assert end(lines[:4], anchor(lines[2]), anchor(lines[5])) == Break(5, sentence)
    assert end([], anchor(lines[5])) == Break(
        1, "the journal ends at entry 0, but it once went to entry 6: its end was cut off"
    )


def test_what_was_written_anew_with_the_key_lies_between_two_anchors() -> None:
    lines, forged = written(), written(word="forged")
    both = [*lines[:2]]
    mac = lines[1][2]
    for seq, body, _mac in forged[2:]:
        mac = sign(KEY, seq, mac, body)
        both.append((seq, body, mac))
    assert end(both) == Head(6, mac), "the chain alone says that all is well"
    told = end(both, anchor(lines[0]), anchor(lines[4]), anchor(lines[5]))
    assert told == Break(
        5,
        f"entry 5 is intact, but it is not the one that was seen as {anchor(lines[4])}: "
        "of the entries 2 to 5 some were written anew with the key",
    )
    exact = end(both, anchor(lines[1]), anchor(lines[2]))
    assert exact == Break(
        3,
        f"entry 3 is intact, but it is not the one that was seen as {anchor(lines[2])}: it was written anew with the key",
    )


def test_two_anchors_that_contradict_each_other_cannot_both_be_kept() -> None:
    lines, forged = written(), written(word="forged")
    found = end(lines, anchor(lines[3]), anchor(forged[3]))
    assert isinstance(found, Break)
    assert found.seq == 4


def test_of_a_pruned_journal_the_checkpoint_and_what_follows_are_compared() -> None:
    lines, forged = written(), written(word="forged")
    start = Head(3, lines[2][2])
    assert end(lines[3:], *(anchor(line) for line in lines), start=start) == Head(6, lines[-1][2])
    assert end(lines[3:], anchor(forged[0]), start=start) == Head(6, lines[-1][2]), "what was pruned says nothing"
    found = end(lines[3:], anchor(forged[2]), start=start)
    assert isinstance(found, Break)
    assert (found.seq, "written anew with the key" in found.sentence) == (3, True)
    later = end(lines[3:], anchor(forged[4]), start=start)
    assert isinstance(later, Break)
    assert "of the entries 3 to 5" in later.sentence
