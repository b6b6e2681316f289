"""The exporter over HTTP: posts that are counted once, who may ask, and what /metrics says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from remediator.exporter.answers import Reply
from remediator.exporter.series import DESCRIBED
from remediator.web.listening import CannotStart

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.exporter.conftest import Start

HOOK, SCRAPE = "h" * 32, "s" * 32
GUARDED = 'web: { listen_address: "0.0.0.0:9925", bearer_token_file: hook, scrape_token_file: scrape }\n'
REPUTATION = """
dns: { nameservers: 127.0.0.1, keep: 24h }
reputation:
  ips: [{ ip: 192.0.2.25, egress_source: ip-1 }, { ip: 192.0.2.26 }]
  lists: [{ name: zen, zone: zen.example }]
"""


def record(number: int = 0, **change: object) -> dict[str, object]:
    plain = {"type": "Delivery", "id": f"{number:032x}", "sender": "b@acme.example", "queue": "spring:acme@gmail.com"}
    return {**plain, "egress_source": "ip-1", **change}


@pytest.fixture
def secrets(tmp_path: Path) -> None:
    for name, token in (("hook", HOOK), ("scrape", SCRAPE)):
        (tmp_path / name).write_text(token + "\n")
        (tmp_path / name).chmod(0o600)


async def test_a_post_is_counted_before_it_is_answered(start: Start) -> None:
    exporter = start()
    answer = await exporter.post([record(1), record(2, type="Bounce", bounce_classification="InvalidRecipient"), 7])
    assert answer.status_code == 200
    assert answer.json()["data"] == {"counted": 2, "ignored": 0, "duplicate": 0, "malformed": 1}
    assert await exporter.series("kumo_mail_outcomes_total") == {
        '{by="campaign",name="spring",outcome="bounced"}': 1.0,
        '{by="campaign",name="spring",outcome="delivered"}': 1.0,
        '{by="classification",name="InvalidRecipient",outcome="bounced"}': 1.0,
        '{by="domain",name="acme.example",outcome="bounced"}': 1.0,
        '{by="domain",name="acme.example",outcome="delivered"}': 1.0,
        '{by="source",name="ip-1",outcome="bounced"}': 1.0,
        '{by="source",name="ip-1",outcome="delivered"}': 1.0,
        '{by="tenant",name="acme",outcome="bounced"}': 1.0,
        '{by="tenant",name="acme",outcome="delivered"}': 1.0,
    }
    assert await exporter.series("kumo_exporter_requests_total") == {'{code="200"}': 1.0}
    assert await exporter.series("kumo_exporter_last_record_timestamp_seconds") == {"": exporter.clock.now()}


async def test_a_record_that_is_posted_again_is_counted_once(start: Start) -> None:
    exporter = start()
    for _ in range(3):
        await exporter.post(record(1))
    assert (await exporter.post([record(1), record(2), record(2)])).json()["data"]["duplicate"] == 2
    found = await exporter.series("kumo_mail_outcomes_total")
    assert found['{by="tenant",name="acme",outcome="delivered"}'] == 2.0
    assert (await exporter.series("kumo_exporter_records_total"))['{result="duplicate"}'] == 4.0


async def test_names_beyond_the_places_are_other(start: Start) -> None:
    exporter = start("log_records: { names: 2 }\n")
    await exporter.post([record(one, queue=f"c{one}:acme@gmail.com") for one in range(30)])
    found = await exporter.series("kumo_mail_outcomes_total")
    campaigns = {labels: count for labels, count in found.items() if 'by="campaign"' in labels}
    assert campaigns == {
        '{by="campaign",name="c0",outcome="delivered"}': 1.0,
        '{by="campaign",name="other",outcome="delivered"}': 29.0,
    }


async def test_hostile_names_cannot_break_the_exposition(start: Start) -> None:
    exporter = start()
    evil = 'x"} 1\nkumo_ip_reputation_score{ip="192.0.2.25",source="senderscore"} 99\n# \u202e\\'
    await exporter.post([record(1, queue=f"{evil}:acme@gmail.com"), record(2, sender=f"a@{evil}")])
    answer = await exporter.client.get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert families["kumo_ip_reputation_score"].samples == []
    names = {sample.labels["name"] for sample in families["kumo_mail_outcomes"].samples}
    assert all(name.isprintable() for name in names)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"nonsense", {}, 400),
        (b'{"type":', {}, 400),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", {"content-encoding": "gzip"}, 415),
        (b"{}", {"origin": "https://evil.example"}, 403),
        (b"[" + b" " * 2000 + b"]", {}, 413),
    ],
)
async def test_what_can_never_be_counted_is_refused_for_good(
    start: Start, body: bytes, headers: dict[str, str], status: int
) -> None:
    exporter = start("log_records: { body: 1KiB }\n")
    answer = await exporter.post(body, **headers)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert await exporter.series("kumo_exporter_requests_total") == {f'{{code="{status}"}}': 1.0}


async def test_the_path_takes_only_posts_and_says_so(start: Start) -> None:
    assert (await start().client.get("/api/v1/log-records")).status_code == 405


async def test_each_token_opens_its_own_door_and_no_other(start: Start, secrets: None) -> None:
    exporter = start(GUARDED)
    hook, scrape = {"authorization": f"Bearer {HOOK}"}, {"authorization": f"Bearer {SCRAPE}"}
    assert (await exporter.post(record(), **hook)).status_code == 200
    assert (await exporter.post(record(), **scrape)).status_code == 401
    refused = await exporter.post(record())
    assert refused.status_code == 401
    assert "web.bearer_token_file" in refused.json()["error"]
    assert (await exporter.client.get("/metrics", headers=scrape)).status_code == 200
    assert (await exporter.client.get("/metrics", headers=hook)).status_code == 403
    assert (await exporter.client.get("/metrics")).status_code == 401
    assert (await exporter.client.get("/-/ready")).status_code == 200
    assert (await exporter.client.get("/-/healthy")).status_code == 200
    assert (await exporter.client.get("/nothing")).status_code == 404


async def test_a_token_file_that_changes_counts_without_a_restart(start: Start, secrets: None, tmp_path: Path) -> None:
    exporter = start(GUARDED)
    (tmp_path / "hook").write_text("n" * 32)
    exporter.clock.moment += 10
    assert (await exporter.post(record(), authorization=f"Bearer {'n' * 32}")).status_code == 200
    (tmp_path / "hook").write_text("")
    exporter.clock.moment += 10
    assert (await exporter.post(record(), authorization=f"Bearer {'n' * 32}")).status_code == 200, (
        "the last good counts"
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('web: { listen_address: "0.0.0.0:9925" }\n', r"web\.bearer_token_file is not written"),
        (
            'web: { listen_address: "0.0.0.0:9925", bearer_token_file: hook }\n',
            r"web\.scrape_token_file is not written",
        ),
        ("web: { bearer_token_file: weak }\n", "a webhook token has 4 characters"),
        ("web: { bearer_token_file: hook, scrape_token_file: hook }\n", "one token is given twice"),
    ],
)
def test_an_open_or_weak_door_keeps_it_from_starting(
    start: Start, secrets: None, tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "weak").write_text("weak")
    with pytest.raises(CannotStart, match=sentence):
        start(text)
    with pytest.raises(CannotStart, match="can be reached"):
        start(listen="0.0.0.0:1")


async def test_on_loopback_without_tokens_only_this_machine_is_believed(start: Start) -> None:
    exporter = start()
    assert (await exporter.client.get("/metrics")).status_code == 200
    assert (await exporter.client.get("/metrics", headers={"host": "evil.example"})).status_code == 403
    assert (await exporter.client.get("/metrics", headers={"x-forwarded-for": "10.0.0.1"})).status_code == 401


async def test_too_many_at_once_are_told_to_come_again(start: Start) -> None:
    exporter = start()
    exporter.built.app._under_way = 128
    answer = await exporter.post(record())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert (await exporter.client.get("/metrics")).status_code == 503
    exporter.built.app._under_way = 0
    assert await exporter.series("kumo_exporter_requests_total") == {'{code="503"}': 1.0}


async def test_an_exporter_that_stops_is_not_ready(start: Start) -> None:
    exporter = start()
    exporter.built.stopping.set()
    answer = await exporter.client.get("/-/ready")
    assert (answer.status_code, "stopping" in answer.text) == (503, True)


async def test_reputation_is_told_where_it_is_known_and_absent_where_it_is_not(start: Start) -> None:
    exporter = start(REPUTATION)
    exporter.resolver.says = {
        "25.2.0.192.score.senderscore.com": Reply(addresses=("127.0.4.42",), ttl=60.0),
        "26.2.0.192.score.senderscore.com": Reply(addresses=("127.255.255.255",)),
        "2.0.0.127.zen.example": Reply(addresses=("127.0.0.2",)),
        "25.2.0.192.zen.example": Reply(addresses=("127.0.0.4",)),
    }
    assert await exporter.series("kumo_ip_reputation_score") == {}
    await exporter.ask_for(60)
    assert await exporter.series("kumo_ip_reputation_score") == {'{ip="192.0.2.25",source="senderscore"}': 42.0}
    assert await exporter.series("kumo_ip_listed") == {
        '{ip="192.0.2.25",list="zen"}': 1.0,
        '{ip="192.0.2.26",list="zen"}': 0.0,
    }
    assert await exporter.series("kumo_ip_egress_source") == {'{egress_source="ip-1",ip="192.0.2.25"}': 1.0}
    lookups = await exporter.series("kumo_ip_reputation_lookups_total")
    assert lookups['{ip="192.0.2.26",result="refused",source="senderscore"}'] == 1.0
    answered = await exporter.series("kumo_ip_reputation_lookup_timestamp_seconds")
    assert '{ip="192.0.2.26",source="senderscore"}' not in answered
    exporter.resolver.says.clear()
    await exporter.ask_for(26 * 3600)
    assert await exporter.series("kumo_ip_reputation_score") == {}, "no data is never told as the old score"
    assert await exporter.series("kumo_ip_listed") == {}, "a list that died is not told as a clean bill"
    assert '{ip="192.0.2.25",source="zen"}' in await exporter.series("kumo_ip_reputation_lookup_timestamp_seconds")


async def test_what_changes_about_an_address_is_one_line_in_the_log(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    exporter = start(REPUTATION, log_format="json")
    exporter.resolver.says = {"25.2.0.192.score.senderscore.com": Reply(addresses=("127.255.255.255",))}
    await exporter.ask_for(12 * 3600)
    lines = [json.loads(line)["sentence"] for line in capsys.readouterr().err.splitlines()]
    told = [line for line in lines if line.startswith("senderscore about 192.0.2.25")]
    assert told == [
        "senderscore about 192.0.2.25: refuses us; ask through a resolver of your own that is registered there"
    ]


async def test_every_series_that_is_described_is_told_and_no_other(start: Start) -> None:
    exporter = start(REPUTATION)
    await exporter.post(record())
    answer = await exporter.client.get("/metrics")
    told = {line.split()[2] for line in answer.text.splitlines() if line.startswith("# TYPE")}
    assert {name for name in told if not name.startswith("process_")} == {name for name, *_ in DESCRIBED}


def test_settings_can_be_checked_without_starting(write: Callable[[str], Path]) -> None:
    from remediator.exporter import check_settings

    (warning,) = check_settings(write("dns: { nameservers: 8.8.8.8 }\n"))
    assert warning.name == "public-resolver"
