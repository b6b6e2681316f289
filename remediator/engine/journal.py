"""The journal: one lane through which every decision is made, appended and made true.

A caller hands in a *decider*, a function of the newest state that returns facts. The lane runs deciders one after the
other, each on the state that the earlier ones leave, adds what the facts entail, signs all of it, and appends many
deciders' facts in one commit (group commit). Only then do callers learn of it. If the store says no, the state is what it
was: states are values. So deduplication, budgets, locks, approvals and intents are plain functions, and each is atomic.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet

from remediator.core.chain import Break, Head, check
from remediator.core.entries import AnyFact, Entry, Record, decode
from remediator.core.fold import fold
from remediator.core.leases import holders
from remediator.core.snapshots import thaw
from remediator.core.state import Moment, State
from remediator.engine.action_log import rows_of
from remediator.engine.clocks import Clocks
from remediator.engine.drafts import Decider, Draft, Wish, drafted, fail, nothing, without
from remediator.engine.history import History, check_start, first_effect, require_beginning
from remediator.engine.packing import sealed
from remediator.engine.scribe import Entail, Page, Scribe
from remediator.errors import (
    AppendUnknown,
    Conflict,
    CorruptJournal,
    IllegalEntry,
    NotCommitted,
    RefusedRecord,
    StoreError,
    StoreRefused,
)
from remediator.ports import Clock, HighWater, Snapshot, Store, StoreInfo

Listener = Callable[[Sequence[Entry], State, State], None]

# How many deciders share one commit at most: bounds the time that one commit can take.
BATCH = 256
# For so many turns of the loop (well under a millisecond) a commit waits for those who are likely to come.
TURNS = 40
# How often deciders are asked again because somebody else appended first, before their callers are told.
CONFLICTS = 16
# Rests between tries of something that must be recorded (s): doubling from the first to the last.
FIRST_REST, LAST_REST = 0.2, 5.0
READ_CHUNK = 2000
# How many entries a start has to fold at most, give or take (folding costs about 20 microseconds each).
SNAPSHOT_EVERY = 50_000


class Journal:
    """State and store, kept together. `head` is the signed end; `state` is what folding up to it gives."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        key: bytes,
        replica: str,
        boot: str,
        host: str = "",
        marks: HighWater | None = None,
    ) -> None:
        self.store = store
        self.history = History(store, clock, marks)
        self._clock = clock
        self._key = key
        self.boot = boot
        self.clocks = Clocks(clock, boot, host)
        self.alone = True
        self._look_wanted = False
        self._scribe = Scribe(key=key, replica=replica, boot=boot, host=host)
        self._saved = self._saved_before = 0
        self._served = 0
        self._wishes: deque[Wish] = deque()
        self._wanted = asyncio.Event()
        self._listeners: list[Listener] = []
        self._entail: Entail = _entails_nothing
        self.state = State()
        self.head = Head()
        self.broken = self._lost = ""
        self.renewals = 0  # how often the journal turned out to be another one, and everything was read anew
        self.last_error: str = ""
        self.on_error: Callable[[str], None] = lambda _sentence: None

    # ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────────
    async def open(self) -> StoreInfo:
        """Opens the store and folds the journal; CorruptJournal names a bad entry, and lost history is safe mode (G16)."""
        return await self._take_up("")

    async def _take_up(self, lost: str) -> StoreInfo:
        info = await self.store.open()
        self.alone = info.alone
        await self._restore()
        require_beginning(self.state, info.start)
        await self._catch_up()
        check_start(self.state, info.start)
        self.clocks.begin(self.state)
        loss = lost or await self.history.loss(info.store_id, info.start, self.state, self.head)
        await self._begin(info, loss, self._gone() if lost else frozenset())
        self.history.note(self.state, self.head)
        if trouble := await self.history.keep():
            raise StoreRefused(trouble)
        return info

    async def _begin(self, info: StoreInfo, loss: str, gone: AbstractSet[str]) -> None:
        for _ in range(CONFLICTS):
            page = Page(self.state, self.head)
            facts = await self.history.opening(info, self.state, loss, gone)
            self._scribe.write(page, self.moment(), facts, self._entail)
            try:
                return await self._append(Draft(page, ())) if facts else None
            except Conflict:  # another replica was first
                await self._catch_up()
        raise NotCommitted("others kept appending first")

    def _gone(self) -> AbstractSet[str]:
        """Whose work was left and is this process's now: no other one starts that would go on with it."""
        return holders(self.state) - {self.boot} if self.alone else frozenset()

    async def _start_over(self, lost: str) -> bool:
        """The journal is not the one that was seen: reads what is there now, in safe mode; whether that worked."""
        before = (self.state, self.head)
        self._lost = lost
        self.state, self.head, self._saved, self._saved_before = State(), Head(), 0, 0
        try:
            await self.store.close()
            await self._take_up(lost)
        except StoreError as fault:
            self.state, self.head = before
            self.broken = f"{lost}; and what is there now cannot be taken up: {fault}"
            return False
        self.broken, self._lost = "", ""
        self.renewals += 1
        return True

    @property
    def safe(self) -> int:
        """Entries below this one are not needed to start: two snapshots lie at or above it."""
        return self._saved_before

    def verified(self, start: Head, records: Sequence[Record]) -> Head:
        """The end of `records`, which follow `start`; CorruptJournal names the first that is not as it was written."""
        end = start
        for found in check(self._key, ((one.seq, one.body, one.mac) for one in records), start):
            if isinstance(found, Break):
                raise CorruptJournal(found.seq, found.sentence)
            end = found
        return end

    async def _restore(self) -> None:
        """Begins from the newest snapshot that is ours and that the journal still runs through."""
        snapshot = await self.store.load_snapshot()
        if snapshot is None:
            return
        state = thaw(snapshot.state, self._key)
        if state is not None and state.seq == snapshot.head.seq:
            self.state, self.head = state, snapshot.head
            self._saved = snapshot.head.seq

    async def save(self) -> None:
        """Keeps the present state as a snapshot, while others go on; losing it costs only time."""
        state, head = self.state, self.head
        if head.seq == self._saved:
            return
        sealed_state = await sealed(state, self._key)
        with contextlib.suppress(StoreError):
            await self.store.save_snapshot(Snapshot(head=head, state=sealed_state))
            if head.seq > self._saved:
                self._saved_before, self._saved = self._saved, head.seq

    async def _catch_up(self) -> None:
        while True:
            records = await self.store.read(self.head.seq, READ_CHUNK)
            if not records:
                return
            for record in records:
                self._take(record)

    def _take(self, record: Record) -> Entry:
        found = self.verified(self.head, (record,))
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
        """Now, by all clocks."""
        return self.clocks.moment(self.state)

    # ── deciding ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def commit(self, decider: Decider) -> Awaitable[tuple[Entry, ...]]:
        """The entries that `decider` led to, once they are durable; empty if it decided on nothing.

        What the decider raises comes back here. StoreError means that nothing happened (or, for AppendUnknown, that it
        could not even be found out). Cancelling the wait does not cancel the append: the lane looks at the decider only.
        """
        done: asyncio.Future[tuple[Entry, ...]] = asyncio.get_running_loop().create_future()
        self._wishes.append(Wish(decider, done))
        self._wanted.set()
        return done

    async def insist(self, decider: Decider) -> tuple[Entry, ...]:
        """As `commit`, but tries again for as long as the store cannot: for what has happened and so has to be on record.

        After an AppendUnknown the decider is asked again too; it has to look whether its facts are there already.
        """
        rest = FIRST_REST
        while True:
            try:
                return await self.commit(decider)
            except StoreError:
                await self._clock.sleep(rest)
                rest = min(LAST_REST, rest * 2)

    async def look(self) -> None:
        """Takes in what others have appended; that is the only way to learn of it without an append of one's own."""
        self._look_wanted = True
        with contextlib.suppress(StoreError):
            await self.commit(nothing)

    @property
    def waiting(self) -> int:
        """How many deciders wait."""
        return len(self._wishes)

    async def run(self) -> None:
        """The lane; ends only by cancellation, after which waiting deciders are refused."""
        wishes: list[Wish] = []
        saving: asyncio.Future[None] | None = None
        try:
            while True:
                await self._wanted.wait()
                wishes = []
                await self._gather(wishes)
                if self._look_wanted:
                    self._look_wanted = False
                    await self._follow_up(Conflict(self.head.seq))
                await self._serve(wishes)
                if self.head.seq - self._saved >= SNAPSHOT_EVERY and (saving is None or saving.done()):
                    saving = asyncio.ensure_future(self.save())
        finally:
            if saving is not None:
                saving.cancel()
            for wish in (*wishes, *self._wishes):
                fail(wish, NotCommitted("the service is stopping"))

    async def _gather(self, wishes: list[Wish]) -> None:
        """Takes in all who wait, and more who are likely to come: as many as the last commit served, for a few turns.

        A commit is cheapest while nothing else wants to run: begun too early, it shares the interpreter with the requests
        that then wait for the next one (measured: a third fewer answers). Who is alone, and was before, does not wait.
        """
        wanted, turns = min(BATCH, max(len(self._wishes), self._served)), 0
        while True:
            while self._wishes and len(wishes) < BATCH:
                wishes.append(self._wishes.popleft())
                turns = 0
            if len(wishes) >= wanted or turns == TURNS:
                break
            turns += 1
            await asyncio.sleep(0)
        self._served = len(wishes)
        if not self._wishes:
            self._wanted.clear()

    async def _serve(self, wishes: Sequence[Wish]) -> None:
        if self._lost and not await self._start_over(self._lost):
            self._refuse(wishes, NotCommitted(self.broken))
        else:
            await self._append_all(wishes)

    async def _append_all(self, wishes: Sequence[Wish]) -> None:
        error: StoreError = NotCommitted("others kept appending first")
        conflicts = 0
        while conflicts < CONFLICTS:
            draft = self._decide(wishes)
            if not draft.page.entries and not self.last_error:
                return  # after an error even an empty append is made: it shows whether the store is back
            wishes = draft.wishes
            try:
                await self._append(draft)
            except RefusedRecord as refusal:
                error = refusal
                wishes = without(draft, refusal, self.on_error)
                if len(wishes) == len(draft.wishes):
                    break
            except Conflict as conflict:
                error = conflict
                conflicts += 1
                if not await self._follow_up(conflict):
                    break
            except StoreError as fault:
                error = fault
                break
            else:
                return
        self._refuse(wishes, error)

    def _refuse(self, wishes: Sequence[Wish], error: StoreError) -> None:
        self.last_error = str(error)
        self.on_error(self.last_error)
        for wish in wishes:
            fail(wish, error)

    async def _follow_up(self, conflict: Conflict) -> bool:
        """After a conflict: whether the state is now what the journal says, so that deciding again makes sense."""
        try:
            if not await self.history.runs_through(self.head):
                short = (
                    f"the store ends at entry {conflict.head}" if conflict.head < self.head.seq else "it was replaced"
                )
                return await self._start_over(f"entry {self.head.seq} was seen and is gone: {short}")
            await self._follow()
        except CorruptJournal as fault:
            self.broken = str(fault)
            return False
        except StoreError:
            return False
        return True

    async def _follow(self) -> list[Entry]:
        """Folds what the journal has beyond `head` and publishes it: others wrote it, or we did and never learned."""
        before, fresh = self.state, list[Entry]()
        try:
            while records := await self.store.read(self.head.seq, READ_CHUNK):
                for record in records:
                    fresh.append(self._take(record))
        finally:
            if fresh:
                self._publish(fresh, before)
        return fresh

    def _decide(self, wishes: Sequence[Wish]) -> Draft:
        page, moment = Page(self.state, self.head), self.moment()
        self._scribe.write(page, moment, self.clocks.steps(self.state, moment), self._entail)
        return drafted(page, moment, wishes, self._scribe, self._entail)

    # ── appending ────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _append(self, draft: Draft) -> None:
        page, before = draft.page, self.state
        try:
            await self.store.append(self.head, page.records, rows_of(page.touched, page.entries))
        except AppendUnknown as lost:
            await self._settle_unknown(page.records, lost)
        else:
            self.state, self.head = page.state, page.head
            self._publish(page.entries, before)
        self.last_error = ""
        unmarked = await self.history.keep() if self.history.kept and first_effect(page.entries) else ""
        for wish, entries in draft.answers:
            if unmarked and first_effect(entries):
                fail(wish, NotCommitted(f"no effect without a high-water mark: {unmarked}"))
            elif not wish.done.done():
                wish.done.set_result(entries)

    def _publish(self, entries: Sequence[Entry], before: State) -> None:
        self.history.note(self.state, self.head)
        self.clocks.told(entries)
        for listener in self._listeners if entries else ():
            listener(entries, before, self.state)

    async def _settle_unknown(self, records: Sequence[Record], lost: AppendUnknown) -> None:
        """After a lost answer: the journal itself says whether the append happened (store contract, `AppendUnknown`)."""
        try:
            fresh = await self._follow()
        except CorruptJournal:
            raise
        except StoreError as fault:
            raise AppendUnknown(f"{lost}; and the journal could not be read: {fault}") from fault
        if not records or not {record.id for record in records} <= {entry.id for entry in fresh}:
            raise NotCommitted("the store lost the answer, and the journal shows that nothing was written")

    async def close(self) -> None:
        """Keeps the mark and a snapshot, and closes the store."""
        await self.history.keep()
        await self.save()
        await self.store.close()


def _entails_nothing(_before: State, _after: State, _fact: AnyFact) -> Sequence[AnyFact]:
    return ()
