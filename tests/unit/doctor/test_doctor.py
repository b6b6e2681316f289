"""doctor: a right site has no ✗; each thing that is broken is named, with what to do about it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from remediator.doctor import Finding, Mark
from remediator.doctor.places import docker
from remediator.doctor.rounds import total
from remediator.doctor.wanted import names, wanted_alerts, wanted_series

if TYPE_CHECKING:
    from tests.unit.doctor.conftest import Site

Change = Callable[[str], str]


def only(findings: list[Finding], area: str, word: str) -> Finding:
    """The one finding, which is about `area`, says `word`, and says what to do."""
    assert [found.area for found in findings] == [area], findings
    assert word in findings[0].sentence, findings
    assert findings[0].fix
    return findings[0]


def test_a_right_site_has_nothing_to_mend(site: Site) -> None:
    found = site.examine()
    assert [one for one in found if one.mark is not Mark.GOOD and one.area != "people"] == []
    sentences = " ".join(one.sentence for one in found)
    for sentence in ("3 of 3 series", "3 of 3 alerts", "4 of 4 alerts come to us", "takes our orders, version 2026"):
        assert sentence in sentences


def test_progress_is_told_to_its_end(site: Site) -> None:
    made: list[int] = []
    site.prometheus = site.alertmanager = 503
    site.examine(done=made.append)
    assert made == list(range(1, total() + 1))


def test_what_the_rules_rest_on_is_found_in_all_their_parts(site: Site) -> None:
    ruleset = site.case().ruleset
    asked = wanted_series(ruleset)
    assert {str(one) for one in asked} == {*site.series}
    assert names(next(iter(asked.values()))) == "high-bounce-rate, any-listing"
    assert names(list(ruleset.rules) * 3) == "high-bounce-rate, any-listing and 3 more"
    assert set(wanted_alerts(ruleset)) == {"KumoBounceRateHigh", "KumoIpListed", "KumoIpReputationLow"}


# ── Prometheus ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("series", "names_there", "fix"),
    [
        ("kumo:bounce_ratio:rate10m", [], "monitoring/kumomta.rules.yml"),
        ("kumo_mail_outcomes_total", [], "remediator exporter"),
        ('kumo:finished{by="domain"}', ["kumo:finished"], "not with these labels"),
    ],
)
def test_a_series_that_is_not_there_is_named_with_who_would_make_it(
    series: str, names_there: list[str], fix: str, site: Site
) -> None:
    site.series.remove(series)
    site.names = names_there
    found = only(site.bad(), "series", series)
    assert fix in found.fix
    assert "high-bounce-rate" in found.sentence


def test_another_name_is_proposed_by_its_likeness(site: Site) -> None:
    rules = site.root / "rules.yml"
    rules.write_text(rules.read_text().replace("kumo:finished{", "my_finished{"))
    site.names = ["my_finished_total"]
    assert only(site.bad(), "series", "my_finished").fix == "did you mean my_finished_total?"
    site.names = []
    assert "nobody exports it" in only(site.bad(), "series", "my_finished").fix


def test_a_recorded_series_without_a_value_is_no_fault(site: Site) -> None:
    site.series.remove("kumo:bounce_ratio:rate10m")
    site.recorded = ["kumo:bounce_ratio:rate10m"]
    assert site.bad() == []
    assert any("is recorded, but has no value" in one.sentence for one in site.examine())


def test_an_alert_that_nobody_defines_will_never_come(site: Site) -> None:
    del site.alerts[0]
    found = only(site.bad(), "alerts", "no alert KumoBounceRateHigh is defined, so high-bounce-rate will never run")
    assert "kumomta.alerts.yml" in found.fix
    rules = site.root / "rules.yml"
    rules.write_text(rules.read_text().replace("KumoBounceRateHigh", "BouncesHigh"))
    site.alerts.append({"type": "alerting", "name": "BounceHigh", "labels": {"severity": "x"}})
    assert only(site.bad(), "alerts", "BouncesHigh").fix == "did you mean BounceHigh?"
    site.alerts.pop()
    assert "define it" in only(site.bad(), "alerts", "BouncesHigh").fix


@pytest.mark.parametrize(("annotations", "place"), [({"severity": "critical"}, "an annotation"), ({}, "nowhere")])
def test_a_severity_that_is_no_label_is_told(annotations: dict[str, str], place: str, site: Site) -> None:
    site.alerts[1] |= {"labels": {}, "annotations": annotations}
    assert "labels: { severity" in only(site.bad(), "alerts", f"the severity of KumoIpListed is {place}").fix


def test_an_alert_that_cannot_be_evaluated_is_told_with_the_reason(site: Site) -> None:
    site.alerts[0] |= {"health": "err", "lastError": "many-to-many matching"}
    only(site.bad(), "alerts", "many-to-many matching")


def test_a_target_that_refuses_prometheus_is_told_with_the_right_that_is_missing(site: Site) -> None:
    refused: dict[str, object] = {"labels": {"job": "kumod", "instance": "mta1"}, "health": "down"}
    site.targets = [
        refused | {"lastError": "server returned HTTP status 401 Unauthorized", "scrapeUrl": "http://a:1/m"}
    ]
    assert "trusted_hosts" in only(site.bad(), "targets", "401").fix
    site.targets = [refused | {"lastError": "connection refused", "scrapeUrl": "http://a:1/metrics"}]
    assert "correct a:1 in prometheus.yml" in only(site.bad(), "targets", "refused").fix


def test_samples_that_come_too_seldom_to_be_evidence_are_told(site: Site) -> None:
    site.targets[0] |= {"scrapeInterval": "5m"}
    assert "max_age" in only(site.bad(), "targets", "every 5m").fix
    site.targets[0] |= {"scrapeInterval": "?"}
    assert site.bad() == []


def test_a_node_that_prometheus_calls_otherwise_is_told(site: Site) -> None:
    site.targets[0] |= {"labels": {"job": "kumod", "instance": "kumod:8000"}}
    assert "instance: mta1" in only(site.bad(), "nodes", "it has kumod:8000").fix


@pytest.mark.parametrize(("skew", "word"), [(30.0, "behind"), (-30.0, "ahead of")])
def test_a_clock_that_goes_wrong_is_told(skew: float, word: str, site: Site) -> None:
    site.skew = skew
    assert "NTP" in only(site.bad(), "clock", word).fix


def test_nobody_watching_us_is_told(site: Site) -> None:
    del site.alerts[3:]
    assert "remediator.alerts.yml" in only(site.bad(), "ourselves", "Watchdog and RemediatorDown").fix


def test_a_prometheus_that_refuses_is_one_fault_and_the_rest_cannot_be_told(site: Site) -> None:
    site.prometheus = 401
    assert "basic_auth" in only(site.bad(), "prometheus", "401").fix
    untold = {one.area for one in site.examine() if one.mark is Mark.UNTOLD}
    assert {"clock", "series", "alerts", "targets"} <= untold


def test_without_a_prometheus_and_an_alertmanager_it_is_said_what_is_lost(site: Site) -> None:
    def without(text: str) -> str:
        return "\n".join(line for line in text.splitlines() if not line.startswith(("prometheus", "alertmanager")))

    assert "prometheus.url" in only(site.bad(without), "prometheus", "no condition can be asked").fix
    assert any(one.area == "alertmanager" and one.mark is Mark.UNTOLD for one in site.examine(without))


# ── Alertmanager ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_alertmanager_that_is_not_well_is_told(site: Site) -> None:
    site.alertmanager = 503
    only(site.bad(), "alertmanager", "503")


def test_no_receiver_of_ours_is_told_with_the_lines_to_paste(site: Site) -> None:
    site.routes["receivers"] = [{"name": "people", "webhook_configs": [{"url": "http://people:1"}]}]
    found = only(site.bad(), "routes", "no receiver of Alertmanager posts to us")
    assert 'url: "http://127.0.0.1:9097/api/v1/alerts"' in found.fix


@pytest.mark.parametrize("url", ["http://remediator:1234/api/v1/alerts", "http://remediator:9097/alerts"])
def test_another_port_or_path_is_not_ours(url: str, site: Site) -> None:
    site.routes["receivers"] = [{"name": "remediator", "webhook_configs": [{"url": url}]}]
    only(site.bad(), "routes", "no receiver")


def test_the_address_under_which_others_know_us_is_ours(site: Site) -> None:
    url = "https://ops.example.com/remediator/api/v1/alerts"
    site.routes["receivers"] = [{"name": "remediator", "webhook_configs": [{"url": url}]}]
    outside = 'web: { external_url: "https://ops.example.com/remediator" }\n'
    assert site.bad(lambda text: text + outside) == []


def test_an_alert_that_goes_elsewhere_is_told_with_its_route(site: Site) -> None:
    site.routes["route"] = {
        "receiver": "remediator",
        "routes": [{"receiver": "people", "matchers": ["alertname = KumoIpListed"]}],
    }
    found = only(site.bad(), "routes", "KumoIpListed does not come to us, but goes to people")
    assert "matchers: [alertname = KumoIpListed]; receiver: remediator" in found.fix


def test_an_alert_that_comes_only_for_some_labels_is_a_doubt(site: Site) -> None:
    site.routes["route"] = {"receiver": "people", "routes": [{"receiver": "remediator", "matchers": ['team = "mail"']}]}
    assert site.bad() == []
    doubts = [one.sentence for one in site.examine() if one.area == "routes" and one.mark is Mark.UNTOLD]
    assert "KumoIpListed comes to us only for some labels; else it goes to people" in doubts


def test_a_receiver_whose_url_is_hidden_is_a_doubt(site: Site) -> None:
    site.routes["receivers"] = [{"name": "remediator", "webhook_configs": [{"url": "<secret>"}]}]
    assert site.bad() == []
    assert any(one.fix == "try --send-test" for one in site.examine())


def test_a_receiver_that_keeps_ends_to_itself_is_told(site: Site) -> None:
    hook = {"url": "http://remediator:9097/webhook", "send_resolved": False}
    site.routes["receivers"] = [{"name": "remediator", "webhook_configs": [hook]}]
    assert "send_resolved: true" in only(site.bad(), "routes", "when an alert ends").fix


def test_a_configuration_that_cannot_be_read_is_a_doubt(site: Site) -> None:
    site.original = "route: ["
    assert any("cannot be told" in one.sentence for one in site.examine() if one.area == "routes")


# ── what actions touch ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_kumod_that_does_not_let_us_in_is_told_with_both_ways_to_let_us(site: Site) -> None:
    site.orders = httpx.Response(401, text="anonymous not permitted GET on http_listener")
    found = only(site.bad(), "kumod", "does not let us give orders")
    assert "trusted_hosts" in found.fix
    assert "ACL" in found.fix
    site.orders = httpx.Response(404)
    assert "HTTP listener of a kumod" in only(site.bad(), "kumod", "404").fix


def test_a_kumod_that_is_not_well_is_told(site: Site) -> None:
    site.liveness = httpx.Response(503, text="storage is too full")
    only(site.bad(), "kumod", "storage is too full")


def test_a_kumod_that_is_not_there_is_told(site: Site) -> None:
    site.unreachable = httpx.ConnectError("refused")
    assert "nodes.mta1.url" in only(site.bad(), "kumod", "does not answer").fix


def test_files_and_programs_that_are_missing_are_told(site: Site) -> None:
    site.program.chmod(0o600)
    only(site.bad(), "commands", "program")
    site.program.chmod(0o700)
    (site.root / "shaping.toml").unlink()
    only(site.bad(), "kumod", "shaping.toml")


@contextlib.asynccontextmanager
async def engine(path: Path, answers: dict[str, int]) -> AsyncIterator[None]:
    """Something that speaks HTTP on a Unix socket."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).decode().split()[1]
        status = answers.get(asked, 404)
        writer.write(f"HTTP/1.1 {status} X\r\n\r\n".encode() if status else b"hello\r\n")
        writer.close()

    server = await asyncio.start_unix_server(talk, path)
    yield
    server.close()
    await server.wait_closed()


