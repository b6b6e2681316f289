"""The model of mail: injected, scheduled, ready, then delivered, bounced or tried again. Pure: time is passed in.

Messages are counted, not kept: a tick costs about as much as there are queues, whatever the rates. Fractions of messages
are carried over, so a ratio of 0.25 is exactly every fourth message in the long run; only the arrival of mail and the
spread of latencies are drawn, from the generator that is passed in. All times are mail time, in seconds.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Protocol

from remediator.demo.kumod.domains import Domain, Retries
from remediator.demo.kumod.log_hook import SUSPENDED, LogHook, Source
from remediator.demo.kumod.names import QueueName, ready_queue_name
from remediator.demo.kumod.queues import ReadyQueue, ScheduledQueue, Waiting
from remediator.demo.kumod.shaping import NOTHING, Bucket
from remediator.demo.kumod.tallies import Outcome, Tallies

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Mapping
    from random import Random

    from remediator.demo.kumod.shaping import Shaping

# Messages a ready queue holds at most, and what one can send a second when nobody limits it.
MAX_READY = 1024
_FASTEST_PER_S = 1000
# A leap in time is taken in steps of about a second, but not in more than so many.
_MOST_STEPS = 100
# Within what time mail comes back that did not fit or was throttled, and in how many portions at most: it is spread, so
# that what was too much at one moment is not too much again a minute later.
_SHORT_RETRY = 60.0
_MOST_PORTIONS = 12


class Standing(Protocol):
    """The orders in force at one moment, as far as mail must know them."""

    def suspended(self, queue: QueueName) -> bool:
        """Is this scheduled queue suspended?"""

    def resumes_in(self, ready_queue: str) -> float | None:
        """Seconds for which a ready queue is still suspended; None if it is not."""

    def bouncing(self, queue: QueueName) -> Counter[str] | None:
        """Where to count the messages of a queue that is bounced by order; None if it is not."""


class Mail:
    """All queues of one node and what moves between them."""

    def __init__(
        self, *, domains: Iterable[Domain], rng: Random, now: float = 0.0, retries: Retries | None = None
    ) -> None:
        """Empty queues at mail time `now`."""
        self.domains = {domain.name: domain for domain in domains}
        self.retries = retries or Retries()
        self.shaping: Shaping = NOTHING
        self.stopped = False
        self.log_hook: LogHook | None = None
        self.now = now
        self.scheduled: dict[str, ScheduledQueue] = {}
        self.ready: dict[str, ReadyQueue] = {}
        self.tallies = Tallies()
        self._rng = rng
        self._carry: dict[tuple[str, str], float] = {}
        self._buckets: dict[str, Bucket] = {}
        self._turn = 0
        self._swept_at = now

    def advance(self, now: float, standing: Standing) -> None:
        """Let mail flow until `now`; going back in time does nothing."""
        if now <= self.now:
            return
        steps = min(_MOST_STEPS, ceil(now - self.now))
        elapsed = (now - self.now) / steps
        for left in reversed(range(steps)):
            self.now = now - left * elapsed
            self._turn += 1
            self._step(elapsed, standing)

    def _step(self, elapsed: float, standing: Standing) -> None:
        """A moment. Mail that becomes ready now is sent in the next one, so that it is seen in the ready queues."""
        for domain in self.domains.values():
            self._arrive(domain, elapsed)
        for queue in list(self.scheduled.values()):
            self._bounce(queue, standing)
        self._dispatch(elapsed, standing)
        for queue in list(self.scheduled.values()):
            self._schedule(queue, standing)

    def inject(self, domain: str, count: int, *, tenant: str | None, campaign: str | None, service: str) -> str:
        """Accept messages; they are due at once. An unknown domain comes into being, as a site of its own."""
        known = self.domains.get(domain)
        if known is None:
            site = f"mx.{domain}"
            known = self.domains[domain] = Domain(name=domain, provider=site, site=site, streams=(), inject_per_s=0.0)
        queue = self._queue(QueueName(domain=domain, tenant=tenant, campaign=campaign))
        queue.add(count, due=self.now, attempts=0, born=self.now)
        queue.last_changed = self.now
        known.truth.injected += count
        self.tallies.received[service] += count
        return queue.text

    def rebind(self, queue: ScheduledQueue, moves: Mapping[str, str]) -> None:
        """Change meta data of a queue's messages. Those whose queue changes by it are due at once, the others stay."""
        name = QueueName(
            domain=queue.name.domain,
            tenant=moves.get("tenant") or queue.name.tenant,
            campaign=moves.get("campaign") or queue.name.campaign,
            routing_domain=moves.get("routing_domain") or queue.name.routing_domain,
        )
        if name != queue.name:
            self._move(queue, self._queue(name))

    def flush(self, queue: ScheduledQueue) -> None:
        """Make all messages of a queue due at once; how often they were tried stays."""
        self._move(queue, queue)

    def _move(self, queue: ScheduledQueue, home: ScheduledQueue) -> None:
        for batch in queue.take_all():
            home.add(batch.size, due=self.now, attempts=batch.attempts, born=batch.born)
        home.last_changed = queue.last_changed = self.now

    def restart(self) -> None:
        """What a restart does to mail: the spool stays, what was ready is scheduled again, counters begin anew."""
        for ready in self.ready.values():
            for waiting in ready.take(ready.total):
                waiting.queue.add(waiting.count, due=self.now, attempts=waiting.attempts, born=waiting.born)
        self.ready.clear()
        self.scheduled = {name: queue for name, queue in self.scheduled.items() if queue.total}
        self.tallies = Tallies()
        self._buckets.clear()

    def sweep(self) -> None:
        """Drop queues that are empty and in which nothing moved since the last sweep, and their series with them."""
        busy = set().union(*(ready.queues() for ready in self.ready.values()))
        for name, queue in list(self.scheduled.items()):
            if not queue.total and queue not in busy and queue.last_changed <= self._swept_at:
                del self.scheduled[name]
        for name, ready in list(self.ready.items()):
            if not ready.total and ready.last_changed <= self._swept_at:
                del self.ready[name]
        self._swept_at = self.now
        self.tallies.keep(self.ready.values(), self.scheduled)

    def _arrive(self, domain: Domain, elapsed: float) -> None:
        if domain.inject_per_s <= 0:
            return
        wobble = self._rng.uniform(0.9, 1.1)
        for stream in domain.streams:
            expected = domain.inject_per_s * stream.share * elapsed * wobble
            count = self._whole(domain.name, f"in {stream.tenant} {stream.campaign}", expected)
            if count:
                self.inject(
                    domain.name, count, tenant=stream.tenant, campaign=stream.campaign, service="esmtp_listener"
                )

    def _whole(self, domain: str, purpose: str, amount: float) -> int:
        """The whole part of an amount; the fraction is kept for the next time."""
        exact = self._carry.get((domain, purpose), 0.0) + amount
        whole = int(exact + 1e-9)
        self._carry[domain, purpose] = exact - whole
        return whole

    def _queue(self, name: QueueName) -> ScheduledQueue:
        text = str(name)
        if text not in self.scheduled:
            self.scheduled[text] = ScheduledQueue(name)
        return self.scheduled[text]

    def _bounce(self, queue: ScheduledQueue, standing: Standing) -> None:
        tally = standing.bouncing(queue.name)
        if tally is None:
            return
        gone = sum(batch.size for batch in queue.take_all())
        gone += sum(waiting.count for ready in self.ready.values() for waiting in ready.take_of(queue))
        if gone:
            tally[queue.text] += gone
            queue.last_changed = self.now
            self.domains[queue.name.domain].truth.admin_bounced += gone
            if self.log_hook is not None:
                self.log_hook.log("AdminBounce", queue.name, gone)

    def _schedule(self, queue: ScheduledQueue, standing: Standing) -> None:
        due = queue.take_due(self.now)
        if not due:
            return
        queue.last_changed = self.now
        suspended = standing.suspended(queue.name)
        truth = self.domains[queue.name.domain].truth
        for batch in due:
            waiting = Waiting(queue=queue, count=batch.size, attempts=batch.attempts, born=batch.born)
            if self.now - batch.born >= self.retries.max_age:
                truth.expired += batch.size
                if self.log_hook is not None:
                    self.log_hook.log("Expiration", queue.name, batch.size, attempts=batch.attempts)
            elif suspended:
                self._suspend(waiting)
            else:
                self._make_ready(waiting, standing)

    def _suspend(self, waiting: Waiting) -> None:
        """Mail of a suspended queue came due: an attempt, but one that nobody outside heard of."""
        self.domains[waiting.queue.name.domain].truth.suspended_attempts += waiting.count
        if self.log_hook is not None:
            name, attempts = waiting.queue.name, waiting.attempts
            self.log_hook.log("TransientFailure", name, waiting.count, attempts=attempts, said=SUSPENDED)
        self._again(waiting)

    def _again(self, waiting: Waiting) -> None:
        """An attempt came to nothing: one more is counted, and the next one is later than the last."""
        attempts = waiting.attempts + 1
        delay = self.retries.delay(attempts)
        step = max(1, int(delay) // 100)
        waiting.queue.add(waiting.count, due=self.now + delay, attempts=attempts, born=waiting.born, step=step)

    def _later(self, waiting: Waiting, delay: float) -> None:
        """Not an attempt, only a wait."""
        waiting.queue.add(waiting.count, due=self.now + delay, attempts=waiting.attempts, born=waiting.born)

    def _soon(self, waiting: Waiting, least: float) -> None:
        """A short wait, spread over a minute that begins after `least` seconds."""
        portions = min(_MOST_PORTIONS, 1 + waiting.count // 100)
        each, rest = divmod(waiting.count, portions)
        for place in range(portions):
            turn = (self._turn + place) % _MOST_PORTIONS
            delay = least + _SHORT_RETRY * (turn + 1) / _MOST_PORTIONS
            part = Waiting(
                queue=waiting.queue, count=each + (place < rest), attempts=waiting.attempts, born=waiting.born
            )
            self._later(part, delay)

    def _make_ready(self, waiting: Waiting, standing: Standing) -> None:
        """Share messages among the sources that may send to the site; without any, wait for the first to be free."""
        domain = self.domains[waiting.queue.name.domain]
        names = {source: ready_queue_name(source=source, site=domain.site) for source in domain.sources}
        waits = {source: standing.resumes_in(name) for source, name in names.items()}
        free = [source for source in domain.sources if waits[source] is None]
        if not free:
            self._later(waiting, min((wait for wait in waits.values() if wait is not None), default=_SHORT_RETRY))
            return
        each, rest = divmod(waiting.count, len(free))
        for place, source in enumerate(free):
            count = each + ((place + self._turn) % len(free) < rest)
            ready = self._ready_queue(names[source], source, domain)
            fits = min(count, max(0, MAX_READY - ready.total))
            if fits:
                ready.last_changed = self.now
                ready.push(Waiting(queue=waiting.queue, count=fits, attempts=waiting.attempts, born=waiting.born))
            if count > fits:
                self.tallies.ready_full[ready.service] += count - fits
                self.tallies.delayed_ready_full[waiting.queue.text] += count - fits
                excess = Waiting(queue=waiting.queue, count=count - fits, attempts=waiting.attempts, born=waiting.born)
                self._soon(excess, 0.0)

    def _ready_queue(self, name: str, source: str, domain: Domain) -> ReadyQueue:
        if name not in self.ready:
            ready = ReadyQueue(name=name, source=source, site=domain.site, provider=domain.provider, pool=domain.pool)
            self.ready[name] = ready
            self.tallies.open(ready)
        return self.ready[name]

    def _dispatch(self, elapsed: float, standing: Standing) -> None:
        """Send what may be sent; a receiver's own limit is shared by all sources."""
        allowances = {
            domain.name: self._whole(domain.name, "receiver", domain.throttle_per_s * elapsed)
            for domain in self.domains.values()
            if domain.throttle_per_s is not None
        }
        queues = list(self.ready.values())
        turn = self._turn % max(1, len(queues))
        for ready in queues[turn:] + queues[:turn]:
            if standing.resumes_in(ready.name) is not None:
                for waiting in ready.take(ready.total):
                    self._make_ready(waiting, standing)
            elif ready.total and not self.stopped:
                self._send(ready, elapsed, allowances, standing)

    def _send(self, ready: ReadyQueue, elapsed: float, allowances: dict[str, int], standing: Standing) -> None:
        ready.last_changed = self.now
        limit = max(1, int(_FASTEST_PER_S * elapsed))
        bucket = self._bucket(ready)
        tokens = bucket.available(self.now) if bucket else limit
        kept: list[Waiting] = []
        for waiting in ready.take(min(limit, tokens)):
            if standing.suspended(waiting.queue.name):
                self._suspend(waiting)
                continue
            domain = self.domains[waiting.queue.name.domain]
            count = min(waiting.count, allowances.get(domain.name, waiting.count))
            if domain.name in allowances:
                allowances[domain.name] -= count
            if count < waiting.count:
                left = waiting.count - count
                kept.append(Waiting(queue=waiting.queue, count=left, attempts=waiting.attempts, born=waiting.born))
            if count:
                waiting.count = count
                self._attempt(ready, domain, waiting)
                if bucket:
                    bucket.spend(count)
        ready.limited_since = (ready.limited_since or self.now) if kept else None
        for waiting in kept:
            ready.push(waiting)
        self._throttle(ready, bucket)

    def _throttle(self, ready: ReadyQueue, bucket: Bucket | None) -> None:
        """What the rate does not let through goes back to its scheduled queue for a short while."""
        if bucket is None or not ready.total or bucket.available(self.now) > 0:
            ready.throttled_since = None
            return
        ready.throttled_since = ready.throttled_since or self.now
        for waiting in ready.take(ready.total):
            self.tallies.delayed_rate[waiting.queue.text] += waiting.count
            self._soon(waiting, bucket.wait)

    def _bucket(self, ready: ReadyQueue) -> Bucket | None:
        """The rate of a path: the least that the file gives to any domain of the site."""
        domains = [domain.name for domain in self.domains.values() if domain.site == ready.site]
        rates = [rate for name in domains if (rate := self.shaping.rate(name, ready.source)) is not None]
        if not rates:
            self._buckets.pop(ready.name, None)
            return None
        rate = min(rates, key=lambda rate: rate.count / rate.period)
        bucket = self._buckets.get(ready.name)
        if bucket is None or bucket.rate != rate:
            bucket = self._buckets[ready.name] = Bucket(rate, self.now)
        return bucket

    def _attempt(self, ready: ReadyQueue, domain: Domain, waiting: Waiting) -> None:
        count = waiting.count
        if domain.blocked:
            failed, again = 0, count
        else:
            ratio, purpose = domain.bounces(waiting.queue.name)
            failed = min(count, self._whole(domain.name, purpose, count * ratio))
            again = min(count - failed, self._whole(domain.name, "again", count * domain.transfail_ratio))
        delivered = count - failed - again
        self.tallies.finish(ready, Outcome.DELIVERED, delivered)
        self.tallies.finish(ready, Outcome.FAIL, failed)
        self.tallies.finish(ready, Outcome.TRANSFAIL, again)
        self.tallies.time(count, typical_s=domain.latency_s, rng=self._rng)
        domain.truth.delivered += delivered
        domain.truth.failed += failed
        domain.truth.transfailed += again
        if self.log_hook is not None:
            self._log(ready, domain, waiting, {"Delivery": delivered, "Bounce": failed, "TransientFailure": again})
        if again:
            self._again(Waiting(queue=waiting.queue, count=again, attempts=waiting.attempts, born=waiting.born))

    def _log(self, ready: ReadyQueue, domain: Domain, waiting: Waiting, ends: Mapping[str, int]) -> None:
        """Tells the log hook what came of an attempt, and of what was delivered what becomes of it later."""
        hook, name = self.log_hook, waiting.queue.name
        if hook is None:
            return
        source = Source(name=ready.source, pool=ready.pool, site=ready.site)
        for kind, count in ends.items():
            hook.log(kind, name, count, source=source, attempts=waiting.attempts)
        for kind, ratio in (("Feedback", domain.complaint_ratio), ("OOB", domain.oob_ratio)):
            hook.log(kind, name, self._whole(domain.name, kind, ends["Delivery"] * ratio))
