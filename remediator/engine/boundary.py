"""What plug-ins tell the engine is taken only as what it should be, and as it will be read back from the journal."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)


def checked(kind: type[T], told: object) -> T:
    """`told` as its own JSON says; TypeError or ValueError if it is not a `kind`, or could not be kept as one."""
    if not isinstance(told, kind):
        raise TypeError(f"the answer should be {kind.__name__} and is {type(told).__name__}")
    return msgspec.json.decode(msgspec.json.encode(told), type=kind)
