"""The schedule of questions: what is asked when, politely, and what is known by the last good answers.

One question at a time, `gap` seconds apart and never in step (each rest is drawn from half to one and a half of it), so no
resolver and no list sees a burst. A question is asked again after the TTL of its answer, but not before `min_interval` and
not after `max_interval`. After an error the rest doubles; a refusal waits `max_interval` at once. Time enters through the
clock, jitter through the generator that is passed in, so a test runs days of it in no time.

The last good answer counts for `keep` seconds. Then nothing is known, and nothing is said: an absent series is not a zero.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from remediator.config.exporter_settings import DnsSettings, ListSettings, ReputationSettings
from remediator.exporter.answers import Learned, Reply, Result, is_sound, question, read_listing, read_score
from remediator.exporter.resolver import Resolver
from remediator.ports import Clock

SENDER_SCORE = "senderscore"
FIRST_RETRY = 120.0  # s
_TEST_POINTS = ("127.0.0.2", "127.0.0.1")


@dataclass(slots=True, kw_only=True)
class Standing:
    """What is known by one question: the last good value and when it was given, and how the last tries ended.

    `answered_at` (by the monotonic clock) is None while no good answer counts; `last_good_at` (unix s) remembers the last
    one for good; `failures` counts the errors since the last answer.
    """

    ip: str
    source: str
    value: float = 0.0
    answered_at: float | None = None
    last_good_at: float | None = None
    failures: int = 0
    last: Result | None = None
    lookups: dict[Result, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    standing: Standing
    zone: str
    blocklist: ListSettings | None  # None: Sender Score


@dataclass(slots=True, kw_only=True)
class _Trust:
    """Whether a list passed its test points, and until when that counts."""

    until: float = float("-inf")
    ok: bool = False


Tell = Callable[[Standing, Result | None], None]


def _silent(_standing: Standing, _before: Result | None) -> None:
    """Nobody is told."""


class Asking:
    """All questions, their schedule and what is known. `tell` hears when a result is another than before, with that one."""

    def __init__(
        self,
        reputation: ReputationSettings,
        dns: DnsSettings,
        *,
        resolver: Resolver,
        clock: Clock,
        rng: Random,
        tell: Tell = _silent,
    ) -> None:
        self._dns = dns
        self._resolver = resolver
        self._clock = clock
        self._rng = rng
        self._tell = tell
        self._asks = list(_questions(reputation))
        self._due = [(float("-inf"), place) for place in range(len(self._asks))]
        self._trust = {one.name: _Trust() for one in reputation.lists}

    def standings(self) -> Iterator[Standing]:
        """Every question's standing."""
        return (ask.standing for ask in self._asks)

    def known(self, standing: Standing) -> bool:
        """Whether its value still counts now."""
        at = standing.answered_at
        return at is not None and self._clock.monotonic() - at < self._dns.keep

    async def run(self) -> None:
        """Asks for ever."""
        while not self._due:
            await self._rest(self._dns.max_interval)
        while True:
            due, place = heapq.heappop(self._due)
            await self._rest(max(due - self._clock.monotonic(), self._gap()))
            learned = await self._learn(self._asks[place])
            heapq.heappush(self._due, (self._clock.monotonic() + self._pause(place, learned), place))

    async def _learn(self, ask: _Ask) -> Learned:
        listing, standing = ask.blocklist, ask.standing
        if listing is None:
            learned = read_score(await self._ask(standing.ip, ask.zone))
        elif listing.test_points and not await self._sound(listing):
            learned = Learned(result=Result.UNTRUSTED)
        else:
            learned = read_listing(await self._ask(standing.ip, ask.zone), listing.codes)
        self._note(standing, learned)
        return learned

    def _note(self, standing: Standing, learned: Learned) -> None:
        result, before = learned.result, standing.last
        standing.lookups[result] = standing.lookups.get(result, 0) + 1
        standing.last = result
        if result.good:
            standing.value, standing.failures = learned.value, 0
            standing.answered_at, standing.last_good_at = self._clock.monotonic(), self._clock.now()
        elif result is Result.NO_SCORE:  # an answer, too: what it said before is no longer so
            standing.answered_at, standing.failures = None, 0
        else:
            standing.failures += 1
        if result is not before:
            self._tell(standing, before)

    async def _sound(self, listing: ListSettings) -> bool:
        """Whether a list is to be believed; its test points are asked no more often than any other question."""
        trust = self._trust[listing.name]
        if self._clock.monotonic() >= trust.until:
            bad = await self._ask(_TEST_POINTS[0], listing.zone)
            await self._rest(self._gap())
            good = await self._ask(_TEST_POINTS[1], listing.zone)
            await self._rest(self._gap())
            trust.ok = is_sound(bad, good)
            trust.until = self._clock.monotonic() + self._dns.min_interval
        return trust.ok

    async def _ask(self, ip: str, zone: str) -> Reply:
        return await self._resolver.ask(question(ip, zone))

    async def _rest(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def _gap(self) -> float:
        return self._dns.gap * self._rng.uniform(0.5, 1.5)

    def _pause(self, place: int, learned: Learned) -> float:
        """Seconds until the question may be asked again."""
        least, most = self._dns.min_interval, self._dns.max_interval
        match learned.result:
            case Result.SCORE | Result.LISTED | Result.CLEAR | Result.NO_SCORE:
                wanted = learned.ttl
            case Result.REFUSED:
                wanted = most
            case Result.UNTRUSTED:
                wanted = least
            case _:
                failures = self._asks[place].standing.failures
                return min(most, FIRST_RETRY * 2.0 ** min(failures - 1, 20)) * self._rng.uniform(0.9, 1.1)
        return min(max(wanted, least), most) * self._rng.uniform(1.0, 1.1)


def _questions(reputation: ReputationSettings) -> Iterator[_Ask]:
    """One for each address and source; Sender Score knows IPv4 only."""
    for ip, _ in reputation.ips:
        if reputation.sender_score_zone and ":" not in ip:
            standing = Standing(ip=ip, source=SENDER_SCORE)
            yield _Ask(standing=standing, zone=reputation.sender_score_zone, blocklist=None)
        for one in reputation.lists:
            yield _Ask(standing=Standing(ip=ip, source=one.name), zone=one.zone, blocklist=one)
