"""The description that a node serves of itself: which endpoints it has and which fields a request may carry. Pure.

It is the only way to learn, before sending it, whether a node honours `queue_names`: an older one ignores the field and
suspends everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from remediator.demo.kumod.node import Kumod

# Since which release an endpoint or a field exists.
QUEUE_NAMES = "2025.12.02"
BOUNCE_IS_STRICT = "2025.01.23"
SINCE: Mapping[str, str] = {
    "/api/admin/rebind/v1": "2024.09",
    "/api/check-liveness/v1": "2024.09",
    "/api/admin/bump-config-epoch": "2024.11.08",
    "/api/admin/ready-q-states/v1": "2025.01.23",
    "/api/admin/inspect-sched-q/v1": "2025.01.29",
    "/api/machine-info": "2026.03.04",
    "/api/admin/spool-compact/v1": "2026.07",
}
_TEXT = {"type": ["string", "null"]}
_MUST = {"type": "string"}
_FLAG = {"type": "boolean"}
_NAMES = {"type": "array", "items": {"type": "string"}}
_WHEN = {"type": ["string", "null"], "format": "date-time"}
_ID = {"type": "string", "format": "uuid"}
_BODIES: Mapping[tuple[str, str], str] = {
    ("/api/admin/suspend/v1", "POST"): "SuspendV1Request",
    ("/api/admin/suspend/v1", "DELETE"): "SuspendV1CancelRequest",
    ("/api/admin/suspend-ready-q/v1", "POST"): "SuspendReadyQueueV1Request",
    ("/api/admin/suspend-ready-q/v1", "DELETE"): "SuspendV1CancelRequest",
    ("/api/admin/bounce/v1", "POST"): "BounceV1Request",
    ("/api/admin/bounce/v1", "DELETE"): "BounceV1CancelRequest",
    ("/api/admin/rebind/v1", "POST"): "RebindV1Request",
    ("/api/admin/set_diagnostic_log_filter/v1", "POST"): "SetDiagnosticFilterRequest",
    ("/api/inject/v1", "POST"): "InjectV1Request",
    ("/api/admin/spool-compact/v1", "POST"): "SpoolCompactV1Request",
}
INJECT_FIELDS = (
    "envelope_sender", "recipients", "content", "substitutions", "deferred_spool", "deferred_generation", "trace_headers",
    "template_dialect",
)  # fmt: skip


def suspend_fields(node: Kumod) -> list[str]:
    """What a suspension may carry on this version. Anything else is ignored without a word."""
    names = ["queue_names"] if node.since(QUEUE_NAMES) else []
    return ["campaign", "tenant", "domain", "reason", "duration", "expires", *names]


def bounce_fields(node: Kumod) -> list[str]:
    """What a bounce may carry on this version. Anything else is refused, except by old versions."""
    return [*suspend_fields(node), "routing_domain", "suppress_logging"]


def document(node: Kumod, routes: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """The OpenAPI document for these paths and methods."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "kumod", "description": "", "license": {"name": "Apache-2.0"}, "version": node.version},
        "paths": {
            path: {method.lower(): _operation(path, method) for method in methods}
            for path, methods in routes.items()
            if path.startswith(("/api/", "/metrics"))
        },
        "components": {"schemas": _schemas(node)},
    }


def _operation(path: str, method: str) -> dict[str, object]:
    body = _BODIES.get((path, method))
    responses: dict[str, object] = {"200": {"description": ""}}
    if body is None:
        return {"responses": responses}
    schema = {"schema": {"$ref": f"#/components/schemas/{body}"}}
    return {"requestBody": {"required": True, "content": {"application/json": schema}}, "responses": responses}


def _schemas(node: Kumod) -> dict[str, object]:
    kinds: Mapping[str, object] = {
        "reason": _MUST, "queue_names": _NAMES, "expires": _WHEN, "suppress_logging": _FLAG,
    }  # fmt: skip
    suspend = {name: kinds.get(name, _TEXT) for name in suspend_fields(node)}
    bounce = {name: kinds.get(name, _TEXT) for name in bounce_fields(node)}
    rebind = {
        **dict.fromkeys(("campaign", "tenant", "domain", "routing_domain"), _TEXT),
        **dict.fromkeys(("suppress_logging", "trigger_rebind_event", "always_flush"), _FLAG),
        "reason": _MUST,
        "data": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    found = {
        "SuspendV1Request": _schema(suspend, ["reason"]),
        "SuspendV1Response": _schema({"id": _ID}, ["id"]),
        "SuspendV1CancelRequest": _schema({"id": _ID}, ["id"]),
        "SuspendReadyQueueV1Request": _schema(
            {"name": _MUST, "reason": _MUST, "duration": _TEXT, "expires": _WHEN}, ["name", "reason"]
        ),
        "BounceV1Request": _schema(bounce, ["reason"]),
        "BounceV1CancelRequest": _schema({"id": _ID}, ["id"]),
        "RebindV1Request": _schema(rebind, ["reason", "data"]),
        "SetDiagnosticFilterRequest": _schema({"filter": _MUST}, ["filter"]),
        "SpoolCompactV1Request": _schema({"name": _MUST}, ["name"]),
        "InjectV1Request": _schema({name: {} for name in INJECT_FIELDS}, list(INJECT_FIELDS[:3])),
    }
    if node.since(BOUNCE_IS_STRICT):
        found["BounceV1Request"]["additionalProperties"] = False
    return {**found}


def _schema(properties: Mapping[str, object], required: list[str]) -> dict[str, object]:
    return {"type": "object", "required": required, "properties": properties}
