"""Who may do what: the whole table of routes against every credential, rotation, and what stays closed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from remediator.web.auth import Auth, Credentials, Person, Rereading, Scope, is_loopback, refuse_open_listener

WHO = ("none", "wrong", "webhook", "read", "approve", "admin")
DENIED = (401, 403)
# Every route with the scope that it needs. A route that is not in here fails the test below.
TABLE = {
    "GET /-/healthy": "open",
    "GET /-/ready": "open",
    "GET /static/{file}": "open",
    "GET /sign-in": "open",
    "POST /sign-in": "open",
    "POST /sign-out": "open",
    "POST /-/reload": "admin",
    "POST /api/v1/run": "admin",
    "GET /metrics": "read",
    "GET /api/v1/status": "read",
    "GET /api/v1/rules": "read",
    "GET /api/v1/incidents": "read",
    "GET /api/v1/incidents/{name}": "read",
    "GET /api/v1/entries": "read",
    "GET /api/v1/stream": "read",
    "POST /api/v1/explain": "read",
    "POST /api/v1/incidents/{name}/approve": "approve",
    "POST /api/v1/incidents/{name}/reject": "approve",
    "POST /api/v1/incidents/{name}/undo": "approve",
    "POST /api/v1/incidents/{name}/decide": "approve",
    "POST /api/v1/pause": "approve",
    "POST /api/v1/resume": "approve",
    "POST /api/v1/release": "admin",
    "POST /api/v1/rules/{name}/restore": "approve",
    "GET /": "read",
    "GET /index.json": "read",
    "GET /incidents": "read",
    "GET /incidents.json": "read",
    "GET /incidents/{name}": "read",
    "GET /incidents/{name}.json": "read",
    "GET /rules": "read",
    "GET /rules.json": "read",
    "POST /incidents/{name}/approve": "approve",
    "POST /incidents/{name}/reject": "approve",
    "POST /incidents/{name}/undo": "approve",
    "POST /incidents/{name}/decide": "approve",
    "POST /pause": "approve",
    "POST /resume": "approve",
    "POST /rules/{name}/restore": "approve",
}


def expected(need: str, who: str) -> int:
    """401 for nobody, 403 for somebody who may not, 200 for who may."""
    order = {"open": 0, "read": 1, "approve": 2, "admin": 3}
    if need == "open":
        return 200
    if who in {"none", "wrong"}:
        return 401
    if who == "webhook":
        return 403
    return 200 if order[who] >= order[need] else 403


async def knock(house: Any, method: str, path: str, token: str) -> httpx.Response:
    house.app.stop()  # so that the stream answers at once
    async with house.client(token) as client:
        where = path.replace("{name}", "inc-7f3kq2m8").replace("{file}", "console.css")
        answer: httpx.Response = await client.request(method, where)
        return answer


async def test_every_route_is_in_the_table_and_only_those(guarded: Any) -> None:
    assert {f"{door.method} {door.path}" for door in guarded.app.doors} == set(TABLE)
    mounted = {route.path for route in guarded.app._inner.routes}
    assert mounted == {door.path for door in guarded.app.doors}


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("route", TABLE)
async def test_the_route_lets_in_exactly_who_may(guarded: Any, tokens: Any, route: str, who: str) -> None:
    method, path = route.split(" ")
    token = {"none": "", "wrong": "z" * 32}.get(who) if who in {"none", "wrong"} else tokens[who]
    answer = await knock(guarded, method, path, str(token))
    want = expected(TABLE[route], who)
    if want == 200:
        assert answer.status_code not in DENIED or "form" in answer.text  # a body is missing here, the door is open
        return
    assert answer.status_code == want
    assert guarded.surface.asked == []
    if want == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("who", ["read", "approve", "admin"])
async def test_a_person_is_not_the_webhook(guarded: Any, tokens: Any, who: str) -> None:
    async with guarded.client(tokens[who]) as client:
        answer = await client.post("/api/v1/alerts", json={"alerts": []})
    assert answer.status_code == 401


@pytest.mark.parametrize("route", TABLE)
async def test_a_house_without_people_on_an_open_address_lets_nobody_in(
    make_house: Any, tokens: Any, route: str
) -> None:
    house = make_house(Credentials(webhook_tokens=(tokens["webhook"],)), listen="0.0.0.0:9097")
    method, path = route.split(" ")
    if TABLE[route] == "open":
        return
    for token in ("", "None", tokens["webhook"], tokens["admin"]):
        assert (await knock(house, method, path, token)).status_code in DENIED
    assert house.surface.asked == []


async def test_without_people_this_machine_may_do_everything(local: Any) -> None:
    async with local.client() as client:
        assert (await client.get("/api/v1/status")).status_code == 200
        assert (await client.post("/-/reload")).status_code == 200


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Host", "evil.example", 403),
        ("Host", "evil.example:9097", 403),
        ("Host", "127.0.0.1.evil.example:9097", 403),
        ("Host", "localhost:9097", 200),
        ("Host", "[::1]:9097", 200),
        ("Host", "[::1]", 200),
        ("Host", "127.0.0.1", 200),
        ("X-Forwarded-For", "192.0.2.1", 401),
        ("Forwarded", "for=192.0.2.1", 401),
    ],
)
async def test_only_this_machine_under_its_own_name_is_believed(
    local: Any, header: str, value: str, status: int
) -> None:
    async with local.client(**{header: value}) as client:
        assert (await client.get("/api/v1/status")).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:9097"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 200),
    ],
)
async def test_a_post_from_another_site_is_refused(local: Any, headers: dict[str, str], status: int) -> None:
    async with local.client(**headers) as client:
        answer = await client.post("/api/v1/pause", json={"reason": "r", "by": "eve"})
    assert answer.status_code == status
    assert bool(local.surface.asked) is (status == 200)


def test_two_webhook_secrets_are_valid_while_one_is_changed(full_credentials: Credentials) -> None:
    auth = Auth(lambda: full_credentials, listen_address="0.0.0.0:9097")
    assert [auth.admits_webhook(b"Bearer " + token * 32) for token in (b"w", b"v", b"x")] == [True, True, False]


def test_changed_secrets_count_without_a_restart(now: float) -> None:
    clock, secret = [now], ["a" * 32]
    reread = Rereading(lambda: Credentials(webhook_tokens=(secret[0],)), lambda: clock[0], seconds=5.0)
    auth = Auth(reread, listen_address="0.0.0.0:9097")
    secret[0] = "b" * 32
    assert auth.admits_webhook(b"Bearer " + b"a" * 32)
    clock[0] += 5
    assert not auth.admits_webhook(b"Bearer " + b"a" * 32)
    assert auth.admits_webhook(b"Bearer " + b"b" * 32)


@pytest.mark.parametrize("broken", ["", "short", None])
def test_an_emptied_or_unreadable_secret_file_changes_nothing_and_is_told(now: float, broken: str | None) -> None:
    clock = [now]
    secret: list[str | None] = ["a" * 32]

    def load() -> Credentials:
        if secret[0] is None:
            raise FileNotFoundError("/run/secrets/x")
        return Credentials(webhook_tokens=(secret[0],))

    reread = Rereading(load, lambda: clock[0])
    auth = Auth(reread, listen_address="127.0.0.1:9097")
    secret[0] = broken
    clock[0] += 60
    assert auth.admits_webhook(b"Bearer " + b"a" * 32)
    assert not auth.admits_webhook(None)
    assert not auth.admits_webhook(b"Bearer ")
    assert reread.trouble


def test_credentials_that_vanish_never_open_a_door() -> None:
    found = [Credentials(webhook_tokens=("a" * 32,), people=(Person(name="ana", token="b" * 32, scope=Scope.READ),))]
    auth = Auth(lambda: found[0], listen_address="127.0.0.1:9097")
    found[0] = Credentials()
    assert not auth.local
    assert not auth.webhook_open
    assert not auth.admits_webhook(None)
    assert auth.caller(None).scope is Scope.OPEN


@pytest.mark.parametrize(
    ("credentials", "word"),
    [
        (Credentials(webhook_tokens=("short",)), "5 characters"),
        (Credentials(webhook_users=(("am", ""),)), "0 characters"),
        (Credentials(people=(Person(name="ana", token="x" * 8, scope=Scope.READ),)), "'ana'"),
        (Credentials(people=(Person(name="", token="x" * 32, scope=Scope.READ),)), "no name"),
        (
            Credentials(people=(Person(name="ana", token="x" * 32, scope=Scope.WEBHOOK),)),
            "expected read, approve or admin",
        ),
        (
            Credentials(webhook_tokens=("x" * 32,), people=(Person(name="a", token="x" * 32, scope=Scope.READ),)),
            "twice",
        ),
    ],
)
def test_weak_credentials_are_named_without_the_secret(credentials: Credentials, word: str) -> None:
    (sentence,) = credentials.faults()
    assert word in sentence
    assert "xxxxxxxx" not in sentence


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:9097", True),
        ("127.8.9.1:9097", True),
        ("[::1]:9097", True),
        ("localhost:9097", True),
        ("0.0.0.0:9097", False),
        ("[::]:9097", False),
        (":9097", False),
        ("192.0.2.1:9097", False),
        ("localhost.evil.example:9097", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


def test_an_open_listener_without_credentials_is_refused_with_what_to_write(full_credentials: Credentials) -> None:
    nobody = Auth(Credentials, listen_address="0.0.0.0:9097")
    sentence = refuse_open_listener("0.0.0.0:9097", nobody)
    assert "web.bearer_token_files" in sentence
    assert "web.people" in sentence
    assert "127.0.0.1" in sentence
    half = Auth(lambda: Credentials(webhook_tokens=("w" * 32,)), listen_address=":9097")
    assert "web.people" in refuse_open_listener(":9097", half)
    assert "web.bearer_token_files" not in refuse_open_listener(":9097", half)
    assert refuse_open_listener("127.0.0.1:9097", nobody) == ""
    assert refuse_open_listener("0.0.0.0:9097", Auth(lambda: full_credentials, listen_address="0.0.0.0:9097")) == ""
