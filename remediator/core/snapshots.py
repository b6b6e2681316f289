"""A state as bytes and back: what makes a start fast. A snapshot can always be dropped and rebuilt from the journal.

It is sealed with the journal's key, because a state that somebody else wrote would be believed without any entry.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec

from remediator.core.state import (
    Episode,
    Grant,
    Incident,
    Outgoing,
    Pause,
    Pending,
    Run,
    State,
    Tally,
    Undo,
)
from remediator.core.state import Map as StateMap

# Raised whenever the shape of the state changes: older snapshots are then dropped and rebuilt.
SHAPE = 1
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


_decoder = msgspec.json.Decoder(_Frozen)


def freeze(state: State, key: bytes) -> bytes:
    """The sealed bytes of `state`."""
    plain: dict[str, Any] = {
        name: _plain(getattr(state, name)) for name in state.__struct_fields__ if name != "open_by_key"
    }
    frozen = _Frozen(shape=SHAPE, open_by_key=list(state.open_by_key.items()), **plain)
    payload = msgspec.json.encode(frozen)
    return hmac.digest(key, payload, hashlib.sha256) + payload


def _plain(value: object) -> object:
    return dict(value.items()) if isinstance(value, StateMap) else value


def thaw(sealed: bytes, key: bytes) -> State | None:
    """The state in `sealed`; None if it is not ours, not whole, or of another shape."""
    seal, payload = sealed[:_SEAL], sealed[_SEAL:]
    if not hmac.compare_digest(seal, hmac.digest(key, payload, hashlib.sha256)):
        return None
    try:
        frozen = _decoder.decode(payload)
    except msgspec.DecodeError:
        return None
    if frozen.shape != SHAPE:
        return None
    fields: dict[str, Any] = {
        name: _mapped(getattr(frozen, name)) for name in State.__struct_fields__ if name != "open_by_key"
    }
    return State(open_by_key=StateMap(dict(frozen.open_by_key)), **fields)


def _mapped(value: object) -> object:
    return StateMap(value) if isinstance(value, dict) else value
