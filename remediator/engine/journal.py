"""The journal: one lane through which every decision is made, appended and made true.

A caller hands in a *decider*, a function of the newest state that returns facts. The lane runs deciders one after the
other, each on the state that the earlier ones leave, adds what the facts entail, signs all of it, and appends many
deciders' facts in one commit (group commit). Only then do callers learn of it. If the store says no, the state is what it
was: states are values. So deduplication, budgets, locks, approvals and intents are plain functions, and each is atomic.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from remediator.core.chain import Break, Head, check, sign
from remediator.core.entries import (
    AnyFact,
    Draft,
    Entry,
    IncidentClosed,
    JournalOpened,
    Record,
    claims_of,
    decode,
    encode,
    kind_of,
)
from remediator.core.fold import fold
from remediator.core.snapshots import freeze, thaw
from remediator.core.state import Incident, Moment, State
from remediator.errors import (
    AppendUnknown,
    Conflict,
    CorruptJournal,
    IllegalEntry,
    NotCommitted,
    StoreError,
)
from remediator.ports import Clock, IncidentRow, Snapshot, Store, StoreInfo

Decider = Callable[[State, Moment], Sequence[AnyFact]]
Entail = Callable[[State, State, AnyFact], Sequence[AnyFact]]
Listener = Callable[[Sequence[Entry], State, State], None]

# How many deciders share one commit at most: bounds the time that one commit can take.
BATCH = 256
READ_CHUNK = 2000
# How many entries a start has to fold at most, give or take (folding costs about 20 microseconds each).
SNAPSHOT_EVERY = 20_000


@dataclass(slots=True)
class _Wish:
    decider: Decider
    done: asyncio.Future[tuple[Entry, ...]]


_Batch = tuple[list[AnyFact], _Wish | None]


class Journal:
    """State and store, kept together. `head` is the signed end; `state` is what folding up to it gives."""

    def __init__(self, store: Store, clock: Clock, *, key: bytes, replica: str, boot: str) -> None:
        self._store = store
        self._clock = clock
        self._key = key
        self._replica = replica
        self._boot = boot
        self._count = 0
        self._saved = 0
        self._wishes: asyncio.Queue[_Wish] = asyncio.Queue()
        self._listeners: list[Listener] = []
        self._entail: Entail = _entails_nothing
        self.state = State()
        self.head = Head()
        self.broken: str = ""
        self.last_error: str = ""

    # ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────────
    async def open(self) -> StoreInfo:
        """Opens the store, checks the chain, folds the journal; CorruptJournal names the first bad entry."""
        info = await self._store.open()
        await self._restore()
        await self._catch_up()
        if self.head.seq == 0:
            opened = JournalOpened(store_id=info.store_id)
            _facts, state = self._extend(self.state, self.moment(), [opened], {})
            await self._append([([opened], None)], state, {})
        return info

    async def _restore(self) -> None:
        """Begins from the newest snapshot that is ours and that the journal still runs through."""
        snapshot = await self._store.load_snapshot()
        if snapshot is None:
            return
        state = thaw(snapshot.state, self._key)
        if state is not None and state.seq == snapshot.head.seq:
            self.state, self.head = state, snapshot.head
            self._saved = snapshot.head.seq

    async def save(self) -> None:
        """Keeps the present state as a snapshot; losing it costs only time."""
        if self.head.seq == self._saved:
            return
        with contextlib.suppress(StoreError):
            await self._store.save_snapshot(Snapshot(head=self.head, state=freeze(self.state, self._key)))
            self._saved = self.head.seq

    async def _catch_up(self) -> None:
        while True:
            records = await self._store.read(self.head.seq, READ_CHUNK)
            if not records:
                return
            for record in records:
                self._take(record)

    def _take(self, record: Record) -> Entry:
        (found,) = check(self._key, [(record.seq, record.body, record.mac)], self.head)
        if isinstance(found, Break):
            raise CorruptJournal(found.seq, found.sentence)
        try:
            entry = decode(record.seq, record.body)
            self.state = fold(self.state, entry)
        except (ValueError, IllegalEntry) as fault:
            raise CorruptJournal(record.seq, str(fault)) from fault
        self.head = found
        return entry

    def listen(self, listener: Listener) -> None:
        """Calls `listener(entries, before, after)` after every commit, in order; it must not block or raise."""
        self._listeners.append(listener)

    def entail(self, entail: Entail) -> None:
        """Sets what facts entail (`core.consequences`), appended together with them."""
        self._entail = entail

    def moment(self) -> Moment:
        """Now, by both clocks."""
        return Moment(self._clock.now(), self._clock.monotonic(), self._boot)

    # ── deciding ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def commit(self, decider: Decider) -> Awaitable[tuple[Entry, ...]]:
        """The entries that `decider` led to, once they are durable; empty if it decided on nothing.

        What the decider raises comes back here. StoreError means that nothing happened (or, for AppendUnknown, that it
        could not even be found out). Cancelling the wait does not cancel the append.
        """
        wish = _Wish(decider, asyncio.get_running_loop().create_future())
        self._wishes.put_nowait(wish)
        return asyncio.shield(wish.done)

    @property
    def waiting(self) -> int:
        """How many deciders wait for the lane."""
        return self._wishes.qsize()

    async def run(self) -> None:
        """The lane; ends only by cancellation, after which waiting deciders are refused."""
        wishes: list[_Wish] = []
        try:
            while True:
                wishes = [await self._wishes.get()]
                while len(wishes) < BATCH and not self._wishes.empty():
                    wishes.append(self._wishes.get_nowait())
                await self._serve(wishes)
                if self.head.seq - self._saved >= SNAPSHOT_EVERY:
                    await self.save()
        finally:
            while not self._wishes.empty():
                wishes.append(self._wishes.get_nowait())
            for wish in wishes:
                _fail(wish, NotCommitted("the service is stopping"))

    async def _serve(self, wishes: Sequence[_Wish]) -> None:
        while True:
            batches, state, touched = self._decide(wishes)
            if not batches:
                return
            try:
                await self._append(batches, state, touched)
            except Conflict:
                await self._recover()
                wishes = [wish for _facts, wish in batches if wish is not None]
                continue
            except StoreError as error:
                self.last_error = str(error)
                for _facts, wish in batches:
                    if wish is not None:
                        _fail(wish, error)
            return

    async def _recover(self) -> None:
        with contextlib.suppress(StoreError):
            await self._catch_up()

    def _decide(self, wishes: Sequence[_Wish]) -> tuple[list[_Batch], State, dict[str, Incident]]:
        state = self.state
        moment = self.moment()
        batches: list[_Batch] = []
        touched: dict[str, Incident] = {}
        for wish in wishes:
            if wish.done.cancelled():
                continue
            try:
                facts = list(wish.decider(state, moment))
                facts, state = self._extend(state, moment, facts, touched)
            except Exception as fault:  # noqa: BLE001  (a decider that breaks fails its caller, not the lane)
                _fail(wish, fault)
            else:
                if facts:
                    batches.append((facts, wish))
                elif not wish.done.done():
                    wish.done.set_result(())
        return batches, state, touched

    def _extend(
        self, state: State, moment: Moment, facts: Sequence[AnyFact], touched: dict[str, Incident]
    ) -> tuple[list[AnyFact], State]:
        """The facts with all that they entail, in order, and the state after them."""
        todo, done = list(facts), list[AnyFact]()
        while todo:
            fact = todo.pop(0)
            entry = Entry(
                seq=state.seq + 1, id="", at=moment.at, mono=moment.mono, boot=self._boot, replica="", fact=fact
            )
            after = fold(state, entry)
            done.append(fact)
            name = getattr(fact, "incident", "")
            if name and (incident := after.incidents.get(name)) is not None:
                touched[name] = incident
            todo[:0] = self._entail(state, after, fact)
            state = after
        return done, state

    # ── appending ────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _append(self, batches: Sequence[_Batch], after: State, touched: Mapping[str, Incident]) -> None:
        moment = self.moment()
        head = self.head
        records: list[Record] = []
        entries: list[Entry] = []
        for facts, _wish in batches:
            for fact in facts:
                record, entry = self._record(head, moment, fact)
                records.append(record)
                entries.append(entry)
                head = Head(record.seq, record.mac)
        before = self.state
        try:
            await self._store.append(self.head, records, _rows(touched, entries))
        except AppendUnknown:
            await self._settle_unknown(records)
        else:
            self.state, self.head, self.last_error = after, head, ""
            self._publish(entries, before)
        _settle(batches, entries)

    def _publish(self, entries: Sequence[Entry], before: State) -> None:
        for listener in self._listeners:
            listener(entries, before, self.state)

    def _record(self, head: Head, moment: Moment, fact: AnyFact) -> tuple[Record, Entry]:
        self._count += 1
        draft = Draft(
            id=f"{self._boot}-{self._count}",
            at=moment.at,
            mono=moment.mono,
            boot=self._boot,
            replica=self._replica,
            fact=fact,
        )
        body, seq = encode(draft), head.seq + 1
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
        entry = Entry(
            seq=seq, id=draft.id, at=moment.at, mono=moment.mono, boot=self._boot, replica=self._replica, fact=fact
        )
        return record, entry

    async def _settle_unknown(self, records: Sequence[Record]) -> None:
        """After a lost answer: the journal itself says whether the append happened (store contract, `AppendUnknown`)."""
        before = self.state
        fresh: list[Entry] = []
        while True:
            found = await self._store.read(self.head.seq, READ_CHUNK)
            if not found:
                break
            fresh.extend(self._take(record) for record in found)
        ids = {entry.id for entry in fresh}
        if records and records[0].id not in ids:
            raise NotCommitted("the store lost the answer, and the journal shows that nothing was written")
        self._publish(fresh, before)

    async def close(self) -> None:
        """Keeps a snapshot and closes the store."""
        await self.save()
        await self._store.close()


def _entails_nothing(_before: State, _after: State, _fact: AnyFact) -> Sequence[AnyFact]:
    return ()


def _settle(batches: Sequence[_Batch], entries: Sequence[Entry]) -> None:
    place = 0
    for facts, wish in batches:
        mine = tuple(entries[place : place + len(facts)])
        place += len(facts)
        if wish is not None and not wish.done.done():
            wish.done.set_result(mine)


def _fail(wish: _Wish, error: Exception) -> None:
    if not wish.done.done():
        wish.done.set_exception(error)
        wish.done.exception()  # a caller that no longer waits is no unhandled error


def _rows(touched: Mapping[str, Incident], entries: Sequence[Entry]) -> list[IncidentRow]:
    """The lines of the action log that these entries changed."""
    if not touched:
        return []
    closed = {entry.fact.incident: entry.fact for entry in entries if isinstance(entry.fact, IncidentClosed)}
    return [_row(incident, closed.get(incident.id), entries[-1].at) for incident in touched.values()]


def _row(incident: Incident, closed: IncidentClosed | None, at: float) -> IncidentRow:
    return IncidentRow(
        incident=incident.id,
        rule=incident.rule,
        target=incident.target_text,
        status="closed" if closed else incident.status,
        result=closed.result if closed else "",
        opened_at=incident.opened.at,
        changed_at=at,
        sentence=closed.reason if closed else incident.sentence,
        labels=incident.labels,
        dry=incident.dry,
    )