def with_docker(text: str) -> str:
    return text + "  docker: { socket: docker.sock, allow: [mta1, mta2, mta3] }\n"


@pytest.mark.parametrize(
    ("answers", "sentences"),
    [
        (
            {"/containers/mta1/json": 200, "/containers/mta3/json": 403},
            ["mta1 is there", "there is no container mta2", "mta3 cannot be asked about: the answer is 403"],
        ),
        ({"/containers/mta1/json": 0}, ["it does not speak HTTP"]),
    ],
)
async def test_docker_is_asked_for_its_containers(answers: dict[str, int], sentences: list[str], site: Site) -> None:
    case = site.case(with_docker)
    async with engine(site.root / "docker.sock", answers):
        found = await docker(case)
    assert len(found) == len(sentences)
    for one, sentence in zip(found, sentences, strict=True):
        assert sentence in one.sentence


async def test_a_docker_that_may_do_nothing_is_a_doubt(site: Site) -> None:
    found = await docker(site.case(lambda text: text + "  docker: { socket: docker.sock, allow: [] }\n"))
    assert [one.mark for one in found] == [Mark.UNTOLD]


def test_a_docker_that_is_not_there_is_told(site: Site) -> None:
    only(site.bad(with_docker), "docker", "No such file")


def test_a_redis_and_an_http_target_that_are_not_there_are_told(site: Site) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        port = closed.getsockname()[1]
        targets = f'  redis: {{ cache: {{ url: "redis://127.0.0.1:{port}" }} }}\n'
        only(site.bad(lambda text: text + targets), "redis", "does not answer")
        targets = f'  http: {{ allow: ["http://127.0.0.1:{port}/hook"] }}\n'
        only(site.bad(lambda text: text + targets), "http", "does not listen")


