"""The simulated kumod's metrics, liveness and restart, in process: real names, both tellings of a counter."""

from __future__ import annotations

import re

import httpx
import pytest

from remediator.demo.kumod.app import create_app, create_control
from remediator.demo.kumod.node import Kumod, default_domains

START = 1_785_844_800.0

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Node:
    """A node, its clock and clients of both its listeners."""

    def __init__(self, rate: float = 10.0) -> None:
        self.now = START
        self.sim = Kumod(now=START, domains=default_domains(rate))
        apps = [create_app(self.sim, self.clock), create_control(self.sim, self.clock)]
        self.api, self.control = (
            httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://kumod") for app in apps
        )

    def clock(self) -> float:
        return self.now

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.now += 1.0
            self.sim.tick(self.now)

    async def metrics(self, prefix: str | None = None) -> Series:
        """All samples. Our own parser: that of the Python client adds `_total` to the names of counters."""
        answer = await self.api.get("/metrics", params={"prefix": prefix} if prefix else None)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        series: Series = {}
        for line in answer.text.splitlines():
            if not line.startswith("#"):
                found = re.fullmatch(r"([a-z_]+)(?:\{(.*)\})? (\S+)", line)
                assert found is not None, line
                pairs = re.findall(r'([a-z]+)="([^"]*)"', found[2] or "")
                series[found[1], frozenset(pairs)] = float(found[3])
        return series


@pytest.fixture
def node() -> Node:
    return Node()


def pick(series: Series, metric: str, **labels: str) -> float:
    return series[metric, frozenset(labels.items())]


def names(series: Series) -> set[str]:
    return {name for name, _ in series}


async def test_a_counter_is_there_twice_so_that_a_sum_doubles(node: Node) -> None:
    node.pass_time(60)
    series = await node.metrics()
    whole = pick(series, "total_messages_delivered", service="smtp_client")
    everything = sum(value for (name, _), value in series.items() if name == "total_messages_delivered")
    assert whole > 0
    assert everything == 2 * whole
    by_path = sum(
        value for (name, _), value in series.items() if name == "total_messages_delivered_by_provider_and_source"
    )
    by_provider = sum(value for (name, _), value in series.items() if name == "total_messages_delivered_by_provider")
    assert by_path == by_provider == whole
    site = "smtp_client:ip-1->mx.example.net@smtp_client"
    path = {"provider": "example", "source": "ip-1", "pool": "pool-1"}
    expected = pick(series, "total_messages_fail_by_provider_and_source", **path)
    assert pick(series, "total_messages_fail", service=site) == expected


async def test_the_real_names_are_exported_and_no_invented_ones(node: Node) -> None:
    node.pass_time(60)
    found = names(await node.metrics())
    wanted = """total_messages_received total_messages_delivered total_messages_fail total_messages_transfail
        total_messages_delivered_by_provider total_messages_fail_by_provider total_messages_transfail_by_provider
        total_messages_transfail_by_provider_and_source scheduled_count_total scheduled_count scheduled_by_domain
        scheduled_by_tenant scheduled_by_tenant_campaign ready_count ready_full queued_count_by_provider
        queued_count_by_provider_and_pool connection_count total_connection_count disk_free_percent memory_usage
        memory_limit memory_low_thresh log_hook_backlog_count deliver_message_latency_rollup_bucket
        deliver_message_latency_rollup_sum deliver_message_latency_rollup_count message_count"""
    assert set(wanted.split()) <= found
    assert not {name for name in found if name.startswith("kumomta")}


async def test_types_are_told_as_kumod_tells_them(node: Node) -> None:
    node.pass_time(5)
    text = (await node.api.get("/metrics")).text
    assert "# TYPE total_messages_delivered counter\n" in text
    assert "# TYPE scheduled_count_total gauge\n" in text
    assert "# TYPE deliver_message_latency_rollup histogram\n" in text
    assert '\ndisk_free_percent{name="data spool"} 60\n' in text


async def test_a_prefix_goes_before_every_name(node: Node) -> None:
    node.pass_time(5)
    plain, prefixed = names(await node.metrics()), names(await node.metrics("kumomta_"))
    assert prefixed == {f"kumomta_{name}" for name in plain}


async def test_scheduled_mail_is_told_by_queue_domain_tenant_and_campaign(node: Node) -> None:
    await node.api.post("/api/admin/suspend/v1", json={"domain": "gmail.com", "reason": "x"})
    node.pass_time(60)
    series = await node.metrics()
    by_domain = pick(series, "scheduled_by_domain", domain="gmail.com")
    queues = [f"{owner}@gmail.com" for owner in ("newsletter:acme", "receipts:globex")]
    assert by_domain == sum(pick(series, "scheduled_count", queue=queue) for queue in queues) > 500
    assert pick(series, "scheduled_by_tenant_campaign", tenant="acme", campaign="newsletter") >= 0.6 * by_domain
    assert pick(series, "queued_count_by_provider", provider="google") == by_domain
    assert pick(series, "scheduled_count_total") >= by_domain


