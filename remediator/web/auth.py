"""Who may do what: the webhook's credential, people's tokens, and when no credential is asked for.

Plain values in, decisions out; nothing here reads a file or knows HTTP beyond the text of the Authorization header.
Digests are compared, never the secrets themselves, in constant time and without an early exit (reliability.md T1).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

from remediator.errors import RefusedRequest

MIN_SECRET = 16  # characters: the least that can hold 64 random bits; 128 (32 hex digits) are what `doctor` suggests


class Scope(IntEnum):
    """What a credential opens: each of READ < APPROVE < ADMIN includes the ones before it; WEBHOOK is apart from all."""

    OPEN = 0
    READ = 1
    APPROVE = 2
    ADMIN = 3
    WEBHOOK = 9

    @property
    def word(self) -> str:
        """The spelling in the configuration."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with a token. Two entries with one name and two tokens are one person whose token is being changed."""

    name: str
    token: str
    scope: Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The secrets in force. Several webhook secrets are valid at once, so that they can be changed without a gap (T4)."""

    webhook_tokens: tuple[str, ...] = ()
    webhook_users: tuple[tuple[str, str], ...] = ()  # name, password
    people: tuple[Person, ...] = ()

    def faults(self) -> tuple[str, ...]:
        """What is wrong with them, one sentence each; empty if nothing is. No secret is in any sentence."""
        found = [_weak("a webhook token", token) for token in self.webhook_tokens]
        found += [_weak(f"the password of webhook user {name!r}", password) for name, password in self.webhook_users]
        found += [_weak(f"the token of {person.name!r}", person.token) for person in self.people]
        found += [
            f"{person.name!r} has scope {person.scope.word}; expected read, approve or admin"
            for person in self.people
            if person.scope not in {Scope.READ, Scope.APPROVE, Scope.ADMIN}
        ]
        found += ["a person has no name; write one, it goes into the journal" for one in self.people if not one.name]
        secrets = [*self.webhook_tokens, *(person.token for person in self.people)]
        if len(set(secrets)) != len(secrets):
            found.append("one token is given twice; every person and the webhook need their own")
        return tuple(sentence for sentence in found if sentence)


def _weak(what: str, secret: str) -> str:
    if len(secret) >= MIN_SECRET:
        return ""
    return f"{what} has {len(secret)} characters; expected at least {MIN_SECRET}, for example 32 random hex digits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks. `name` is empty for the local caller of a service without people, whose word is taken for who they are."""

    name: str
    scope: Scope

    def signed(self, claimed: str) -> str:
        """The name that goes into the journal: the authenticated one, whatever the request says (T28)."""
        if self.name:
            return self.name
        if not claimed.strip():
            raise RefusedRequest(400, "a person's decision needs a name; send it as `by`")
        return claimed.strip()


_LOCAL = Caller(name="", scope=Scope.ADMIN)
_NOBODY = Caller(name="", scope=Scope.OPEN)


class Rereading:
    """Credentials that are loaded again at most every `seconds`, so that a changed secret file counts without a restart.

    If loading fails, or what was loaded has faults, the last good ones stay in force and `trouble` says why.
    """

    def __init__(self, load: Callable[[], Credentials], now: Callable[[], float], *, seconds: float = 5.0) -> None:
        self._load = load
        self._now = now
        self._seconds = seconds
        self._good = load()
        self._next = now() + seconds
        self.trouble = ""

    def __call__(self) -> Credentials:
        """The credentials in force."""
        moment = self._now()
        if moment < self._next and moment >= self._next - self._seconds:
            return self._good
        self._next = moment + self._seconds
        try:
            fresh = self._load()
        except (OSError, ValueError) as fault:
            self.trouble = f"the credentials could not be read again, the old ones stay in force: {fault}"
            return self._good
        faults = fresh.faults()
        self.trouble = f"the changed credentials are not taken: {faults[0]}" if faults else ""
        if not faults and fresh != self._good:
            self._good = fresh
        return self._good


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _any_equal(presented: bytes, expected: Iterable[bytes]) -> bool:
    found = False
    for one in expected:  # all of them, whatever is found: how long it takes tells nothing
        found |= hmac.compare_digest(presented, one)
    return found


