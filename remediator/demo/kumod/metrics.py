"""The metrics of a node under their real names, as Prometheus text and in kumod's informal JSON. Pure.

Counters carry no `_total`, and the label `service` exists twice over: `smtp_client` for the whole node and one value per
ready queue, so a sum over it counts every message twice. There is no tenant or campaign but on the scheduled gauges.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from remediator.demo.kumod.node import MEMORY_LIMIT
from remediator.demo.kumod.tallies import BUCKETS, SMTP_CLIENT, Latency, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from remediator.demo.kumod.mail import Mail
    from remediator.demo.kumod.node import Kumod

_DISK = 100 * 2**30
_DISKS = ("data spool", "meta spool", "log dir /var/log/kumomta")

Value = int | float | Latency


@dataclass(frozen=True, slots=True)
class Family:
    """All series of one name: pairs of label values and value."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    series: Sequence[tuple[tuple[str, ...], Value]]


def text(node: Kumod, prefix: str) -> str:
    """Prometheus text exposition; `prefix` goes before every name."""
    lines: list[str] = []
    for family in families(node):
        name = prefix + family.name
        lines += [f"# HELP {name} {family.help}", f"# TYPE {name} {family.kind}"]
        for values, value in family.series:
            pairs = [f'{label}="{_escape(text)}"' for label, text in zip(family.labels, values, strict=True)]
            if isinstance(value, Latency):
                lines += _histogram(name, pairs, value)
            else:
                lines.append(f"{name}{_braces(pairs)} {_number(value)}")
    return "\n".join(lines) + "\n"


def as_json(node: Kumod) -> str:
    """kumod's JSON: one label becomes a nested object, several become a list with the value under `@`."""
    whole: dict[str, object] = {}
    for family in families(node):
        whole[family.name] = {"help": family.help, "type": family.kind, "value": _json_value(family)}
    return json.dumps(whole, separators=(",", ":"))


def families(node: Kumod) -> list[Family]:
    """Every family that has a series now: what nothing has touched since the start is absent."""
    found = [*_outcomes(node.mail), *_scheduled(node.mail), *_ready(node.mail), *_delays(node.mail), *_machine(node)]
    return [family for family in found if family.series]


def _outcomes(mail: Mail) -> Iterator[Family]:
    words = {Outcome.DELIVERED: "delivered", Outcome.FAIL: "failed for good", Outcome.TRANSFAIL: "failed for now"}
    tallies = mail.tallies
    by_path = ("provider", "source", "pool")
    yield _by("total_messages_received", "counter", "Messages accepted.", "service", tallies.received)
    for outcome, word in words.items():
        name, told = f"total_messages_{outcome}", f"Messages {word}"
        yield _by(name, "counter", f"{told}.", "service", tallies.by_service[outcome])
        yield _by(f"{name}_by_provider", "counter", f"{told}.", "provider", tallies.by_provider[outcome])
        yield _by_all(f"{name}_by_provider_and_source", "counter", f"{told}.", by_path, tallies.by_source[outcome])
    told = "Seconds an attempt to deliver takes."
    yield _by("deliver_message_latency_rollup", "histogram", told, "service", tallies.latency)


def _scheduled(mail: Mail) -> Iterator[Family]:
    scheduled = {name: queue.total for name, queue in mail.scheduled.items()}
    domains: Counter[str] = Counter()
    tenants: Counter[str] = Counter()
    campaigns: Counter[tuple[str, ...]] = Counter()
    providers: Counter[str] = Counter()
    pools: Counter[tuple[str, ...]] = Counter()
    for queue in mail.scheduled.values():
        domain = mail.domains[queue.name.domain]
        domains[queue.name.domain] += queue.total
        providers[domain.provider] += queue.total
        pools[domain.provider, domain.pool] += queue.total
        if queue.name.tenant:
            tenants[queue.name.tenant] += queue.total
            if queue.name.campaign:
                campaigns[queue.name.tenant, queue.name.campaign] += queue.total
    for ready in mail.ready.values():
        providers[ready.provider] += ready.total
        pools[ready.provider, ready.pool] += ready.total
    both = "Scheduled and ready messages."
    yield _alone("scheduled_count_total", "gauge", "Messages in all scheduled queues.", sum(scheduled.values()))
    yield _alone("scheduled_queue_count", "gauge", "Scheduled queues.", len(scheduled))
    yield _by("scheduled_count", "gauge", "Messages in a scheduled queue.", "queue", scheduled)
    yield _by("scheduled_by_domain", "gauge", "Scheduled messages of a domain.", "domain", domains)
    yield _by("scheduled_by_tenant", "gauge", "Scheduled messages of a tenant.", "tenant", tenants)
    told = "Scheduled messages of a campaign."
    yield _by_all("scheduled_by_tenant_campaign", "gauge", told, ("tenant", "campaign"), campaigns)
    yield _by("queued_count_by_provider", "gauge", both, "provider", providers)
    yield _by_all("queued_count_by_provider_and_pool", "gauge", both, ("provider", "pool"), pools)


