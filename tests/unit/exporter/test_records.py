"""What kumod's log records count as, in the shapes that its documentation gives."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.exporter.names import LONGEST
from remediator.exporter.records import KINDS, NotRecords, Reading, digest, read, split

DELIVERY: Mapping[str, object] = {
    "type": "Delivery",
    "id": "1d98076abbbc11ed940250ebf67f93bd",
    "sender": "bounces@acme.example",
    "recipient": "user@gmail.com",
    "queue": "spring:acme@gmail.com",
    "site": "ip-1->(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com.",
    "size": 1047,
    "response": {
        "code": 250,
        "enhanced_code": {"class": 2, "subject": 0, "detail": 0},
        "content": "OK",
        "command": ".",
    },
    "peer_address": {"name": "gmail-smtp-in.l.google.com.", "addr": "142.251.2.27"},
    "timestamp": 1678069691,
    "created": 1678069691,
    "num_attempts": 0,
    "bounce_classification": "Uncategorized",
    "egress_pool": "pool-1",
    "egress_source": "ip-1",
    "feedback_report": None,
    "meta": {},
    "headers": {},
    "delivery_protocol": "ESMTP",
    "reception_protocol": "ESMTP",
    "nodeid": "557f3ad4-2c8c-11ee-976e-782d7e12e173",
}
FEEDBACK: Mapping[str, object] = {
    **DELIVERY,
    "type": "Feedback",
    "sender": "fbl@receiver.example",
    "recipient": "fbl@acme.example",
    "queue": "fbl.example",
    "egress_source": None,
    "feedback_report": {
        "feedback_type": "abuse",
        "user_agent": "SomeGenerator/1.0",
        "original_mail_from": "<bounces@acme.example>",
        "source_ip": "192.0.2.1",
        "reported_domain": ["other.example"],
        "supplemental_trace": {"recipient": "user@gmail.com", "tenant": "acme", "campaign": "spring"},
        "original_message": "From: <a@acme.example>\nX: y\n",
    },
}
OOB: Mapping[str, object] = {
    **DELIVERY,
    "type": "OOB",
    "sender": "bounces@acme.example",
    "queue": "bounce.acme.example",
    "egress_source": None,
    "bounce_classification": "InvalidRecipient",
}


def counted(record: Mapping[str, object], **how: object) -> dict[str, object] | None:
    """What a record counts as, flat."""
    found = read(json.dumps(record).encode())
    assert found is not None
    result = Reading(**how).count(found)  # type: ignore[arg-type]
    return None if result is None else {"outcome": result.outcome, **result.names}


def test_a_delivery_counts_under_its_owner_its_client_and_its_source() -> None:
    assert counted(DELIVERY) == {
        "outcome": "delivered", "tenant": "acme", "campaign": "spring", "domain": "acme.example", "source": "ip-1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "outcome"), [("Bounce", "bounced"), ("TransientFailure", "deferred"), ("Expiration", "expired")]
)
def test_what_failed_counts_under_its_classification_too(kind: str, outcome: str) -> None:
    found = counted({**DELIVERY, "type": kind, "bounce_classification": "InvalidRecipient"})
    assert found is not None
    assert (found["outcome"], found["classification"]) == (outcome, "InvalidRecipient")


@pytest.mark.parametrize(
    ("written", "told"), [({"UserDefined": "our-own"}, "our-own"), (None, "none"), (7, "none"), ({}, "none")]
)
def test_a_classification_may_be_of_ones_own(written: object, told: str) -> None:
    found = counted({**DELIVERY, "type": "Bounce", "bounce_classification": written})
    assert found is not None
    assert found["classification"] == told


@pytest.mark.parametrize(
    ("queue", "meta", "campaign", "tenant"),
    [
        ("spring:acme@gmail.com", {}, "spring", "acme"),
        ("acme@gmail.com", {}, "none", "acme"),
        ("spring:@gmail.com", {}, "spring", "none"),
        ("gmail.com", {}, "none", "none"),
        ("spring:acme@gmail.com!other.example", {}, "spring", "acme"),
        ("a:b@c@gmail.com", {}, "a", "b@c"),
        ("gmail.com", {"tenant": "acme", "campaign": "spring"}, "spring", "acme"),
        ("x:y@gmail.com", {"tenant": "acme", "campaign": 7}, "x", "acme"),
        (None, None, "none", "none"),
    ],
)
def test_campaign_and_tenant_are_in_the_queue_or_in_the_meta(
    queue: str | None, meta: object, campaign: str, tenant: str
) -> None:
    found = counted({**DELIVERY, "queue": queue, "meta": meta})
    assert found is not None
    assert (found["campaign"], found["tenant"]) == (campaign, tenant)


@pytest.mark.parametrize(
    ("how", "domain"), [("sender", "acme.example"), ("header", "brand.example"), ("recipient", "gmail.com")]
)
def test_the_domain_is_that_of_the_client_as_the_settings_say(how: str, domain: str) -> None:
    record = {**DELIVERY, "headers": {"From": "Brand <hello@brand.example>"}}
    found = counted(record, client_domain=how)
    assert found is not None
    assert found["domain"] == domain


def test_without_the_header_the_sender_counts() -> None:
    found = counted(DELIVERY, client_domain="header")
    assert found is not None
    assert found["domain"] == "acme.example"


def test_a_complaint_counts_under_what_the_report_says_of_the_mail() -> None:
    assert counted(FEEDBACK, sources={"192.0.2.1": "ip-1"}) == {
        "outcome": "complaint", "tenant": "acme", "campaign": "spring", "domain": "acme.example", "source": "ip-1",
        "classification": "abuse",
    }  # fmt: skip


def test_a_complaint_about_nobody_in_particular_is_still_one() -> None:
    bare = {**FEEDBACK, "feedback_report": {"feedback_type": "Fraud", "reported_domain": "acme.example"}}
    assert counted(bare, client_domain="recipient") == {
        "outcome": "complaint", "tenant": "none", "campaign": "none", "domain": "none", "source": "none",
        "classification": "fraud",
    }  # fmt: skip
    assert (counted({**FEEDBACK, "feedback_report": None}) or {})["outcome"] == "complaint"
    told = counted({**FEEDBACK, "feedback_report": {"feedback_type": "abuse", "reported_domain": ["acme.example"]}})
    assert (told or {})["domain"] == "acme.example"


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "Not-Spam"])
def test_a_report_that_praises_or_is_about_dmarc_is_no_complaint(kind: str) -> None:
    assert counted({**FEEDBACK, "feedback_report": {"feedback_type": kind}}) is None


def test_the_queue_of_an_out_of_band_bounce_is_that_of_the_report_and_owns_nothing() -> None:
    found = counted({**OOB, "queue": "x:y@bounce.acme.example"})
    assert found == {
        "outcome": "oob_bounce", "tenant": "none", "campaign": "none", "domain": "acme.example", "source": "none",
        "classification": "InvalidRecipient",
    }  # fmt: skip
    owned = counted({**OOB, "meta": {"tenant": "acme", "campaign": "spring"}})
    assert owned is not None
    assert (owned["tenant"], owned["campaign"]) == ("acme", "spring")


@pytest.mark.parametrize(
    "change",
    [
        {"type": "Reception"},
        {"type": "AdminBounce"},
        {"type": "Delayed"},
        {"type": "something new"},
        {"type": "Delivery", "reception_protocol": "LogRecord"},
        {"type": "Delivery", "queue": "remediator.log_hook"},
        {"type": "TransientFailure", "response": {"content": "KumoMTA internal: scheduled queue is suspended: x"}},
    ],
)
def test_what_no_receiver_said_of_a_mail_is_not_counted(change: Mapping[str, object]) -> None:
    assert counted({**DELIVERY, **change}) is None


def test_one_record_or_a_list_of_them() -> None:
    one = json.dumps(DELIVERY).encode()
    assert split(b"  " + one + b"\n") == [one]
    assert [read(record) is not None for record in split(b"[" + one + b", 7, " + one + b"]")] == [True, False, True]
    assert split(b"[]") == []


@pytest.mark.parametrize("body", [b"", b"null", b"7", b"{", b"[", b"hello", b'{"a":1} {', b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_records_is_refused(body: bytes) -> None:
    with pytest.raises(NotRecords, match="the body is n"):
        split(body)


def test_the_same_record_has_the_same_digest() -> None:
    assert digest(b"a") == digest(b"a") != digest(b"b")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.characters(codec="utf-8"), max_size=120),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40)
@given(
    changes=st.dictionaries(st.sampled_from([*DELIVERY, "feedback_report"]), JSON, max_size=6),
    kind=st.sampled_from(["Delivery", "Bounce", "Feedback", "OOB", "TransientFailure"]),
)
def test_whatever_stands_in_a_record_becomes_short_names_or_nothing(changes: dict[str, object], kind: str) -> None:
    record = read(json.dumps({**DELIVERY, **changes, "type": kind}).encode())
    found = Reading(sources={"192.0.2.1": "ip-1"}).count(record) if record is not None else None
    if found is not None:
        assert set(found.names) <= set(KINDS)
        assert all(0 < len(name) <= LONGEST and name.isprintable() for name in found.names.values())