async def test_what_listens_is_good(site: Site) -> None:
    from remediator.doctor.places import http

    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    found = await http(site.case(lambda text: text + f'  http: {{ allow: ["http://127.0.0.1:{port}/"] }}\n'))
    assert [one.mark for one in found] == [Mark.GOOD]
    server.close()
    await server.wait_closed()


async def redis_that_says(policy: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Enough of a Redis: CONFIG GET and INFO, anything else is OK."""
    while line := await reader.readline():
        words = []
        for _ in range(int(line[1:])):
            await reader.readline()
            words.append((await reader.readline()).strip().decode().upper())
        if words[0] == "CONFIG":
            writer.write(f"%1\r\n$16\r\nmaxmemory-policy\r\n${len(policy)}\r\n{policy}\r\n".encode())
        elif words[0] == "INFO":
            text = "used_memory:2097152\r\nmaxmemory:4194304\r\n"
            writer.write(f"${len(text)}\r\n{text}\r\n".encode())
        else:
            writer.write(b"+OK\r\n")
    writer.close()


@pytest.mark.parametrize(("policy", "mark"), [("allkeys-lru", Mark.UNTOLD), ("noeviction", Mark.GOOD)])
async def test_a_redis_that_forgets_what_kumod_keeps_there_is_a_doubt(policy: str, mark: Mark, site: Site) -> None:
    from remediator.doctor.places import redis

    server = await asyncio.start_server(lambda r, w: redis_that_says(policy, r, w), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    case = site.case(lambda text: text + f'  redis: {{ cache: {{ url: "redis://127.0.0.1:{port}" }} }}\n')
    found = await redis(case)
    server.close()
    await server.wait_closed()
    assert [one.mark for one in found] == [mark]
    assert f"policy {policy}, 2 MiB of 4" in found[0].sentence


# ── our own house ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_people_who_are_not_told_are_missed(site: Site) -> None:
    found = site.bad(lambda text: text.replace("critical: [on-call], ", "").replace("escalate: [on-call]\n", ""))
    assert [(one.area, one.sentence.partition(" is ")[0]) for one in found] == [("people", "nobody")] * 2
    assert "notify.critical" in found[0].fix
    assert "escalate" in found[1].fix


def test_a_receiver_that_cannot_be_reached_is_told(site: Site) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/hook"
        hook = f'receivers: [{{ name: on-call, webhook_configs: [{{ url: "{url}" }}] }}]'
        only(site.bad(lambda text: text.replace("receivers: [{ name: on-call }]", hook)), "people", "on-call")


def test_a_journal_that_cannot_be_written_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (site.root / "data").mkdir()
    real = __import__("os").access
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != "data" and real(path, mode))
    assert "storage.path" in only(site.bad(), "journal", "cannot be written").fix


def test_a_disk_without_room_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remediator.doctor.home.LEAST_ROOM", 1 << 60)
    assert "room" in only(site.bad(), "journal", "MiB left").fix


def test_rules_that_are_none_are_told(site: Site) -> None:
    (site.root / "rules.yml").write_text("version: 1\nrules: []\nplaybooks: []\n")
    found = [one.sentence for one in site.bad() if one.area == "rules"]
    assert found == ["no rule is loaded: every alert is recorded, and nothing is done"]