class _Digests:
    """The digests of one set of credentials; the webhook's cover the scheme too."""

    def __init__(self, credentials: Credentials) -> None:
        self.of = credentials
        self.webhook = [
            *(_digest(f"bearer {token}") for token in credentials.webhook_tokens if token),
            *(_digest(f"basic {name}:{password}") for name, password in credentials.webhook_users if password),
        ]
        self.people = [(_digest(f"bearer {one.token}"), one) for one in credentials.people if one.token and one.name]


class Auth:
    """Decides for each request. What is open at the start stays open, what is closed stays closed: an emptied secret
    file never opens a door.
    """

    def __init__(self, credentials: Callable[[], Credentials], *, listen_address: str) -> None:
        self._credentials = credentials
        self._digests = _Digests(credentials())
        self.loopback = is_loopback(listen_address)
        self.webhook_configured = bool(self._digests.webhook)
        self.people_configured = bool(self._digests.people)

    @property
    def local(self) -> bool:
        """Whether people on this machine need no credential: nobody is configured, and only this machine can ask."""
        return self.loopback and not self.people_configured

    @property
    def webhook_open(self) -> bool:
        """Whether the webhook needs no credential."""
        return self.loopback and not self.webhook_configured

    def _current(self) -> _Digests:
        credentials = self._credentials()
        if credentials is not self._digests.of:
            self._digests = _Digests(credentials)
        return self._digests

    def admits_webhook(self, authorization: bytes | None) -> bool:
        """Whether a notification with this Authorization header is taken."""
        if self.webhook_open:
            return True
        if authorization is None:
            return False
        presented = _presented(authorization.decode("latin-1"))
        return presented is not None and _any_equal(presented, self._current().webhook)

    def caller(self, authorization: str | None) -> Caller:
        """Whose header this is; RefusedRequest 401 if it is nobody's, 403 if it is the webhook's."""
        if self.local:
            return _LOCAL
        if not authorization:
            return _NOBODY
        presented, digests = _presented(authorization), self._current()
        person = _whose(presented, digests) if presented is not None else None
        if person is not None:
            return Caller(name=person.name, scope=person.scope)
        if presented is not None and _any_equal(presented, digests.webhook):
            raise RefusedRequest(403, "this is the webhook's credential; it opens nothing else. Use a person's token")
        raise RefusedRequest(401, "these credentials are not known here; use the token of a person in web.people")

    def person_with(self, token: str) -> Person | None:
        """Whose token this is."""
        return _whose(_digest(f"bearer {token.strip()}"), self._current())

    def people_named(self, name: str) -> tuple[Person, ...]:
        """The entries of this person, as configured now."""
        return tuple(one for _digest_of, one in self._current().people if one.name == name)


def _whose(presented: bytes, digests: _Digests) -> Person | None:
    found: Person | None = None
    for digest, person in digests.people:
        if hmac.compare_digest(presented, digest):
            found = person
    return found


def _presented(authorization: str) -> bytes | None:
    """The digest of what an Authorization header presents, None if it presents nothing that could be right."""
    scheme, _, rest = authorization.partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "bearer" if rest:
            return _digest(f"bearer {rest}")
        case "basic" if rest:
            try:
                pair = base64.b64decode(rest, validate=True).decode("utf-8", "surrogateescape")
            except (binascii.Error, ValueError):
                return None
            return _digest(f"basic {pair}")
        case _:
            return None


def is_loopback(listen_address: str) -> bool:
    """Whether only this machine can reach `listen_address` (`127.0.0.1:9097`, `[::1]:9097`, `localhost:9097`)."""
    host = listen_address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_open_listener(listen_address: str, auth: Auth) -> str:
    """Why the service must not start on this address, and what to write; empty if it may (T1, G25)."""
    if is_loopback(listen_address):
        return ""
    missing = []
    if not auth.webhook_configured:
        missing.append("the webhook (web.bearer_token_files: [/run/secrets/remediator-webhook])")
    if not auth.people_configured:
        missing.append("people (web.people: [{ name: ana, token_file: /run/secrets/ana, scope: admin }])")
    if not missing:
        return ""
    return (
        f"{listen_address} can be reached from other machines, and no credential is configured for "
        f"{' and '.join(missing)}: write that, or listen on 127.0.0.1"
    )
