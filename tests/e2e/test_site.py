"""The runbook's five incidents, each from its metric to a verified recovery and its undo, in the shipped site.

Prometheus, Alertmanager, the exporter, the Docker proxy and remediator are real and run by the files that we ship, with
their waits shortened (tests/kit/quick.py). What happens, happens to a simulated kumod and in DNS, and what was done is
taken from kumod's own ledger.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit.histories import History, from_kumod, from_sqlite
from tests.kit.history import judge
from tests.kit.whole_site import ADDRESS, NODE, SCORE, Story, WholeSite, whole_site

pytestmark = [pytest.mark.e2e, pytest.mark.heavy]
# What left lately by a source of kumod's.
DELIVERED = 'increase(total_messages_delivered{{service=~"smtp_client:{}->.*"}}[5s])'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSite]:
    """The site while all is well, and then one hour of a bad day: four of the five incidents begin at once."""
    with whole_site(tmp_path_factory.mktemp("whole")) as running:
        control = running.control
        for name, rate in {"gmail.com": 30, "yahoo.com": 10, "outlook.com": 20, "example.net": 150}.items():
            control.domain(name, inject_per_s=rate, bounce_ratio=0, transfail_ratio=0)
        enough = 'kumo:finished_messages:increase10m{domain="gmail.com"} > 200'
        running.until("mail that flows", lambda: running.series(enough))
        assert running.firing() <= {"Watchdog"}
        control.domain("gmail.com", bounce_ratio=0.27)
        control.domain("yahoo.com", burst=6500)
        control.domain("example.net", latency_s=16)
        running.out.says(SCORE, "127.0.4.31")
        yield running


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What an incident comes to: its alert, target, steps and messages; and in PromQL of our own what was wrong when it was
    opened, and what was right when it was said to have recovered.
    """

    alert: str
    target: str
    steps: Sequence[str]
    wrong: str
    right: str
    asked: Sequence[str] = ()


def recovered(site: WholeSite, incident: str, expected: Expected) -> Story:
    """The incident's story by `log show`, once it has recovered as expected."""
    site.entry(incident, "incident.closed")
    story = site.told(incident)
    about, lines = story["incident"], story["lines"]
    assert (about["result"], about["labels"]["alertname"], about["dry"]) == ("recovered", expected.alert, False), story
    assert about["target"] == expected.target
    (plan,) = story["plans"]
    assert [step["action"] for step in plan["steps"]] == list(expected.steps)
    outcomes = [line for line in lines if line["kind"] == "step.outcome"]
    assert [line["sentence"].partition(":")[0] for line in outcomes] == ["ok"] * len(expected.steps)
    (verdict,) = (line for line in lines if line["kind"] == "verify.concluded")
    assert verdict["fact"]["verdict"] == "recovered"
    looks = [line for line in lines if line["kind"] == "verify.looked"]
    assert looks[-1]["sentence"].startswith("good: ")
    assert outcomes[-1]["seq"] < looks[0]["seq"] < verdict["seq"], "only what was seen after the last effect counts"
    assert site.series(expected.wrong, about["opened_at"]), "it was opened for a reason"
    assert site.series(expected.right, verdict["at"]), "it had recovered when that was said"
    told_to_people(site, story, [*expected.asked, "recovered"])
    return story


def told_to_people(site: WholeSite, story: Story, subjects: Sequence[str]) -> None:
    """People got these messages about an incident and no other, each with the journal's end; the console tells it, too."""
    about = story["incident"]
    incident = about["incident"]
    told = site.until("the last message", lambda: (found := site.messages(incident))[len(subjects) - 1 :] and found)
    assert [subject for subject, _ in told] == [f"[{one}] {about['rule']} on {about['target']}" for one in subjects]
    assert all(re.fullmatch(r"journal [0-9]+:[0-9a-f]{16}", footer) for _, footer in told)
    page = site.page(incident)
    assert about["rule"] in page
    assert "recovered" in page


