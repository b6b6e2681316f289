"""What plug-ins tell the engine is taken only as what it should be, and as it will be read back from the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from remediator.core.outcomes import Look, Observation

T = TypeVar("T", bound=msgspec.Struct)


def checked(kind: type[T], told: object) -> T:
    """`told` as its own JSON says; TypeError or ValueError if it is not a `kind`, or could not be kept as one."""
    if not isinstance(told, kind):
        raise TypeError(f"the answer should be {kind.__name__} and is {type(told).__name__}")
    return msgspec.json.decode(msgspec.json.encode(told), type=kind)


async def answered(
    kind: type[T], question: Callable[[], Awaitable[object]], *, seconds: float, otherwise: Callable[[str], T]
) -> T:
    """What a plug-in answers within `seconds`; `otherwise` of what went wrong if it breaks, is late or answers no `kind`."""
    try:
        async with asyncio.timeout(seconds):
            return checked(kind, await question())
    except Exception as fault:  # noqa: BLE001  (a plug-in: whatever breaks in it is no answer)
        return otherwise(f"{type(fault).__name__}: {fault}")


def not_seen(sentence: str) -> Observation:
    """A look that could not tell."""
    return Observation(look=Look.UNKNOWN, sentence=sentence)
