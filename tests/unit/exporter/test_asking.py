"""The schedule: polite, cached, and what is known when nobody answers. Days of it, in no time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest

from remediator.config.exporter_settings import DnsSettings, ListSettings, ReputationSettings
from remediator.exporter.answers import Reply, Result
from remediator.exporter.asking import Asking, Standing

if TYPE_CHECKING:
    from tests.unit.exporter.conftest import TableResolver, VirtualClock

SCORE = "25.2.0.192.score.senderscore.com"
ZEN = "25.2.0.192.zen.example"
BAD, GOOD = "2.0.0.127.zen.example", "1.0.0.127.zen.example"
LISTED = Reply(addresses=("127.0.0.2",), ttl=60.0)
DNS = DnsSettings(nameservers=(("127.0.0.1", 53),), gap=2.0)
HOUR = 3600.0


def reputation(*lists: ListSettings, ips: tuple[str, ...] = ("192.0.2.25",)) -> ReputationSettings:
    return ReputationSettings(ips=tuple((ip, "") for ip in ips), lists=lists)


ONE_LIST = ListSettings(name="zen", zone="zen.example")


class Bench:
    """A schedule that can be let run for a while."""

    def __init__(self, asked: ReputationSettings, resolver: TableResolver, dns: DnsSettings = DNS) -> None:
        self.told: list[tuple[str, Result | None, Result | None]] = []
        self.clock = resolver.clock
        self.task: asyncio.Future[None] | None = None
        self.asking = Asking(
            asked, dns, resolver=resolver, clock=self.clock, rng=Random(7), tell=self._tell,
        )  # fmt: skip

    def _tell(self, standing: Standing, before: Result | None) -> None:
        self.told.append((standing.source, before, standing.last))

    async def run(self, seconds: float) -> None:
        """Lets it run; time stands at the end of it afterwards."""
        if self.task is None:
            self.task = asyncio.ensure_future(self.asking.run())
        await self.clock.pass_time(seconds)

    def values(self) -> dict[str, float]:
        """What is known now, by source."""
        return {one.source: one.value for one in self.asking.standings() if self.asking.known(one)}


def between(times: list[float]) -> list[float]:
    """The rests between moments."""
    return [later - earlier for earlier, later in pairwise(times)]


def say(resolver: TableResolver, name: str, reply: Reply) -> None:
    resolver.says[name] = reply


async def test_what_is_answered_is_known_and_when(resolver: TableResolver, clock: VirtualClock) -> None:
    say(resolver, SCORE, Reply(addresses=("127.0.4.42",), ttl=60.0))
    say(resolver, BAD, LISTED)
    say(resolver, ZEN, LISTED)
    bench = Bench(reputation(ONE_LIST), resolver)
    await bench.run(60)
    assert bench.values() == {"senderscore": 42.0, "zen": 1.0}
    for standing in bench.asking.standings():
        assert standing.last_good_at is not None
        assert clock.now() - 60 <= standing.last_good_at <= clock.now()


async def test_a_question_is_not_asked_again_before_the_least_interval_whatever_its_ttl(
    resolver: TableResolver, clock: VirtualClock
) -> None:
    say(resolver, SCORE, Reply(addresses=("127.0.4.42",), ttl=1.0))
    await Bench(reputation(), resolver).run(6 * HOUR)
    gaps = between(resolver.times(SCORE))
    assert len(gaps) > 10
    assert min(gaps) >= DNS.min_interval


@pytest.mark.parametrize(("ttl", "least", "most"), [(2 * HOUR, 2 * HOUR, 2.3 * HOUR), (90_000.0, 4 * HOUR, 4.6 * HOUR)])
async def test_a_longer_ttl_is_honoured_up_to_the_longest_interval(
    resolver: TableResolver, ttl: float, least: float, most: float
) -> None:
    say(resolver, SCORE, Reply(addresses=("127.0.4.42",), ttl=ttl))
    await Bench(reputation(), resolver).run(24 * HOUR)
    gaps = between(resolver.times(SCORE))
    assert gaps
    assert all(least <= gap <= most for gap in gaps)


async def test_questions_are_spaced_and_never_in_step(resolver: TableResolver) -> None:
    ips = tuple(f"192.0.2.{one}" for one in range(1, 51))
    say(resolver, BAD, LISTED)
    await Bench(reputation(ONE_LIST, ips=ips), resolver).run(2 * HOUR)
    times = [at for at, _ in resolver.asked]
    gaps = between(times)
    assert len(times) > 200
    assert min(gaps) >= DNS.gap / 2
    assert len({round(gap, 6) for gap in gaps[:50]}) > 40
    a_minute = [sum(1 for at in times if start <= at < start + 60) for start in range(0, 7200, 60)]
    assert max(a_minute) <= 60


async def test_errors_wait_longer_each_time(resolver: TableResolver) -> None:
    say(resolver, SCORE, Reply(fault="timeout"))
    await Bench(reputation(), resolver).run(24 * HOUR)
    times = resolver.times(SCORE)
    gaps = between(times)
    assert 100 < gaps[0] < 150
    assert gaps[:6] == sorted(gaps[:6])
    assert max(gaps) <= DNS.max_interval * 1.1 + 3


async def test_a_refusal_waits_longest(resolver: TableResolver) -> None:
    say(resolver, SCORE, Reply(addresses=("127.255.255.255",), ttl=5.0))
    await Bench(reputation(), resolver).run(24 * HOUR)
    assert len(resolver.times(SCORE)) <= 6


async def test_the_last_good_answer_counts_for_a_while_and_then_nothing_is_known(
    resolver: TableResolver, clock: VirtualClock
) -> None:
    say(resolver, SCORE, Reply(addresses=("127.0.4.42",)))
    bench = Bench(reputation(), resolver)
    await bench.run(HOUR)
    say(resolver, SCORE, Reply(fault="servfail"))
    await bench.run(22 * HOUR)
    assert bench.values() == {"senderscore": 42.0}
    await bench.run(3 * HOUR)
    assert bench.values() == {}
    standing = next(bench.asking.standings())
    assert standing.last_good_at is not None
    assert standing.failures > 3


async def test_no_score_any_more_is_an_answer_and_ends_the_old_one_at_once(resolver: TableResolver) -> None:
    say(resolver, SCORE, Reply(addresses=("127.0.4.42",)))
    bench = Bench(reputation(), resolver)
    await bench.run(HOUR)
    say(resolver, SCORE, Reply(ttl=60.0))
    await bench.run(HOUR)
    assert bench.values() == {}
    assert bench.told == [("senderscore", None, Result.SCORE), ("senderscore", Result.SCORE, Result.NO_SCORE)]


async def test_no_such_name_is_never_a_clean_bill_from_a_list_that_is_dead(resolver: TableResolver) -> None:
    bench = Bench(reputation(ONE_LIST), resolver)  # the list has no names at all, not even its test points
    await bench.run(HOUR)
    assert "zen" not in bench.values()
    assert resolver.times(ZEN) == [], "who fails its test points is not asked about anybody"
    assert ("zen", None, Result.UNTRUSTED) in bench.told


async def test_a_list_that_names_everybody_is_not_believed(resolver: TableResolver) -> None:
    for name in (BAD, GOOD, ZEN):
        say(resolver, name, LISTED)
    bench = Bench(reputation(ONE_LIST), resolver)
    await bench.run(HOUR)
    assert "zen" not in bench.values()


async def test_a_list_is_believed_again_once_it_passes(resolver: TableResolver) -> None:
    bench = Bench(reputation(ONE_LIST), resolver)
    await bench.run(HOUR)
    say(resolver, BAD, LISTED)
    await bench.run(HOUR)
    assert bench.values() == {"zen": 0.0}


async def test_test_points_are_asked_no_more_often_than_other_questions(resolver: TableResolver) -> None:
    say(resolver, BAD, LISTED)
    ips = tuple(f"192.0.2.{one}" for one in range(1, 31))
    await Bench(reputation(ONE_LIST, ips=ips), resolver).run(3 * HOUR)
    times = resolver.times(BAD)
    gaps = between(times)
    assert gaps
    assert min(gaps) >= DNS.min_interval


async def test_a_list_may_be_believed_without_test_points(resolver: TableResolver) -> None:
    bench = Bench(reputation(replace(ONE_LIST, test_points=False)), resolver)
    await bench.run(HOUR)
    assert bench.values() == {"zen": 0.0}
    assert resolver.times(BAD) == []


async def test_sender_score_is_not_asked_about_an_address_that_it_cannot_know(resolver: TableResolver) -> None:
    bench = Bench(reputation(ONE_LIST, ips=("2001:db8::1",)), resolver)
    assert [standing.source for standing in bench.asking.standings()] == ["zen"]


async def test_where_there_is_nothing_to_ask_nobody_is_asked(resolver: TableResolver) -> None:
    bench = Bench(reputation(ips=()), resolver)
    await bench.run(9 * HOUR)
    assert resolver.asked == []


@pytest.mark.parametrize("seed", range(5))
async def test_every_question_comes_round(resolver: TableResolver, seed: int) -> None:
    ips = tuple(f"192.0.2.{one}" for one in range(1, 40))
    resolver.says = {f"{one}.2.0.192.score.senderscore.com": Reply(fault="timeout") for one in range(1, 40, seed + 2)}
    bench = Bench(reputation(ips=ips), resolver)
    await bench.run(DNS.max_interval * 2)
    asked = {name for _, name in resolver.asked}
    assert len(asked) == len(ips)
    assert all(sum(standing.lookups.values()) >= 2 for standing in bench.asking.standings())