def undone(site: WholeSite, incident: str, count: int) -> None:
    """So many last words on what an incident left behind, each that it is taken back, and nothing of it is left.

    kumod ends a suspension by itself in the second in which we lift it: whoever is first, it is gone.
    """
    site.until(f"nothing left of {incident}", lambda: not site.get(f"incidents/{incident}")["undos"])
    lines = site.get(f"incidents/{incident}")["lines"]
    found = [line["sentence"] for line in lines if line["kind"] == "undo.outcome"]
    assert len(found) == count, found
    assert all(": undone: " in one or re.search(": gone: .* had expired there", one) for one in found), found
    assert 'id="undo"' not in site.page(incident)


def nothing_to_undo(site: WholeSite, incident: str) -> None:
    """Nothing stays of this one, and whoever asks is told so."""
    assert site.get(f"incidents/{incident}")["undos"] == []
    page = site.page(incident)
    assert 'id="undo"' not in page
    assert "taken back after" not in page
    assert "left nothing behind that could be taken back" in site.refused("undo", incident, "--yes")


def approved(site: WholeSite, rule: str) -> str:
    """The incident of a rule that asks first, once a person was asked and has said yes; nothing was touched before."""
    incident = site.incident(rule)
    site.entry(incident, "approval.requested")
    if incident in {run["incident"] for run in site.get("status")["needs_you"]}:
        assert f"approved {incident}" in site.said("approve", incident, "--yes", "-m", "agreed")
    given = site.entry(incident, "approval.given")
    assert given["sentence"] == "given by ana: agreed"
    begun = site.entry(incident, "step.intent")
    assert given["seq"] < begun["seq"]
    return incident


def test_a_domain_that_bounces_is_paused_and_slowed_down_at_once(site: WholeSite) -> None:
    incident = site.incident("high-bounce-rate")
    site.entry(incident, "verify.started")
    assert site.domain("gmail.com")["suspended"]
    assert set(site.domain("gmail.com")["max_message_rate"].values()) == {"100/3600s"}
    assert 'id="undo"' in site.page(incident)
    site.control.domain("gmail.com", bounce_ratio=0)


def test_a_person_is_asked_before_a_spool_is_compacted_and_before_mail_turns_to_other_addresses(
    site: WholeSite,
) -> None:
    approved(site, "performance-degraded")
    site.until("the compaction", lambda: site.effects("/spool-compact/"))
    site.control.domain("example.net", latency_s=0.2)
    approved(site, "ip-reputation-low")


def test_a_long_queue_is_let_out_faster_until_a_person_takes_that_back(site: WholeSite) -> None:
    incident = site.incident("high-queue-depth")
    expected = Expected(
        alert="KumoQueueDepthHigh",
        target=f"domain=yahoo.com, instance={NODE}",
        steps=["kumomta.queue_report", "kumomta.throttle"],
        wrong='kumo:queued_messages{domain="yahoo.com"} > 5000',
        right='sum(scheduled_by_domain{domain="yahoo.com"}) < 5000',
    )
    recovered(site, incident, expected)
    assert set(site.domain("yahoo.com")["max_message_rate"].values()) == {"2000/1s"}
    assert site.domain("yahoo.com")["delivered"] > 2000, "at 20 a second from two addresses it would be fewer"
    assert "undone" in site.said("undo", incident, "--yes")
    undone(site, incident, 1)
    assert set(site.domain("yahoo.com")["max_message_rate"].values()) == {"20/1s"}
    assert 'max_message_rate = "20/s"' in site.shaping.read_text(encoding="utf-8")


def test_a_slow_node_is_relieved_once_a_person_says_yes_and_there_is_nothing_to_undo(site: WholeSite) -> None:
    incident = approved(site, "performance-degraded")
    site.until("the compaction", lambda: site.effects("/spool-compact/"))
    site.control.domain("example.net", latency_s=0.2)
    expected = Expected(
        alert="KumoPerformanceDegraded",
        target=f"instance={NODE}",
        steps=["prometheus.report", "kumomta.queue_report", "kumomta.compact_spool"],
        wrong="kumo:delivery_latency_seconds:p95_10m > 5",
        right="kumo:delivery_latency_seconds:p95_10m < 5",
        asked=["approval wanted"],
    )
    recovered(site, incident, expected)
    assert [one["body"] for one in site.effects("/spool-compact/")] == [{"name": "data"}]
    nothing_to_undo(site, incident)


