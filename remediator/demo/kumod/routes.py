"""The endpoints of the admin API, one function each: a node and a request in, a reply out. No HTTP here.

`ROUTES` is what a node offers; older versions lack some of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from remediator.demo.kumod import humantime, inspection, metrics, openapi
from remediator.demo.kumod.admin import Bounce, Criteria, ReadySuspension, Suspension
from remediator.demo.kumod.node import Rebind
from remediator.demo.kumod.wire import Call, Fields, Refused, Reply, applied, as_json, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from remediator.demo.kumod.admin import Book
    from remediator.demo.kumod.node import Kumod

    Endpoint = Callable[[Kumod, Call], Reply]

OrderT = TypeVar("OrderT", Suspension, ReadySuspension, Bounce)
_LEVELS = {"trace", "debug", "info", "warn", "error", "off"}
_TARGET = re.compile(r"[A-Za-z0-9_:\-]+(\[[^\]]*\])?")


def suspend(node: Kumod, call: Call) -> Reply:
    """Suspend scheduled queues. A field that this version does not know is ignored, and no criteria mean every queue."""
    fields = Fields(call)
    reason, expires = fields.text("reason"), fields.expiry(call.at)
    names = fields.names("queue_names") if node.since(openapi.QUEUE_NAMES) else []
    criteria = Criteria(
        campaign=fields.optional("campaign"),
        tenant=fields.optional("tenant"),
        domain=fields.optional("domain"),
        queue_names=frozenset(names),
    )
    entry = Suspension(reason=reason, expires=expires, criteria=criteria)
    node.orders.suspensions.add(entry)
    return applied({"id": entry.id}, order_id=entry.id)


def list_suspensions(node: Kumod, call: Call) -> Reply:
    """The suspensions in force: neither their queue names nor when they end, only for how long they still last."""
    found = []
    for entry in node.orders.suspensions.active(call.at):
        criteria = entry.criteria
        found.append(
            {
                "id": entry.id,
                "campaign": criteria.campaign,
                "tenant": criteria.tenant,
                "domain": criteria.domain,
                "reason": entry.reason,
                "duration": humantime.spell(entry.expires - call.at),
            }
        )
    return as_json(found)


def cancel_suspension(node: Kumod, call: Call) -> Reply:
    """End a suspension; mail moves again when it is next due, not at once."""
    return _cancel(node.orders.suspensions, call, "suspend entry")


def suspend_ready(node: Kumod, call: Call) -> Reply:
    """Suspend one ready queue by its exact name, whether it exists or not."""
    fields = Fields(call)
    entry = ReadySuspension(name=fields.text("name"), reason=fields.text("reason"), expires=fields.expiry(call.at))
    node.orders.ready_suspensions.add(entry)
    return applied({"id": entry.id}, order_id=entry.id)


def list_ready_suspensions(node: Kumod, call: Call) -> Reply:
    """The ready-queue suspensions in force; this list does say when they end."""
    return as_json(
        [
            {
                "id": entry.id,
                "name": entry.name,
                "reason": entry.reason,
                "duration": humantime.spell(entry.expires - call.at),
                "expires": humantime.spell_instant(entry.expires),
            }
            for entry in node.orders.ready_suspensions.active(call.at)
        ]
    )


def cancel_ready_suspension(node: Kumod, call: Call) -> Reply:
    """End a ready-queue suspension."""
    return _cancel(node.orders.ready_suspensions, call, "suspend-ready-q entry")


def bounce(node: Kumod, call: Call) -> Reply:
    """Destroy the mail of scheduled queues, later; the numbers of the answer are always empty. No criteria: all mail."""
    fields = Fields(call)
    if node.since(openapi.BOUNCE_IS_STRICT):
        fields.only(openapi.bounce_fields(node))
    names = fields.names("queue_names") if node.since(openapi.QUEUE_NAMES) else []
    criteria = Criteria(
        campaign=fields.optional("campaign"),
        tenant=fields.optional("tenant"),
        domain=fields.optional("domain"),
        routing_domain=fields.optional("routing_domain"),
        queue_names=frozenset(names),
    )
    fields.flag("suppress_logging")
    entry = Bounce(reason=fields.text("reason"), expires=fields.expiry(call.at), criteria=criteria)
    node.orders.bounces.add(entry)
    return applied({"id": entry.id, "bounced": {}, "total_bounced": 0}, order_id=entry.id)


def list_bounces(node: Kumod, call: Call) -> Reply:
    """The bounces in force and what they destroyed so far."""
    found = []
    for entry in node.orders.bounces.active(call.at):
        criteria = entry.criteria
        found.append(
            {
                "id": entry.id,
                "campaign": criteria.campaign,
                "tenant": criteria.tenant,
                "domain": criteria.domain,
                "routing_domain": criteria.routing_domain,
                "reason": entry.reason,
                "duration": humantime.spell(entry.expires - call.at),
                "bounced": dict(entry.bounced),
                "total_bounced": entry.bounced.total(),
            }
        )
    return as_json(found)


def cancel_bounce(node: Kumod, call: Call) -> Reply:
    """Stop bouncing; what is gone stays gone."""
    return _cancel(node.orders.bounces, call, "bounce entry")


def rebind(node: Kumod, call: Call) -> Reply:
    """Move or flush mail, later. There is no id, no list and no way back."""
    fields = Fields(call)
    fields.text("reason")
    fields.flag("suppress_logging")
    event = fields.flag("trigger_rebind_event")
    criteria = Criteria(
        campaign=fields.optional("campaign"),
        tenant=fields.optional("tenant"),
        domain=fields.optional("domain"),
        routing_domain=fields.optional("routing_domain"),
    )
    moves = fields.mapping("data")
    node.rebind_later(Rebind(criteria=criteria, moves={} if event else moves, always_flush=fields.flag("always_flush")))
    return applied({})


def bump_config_epoch(node: Kumod, call: Call) -> Reply:
    """Read the configuration again now rather than within ten seconds."""
    del call
    node.read_shaping()
    return applied("")


def compact_spool(node: Kumod, call: Call) -> Reply:
    """Compact a spool; the answer comes when it is done."""
    del node
    name = Fields(call).text("name")
    return applied("") if name in {"data", "meta"} else plain(f"Error: no such spool {name}", 500)


def set_log_filter(node: Kumod, call: Call) -> Reply:
    """Change the log level; there is no way to ask for the old one."""
    wanted = Fields(call).text("filter")
    for part in wanted.split(","):
        target, equals, level = part.strip().partition("=")
        if (equals and level.lower() not in _LEVELS) or (target and not _TARGET.fullmatch(target)):
            return plain("Error: invalid filter directive", 500)
    node.log_filter = wanted
    return applied("")


def inject(node: Kumod, call: Call) -> Reply:
    """Accept one message for each recipient, without tenant or campaign."""
    fields = Fields(call)
    fields.only(openapi.INJECT_FIELDS)
    fields.text("envelope_sender")
    fields.anything("content")
    addresses = [_address(recipient) for recipient in fields.items("recipients")]
    if node.liveness(call.at) is not None:
        return plain(f"Error: {node.liveness(call.at)}", 503)
    bad = [address for address in addresses if "@" not in address]
    for address in addresses:
        if "@" in address:
            node.mail.inject(address.rpartition("@")[2], 1, tenant=None, campaign=None, service="http_listener")
    return applied(
        {
            "success_count": len(addresses) - len(bad),
            "fail_count": len(bad),
            "failed_recipients": bad,
            "errors": [f"{address}: invalid address" for address in bad],
        }
    )


def liveness(node: Kumod, call: Call) -> Reply:
    """Would mail be accepted? Says nothing about whether any is delivered."""
    reason = node.liveness(call.at)
    return plain("OK") if reason is None else plain(reason, 503)


def metrics_text(node: Kumod, call: Call) -> Reply:
    """Prometheus text, each name behind `?prefix=` if given."""
    return plain(metrics.text(node, dict(call.query).get("prefix", "")))


def metrics_json(node: Kumod, call: Call) -> Reply:
    """The same in kumod's JSON."""
    del call
    return Reply(status=200, text=metrics.as_json(node), media_type="application/json")


