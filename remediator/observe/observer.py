"""The observer: listens to the journal, writes, counts, and tells whoever follows live."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Sequence
from typing import TextIO

from prometheus_client import Counter
from prometheus_client.exposition import generate_latest

from remediator.core import entries as e
from remediator.core.holds import standing
from remediator.core.leases import MOST_LAG
from remediator.core.outcomes import Result
from remediator.core.space import Room
from remediator.core.state import CLOCK, SAFE_MODE, Moment, RunStatus, State
from remediator.core.telling import tell
from remediator.core.verdicts import Answer
from remediator.observe.log import Log, level_of
from remediator.observe.metrics import Metrics, count, touch
from remediator.observe.redaction import Redactor
from remediator.observe.seen import Seen
from remediator.system import SystemClock

OVERDUE = 60.0  # s after its time, as in core.views
RESULTS = tuple(status.value for status in RunStatus if status.final)
_ANSWERS = tuple(answer.word for answer in Answer)
_STEP_RESULTS = (*(result.value for result in Result), "simulated")
# What the webhook answers to what it will never take.
_REFUSALS = ("400", "401", "403", "405", "413", "415")
_DISPOSITIONS = ("planned", "joined", "suppressed", "quarantined", "duplicate", "resolved", "stale", "unmatched")

Follower = Callable[[Sequence[e.Entry]], None]


class Observer:
    """Listens to the journal (`Journal.listen(observer.on_commit)`). `now` is the wall clock; `head` gives the journal's
    signed end, which then goes into the log line of every run's end as an anchor outside the store (G18).
    """

    def __init__(
        self,
        redactor: Redactor,
        *,
        level: str = "info",
        form: str = "auto",
        stream: TextIO | None = None,
        now: Callable[[], float] | None = None,
        head: Callable[[], object] | None = None,
    ) -> None:
        self.metrics = Metrics()
        self.log = Log(redactor, level=level, form=form, stream=stream, lost=self.metrics.lines_lost.inc)
        self.head = head
        self._now = now or SystemClock().now
        self.moment: Callable[[], Moment] | None = None
        self._calm = True
        self._state = State()
        self._rules: set[str] = set()
        self._receivers: set[str] = set()
        self._followers: list[Follower] = []
        self._answers: dict[int, Counter] = {}
        self._low = ""
        self._tells_all = self.log.wants("info")

    def set_rules(self, names: Iterable[str], actions: Iterable[str]) -> None:
        """Brings every series of these rules and actions into being, so that a first increase is seen as one."""
        m = self.metrics
        for rule in names:
            self._rules.add(rule)
            touch(m.decisions, rule, _ANSWERS)
            touch(m.runs, rule, RESULTS)
            touch(m.dispositions, rule, ("planned", "joined", "suppressed", "quarantined"))
            m.relapses.labels(rule)
            touch(m.demotions, rule, ("approve", "dry-run"))
            touch(m.occurrences, rule, ("missed", "quarantined"))
            m.run_seconds.labels(rule)
            m.verify_seconds.labels(rule)
        for action in actions:
            touch(m.steps, action, _STEP_RESULTS)
            m.step_seconds.labels(action)
        touch(m.dispositions, "", _DISPOSITIONS)
        for status in ("firing", "resolved"):
            m.alerts.labels(status)
        for again in ("yes", "no"):
            m.lost.labels(again)
        for code in _REFUSALS:
            m.requests.labels(code)

    def set_receivers(self, names: Iterable[str]) -> None:
        """Brings every series of these receivers into being."""
        for name in names:
            self._receivers.add(name)
            self.metrics.messages.labels(name)
            self.metrics.messages_given_up.labels(name)
            touch(self.metrics.messages_failed, name, (one.value for one in Result if one is not Result.OK))

    def begin(self, state: State) -> None:
        """Takes the state of a journal that was opened; nothing is logged or counted of the past."""
        self._state = state

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Calls `follower` with the entries of every commit; it must not block or raise. Calling the result ends it."""
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)

    def reloaded(self, *, ok: bool) -> None:
        """What came of a reload."""
        self.metrics.reload_ok.set(1 if ok else 0)

    def answered(self, code: int) -> None:
        """The webhook answered with this status."""
        counter = self._answers.get(code)
        if counter is None:
            counter = self._answers[code] = self.metrics.requests.labels(str(code))
        counter.inc()

    def asked(self, result: str) -> None:
        """Prometheus was asked: `answered`, `empty`, or `useless` (an error, a warning, no answer)."""
        self.metrics.queries.labels(result).inc()

    def append_failed(self, sentence: str) -> None:
        """The store did not take an append."""
        self.metrics.append_errors.inc()
        self.log.line("error", self._now(), f"the journal cannot be written: {sentence}", kind="journal.refused")

    def room_is(self, room: Room, low: str) -> None:
        """What the journal's disk has left, and why that is too little (empty if it is not)."""
        self.metrics.disk_free.set(room.free)
        self.metrics.disk_low.set(bool(low))
        if low and not self._low:
            self.log.line("error", self._now(), low, kind="disk.low")
        elif self._low and not low:
            self.log.line("warning", self._now(), "the disk of the journal has room again", kind="disk.room")
        self._low = low

    def anchor_failed(self, sentence: str) -> None:
        """A head of the journal could not be published where it should be."""
        self.metrics.anchor_errors.inc()
        self.log.line("error", self._now(), sentence, kind="anchor.failed")

    def lagged(self, seconds: float) -> None:
        """How late the event loop is (s); a line when that becomes too much, and when it is over."""
        self.metrics.lag.set(seconds)
        calm = seconds <= MOST_LAG
        if calm != self._calm:
            late = f"the event loop is {seconds:.1f}s behind its time: nothing new is announced until it is calm again"
            sentence = "the event loop is calm again" if calm else late
            self.log.line("info" if calm else "error", self._now(), sentence, kind="loop.lag")
        self._calm = calm

    def tell_head(self, head: object) -> None:
        """Writes the journal's end as a log line: an anchor outside the store (G18)."""
        self.log.line("info", self._now(), "the journal ends here", kind="journal.head", head=str(head))

    def on_commit(self, entries: Sequence[e.Entry], before: State, after: State) -> None:
        """One commit: its entries, the state before and after."""
        self._state = after
        seen: Seen | None = None
        for entry in entries:
            if type(entry.fact) is e.NotificationReceived and not self._tells_all:
                self.metrics.last_webhook.set(entry.at)  # nothing more is said of it, and a storm consists of it
                continue
            seen = seen or Seen(entries, before, after)
            count(self.metrics, entry, seen)
            self._write(entry, seen)
        for follower in tuple(self._followers):
            follower(entries)

    def _write(self, entry: e.Entry, seen: Seen) -> None:
        fact = entry.fact
        level = level_of(fact)
        if not self.log.wants(level):
            return
        keys = {"incident": getattr(fact, "incident", ""), "run": getattr(fact, "run", ""), "rule": seen.rule(fact)}
        if isinstance(fact, e.RunEnded) and self.head is not None:
            keys["head"] = str(self.head())
        word, sentence = tell(fact)
        self.log.line(level, entry.at, f"{word}: {sentence}", kind=entry.kind, entry=entry.seq, **keys)

    def render(self) -> bytes:
        """The exposition text of /metrics."""
        m, state, now = self.metrics, self._state, self._now()
        active = list(state.runs.values())
        per_rule = dict.fromkeys(self._rules, 0)
        held: dict[str, float] = {}
        for run in active:
            per_rule[run.plan.rule] = per_rule.get(run.plan.rule, 0) + 1
            if run.status is RunStatus.DEFERRED:
                held[run.plan.rule] = max(held.get(run.plan.rule, 0.0), now - run.planned.at)
        self._rules.update(per_rule)
        for rule, number in per_rule.items():
            m.in_progress.labels(rule).set(number)
            m.held_back.labels(rule).set(held.get(rule, 0.0))
            m.demoted.labels(rule).set(sum(bool(track.demoted) for track in state.tracks.get(rule, ())))
        m.needs_person.set(sum(run.status is RunStatus.NEEDS_PERSON for run in active))
        m.approvals.set(sum(run.status is RunStatus.AWAITING_APPROVAL for run in active))
        m.paused.set(len(state.pauses))
        m.storm.set(state.storm is not None and state.storm.ended is None)
        m.undos.set(len(state.undos))
        m.overdue.set(sum(undo.due_at + OVERDUE < now for undo in state.undos.values()))
        holds = standing(state, self.moment()) if self.moment is not None else ()
        m.safe_mode.set(any(hold.word == SAFE_MODE for hold in holds))
        m.clock_hold.set(any(hold.word == CLOCK for hold in holds))
        m.pending.set(len(state.pending))
        waiting = Counts(one.receiver for one in state.outbox.values())
        for name in self._receivers | waiting.keys():
            m.messages_waiting.labels(name).set(waiting[name])
        m.head.set(state.seq)
        return generate_latest(m.registry)
