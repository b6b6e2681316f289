"""Life beside other replicas: says that this one is there, hears what others append, and goes on with what the dead left.

A process that is alone on its store (`StoreInfo.alone`) needs none of it: it takes over at its start what an earlier one
left, and this module then has nothing to do. No safety depends on heartbeats: see `core/leases.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from remediator.core import entries as e
from remediator.core.leases import BEAT_EVERY, GONE_AFTER, NOBODY, holders
from remediator.core.state import State
from remediator.engine.parts import Parts
from remediator.errors import StoreError

# A hint from the store may be lost: the journal is looked at this often anyway (s).
LOOK_EVERY = 2.0


class Leases:
    """This replica's place among the others."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._journal = parts.journal

    async def begin(self, started: e.ServiceStarted) -> None:
        """Announces this process; one that is alone goes on with everything at once, in the same append."""
        if not self._journal.alone:
            await self._beat()
            await self._journal.insist(lambda _state, _moment: [started])
            return
        await self._journal.insist(
            lambda state, _moment: [started, *self._take(state, holders(state) - {self._journal.boot})]
        )

    async def watch(self) -> None:
        """Says that it is there and takes over from the dead, for ever."""
        while True:
            await self._beat()
            await self._take_over()
            await self._parts.clock.sleep(BEAT_EVERY)

    async def follow(self) -> None:
        """Hears what others append, for ever: a pause, an approval or an alert may have come to another replica."""
        while True:
            await self._until_hint()
            await self._journal.look()

    async def _until_hint(self) -> None:
        hint = asyncio.ensure_future(self._hint())
        rest = asyncio.ensure_future(self._parts.clock.sleep(LOOK_EVERY))
        try:
            await asyncio.wait({hint, rest}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hint.cancel()
            rest.cancel()

    async def _hint(self) -> None:
        try:
            await self._journal.store.wait(self._journal.head.seq)
        except StoreError:
            await self._parts.clock.sleep(LOOK_EVERY)  # a store that is away is not asked in a tight loop

    async def _beat(self) -> None:
        at = self._parts.clock.monotonic()
        try:
            await self._journal.store.heartbeat(self._journal.boot, GONE_AFTER)
        except StoreError:
            return
        self._parts.heard = at

    async def _take_over(self) -> None:
        others = holders(self._journal.state) - {self._journal.boot}
        if not others:
            return
        try:
            ages = await self._journal.store.alive()
            gone = {name for name in others if name == NOBODY or ages.get(name, GONE_AFTER) >= GONE_AFTER}
            if gone:
                await self._journal.commit(lambda state, _moment: self._take(state, gone & holders(state)))
        except StoreError:
            return  # the next beat tries again

    def _take(self, state: State, gone: frozenset[str] | set[str]) -> Sequence[e.AnyFact]:
        return [e.LeaseTaken(holders=tuple(sorted(gone)), epoch=state.epoch + 1)] if gone else ()
