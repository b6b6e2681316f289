"""The interpreter's own account of what leaves the process: audit events that raise while the wire is armed (H7)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

WIRES = frozenset(
    {
        "socket.connect",
        "socket.sendto",
        "socket.sendmsg",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.bind",
        "subprocess.Popen",
        "os.posix_spawn",
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.spawn",
        "os.system",
        "os.kill",
        "os.remove",
        "os.rename",
        "os.mkdir",
        "shutil.rmtree",
    }
)
_tripped: list[str] = []
_armed: list[bool] = []


class Tripped(Exception):
    """Something was about to leave the process."""


def _watch(what: str, arguments: tuple[object, ...]) -> None:
    if not _armed:
        return
    writes = what == "open" and (
        any(sign in str(arguments[1]) for sign in "wax+") or int(str(arguments[2] or 0)) & (os.O_WRONLY | os.O_RDWR)
    )
    if what in WIRES or writes:
        _tripped.append(what)
        raise Tripped(what)


@contextmanager
def tripwire() -> Iterator[list[str]]:
    """Nothing may leave while the block lasts; gives what tried to. The hook itself stays, unarmed: none can be removed."""
    if not getattr(sys, "_remediator_wired", False):
        sys.addaudithook(_watch)
        sys._remediator_wired = True  # type: ignore[attr-defined]
    _tripped.clear()
    _armed.append(True)
    try:
        yield _tripped
    finally:
        _armed.clear()
