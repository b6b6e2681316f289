"""The endpoints that only look: one scheduled queue, the states of ready queues, the machine. No HTTP here."""

from __future__ import annotations

from hashlib import blake2s
from typing import TYPE_CHECKING
from uuid import NAMESPACE_DNS, uuid5

from remediator.demo.kumod import humantime
from remediator.demo.kumod.wire import Call, Reply, as_json, plain

if TYPE_CHECKING:
    from remediator.demo.kumod.node import Kumod
    from remediator.demo.kumod.queues import Batch, ScheduledQueue

# The real one lists a whole queue if no limit is given. Messages are only counted here, so a sample must do.
_MOST_MESSAGES = 1_000


def scheduled_queue(node: Kumod, call: Call) -> Reply:
    """How many messages wait in a scheduled queue, and a sample of them with due time and attempts."""
    query = dict(call.query)
    name, limit = query.get("queue_name"), query.get("limit", str(_MOST_MESSAGES))
    if name is None:
        return plain("Failed to deserialize query string: missing field `queue_name`", 400)
    if not limit.isdecimal():
        return plain("Failed to deserialize query string: limit: invalid digit found in string", 400)
    queue = node.mail.scheduled.get(name)
    if queue is None:
        return plain(f"Error: no such queue {name}", 404)
    tallies = node.mail.tallies
    return as_json(
        {
            "queue_name": name,
            "messages": _sample(node, queue, min(int(limit), _MOST_MESSAGES)),
            "num_scheduled": queue.total,
            "queue_config": {
                "retry_interval": humantime.spell(node.mail.retries.interval),
                "max_retry_interval": humantime.spell(node.mail.retries.longest),
                "max_age": humantime.spell(node.mail.retries.max_age),
            },
            "delayed_metric": tallies.delayed_rate[name] + tallies.delayed_ready_full[name],
            "now": humantime.spell_instant(call.at),
            "last_changed": humantime.spell_instant(node.wall(queue.last_changed)),
        }
    )


def _sample(node: Kumod, queue: ScheduledQueue, limit: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for batch in queue.batches():
        found += [_message(node, queue, batch, place) for place in range(min(batch.size, limit - len(found)))]
        if len(found) >= limit:
            break
    return found


def _message(node: Kumod, queue: ScheduledQueue, batch: Batch, place: int) -> dict[str, object]:
    parts = {"tenant": queue.name.tenant, "campaign": queue.name.campaign, "routing_domain": queue.name.routing_domain}
    seed = f"{node.name} {queue.text} {batch.born} {batch.attempts} {batch.due} {place}"
    return {
        "id": blake2s(seed.encode(), digest_size=16).hexdigest(),
        "message": {
            "sender": "sender@sender.example.com",
            "recipient": [f"user{place}@{queue.name.domain}"],
            "meta": {key: value for key, value in parts.items() if value is not None},
            "due": humantime.spell_instant(node.wall(batch.due)),
            "num_attempts": batch.attempts,
        },
    }


def ready_states(node: Kumod, call: Call) -> Reply:
    """What holds ready queues back: the receiver's own limit or our rate."""
    if "queues" in dict(call.query):
        return plain("Failed to deserialize query string: queues: invalid type: string, expected a sequence", 400)
    states: dict[str, dict[str, object]] = {}
    for name, ready in node.mail.ready.items():
        if ready.limited_since is not None:
            since = humantime.spell_instant(node.wall(ready.limited_since))
            states.setdefault(name, {})["connection_limited"] = {"context": "TooManyLeases for queue", "since": since}
        if ready.throttled_since is not None:
            since = humantime.spell_instant(node.wall(ready.throttled_since))
            held = {"context": f"message rate throttle {name}", "since": since}
            states.setdefault(name, {})["connection_rate_throttled"] = held
    return as_json({"states_by_ready_queue": states})


def machine(node: Kumod, call: Call) -> Reply:
    """What the node is and since when it runs: `online_since` is the proof of a restart."""
    if node.starting(call.at):
        return plain("waiting for spool startup", 503)
    identity = str(uuid5(NAMESPACE_DNS, node.name))
    return as_json(
        {
            "node_id": identity,
            "hostname": node.name,
            "mac_address": "02:00:00:00:00:01",
            "num_cores": 4,
            "kernel_version": "6.1.0",
            "platform": "linux/x86_64",
            "distribution": "debian",
            "os_version": "Linux (Debian 12)",
            "total_memory_bytes": 2 * 2**30,
            "container_runtime": None,
            "cpu_brand": "simulated",
            "fingerprint": f"machine_uid={identity.replace('-', '')}",
            "online_since": humantime.spell_instant(node.online_since),
            "process_kind": "kumod",
            "version": node.version,
        }
    )
