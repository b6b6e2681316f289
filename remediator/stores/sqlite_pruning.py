"""Deletes the beginning of a journal in SQLite, inside the writer's transaction: the only deletion there is."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from remediator.core.entries import Record
from remediator.stores.checks import PRUNED, require_prunable

if TYPE_CHECKING:
    from remediator.core.chain import Head

_SNAPSHOT = """SELECT max(kept.seq) FROM snapshot AS kept
    WHERE EXISTS (SELECT 1 FROM journal WHERE journal.seq = kept.seq AND journal.mac = kept.mac)"""
_ROWS = """DELETE FROM p_incident
    WHERE incident IN (SELECT incident FROM journal WHERE seq <= ? AND incident <> '')
    AND NOT EXISTS (SELECT 1 FROM journal WHERE journal.incident = p_incident.incident
                    AND journal.incident <> '' AND seq > ?)"""
_META = "INSERT OR REPLACE INTO meta VALUES (?, ?)"


def prune(connection: sqlite3.Connection, start: Head) -> None:
    """As `Store.prune`."""
    mac = connection.execute("SELECT mac FROM journal WHERE seq = ?", (start.seq,)).fetchone()
    [snapshot] = connection.execute(_SNAPSHOT).fetchone()
    found = connection.execute("SELECT seq, body FROM journal WHERE kind = ? AND seq > ?", (PRUNED, start.seq))
    published = [Record(seq=seq, id="", at=0.0, kind=PRUNED, body=body, mac=b"") for seq, body in found]
    require_prunable(start, mac[0] if mac else None, snapshot or 0, published)
    connection.execute(_META, ("pruning", str(start.seq)))
    connection.execute(_ROWS, (start.seq, start.seq))
    connection.execute("DELETE FROM claim WHERE seq <= ?", (start.seq,))
    connection.execute("DELETE FROM journal WHERE seq <= ?", (start.seq,))
    connection.executemany(_META, [("pruned_seq", str(start.seq)), ("pruned_mac", start.mac.hex())])
    connection.execute("DELETE FROM meta WHERE key = 'pruning'")
