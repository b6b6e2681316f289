"""What an answer of DNS means about an address. Pure. An error of any kind is never a good answer, and never a bad one.

Sender Score: `<reversed address>.score.senderscore.com` has the address 127.0.4.N, N from 0 (bad) to 100; no such name
means that there is no score; 127.255.255.x means that this resolver is refused (since 2024 resolvers must be registered).

DNS lists (RFC 5782): an address of 127.0.0.2 or above means listed, no such name means not listed. 127.255.255.x is how
Spamhaus refuses (.252 misspelt zone, .254 public resolver, .255 too many questions) and 127.0.0.1 how URIBL does. An address
outside 127.0.0.0/8 comes from whoever owns a domain that has expired, or from a resolver that lies: nothing is learned.
A name alone is no proof that a list works at all, so 127.0.0.2 must be listed and 127.0.0.1 must not be.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """What came of a question; the value is the label `result`."""

    SCORE = "score"
    LISTED = "listed"
    CLEAR = "clear"
    NO_SCORE = "no_score"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    SERVFAIL = "servfail"
    FOREIGN = "foreign"
    MALFORMED = "malformed"
    UNTRUSTED = "untrusted"

    @property
    def good(self) -> bool:
        """Whether something is known by it."""
        return self in {Result.SCORE, Result.LISTED, Result.CLEAR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What DNS said: addresses, or a `fault` (`timeout`, `servfail`), or neither: there is no such name. `ttl` in s."""

    addresses: tuple[str, ...] = ()
    ttl: float = 0.0
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a reply means: for a score its value, for a list 1 or 0."""

    result: Result
    value: float = 0.0
    ttl: float = 0.0


def question(ip: str, zone: str) -> str:
    """The name to ask for: the address reversed, byte by byte or (IPv6) nibble by nibble, below the zone."""
    pointer = ipaddress.ip_address(ip).reverse_pointer
    return f"{pointer.removesuffix('.in-addr.arpa').removesuffix('.ip6.arpa')}.{zone}"


def read_score(reply: Reply) -> Learned:
    """What Sender Score said."""
    doubt = _doubt(reply)
    if doubt is not None:
        return Learned(result=doubt, ttl=reply.ttl)
    if not reply.addresses:
        return Learned(result=Result.NO_SCORE, ttl=reply.ttl)
    scores = {int(address.rpartition(".")[2]) for address in reply.addresses if address.startswith("127.0.4.")}
    if len(reply.addresses) != 1 or len(scores) != 1 or max(scores) > 100:
        return Learned(result=Result.MALFORMED, ttl=reply.ttl)
    return Learned(result=Result.SCORE, value=float(scores.pop()), ttl=reply.ttl)


def read_listing(reply: Reply, codes: Sequence[str]) -> Learned:
    """What a list said; with `codes`, only these answers are listings and other good ones are none."""
    doubt = _doubt(reply)
    if doubt is not None:
        return Learned(result=doubt, ttl=reply.ttl)
    if "127.0.0.1" in reply.addresses:
        return Learned(result=Result.REFUSED, ttl=reply.ttl)
    listed = [address for address in reply.addresses if not codes or address in codes]
    if listed:
        return Learned(result=Result.LISTED, value=1.0, ttl=reply.ttl)
    return Learned(result=Result.CLEAR, ttl=reply.ttl)


def is_sound(bad: Reply, good: Reply) -> bool:
    """Whether a list passes its test points: `bad` is the reply for 127.0.0.2, `good` that for 127.0.0.1."""
    return read_listing(bad, ()).result is Result.LISTED and read_listing(good, ()).result is Result.CLEAR


def _doubt(reply: Reply) -> Result | None:
    """Why nothing can be learned from a reply; None if something can."""
    if reply.fault:
        return Result(reply.fault) if reply.fault in {"timeout", "servfail", "refused"} else Result.MALFORMED
    if any(address.startswith("127.255.255.") for address in reply.addresses):
        return Result.REFUSED
    if not all(address.startswith("127.") for address in reply.addresses):
        return Result.FOREIGN
    return None
