"""Actions that only look at a kumod and keep what they saw as evidence: `queue_report` and `liveness`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from remediator.actions.defaults import OnNode, WithoutCheck, WithoutUndo
from remediator.actions.http_client import Answer, Lost, NotSent, deadline
from remediator.actions.kumomta.client import Kumod, Unreadable
from remediator.actions.kumomta.selectors import NODE
from remediator.actions.targets import Node
from remediator.core.outcomes import EffectClass, Outcome, failed, failed_for_now, ok
from remediator.core.params import Json, Param, ParamType
from remediator.ports import Call

METRICS = "/metrics.json"
READY_STATES = "/api/admin/ready-q-states/v1"
LIVENESS = "/api/check-liveness/v1"
# How many queues a report names.
ROWS = 20


async def ready_counts(kumod: Kumod, node: Node, *, until: float) -> dict[str, float] | Unreadable:
    """Messages in each ready queue that kumod's metrics show at present; an idle one is not shown."""
    found = await kumod.document(node, METRICS, until=until, what="the metrics")
    if isinstance(found, Unreadable):
        return found
    return _ready(found)


def _ready(document: object) -> dict[str, float]:
    services = by_label(document, "ready_count", "service")
    return {name.removeprefix("smtp_client:"): n for name, n in services.items() if name.startswith("smtp_client:")}


def by_label(document: object, family: str, label: str) -> dict[str, float]:
    """The values of a family with one label, in kumod's own JSON form of metrics."""
    found: object = document
    for part in (family, "value", label):
        found = found.get(part) if isinstance(found, dict) else None
    return {
        str(name): float(value)
        for name, value in (found.items() if isinstance(found, dict) else ())
        if isinstance(value, (int, float))
    }


class QueueReport(WithoutCheck, WithoutUndo, OnNode):
    """Keeps the longest scheduled and ready queues of a node, and what holds ready queues up."""

    kind: ClassVar[str] = "kumomta.queue_report"
    effect: ClassVar[EffectClass] = EffectClass.READ
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {
        "node": NODE,
        "domain": Param(type=ParamType.DOMAIN, doc="Only scheduled queues to this domain.", required=False),
    }
    summary: ClassVar[str] = "Note the longest queues of a node, and what holds them up"

    def __init__(self, kumod: Kumod) -> None:
        self._kumod = kumod

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown nodes."""
        return self._kumod.node_faults(arguments.get("node"))

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Whose queues would be noted."""
        domain = arguments.get("domain")
        return f"note the longest queues{f' to {domain}' if domain else ''} on {arguments.get('node')}"

    async def perform(self, call: Call) -> Outcome:
        """Reads the metrics and the states of ready queues."""
        node = self._kumod.node(call.arguments.get("node"))
        if isinstance(node, Unreadable):
            return failed(node.sentence)
        until = deadline(call.timeout)
        metrics = await self._kumod.document(node, METRICS, until=until, what="the metrics")
        if isinstance(metrics, Unreadable):
            return failed_for_now(metrics.sentence)
        scheduled = by_label(metrics, "scheduled_count", "queue")
        domain = call.arguments.get("domain")
        if domain:
            scheduled = {
                name: n for name, n in scheduled.items() if name.rpartition("@")[2].partition("!")[0] == domain
            }
        states = await self._kumod.document(node, READY_STATES, until=until, what="the states of ready queues")
        held = states.get("states_by_ready_queue") if isinstance(states, dict) else None
        total = sum(scheduled.values())
        evidence: dict[str, object] = {
            "scheduled": _longest(scheduled),
            "ready": _longest(_ready(metrics)),
            "held_up": dict(sorted(held.items())[:ROWS]) if isinstance(held, dict) else {},
        }
        first = next(iter(_longest(scheduled).items()), None)
        longest = f"; the longest is {first[0]} with {first[1]:.0f}" if first else ""
        return ok(f"{total:.0f} messages wait in {len(scheduled)} queues of {node.name}{longest}", evidence=evidence)


def _longest(counts: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:ROWS])


class Liveness(WithoutCheck, WithoutUndo, OnNode):
    """Keeps what kumod says of itself: whether it would accept mail. It says nothing about delivery."""

    kind: ClassVar[str] = "kumomta.liveness"
    effect: ClassVar[EffectClass] = EffectClass.READ
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]] = {"node": NODE}
    summary: ClassVar[str] = "Note whether kumod is ready to accept mail, and if not, why"

    def __init__(self, kumod: Kumod) -> None:
        self._kumod = kumod

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        """Refuses unknown nodes."""
        return self._kumod.node_faults(arguments.get("node"))

    def describe(self, arguments: Mapping[str, Json]) -> str:
        """Who would be asked."""
        return f"ask kumod on {arguments.get('node')} whether it is ready to accept mail"

    async def perform(self, call: Call) -> Outcome:
        """Reads; an answer is what was wanted, whatever it says."""
        node = self._kumod.node(call.arguments.get("node"))
        if isinstance(node, Unreadable):
            return failed(node.sentence)
        match await self._kumod.get(node, LIVENESS, until=deadline(call.timeout)):
            case Answer(status=200):
                return ok(f"kumod on {node.name} is ready to accept mail", evidence={"live": True})
            case Answer(status=503, text=text):
                return ok(f"kumod on {node.name} is not ready: {text}", evidence={"live": False, "reason": text})
            case Answer(status=status, text=text):
                return failed(f"kumod on {node.name} answered {status} {text!r} when asked for its liveness")
            case NotSent(sentence=sentence) | Lost(sentence=sentence):
                evidence: dict[str, object] = {"live": False, "reason": sentence}
                return ok(f"kumod on {node.name} does not answer: {sentence}", evidence=evidence)