def test_mail_turns_away_from_an_address_of_low_reputation_until_a_person_takes_that_back(site: WholeSite) -> None:
    incident = approved(site, "ip-reputation-low")
    expected = Expected(
        alert="KumoIpReputationLow",
        target=f"ip={ADDRESS}",
        steps=["prometheus.report", "kumomta.suspend_source", "manual"],
        wrong=f'kumo_ip_reputation_score{{ip="{ADDRESS}"}} < 50',
        right=f"sum({DELIVERED.format('ip-1')}) == 0 and sum({DELIVERED.format('ip-2')}) > 0",
        asked=["approval wanted"],
    )
    story = recovered(site, incident, expected)
    assert any("a person must: Tell the clients" in line["sentence"] for line in story["lines"])
    made = site.effects("/suspend-ready-q/")
    assert {one["method"] for one in made} == {"POST"}
    assert len(made) == len({one["body"]["name"] for one in made}) == 4, "one for each site that mail goes to"
    assert all(one["body"]["name"].startswith("ip-1->") for one in made)
    site.out.says(SCORE, "127.0.4.97")
    assert "undone" in site.said("undo", incident, "--yes")
    undone(site, incident, 1)
    lifted = [one["body"]["id"] for one in site.effects("/suspend-ready-q/") if one["method"] == "DELETE"]
    assert sorted(lifted) == sorted(one["id"] for one in made)


def test_the_domain_that_bounced_has_recovered_and_is_let_go_when_its_time_is_over(site: WholeSite) -> None:
    incident = site.incident("high-bounce-rate")
    expected = Expected(
        alert="KumoBounceRateHigh",
        target=f"domain=gmail.com, instance={NODE}",
        steps=["kumomta.suspend", "prometheus.report", "kumomta.throttle"],
        wrong='kumo:bounce_ratio:rate10m{domain="gmail.com"} > 0.20',
        right='increase(total_messages_fail_by_provider{provider="google"}[5s]) == 0',
    )
    recovered(site, incident, expected)
    undone(site, incident, 2)
    kinds = [line["kind"] for line in site.get(f"incidents/{incident}")["lines"]]
    assert kinds.index("verify.concluded") < kinds.index("undo.intent"), "it was seen to help while both were in force"
    made, *lifted = site.effects("/suspend/v1")
    assert (made["method"], made["body"]["domain"]) == ("POST", "gmail.com")
    assert [(one["method"], one["body"]["id"]) for one in lifted] in ([], [("DELETE", made["id"])])
    assert [one["body"]["domain"] for one in site.effects("/rebind/")] == ["gmail.com"], "its mail is due at once"
    assert not site.domain("gmail.com")["suspended"]
    assert set(site.domain("gmail.com")["max_message_rate"].values()) == {"100/1s"}, "the file's rate for all"


def test_a_node_that_delivers_nothing_is_restarted_once_a_person_says_yes(site: WholeSite) -> None:
    assert site.control.state()["restarts"] == 0
    site.control.stop_delivery()
    incident = approved(site, "delivery-stopped")
    expected = Expected(
        alert="KumoDeliveryStopped",
        target=f"instance={NODE}",
        steps=["kumomta.liveness", "kumomta.queue_report", "kumomta.order_report", "docker.restart"],
        wrong=f"sum({DELIVERED.format('.*')}) == 0",
        right=f"sum({DELIVERED.format('.*')}) > 0",
        asked=["approval wanted"],
    )
    recovered(site, incident, expected)
    state = site.control.state()
    assert (state["restarts"], state["delivery_stopped"]) == (1, False)
    nothing_to_undo(site, incident)


def test_the_journal_of_that_day_is_whole_goes_where_the_messages_say_and_keeps_the_promises(
    site: WholeSite, tmp_path: Path
) -> None:
    anchors = tmp_path / "messages"
    anchors.write_text("\n".join([*site.out.to("/slack"), *site.out.to("/sms")]), encoding="utf-8")
    site.said("log", "verify", "--storage.path", str(site.journal), "--anchors", str(anchors))
    ledger = site.ledger.read_text(encoding="utf-8").splitlines()
    lines = from_sqlite(site.journal / "journal.db")
    assert judge(History(lines=lines, arrivals=list(from_kumod(ledger)))) == []
