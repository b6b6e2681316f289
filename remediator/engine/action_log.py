"""The lines of the action log that an append changes, written in the same transaction as its entries. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from remediator.core.entries import Entry, IncidentClosed
from remediator.core.state import Incident
from remediator.ports import IncidentRow


def rows_of(touched: Mapping[str, Incident], entries: Sequence[Entry]) -> list[IncidentRow]:
    """The lines of the action log that these entries changed."""
    if not touched:
        return []
    closed = {entry.fact.incident: entry.fact for entry in entries if isinstance(entry.fact, IncidentClosed)}
    return [_row(incident, closed.get(incident.id), entries[-1].at) for incident in touched.values()]


def _row(incident: Incident, closed: IncidentClosed | None, at: float) -> IncidentRow:
    return IncidentRow(
        incident=incident.id,
        rule=incident.rule,
        target=incident.target_text,
        status="closed" if closed else incident.status,
        result=closed.result if closed else "",
        opened_at=incident.opened.at,
        changed_at=at,
        sentence=closed.reason if closed else incident.sentence,
        labels=incident.labels,
        dry=incident.dry,
    )
