"""The proxy before the Docker socket: five requests and no others, and answers without anybody's secrets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from remediator import docker_proxy
from remediator.actions.docker import DockerRestart
from remediator.actions.http_client import HttpClient
from remediator.actions.targets import DockerTarget
from remediator.cli.root import root
from remediator.core.outcomes import Result
from remediator.demo.docker import create_app
from remediator.docker_proxy import NotAllowed, Proxy, ProxyOptions
from remediator.ports import Call
from remediator.web.listening import server_for

ID = "f" * 64
STATE = {"Status": "running", "Running": True, "Restarting": False, "StartedAt": "2026-11-24T10:00:00Z", "Pid": 4711}
INSPECTED = {
    "Id": ID,
    "Name": "/mta1",
    "State": {**STATE, "Health": {"Status": "healthy", "Log": [{"Output": "token=hunter2"}]}},
    "Config": {"Env": ["TOKEN=hunter2"]},
    "HostConfig": {"Binds": ["/:/host"]},
}


class Engine:
    """What the Engine was asked; `status` is what it answers with."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.status = 0

    async def serve(self, request: Request) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        self.asked.append((request.method, request.url.path + query, await request.body()))
        if self.status:
            return JSONResponse({"message": "the engine's own words"}, self.status)
        if request.url.path == "/containers/json":
            other = {"Id": "0", "Names": ["/database"], "State": "running", "Labels": {"secret": "hunter2"}}
            ours = {"Id": ID, "Names": ["/mta1"], "State": "running", "Status": "Up", "Labels": {"secret": "hunter2"}}
            return JSONResponse([other, ours, "odd", {"Names": None}])
        if request.url.path.endswith("/json"):
            return JSONResponse(INSPECTED)
        if request.url.path.endswith("/logs"):
            return Response(b"line\n", media_type="application/vnd.docker.raw-stream")
        return Response(status_code=204) if request.method == "POST" else Response(b"OK")


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    behind = Starlette(routes=[Route("/{path:path}", engine.serve, methods=["GET", "POST", "DELETE", "PUT", "HEAD"])])
    app = Proxy(["mta1", "mta-2"], httpx.ASGITransport(app=behind)).app()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://docker") as asking:
        yield asking


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("GET", "/_ping", "/_ping"),
        ("GET", "/containers/json?all=1&filters=x", "/containers/json?all=1"),
        ("GET", "/v1.45/containers/mta1/json?size=1", "/containers/mta1/json"),
        (
            "GET",
            "/containers/mta-2/logs?since=5&tail=9&follow=1",
            "/containers/mta-2/logs?stdout=1&stderr=1&since=5&tail=9",
        ),
        ("POST", "/containers/mta1/restart?t=60&signal=9", "/containers/mta1/restart?t=60"),
        ("POST", "/containers/mta1/restart", "/containers/mta1/restart?t=10"),
    ],
)
async def test_what_is_allowed_is_asked_anew_and_nothing_of_the_caller_is_passed_on(
    client: httpx.AsyncClient, engine: Engine, method: str, path: str, asked: str
) -> None:
    answer = await client.request(method, path, content=b'{"Cmd": "evil"}', headers={"x-registry-auth": "x"})
    assert answer.status_code < 300
    assert engine.asked == [(method, asked, b"")]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/info"),
        ("GET", "/containers/database/json"),
        ("POST", "/containers/database/restart"),
        ("POST", "/containers/mta1/stop"),
        ("POST", "/containers/mta1/exec"),
        ("POST", "/containers/mta1/update"),
        ("POST", "/containers/create"),
        ("DELETE", "/containers/mta1"),
        ("PUT", "/containers/mta1/archive"),
        ("GET", "/containers/mta1/archive"),
        ("GET", "/containers/mta1/restart"),
        ("POST", "/containers/mta1/json"),
        ("POST", "/containers/../containers/create"),
        ("POST", "/containers/mta1/restart/../../create"),
        ("POST", "/containers/mta1%2f..%2fdatabase/restart"),
        ("POST", "/containers/%6dta1/restart"),
        ("POST", "/containers/mta1/restart/"),
        ("POST", "//containers/mta1/restart"),
        ("POST", "/v1.45/v1.45/containers/mta1/restart"),
        ("POST", "/containers/mta1/restart?t=0"),
        ("POST", "/containers/mta1/restart?t=601"),
        ("POST", "/containers/mta1/restart?t=-1"),
        ("POST", "/containers/mta1/restart?t=1%0d%0a"),
        ("GET", "/containers/mta1/logs?tail=all"),
    ],
)
async def test_everything_else_is_refused_and_never_reaches_the_engine(
    client: httpx.AsyncClient, engine: Engine, method: str, path: str
) -> None:
    answer = await client.send(
        client.build_request(method, httpx.URL("http://docker").copy_with(raw_path=path.encode()))
    )
    assert answer.status_code == 403, answer.text
    assert "not allowed by remediator docker-proxy" in answer.json()["message"]
    assert engine.asked == []