async def test_the_latency_histogram_is_cumulative_and_ends_at_ten_seconds(node: Node) -> None:
    node.sim.mail.domains["gmail.com"].latency_s = 30.0
    node.pass_time(60)
    series = await node.metrics()
    buckets = {dict(labels)["le"]: value for (name, labels), value in series.items() if name.endswith("rollup_bucket")}
    assert list(buckets) == ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]
    counts = list(buckets.values())
    assert counts == sorted(counts)
    assert 0 < counts[-2] < counts[-1] == pick(series, "deliver_message_latency_rollup_count", service="smtp_client")


async def test_the_json_form_nests_one_label_and_lists_several(node: Node) -> None:
    node.pass_time(10)
    found = (await node.api.get("/metrics.json")).json()
    assert found["memory_limit"] == {"help": "Soft limit of memory in bytes.", "type": "gauge", "value": 1_538_067_456}
    assert found["total_messages_delivered"]["value"]["service"]["smtp_client"] > 0
    entry = found["total_messages_delivered_by_provider_and_source"]["value"][0]
    assert list(entry) == ["provider", "source", "pool", "@"]


async def test_a_fresh_node_has_no_delivery_counters_and_an_idle_one_loses_them() -> None:
    node = Node(rate=0.0)
    assert "total_messages_delivered" not in names(await node.metrics())
    await node.control.post("/control/domain", json={"domain": "gmail.com", "burst": 100, "transfail_ratio": 0})
    node.pass_time(5)
    busy = await node.metrics()
    assert len([key for key in busy if key[0] == "total_messages_delivered"]) == 3
    node.pass_time(130)
    quiet = await node.metrics()
    assert [key for key in quiet if key[0] == "total_messages_delivered"] == [
        ("total_messages_delivered", frozenset({("service", "smtp_client")}))
    ]
    assert "scheduled_count" not in names(quiet)


async def test_a_full_disk_and_a_full_memory_show_in_metrics_and_liveness(node: Node) -> None:
    await node.control.post("/control/disk", json={"free_percent": 7.5})
    live = await node.api.get("/api/check-liveness/v1")
    assert (live.status_code, live.text) == (503, "storage is too full")
    assert pick(await node.metrics(), "disk_free_percent", name="meta spool") == 7.5
    await node.control.post("/control/memory", json={"used_percent": 100})
    assert (await node.api.get("/api/check-liveness/v1")).text == "load shedding"
    node.sim.shutting_down = True
    assert (await node.api.get("/api/check-liveness/v1")).text == "shutting down"


async def test_a_restart_forgets_orders_and_counters_and_takes_its_time(node: Node) -> None:
    suspension = {"domain": "gmail.com", "reason": "x", "duration": "1h"}
    await node.api.post("/api/admin/suspend/v1", json=suspension)
    await node.api.post("/api/admin/bounce/v1", json={"domain": "none.example", "reason": "x"})
    node.pass_time(30)
    before = (await node.api.get("/api/machine-info")).json()
    held = node.sim.mail.domains["gmail.com"].truth.injected
    await node.control.post("/control/restart", json={"startup_s": 5})
    assert (await node.api.get("/api/check-liveness/v1")).text == "waiting for spool startup"
    assert (await node.api.get("/api/machine-info")).status_code == 503
    for path in ("/api/admin/suspend/v1", "/api/admin/bounce/v1"):
        assert (await node.api.get(path)).json() == []
    assert "total_messages_delivered" not in names(await node.metrics())
    node.pass_time(4)
    assert node.sim.mail.domains["gmail.com"].truth.injected == held
    node.pass_time(2)
    after = (await node.api.get("/api/machine-info")).json()
    assert (await node.api.get("/api/check-liveness/v1")).text == "OK"
    assert (before["online_since"], after["online_since"]) == ("2026-08-04T12:00:00Z", "2026-08-04T12:00:30Z")
    assert before["node_id"] == after["node_id"]


async def test_stopped_delivery_grows_queues_until_a_restart(node: Node) -> None:
    node.pass_time(10)
    await node.control.post("/control/stop_delivery", json={"stopped": True})
    stopped_at = pick(await node.metrics(), "total_messages_delivered", service="smtp_client")
    node.pass_time(60)
    series = await node.metrics()
    assert pick(series, "total_messages_delivered", service="smtp_client") == stopped_at
    assert pick(series, "scheduled_count_total") + pick(series, "ready_count", service="smtp_client") > 2_000
    await node.control.post("/control/restart", json={"startup_s": 1})
    node.pass_time(10)
    assert pick(await node.metrics(), "total_messages_delivered", service="smtp_client") > 2_000


@pytest.mark.parametrize(
    ("command", "body"),
    [
        ("domain", {}),
        ("domain", {"domain": "gmail.com", "bounce_ratio": 1.5}),
        ("domain", {"domain": "gmail.com", "bounce": 0.5}),
        ("disk", {"free_percent": "full"}),
        ("faults", {"path_prefix": "/", "kind": "flood"}),
        ("stop_delivery", {"stopped": 1}),
        ("restart", []),
    ],
)
async def test_scenario_control_refuses_what_it_cannot_carry_out(node: Node, command: str, body: object) -> None:
    answer = await node.control.post(f"/control/{command}", json=body)
    assert answer.status_code == 422
    assert "expected" in answer.json()["error"]


async def test_scenario_control_is_not_on_the_admin_port(node: Node) -> None:
    assert (await node.api.get("/control/state")).status_code == 404
