"""Ways in which a neighbour's HTTP goes wrong, told in advance: which requests, how, how many of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What happens to a request. All but the first two take effect, and the caller cannot know."""

    HANG = "hang"
    RESET_BEFORE = "reset_before"
    RESET_AFTER_APPLY = "reset_after_apply"
    STATUS_AFTER_APPLY = "status:500_after_apply"
    DRIP = "drip"


@dataclass(slots=True, kw_only=True)
class Fault:
    """The next `count` requests whose path begins with `path_prefix` go wrong in this way."""

    path_prefix: str
    kind: Kind
    count: int


class Faults:
    """The faults that are still to come, in the order in which they were told."""

    def __init__(self) -> None:
        """None."""
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Plan a fault; a count of nought takes back what was planned for exactly this prefix."""
        if fault.count > 0:
            self._waiting.append(fault)
        else:
            self._waiting = [old for old in self._waiting if old.path_prefix != fault.path_prefix]

    def take(self, path: str) -> Kind | None:
        """The fault that a request meets, if any; it is used up."""
        for fault in self._waiting:
            if path.startswith(fault.path_prefix):
                fault.count -= 1
                if fault.count <= 0:
                    self._waiting.remove(fault)
                return fault.kind
        return None

    def waiting(self) -> list[Fault]:
        """What is still to come."""
        return list(self._waiting)
