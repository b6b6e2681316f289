"""The real clock, signals, and what a process starts with: the only module that reads the time and draws random bytes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from remediator.errors import StoreRefused

KEY_BYTES = 32


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> float:
        """Wall clock, unix seconds."""
        return time.time()  # noqa: TID251  (this is the Clock port)

    def monotonic(self) -> float:
        """Seconds since some moment; never runs backwards."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Waits; cancellable."""
        await asyncio.sleep(seconds)


def on_signals(names: Iterable[signal.Signals], told: Callable[[], object]) -> None:
    """Has the loop that runs now call `told` when one of these signals comes; afterwards they do nothing.

    Not the loop's own way, which leaves the default behind when the loop closes, so that a second signal kills a process
    that is about to end well; and whose pipe, once a flood of signals has filled it, makes CPython 3.11 wait for a lock that
    the interrupted thread may hold: for ever.
    """
    loop = asyncio.get_running_loop()

    def pass_on(*_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(told)

    for name in names:
        signal.signal(name, pass_on)


def new_boot() -> str:
    """A name for this life of the process."""
    return secrets.token_hex(6)


# What names this boot of the machine, and what its monotonic clock is set off by in this container, if anything.
_BOOT_ID, _CLOCK_OFFSETS = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/timens_offsets")


def machine_boot(boot_id: Path = _BOOT_ID, offsets: Path = _CLOCK_OFFSETS) -> str:
    """A name for this boot of this machine: processes with the same name share a monotonic clock. Empty if it has none.

    Not the machine's own id, which is nobody's business.
    """
    try:
        name = boot_id.read_bytes()
    except OSError:
        return ""
    with contextlib.suppress(OSError):  # an older kernel has no clocks of containers
        name += offsets.read_bytes()
    return hashlib.sha256(name).hexdigest()[:12]


def journal_key(path: Path, *, journal_exists: bool) -> bytes:
    """The key that signs the journal, made on first use; StoreRefused where a journal has lost its key.

    It lives outside the state directory with mode 0400: who can change the journal must not be able to sign it (G18).
    """
    if path.exists():
        return _read_key(path)
    if journal_exists:
        raise StoreRefused(
            f"there is a journal but its key {path} is missing; restore the key, or move the journal away"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    key = secrets.token_bytes(KEY_BYTES)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(key.hex() + "\n")
    return key


def _read_key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as fault:
        raise StoreRefused(
            f"the journal's key {path} cannot be read: {fault.strerror}; let this user read it"
        ) from None
    except ValueError:
        key = b""
    if len(key) < KEY_BYTES:
        raise StoreRefused(f"{path} holds no key of {KEY_BYTES} bytes in hex; restore it from where you keep it")
    return key
