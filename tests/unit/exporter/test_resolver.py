"""dnspython against a DNS server on loopback: what goes over the wire, and what comes of each kind of answer."""

from __future__ import annotations

import dns.rcode
import pytest

from remediator.exporter.answers import Reply
from remediator.exporter.resolver import DnsResolver
from tests.kit.dns_double import DnsDouble, Says

NAME = "25.2.0.192.zen.example"


def resolver_for(double: DnsDouble, *, timeout: float = 3.0) -> DnsResolver:
    return DnsResolver([("127.0.0.1", double.port)], timeout=timeout)


@pytest.mark.parametrize(
    ("says", "reply"),
    [
        (Says(addresses=("127.0.0.4", "127.0.0.2"), ttl=77), Reply(addresses=("127.0.0.2", "127.0.0.4"), ttl=77.0)),
        (Says(rcode=dns.rcode.NXDOMAIN), Reply(ttl=300.0)),
        (Says(rcode=dns.rcode.NOERROR), Reply(ttl=300.0)),
        (Says(rcode=dns.rcode.SERVFAIL), Reply(fault="servfail")),
        (Says(rcode=dns.rcode.REFUSED), Reply(fault="refused")),
        (Says(addresses=("127.0.0.3",), ttl=9, alias="real.example."), Reply(addresses=("127.0.0.3",), ttl=9.0)),
    ],
)
async def test_each_kind_of_answer_is_told_apart(double: DnsDouble, says: Says, reply: Reply) -> None:
    double.says[NAME] = says
    assert await resolver_for(double).ask(NAME) == reply
    assert set(double.asked) == {NAME}, "no search list, no other name"


async def test_silence_is_a_timeout_and_not_a_long_one(double: DnsDouble) -> None:
    double.says[NAME] = None
    assert await resolver_for(double, timeout=0.2).ask(NAME) == Reply(fault="timeout")


async def test_a_second_resolver_is_asked_when_the_first_fails(double: DnsDouble) -> None:
    double.says[NAME] = Says(addresses=("127.0.0.2",))
    both = DnsResolver([("127.0.0.1", 1), ("127.0.0.1", double.port)], timeout=3.0)
    assert (await both.ask(NAME)).addresses == ("127.0.0.2",)


async def test_a_name_that_cannot_be_asked_is_a_fault_and_no_crash(double: DnsDouble) -> None:
    assert await resolver_for(double).ask("x" * 70 + ".example") == Reply(fault="servfail")
    assert double.asked == []
