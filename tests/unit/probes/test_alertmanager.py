"""What Alertmanager says of an alert, and what its silence does not say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import respx

from remediator.actions.http_client import HttpClient
from remediator.actions.targets import AlertmanagerTarget
from remediator.core.outcomes import Look, Observation
from remediator.ports import LookCall
from remediator.probes.alert_source import AlertmanagerSource, AlertProbe

URL = "http://alertmanager.example:9093"
NOW = 1_795_518_400.0  # 2026-11-24T11:06:40Z, after the recording
ACTIVE = {
    "alertname": "KumoBounceRateHigh",
    "campaign": "spring-sale",
    "domain": "gmail.com",
    "instance": "mta1.example:8000",
    "pool": "pool-a",
    "severity": "critical",
    "tenant": "acme",
}
SILENCED = {**ACTIVE, "alertname": "KumoIPReputationLow", "ip": "192.0.2.11", "severity": "warning"}
INHIBITED = {**ACTIVE, "alertname": "KumoQueueDepthHigh", "instance": "mta2.example:8000", "severity": "warning"}


class Alertmanager:
    """Answers with the recorded alerts, whatever the filters; `asked` keeps those."""

    def __init__(self, recorded: Callable[[str], str]) -> None:
        self.alerts: list[dict[str, Any]] = json.loads(recorded("alertmanager/api/alerts.json"))
        self.status: dict[str, Any] = {
            **json.loads(recorded("alertmanager/api/status.json")),
            "uptime": "2026-11-24T11:00:00Z",
        }
        self.asked: list[list[str]] = []

    def listed(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.params.get_list("filter"))
        return httpx.Response(200, json=self.alerts)


@pytest.fixture
def alertmanager(recorded: Callable[[str], str]) -> Iterator[Alertmanager]:
    one = Alertmanager(recorded)
    with respx.mock(assert_all_called=False) as router:
        router.get(f"{URL}/api/v2/alerts").mock(side_effect=one.listed)
        router.get(f"{URL}/api/v2/status").mock(side_effect=lambda _request: httpx.Response(200, json=one.status))
        yield one


async def no_rest(_seconds: float) -> None:
    return None


@pytest.fixture
def source() -> AlertmanagerSource:
    return AlertmanagerSource(AlertmanagerTarget(url=URL), http=HttpClient(rest=no_rest))


async def test_an_active_alert_is_good(alertmanager: Alertmanager, source: AlertmanagerSource) -> None:
    assert (await source.state(ACTIVE)).look is Look.GOOD
    assert 'alertname="KumoBounceRateHigh"' in alertmanager.asked[0]
    assert len(alertmanager.asked[0]) == len(ACTIVE)


@pytest.mark.parametrize(
    ("labels", "by"),
    [(SILENCED, "silence 06e1a45c-f74c-4532-affd-adf13face06f"), (INHIBITED, "alert f6d7ca4b30ef2236")],
)
async def test_an_alert_that_is_held_back_is_bad_with_by_whom(
    alertmanager: Alertmanager, source: AlertmanagerSource, labels: dict[str, str], by: str
) -> None:
    seen = await source.state(labels)
    assert seen.look is Look.BAD
    assert by in seen.sentence


async def test_one_label_more_or_less_is_another_alert(alertmanager: Alertmanager, source: AlertmanagerSource) -> None:
    assert (await source.state({**ACTIVE, "extra": "x"})).look is Look.UNKNOWN
    fewer = {name: value for name, value in ACTIVE.items() if name != "tenant"}
    assert (await source.state(fewer)).look is Look.UNKNOWN


async def test_an_empty_list_proves_nothing(alertmanager: Alertmanager, source: AlertmanagerSource) -> None:
    alertmanager.alerts = []
    seen = await source.state(ACTIVE)
    assert seen.look is Look.UNKNOWN
    assert "proves nothing" in seen.sentence


async def test_an_alert_not_yet_judged_could_not_tell(alertmanager: Alertmanager, source: AlertmanagerSource) -> None:
    alertmanager.alerts[1]["status"]["state"] = "unprocessed"
    assert (await source.state(ACTIVE)).look is Look.UNKNOWN


async def test_values_that_alertmanager_would_misread_are_not_put_into_a_filter(
    alertmanager: Alertmanager, source: AlertmanagerSource
) -> None:
    await source.state({"alertname": "X", "path": 'C:\\new "x"\n'})
    assert alertmanager.asked == [['alertname="X"']]


@pytest.mark.parametrize("text", ['"bad matcher format: x"', "Service Unavailable", "{}"])
@pytest.mark.parametrize("status", [200, 400, 503])
async def test_an_odd_answer_could_not_tell(source: AlertmanagerSource, text: str, status: int) -> None:
    with respx.mock:
        respx.get(f"{URL}/api/v2/alerts").respond(status, text=text)
        assert (await source.state(ACTIVE)).look is Look.UNKNOWN


async def test_silence_of_alertmanager_could_not_tell(source: AlertmanagerSource) -> None:
    with respx.mock:
        respx.get(f"{URL}/api/v2/alerts").mock(side_effect=httpx.ConnectError("refused"))
        assert (await source.state(ACTIVE)).look is Look.UNKNOWN


# ── the probe ────────────────────────────────────────────────────────────────────────────────────────────────────────
HEARTBEAT = {
    "labels": {"alertname": "Watchdog"},
    "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
    "updatedAt": "2026-11-24T11:06:30.000Z",
}


async def look(source: AlertmanagerSource, labels: dict[str, str], *, heartbeat: str = "Watchdog") -> Observation:
    arguments: dict[str, Any] = {"labels": labels, "heartbeat": heartbeat}
    return await AlertProbe(source).look(LookCall(arguments=arguments, newer_than=NOW - 60, now=NOW))


@pytest.mark.parametrize("labels", [ACTIVE, SILENCED, INHIBITED])
async def test_a_listed_alert_still_fires_also_when_it_is_silenced(
    alertmanager: Alertmanager, source: AlertmanagerSource, labels: dict[str, str]
) -> None:
    assert (await look(source, labels)).look is Look.BAD


async def test_a_missing_alert_is_good_only_with_a_heartbeat(
    alertmanager: Alertmanager, source: AlertmanagerSource
) -> None:
    alertmanager.alerts = [HEARTBEAT]
    assert (await look(source, ACTIVE)).look is Look.GOOD
    assert (await look(source, ACTIVE, heartbeat="")).look is Look.UNKNOWN


async def test_a_heartbeat_from_before_the_effect_proves_nothing(
    alertmanager: Alertmanager, source: AlertmanagerSource
) -> None:
    alertmanager.alerts = [{**HEARTBEAT, "updatedAt": "2026-11-24T11:05:40.000Z"}]
    assert (await look(source, ACTIVE)).look is Look.UNKNOWN


async def test_an_alertmanager_that_has_just_started_proves_nothing(
    alertmanager: Alertmanager, source: AlertmanagerSource
) -> None:
    alertmanager.alerts = [HEARTBEAT]
    alertmanager.status["uptime"] = "2026-11-24T11:04:50Z"
    assert (await look(source, ACTIVE)).look is Look.UNKNOWN


async def test_without_labels_nobody_can_tell(alertmanager: Alertmanager, source: AlertmanagerSource) -> None:
    assert (await look(source, {})).look is Look.UNKNOWN
