"""Retention: the beginning of the journal is pruned, a portion at a time, when it is old enough or the journal too large.

Each portion is checked against the chain, written to the archive if there is one, named by a signed entry
(`journal.pruned`), and only then deleted: a stop at any point leaves nothing to repair. Entries that something open rests
on stay (`core.forgetting.needed_from`), and all that a start needs, whatever age or size say.
"""

from __future__ import annotations

from collections.abc import Sequence

from remediator.core import entries as e
from remediator.core.chain import Head
from remediator.core.entries import Record
from remediator.core.forgetting import needed_from
from remediator.core.state import Moment, State
from remediator.engine.parts import Parts
from remediator.errors import StoreError

BELL = "retention"
# Entries of one portion: its deletion holds the writer up for some 10 ms.
PORTION = 500
# Looks at the journal (s), and rests between portions, so that intake is not held up by many in a row (s).
LOOK_EVERY, REST = 300.0, 0.5
# A smaller portion waits so long for more (s).
WHOLE_PORTIONS_FOR = 86_400.0


class Retention:
    """Prunes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.trouble = ""

    async def watch(self) -> None:
        """Prunes what is ripe, for ever."""
        while not self._parts.stopping:
            try:
                more = await self.portion()
                self.trouble = ""
            except StoreError as fault:
                more = False
                self._tell(str(fault))
            await self._parts.rest(BELL, REST if more else LOOK_EVERY)

    def _tell(self, sentence: str) -> None:
        if sentence != self.trouble:
            self.trouble = sentence
            self._parts.journal.on_error(f"nothing is pruned: {sentence}")

    async def portion(self) -> bool:
        """Prunes one portion; whether there may be another one."""
        journal = self._parts.journal
        if self._parts.space.full:  # deleting writes too, and gives nothing back to the file system
            return False
        start = await journal.store.start()
        state = journal.state
        if state.pruned_seq > start.seq:  # an earlier process said so and came no further
            await journal.store.prune(Head(state.pruned_seq, bytes.fromhex(state.pruned_mac)))
            return True
        too_large = await journal.store.size() > self._parts.keeping.max_size
        ripe = self._ripe(await journal.store.read(start.seq, PORTION), too_large=too_large)
        if not ripe:
            return False
        if ripe[-1].seq >= journal.safe:
            await journal.save()
            ripe = [record for record in ripe if record.seq < journal.safe]
        return await self._prune(start, ripe) if ripe else False

    def _ripe(self, records: Sequence[Record], *, too_large: bool) -> Sequence[Record]:
        """The oldest entries, as far as they may go now."""
        now = self._parts.clock.now()
        needed = needed_from(self._parts.journal.state, self._parts.journal.moment())
        oldest = now - self._parts.keeping.retention
        ripe: list[Record] = []
        for record in records:
            if record.seq >= needed or not (too_large or record.at < oldest):
                break
            ripe.append(record)
        if not ripe or too_large or len(ripe) == PORTION or ripe[0].at < oldest - WHOLE_PORTIONS_FOR:
            return ripe
        return ()

    async def _prune(self, start: Head, ripe: Sequence[Record]) -> bool:
        """Checks, keeps, says so, deletes. What a checkpoint is signed over was verified just before."""
        journal, archive = self._parts.journal, self._parts.keeping.archive
        end = journal.verified(start, ripe)
        name = await archive.keep(start, ripe) if archive is not None else ""
        fact = e.JournalPruned(seq=end.seq, mac=end.mac.hex(), count=len(ripe), archive=name)

        def decide(state: State, _moment: Moment) -> Sequence[e.AnyFact]:
            return [fact] if state.pruned_seq == start.seq and not self._parts.stopping else ()

        if await journal.commit(decide):
            await journal.store.prune(end)
            return True
        return False
