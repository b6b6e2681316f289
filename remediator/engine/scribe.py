"""From facts to entries and signed records, on top of a state and a head. Nothing here is durable yet, and nothing awaits.

What is folded is what will be read: each fact is taken as its own bytes say, so the state in memory is the state that the
next start will find, and a fact that could not be read back is refused before anybody relies on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from remediator.core.chain import Head, sign
from remediator.core.entries import (
    AnyFact,
    Draft,
    Entry,
    NotificationReceived,
    Record,
    claims_of,
    decode,
    encode,
    kind_of,
    placed_at,
)
from remediator.core.fold import fold
from remediator.core.state import Incident, Moment, State
from remediator.errors import IllegalEntry

Entail = Callable[[State, State, AnyFact], Sequence[AnyFact]]


@dataclass(slots=True)
class Page:
    """What one append will hold. `state` and `head` are those after all that is on it."""

    state: State
    head: Head
    entries: list[Entry] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    touched: dict[str, Incident] = field(default_factory=dict)  # what the action log has to show anew


class Scribe:
    """Writes pages. `key` signs; `replica`, `boot` and `host` say who wrote, and by whose clock."""

    def __init__(self, *, key: bytes, replica: str, boot: str, host: str = "") -> None:
        self._key = key
        self._replica = replica
        self._boot = boot
        self._host = host
        self._count = 0

    def write(self, page: Page, moment: Moment, facts: Sequence[AnyFact], entail: Entail) -> tuple[Entry, ...]:
        """Puts `facts` and all that they entail on the page, in order; what raises leaves the page as it was."""
        state, head = page.state, page.head
        draft = Page(state, head)
        todo = list(facts)
        while todo:
            record, entry = self._record(head, moment, todo.pop(0))
            after = fold(state, entry)
            draft.records.append(record)
            draft.entries.append(entry)
            if (incident := after.incidents.get(record.incident)) is not None:
                draft.touched[record.incident] = incident
            todo[:0] = entail(state, after, entry.fact)
            state, head = after, Head(record.seq, record.mac)
        page.state, page.head = state, head
        page.entries += draft.entries
        page.records += draft.records
        page.touched |= draft.touched
        return tuple(draft.entries)

    def _record(self, head: Head, moment: Moment, fact: AnyFact) -> tuple[Record, Entry]:
        self._count += 1
        draft = Draft(
            id=f"{self._boot}-{self._count}",
            at=moment.at,
            mono=moment.mono,
            boot=self._boot,
            replica=self._replica,
            fact=fact,
            host=self._host,
        )
        seq = head.seq + 1
        try:
            body = encode(draft)
            # a notification is not read again: it is large, and its bytes were read when it came
            entry = placed_at(seq, draft) if isinstance(fact, NotificationReceived) else decode(seq, body)
        except (TypeError, ValueError, OverflowError) as fault:
            raise IllegalEntry(f"'{kind_of(fact)}' cannot be written so that it can be read again: {fault}") from fault
        record = Record(
            seq=seq,
            id=draft.id,
            at=moment.at,
            kind=kind_of(fact),
            body=body,
            mac=sign(self._key, seq, head.mac, body),
            incident=getattr(fact, "incident", ""),
            run=getattr(fact, "run", ""),
            rule=getattr(fact, "rule", ""),
            claims=claims_of(fact),
        )
        return record, entry
