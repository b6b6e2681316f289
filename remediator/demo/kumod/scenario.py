"""Scenario control: how a demo or a test makes the simulated world behave, and what is true in it. No HTTP here.

It listens on a port of its own, never on that of the admin API: kumod has nothing of the kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from remediator.demo.kumod import humantime
from remediator.demo.kumod.domains import Domain
from remediator.demo.kumod.faults import Fault, Kind

if TYPE_CHECKING:
    from remediator.demo.kumod.node import Kumod

Body = Mapping[str, object]


class Unusable(ValueError):
    """A request of scenario control that cannot be carried out; the text says why."""


def set_domain(node: Kumod, body: Body, now: float) -> object:
    """Change how a destination behaves, or add one. `burst` injects so many messages at once."""
    known = {
        "domain",
        "inject_per_s",
        "bounce_ratio",
        "transfail_ratio",
        "throttle_per_s",
        "latency_s",
        "blocked",
        "burst",
        "complaint_ratio",
        "oob_ratio",
    }
    _only(body, known | {"provider", "site"})
    name = _text(body, "domain")
    domain = node.mail.domains.get(name) or _new_domain(name, body)
    tops = {"inject_per_s": 1e6, "bounce_ratio": 1.0, "transfail_ratio": 1.0, "latency_s": 600.0}
    for field, top in (tops | {"complaint_ratio": 1.0, "oob_ratio": 1.0}).items():
        if field in body:
            setattr(domain, field, _number(body, field, top))
    if "throttle_per_s" in body:
        domain.throttle_per_s = None if body["throttle_per_s"] is None else _number(body, "throttle_per_s", 1e6)
    if "blocked" in body:
        domain.blocked = _flag(body, "blocked")
    node.mail.domains[name] = domain
    if "burst" in body:
        stream = domain.streams[0]
        count = int(_number(body, "burst", 1e7))
        node.mail.inject(name, count, tenant=stream.tenant, campaign=stream.campaign, service="esmtp_listener")
    return domain_state(node, domain, now)


def set_campaign(node: Kumod, body: Body, now: float) -> object:
    """Let the mail of one campaign bounce in a ratio of its own, to all destinations; null takes that back."""
    del now
    _only(body, {"campaign", "bounce_ratio"})
    name = _text(body, "campaign")
    ratio = None if body.get("bounce_ratio") is None else _number(body, "bounce_ratio", 1.0)
    if not any(stream.campaign == name for domain in node.mail.domains.values() for stream in domain.streams):
        raise Unusable(f"campaign: nobody sends {name!r}")
    for domain in node.mail.domains.values():
        domain.streams = tuple(
            replace(stream, bounce_ratio=ratio) if stream.campaign == name else stream for stream in domain.streams
        )
    return {"campaign": name, "bounce_ratio": ratio}


def set_disk(node: Kumod, body: Body, now: float) -> object:
    """How much of the disk is free, in percent."""
    del now
    _only(body, {"free_percent"})
    node.disk_free_percent = _number(body, "free_percent", 100.0)
    return {"free_percent": node.disk_free_percent}


def set_memory(node: Kumod, body: Body, now: float) -> object:
    """How much of the memory limit is used, in percent; null lets it follow the queues again."""
    del now
    _only(body, {"used_percent"})
    node.memory_percent = None if body.get("used_percent") is None else _number(body, "used_percent", 200.0)
    return {"used_percent": node.memory_percent}


def set_delivery(node: Kumod, body: Body, now: float) -> object:
    """Stop all sending, or let it go on. A restart lets it go on as well."""
    del now
    _only(body, {"stopped"})
    node.mail.stopped = _flag(body, "stopped")
    return {"stopped": node.mail.stopped}


def restart(node: Kumod, body: Body, now: float) -> object:
    """Restart the process: `down_s` without any listener, then `startup_s` in which the spool is read."""
    _only(body, {"startup_s", "down_s"})
    startup = _number(body, "startup_s", 3_600.0) if "startup_s" in body else 3.0
    down = _number(body, "down_s", 3_600.0) if "down_s" in body else 0.0
    node.restart(now, startup_s=startup, down_s=down)
    return {"online_since": humantime.spell_instant(node.online_since)}


def add_fault(node: Kumod, body: Body, now: float) -> object:
    """Let the next requests under a path go wrong; a count of nought takes that back."""
    del now
    _only(body, {"path_prefix", "kind", "count"})
    try:
        kind = Kind(_text(body, "kind"))
    except ValueError:
        raise Unusable(f"kind: expected one of {', '.join(Kind)}") from None
    count = int(_number(body, "count", 1e6)) if "count" in body else 1
    node.faults.add(Fault(path_prefix=_text(body, "path_prefix"), kind=kind, count=count))
    return {"waiting": [_fault(fault) for fault in node.faults.waiting()]}


def state(node: Kumod, now: float) -> dict[str, object]:
    """The truth, for people and asserts: what is where, what became of it, what is suspended."""
    return {
        "node": node.name,
        "version": node.version,
        "now": humantime.spell_instant(now),
        "online_since": humantime.spell_instant(node.online_since),
        "restarts": node.restarts,
        "liveness": node.liveness(now) or "OK",
        "delivery_stopped": node.mail.stopped,
        "disk_free_percent": node.disk_free_percent,
        "shaping_error": node.shaping_error,
        "log_filter": node.log_filter,
        "domains": {name: domain_state(node, domain, now) for name, domain in node.mail.domains.items()},
        "suspensions": [
            {
                "id": entry.id,
                "reason": entry.reason,
                "campaign": entry.criteria.campaign,
                "tenant": entry.criteria.tenant,
                "domain": entry.criteria.domain,
                "queue_names": sorted(entry.criteria.queue_names),
                "expires": humantime.spell_instant(entry.expires),
            }
            for entry in node.orders.suspensions.active(now)
        ],
        "ready_suspensions": [entry.name for entry in node.orders.ready_suspensions.active(now)],
        "bounces": len(node.orders.bounces.active(now)),
        "faults": [_fault(fault) for fault in node.faults.waiting()],
    }


def domain_state(node: Kumod, domain: Domain, now: float) -> dict[str, object]:
    """The truth about one destination. Counts are since the world began, over all restarts."""
    queues = [queue for queue in node.mail.scheduled.values() if queue.name.domain == domain.name]
    ready = sum(ready.count_of(set(queues)) for ready in node.mail.ready.values())
    standing = node.orders.at(now)
    names = {queue.name for queue in queues} | {stream.queue(domain.name) for stream in domain.streams}
    rates = {source: node.mail.shaping.rate(domain.name, source) for source in domain.sources}
    truth = domain.truth
    return {
        "scheduled": sum(queue.total for queue in queues),
        "ready": ready,
        "injected": truth.injected,
        "delivered": truth.delivered,
        "failed": truth.failed,
        "transfailed": truth.transfailed,
        "suspended_attempts": truth.suspended_attempts,
        "expired": truth.expired,
        "admin_bounced": truth.admin_bounced,
        "suspended": bool(names) and all(standing.suspended(name) for name in names),
        "queues": {queue.text: queue.total for queue in queues},
        "max_message_rate": {source: f"{rate.count}/{rate.period}s" for source, rate in rates.items() if rate},
        "inject_per_s": domain.inject_per_s,
        "bounce_ratio": domain.bounce_ratio,
        "transfail_ratio": domain.transfail_ratio,
        "throttle_per_s": domain.throttle_per_s,
        "latency_s": domain.latency_s,
        "blocked": domain.blocked,
    }


COMMANDS: Mapping[str, Callable[[Kumod, Body, float], object]] = {
    "/control/domain": set_domain,
    "/control/campaign": set_campaign,
    "/control/disk": set_disk,
    "/control/memory": set_memory,
    "/control/stop_delivery": set_delivery,
    "/control/restart": restart,
    "/control/faults": add_fault,
}


def _new_domain(name: str, body: Body) -> Domain:
    provider = _text(body, "provider") if "provider" in body else name
    site = _text(body, "site") if "site" in body else f"mx.{name}"
    return Domain(name=name, provider=provider, site=site)


def _fault(fault: Fault) -> dict[str, object]:
    return {"path_prefix": fault.path_prefix, "kind": str(fault.kind), "count": fault.count}


def _only(body: Body, known: set[str]) -> None:
    if unknown := sorted(set(body) - known):
        raise Unusable(f"unknown field {', '.join(unknown)}; expected {', '.join(sorted(known))}")


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Unusable(f"{name}: expected text, found {value!r}")
    return value


def _flag(body: Body, name: str) -> bool:
    value = body.get(name)
    if not isinstance(value, bool):
        raise Unusable(f"{name}: expected true or false, found {value!r}")
    return value


def _number(body: Body, name: str, top: float) -> float:
    value = body.get(name)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or not 0 <= value <= top
    ):
        raise Unusable(f"{name}: expected a number from 0 to {top:g}, found {value!r}")
    return float(value)
