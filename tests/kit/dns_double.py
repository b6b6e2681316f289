"""A DNS server on loopback that says what a test told it to: addresses, no such name, errors, silence.

It speaks DNS as it is on the wire (dnspython's messages), so a client is tested with its own resolver and real packets.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

Say = Callable[[str], "Says | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Says:
    """One answer. `rcode` is SERVFAIL and the like, ignored with addresses; `alias` is a CNAME before them."""

    addresses: tuple[str, ...] = ()
    ttl: int = 300
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    alias: str = ""


NOTHING = Says(rcode=dns.rcode.NXDOMAIN)


@dataclass(slots=True)
class DnsDouble(asyncio.DatagramProtocol):
    """The server. `says` has an answer by name; a name that is not in it does not exist; None is silence."""

    says: dict[str, Says | None] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    nxdomain_ttl: int = 300
    port: int = 0
    transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is bound."""
        self.transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """One question."""
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text(omit_final_dot=True)
        self.asked.append(name)
        said = self.says.get(name, NOTHING)
        if said is not None and self.transport is not None:
            self.transport.sendto(self._reply(query, said).to_wire(), addr)

    def _reply(self, query: dns.message.Message, said: Says) -> dns.message.Message:
        reply = dns.message.make_response(query, recursion_available=True)
        owner = query.question[0].name
        if said.alias:
            target = dns.name.from_text(said.alias)
            reply.answer.append(dns.rrset.from_text(owner, said.ttl, "IN", "CNAME", target.to_text()))
            owner = target
        if said.addresses:
            reply.answer.append(dns.rrset.from_text(owner, said.ttl, "IN", "A", *said.addresses))
        else:
            reply.set_rcode(said.rcode)
            zone = dns.name.from_text("example.")
            soa = f"ns.example. root.example. 1 3600 600 86400 {self.nxdomain_ttl}"
            reply.authority.append(dns.rrset.from_text(zone, self.nxdomain_ttl, "IN", "SOA", soa))
        return reply


@asynccontextmanager
async def dns_double() -> AsyncIterator[DnsDouble]:
    """A server on a free port of 127.0.0.1."""
    loop = asyncio.get_running_loop()
    transport, double = await loop.create_datagram_endpoint(DnsDouble, local_addr=("127.0.0.1", 0))
    try:
        yield double
    finally:
        transport.close()
