"""A state as bytes and back: what makes a start fast. A snapshot can always be dropped and rebuilt from the journal.

It is sealed with the journal's key, because a state that somebody else wrote would be believed without any entry.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec

from remediator.core.state import (
    Caution,
    Episode,
    Grant,
    Hold,
    Incident,
    Matches,
    Moment,
    Outgoing,
    Pause,
    Pending,
    Run,
    Scheduled,
    State,
    Storm,
    Tally,
    Track,
    Undo,
)
from remediator.core.state import Map as StateMap

# Raised whenever the shape of the state changes: older snapshots are then dropped and rebuilt.
SHAPE = 13
# The journal may be pruned, and then there is nothing to rebuild a state from: from shape 3 on, fields are only added, each
# with a default that older snapshots mean, and all shapes from this one on are read (tests/golden/snapshots).
OLDEST_SHAPE = 3
_SEAL = 32


class _Frozen(msgspec.Struct, frozen=True, kw_only=True):
    shape: int
    seq: int
    store_id: str
    rules_digest: str
    longest_window: float
    tally: Tally
    pending: dict[int, Pending]
    episodes: dict[str, Episode]
    incidents: dict[str, Incident]
    open_by_key: list[tuple[tuple[str, str], str]]
    runs: dict[str, Run]
    grants: dict[str, tuple[Grant, ...]]
    locks: dict[str, str]
    undos: dict[str, Undo]
    pauses: dict[str, Pause]
    outbox: dict[str, Outgoing]
    escalated: dict[str, float]
    incident_by_episode: dict[str, tuple[str, ...]]
    firings: int = 0
    forgotten_until: float = 0.0
    pruned_seq: int = 0
    pruned_mac: str = ""
    epoch: int = 0
    last: Moment | None = None
    silence: float = 0.0
    served: bool = False
    deaf_until: float = 0.0
    matched: tuple[Matches, ...] = ()
    storm: Storm | None = None
    cautions: dict[str, Caution] = {}
    tracks: dict[str, tuple[Track, ...]] = {}
    schedules: dict[str, Scheduled] = {}
    marked: bool = False
    holds: dict[str, Hold] = {}
    pulses: dict[str, Moment] = {}


_decoder = msgspec.json.Decoder(_Frozen)


def pack(state: State) -> Iterator[bytes]:
    """The packed bytes of `state`, one record after the other, so that a large one is never in memory a second time.

    A state is a value: who has other things to do may rest between two pieces. Some of them are empty.
    """
    packer = zlib.compressobj(level=1)
    for piece in _pieces(state):
        yield packer.compress(piece)
    yield packer.flush()


def seal(packed: bytes, key: bytes) -> bytes:
    """What was packed, with the seal that `thaw` asks for."""
    return hmac.digest(key, packed, hashlib.sha256) + packed


def _pieces(state: State) -> Iterator[bytes]:
    """The JSON text of a `_Frozen`, record by record."""
    encode = msgspec.json.encode
    yield b'{"shape":%d,"open_by_key":%s' % (SHAPE, encode(list(state.open_by_key.items())))
    for name in state.__struct_fields__:
        value = getattr(state, name)
        if name == "open_by_key":
            continue
        yield b',"%s":' % name.encode("ascii")
        if not isinstance(value, StateMap):
            yield encode(value)
            continue
        mark = b"{"
        for label, record in value.items():
            yield b"%s%s:%s" % (mark, encode(str(label)), encode(record))
            mark = b","
        yield b"}" if mark == b"," else b"{}"
    yield b"}"


def thaw(sealed: bytes, key: bytes) -> State | None:
    """The state in `sealed`; None if it is not ours, not whole, or of another shape."""
    seal, payload = sealed[:_SEAL], sealed[_SEAL:]
    if not hmac.compare_digest(seal, hmac.digest(key, payload, hashlib.sha256)):
        return None
    try:
        frozen = _decoder.decode(zlib.decompress(payload))
    except (msgspec.DecodeError, zlib.error):
        return None
    if not OLDEST_SHAPE <= frozen.shape <= SHAPE:
        return None
    fields: dict[str, Any] = {
        name: _mapped(getattr(frozen, name)) for name in State.__struct_fields__ if name != "open_by_key"
    }
    return State(open_by_key=StateMap(dict(frozen.open_by_key)), **fields)


def _mapped(value: object) -> object:
    return StateMap(value) if isinstance(value, dict) else value
