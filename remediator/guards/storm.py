"""The storm brake: alerts by the dozen within a minute are one fault, and more often the network's than the targets'."""

from __future__ import annotations

from remediator.core.durations import format_duration
from remediator.core.facts import Facts
from remediator.core.fleet import enforced, matched_within
from remediator.core.verdicts import Verdict, allow, defer
from remediator.guards.wording import clock_time, span


class StormGuard:
    """Holds every new run back, dry ones too, while a storm is on and for a rest after it."""

    name = "storm"
    summary = "no storm of alerts is on, and the rest after the last one is over"

    def check(self, facts: Facts) -> Verdict:
        """Defers until the storm has ended and the rest has passed; a new storm begins the rest anew."""
        storm, limits = facts.state.storm, facts.fleet.storm
        allowed = f"{limits.episodes.count} per {format_duration(limits.episodes.window)}"
        seen = matched_within(facts.state, enforced(limits.episodes.window), facts.moment)
        if storm is None:
            return allow(self.name, f"{allowed}: {seen} alerts began to fire")
        if storm.ended is None:
            since = clock_time(storm.began.at)
            return defer(self.name, f"{allowed}: a storm is on since {since}; it ends below {limits.ends_below}")
        rested = facts.age(storm.ended)
        if rested >= limits.cooldown:
            return allow(self.name, f"{allowed}: the last storm ended {span(rested)} ago")
        until = facts.moment.at + limits.cooldown - rested
        rest = format_duration(limits.cooldown)
        return defer(
            self.name, f"the storm ended {span(rested)} ago and {rest} must pass; clears {clock_time(until)}", until
        )
