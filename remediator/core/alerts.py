"""Notifications and alerts as Alertmanager sends them (payload version 4; alertmanager.md §1).

Parsing is in two stages. `parse_notification` refuses what can never be accepted (not JSON, no `alerts`), which the sender
hears as 400. Each alert is then read by itself: one bad alert becomes a `Malformed` and never fails its neighbours.
Unknown fields are accepted: newer senders only add. The order of the list and the top-level `status` decide nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from enum import StrEnum

import msgspec

MAX_ALERTS = 20_000
MAX_LABELS = 64
MAX_VALUE = 4096
MAX_ANNOTATION = 16_384
IGNORED_LABELS = frozenset({"replica", "prometheus_replica"})
_UNSAFE = re.compile(r"[\x00\ud800-\udfff]")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017  (one spelling for 3.11 and later)


class AlertStatus(StrEnum):
    """What the sender says of one alert. `resolved` is a hint, never proof (alertmanager.md §2.7)."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A labelled condition; its identity is its label set. Times are unix seconds; `ends_at` is None while it fires."""

    status: AlertStatus
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: float
    ends_at: float | None = None
    fingerprint: str = ""
    generator_url: str = ""


class Malformed(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that could not be read, with the reason; it is quarantined."""

    reason: str


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook POST: a snapshot of a group, possibly firing and resolved alerts together."""

    receiver: str
    group_key: str
    truncated: int
    external_url: str
    alerts: tuple[Alert | Malformed, ...]


class _WireNotification(msgspec.Struct):
    alerts: list[msgspec.Raw]
    receiver: str = ""
    groupKey: str = ""  # noqa: N815  (the sender's spelling)
    externalURL: str = ""  # noqa: N815
    truncatedAlerts: int = 0  # noqa: N815
    version: str = "4"


class _WireAlert(msgspec.Struct):
    status: str
    labels: dict[str, str]
    startsAt: str  # noqa: N815
    annotations: dict[str, str] | None = None
    endsAt: str = ""  # noqa: N815
    fingerprint: str = ""
    generatorURL: str = ""  # noqa: N815


# A sender that says more than this were withheld counts wrongly; the number is only told and counted.
MOST_WITHHELD = 1_000_000

_notifications = msgspec.json.Decoder(_WireNotification)
_alerts = msgspec.json.Decoder(_WireAlert)


def count_alerts(body: bytes) -> int:
    """How many alerts `body` carries; ValueError says why it is not a notification at all."""
    return len(_wire(body).alerts)


def parse_notification(body: bytes) -> Notification:
    """`body` as a notification; ValueError says why it is not one. Bad alerts in it become `Malformed`."""
    wire = _wire(body)
    return Notification(
        receiver=wire.receiver,
        group_key=wire.groupKey,
        truncated=min(max(0, wire.truncatedAlerts), MOST_WITHHELD),
        external_url=wire.externalURL,
        alerts=tuple(parse_alert(raw) for raw in wire.alerts),
    )


def _wire(body: bytes) -> _WireNotification:
    try:
        wire = _notifications.decode(body)
    except RecursionError:
        raise ValueError("the body is nested too deeply to be an Alertmanager notification") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise ValueError(f"the body is not an Alertmanager notification: {fault}") from None
    if len(wire.alerts) > MAX_ALERTS:
        raise ValueError(f"{len(wire.alerts)} alerts in one notification; at most {MAX_ALERTS} are taken")
    return wire


def parse_alert(raw: bytes | msgspec.Raw) -> Alert | Malformed:
    """One alert of a notification, or why it could not be read."""
    try:
        wire = _alerts.decode(raw)
        labels = {name: value for name, value in wire.labels.items() if value}
        check_labels(labels)
        ends_at = parse_time(wire.endsAt) if wire.endsAt else None
        return Alert(
            status=AlertStatus(wire.status),
            labels=labels,
            annotations=_tame(wire.annotations or {}),
            starts_at=parse_time(wire.startsAt) or 0.0,
            ends_at=ends_at if wire.status == "resolved" else None,
            fingerprint=wire.fingerprint,
            generator_url=wire.generatorURL,
        )
    except RecursionError:
        return Malformed(reason="nested too deeply")
    except (msgspec.DecodeError, ValueError) as fault:
        return Malformed(reason=str(fault)[:300])


def _tame(annotations: Mapping[str, str]) -> dict[str, str]:
    """Annotations are only shown, so they are cut to size rather than refused."""
    kept = list(annotations.items())[:MAX_LABELS]
    return {name[:200]: _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", value[:MAX_ANNOTATION]) for name, value in kept}


def check_labels(labels: Mapping[str, str]) -> None:
    """Raises ValueError for a label set that no sane sender produces."""
    if not labels:
        raise ValueError("the alert has no labels")
    if len(labels) > MAX_LABELS:
        raise ValueError(f"{len(labels)} labels; at most {MAX_LABELS} are taken")
    for name, value in labels.items():
        if len(value) > MAX_VALUE or len(name) > 200:
            raise ValueError(f"label {name[:40]!r} is longer than {MAX_VALUE} characters")
        if not name or _UNSAFE.search(name) or _UNSAFE.search(value):
            raise ValueError(f"label {name[:40]!r} has a NUL or a lone surrogate")


def parse_time(text: str) -> float | None:
    """RFC 3339 with 0 to 9 fractional digits as unix seconds; None for the zero time (year 1) of a firing alert."""
    if text.startswith("0001-01-01"):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not an RFC 3339 time") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text[:40]!r} has no time zone")
    return (moment - _EPOCH).total_seconds()


def identity(labels: Mapping[str, str], ignored: Iterable[str] = IGNORED_LABELS) -> str:
    """The alert's own name: a digest of its sorted labels without those that tell HA replicas apart.

    The sender's fingerprint is 64 bits of FNV and can be forged, so it is kept but not trusted (reliability.md G3).
    """
    skip = frozenset(ignored)
    digest = hashlib.sha256()
    for name in sorted(labels):
        if name not in skip:
            # 0xFF never occurs in UTF-8, so no value can pretend to be the next label.
            digest.update(name.encode() + b"\xff" + labels[name].encode() + b"\xff")
    return digest.hexdigest()[:32]
