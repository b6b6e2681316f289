"""The kinds of entries about the service itself: its journal, its processes, its rules (`kinds.py`)."""

from __future__ import annotations

from remediator.core.kinds import Fact


class JournalOpened(Fact, frozen=True, kw_only=True, tag="journal.opened"):
    """The first entry of every journal."""

    store_id: str
    version: int = 1


class ServiceStarted(Fact, frozen=True, kw_only=True, tag="service.started"):
    """A process took charge. Whatever an earlier one had under way is now recovered by this one."""

    version: str
    mode: str
    marked: bool = False  # a high-water mark is kept outside the store from here on (G16)


class ServiceStopped(Fact, frozen=True, kw_only=True, tag="service.stopped"):
    """A clean stop."""

    reason: str


class LeaseTaken(Fact, frozen=True, kw_only=True, tag="lease.taken"):
    """The writer goes on with everything that these holders had under way; they are gone.

    A holder is the boot of a process, empty for what a clean stop left. `epoch` counts such takings over the journal.
    """

    holders: tuple[str, ...]
    epoch: int


class ConfigLoaded(Fact, frozen=True, kw_only=True, tag="config.loaded"):
    """These rules are in force from here on. `longest_window` (s) is how far back the limiters have to remember."""

    digest: str
    rules: tuple[str, ...]
    mode: str
    longest_window: float
    by: str = ""


class ConfigRefused(Fact, frozen=True, kw_only=True, tag="config.refused"):
    """A reload was refused; the rules in force did not change."""

    problems: tuple[str, ...]
