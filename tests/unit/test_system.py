"""The real clocks, names of lives, and the key that signs the journal."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from remediator.errors import StoreRefused
from remediator.system import KEY_BYTES, SystemClock, journal_key, machine_boot, new_boot


async def test_the_clocks_go_on_and_the_second_never_back() -> None:
    clock = SystemClock()
    wall, mono = clock.now(), clock.monotonic()
    await clock.sleep(0.0)
    assert wall > 1_700_000_000.0
    assert clock.monotonic() >= mono


async def test_a_sleep_can_be_cancelled() -> None:
    sleeping = asyncio.ensure_future(SystemClock().sleep(3600.0))
    await asyncio.sleep(0)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping


def test_every_life_of_a_process_has_a_name_of_its_own() -> None:
    assert len({new_boot() for _ in range(100)}) == 100


def test_a_key_is_made_once_for_its_owner_alone_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "data.key"
    key = journal_key(path, journal_exists=False)
    assert len(key) == KEY_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert journal_key(path, journal_exists=True) == key
    assert journal_key(path, journal_exists=False) == key
    assert journal_key(tmp_path / "other.key", journal_exists=False) != key


def test_no_key_is_made_for_a_journal_that_has_lost_its_own(tmp_path: Path) -> None:
    path = tmp_path / "data.key"
    with pytest.raises(StoreRefused, match="restore the key, or move the journal away"):
        journal_key(path, journal_exists=True)
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "00" * 31, "00" * 32 + "0", "zz" * 32, "\u00e9" * 64])
def test_what_is_no_key_is_neither_used_nor_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "data.key"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StoreRefused, match="holds no key of 32 bytes in hex; restore it from where you keep it"):
        journal_key(path, journal_exists=False)
    assert path.read_text(encoding="utf-8") == text


def test_a_key_that_cannot_be_read_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="cannot be read: Is a directory; let this user read it"):
        journal_key(tmp_path, journal_exists=True)


def test_a_boot_of_a_machine_has_one_name_and_another_clock_another(tmp_path: Path) -> None:
    boot, offsets = tmp_path / "boot_id", tmp_path / "timens_offsets"
    assert machine_boot(boot, offsets) == ""
    boot.write_text("6d0e2bb0-5b1c-4d7b-9a4e-2f3f4f1f0c11\n")
    names = [machine_boot(boot, offsets), machine_boot(boot, offsets)]
    offsets.write_text("monotonic 3600 0\nboottime 0 0\n")
    names.append(machine_boot(boot, offsets))
    boot.write_text("0e7a3f0b-88a1-4f6a-b2f1-0c3f5d7e9a22\n")
    names.append(machine_boot(boot, offsets))
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert all(len(name) == 12 and "6d0e2bb0" not in name for name in names)
