"""A service under way, asked through its web app: an alert from the POST to its last word, and what can be read of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from remediator.core import entries as e
from remediator.errors import RefusedRequest

if TYPE_CHECKING:
    from tests.service.conftest import Home, Service, Work


async def test_an_alert_is_disposed_decided_and_told_in_every_place(service: Service) -> None:
    answer = await service.fire()
    assert answer.status_code == 202
    assert answer.json()["data"]["alerts"] == 1
    (row,) = await service.closed()
    name = str(row["incident"])
    assert (row["rule"], row["result"], row["dry"]) == ("high-bounce-rate", "simulated", True)

    (disposed,) = await service.facts("notification.disposed")
    assert isinstance(disposed, e.NotificationDisposed)
    assert [one.disposition for one in disposed.alerts[0].disposals] == ["planned"]

    status = (await service.client.get("/api/v1/status")).json()["data"]
    assert status["mode"] == "dry-run"
    assert (status["received"], status["disposed"], status["pending"]) == (1, 1, 0)
    assert status["rules"] == 1
    assert status["problems"] == []
    assert status["last_notification_at"] == pytest.approx(status["now"], abs=60)
    assert status["head"] == str(service.built.journal.head)

    story = (await service.client.get(f"/api/v1/incidents/{name}")).json()["data"]
    assert story["incident"]["incident"] == name
    assert [line["word"] for line in story["lines"]][:2] == ["opened", "planned"]
    assert story["plans"][0]["playbook"] == "pause-domain"
    assert any("would: ok" in line["sentence"] for line in story["lines"])

    assert await service.metric('remediator_alert_dispositions_total{disposition="planned",rule="high') == [
        'remediator_alert_dispositions_total{disposition="planned",rule="high-bounce-rate"} 1.0'
    ]
    assert await service.metric('remediator_webhook_requests_total{code="202"') == [
        'remediator_webhook_requests_total{code="202"} 1.0'
    ]
    assert await service.metric('remediator_runs_total{result="simulated"') == [
        'remediator_runs_total{result="simulated",rule="high-bounce-rate"} 1.0'
    ]
    assert await service.metric("remediator_journal_head ") == [
        f"remediator_journal_head {float(service.built.journal.head.seq)}"
    ]


async def test_an_alert_of_no_rule_is_on_record_with_the_nearest_miss(service: Service) -> None:
    await service.fire({"alertname": "HighBounceRate", "severity": "warning", "domain": "a.example"})
    await service.until(lambda: service.built.journal.state.tally.disposed == 1)
    (disposed,) = await service.facts("notification.disposed")
    assert isinstance(disposed, e.NotificationDisposed)
    (disposal,) = disposed.alerts[0].disposals
    assert disposal.disposition == "unmatched"
    assert "severity" in disposal.reason


async def test_an_incident_is_found_by_a_prefix_and_its_run_and_refused_with_a_sentence(service: Service) -> None:
    await service.fire()
    (row,) = await service.closed()
    name = str(row["incident"])
    for word in (name, name[:9], name.removeprefix("inc-")[:6], f"{name}.1"):
        found = await service.client.get(f"/api/v1/incidents/{word}")
        assert found.json()["data"]["incident"]["incident"] == name, word
    lost = await service.client.get("/api/v1/incidents/inc-zzzz")
    assert lost.status_code == 404
    assert "there is no incident inc-zzzz" in lost.text
    for number in range(12):
        await service.fire({"alertname": "HighBounceRate", "severity": "critical", "domain": f"d{number}.example"})
    await service.closed()
    several = await service.client.get("/api/v1/incidents/inc-")
    assert several.status_code == 409
    assert "write one more letter" in several.text


async def test_explain_says_what_would_be_done_and_appends_nothing(service: Service) -> None:
    before = service.built.journal.head
    labels = {"alertname": "HighBounceRate", "severity": "critical", "domain": "a.example"}
    answer = await service.client.post("/api/v1/explain", json={"labels": labels})
    (view,) = answer.json()["data"]["rules"]
    assert view["would"] == "run"
    assert view["plan"]["steps"][0]["action"] == "kumomta.suspend"
    assert service.built.journal.head == before


async def test_the_rules_in_force_are_shown_with_the_mode_that_counts(service: Service) -> None:
    (rule,) = (await service.client.get("/api/v1/rules")).json()["data"]["rules"]
    assert (rule["rule"], rule["mode"], rule["playbooks"]) == ("high-bounce-rate", "dry-run", ["pause-domain"])
    assert rule["match"] == ['alertname="HighBounceRate"', 'severity="critical"']


async def test_people_pause_resume_and_run_by_hand(service: Service) -> None:
    client = service.client
    assert (await client.post("/api/v1/pause", json={"reason": "migration", "by": "ana"})).status_code == 200
    assert "all" in service.built.journal.state.pauses
    assert await service.metric("remediator_paused ") == ["remediator_paused 1.0"]
    assert (await client.post("/api/v1/resume", json={"by": "ana"})).status_code == 200
    by_hand = {"playbook": "pause-domain", "params": {"domain": "b.example"}, "reason": "asked", "by": "ana"}
    name = (await client.post("/api/v1/run", json=by_hand)).json()["data"]["incident"]
    (row,) = await service.closed()
    assert (row["incident"], row["result"]) == (name, "simulated")
    nothing = await client.post(f"/api/v1/incidents/{name}/undo", json={"by": "ana"})
    assert nothing.status_code == 404
    assert "left nothing behind" in nothing.text
    over = await client.post(f"/api/v1/incidents/{name}.1/decide", json={"decision": "abort", "reason": "x", "by": "a"})
    assert over.status_code == 404


async def test_a_plan_is_approved_by_its_digest_and_another_refused(home: Home, work: Work) -> None:
    home.write("remediator.yml", home.settings.read_text().replace("dry-run", "approve"))
    async with work(home.build()) as service:
        await service.fire()
        await service.until(lambda: bool(service.built.surface.status().needs_you))
        (run,) = service.built.surface.status().needs_you
        url = f"/api/v1/incidents/{run.incident}"
        wrong = await service.client.post(f"{url}/approve", json={"digest": "0" * 16, "by": "ana"})
        assert wrong.status_code == 409
        assert run.digest in wrong.text
        assert (await service.client.post(f"{url}/reject", json={"by": "ana"})).status_code == 200
        (row,) = await service.closed()
        assert "refused by ana" in str(row["sentence"])
        late = await service.client.post(f"{url}/approve", json={"digest": run.digest, "by": "ana"})
        assert late.status_code == 404


async def test_a_long_poll_ends_with_the_next_entry_or_with_its_time(service: Service) -> None:
    surface, head = service.built.surface, service.built.journal.head.seq
    assert await surface.changed(head, 0.01) == head
    waiting = asyncio.ensure_future(surface.changed(head, 20.0))
    await surface.pause(scope="all", reason="x", by="ana", seconds=None)
    assert await waiting == head + 1
    lines = (await service.client.get(f"/api/v1/entries?after={head}")).json()["data"]["entries"]
    assert [line["kind"] for line in lines] == ["pause.set"]


async def test_nothing_follows_the_last_entry_of_a_service_that_stops(service: Service) -> None:
    await service.built.engine.stop(5.0)
    assert service.built.surface.ready() == ("the service is stopping",)
    for ask in (
        service.built.surface.pause(scope="all", reason="late", by="ana", seconds=None),
        service.built.surface.resume(scope="all", by="ana"),
        service.built.surface.run("pause-domain", params={"domain": "b.example"}, by="ana", reason="late"),
        service.built.surface.reload(by="ana"),
    ):
        with pytest.raises(RefusedRequest, match="the service is stopping"):
            await ask
    assert (await service.fire()).status_code == 503
    assert (await service.client.get("/-/ready")).status_code == 503
    assert isinstance((await service.facts())[-1], e.ServiceStopped)


async def test_a_journal_that_lost_its_past_makes_the_service_unready(service: Service) -> None:
    service.built.journal.broken = "the store ends at entry 3, but 9 was seen: history was lost (G16)"
    service.built.journal.last_error = "the journal has moved on to entry 3"
    (reason,) = service.built.surface.ready()
    assert "history was lost (G16)" in reason
    service.built.journal.broken = ""
    assert service.built.surface.ready() == ("the journal cannot be written: the journal has moved on to entry 3",)
    service.built.journal.last_error = ""


async def test_a_restart_goes_on_with_the_same_journal_and_the_same_key(home: Home, work: Work) -> None:
    async with work(home.build()) as first:
        await first.fire()
        (row,) = await first.closed()
    async with work(home.build()) as second:
        assert (await second.client.get(f"/api/v1/incidents/{row['incident']}")).status_code == 200
        kinds = await second.facts("service.started", "service.stopped")
        assert [type(fact).__name__ for fact in kinds] == ["ServiceStarted", "ServiceStopped", "ServiceStarted"]
        await second.fire()
        await second.until(lambda: second.built.journal.state.tally.disposed == 2)
        last = (await second.facts("notification.disposed"))[-1]
        assert isinstance(last, e.NotificationDisposed)
        assert last.alerts[0].disposals[0].disposition == "duplicate"


async def test_what_is_in_force_is_told_with_the_lines_for_alertmanager(
    home: Home, work: Work, capsys: pytest.CaptureFixture[str]
) -> None:
    home.write("open", "s" * 20).chmod(0o644)
    home.add("web: { bearer_token_file: open }\n")
    async with work(home.build()) as service:
        told = capsys.readouterr().err
        (loaded,) = await service.facts("config.loaded")
    assert "mode dry-run  1 rules" in told
    assert 'webhook_configs: [{url: "http://127.0.0.1:9097/api/v1/alerts", send_resolved: true}]' in told
    assert "warning[readable-secret]" in told
    assert isinstance(loaded, e.ConfigLoaded)
    assert (loaded.by, loaded.mode, loaded.rules) == ("start", "dry-run", ("high-bounce-rate",))
    assert loaded.longest_window >= 86_400.0


async def test_a_secret_that_disappears_keeps_the_old_one_in_force_and_shows_as_trouble(home: Home, work: Work) -> None:
    token = home.write("webhook", "w" * 32)
    home.add("web: { bearer_token_file: webhook }\n")
    built = home.build()
    async with work(built) as service:
        assert (await service.fire(token="w" * 32)).status_code == 202
        token.unlink()
        access = built.surface._access
        access._next = 0.0  # type: ignore[attr-defined]  # the moment at which the files are looked at again
        assert (await service.fire(token="w" * 32)).status_code == 202
        assert (await service.fire(token="v" * 32)).status_code == 401
        (trouble,) = built.surface.status().problems
        assert "the old ones stay in force" in trouble
        assert "no secret here" in trouble
