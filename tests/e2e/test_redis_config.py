"""redis.config_set against a real Redis."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis as redis_py

from remediator.actions.redis_config import RedisConfigSet
from remediator.actions.targets import RedisServer, RedisTargets
from remediator.core.outcomes import Result, UndoResult
from remediator.core.params import Json
from remediator.ports import Call

pytestmark = pytest.mark.e2e

ARGUMENTS: dict[str, Json] = {"server": "cache", "parameter": "maxmemory", "value": "64mb"}
PASSWORD = "correct horse"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A Redis of its own: nothing on disk, a password, loopback only."""
    chosen = free_port()
    flags = ["--port", str(chosen), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(tmp_path)]
    server = subprocess.Popen(
        ["redis-server", *flags, "--requirepass", PASSWORD, "--maxmemory", "32mb"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if "Ready to accept connections" in line:
                break
        else:
            pytest.fail("redis-server did not start")
        yield chosen
    finally:
        server.terminate()
        server.communicate(timeout=20)


@pytest.fixture
def client(port: int) -> Iterator[Any]:
    with redis_py.Redis(port=port, password=PASSWORD, decode_responses=True) as one:
        yield one


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    return tmp_path / "password"


@pytest.fixture
def make(port: int, password_file: Path) -> Callable[..., RedisConfigSet]:
    def build(*, password: str = PASSWORD, **more: Any) -> RedisConfigSet:
        password_file.write_text(f"{password}\n", encoding="utf-8")
        server = RedisServer(name="cache", host="127.0.0.1", port=port, password_file=password_file)
        return RedisConfigSet(RedisTargets(servers={"cache": server}, **more))

    return build


def call(arguments: dict[str, Json] | None = None) -> Call:
    return Call(arguments=arguments or ARGUMENTS, key="inc-7f3kq2m8.1/0", timeout=10.0, now=1000.0, expires_at=8200.0)


async def test_a_setting_is_changed_and_set_back(make: Callable[..., RedisConfigSet], client: Any) -> None:
    action = make()
    outcome = await action.perform(call())
    assert outcome.result is Result.OK
    assert client.config_get("maxmemory") == {"maxmemory": "67108864"}
    assert outcome.receipt["prior"] == "33554432"
    assert (await action.undo(call(), outcome.receipt)).result is UndoResult.UNDONE
    assert client.config_get("maxmemory") == {"maxmemory": "33554432"}
    assert (await action.undo(call(), outcome.receipt)).result is UndoResult.GONE


async def test_a_setting_that_somebody_changed_is_left_alone(make: Callable[..., RedisConfigSet], client: Any) -> None:
    action = make()
    outcome = await action.perform(call())
    client.config_set("maxmemory", "1mb")
    assert (await action.undo(call(), outcome.receipt)).result is UndoResult.FOREIGN
    assert client.config_get("maxmemory") == {"maxmemory": "1048576"}


async def test_a_value_that_redis_refuses_is_a_failure(make: Callable[..., RedisConfigSet], client: Any) -> None:
    outcome = await make().perform(call({**ARGUMENTS, "value": "plenty"}))
    assert outcome.result is Result.FAILED
    assert client.config_get("maxmemory") == {"maxmemory": "33554432"}


async def test_a_wrong_password_sets_nothing_and_is_not_told(make: Callable[..., RedisConfigSet], client: Any) -> None:
    outcome = await make(password="wrong horse").perform(call())
    assert outcome.result is Result.NOT_ISSUED
    assert "wrong horse" not in outcome.sentence
    assert client.config_get("maxmemory") == {"maxmemory": "33554432"}


async def test_the_redis_of_our_own_journal_is_never_touched(
    make: Callable[..., RedisConfigSet], client: Any, port: int
) -> None:
    outcome = await make(store=("127.0.0.1", port)).perform(call())
    assert outcome.result is Result.FAILED
    assert "our own journal" in outcome.sentence
    assert client.config_get("maxmemory") == {"maxmemory": "33554432"}


@pytest.mark.parametrize("parameter", ["dir", "save", "requirepass", "bind", "*"])
async def test_a_setting_that_is_not_allowed_is_refused(make: Callable[..., RedisConfigSet], parameter: str) -> None:
    assert make().faults({**ARGUMENTS, "parameter": parameter})
    assert (await make().perform(call({**ARGUMENTS, "parameter": parameter}))).result is Result.FAILED


async def test_the_password_may_stand_in_the_url_s_file_and_may_change(port: int, client: Any, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/0\n", encoding="utf-8")
    action = RedisConfigSet(
        RedisTargets(servers={"cache": RedisServer(name="cache", host="127.0.0.1", port=port, url_file=file)})
    )
    assert (await action.perform(call())).result is Result.OK
    assert client.config_get("maxmemory") == {"maxmemory": "67108864"}
    file.write_text("redis://:wrong@127.0.0.1/0", encoding="utf-8")
    refused = await action.perform(call())
    assert refused.result is not Result.OK
    assert "wrong@" not in refused.sentence
    file.write_text("redis://[", encoding="utf-8")
    assert "it holds no URL" in (await action.perform(call())).sentence
    file.unlink()
    assert "cannot be read" in (await action.perform(call())).sentence