def _ready(mail: Mail) -> Iterator[Family]:
    ready = {queue.service: queue.total for queue in mail.ready.values()}
    connections = {service: 1 + count // 50 if count else 0 for service, count in ready.items()}
    by_provider: Counter[str] = Counter()
    by_pool: Counter[tuple[str, ...]] = Counter()
    for queue in mail.ready.values():
        by_provider[queue.provider] += connections[queue.service]
        by_pool[queue.provider, queue.pool] += connections[queue.service]
    if mail.tallies.connections:
        ready = {SMTP_CLIENT: sum(ready.values()), **ready}
        connections = {SMTP_CLIENT: sum(connections.values()), **connections}
    told = "Open connections."
    yield _by("ready_count", "gauge", "Messages in the ready queues.", "service", ready)
    yield _by("connection_count", "gauge", told, "service", {"esmtp_listener": 2, **connections})
    yield _by("total_connection_count", "counter", "Connections ever made.", "service", mail.tallies.connections)
    yield _by("connection_count_by_provider", "gauge", told, "provider", by_provider)
    yield _by_all("connection_count_by_provider_and_pool", "gauge", told, ("provider", "pool"), by_pool)


def _delays(mail: Mail) -> Iterator[Family]:
    tallies = mail.tallies
    yield _by("ready_full", "counter", "Messages that did not fit into a ready queue.", "service", tallies.ready_full)
    told = "Messages put back because a ready queue was full."
    yield _by("delayed_due_to_ready_queue_full", "counter", told, "queue", tallies.delayed_ready_full)
    told = "Messages put back because of max_message_rate."
    yield _by("delayed_due_to_message_rate_throttle", "counter", told, "queue", tallies.delayed_rate)


def _machine(node: Kumod) -> Iterator[Family]:
    free, used = node.disk_free_percent, node.memory_usage
    low = MEMORY_LIMIT * 4 // 5
    yield _by("disk_free_percent", "gauge", "Free bytes in percent.", "name", dict.fromkeys(_DISKS, free))
    yield _by("disk_free_bytes", "gauge", "Free bytes.", "name", dict.fromkeys(_DISKS, int(_DISK * free / 100)))
    yield _by("disk_free_inodes", "gauge", "Free inodes.", "name", dict.fromkeys(_DISKS, 5_000_000))
    yield _by("disk_free_inodes_percent", "gauge", "Free inodes in percent.", "name", dict.fromkeys(_DISKS, 80))
    yield _alone("memory_limit", "gauge", "Soft limit of memory in bytes.", MEMORY_LIMIT)
    yield _alone("memory_low_thresh", "gauge", "Where memory counts as low, in bytes.", low)
    yield _alone("memory_usage", "gauge", "Memory in use, in bytes.", used)
    yield _alone("memory_usage_rust", "gauge", "Memory that was allocated, in bytes.", used * 9 // 10)
    yield _alone("memory_over_limit_count", "counter", "How often the limit was passed.", int(used >= MEMORY_LIMIT))
    yield _alone("memory_low_count", "counter", "How often memory was low.", int(used >= low))
    yield _alone("message_count", "gauge", "Messages of any state.", node.message_count)
    resident = "Messages with their body in memory."
    yield _alone("message_data_resident_count", "gauge", resident, node.message_count // 10)
    yield _alone("process_cpu_usage_normalized", "gauge", "Load of this process, in percent of all cores.", 7.5)
    yield _alone("system_cpu_usage_normalized", "gauge", "Load of the machine, in percent of all cores.", 21.5)
    yield _by("log_hook_backlog_count", "counter", "How often a log hook lagged.", "logger", {"webhook": 0})
    yield _by("total_connections_denied", "counter", "Connections refused.", "service", {"esmtp_listener": 0})


def _alone(name: str, kind: str, told: str, value: float) -> Family:
    return Family(name, kind, told, (), [((), value)])


def _by(name: str, kind: str, told: str, label: str, values: Mapping[str, Value]) -> Family:
    return Family(name, kind, told, (label,), [((key,), value) for key, value in values.items()])


def _by_all(
    name: str, kind: str, told: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], Value]
) -> Family:
    return Family(name, kind, told, labels, list(values.items()))


def _histogram(name: str, pairs: list[str], value: Latency) -> Iterator[str]:
    running = 0
    for bound, count in zip((*map(_number, BUCKETS), "+Inf"), value.counts, strict=True):
        running += count
        edge = f'le="{bound}"'
        yield f"{name}_bucket{_braces([*pairs, edge])} {running}"
    yield f"{name}_sum{_braces(pairs)} {_number(round(value.total, 6))}"
    yield f"{name}_count{_braces(pairs)} {running}"


def _json_value(family: Family) -> object:
    if not family.labels:
        return _json_number(family.series[0][1])
    if len(family.labels) == 1:
        return {family.labels[0]: {values[0]: _json_number(value) for values, value in family.series}}
    return [
        {**dict(zip(family.labels, values, strict=True)), "@": _json_number(value)} for values, value in family.series
    ]


def _json_number(value: float | Latency) -> object:
    if not isinstance(value, Latency):
        return value
    count, running, buckets = sum(value.counts), 0, []
    for bound, here in zip(BUCKETS, value.counts, strict=False):
        running += here
        buckets.append([bound, running])
    return {"count": count, "sum": value.total, "avg": value.total / count if count else 0.0, "bucket": buckets}


def _braces(pairs: list[str]) -> str:
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
