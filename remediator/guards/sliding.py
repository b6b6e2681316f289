"""The exact sliding log that `rate_limit` and `budget` share: buckets let 2N-1 through (reliability.md finding 3)."""

from __future__ import annotations

from collections.abc import Iterable

from remediator.core.facts import Facts
from remediator.core.fleet import enforced
from remediator.core.plans import PlannedLimit
from remediator.core.rules import Limit
from remediator.core.state import Grant
from remediator.core.verdicts import Verdict, allow, defer
from remediator.guards.wording import clock_time


def within(name: str, text: str, limit: Limit | PlannedLimit, grants: Iterable[Grant], facts: Facts) -> Verdict:
    """Defers, in the name of guard `name`, until the oldest counted run leaves the window; `text` says the limit."""
    window = enforced(limit.window)
    recent = sorted(age for grant in grants if (age := facts.age(grant.taken)) < window)
    if len(recent) < limit.count:
        return allow(name, f"{text}: used {len(recent)}")
    until = facts.moment.at + window - recent[limit.count - 1]
    return defer(name, f"{text}: used {len(recent)}; clears {clock_time(until)}", until)
