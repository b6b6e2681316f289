"""`remediator serve`, but SIGKILL strikes at the N-th append to the journal: before it, or after it is durable.

usage: serve_and_die.py SETTINGS N before|after. A real process, a real store file, a real signal; only the moment is chosen.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from remediator.core.chain import Head
from remediator.core.entries import Record
from remediator.ports import IncidentRow
from remediator.service import ServeOptions, serve, wiring
from remediator.stores.sqlite import SqliteStore

FATAL, WHEN = int(sys.argv[2]), sys.argv[3]


class DyingStore(SqliteStore):
    """A store in whose N-th append the process dies."""

    appends = 0

    async def append(self, expect: Head, records: Sequence[Record], rows: Sequence[IncidentRow] = ()) -> Head:
        """Appends, or dies."""
        DyingStore.appends += 1
        if DyingStore.appends == FATAL and WHEN == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        head = await super().append(expect, records, rows)
        if DyingStore.appends == FATAL and WHEN == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return head


vars(wiring)["SqliteStore"] = DyingStore
sys.exit(serve(ServeOptions(config_file=Path(sys.argv[1]))))
