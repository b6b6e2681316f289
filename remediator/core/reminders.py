"""When people are called again for a run that waits for them: pure, from the moment at which it was parked.

A call that is missed because the service is down is not made up for; the next one says the same.
"""

from __future__ import annotations

# Seconds after the first call (reliability.md §3.3), and how often from then on.
FIRST = (900.0, 3600.0, 14400.0)
EVERY = 14400.0


def due(parked_at: float, number: int) -> float:
    """When call `number` is due (unix s); the first one after parking is number 1."""
    if number <= len(FIRST):
        return parked_at + FIRST[number - 1]
    return parked_at + FIRST[-1] + (number - len(FIRST)) * EVERY


def passed(parked_at: float, now: float) -> int:
    """How many calls have been due by `now`."""
    waited = now - parked_at
    if waited < FIRST[-1]:
        return sum(waited >= after for after in FIRST)
    return len(FIRST) + int((waited - FIRST[-1]) // EVERY)
