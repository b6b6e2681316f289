"""The guard of the disk: new runs wait while the journal has no room to record them to their end."""

from __future__ import annotations

from remediator.core.facts import Facts
from remediator.core.verdicts import Verdict, allow, defer


class RoomGuard:
    """Held back while the journal's disk is nearly full, dry runs too: they are recorded as well."""

    name = "room"
    summary = "the disk of the journal has room for what a run will write"

    def check(self, facts: Facts) -> Verdict:
        """Defers until there is room; nobody knows when."""
        return defer(self.name, facts.low) if facts.low else allow(self.name, "there is room on the disk")
