"""The console: what the pages show, that hostile text stays text, and that a form acts only for who sent it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from remediator.core.views import DemotionView, PauseView
from remediator.errors import NotCommitted, RefusedRequest

PAGES = ("/", "/incidents", "/incidents/inc-2aaaaaaa", "/rules")
PAYLOADS = (
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)",
    "</title><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "<!--",
    "javascript:alert(1)",
    "\u202eevil\u2066",
    "x" * 4096,
    "a\x00b\x1b[31m",
)


class Outline(HTMLParser):
    """What a browser makes of a page: its tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(f"{tag}.{name}", value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


async def fetched(house: Any, path: str, token: str = "") -> httpx.Response:
    async with house.client(token, Accept="text/html") as client:
        answer: httpx.Response = await client.get(path)
        return answer


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_has_one_headline_landmarks_and_no_inline_script_or_style(local: Any, path: str) -> None:
    answer = await fetched(local, path)
    page = Outline(answer.text)
    assert answer.status_code == 200
    assert [page.tags.count(tag) for tag in ("h1", "main", "header", "nav", "footer")] == [1] * 5
    assert page.tags.count("script") == 1
    assert not [name for name, _value in page.attributes if re.search(r"\.(on\w+|style)$", name)]
    assert "style" not in page.tags
    assert {value for name, value in page.attributes if name == "html.lang"} == {"en"}


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("path", PAGES)
async def test_hostile_text_changes_no_tag_of_a_page(local: Any, path: str, payload: str) -> None:
    harmless = Outline((await fetched(local, path)).text)
    local.surface.domain = payload
    answer = await fetched(local, path)
    hostile = Outline(answer.text)
    assert answer.status_code == 200
    assert hostile.tags == harmless.tags
    assert [name for name, _value in hostile.attributes] == [name for name, _value in harmless.attributes]
    assert not [value for name, value in hostile.attributes if name == "a.href" and value.startswith("javascript")]
    assert not re.search("[\x00\x1b\u202a-\u202e\u2066-\u2069]", answer.text)


async def test_an_unsafe_runbook_link_is_no_link(local: Any) -> None:
    from remediator.web.wording import safe_url

    assert safe_url("https://runbooks.example.com/x#y") == "https://runbooks.example.com/x#y"
    assert [safe_url(url) for url in ("javascript:alert(1)", "data:text/html,x", "//evil.example", "")] == [""] * 4


async def test_now_shows_what_needs_you_runs_waits_and_will_be_undone(local: Any) -> None:
    words = Outline((await fetched(local, "/")).text).words
    for expected in (
        "Needs you 2",
        "Running 1",
        "Held back 1",
        "Will be undone 1",
        "Last 24 hours",
        "awaiting approval",
    ):
        assert expected in words
    assert "wants to: suspend the ready queues of example.com on mta1 for 2h" in words
    assert "in 1h 8m" in words


async def test_an_empty_now_proves_that_it_lives(local: Any) -> None:
    local.surface.busy, local.surface.found = False, []
    words = Outline((await fetched(local, "/")).text).words
    assert "Nothing to do." in words
    assert "Last notification 14s ago ; 12 taken, 12 decided, 0 waiting." in words


async def test_a_pause_is_on_every_page_with_its_author_reason_and_end(local: Any, now: float) -> None:
    local.surface.pauses = (PauseView(scope="all", reason="db migration", by="ana", at=now, until=now + 60),)
    for path in PAGES:
        words = Outline((await fetched(local, path)).text).words
        assert "PAUSED everything by ana: db migration, until 14:14:20 UTC" in words


def demotion(now: float, *, rule: str = "high-bounce-rate", target: str = "", tries_at: float = 0.0) -> DemotionView:
    return DemotionView(
        rule=rule, target=target, mode="approve", reason="3 runs did not help.", since=now - 60, tries_at=tries_at
    )


async def test_what_the_breaker_took_is_shown_with_its_reason_and_the_ways_back(local: Any, now: float) -> None:
    here = demotion(now, target=f"domain={local.surface.domain}", tries_at=now + 3600)
    other = demotion(now, rule="gone")
    local.surface.demoted = (here, other)
    page = Outline((await fetched(local, "/rules")).text)
    assert f"May go no further than approve on domain={local.surface.domain}" in page.words
    assert "one run may try in 1h" in page.words
    assert "3 runs did not help. Since 1m ago . A run that helps restores it by itself." in page.words
    assert "gone not loaded May go no further than approve on every target" in page.words
    assert ("form.action", "/rules/high-bounce-rate/restore") in page.attributes
    assert ("input.value", f"domain={local.surface.domain}") in page.attributes
    words = Outline((await fetched(local, "/incidents/inc-2aaaaaaa")).text).words
    assert "The breaker holds high-bounce-rate back here" not in words  # its target is another one
    local.surface.demoted = (demotion(now),)
    words = Outline((await fetched(local, "/incidents/inc-2aaaaaaa")).text).words
    assert "The breaker holds high-bounce-rate back here May go no further than approve on every target" in words
    assert "one run may try 3 runs" in words


async def test_dry_run_is_said_on_every_page(local: Any) -> None:
    local.surface.mode = "dry-run"
    for path in PAGES:
        assert "DRY-RUN Nothing is touched." in Outline((await fetched(local, path)).text).words


async def test_an_incident_tells_its_story_with_the_guards_and_the_facts(local: Any) -> None:
    page = Outline((await fetched(local, "/incidents/inc-2aaaaaaa")).text)
    for expected in ("cooldown ✓ allow last run 3h ago", "rate-limit ‖ defer 2 of 2 used", "Entry 5, step.outcome"):
        assert expected in page.words
    assert page.tags.count("details") >= 5


async def test_the_filter_of_the_list_reaches_the_store_and_stays_filled_in(local: Any) -> None:
    answer = await fetched(local, "/incidents?since=24h&rule=high-bounce-rate&result=failed&status=&label=domain%3Dx")
    wanted = next(asked[1] for asked in local.surface.asked if asked[0] == "incidents")
    assert (wanted.rule, wanted.result, wanted.status, wanted.labels) == (
        "high-bounce-rate",
        "failed",
        "",
        {"domain": "x"},
    )
    assert ("input.value", "domain=x") in Outline(answer.text).attributes


async def test_a_rule_that_starts_by_the_clock_is_shown_with_its_next_time(local: Any) -> None:
    words = Outline((await fetched(local, "/rules")).text).words
    assert "0 9 * * * (Europe/Berlin)" in words
    assert ", next 20" in words


async def test_an_unknown_incident_is_a_page_that_says_so(local: Any) -> None:
    answer = await fetched(local, "/incidents/inc-none")
    assert answer.status_code == 404
    assert "there is no incident inc-none" in Outline(answer.text).words


async def test_a_failing_store_is_a_page_that_says_so(local: Any) -> None:
    local.surface.error = NotCommitted("<b>no space</b>")
    answer = await fetched(local, "/incidents/inc-1")
    assert answer.status_code == 503
    assert "nothing was done: <b>no space</b>" in Outline(answer.text).words


# ── forms ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def form_token(html: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', html)
    assert found is not None
    return found[1]


FORMS = (
    ("/incidents/inc-2aaaaaaa/approve", {"digest": "{digest}", "reason": "fine"}, "approve", "/incidents/inc-2aaaaaaa"),
    ("/incidents/inc-2aaaaaaa/reject", {"reason": "no"}, "reject", "/incidents/inc-2aaaaaaa"),
    ("/incidents/inc-2aaaaaaa/undo", {"run": "inc-2aaaaaaa.1", "step": "0"}, "undo", "/incidents/inc-2aaaaaaa"),
    ("/incidents/inc-2aaaaaaa/decide", {"decision": "abort", "reason": "r"}, "decide", "/incidents/inc-2aaaaaaa"),
    ("/pause", {"scope": "all", "reason": "db", "length": "4h"}, "pause", "/"),
    ("/resume", {"scope": "all"}, "resume", "/"),
    ("/rules/x/restore", {"target": "domain=a", "reason": "new relay"}, "restore", "/rules"),
)


def digest_in(html: str) -> str:
    found = re.search(r'name="digest" value="([0-9a-f]{16})"', html)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(("path", "fields", "word", "after"), FORMS)
async def test_a_form_does_what_it_says_and_returns_to_the_page(
    local: Any, path: str, fields: dict[str, str], word: str, after: str
) -> None:
    page = (await fetched(local, "/incidents/inc-2aaaaaaa")).text
    local.surface.asked.clear()
    filled = {**fields, "by": "ana", "form_token": form_token(page)}
    if "digest" in filled:
        filled["digest"] = digest_in(page)
    async with local.client() as client:
        answer = await client.post(path, data=filled)
    assert (answer.status_code, answer.headers["location"]) == (303, after)
    (asked,) = local.surface.asked
    assert asked[0] == word
    assert "ana" in asked


@pytest.mark.parametrize(("path", "fields", "_word", "_after"), FORMS)
@pytest.mark.parametrize("wrong", ["", "0" * 64, "ü"])
async def test_a_form_without_this_sessions_token_does_nothing(
    local: Any, path: str, fields: dict[str, str], _word: str, _after: str, wrong: str
) -> None:
    async with local.client() as client:
        answer = await client.post(path, data={**fields, "by": "ana", "form_token": wrong})
    assert answer.status_code == 403
    assert local.surface.asked == []


@pytest.mark.parametrize(("path", "_fields", "_word", "_after"), FORMS)
async def test_a_get_never_acts(local: Any, path: str, _fields: object, _word: str, _after: str) -> None:
    async with local.client(Accept="text/html") as client:
        for method in ("GET", "HEAD"):
            assert (await client.request(method, path)).status_code in {404, 405}
    assert local.surface.asked == []


async def test_a_stale_tab_cannot_approve_another_plan(local: Any) -> None:
    page = (await fetched(local, "/incidents/inc-2aaaaaaa")).text
    local.surface.domain = "other.example"  # the plan has changed since the page was made
    async with local.client() as client:
        fields = {"digest": digest_in(page), "by": "ana", "form_token": form_token(page)}
        answer = await client.post("/incidents/inc-2aaaaaaa/approve", data=fields)
    assert answer.status_code == 409
    assert "look again" in Outline(answer.text).words


async def test_a_form_without_a_name_or_reason_is_refused(local: Any) -> None:
    token = form_token((await fetched(local, "/")).text)
    async with local.client() as client:
        for fields in ({"reason": "x"}, {"by": "ana"}, {"by": "ana", "reason": "x", "length": "9y"}):
            answer = await client.post("/pause", data={**fields, "form_token": token})
            assert answer.status_code == 400
    assert local.surface.asked == [asked for asked in local.surface.asked if asked[0] != "pause"]


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────────
async def signed_in(house: Any, token: str) -> httpx.AsyncClient:
    client: httpx.AsyncClient = house.client(Accept="text/html")
    answer = await client.post("/sign-in", data={"token": token, "next": "/incidents"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/incidents")
    return client


async def test_nobody_sees_the_sign_in_instead_of_the_page(guarded: Any) -> None:
    answer = await fetched(guarded, "/incidents?rule=x")
    page = Outline(answer.text)
    assert answer.status_code == 401
    assert "Sign in" in page.words
    assert ("input.value", "/incidents") in page.attributes
    assert guarded.surface.asked == []


async def test_a_token_opens_a_session_with_a_careful_cookie(guarded: Any, tokens: Any) -> None:
    async with guarded.client() as client:
        answer = await client.post("/sign-in", data={"token": tokens["read"]})
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Max-Age=43200"} <= set(cookie.split("; "))
    assert tokens["read"] not in cookie
    async with guarded.client() as client:
        again = await client.post("https://127.0.0.1:9097/sign-in", data={"token": tokens["read"]})
    assert "Secure" in again.headers["set-cookie"]


async def test_a_session_acts_in_its_own_name_whatever_the_form_says(guarded: Any, tokens: Any) -> None:
    client = await signed_in(guarded, tokens["approve"])
    page = (await client.get("/")).text
    guarded.surface.asked.clear()
    answer = await client.post(
        "/pause", data={"reason": "r", "by": "eve", "length": "", "form_token": form_token(page)}
    )
    assert answer.status_code == 303
    assert guarded.surface.asked == [("pause", "all", "r", "ana", None)]


async def test_a_reader_sees_no_form_and_may_send_none(guarded: Any, tokens: Any) -> None:
    client = await signed_in(guarded, tokens["read"])
    page = (await client.get("/incidents/inc-2aaaaaaa")).text
    assert 'action="/incidents/inc-2aaaaaaa/approve"' not in page
    guarded.surface.asked.clear()
    answer = await client.post("/pause", data={"reason": "r", "form_token": form_token(page)})
    assert answer.status_code == 403
    assert guarded.surface.asked == []


async def test_the_form_token_of_one_session_is_worth_nothing_in_another(guarded: Any, tokens: Any) -> None:
    first = await signed_in(guarded, tokens["approve"])
    second = await signed_in(guarded, tokens["admin"])
    token = form_token((await first.get("/")).text)
    answer = await second.post("/pause", data={"reason": "r", "form_token": token})
    assert answer.status_code == 403


async def test_a_cookie_alone_changes_nothing_through_the_api(guarded: Any, tokens: Any) -> None:
    client = await signed_in(guarded, tokens["admin"])
    assert (await client.get("/api/v1/status")).status_code == 200
    guarded.surface.asked.clear()
    assert (await client.post("/api/v1/pause", json={"reason": "r"})).status_code == 401
    assert (await client.post("/-/reload")).status_code == 401
    assert guarded.surface.asked == []


@pytest.mark.parametrize("change", ["name", "time", "seal", "rest", "empty"])
async def test_a_changed_cookie_is_nobodys(guarded: Any, tokens: Any, change: str) -> None:
    client = await signed_in(guarded, tokens["read"])
    name, expires, seal = client.cookies["remediator_session"].strip('"').split(".")
    changed = {
        "name": f"{'ZG9yYQ=='}.{expires}.{seal}",
        "time": f"{name}.{int(expires) + 1}.{seal}",
        "seal": f"{name}.{expires}.{seal[:-1]}{'0' if seal[-1] != '0' else '1'}",
        "rest": f"{name}.{expires}.{seal}0",
        "empty": "..",
    }[change]
    async with guarded.client(Cookie=f'remediator_session="{changed}"', Accept="text/html") as other:
        assert (await other.get("/")).status_code == 401


async def test_a_session_ends_with_its_time_and_with_its_token(
    make_house: Any, full_credentials: Any, tokens: Any
) -> None:
    clock, found = [1_790_000_000.0], [full_credentials]
    sessions = _sessions(found, clock)
    cookie = _cookie(sessions, full_credentials.people[0])
    assert _caller(sessions, cookie) == "rita"
    clock[0] += 12 * 3600
    assert _caller(sessions, cookie) is None
    clock[0] -= 12 * 3600 - 1
    assert _caller(sessions, cookie) == "rita"
    found[0] = replace(full_credentials, people=(replace(full_credentials.people[0], token="n" * 32),))
    assert _caller(sessions, cookie) is None


def _sessions(found: list[Any], clock: list[float]) -> Any:
    from remediator.web.auth import Auth
    from remediator.web.sessions import Sessions

    return Sessions(Auth(lambda: found[0], listen_address="0.0.0.0:9097"), b"s" * 32, lambda: clock[0])


def _cookie(sessions: Any, person: Any) -> str:
    from starlette.responses import Response

    response = Response()
    sessions.open(response, person, secure="http")
    return response.headers["set-cookie"].split(";")[0]


def _caller(sessions: Any, cookie: str) -> str | None:
    from starlette.requests import Request

    found = sessions.caller(Request({"type": "http", "headers": [(b"cookie", cookie.encode())]}))
    return found.name if found is not None else None


async def test_signing_out_takes_the_cookie_away(guarded: Any, tokens: Any) -> None:
    client = await signed_in(guarded, tokens["read"])
    token = form_token((await client.get("/")).text)
    assert (await client.post("/sign-out", data={"form_token": token})).status_code == 303
    assert (await client.get("/")).status_code == 401


async def test_a_sign_in_leads_to_no_other_site(guarded: Any, tokens: Any) -> None:
    async with guarded.client() as client:
        for target in (
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
            "/a\r\nX: y",
        ):
            answer = await client.post("/sign-in", data={"token": tokens["read"], "next": target})
            assert answer.headers["location"] == "/"


async def test_who_keeps_guessing_has_to_wait(guarded: Any, tokens: Any) -> None:
    async with guarded.client() as client:
        codes = [(await client.post("/sign-in", data={"token": f"guess{n}"})).status_code for n in range(11)]
        assert codes == [401] * 10 + [429]
        assert (await client.post("/sign-in", data={"token": tokens["admin"]})).status_code == 429


async def test_static_files_come_with_their_type_and_nothing_else_comes(guarded: Any) -> None:
    async with guarded.client() as client:
        for name, kind in (
            ("console.css", "text/css"),
            ("console.js", "text/javascript"),
            ("favicon.svg", "image/svg+xml"),
        ):
            answer = await client.get(f"/static/{name}")
            assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, kind)
        for name in ("..%2Fconsole.py", "nothing.css", "%2e%2e/console.py"):
            assert (await client.get(f"/static/{name}")).status_code == 404


async def test_refusals_of_people_keep_their_status_on_a_page(local: Any) -> None:
    page = (await fetched(local, "/")).text
    local.surface.error = RefusedRequest(409, "too late; ana was first")
    async with local.client() as client:
        answer = await client.post("/resume", data={"by": "bo", "form_token": form_token(page)})
    assert answer.status_code == 409
    assert "too late; ana was first" in Outline(answer.text).words
