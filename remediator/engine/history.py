"""Whether the journal still is the one that was seen: the high-water mark, kept outside the store (G16).

The mark is written at most once a second beside the work, and in its way only before the first effect of a run: whatever
was done, the mark shows at least the entry that allowed it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import Callable, Iterable, Sequence

from remediator.core.chain import Head, Mark
from remediator.core.entries import (
    AnyFact,
    Entry,
    JournalOpened,
    LeaseTaken,
    RunStarted,
    SafeModeEntered,
    UndoIntent,
)
from remediator.core.fleet import enforced
from remediator.core.state import State
from remediator.errors import CorruptJournal, StoreError
from remediator.ports import Clock, HighWater, Store, StoreInfo

# How often the mark is written at most, first effects apart (s).
MARK_EVERY = 1.0


class History:
    """Compares the journal with what was seen of it. Without `marks` nothing was ever seen."""

    def __init__(self, store: Store, clock: Clock, marks: HighWater | None) -> None:
        self._store = store
        self._clock = clock
        self._marks = marks
        self._kept = Mark(store_id="", head=Head(), window=0.0)
        self._now = self._kept
        self._moved = asyncio.Event()
        self.trouble = ""
        self.on_trouble: Callable[[str], None] = lambda _sentence: None

    @property
    def kept(self) -> bool:
        """Whether a mark is kept at all."""
        return self._marks is not None

    async def seen(self) -> Mark | None:
        """The mark of earlier; StoreError where it cannot be read."""
        return await self._marks.load() if self._marks is not None else None

    async def longest(self, state: State) -> float:
        """How far back a limiter could have looked, as the journal or the mark says (s), with its margin."""
        with contextlib.suppress(StoreError):
            mark = await self.seen()
            return enforced(max(state.longest_window, mark.window if mark is not None else 0.0))
        return enforced(state.longest_window)

    async def loss(self, store_id: str, start: Head, state: State, head: Head) -> str:
        """What was lost of the history that was seen, as a sentence; empty if nothing was."""
        try:
            mark = await self.seen()
        except StoreError as fault:
            return f"the high-water mark cannot be read, so nobody can tell what was lost: {fault}"
        if mark is None:
            gone = self.kept and state.marked
            return "the high-water mark is gone, so nobody can tell whether history was lost" if gone else ""
        seen = mark.head
        if mark.store_id != store_id:
            return f"this is another journal than the one whose entry {seen.seq} was seen (store {mark.store_id})"
        if head.seq < seen.seq:
            return f"the journal ends at entry {head.seq}, but entry {seen.seq} was seen: what came between is lost"
        if seen.seq > start.seq and not await self.runs_through(seen):  # what is older was pruned, as an entry says
            return f"entry {seen.seq} is not the one that was seen: the journal was replaced by another history"
        return ""

    async def runs_through(self, head: Head) -> bool:
        """Whether the entry of `head` is in the store as it was; StoreError where that cannot be found out."""
        if head.seq == 0:
            return True
        try:
            records = await self._store.read(head.seq - 1, 1)
        except CorruptJournal:
            return False
        return bool(records) and hmac.compare_digest(records[0].mac, head.mac)

    async def opening(self, info: StoreInfo, state: State, loss: str, gone: Iterable[str]) -> list[AnyFact]:
        """What has to be on record before anything else; `gone` are those whose work goes on here."""
        facts: list[AnyFact] = [JournalOpened(store_id=info.store_id)] if state.seq == 0 else []
        if loss:
            facts.append(SafeModeEntered(reason=loss, lasts=await self.longest(state)))
        if names := tuple(sorted(gone)):
            facts.append(LeaseTaken(holders=names, epoch=state.epoch + 1))
        return facts

    # ── keeping the mark ─────────────────────────────────────────────────────────────────────────────────────────────
    def note(self, state: State, head: Head) -> None:
        """The journal ends there now; the mark follows within about a second."""
        if self._marks is None:
            return
        self._now = Mark(store_id=state.store_id, head=head, window=state.longest_window)
        self._moved.set()

    async def watch(self) -> None:
        """Lets the mark follow the journal, for ever; one that cannot be written is tried again."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            if await self.keep():
                self._moved.set()
            await self._clock.sleep(MARK_EVERY)

    async def keep(self) -> str:
        """Makes the mark of what was noted last durable; why it could not be, or nothing."""
        mark = self._now
        if self._marks is None or mark == self._kept:
            return ""
        try:
            await self._marks.save(mark)
        except StoreError as fault:
            self.trouble = str(fault)
            self.on_trouble(self.trouble)
            return self.trouble
        self._kept, self.trouble = mark, ""
        return ""


def require_beginning(state: State, start: Head) -> None:
    """What was pruned must be in the state that a snapshot gave; CorruptJournal if none did."""
    if state.seq < start.seq:
        raise CorruptJournal(start.seq, "and all before it were pruned, and no snapshot is whole; restore a copy")


def check_start(state: State, start: Head) -> None:
    """What is missing at the beginning must be what an entry says was pruned, at most."""
    pruned, mac = state.pruned_seq, state.pruned_mac
    if start.seq > pruned or (start.seq == pruned and start.mac.hex() != (mac or start.mac.hex())):
        raise CorruptJournal(start.seq, "or an earlier one was deleted, and no entry says so; restore a copy")


def first_effect(entries: Sequence[Entry]) -> bool:
    """Whether these entries allow a first effect: a live run begins, or something is taken back."""
    return any(type(entry.fact) in _BEGINNINGS and not getattr(entry.fact, "dry", False) for entry in entries)


_BEGINNINGS = frozenset({RunStarted, UndoIntent})
