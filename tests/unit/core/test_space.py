"""When the journal's disk has too little room: the line, and the quarter more from which on it goes on."""

from __future__ import annotations

import pytest

from remediator.core.space import GIB, MIB, Room, SpaceLimits, shortage, size

TEN = 10 * GIB  # 5 % of it are 512 MiB


@pytest.mark.parametrize(
    ("free", "total", "low"),
    [
        (200 * MIB, 1 * GIB, False),
        (200 * MIB - 1, 1 * GIB, True),
        (512 * MIB, TEN, False),
        (512 * MIB - 1, TEN, True),
        (0, TEN, True),
        (100 * MIB, 100 * MIB, True),  # a disk that is smaller than the line never has room
    ],
)
def test_the_line_is_bytes_or_per_cent_whichever_is_more(free: int, total: int, low: bool) -> None:
    assert bool(shortage(Room(free=free, total=total), SpaceLimits(), "")) is low


@pytest.mark.parametrize(("free", "low"), [(512 * MIB, True), (640 * MIB - 1, True), (640 * MIB, False)])
def test_it_goes_on_only_with_a_quarter_more(free: int, low: bool) -> None:
    room = Room(free=free, total=TEN)
    assert bool(shortage(room, SpaceLimits(), "the disk was low before")) is low
    assert shortage(room, SpaceLimits(), "") == ""


def test_the_sentence_names_both_lines_and_the_settings() -> None:
    told = shortage(Room(free=100 * MIB, total=TEN), SpaceLimits(), "")
    assert told == (
        "the disk of the journal has 100 MiB free, and nothing new begins below 512 MiB "
        "(storage.min_free, storage.min_free_percent); it goes on from 640 MiB on"
    )


def test_a_small_disk_can_be_told_to_be_content_with_less() -> None:
    limits = SpaceLimits(free=64 * MIB, percent=0)
    assert shortage(Room(free=64 * MIB, total=70 * MIB), limits, "") == ""
    assert shortage(Room(free=70 * MIB, total=70 * MIB), limits, "low before") == "", "all of it is enough"


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 KiB"), (2047, "1 KiB"), (MIB, "1 MiB"), (GIB - 1, "1023 MiB"), (GIB, "1 GiB"), (GIB * 33 // 10, "3.2 GiB")],
)
def test_sizes_are_rounded_down(count: int, words: str) -> None:
    assert size(count) == words
