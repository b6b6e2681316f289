"""Who may do what: trusted peers, Basic users, and kumod's default access rules. Pure.

Only the address of the TCP peer counts, never a forwarded one. A credential that is sent must be right, even from a
trusted peer. Basic alone grants nothing but injection in kumod; the users given here stand for an operator's own access
rules, which put them into the trusted group.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from remediator.demo.kumod.wire import Reply, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOOPBACK: tuple[IPv4Network | IPv6Network, ...] = (ip_network("127.0.0.1/32"), ip_network("::1/128"))
_OPEN = ("/api/check-liveness", "/api-docs/openapi.json", "/rapidoc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The access rules of one listener; `listen` is its own address as it stands in refusals."""

    listen: str
    trusted: Sequence[IPv4Network | IPv6Network]
    users: Mapping[str, str]

    def refuse(self, *, peer: str, authorization: str | None, method: str, path: str) -> Reply | None:
        """The refusal of a request, or None if it may go on."""
        user: str | None = None
        if authorization is not None:
            credential = _read(authorization)
            if credential is None:
                return plain("Malformed or unsupported Authorization header", 400)
            user, password = credential
            expected = self.users.get(user) if user is not None else None
            if expected is None or not hmac.compare_digest(expected.encode(), password.encode()):
                return plain("Authentication Failed", 401)
        opened = method == "GET" and any(path == prefix or path.startswith(f"{prefix}/") for prefix in _OPEN)
        if opened or user is not None or self._trusts(peer):
            return None
        return plain(f"<Unauthenticated>@ ip={peer} not permitted {method} on http_listener/{self.listen}{path}", 401)

    def _trusts(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self.trusted)


def _read(authorization: str) -> tuple[str | None, str] | None:
    """User and password; no user for a bearer token, which nobody here would know; None for what cannot be read."""
    kind, space, rest = authorization.partition(" ")
    if kind == "Bearer" and space:
        return None, rest
    if kind != "Basic" or not space:
        return None
    try:
        user, _, password = base64.b64decode(rest, validate=True).decode("utf-8").partition(":")
    except ValueError:
        return None
    return user, password
