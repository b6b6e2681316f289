"""Host names as people write them, and when two of them mean one machine. Pure: nobody is asked, so aliases stay apart."""

from __future__ import annotations

import ipaddress
import re

# One name for all ways to say "this machine".
THIS_MACHINE = "localhost"
_OURS = frozenset({"localhost", "localhost.localdomain", "localhost6", "ip6-localhost", "ip6-loopback"})
_PORT = re.compile(r":[0-9]{1,5}$")


def host_of(text: str) -> str:
    """The host in `mta1.example:25`, `[::1]:25`, `http://mta1:8000/x` or `mta1`, as `same` compares it; empty if none."""
    rest = text.strip().rpartition("://")[2].partition("/")[0].rpartition("@")[2]
    if rest.startswith("["):
        return _named(rest[1:].partition("]")[0])
    return _named(_PORT.sub("", rest) if rest.count(":") == 1 else rest)


def is_this_machine(host: str) -> bool:
    """Whether a host, as `host_of` gives it, is the machine that the name is looked up on."""
    return host == THIS_MACHINE


def _named(host: str) -> str:
    plain = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(plain.partition("%")[0])
    except ValueError:
        return THIS_MACHINE if plain in _OURS or plain.endswith(".localhost") else plain
    mapped = getattr(address, "ipv4_mapped", None)
    plainest = mapped if mapped is not None else address
    return THIS_MACHINE if plainest.is_loopback or plainest.is_unspecified else str(plainest)