@given(raw=st.text(max_size=60))
def test_whatever_the_path_it_is_plain_parts_or_refused(raw: str) -> None:
    try:
        parts = docker_proxy._parts(raw)
    except NotAllowed:
        return
    assert all(part and part.isascii() and part not in {".", ".."} and "/" not in part for part in parts)
    assert all(sign.isalnum() or sign in "-_." for part in parts for sign in part)


async def test_answers_hold_the_state_and_nobody_s_secrets(client: httpx.AsyncClient) -> None:
    inspected = (await client.get("/containers/mta1/json")).json()
    assert inspected["State"]["StartedAt"] == STATE["StartedAt"]
    assert inspected["State"]["Health"] == {"Status": "healthy"}
    listed = (await client.get("/containers/json")).json()
    assert [one["Names"] for one in listed] == [["/mta1"]]
    assert "hunter2" not in json.dumps([inspected, listed])
    assert "Pid" not in inspected["State"]


@pytest.mark.parametrize("path", ["/containers/json", "/containers/mta1/json", "/containers/mta1/logs", "/_ping"])
async def test_the_engine_s_own_errors_are_passed_on(client: httpx.AsyncClient, engine: Engine, path: str) -> None:
    engine.status = 500
    assert (await client.get(path)).status_code == 500
    assert (await client.post("/containers/mta1/restart")).json() == {"message": "the engine's own words"}


async def test_an_engine_that_is_away_or_silent_is_an_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async def silent(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(docker_proxy, "ENGINE_TIMEOUT", 0.01)
    for behind, status in ((away, 502), (silent, 504)):
        app = Proxy(["mta1"], httpx.MockTransport(behind)).app()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://docker") as client:
            assert (await client.get("/containers/mta1/json")).status_code == status


async def test_our_own_action_restarts_through_it_over_real_sockets(tmp_path: Path) -> None:
    engine = Starlette(routes=create_app("mta1", "http://127.0.0.1:1").routes)
    restarted: list[str] = []

    async def restart(request: Request) -> Response:
        restarted.append(request.path_params["name"])
        return Response(status_code=204)

    engine.router.routes.insert(0, Route("/containers/{name}/restart", restart, methods=["POST"]))
    inner, outer = tmp_path / "engine.sock", tmp_path / "proxy.sock"
    server, there = server_for(engine), asyncio.Event()
    with docker_proxy._listener(inner) as listener:
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        options = ProxyOptions(engine=inner, listen=outer, allow=("mta1",))
        proxy = asyncio.ensure_future(docker_proxy._run(options, there.set))
        await there.wait()
        action = DockerRestart(DockerTarget(socket=outer, allow=frozenset({"mta1"})), http=HttpClient(socket=outer))
        call = Call(arguments={"container": "mta1", "stop_timeout": 1}, key="k", timeout=20.0, now=0.0)
        outcome = await action.perform(call)
        assert outcome.result is Result.OK, outcome.sentence
        assert restarted == ["mta1"]
        os.kill(os.getpid(), signal.SIGTERM)
        assert await proxy == 0
        assert not outer.exists()
        server.should_exit = True
        await serving


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["--allow", "mta1"], "is not a socket; name the Docker Engine's"),
        (["--allow", "mta1/.."], "is no name"),
    ],
)
def test_what_keeps_it_from_starting_is_a_sentence(tmp_path: Path, line: list[str], told: str) -> None:
    paths = ["--engine", str(tmp_path / "none"), "--listen", str(tmp_path / "out")]
    done = CliRunner().invoke(root, ["docker-proxy", *paths, *line])
    assert (done.exit_code, told in done.stderr) == (1, True), done.stderr
