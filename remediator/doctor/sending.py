"""The proof that the way is whole: one marked alert through the real Alertmanager, until the service has decided on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from remediator.actions.http_client import Answer, Credentials, Request, deadline
from remediator.doctor.case import PATIENCE, Case
from remediator.doctor.findings import Finding, bad, good

ALERT = "RemediatorTest"
MARK = "remediator_test"
AREA = "send-test"
# For how long Alertmanager lets the alert fire after it was sent (s); nobody has to end it.
FIRES = 120.0
FIX = f"does a route send {ALERT} to us (see routes), and can Alertmanager reach our address?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the journal says of the marked alert."""

    disposition: str
    at: float


Look = Callable[[str], Awaitable[Seen | None]]


async def send_test(case: Case, mark: str, look: Look, *, within: float, rest: float = 0.5) -> list[Finding]:
    """Posts the alert, and asks `look` until the service has decided on it, or `within` seconds are over."""
    began = case.clock.now()
    refused = await _post(case, mark, began)
    if refused:
        return [bad(AREA, refused, "start Alertmanager, or correct alertmanager.url")]
    while case.clock.now() - began < within:
        seen = await look(mark)
        if seen is not None:
            took = max(0.0, case.clock.now() - began)
            return [good(AREA, f"Alertmanager → webhook → decision ({seen.disposition}) in {took:.1f} s")]
        await case.clock.sleep(rest)
    return [bad(AREA, f"the test alert did not arrive within {within:.0f} s", FIX)]


async def _post(case: Case, mark: str, now: float) -> str:
    """What went wrong; empty if Alertmanager took the alert."""
    target = case.targets.alertmanager
    if target is None:
        return "no Alertmanager is configured"
    body = [
        {
            "labels": {"alertname": ALERT, MARK: mark, "severity": "none"},
            "annotations": {"summary": "A test of the way from Alertmanager to remediator; nobody has to do anything."},
            "startsAt": _wire(now),
            "endsAt": _wire(now + FIRES),
        }
    ]
    credentials = Credentials(username=target.username, password_file=target.password_file)
    url = target.url.rstrip("/") + "/api/v2/alerts"
    reply = await case.http.send(
        Request(method="POST", url=url, json=body, credentials=credentials), until=deadline(PATIENCE)
    )
    if isinstance(reply, Answer):
        return "" if reply.status == 200 else f"Alertmanager refuses the test alert: {reply.status} {reply.text!r}"
    return f"Alertmanager does not answer: {reply.sentence}"


def _wire(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="milliseconds")
