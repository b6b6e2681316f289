"""The simulated kumod's log hook: a record for every attempt, posted until taken, and counted by the real exporter."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import httpx
import pytest
import respx

from remediator.demo.kumod.admin import Bounce, Criteria, Suspension
from remediator.demo.kumod.log_hook import MOST_WAITING, LogHook
from remediator.demo.kumod.names import QueueName
from remediator.demo.kumod.node import Kumod, default_domains
from remediator.demo.kumod.posting import Poster
from remediator.demo.kumod.scenario import Unusable, set_campaign, set_domain
from remediator.exporter.app import Intake
from remediator.exporter.records import Reading
from remediator.exporter.series import Posts
from remediator.exporter.tally import Tally
from remediator.system import SystemClock

URL = "http://127.0.0.1:9925/api/v1/log-records"


@pytest.fixture
def node() -> Kumod:
    sim = Kumod(now=0.0, domains=default_domains(20.0))
    sim.mail.log_hook = LogHook(sim.name)
    return sim


def run(node: Kumod, seconds: int, *, start: int = 0) -> None:
    for second in range(start + 1, start + seconds + 1):
        node.tick(float(second))


def waiting(node: Kumod) -> list[dict[str, object]]:
    assert node.mail.log_hook is not None
    return [json.loads(record) for record in node.mail.log_hook.batch(MOST_WAITING)]


def test_there_is_a_record_for_every_attempt_and_none_for_what_did_not_leave(node: Kumod) -> None:
    set_domain(node, {"domain": "gmail.com", "complaint_ratio": 0.1, "oob_ratio": 0.05}, 0.0)
    run(node, 30)
    kinds = Counter(str(record["type"]) for record in waiting(node))
    truth = [domain.truth for domain in node.mail.domains.values()]
    assert kinds["Delivery"] == sum(one.delivered for one in truth)
    assert kinds["Bounce"] == sum(one.failed for one in truth)
    assert kinds["TransientFailure"] == sum(one.transfailed for one in truth)
    gmail = node.mail.domains["gmail.com"].truth
    assert kinds["Feedback"] == int(gmail.delivered * 0.1 + 1e-6)
    assert kinds["OOB"] == int(gmail.delivered * 0.05 + 1e-6)


def test_the_exporter_counts_what_really_happened(node: Kumod) -> None:
    set_domain(node, {"domain": "gmail.com", "complaint_ratio": 0.1, "oob_ratio": 0.05}, 0.0)
    set_campaign(node, {"campaign": "newsletter", "bounce_ratio": 0.4}, 0.0)
    node.orders.suspensions.add(Suspension(reason="x", expires=1e9, criteria=Criteria(domain="yahoo.com")))
    run(node, 60)
    node.orders.bounces.add(Bounce(reason="x", expires=1e9, criteria=Criteria(domain="yahoo.com")))
    run(node, 5, start=60)
    tally, posts = Tally(places=50, quiet=3600.0), Posts()
    intake = Intake(tally, posts, Reading(), SystemClock())
    assert node.mail.log_hook is not None
    body = b"[" + b",".join(node.mail.log_hook.batch(MOST_WAITING)) + b"]"
    found = intake.take(body)
    assert found["malformed"] == found["duplicate"] == 0
    assert found["ignored"] > 0, "suspended attempts and an operator's bounces are no outcomes"
    counts = {(by, name, outcome): count for by, name, outcome, count in tally.series()}
    truth = [domain.truth for domain in node.mail.domains.values()]
    for by in ("tenant", "campaign", "domain", "source"):
        delivered = sum(count for (kind, _, outcome), count in counts.items() if (kind, outcome) == (by, "delivered"))
        assert delivered == sum(one.delivered for one in truth), by
    bounced, kept = counts["campaign", "newsletter", "bounced"], counts["campaign", "newsletter", "delivered"]
    assert bounced / (bounced + kept) == pytest.approx(0.4, abs=0.03)
    assert counts["campaign", "receipts", "bounced"] < 0.05 * counts["campaign", "receipts", "delivered"]
    assert counts["campaign", "newsletter", "complaint"] > 0
    assert counts["campaign", "newsletter", "oob_bounce"] > 0
    assert {name for by, name, _ in counts if by == "domain"} == {"acme.example", "globex.example"}
    assert {name for by, name, _ in counts if by == "source"} == {"ip-1", "ip-2", "none"}
    assert intake.take(body)["counted"] == 0


def test_mail_that_expires_leaves_a_record(node: Kumod) -> None:
    node.orders.suspensions.add(Suspension(reason="x", expires=1e9, criteria=Criteria()))
    run(node, 2)
    for name in node.mail.domains:
        set_domain(node, {"domain": name, "inject_per_s": 0}, 0.0)
    node.tick(800_000.0)
    assert "Expiration" in {record["type"] for record in waiting(node)}


def test_a_campaign_may_bounce_in_a_ratio_of_its_own_and_stops_when_told(node: Kumod) -> None:
    set_campaign(node, {"campaign": "newsletter", "bounce_ratio": 0.5}, 0.0)
    assert node.mail.domains["gmail.com"].bounces(QueueName(domain="x", tenant="acme", campaign="newsletter"))[0] == 0.5
    assert (
        node.mail.domains["gmail.com"].bounces(QueueName(domain="x", tenant="globex", campaign="receipts"))[0] == 0.02
    )
    set_campaign(node, {"campaign": "newsletter", "bounce_ratio": None}, 0.0)
    assert (
        node.mail.domains["gmail.com"].bounces(QueueName(domain="x", tenant="acme", campaign="newsletter"))[0] == 0.02
    )
    with pytest.raises(Unusable, match="nobody sends 'autumn'"):
        set_campaign(node, {"campaign": "autumn", "bounce_ratio": 0.5}, 0.0)


def test_what_waits_is_bounded_and_what_is_forgotten_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remediator.demo.kumod.log_hook.MOST_WAITING", 50)
    hook = LogHook("kumod-1")
    hook.log("Delivery", QueueName(domain="gmail.com"), 57)
    hook.log("Delivery", QueueName(domain="gmail.com"), 3)
    assert (len(hook), hook.forgotten) == (50, 10)


async def test_records_are_posted_with_the_token_until_they_are_taken(
    respx_mock: respx.MockRouter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("t" * 32 + "\n")
    hook = LogHook("kumod-1")
    hook.log("Delivery", QueueName(domain="gmail.com", tenant="acme"), 3)
    taken = asyncio.Event()

    def receive(request: httpx.Request) -> httpx.Response:
        answers.append(request)
        if len(answers) < 3:
            return httpx.Response(503, text="later")
        taken.set()
        return httpx.Response(200)

    answers: list[httpx.Request] = []
    respx_mock.post(URL).mock(side_effect=receive)
    poster = Poster(hook, URL, token)
    async with httpx.AsyncClient() as client:
        while not await poster.once(client):
            pass
    assert taken.is_set()
    assert len(hook) == 0
    assert len({request.content for request in answers}) == 1, "the same bytes again"
    assert answers[0].headers["authorization"] == f"Bearer {'t' * 32}"
    assert len(json.loads(answers[0].content)) == 3
    assert capsys.readouterr().err.count("does not take records") == 1


async def test_a_receiver_that_is_away_costs_nothing_but_a_line(
    respx_mock: respx.MockRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    respx_mock.post(URL).mock(side_effect=httpx.ConnectError("refused"))
    hook = LogHook("kumod-1")
    hook.log("Delivery", QueueName(domain="gmail.com"), 1)
    async with httpx.AsyncClient() as client:
        assert not await Poster(hook, URL, None).once(client)
    assert len(hook) == 1
    assert "ConnectError" in capsys.readouterr().err
