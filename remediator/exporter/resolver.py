"""DNS itself, by dnspython: one question for one address record, to the resolvers that the settings name and no other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.nameserver
import dns.rcode
import dns.rdatatype
import dns.resolver

from remediator.exporter.answers import Reply


class Resolver(Protocol):
    """Asks one question."""

    async def ask(self, name: str) -> Reply:
        """The addresses of `name`; never raises for what DNS or the network does."""
        ...


class DnsResolver:
    """Asks `nameservers` (address, port) in turn, within `timeout` seconds. It caches nothing: the schedule does."""

    def __init__(self, nameservers: Sequence[tuple[str, int]], *, timeout: float) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in nameservers]
        self._resolver.timeout = max(timeout / 2, timeout / (len(nameservers) + 1))
        self._timeout = timeout

    async def ask(self, name: str) -> Reply:
        """The A records of `name`. Without an answer in time the fault is `timeout`, with an error of the resolver's
        `servfail`; no such name, or none of this type, is a reply without addresses.
        """
        try:
            found = await self._resolver.resolve(
                f"{name}.", "A", lifetime=self._timeout, search=False, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN as none:
            return Reply(ttl=max((_ttl(response) for response in _responses(none)), default=0.0))
        except dns.exception.Timeout:
            return Reply(fault="timeout")
        except dns.resolver.NoNameservers as fault:
            return Reply(fault="refused" if _refused(fault) else "servfail")
        except (dns.exception.DNSException, OSError):
            return Reply(fault="servfail")
        addresses = tuple(sorted(str(record) for record in found.rrset or ()))
        return Reply(addresses=addresses, ttl=_ttl(found.response))


def _ttl(response: dns.message.QueryMessage) -> float:
    """The least TTL along the way; for a name that does not exist, that of the zone's SOA."""
    try:
        return float(response.resolve_chaining().minimum_ttl)
    except dns.exception.DNSException:
        return 0.0


def _responses(fault: dns.resolver.NXDOMAIN) -> Iterable[dns.message.QueryMessage]:
    found: Mapping[object, dns.message.QueryMessage] = fault.responses()  # type: ignore[no-untyped-call]
    return found.values()


def _refused(fault: dns.resolver.NoNameservers) -> bool:
    """Whether all resolvers said REFUSED: they do not answer for us, and asking again soon is of no use."""
    said = [error[4] for error in fault.kwargs.get("errors", []) if len(error) > 4 and error[4] is not None]
    return bool(said) and all(one.rcode() == dns.rcode.REFUSED for one in said)
