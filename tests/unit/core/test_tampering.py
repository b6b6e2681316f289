"""A thousand ways to tamper with a journal, each found, with the first bad entry named (reliability.md G18).

Most are found by the chain alone. What somebody does who has the key, and what is simply missing at the end, is found by
anchors: heads that were published before. What lies behind the last anchor is not found, and a test says so.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import pytest

from remediator.core.anchors import Anchor, compare
from remediator.core.chain import GENESIS, Break, Head, check, sign

KEY, OTHER = b"k" * 32, b"o" * 32
ENTRIES, ANCHOR_EVERY, TIMES = 120, 7, 125
Line = tuple[int, bytes, bytes]


class Tampered(NamedTuple):
    """A journal as somebody left it, and the first entry that is not as it was written."""

    lines: list[Line]
    first: int
    with_key: bool = False


def chained(bodies: list[bytes], key: bytes = KEY, after: Head | None = None) -> list[Line]:
    """These bodies as a journal, signed."""
    head, lines = after or Head(), list[Line]()
    for body in bodies:
        head = Head(head.seq + 1, sign(key, head.seq + 1, head.mac, body))
        lines.append((head.seq, body, head.mac))
    return lines


def written() -> list[Line]:
    """The journal as it was."""
    return chained([f'{{"at":{1_790_000_000 + seq},"kind":"pause.set","n":{seq}}}'.encode() for seq in range(ENTRIES)])


def anchors(lines: list[Line]) -> list[Anchor]:
    """What was published of it: every few entries, and the end."""
    return [Anchor(seq, mac.hex()[:16]) for seq, _, mac in lines if seq % ANCHOR_EVERY == 0 or seq == ENTRIES]


# ── what somebody may do ─────────────────────────────────────────────────────────────────────────────────────────────
def flip(lines: list[Line], dice: random.Random) -> Tampered:
    """One bit, of the text or of the mac."""
    place = dice.randrange(ENTRIES)
    seq, *parts = lines[place]
    which = dice.randrange(2)
    raw = bytearray(parts[which])
    raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
    parts[which] = bytes(raw)
    return Tampered([*lines[:place], (seq, parts[0], parts[1]), *lines[place + 1 :]], seq)


def drop(lines: list[Line], dice: random.Random) -> Tampered:
    """One entry is taken out; the numbers of the others stay, or close the gap."""
    place = dice.randrange(ENTRIES - 1)
    rest = lines[place + 1 :]
    if dice.randrange(2):
        rest = [(seq - 1, body, mac) for seq, body, mac in rest]
    return Tampered([*lines[:place], *rest], place + 1)


def swap(lines: list[Line], dice: random.Random) -> Tampered:
    """Two change places, and carry their macs with them."""
    one, two = sorted(dice.sample(range(ENTRIES), 2))
    mixed = list(lines)
    mixed[one], mixed[two] = (one + 1, *lines[two][1:]), (two + 1, *lines[one][1:])
    return Tampered(mixed, one + 1)


def insert(lines: list[Line], dice: random.Random) -> Tampered:
    """One is put in: a copy of an older one, or one signed with what is at hand."""
    place = dice.randrange(1, ENTRIES)
    body, mac = lines[dice.randrange(place)][1:]
    if dice.randrange(2):
        mac = sign(OTHER, place + 1, lines[place - 1][2], body)
    rest = [(seq + 1, old, signed) for seq, old, signed in lines[place:]]
    return Tampered([*lines[:place], (place + 1, body, mac), *rest], place + 1)


def truncate(lines: list[Line], dice: random.Random) -> Tampered:
    """The end is cut off, or an older copy of the file is put in its place: the same thing."""
    left = dice.randrange(ENTRIES)
    return Tampered(lines[:left], left + 1)


def sign_with_another_key(lines: list[Line], dice: random.Random) -> Tampered:
    """All from one place on is signed anew, without the key."""
    place = dice.randrange(ENTRIES)
    after = Head(*lines[place - 1][::2]) if place else Head()
    return Tampered([*lines[:place], *chained([body for _, body, _ in lines[place:]], OTHER, after)], place + 1)


def cut_and_write_on(lines: list[Line], dice: random.Random) -> Tampered:
    """Somebody with the key cuts the end off and writes another one, as long as the old or longer."""
    place = dice.randrange(ENTRIES)
    after = Head(*lines[place - 1][::2]) if place else Head()
    bodies = [f'{{"forged":{number}}}'.encode() for number in range(ENTRIES - place + dice.randrange(5))]
    return Tampered([*lines[:place], *chained(bodies, after=after)], place + 1, with_key=True)


def change_and_sign_all(lines: list[Line], dice: random.Random) -> Tampered:
    """Somebody with the key changes, takes out or adds one entry, and signs all that follows."""
    place = dice.randrange(ENTRIES)
    after = Head(*lines[place - 1][::2]) if place else Head()
    rest = [body for _, body, _ in lines[place:]]
    match dice.randrange(3):
        case 0:
            rest[0] = rest[0].replace(b"pause.set", b"pause.cleared")
        case 1:
            rest = [b'{"forged":1}', *rest]
        case _:
            rest = [*rest[1:], b'{"forged":1}']
    return Tampered([*lines[:place], *chained(rest, after=after)], place + 1, with_key=True)


WAYS: list[Callable[[list[Line], random.Random], Tampered]] = [
    flip, drop, swap, insert, truncate, sign_with_another_key, cut_and_write_on, change_and_sign_all,
]  # fmt: skip


def found_in(lines: list[Line], published: list[Anchor]) -> Head | Break:
    return list(compare(check(KEY, lines), published))[-1]


def test_there_are_a_thousand() -> None:
    assert len(WAYS) * TIMES == 1000


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
def test_every_change_is_found_and_the_first_bad_entry_named(
    way: Callable[[list[Line], random.Random], Tampered],
) -> None:
    lines, dice = written(), random.Random(way.__name__)
    published = anchors(lines)
    places = [one.seq for one in published]
    kept = Counter[bool]()
    for _ in range(TIMES):
        tampered = way(lines, dice)
        assert tampered.lines != lines
        found = found_in(tampered.lines, published)
        assert isinstance(found, Break), tampered.first
        if not tampered.with_key:
            assert found.seq == tampered.first, found.sentence
            continue
        # The key signs anything: it shows at the next anchor, and the sentence names from where on it may lie.
        shows = min(place for place in places if place >= tampered.first)
        since = max((place for place in places if place < tampered.first), default=0) + 1
        assert found.seq == shows
        assert (f"of the entries {since} to {shows}" in found.sentence) == (since < shows)
        kept[isinstance(found_in(tampered.lines, []), Head)] += 1
    assert not kept or kept == Counter({True: TIMES}), "without anchors nobody could have found these"


def test_what_lies_behind_the_last_anchor_is_not_found() -> None:
    lines = written()
    published = [one for one in anchors(lines) if one.seq < ENTRIES]
    last = published[-1].seq
    forged = [*lines[:last], *chained([b'{"forged":1}'], after=Head(last, lines[last - 1][2]))]
    for tail in (lines[:last], forged):
        assert isinstance(found_in(tail, published), Head), "docs/guarantees.md says so: the tail since the last anchor"
    assert isinstance(found_in(lines[: last - 1], published), Break)
    assert GENESIS not in {mac for _, _, mac in lines}
