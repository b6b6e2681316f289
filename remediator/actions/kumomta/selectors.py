"""Which scheduled queues are meant, and whose order an entry of kumod's lists is. Pure.

The most dangerous fact about kumod: to suspend, bounce or rebind, no criteria and misspelt criteria mean *every* queue
(kumomta.md §2.3). So criteria exist here only as a value with at least one part, and a request is made from nothing else.
`queue_names` is never used: lists do not show it, and before 2025.12.02 it is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from remediator.core.params import Json, Param, ParamType, check_scope

MARK = "[kr:"
SELECTORS = ("domain", "tenant", "campaign")

NODE = Param(type=ParamType.NAME, doc="The kumod to act on, by its name in the settings; never a load balancer.")
REASON = Param(
    type=ParamType.TEXT,
    doc="Why, in a few words; stands in kumod's list and in its log records.",
    required=False,
    default="automatic remediation",
)
SELECTOR_PARAMS = {
    "domain": Param(
        type=ParamType.DOMAIN,
        doc="Only queues to this recipient domain. At least one selector is needed.",
        required=False,
    ),
    "tenant": Param(
        type=ParamType.NAME, doc="Only queues of this tenant. At least one selector is needed.", required=False
    ),
    "campaign": Param(
        type=ParamType.NAME, doc="Only queues of this campaign. At least one selector is needed.", required=False
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selectors:
    """At least one of domain, tenant and campaign; all that are given must fit a queue."""

    parts: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, arguments: Mapping[str, object]) -> Selectors:
        """The selectors among `arguments`; ValueError if there is none, or one means everything."""
        parts = tuple((name, str(arguments[name])) for name in SELECTORS if arguments.get(name) is not None)
        if not parts:
            raise ValueError(
                "no selector: give at least one of domain, tenant and campaign; none would mean every queue"
            )
        for name, value in parts:
            check_scope(name, value)
        return cls(parts=parts)

    def body(self) -> dict[str, object]:
        """The fields of a request."""
        return dict(self.parts)

    def fit(self, entry: Mapping[str, object]) -> bool:
        """Whether an entry of kumod's lists has exactly these criteria."""
        wanted = dict(self.parts)
        listed = {name: entry.get(name) or None for name in (*SELECTORS, "routing_domain")}
        return all(_same(wanted.get(name), value) for name, value in listed.items())

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.parts)


def selector_faults(arguments: Mapping[str, Json]) -> Sequence[str]:
    """Why these selectors must be refused."""
    try:
        Selectors.of(arguments)
    except ValueError as fault:
        return [str(fault)]
    return []


def _same(wanted: str | None, listed: object) -> bool:
    if wanted is None or listed is None:
        return wanted is listed
    return isinstance(listed, str) and wanted.casefold() == listed.casefold()


def boundless(entry: Mapping[str, object]) -> bool:
    """Whether an entry shows no criteria: by queue names, or everything. The list does not tell which."""
    return not any(entry.get(name) for name in (*SELECTORS, "routing_domain"))


def mark(key: str) -> str:
    """Our sign for one step of one run, in a text that kumod keeps for us."""
    return f"{MARK}{key}]"


def marked(reason: object, key: str) -> str:
    """`reason` with our sign in front."""
    return f"{mark(key)} {reason}"


def is_ours(entry: Mapping[str, object], key: str) -> bool:
    """Whether the entry carries the sign of exactly this step."""
    return str(entry.get("reason", "")).startswith(mark(key))


def is_any_of_ours(entry: Mapping[str, object]) -> bool:
    """Whether the entry carries our sign, of whatever run."""
    return str(entry.get("reason", "")).startswith(MARK)


def owner(entry: Mapping[str, object]) -> str:
    """Who made an entry, as far as its reason tells."""
    reason = str(entry.get("reason", ""))[:120]
    if "rule_hash=" in reason:
        return f"kumod's traffic shaping automation ({reason!r})"
    if reason.startswith(MARK):
        return f"another run of ours ({reason!r})"
    return f"someone else ({reason!r})"


def instant(at: float) -> str:
    """Unix seconds as kumod reads them: RFC 3339 in UTC, whole seconds rounded up."""
    return datetime.fromtimestamp(-(-at // 1), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def told(arguments: Mapping[str, Json]) -> str:
    """The selectors among `arguments` as people read them."""
    try:
        return str(Selectors.of(arguments))
    except ValueError:
        return "nothing"