def describe(node: Kumod, call: Call) -> Reply:
    """The OpenAPI document of this version."""
    del call
    return as_json(openapi.document(node, {path: list(methods) for path, methods in offered(node).items()}))


def _address(recipient: Mapping[str, object]) -> str:
    address = recipient.get("email")
    if not isinstance(address, str):
        raise Refused(
            422, "Failed to deserialize the JSON body into the target type: recipients: missing field `email`"
        )
    return address


def _cancel(book: Book[OrderT], call: Call, kind: str) -> Reply:
    wanted = Fields(call).text("id")
    try:
        order_id = str(UUID(wanted))
    except ValueError:
        raise Refused(
            422, f"Failed to deserialize the JSON body into the target type: id: UUID parsing failed: {wanted!r}"
        ) from None
    if book.remove(order_id, call.at) is None:
        return plain(f"{kind} {order_id} not found", 404)
    return applied(f"removed {order_id}", order_id=order_id)


ROUTES: Mapping[str, Mapping[str, Endpoint]] = {
    "/api/admin/suspend/v1": {"POST": suspend, "GET": list_suspensions, "DELETE": cancel_suspension},
    "/api/admin/suspend-ready-q/v1": {
        "POST": suspend_ready, "GET": list_ready_suspensions, "DELETE": cancel_ready_suspension,
    },
    "/api/admin/bounce/v1": {"POST": bounce, "GET": list_bounces, "DELETE": cancel_bounce},
    "/api/admin/rebind/v1": {"POST": rebind},
    "/api/admin/bump-config-epoch": {"POST": bump_config_epoch},
    "/api/admin/inspect-sched-q/v1": {"GET": inspection.scheduled_queue},
    "/api/admin/ready-q-states/v1": {"GET": inspection.ready_states},
    "/api/admin/set_diagnostic_log_filter/v1": {"POST": set_log_filter},
    "/api/admin/spool-compact/v1": {"POST": compact_spool},
    "/api/machine-info": {"GET": inspection.machine},
    "/api/check-liveness/v1": {"GET": liveness},
    "/api/inject/v1": {"POST": inject},
    "/metrics": {"GET": metrics_text},
    "/metrics.json": {"GET": metrics_json},
    "/api-docs/openapi.json": {"GET": describe},
}  # fmt: skip


def offered(node: Kumod) -> dict[str, Mapping[str, Endpoint]]:
    """The routes that this version has."""
    return {path: methods for path, methods in ROUTES.items() if node.since(openapi.SINCE.get(path, "2023.01.01"))}
