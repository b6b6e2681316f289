"""A site in which everything is right, so that a test can break one thing and see what is said of it."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import respx
import yaml

from remediator.doctor import Case, Finding, Mark, examine
from remediator.doctor.building import from_settings

RULES = """\
version: 1
rules:
  - name: high-bounce-rate
    summary: Pause the domain that bounces.
    match: [alertname = KumoBounceRateHigh, severity = critical]
    group_by: [domain]
    mode: auto
    when: { expr: 'kumo:bounce_ratio:rate10m{domain="{{ labels.domain }}"} > 0.2' }
    guards: { require: [{ expr: 'kumo:finished{by="domain"} > 200', because: "few are no crisis" }] }
    playbook: pause-domain
    with: { domain: "{{ labels.domain }}" }
  - name: any-listing
    summary: Note it.
    match: [alertname =~ "KumoIpListed|KumoIpReputationLow"]
    group_by: [domain]
    playbook: pause-domain
    with: { domain: "{{ labels.domain }}" }
playbooks:
  - name: pause-domain
    params: { domain: domain }
    steps:
      - name: Pause the domain's queues
        action: kumomta.suspend
        with: { node: mta1, domain: "{{ params.domain }}", reason: too many bounces }
        undo: { after: 2h }
      - name: Report
        action: prometheus.report
        with: { expr: "topk(10, kumo_mail_outcomes_total)" }
    verify:
      - { expr: 'kumo:bounce_ratio:rate10m{domain="{{ params.domain }}"} < 0.10', for: 5m, within: 20m }
"""
SETTINGS = """\
mode: auto
rule_files: [rules.yml]
storage: {{ path: data }}
prometheus: {{ url: "http://prometheus:9090" }}
alertmanager: {{ url: "http://alertmanager:9093" }}
receivers: [{{ name: on-call }}]
notify: {{ critical: [on-call], warning: [on-call] }}
escalate: [on-call]
targets:
  kumomta: {{ nodes: {{ mta1: {{ url: "http://mta1:8000" }} }}, shaping_files: {{ mta1: shaping.toml }} }}
  command: {{ allow: ["{program}"] }}
"""
ROUTES: dict[str, object] = {
    "route": {"receiver": "remediator", "routes": [{"receiver": "people", "matchers": ['alertname = "Other"']}]},
    "receivers": [
        {"name": "people", "webhook_configs": [{"url": "http://people:1"}]},
        {"name": "remediator", "webhook_configs": [{"url": "http://remediator:9097/api/v1/alerts"}]},
    ],
}
SERIES = ("kumo:bounce_ratio:rate10m", 'kumo:finished{by="domain"}', "kumo_mail_outcomes_total")


def alerting(name: str, **labels: str) -> dict[str, object]:
    """A rule of Prometheus that raises an alert."""
    return {"type": "alerting", "name": name, "health": "ok", "labels": labels, "annotations": {}}


def wire(data: object) -> httpx.Response:
    return httpx.Response(200, json={"status": "success", "data": data})


@dataclass
class Site:
    """What the neighbours would answer. Change it, then `examine`."""

    root: Path
    program: Path
    alerts: list[dict[str, object]] = field(
        default_factory=lambda: [
            alerting("KumoBounceRateHigh", severity="critical"),
            alerting("KumoIpListed", severity="critical"),
            alerting("KumoIpReputationLow", severity="critical"),
            alerting("Watchdog", severity="none"),
            alerting("RemediatorDown", severity="critical"),
        ]
    )
    recorded: list[str] = field(default_factory=list)
    series: list[str] = field(default_factory=lambda: list(SERIES))
    names: list[str] = field(default_factory=lambda: ["up", "kumo:finished"])
    targets: list[dict[str, object]] = field(
        default_factory=lambda: [
            {"labels": {"job": "kumod", "instance": "mta1"}, "health": "up", "scrapeInterval": "15s"},
        ]
    )
    skew: float = 0.0
    routes: dict[str, object] = field(default_factory=lambda: copy.deepcopy(ROUTES))
    original: str = ""
    unreachable: httpx.ConnectError | None = None
    prometheus: int = 200
    alertmanager: int = 200
    liveness: httpx.Response = field(default_factory=lambda: httpx.Response(200, text="OK"))
    orders: httpx.Response = field(default_factory=lambda: httpx.Response(200, json=[]))

    def settings(self, change: Callable[[str], str] = str) -> Path:
        """The settings file, changed."""
        path = self.root / "remediator.yml"
        path.write_text(change(SETTINGS.format(program=self.program)), encoding="utf-8")
        path.chmod(0o600)
        return path

    def case(self, change: Callable[[str], str] = str) -> Case:
        return from_settings(self.settings(change))

    def examine(self, change: Callable[[str], str] = str, done: Callable[[int], object] = id) -> list[Finding]:
        """All that is found, with all neighbours answering as they are told to."""
        with respx.mock(assert_all_called=False) as mock:
            self.answer(mock)
            return asyncio.run(examine(self.case(change), done))

    def bad(self, change: Callable[[str], str] = str) -> list[Finding]:
        return [one for one in self.examine(change) if one.mark is Mark.BAD]

    def answer(self, mock: respx.MockRouter) -> None:
        """Lets the neighbours answer."""
        base = "http://prometheus:9090/api/v1"
        rules = [*self.alerts, *({"type": "recording", "name": name, "health": "ok"} for name in self.recorded)]
        if self.prometheus != 200:
            mock.get(url__startswith=base).respond(self.prometheus, text="Unauthorized")
        mock.get(f"{base}/status/buildinfo").mock(return_value=wire({"version": "2.42.0"}))
        mock.get(f"{base}/rules").mock(return_value=wire({"groups": [{"rules": rules}]}))
        mock.get(f"{base}/label/__name__/values").mock(return_value=wire(self.names))
        mock.get(f"{base}/targets").mock(return_value=wire({"activeTargets": self.targets}))
        mock.get(f"{base}/query").mock(side_effect=self._time)
        mock.get(f"{base}/series").mock(side_effect=self._series)
        status = {
            "versionInfo": {"version": "0.25.0"},
            "config": {"original": self.original or yaml.safe_dump(self.routes)},
        }
        mock.get("http://alertmanager:9093/api/v2/status").respond(self.alertmanager, json=status)
        alive = mock.get("http://mta1:8000/api/check-liveness/v1")
        alive.mock(side_effect=self.unreachable) if self.unreachable else alive.mock(return_value=self.liveness)
        mock.get("http://mta1:8000/api/admin/suspend/v1").mock(return_value=self.orders)
        mock.route(host="127.0.0.1").pass_through()
        described = {"info": {"version": "2026.06.23"}, "paths": {}}
        mock.get("http://mta1:8000/api-docs/openapi.json").respond(200, json=described)

    def _time(self, _request: httpx.Request) -> httpx.Response:
        now = time.time() + self.skew
        return wire({"resultType": "vector", "result": [{"metric": {}, "value": [now, f"{now:.3f}"]}]})

    def _series(self, request: httpx.Request) -> httpx.Response:
        asked = request.url.params["match[]"]
        return wire([{"__name__": asked}] if asked in self.series else [])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    for name, text in (("rules.yml", RULES), ("shaping.toml", "")):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o700)
    return Site(tmp_path, program)
