"""kumod's log records, and what each of them counts as. Pure.

One POST holds one record or a list of them. A record that cannot be read does not take the others with it. What a record
says comes from outside in the end (addresses, reports, replies of servers), so every text is cleaned before it is a label.

What is not counted, and why: `Reception`, `Delayed`, `Rejection` and the like are not outcomes; `AdminBounce` and
suspensions (`KumoMTA internal:` in a `TransientFailure`) are what an operator did, perhaps we ourselves, and must not look
like what receivers think of the mail; records of log hooks are not mail; reports of type `not-spam` and `auth-failure` are
no complaints.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from remediator.exporter.names import NONE, clean, domain_of

OUTCOMES: Mapping[str, str] = {
    "Delivery": "delivered",
    "Bounce": "bounced",
    "TransientFailure": "deferred",
    "Expiration": "expired",
    "Feedback": "complaint",
    "OOB": "oob_bounce",
}
KINDS = ("tenant", "campaign", "domain", "source", "classification")
_INTERNAL = "KumoMTA internal:"
_NO_COMPLAINT = frozenset({"not-spam", "auth-failure"})


class _Response(msgspec.Struct):
    content: str = ""


class Feedback(msgspec.Struct):
    """A complaint (RFC 5965) as kumod parsed it; `supplemental_trace` is what kumod wrote into the mail itself."""

    feedback_type: str = ""
    original_mail_from: str | None = None
    reported_domain: object = None
    source_ip: str | None = None
    supplemental_trace: object = None


class LogRecord(msgspec.Struct):
    """What we read of a record; the rest of it is not looked at."""

    type: str
    queue: str | None = None
    sender: str | None = None
    recipient: str | None = None
    egress_source: str | None = None
    bounce_classification: object = None
    reception_protocol: str | None = None
    response: _Response | None = None
    meta: object = None
    headers: object = None
    feedback_report: Feedback | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What one record counts as: an outcome, and the names it counts under, by kind of name."""

    outcome: str
    names: Mapping[str, str]


class NotRecords(ValueError):
    """The body is not JSON, or neither a record nor a list."""


_raw = msgspec.json.Decoder(list[msgspec.Raw])
_one = msgspec.json.Decoder(LogRecord)


def split(body: bytes) -> list[bytes]:
    """The records of a body, undecoded; NotRecords if it is not a record, nor a list."""
    text = body.strip()
    if text.startswith(b"{"):
        try:
            msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as fault:
            raise NotRecords(f"the body is not JSON: {fault}") from None
        return [text]
    try:
        return [bytes(one) for one in _raw.decode(text)]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as fault:
        raise NotRecords(f"the body is neither a log record nor a list of them: {fault}") from None


def digest(record: bytes) -> bytes:
    """What tells one record from another: kumod posts the very same bytes again."""
    return hashlib.blake2b(record, digest_size=8).digest()


def read(record: bytes) -> LogRecord | None:
    """One record; None for what is none."""
    try:
        return _one.decode(record)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


class Reading:
    """How records are read: whose domain the client's is, and the name of the source that sends from an address."""

    def __init__(self, *, client_domain: str = "sender", sources: Mapping[str, str] | None = None) -> None:
        self._client_domain = client_domain
        self._sources = dict(sources or {})

    def count(self, record: LogRecord) -> Counted | None:
        """What a record counts as; None for what is no outcome of a mail."""
        outcome = OUTCOMES.get(record.type)
        if outcome is None or _is_ours(record):
            return None
        if record.type == "Feedback":
            return self._complaint(record)
        return Counted(outcome=outcome, names=dict(self._names(record, outcome)))

    def _names(self, record: LogRecord, outcome: str) -> Iterator[tuple[str, str]]:
        campaign, tenant = _owners(record, _texts(record.meta))
        if outcome == "oob_bounce":  # its queue is that of the report, not of the mail it is about
            meta = _texts(record.meta)
            campaign, tenant = meta.get("campaign", ""), meta.get("tenant", "")
        yield "tenant", clean(tenant)
        yield "campaign", clean(campaign)
        yield "domain", self._domain(record)
        yield "source", clean(record.egress_source or "")
        if outcome != "delivered":
            yield "classification", clean(_class(record.bounce_classification))

    def _domain(self, record: LogRecord) -> str:
        match self._client_domain:
            case "recipient":
                return domain_of(f"<{record.recipient or ''}>")
            case "header":
                found = domain_of(_texts(record.headers).get("from", ""))
                return found if found != NONE else domain_of(f"<{record.sender or ''}>")
            case _:
                return domain_of(f"<{record.sender or ''}>")

    def _complaint(self, record: LogRecord) -> Counted | None:
        report = record.feedback_report or Feedback()
        kind = report.feedback_type.lower()
        if kind in _NO_COMPLAINT:
            return None
        trace = _texts(report.supplemental_trace)
        domain = domain_of(report.original_mail_from or "")
        if domain == NONE:
            domain = domain_of(f"<x@{_first(report.reported_domain)}>")
        names = {
            "tenant": clean(trace.get("tenant", "")),
            "campaign": clean(trace.get("campaign", "")),
            "domain": domain_of(f"<{trace.get('recipient', '')}>") if self._client_domain == "recipient" else domain,
            "source": clean(self._sources.get(report.source_ip or "", "")),
            "classification": clean(kind),
        }
        return Counted(outcome="complaint", names=names)


def _is_ours(record: LogRecord) -> bool:
    """Whether it is about a record of a log hook, or about what an operator's order did to a mail."""
    if record.reception_protocol == "LogRecord" or (record.queue or "").endswith(".log_hook"):
        return True
    said = record.response.content if record.response is not None else ""
    return record.type == "TransientFailure" and said.startswith(_INTERNAL)


def _owners(record: LogRecord, meta: Mapping[str, str]) -> tuple[str, str]:
    """Campaign and tenant: the record's meta where it has them, else the parts of `campaign:tenant@domain`."""
    owner, at, _ = (record.queue or "").rpartition("@")
    campaign, colon, tenant = owner.partition(":") if at else ("", "", "")
    if not colon:
        campaign, tenant = "", campaign
    return meta.get("campaign") or campaign, meta.get("tenant") or tenant


def _class(found: object) -> str:
    """The classification: a word, or `{"UserDefined": "word"}`, or nothing."""
    if isinstance(found, Mapping):
        found = next(iter(found.values()), "")
    return found if isinstance(found, str) else ""


def _texts(found: object) -> dict[str, str]:
    """The texts of a JSON object by their names in lower case."""
    if not isinstance(found, Mapping):
        return {}
    return {str(key).lower(): value for key, value in found.items() if isinstance(value, str)}


def _first(found: object) -> str:
    if isinstance(found, list):
        found = next(iter(found), "")
    return found if isinstance(found, str) else ""
