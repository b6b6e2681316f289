"""The JSON API: its envelope, its questions, what people do, and every error with its status and sentence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from remediator.core.views import ReloadView
from remediator.errors import NotCommitted, RefusedRequest


@pytest.mark.parametrize(
    "path", ["/api/v1/status", "/api/v1/rules", "/api/v1/incidents", "/api/v1/incidents/inc-7f3kq2m8"]
)
async def test_questions_are_answered_in_the_envelope(local: Any, path: str) -> None:
    async with local.client() as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["status"] == "success"
    assert answer.json()["data"]


async def test_incidents_are_filtered_by_what_the_query_says(local: Any, now: float) -> None:
    query = "since=24h&rule=high-bounce-rate&status=closed&result=failed&label=domain=a%3Db&label=x=1&limit=2"
    async with local.client() as client:
        answer = await client.get(f"/api/v1/incidents?{query}&cursor=12.5~inc-1")
    (_word, wanted) = local.surface.asked[0]
    assert (wanted.since, wanted.rule, wanted.status, wanted.result) == (
        now - 86400,
        "high-bounce-rate",
        "closed",
        "failed",
    )
    assert wanted.labels == {"domain": "a=b", "x": "1"}
    assert wanted.before == (12.5, "inc-1")
    assert answer.json()["data"]["next"] == f"{now - 3600!r}~inc-4ccccccc"


async def test_the_last_page_has_no_next(local: Any) -> None:
    async with local.client() as client:
        answer = await client.get("/api/v1/incidents?limit=100")
    assert answer.json()["data"]["next"] is None


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("since=yesterday", "since"),
        ("since=-5", "since"),
        ("since=nan", "since"),
        ("limit=0x", "limit"),
        ("limit=-1", "limit"),
        ("limit=100000", "from 0 to 1000"),
        ("label=domain", "name=value"),
        ("cursor=x", "cursor"),
        ("rulle=x", "no parameter 'rulle'"),
    ],
)
async def test_a_misspelt_query_is_refused_and_named(local: Any, query: str, word: str) -> None:
    async with local.client() as client:
        answer = await client.get(f"/api/v1/incidents?{query}")
    assert answer.status_code == 400
    assert answer.json()["errorType"] == "bad_data"
    assert word in answer.json()["error"]
    assert local.surface.asked == []


async def test_entries_come_after_the_given_one_with_the_head(local: Any) -> None:
    async with local.client() as client:
        answer = await client.get("/api/v1/entries?after=5&limit=10")
    found = answer.json()["data"]
    assert [one["seq"] for one in found["entries"]] == [6, 7]
    assert found["head"] == 7


async def test_a_long_poll_waits_for_the_next_entry(local: Any) -> None:
    local.surface.head = 6
    async with local.client() as client:
        asking = asyncio.ensure_future(client.get("/api/v1/entries?after=6&wait=30"))
        await local.surface.waited_for.wait()
        assert not asking.done()
        local.surface.head = 7
        local.surface.news.set()
        answer = await asking
    assert [one["seq"] for one in answer.json()["data"]["entries"]] == [7]


async def test_nobody_waits_longer_than_thirty_seconds(local: Any) -> None:
    async with local.client() as client:
        answer = await client.get("/api/v1/entries?wait=31")
    assert answer.status_code == 400


async def test_a_stopping_service_ends_long_polls(local: Any) -> None:
    async with local.client() as client:
        asking = asyncio.ensure_future(client.get("/api/v1/entries?after=7&wait=30"))
        await local.surface.waited_for.wait()
        local.app.stop()
        answer = await asking
        assert answer.json()["data"] == {"entries": [], "head": 7}
        assert (await client.get("/api/v1/entries?after=7&wait=30")).status_code == 503


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        (
            "incidents/inc-1/approve",
            {"digest": "d", "by": "eve", "reason": "r"},
            ("approve", "inc-1", "d", "{by}", "r"),
        ),
        ("incidents/inc-1/reject", {"by": "eve", "reason": "r"}, ("reject", "inc-1", "{by}", "r")),
        ("incidents/inc-1/undo", {"by": "eve"}, ("undo", "inc-1", "{by}", None)),
        ("incidents/inc-1.1/undo", {"by": "eve", "step": 1}, ("undo", "inc-1.1", "{by}", 1)),
        (
            "incidents/inc-1/decide",
            {"decision": "mark_done", "by": "eve", "reason": "r"},
            ("decide", "inc-1", "mark_done", "{by}", "r"),
        ),
        ("pause", {"reason": "r", "by": "eve"}, ("pause", "all", "r", "{by}", None)),
        (
            "pause",
            {"scope": "rule:x", "reason": "r", "by": "eve", "seconds": 60},
            ("pause", "rule:x", "r", "{by}", 60.0),
        ),
        ("resume", {"by": "eve"}, ("resume", "all", "{by}")),
        ("release", {"reason": "r", "by": "eve"}, ("release", "{by}", "r", "window")),
        ("release", {"reason": "r", "by": "eve", "patience": "none"}, ("release", "{by}", "r", "none")),
        ("rules/x/restore", {"by": "eve", "reason": "r"}, ("restore", "x", "", "{by}", "r")),
        (
            "run",
            {"playbook": "p", "params": {"a": "1"}, "by": "eve", "reason": "r"},
            ("run", "p", {"a": "1"}, "{by}", "r"),
        ),
    ],
)
async def test_what_people_do_carries_the_authenticated_name(
    local: Any, guarded: Any, tokens: Any, path: str, body: dict[str, object], asked: tuple[object, ...]
) -> None:
    for house, token, by in ((local, "", "eve"), (guarded, tokens["admin"], "dora")):
        house.surface.error = None
        async with house.client(token) as client:
            answer = await client.post(f"/api/v1/{path}", json=body)
        assert house.surface.asked == [tuple(by if part == "{by}" else part for part in asked)]
        assert answer.status_code == (409 if "approve" in path else 200)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("incidents/inc-1/approve", {"digest": "d"}),
        ("incidents/inc-1/undo", {}),
        ("pause", {"reason": "r"}),
        ("run", {"playbook": "p", "reason": "r"}),
    ],
)
async def test_an_anonymous_hand_is_refused_on_an_open_house(local: Any, path: str, body: dict[str, object]) -> None:
    async with local.client() as client:
        answer = await client.post(f"/api/v1/{path}", json=body)
    assert answer.status_code == 400
    assert "name" in answer.json()["error"]
    assert local.surface.asked == []


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("incidents/x/approve", {"by": "eve"}, "expected {digest, by?, reason?}"),
        ("incidents/x/approve", {"digest": 5}, "digest"),
        ("incidents/x/approve", {"digest": "d", "force": True}, "force"),
        ("pause", {"reason": "r", "by": "e", "seconds": -1}, "seconds"),
        ("pause", {"reason": "r", "by": "e", "seconds": 1e12}, "seconds"),
        ("explain", {"labels": {"a": 1}}, "labels"),
        ("run", [], "object"),
    ],
)
async def test_a_misspelt_body_is_refused_and_named(local: Any, path: str, body: object, word: str) -> None:
    async with local.client() as client:
        answer = await client.post(f"/api/v1/{path}", json=body)
    assert answer.status_code == 400
    assert word in answer.json()["error"]
    assert local.surface.asked == []


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b""])
async def test_what_is_no_json_is_400(local: Any, body: bytes) -> None:
    async with local.client() as client:
        answer = await client.post("/api/v1/explain", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


async def test_a_form_from_elsewhere_is_not_json(local: Any) -> None:
    async with local.client() as client:
        answer = await client.post(
            "/api/v1/pause", content=b'{"reason":"x","by":"e"}', headers={"Content-Type": "text/plain"}
        )
    assert answer.status_code == 415


async def test_a_large_request_is_413(make_house: Any, local: Any) -> None:
    async with local.client() as client:
        answer = await client.post("/api/v1/explain", json={"labels": {"a": "x" * 300_000}})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (RefusedRequest(404, "no such incident"), 404, "not_found"),
        (RefusedRequest(409, "too late; ana was first"), 409, "conflict"),
        (NotCommitted("no space"), 503, "unavailable"),
        (RuntimeError("a secret detail"), 500, "internal"),
    ],
)
async def test_errors_have_their_status_and_sentence(local: Any, error: Exception, status: int, kind: str) -> None:
    local.surface.error = error
    async with local.client() as client:
        answer = await client.get("/api/v1/incidents/inc-1")
    assert answer.status_code == status
    found = answer.json()
    assert (found["status"], found["errorType"]) == ("error", kind)
    assert ("secret detail" in found["error"]) is False
    if status < 500:
        assert found["error"] == str(error)


async def test_health_and_readiness_say_what_is_so(local: Any) -> None:
    async with local.client() as client:
        assert (await client.get("/-/healthy")).status_code == 200
        assert (await client.head("/-/healthy")).status_code == 200
        assert (await client.get("/-/ready")).status_code == 200
        local.surface.reasons = ("the journal cannot be written: no space",)
        answer = await client.get("/-/ready")
        assert (answer.status_code, "no space" in answer.text) == (503, True)
        assert (await client.head("/-/ready")).status_code == 503
        assert (await client.get("/-/healthy")).status_code == 200


async def test_a_refused_reload_is_500_with_the_problems_as_text(local: Any) -> None:
    async with local.client() as client:
        assert (await client.post("/-/reload")).text == "5 rules are in force, digest 0123456789abcdef.\n"
        local.surface.reload_answer = ReloadView(ok=False, rules=5, digest="x", problems=("rules/a.yml:3:1: error",))
        answer = await client.post("/-/reload")
    assert answer.status_code == 500
    assert "rules/a.yml:3:1: error" in answer.text
    assert local.surface.asked == [("reload", "local"), ("reload", "local")]


async def test_metrics_are_the_exposition_text(local: Any) -> None:
    async with local.client() as client:
        answer = await client.get("/metrics")
    assert answer.text == "remediator_build_info 1\n"
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_every_answer_carries_the_headers_that_browsers_need(local: Any) -> None:
    async with local.client() as client:
        for path in ("/api/v1/status", "/-/healthy", "/nowhere"):
            answer = await client.get(path)
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/rules/", "/incidents/", "/api/v1/status/", "/-/ready/"])
async def test_a_slash_too_many_is_404_and_no_redirect(local: Any, path: str) -> None:
    async with local.client() as client:
        assert (await client.get(path)).status_code == 404
