"""The tripwire outside Python (H7): what a real service does to the world while it works, by the kernel's account.

A trace of `strace -f` is cut out between two marks (requests that only the test sends) and read for connects, requests
that change something, processes that are started, and files that are written outside the state directory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

STRACE = ("strace", "--seccomp-bpf", "-f", "-qq", "-s", "512")
CALLS = "%network,%process,openat,open,creat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,link,symlink"
BEGIN, END = "/-/trace-begins", "/-/trace-ends"
_INET = re.compile(r"connect\(\d+, \{sa_family=AF_INET6?, sin6?_port=htons\((\d+)\)")
_UNIX = re.compile(r'connect\(\d+, \{sa_family=AF_UNIX, sun_path="([^"]+)"')
_SEND = re.compile(r"^\d+ +(?:send|write)\w*\(")
_DATAGRAM = re.compile(r"send(?:to|msg)\(.*sa_family=AF_INET")
_CHANGE = re.compile(r'"((?:POST|PUT|PATCH|DELETE) [^ ]+) HTTP/1\.1')
_REDIS = re.compile(r'"\*\d+\\r\\n\$\d+\\r\\n(CONFIG)', re.IGNORECASE)
_EXEC = re.compile(r'execve(?:at)?\((?:\w+, )?"([^"]+)"')
_FORK = re.compile(r"(?:clone3?|fork|vfork)\((?!.*CLONE_THREAD)")
_WRITE = re.compile(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]+)", [^)]*(?:O_WRONLY|O_RDWR|O_CREAT)|creat\("([^"]+)"')
_NAMES = re.compile(r'(?:rename|unlink|mkdir|link|symlink)\w*\((?:AT_FDCWD, )?"([^"]+)"')
_QUESTION = "POST /api/v1/query"  # Prometheus takes a question in a form


@dataclass(frozen=True, slots=True, kw_only=True)
class Tripped:
    """Something left: `wire` is connect, send, process or file."""

    wire: str
    what: str

    def __str__(self) -> str:
        return f"{self.wire}: {self.what}"


def between(lines: Iterable[str]) -> Iterator[str]:
    """What lies between the two marks; ValueError if one of them is missing."""
    inside, ended = False, False
    for line in lines:
        if END in line:
            ended = True
            break
        if inside:
            yield line
        inside = inside or BEGIN in line
    if not inside or not ended:
        raise ValueError("the trace has no beginning or no end")


def wires(lines: Iterable[str], state: Path, readable: frozenset[int] = frozenset()) -> list[Tripped]:
    """Every wire that was tripped; `readable` are ports that may be connected to, because they are only asked."""
    return [found for line in between(lines) for found in _wires(line, state, readable)]


def _wires(line: str, state: Path, readable: frozenset[int]) -> Iterator[Tripped]:
    yield from _network(line, readable)
    if (started := _EXEC.search(line)) is not None:
        yield Tripped(wire="process", what=started[1])
    elif _FORK.search(line):
        yield Tripped(wire="process", what="a fork")
    for pattern in (_WRITE, _NAMES):
        if (file := pattern.search(line)) is not None:
            path = next(one for one in file.groups() if one)
            if not _inside(path, state):
                yield Tripped(wire="file", what=path)


def _network(line: str, readable: frozenset[int]) -> Iterator[Tripped]:
    if (inet := _INET.search(line)) is not None and int(inet[1]) not in readable:
        yield Tripped(wire="connect", what=inet[1])
    if (unix := _UNIX.search(line)) is not None:
        yield Tripped(wire="connect", what=unix[1])
    if not _SEND.match(line):
        return
    if _DATAGRAM.search(line):
        yield Tripped(wire="send", what="a datagram")
    for pattern in (_CHANGE, _REDIS):
        if (change := pattern.search(line)) is not None and not change[1].startswith(_QUESTION):
            yield Tripped(wire="send", what=change[1])


def _inside(path: str, state: Path) -> bool:
    whole = state.parent / path  # the service runs beside its state directory
    mark = state.with_name(f"{state.name}.high-water")  # how far the journal came, kept outside of it (G16)
    ours = {state, mark, mark.with_name(f".{mark.name}.new")}
    return whole in ours or state in whole.parents or path.startswith("/dev/null")
