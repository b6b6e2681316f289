"""The model of mail: conservation, suspension, retries, expiry, throttles, bounces, restarts. The test is the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pytest

from remediator.demo.kumod import shaping
from remediator.demo.kumod.admin import Bounce, Criteria, Orders, ReadySuspension, Suspension
from remediator.demo.kumod.domains import Domain, Retries
from remediator.demo.kumod.mail import MAX_READY, Mail
from remediator.demo.kumod.tallies import SMTP_CLIENT, Outcome


class World(Protocol):
    """What conftest builds."""

    mail: Mail
    orders: Orders

    def run(self, seconds: float, *, step: float = 1.0) -> None: ...
    def scheduled(self) -> int: ...
    def ready(self) -> int: ...


MakeDomain = Callable[..., Domain]
MakeWorld = Callable[..., World]

QUEUE = "news:acme@gmail.com"
FOREVER = 1e12


def suspension(*, domain: str | None = None, tenant: str | None = None) -> Suspension:
    return Suspension(reason="test", expires=FOREVER, criteria=Criteria(domain=domain, tenant=tenant))


def test_no_message_appears_or_vanishes(make_domain: MakeDomain, make_world: MakeWorld) -> None:
    domain = make_domain(inject_per_s=333.0, bounce_ratio=0.1, transfail_ratio=0.2, throttle_per_s=50.0)
    world = make_world([domain], retries=Retries(interval=30.0, max_age=300.0))
    world.run(600.0, step=0.7)
    truth = domain.truth
    assert truth.injected > 150_000
    assert truth.expired > 0
    gone = truth.delivered + truth.failed + truth.expired + truth.admin_bounced
    assert truth.injected == gone + world.scheduled() + world.ready()


def test_outcomes_follow_the_ratios_exactly_in_the_long_run(make_domain: MakeDomain, make_world: MakeWorld) -> None:
    domain = make_domain(inject_per_s=100.0, bounce_ratio=0.25)
    make_world([domain]).run(600.0)
    finished = domain.truth.failed + domain.truth.delivered
    assert abs(domain.truth.failed - 0.25 * finished) <= 1


def test_the_same_seed_gives_the_same_world_and_another_does_not(
    make_domain: MakeDomain, make_world: MakeWorld
) -> None:
    def tell(seed: int) -> list[int]:
        domain = make_domain(inject_per_s=37.0, bounce_ratio=0.03)
        make_world([domain], seed=seed).run(60.0, step=0.2)
        return [domain.truth.injected, domain.truth.delivered, domain.truth.failed]

    assert tell(7) == tell(7)
    assert tell(7) != tell(8)


def test_a_leap_in_time_is_taken_in_small_steps(make_domain: MakeDomain, make_world: MakeWorld) -> None:
    domain = make_domain(inject_per_s=500.0)
    world = make_world([domain])
    world.run(60.0, step=60.0)
    assert sum(world.mail.tallies.ready_full.values()) == 0
    assert domain.truth.delivered > 0.9 * domain.truth.injected


def test_a_suspended_queue_piles_up_and_its_attempts_are_counted(
    make_domain: MakeDomain, make_world: MakeWorld
) -> None:
    domain = make_domain(inject_per_s=10.0)
    world = make_world([domain])
    world.run(10.0)
    delivered = domain.truth.delivered
    world.orders.suspensions.add(suspension(domain="gmail.com"))
    world.run(100.0)
    assert domain.truth.delivered == delivered
    assert world.scheduled() > 800
    assert {batch.attempts for batch in world.mail.scheduled[QUEUE].batches()} == {1}
    assert world.mail.tallies.by_service[Outcome.TRANSFAIL][SMTP_CLIENT] == 0


def test_another_domain_keeps_flowing_while_one_is_suspended(make_domain: MakeDomain, make_world: MakeWorld) -> None:
    quiet, busy = make_domain("gmail.com"), make_domain("yahoo.com")
    world = make_world([quiet, busy])
    world.orders.suspensions.add(suspension(domain="gmail.com"))
    world.run(60.0)
    assert quiet.truth.delivered == 0
    assert busy.truth.delivered > 0.9 * busy.truth.injected


def test_mail_stays_put_after_a_suspension_ends_until_it_is_next_due(
    make_domain: MakeDomain, make_world: MakeWorld
) -> None:
    domain = make_domain(inject_per_s=10.0)
    world = make_world([domain])
    entry = suspension(domain="gmail.com")
    world.orders.suspensions.add(entry)
    world.run(100.0)
    domain.inject_per_s = 0.0
    held = world.scheduled()
    assert world.orders.suspensions.remove(entry.id, world.mail.now) is entry
    world.run(60.0)
    assert (world.scheduled(), domain.truth.delivered) == (held, 0)
    world.run(1_200.0)
    assert (world.scheduled(), domain.truth.delivered) == (0, held)


def test_a_flush_makes_held_mail_due_at_once_and_keeps_its_attempts(
    make_domain: MakeDomain, make_world: MakeWorld
) -> None:
    domain = make_domain(inject_per_s=10.0)
    world = make_world([domain])
    entry = suspension(domain="gmail.com")
    world.orders.suspensions.add(entry)
    world.run(100.0)
    domain.inject_per_s = 0.0
    held = world.scheduled()
    world.orders.suspensions.remove(entry.id, world.mail.now)
    world.mail.flush(world.mail.scheduled[QUEUE])
    assert {batch.attempts for batch in world.mail.scheduled[QUEUE].batches()} == {1}
    world.run(5.0)
    assert domain.truth.delivered == held


def test_a_flush_under_a_suspension_only_costs_an_attempt(make_domain: MakeDomain, make_world: MakeWorld) -> None:
    domain = make_domain()
    world = make_world([domain])
    world.orders.suspensions.add(suspension(tenant="acme"))
    world.run(10.0)
    domain.inject_per_s = 0.0
    world.mail.flush(world.mail.scheduled[QUEUE])
    world.run(5.0)
    assert domain.truth.delivered == 0
    assert {batch.attempts for batch in world.mail.scheduled[QUEUE].batches()} == {2}


def test_suspended_mail_is_lost_when_it_grows_too_old(make_domain: MakeDomain, make_world: MakeWorld) -> None:
    domain = make_domain()
    world = make_world([domain], retries=Retries(interval=60.0, max_age=600.0))
    world.orders.suspensions.add(suspension())
    world.run(60.0)
    domain.inject_per_s = 0.0
    world.run(3_600.0)
    assert domain.truth.expired == domain.truth.injected > 0
    assert world.mail.tallies.by_service[Outcome.FAIL][SMTP_CLIENT] == 0


@pytest.mark.parametrize(
    ("attempts", "delay"), [(1, 1_200.0), (2, 2_400.0), (3, 4_800.0), (9, 14_400.0), (5_000, 14_400.0)]
)
def test_the_wait_doubles_up_to_a_limit(attempts: int, delay: float) -> None:
    assert Retries().delay(attempts) == delay


def test_a_suspended_source_leaves_its_site_to_the_others_of_the_pool(
    make_domain: MakeDomain, make_world: MakeWorld
) -> None:
    domain = make_domain()
    world = make_world([domain])
    name = "ip-1->mx.gmail.com@smtp_client"
    world.orders.ready_suspensions.add(ReadySuspension(name=name, reason="test", expires=FOREVER))
    world.run(60.0)
    assert domain.truth.delivered > 0.9 * domain.truth.injected
    delivered = world.mail.tallies.by_source[Outcome.DELIVERED]
    assert delivered["google", "ip-1", "pool-1"] == 0
    assert delivered["google", "ip-2", "pool-1"] == domain.truth.delivered


def test_with_every_source_suspended_mail_waits_for_the_first_to_be_free(
    make_domain: MakeDomain, make_world: MakeWorld
) -> None:
    domain = make_domain()
    world = make_world([domain])
    for source, expires in (("ip-1", 100.0), ("ip-2", 500.0)):
        order = ReadySuspension(name=f"{source}->mx.gmail.com@smtp_client", reason="test", expires=expires)
        world.orders.ready_suspensions.add(order)
    world.run(99.0)
    assert domain.truth.delivered == 0
    world.run(20.0)
    assert domain.truth.delivered > 0
    assert {batch.attempts for batch in world.mail.scheduled[QUEUE].batches()} <= {0}


def test_a_bounce_destroys_what_is_there_and_what_comes_later(make_domain: MakeDomain, make_world: MakeWorld) -> None:
    domain = make_domain()
    world = make_world([domain])
    world.mail.stopped = True
    world.run(30.0)
    entry = Bounce(reason="test", expires=60.0, criteria=Criteria(domain="gmail.com"))
    world.orders.bounces.add(entry)
    world.run(20.0)
    assert world.scheduled() + world.ready() == 0
    assert entry.bounced[QUEUE] == domain.truth.admin_bounced == domain.truth.injected
    assert world.mail.tallies.by_service[Outcome.FAIL][SMTP_CLIENT] == 0
    world.run(30.0)
    assert world.scheduled() + world.ready() > 0


def test_a_rate_out_of_the_shaping_file_limits_each_source(make_domain: MakeDomain, make_world: MakeWorld) -> None:
    domain = make_domain(inject_per_s=50.0)
    world = make_world([domain])
    world.mail.shaping = shaping.load('["gmail.com"]\nmax_message_rate = "100/h"\n')
    world.run(3_600.0)
    assert 200 <= domain.truth.delivered <= 404
    assert world.mail.tallies.delayed_rate[QUEUE] > 0
    assert {batch.attempts for batch in world.mail.scheduled[QUEUE].batches()} == {0}
    world.mail.shaping = shaping.NOTHING
    world.run(600.0)
    assert domain.truth.delivered > 10_000


def test_a_receiver_that_takes_little_fills_the_ready_queues(make_domain: MakeDomain, make_world: MakeWorld) -> None:
    domain = make_domain(inject_per_s=100.0, throttle_per_s=10.0)
    world = make_world([domain])
    world.run(60.0)
    assert domain.truth.delivered == pytest.approx(600, abs=20)
    assert world.ready() == 2 * MAX_READY
    assert world.mail.tallies.delayed_ready_full[QUEUE] > 0
    assert all(ready.limited_since is not None for ready in world.mail.ready.values())


def test_a_great_flush_drains_within_minutes(make_domain: MakeDomain, make_world: MakeWorld) -> None:
    domain = make_domain(inject_per_s=100.0)
    world = make_world([domain])
    entry = suspension(domain="gmail.com")
    world.orders.suspensions.add(entry)
    world.run(600.0)
    domain.inject_per_s = 0.0
    held = world.scheduled()
    world.orders.suspensions.remove(entry.id, world.mail.now)
    world.mail.flush(world.mail.scheduled[QUEUE])
    world.run(300.0)
    assert held > 50_000
    assert domain.truth.delivered == held


def test_a_blocked_domain_fails_for_now_and_is_tried_again(make_domain: MakeDomain, make_world: MakeWorld) -> None:
    domain = make_domain(blocked=True)
    world = make_world([domain])
    world.run(60.0)
    assert domain.truth.delivered == 0
    assert world.mail.tallies.by_service[Outcome.TRANSFAIL][SMTP_CLIENT] == domain.truth.transfailed > 0


def test_stopped_delivery_keeps_mail_and_delivers_nothing(make_domain: MakeDomain, make_world: MakeWorld) -> None:
    domain = make_domain(inject_per_s=100.0)
    world = make_world([domain])
    world.mail.stopped = True
    world.run(60.0)
    assert domain.truth.delivered == 0
    assert world.scheduled() + world.ready() == domain.truth.injected


def test_a_restart_keeps_the_spool_and_forgets_the_counters(make_domain: MakeDomain, make_world: MakeWorld) -> None:
    domain = make_domain(inject_per_s=100.0, throttle_per_s=1.0)
    world = make_world([domain])
    world.run(60.0)
    held = world.scheduled() + world.ready()
    world.mail.restart()
    assert (world.scheduled(), world.ready()) == (held, 0)
    assert not world.mail.tallies.received
    assert not world.mail.tallies.by_service[Outcome.DELIVERED]


def test_idle_series_are_dropped_and_the_global_one_stays(make_domain: MakeDomain, make_world: MakeWorld) -> None:
    domain = make_domain()
    world = make_world([domain])
    world.run(30.0)
    domain.inject_per_s = 0.0
    world.run(30.0)
    world.mail.sweep()
    assert QUEUE in world.mail.scheduled
    world.run(60.0)
    world.mail.sweep()
    assert not world.mail.scheduled
    delivered = world.mail.tallies.by_service[Outcome.DELIVERED]
    assert list(delivered) == [SMTP_CLIENT]
    assert delivered[SMTP_CLIENT] == domain.truth.delivered
    assert not world.mail.tallies.by_provider[Outcome.DELIVERED]


def test_a_rebind_moves_mail_to_the_queue_that_its_new_meta_data_name(
    make_domain: MakeDomain, make_world: MakeWorld
) -> None:
    domain = make_domain()
    world = make_world([domain])
    world.orders.suspensions.add(suspension(tenant="acme"))
    world.run(30.0)
    domain.inject_per_s = 0.0
    queue = world.mail.scheduled[QUEUE]
    world.mail.rebind(queue, {"unknown": "ignored"})
    assert queue.total > 0
    world.mail.rebind(queue, {"tenant": "globex"})
    assert queue.total == 0
    assert world.mail.scheduled["news:globex@gmail.com"].total == domain.truth.injected
    world.run(5.0)
    assert domain.truth.delivered == domain.truth.injected


def test_a_pile_of_ten_hours_stays_small(make_domain: MakeDomain, make_world: MakeWorld) -> None:
    domain = make_domain(inject_per_s=300.0)
    world = make_world([domain])
    world.orders.suspensions.add(suspension())
    world.run(10 * 3_600.0, step=100.0)
    assert world.scheduled() > 10_000_000
    assert len(list(world.mail.scheduled[QUEUE].batches())) < 5_000
