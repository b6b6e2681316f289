"""The simulated kumod's admin API in process: shapes, status codes, texts, and the traps that a client must survive."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from remediator.demo.kumod.app import ConnectionCut, create_app, create_control
from remediator.demo.kumod.auth import LOOPBACK, Gate
from remediator.demo.kumod.node import Kumod, default_domains

START = 1_785_844_800.0  # 2026-08-04T12:00:00Z
SUSPEND = "/api/admin/suspend/v1"
BOUNCE = "/api/admin/bounce/v1"
READY = "/api/admin/suspend-ready-q/v1"


class Node:
    """A node, its clock and clients of both its listeners."""

    def __init__(self, *, version: str = "2026.06.23", shaping: Path | None = None, ledger: Path | None = None) -> None:
        self.now = START
        self.sim = Kumod(
            now=START, version=version, shaping_file=shaping, ledger_file=ledger, domains=default_domains(10.0)
        )
        self.control = self._client(create_control(self.sim, self.clock), "127.0.0.1")
        self.api = self.seen_from("127.0.0.1")

    def clock(self) -> float:
        return self.now

    def seen_from(self, peer: str) -> httpx.AsyncClient:
        """A client at some address; loopback is trusted, and `ops` with `secret` has all rights."""
        gate = Gate(listen="127.0.0.1:8000", trusted=LOOPBACK, users={"ops": "secret"})
        return self._client(create_app(self.sim, self.clock, gate=gate), peer)

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.now += 1.0
            self.sim.tick(self.now)

    async def post(self, path: str, body: object) -> httpx.Response:
        return await self.api.post(path, json=body)

    async def delete(self, path: str, order_id: str) -> httpx.Response:
        return await self.api.request("DELETE", path, json={"id": order_id})

    async def state(self) -> dict[str, object]:
        found: dict[str, object] = (await self.control.get("/control/state")).json()
        return found

    @staticmethod
    def _client(app: object, peer: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=app, client=(peer, 40_000))  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url="http://kumod")


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    found = Node()
    yield found
    await found.api.aclose()
    await found.control.aclose()


async def test_a_suspension_has_the_documented_shape_and_its_remaining_time(node: Node) -> None:
    answer = await node.post(SUSPEND, {"domain": "example.net", "reason": "ar-123", "duration": "30m"})
    assert (answer.status_code, list(answer.json())) == (200, ["id"])
    order_id = answer.json()["id"]
    assert str(UUID(order_id)) == order_id
    node.now += 1.988
    listed = await node.api.get(SUSPEND)
    assert listed.json() == [
        {
            "id": order_id,
            "campaign": None,
            "tenant": None,
            "domain": "example.net",
            "reason": "ar-123",
            "duration": "29m 58s 12ms",
        }
    ]
    removed = await node.delete(SUSPEND, order_id)
    assert (removed.status_code, removed.text) == (200, f"removed {order_id}")
    again = await node.delete(SUSPEND, order_id)
    assert (again.status_code, again.text) == (404, f"suspend entry {order_id} not found")


async def test_the_same_criteria_get_a_new_id_and_the_old_one_is_unknown(node: Node) -> None:
    first = (await node.post(SUSPEND, {"domain": "gmail.com", "reason": "a"})).json()["id"]
    second = (await node.post(SUSPEND, {"domain": "gmail.com", "reason": "b"})).json()["id"]
    assert first != second
    assert [entry["id"] for entry in (await node.api.get(SUSPEND)).json()] == [second]
    assert (await node.delete(SUSPEND, first)).status_code == 404


@pytest.mark.parametrize("body", [{}, {"routing_domain": "gmail.com"}, {"campagin": "news"}, {"domain": None}])
async def test_a_suspension_without_known_criteria_stops_every_domain(node: Node, body: dict[str, object]) -> None:
    assert (await node.post(SUSPEND, {**body, "reason": "oops"})).status_code == 200
    domains = (await node.state())["domains"]
    assert isinstance(domains, dict)
    assert [domain["suspended"] for domain in domains.values()] == [True] * 4


async def test_queue_names_are_obeyed_and_hidden_from_the_list() -> None:
    node = Node(version="2025.12.02")
    await node.post(SUSPEND, {"queue_names": ["receipts:globex@gmail.com"], "domain": "yahoo.com", "reason": "q"})
    node.pass_time(60)
    domains = node.sim.mail.domains
    assert domains["yahoo.com"].truth.suspended_attempts == 0
    assert 0 < domains["gmail.com"].truth.delivered < domains["gmail.com"].truth.injected
    entry = (await node.api.get(SUSPEND)).json()[0]
    assert "queue_names" not in entry
    assert "expires" not in entry


async def test_an_older_version_ignores_queue_names_and_suspends_everything() -> None:
    node = Node(version="2025.10.06")
    assert (await node.post(SUSPEND, {"queue_names": ["receipts:globex@gmail.com"], "reason": "q"})).status_code == 200
    node.pass_time(30)
    assert sum(domain.truth.delivered for domain in node.sim.mail.domains.values()) == 0
    refused = await node.post(BOUNCE, {"queue_names": ["x"], "reason": "q"})
    assert refused.status_code == 422


@pytest.mark.parametrize(
    ("duration", "listed"), [(None, "5m"), ("1h 30m", "1h 30m"), (90, "1m 30s"), (1.5, "1s 500ms"), ("2days", "2days")]
)
async def test_durations_come_as_text_or_number_and_default_to_five_minutes(
    node: Node, duration: object, listed: str
) -> None:
    await node.post(SUSPEND, {"reason": "d", "domain": "gmail.com", "duration": duration})
    assert (await node.api.get(SUSPEND)).json()[0]["duration"] == listed


async def test_expires_wins_over_duration_and_an_order_ends_by_itself(node: Node) -> None:
    await node.post(SUSPEND, {"reason": "d", "duration": "1h", "expires": "2026-08-04T12:00:10Z"})
    assert (await node.api.get(SUSPEND)).json()[0]["duration"] == "10s"
    node.now += 10
    assert (await node.api.get(SUSPEND)).json() == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"reason":"x"}', "text/plain", 415),
        (b'{"reason":', "application/json", 400),
        (b"", "application/json", 400),
        (b'{"reason":"x","duration":NaN}', "application/json", 400),
        (b"[]", "application/json", 422),
        (b'{"domain":"gmail.com"}', "application/json", 422),
        (b'{"reason":7}', "application/json", 422),
        (b'{"reason":"x","duration":"soon"}', "application/json", 422),
        (b'{"reason":"x","duration":true}', "application/json", 422),
        (b'{"reason":"x","expires":"2026-08-04T12:00:00"}', "application/json", 422),
        (b'{"reason":"x"}', "application/json; charset=utf-8", 200),
    ],
)
async def test_bodies_are_refused_as_the_web_framework_does(node: Node, content: bytes, kind: str, status: int) -> None:
    answer = await node.api.post(SUSPEND, content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert len((await node.api.get(SUSPEND)).json()) == (status == 200)


@pytest.mark.parametrize(("body", "status"), [({"id": "nonsense"}, 422), ({}, 422), ({"id": str(uuid4())}, 404)])
async def test_an_id_must_be_a_uuid_that_is_known(node: Node, body: dict[str, str], status: int) -> None:
    assert (await node.api.request("DELETE", SUSPEND, json=body)).status_code == status


async def test_a_ready_queue_is_suspended_by_any_exact_name(node: Node) -> None:
    name = "unspecified->localhost@smtp_client"
    order_id = (await node.post(READY, {"name": name, "reason": "x", "duration": "299s"})).json()["id"]
    assert (await node.api.get(READY)).json() == [
        {"id": order_id, "name": name, "reason": "x", "duration": "4m 59s", "expires": "2026-08-04T12:04:59Z"}
    ]
    assert (await node.delete(READY, order_id)).text == f"removed {order_id}"
    assert (await node.delete(READY, order_id)).text == f"suspend-ready-q entry {order_id} not found"


async def test_a_bounce_answers_before_it_has_begun_and_counts_later(node: Node) -> None:
    node.sim.mail.stopped = True
    node.pass_time(20)
    answer = await node.post(BOUNCE, {"domain": "gmail.com", "reason": "x"})
    order_id = answer.json()["id"]
    assert answer.json() == {"id": order_id, "bounced": {}, "total_bounced": 0}
    before = (await node.api.get(BOUNCE)).json()[0]
    assert (before["bounced"], before["total_bounced"], before["routing_domain"]) == ({}, 0, None)
    node.pass_time(1)
    after = (await node.api.get(BOUNCE)).json()[0]
    assert set(after["bounced"]) == {"newsletter:acme@gmail.com", "receipts:globex@gmail.com"}
    assert after["total_bounced"] == sum(after["bounced"].values()) == node.sim.mail.domains["gmail.com"].truth.injected
    assert (await node.delete(BOUNCE, order_id)).status_code == 200
    assert (await node.delete(BOUNCE, order_id)).text == f"bounce entry {order_id} not found"


async def test_a_bounce_refuses_what_it_does_not_know(node: Node) -> None:
    answer = await node.post(BOUNCE, {"campagin": "news", "reason": "x"})
    assert answer.status_code == 422
    assert "unknown field `campagin`" in answer.text
    assert (await node.api.get(BOUNCE)).json() == []


async def test_mail_flows_again_only_after_a_flush(node: Node) -> None:
    order_id = (await node.post(SUSPEND, {"domain": "gmail.com", "reason": "x"})).json()["id"]
    node.pass_time(30)
    await node.delete(SUSPEND, order_id)
    gmail = node.sim.mail.domains["gmail.com"]
    gmail.inject_per_s = 0.0
    node.pass_time(10)
    assert gmail.truth.delivered < 0.2 * gmail.truth.injected
    flush = {"domain": "gmail.com", "reason": "flush", "data": {}, "always_flush": True}
    answer = await node.post("/api/admin/rebind/v1", flush)
    assert (answer.status_code, answer.json()) == (200, {})
    node.pass_time(10)
    assert gmail.truth.delivered + gmail.truth.failed + gmail.truth.transfailed >= gmail.truth.injected


@pytest.mark.parametrize("body", [{"reason": "x"}, {"data": {}}, {"reason": "x", "data": {"a": 1}}])
async def test_a_rebind_needs_a_reason_and_data(node: Node, body: object) -> None:
    assert (await node.post("/api/admin/rebind/v1", body)).status_code == 422


async def test_a_scheduled_queue_can_be_inspected(node: Node) -> None:
    await node.post(SUSPEND, {"domain": "gmail.com", "reason": "x"})
    node.pass_time(30)
    path = "/api/admin/inspect-sched-q/v1"
    found = (await node.api.get(path, params={"queue_name": "newsletter:acme@gmail.com", "limit": 3})).json()
    assert found["num_scheduled"] > 150
    assert len(found["messages"]) == 3
    message = found["messages"][0]["message"]
    assert (message["num_attempts"], message["meta"]) == (1, {"tenant": "acme", "campaign": "newsletter"})
    assert re.fullmatch(r"2026-08-04T12:(19|20):\d\d(\.\d+)?Z", message["due"])
    missing = await node.api.get(path, params={"queue_name": "none"})
    assert (missing.status_code, missing.text) == (404, "Error: no such queue none")
    assert (await node.api.get(path)).status_code == 400


async def test_ready_states_tell_what_a_receiver_holds_back(node: Node) -> None:
    path = "/api/admin/ready-q-states/v1"
    assert (await node.api.get(path)).json() == {"states_by_ready_queue": {}}
    await node.control.post("/control/domain", json={"domain": "example.net", "throttle_per_s": 1})
    node.pass_time(10)
    states = (await node.api.get(path)).json()["states_by_ready_queue"]
    assert set(states) == {"ip-1->mx.example.net@smtp_client", "ip-2->mx.example.net@smtp_client"}
    assert states["ip-1->mx.example.net@smtp_client"]["connection_limited"]["context"] == "TooManyLeases for queue"
    assert (await node.api.get(path, params={"queues": "x"})).status_code == 400


async def test_an_edited_shaping_file_is_read_within_ten_seconds_or_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "shaping.toml"
    node = Node(shaping=path)
    path.write_text('["gmail.com"]\nmax_message_rate = "100/h"\n')
    node.pass_time(9)
    assert node.sim.mail.shaping.rate("gmail.com", "ip-1") is None
    answer = await node.api.post("/api/admin/bump-config-epoch")
    assert (answer.status_code, answer.content) == (200, b"")
    assert node.sim.mail.shaping.rate("gmail.com", "ip-1") is not None
    path.write_text("")
    node.pass_time(2)
    assert node.sim.mail.shaping.rate("gmail.com", "ip-1") is None


async def test_a_broken_shaping_file_keeps_the_rates_and_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "shaping.toml"
    path.write_text('["gmail.com"]\nmax_message_rate = "100/h"\n')
    node = Node(shaping=path)
    path.write_text('["gmail.com"]\nmax_message_rate = "lots"\n')
    await node.api.post("/api/admin/bump-config-epoch")
    assert node.sim.mail.shaping.rate("gmail.com", "ip-1") is not None
    assert "'lots' is not a rate" in str((await node.state())["shaping_error"])
    assert "'lots' is not a rate" in capsys.readouterr().err


@pytest.mark.parametrize(("spec", "status"), [("kumod=debug", 200), ("info,kumod=trace", 200), ("kumod=loud", 500)])
async def test_the_log_filter_can_be_set(node: Node, spec: str, status: int) -> None:
    assert (await node.post("/api/admin/set_diagnostic_log_filter/v1", {"filter": spec})).status_code == status


async def test_mail_can_be_injected(node: Node) -> None:
    body = {
        "envelope_sender": "a@b.c",
        "content": "Subject: canary",
        "recipients": [{"email": "one@gmail.com"}, {"email": "two@new.example"}, {"email": "nobody"}],
    }
    answer = await node.post("/api/inject/v1", body)
    assert answer.json() == {
        "success_count": 2, "fail_count": 1, "failed_recipients": ["nobody"], "errors": ["nobody: invalid address"],
    }  # fmt: skip
    node.pass_time(3)
    assert node.sim.mail.domains["new.example"].truth.delivered == 1
    assert (await node.post("/api/inject/v1", {**body, "typo": 1})).status_code == 422


async def test_the_description_lists_the_fields_that_this_version_honours() -> None:
    fields = {}
    for version in ("2025.10.06", "2026.06.23-f3af1cd0", "main"):
        node = Node(version=version)
        document = (await node.seen_from("192.0.2.1").get("/api-docs/openapi.json")).json()
        assert document["info"]["version"] == version
        fields[version] = set(document["components"]["schemas"]["SuspendV1Request"]["properties"])
        assert document["components"]["schemas"]["BounceV1Request"]["additionalProperties"] is False
        assert ("/api/machine-info" in document["paths"]) == (version != "2025.10.06")
    assert fields["2026.06.23-f3af1cd0"] == fields["main"] == fields["2025.10.06"] | {"queue_names"}


async def test_endpoints_younger_than_the_version_are_not_there() -> None:
    node = Node(version="2024.06.10")
    for path in ("/api/machine-info", "/api/check-liveness/v1", "/api/admin/ready-q-states/v1"):
        assert (await node.api.get(path)).status_code == 404
    assert (await node.api.get(SUSPEND)).status_code == 200


async def test_unknown_paths_and_methods_are_told_apart(node: Node) -> None:
    assert (await node.seen_from("192.0.2.1").get("/health")).status_code == 404
    answer = await node.api.put(SUSPEND)
    assert (answer.status_code, answer.content) == (405, b"")


@pytest.mark.parametrize(
    "path", [SUSPEND, "/metrics", "/metrics.json", "/api/machine-info", "/api/admin/ready-q-states/v1"]
)
async def test_a_stranger_is_refused_with_kumods_words(node: Node, path: str) -> None:
    answer = await node.seen_from("192.0.2.1").get(path, headers={"x-forwarded-for": "127.0.0.1"})
    assert answer.status_code == 401
    assert answer.text == f"<Unauthenticated>@ ip=192.0.2.1 not permitted GET on http_listener/127.0.0.1:8000{path}"


async def test_liveness_and_the_description_are_open_to_everyone(node: Node) -> None:
    stranger = node.seen_from("192.0.2.1")
    assert (await stranger.get("/api/check-liveness/v1")).text == "OK"
    assert (await stranger.get("/api-docs/openapi.json")).status_code == 200


async def test_a_known_user_may_from_anywhere_and_a_wrong_password_fails_even_from_a_trusted_peer(node: Node) -> None:
    stranger = node.seen_from("192.0.2.1")
    assert (await stranger.get("/metrics", auth=("ops", "secret"))).status_code == 200
    for client in (stranger, node.api):
        for credential in (("ops", "wrong"), ("nobody", "secret")):
            answer = await client.get("/metrics", auth=credential)
            assert (answer.status_code, answer.text) == (401, "Authentication Failed")
    assert (await node.api.get("/metrics", headers={"authorization": "Bearer token"})).status_code == 401


@pytest.mark.parametrize(
    "header", ["nonsense", "Basic !!!", "Digest x", "Basic " + base64.b64encode(b"\xff\xfe").decode(), "Basic"]
)
async def test_a_malformed_credential_is_a_bad_request(node: Node, header: str) -> None:
    answer = await node.api.get("/metrics", headers={"authorization": header})
    assert (answer.status_code, answer.text) == (400, "Malformed or unsupported Authorization header")


async def test_an_ipv6_peer_can_be_trusted(node: Node) -> None:
    gate = Gate(listen="[::1]:8000", trusted=[ip_network("2001:db8::/32")], users={})
    for peer, refused in (("2001:db8::7", False), ("::1", True), ("", True)):
        found = gate.refuse(peer=peer, authorization=None, method="GET", path="/metrics")
        assert (found is not None) is refused


async def test_every_change_is_in_the_ledger_and_reading_is_not(tmp_path: Path) -> None:
    node = Node(ledger=tmp_path / "ledger.jsonl")
    order_id = (await node.post(SUSPEND, {"domain": "gmail.com", "reason": "x"})).json()["id"]
    await node.api.get(SUSPEND)
    await node.post(BOUNCE, {"typo": 1, "reason": "x"})
    await node.seen_from("192.0.2.1").post(SUSPEND, json={"reason": "x"})
    await node.delete(SUSPEND, order_id)
    found = (await node.control.get("/control/ledger")).json()
    assert [(e["n"], e["method"], e["applied"], e["status"]) for e in found] == [
        (1, "POST", True, 200), (2, "POST", False, 422), (3, "POST", False, 401), (4, "DELETE", True, 200),
    ]  # fmt: skip
    assert found[0]["body"] == {"domain": "gmail.com", "reason": "x"}
    assert [e.get("id") for e in found] == [order_id, None, None, order_id]
    assert len((tmp_path / "ledger.jsonl").read_text().splitlines()) == 4
    node.sim.ledger.close()


@pytest.mark.parametrize(("kind", "applied"), [("reset_before", False), ("reset_after_apply", True)])
async def test_a_cut_connection_hides_whether_the_request_took_effect(node: Node, kind: str, applied: bool) -> None:
    await node.control.post("/control/faults", json={"path_prefix": SUSPEND, "kind": kind, "count": 1})
    with pytest.raises(ConnectionCut):
        await node.post(SUSPEND, {"domain": "gmail.com", "reason": "x"})
    entry = (await node.control.get("/control/ledger")).json()[0]
    assert (entry["applied"], entry["fault"]) == (applied, kind)
    assert len((await node.api.get(SUSPEND)).json()) == applied


async def test_a_failure_can_be_answered_although_the_request_took_effect(node: Node) -> None:
    fault = {"path_prefix": "/api/admin", "kind": "status:500_after_apply", "count": 1}
    await node.control.post("/control/faults", json=fault)
    answer = await node.post(SUSPEND, {"domain": "gmail.com", "reason": "x"})
    assert (answer.status_code, answer.text) == (500, "Error: simulated failure")
    assert len((await node.api.get(SUSPEND)).json()) == 1
