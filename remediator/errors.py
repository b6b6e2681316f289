"""Every error this project raises on purpose: one small tree, split by who has to act.

A message says what, where, what was expected and what to do. Expected outcomes (an outcome, a verdict, a disposition)
are values and not in here. This module imports nothing of the project, so that every floor may raise from it.

    RemediatorError
    ├── InvalidConfiguration      the operator: problems with file:line:column; a reload keeps the last good rules
    ├── RefusedNotification       the sender: 400, 401, 413 or 415, for what is wrong for ever
    ├── RefusedRequest            a person or their tool: the answer is no, and why
    └── StoreError                the platform
        ├── StoreRefused          unsafe settings found while opening; names the setting and the fix
        ├── Conflict              somebody appended first: fold what is new, decide again
        ├── NotCommitted          certainly nothing was written: may be tried again
        ├── AppendUnknown         may have been written: look for the entry's id before deciding anything
        ├── StoreFull             no space; nothing was written
        └── CorruptJournal        the chain is broken at `seq`: a person has to look
    IllegalEntry                  ours: an entry that the state machine does not admit at this point
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class RemediatorError(Exception):
    """Something went wrong that its reader can act on."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a file that people can jump to; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault in a configuration file.

    `name` is the stable name in brackets (`unknown-field`), `severity` is `error` or `warning`, `fix` what to write instead.
    """

    position: Position
    name: str
    sentence: str
    severity: str = "error"
    fix: str = ""

    def __str__(self) -> str:
        tail = f"; {self.fix}" if self.fix else ""
        return f"{self.position}: {self.severity}[{self.name}]: {self.sentence}{tail}"


class InvalidConfiguration(RemediatorError):
    """The configuration has faults; all of them are in `problems`, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class RefusedNotification(RemediatorError):
    """A notification that can never be accepted; `status` is the HTTP status that says so to the sender."""

    def __init__(self, status: int, sentence: str) -> None:
        self.status = status
        super().__init__(sentence)


class RefusedRequest(RemediatorError):
    """A person's request that cannot be granted; `status` is the HTTP status (404 unknown, 409 too late, 403 not yours)."""

    def __init__(self, status: int, sentence: str) -> None:
        self.status = status
        super().__init__(sentence)


class IllegalEntry(RemediatorError):
    """An entry that the current state does not admit: a bug of ours, or a second writer. Nothing is changed by it."""


class StoreError(RemediatorError):
    """The store did not do what was asked."""


class StoreRefused(StoreError):
    """The store could not be opened safely; the message names the setting and the fix."""


class Conflict(StoreError):
    """Another writer appended first. `head` is the sequence number of the journal's present end."""

    def __init__(self, head: int) -> None:
        self.head = head
        super().__init__(f"the journal has moved on to entry {head}")


class NotCommitted(StoreError):
    """Nothing was written; the same append may be tried again."""


class RefusedRecord(NotCommitted):
    """Nothing was written because of one record of the append: `record` is its id. The others may be tried without it."""

    def __init__(self, record: str, sentence: str) -> None:
        self.record = record
        super().__init__(sentence)


class AppendUnknown(StoreError):
    """The append may or may not have been committed; only reading the journal can tell."""


class StoreFull(NotCommitted):
    """There is no space for another entry; nothing was written."""


class CorruptJournal(StoreError):
    """The chain of the journal is broken; `seq` is the first bad entry."""

    def __init__(self, seq: int, sentence: str) -> None:
        self.seq = seq
        super().__init__(f"journal entry {seq}: {sentence}")
