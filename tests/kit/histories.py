"""What a checker of histories reads: the journal's entries, what the targets saw, what the sender was told.

Shares no code with the engine: the journal is read as JSON lines (`remediator log export`) or by plain SQL, the target's
ledger as the target wrote it, the acknowledgements as the client kept them.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

Fact = Mapping[str, Any]
_MARK = re.compile(r"\[kr:([^\]\s]+)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One entry. `mono` is None where the source does not tell it."""

    seq: int
    at: float
    kind: str
    fact: Fact
    mono: float | None = None
    boot: str = ""

    @property
    def run(self) -> str:
        """The run it is about, or nothing."""
        return str(self.fact.get("run", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Something that a target saw: `do` or `undo`, under the key `RUN/STEP`.

    `at` is the target's time (unix s); `head` the journal's last durable entry at that moment, where it is known.
    """

    what: str
    key: str
    at: float | None = None
    head: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What there is to judge. `settled` says that the service had time to finish; `acks` are bodies answered with 2xx."""

    lines: Sequence[Line]
    arrivals: Sequence[Arrival] | None = None
    acks: Sequence[object] = ()
    settled: bool = False
    by_kind: Mapping[str, list[Line]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found: dict[str, list[Line]] = {}
        for line in self.lines:
            found.setdefault(line.kind, []).append(line)
        object.__setattr__(self, "by_kind", found)
        if self.arrivals is not None:
            object.__setattr__(self, "arrivals", list(_by_step(self, self.arrivals)))

    def of(self, *kinds: str) -> list[Line]:
        """The entries of these kinds, in order."""
        if len(kinds) == 1:
            return self.by_kind.get(kinds[0], [])
        return [line for line in self.lines if line.kind in kinds]


def _by_step(history: History, arrivals: Iterable[Arrival]) -> Iterable[Arrival]:
    """Arrivals under the step that made them: what is made again after a place forgot it comes under its first key."""
    made: dict[str, set[str]] = {}
    for line in history.of("step.intent"):
        if (name := f"{line.run}/{line.fact['step']}") != line.fact["key"]:
            made.setdefault(line.fact["key"], {line.fact["key"]}).add(name)
    for one in arrivals:
        names = made.get(one.key, set())
        announced = [
            f"{line.run}/{line.fact['step']}"
            for line in history.of("step.intent" if one.what == "do" else "undo.intent")
            if f"{line.run}/{line.fact['step']}" in names and _before(line, one)
        ]
        yield replace(one, key=announced[-1]) if announced else one


def _before(line: Line, arrival: Arrival) -> bool:
    if arrival.head is not None:
        return line.seq <= arrival.head
    return arrival.at is None or line.at <= arrival.at + 1.0


def from_sqlite(path: Path) -> list[Line]:
    """All entries of a journal file, by plain SQL."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT seq, body FROM journal ORDER BY seq").fetchall()
    return [from_body(seq, body) for seq, body in rows]


def from_body(seq: int, body: bytes) -> Line:
    """One entry as it is stored."""
    told = json.loads(body)
    fact = dict(told["fact"])
    kind = fact.pop("kind")
    return Line(seq=seq, at=told["at"], kind=kind, fact=fact, mono=told["mono"], boot=told["boot"])


def from_export(lines: Iterable[str]) -> list[Line]:
    """The entries of `remediator log export`; its times are to the millisecond."""
    found = []
    for text in lines:
        told = json.loads(text)
        at = datetime.fromisoformat(told["time"]).timestamp()
        found.append(Line(seq=int(told["id"]), at=at, kind=told["type"], fact=told["data"]))
    return found


def from_kumod(rows: Iterable[str], ours: Callable[[Fact], bool] = lambda _row: True) -> Iterator[Arrival]:
    """What the simulated kumod applied and carries a mark of ours; `ours` picks the rows of one service.

    A step that places several orders signs each (`key#sign`): together they are one effect, and one taking back.
    """
    signs: dict[str, str] = {}
    told: set[tuple[str, str]] = set()
    for text in rows:
        row = json.loads(text)
        body = row["body"] if isinstance(row["body"], dict) else {}
        if not row["applied"]:
            continue
        marked = _MARK.search(str(body.get("reason", "")))
        what = sign = ""
        if marked and row["method"] == "POST" and ours(body):
            if row["path"].startswith("/api/admin/rebind"):
                continue  # sets queued mail going again after a suspension: part of its undo
            what, sign = "do", marked[1]
            signs[str(row.get("id"))] = sign
        elif row["method"] == "DELETE" and str(body.get("id")) in signs:
            what, sign = "undo", signs[str(body["id"])]
        key, part, _ = sign.partition("#")
        if what and not (part and (what, key) in told and (what, sign) not in told):
            at = datetime.fromisoformat(row["at"]).timestamp() if row.get("at") else None
            yield Arrival(what=what, key=key, at=at)
        told |= {(what, key), (what, sign)}
