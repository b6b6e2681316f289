"""Anchors: heads of the journal that were published elsewhere, so that a journal that was cut or rewritten shows (G18).

Who holds the key can cut the end off and sign another one, and the chain alone will say that all is well. A head that stands
in a message, in collected log lines or in a file of its own was written before; either the chain runs through it or it does
not. An anchor is written `SEQ:MAC`, with at least the first 16 hexadecimal digits of the mac. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from remediator.core.chain import START, Break, Head
from remediator.core.telling import clock_time

DIGITS = 16
"""The least that is taken for a mac: 64 bits, which is what a log line, a message and `remediator status` show."""
_ANCHOR = re.compile(r"(?<![0-9A-Za-z:.])([0-9]{1,18}):([0-9a-f]{16,64})(?![0-9A-Za-z])")


class Anchor(NamedTuple):
    """One published head; `digits` is the beginning of its mac in hexadecimal digits, or all of it."""

    seq: int
    digits: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.digits[:DIGITS]}"

    def fits(self, head: Head) -> bool:
        """Whether this head, which is at the same place, is the one that was published."""
        return head.mac.hex().startswith(self.digits)


def footer(head: Head) -> str:
    """The last line of a message: the journal's end when it was sent. Empty before there is any entry."""
    return "" if head == START else f"journal {head}"


def anchor_line(at: float, head: Head) -> str:
    """The line of an anchor file: `2026-11-24T04:31:00Z 1204:9f2c…`, with the whole mac. `at` is unix s."""
    return f"{clock_time(at).replace(' ', 'T')} {head.seq}:{head.mac.hex()}\n"


def anchors_in(text: str) -> list[Anchor]:
    """Every anchor in a text, whatever stands around it: an anchor file, log lines, messages."""
    return [Anchor(int(found[1]), found[2]) for found in _ANCHOR.finditer(text)]


def compare(ends: Iterable[Head | Break], anchors: Iterable[Anchor], start: Head = START) -> Iterator[Head | Break]:
    """`start`, and then `ends` as `chain.check` gives them, up to the first that is not what an anchor says.

    Ends with a Break there, and also where the chain ends below an anchor. A Break at an anchor names the entry at which the
    change shows; its sentence says from which entry on it may lie. Anchors below `start` were pruned, and say nothing.
    """
    wanted = _by_place(anchors)
    end, confirmed = start, max(start.seq - 1, 0)
    for found in chain((start,), ends):
        if isinstance(found, Break):
            yield found
            return
        end, told = found, wanted.get(found.seq, ())
        foreign = [anchor for anchor in told if not anchor.fits(end)]
        if foreign:
            yield Break(end.seq, _rewritten(foreign[0], confirmed + 1))
            return
        confirmed = end.seq if told else confirmed
        yield end
    last = max(wanted, default=0)
    if last > end.seq:
        sentence = f"the journal ends at entry {end.seq}, but it once went to entry {last}: its end was cut off"
        yield Break(end.seq + 1, sentence)


def _by_place(anchors: Iterable[Anchor]) -> dict[int, list[Anchor]]:
    placed: dict[int, list[Anchor]] = {}
    for anchor in anchors:
        placed.setdefault(anchor.seq, []).append(anchor)
    return placed


def _rewritten(anchor: Anchor, since: int) -> str:
    told = f"entry {anchor.seq} is intact, but it is not the one that was seen as {anchor}"
    if since >= anchor.seq:
        return f"{told}: it was written anew with the key"
    return f"{told}: of the entries {since} to {anchor.seq} some were written anew with the key"
