"""Reading configuration files safely. May open files named by the operator, for reading only.

A rule says what is done to mail servers, so whoever can write its file can do all that (reliability.md T24). Hence a
file, or a directory holding it, that others may write to is refused, symbolic links are not followed, and what is no
regular file, larger than 1 MiB or not UTF-8 is not looked at.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from remediator.errors import InvalidConfiguration, Position, Problem

MAX_BYTES = 1_048_576
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def read_file(path: Path) -> bytes:
    """The bytes of a configuration file; InvalidConfiguration with the one problem that keeps us from trusting it."""
    _check_directory(path)
    try:
        # O_NONBLOCK: opening a named pipe must not wait for its writer; regular files do not care.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as refused:
        raise _refused(path, *_why(refused)) from None
    try:
        _check_file(path, os.fstat(descriptor).st_mode)
        raw = _read_all(descriptor)
    finally:
        os.close(descriptor)
    if len(raw) > MAX_BYTES:
        raise _refused(path, "too-large", f"larger than {MAX_BYTES} bytes", "split it into several files")
    return raw


def _check_file(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise _refused(path, "unreadable-file", "not a regular file", "name a file")
    if mode & _OTHERS_MAY_WRITE:
        why = f"its mode is {stat.S_IMODE(mode):04o}, so others than its owner may change the rules"
        raise _refused(path, "writable-file", why, f"chmod go-w {path}")


def _read_all(descriptor: int) -> bytes:
    """What the file holds, and not much more than is allowed."""
    pieces: list[bytes] = []
    left = MAX_BYTES + 1
    while left > 0 and (piece := os.read(descriptor, left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def decode(path: Path, raw: bytes) -> str:
    """The text of a configuration file; InvalidConfiguration names the first byte that is not UTF-8."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = raw.count(b"\n", 0, fault.start) + 1
        column = fault.start - (raw.rfind(b"\n", 0, fault.start) + 1) + 1
        sentence = f"byte 0x{raw[fault.start]:02x} is not UTF-8"
        position = Position(str(path), line, column)
        problem = Problem(position=position, name="not-utf-8", sentence=sentence, fix="save the file as UTF-8")
        raise InvalidConfiguration([problem]) from None


def _check_directory(path: Path) -> None:
    try:
        mode = path.parent.stat().st_mode
    except OSError:
        return  # opening the file will say it better
    if mode & _OTHERS_MAY_WRITE and not mode & stat.S_ISVTX:
        why = f"the mode of its directory is {stat.S_IMODE(mode):04o}, so others than its owner may replace the file"
        raise _refused(path, "writable-directory", why, f"chmod go-w {path.parent}")


def _why(refused: OSError) -> tuple[str, str, str]:
    match refused.errno:
        case errno.ENOENT:
            return "no-such-file", "there is no such file", "check the path, and rule_files in remediator.yml"
        case errno.ELOOP:
            return "symbolic-link", "a symbolic link, which is not followed", "name the file itself"
        case errno.EACCES | errno.EPERM:
            return "unreadable-file", "we may not read it", "give the service's user the right to read it"
        case _:
            return "unreadable-file", refused.strerror or "it cannot be opened", "check the path"


def _refused(path: Path, name: str, sentence: str, fix: str) -> InvalidConfiguration:
    return InvalidConfiguration([Problem(position=Position(str(path), 1, 1), name=name, sentence=sentence, fix=fix)])
