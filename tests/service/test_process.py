"""The process in this process: a real listener, real signals, and a stop that ends in bounded time."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from remediator import __version__
from remediator.errors import RemediatorError
from remediator.service import ServeOptions, anchoring, running, serve

if TYPE_CHECKING:
    from tests.service.conftest import Home


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """A service leaves signals ignored, for its process is about to end. This one goes on, with children."""
    names = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(name) for name in names]
    yield
    for name, was in zip(names, before, strict=True):
        signal.signal(name, was)


@pytest.fixture(autouse=True)
def _loggers() -> Iterator[None]:
    """The service takes over loggers that are the whole process's; here they are given back."""
    taken = [logging.getLogger(name) for name in ("uvicorn", "asyncio")]
    kept = [(logger.handlers, logger.propagate) for logger in taken]
    yield
    for logger, (handlers, propagate) in zip(taken, kept, strict=True):
        logger.handlers, logger.propagate = handlers, propagate


@asynccontextmanager
async def serving(home: Home, listen: str = "127.0.0.1") -> AsyncIterator[tuple[asyncio.Task[int], httpx.AsyncClient]]:
    """The service on a port of its own, ready; the test sends the signal that ends it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    options = ServeOptions(config_file=home.settings, listen=f"{listen}:{port}")
    task = asyncio.ensure_future(running._serve(options))
    transport = httpx.AsyncHTTPTransport(retries=6)  # with pauses that double: some fifteen seconds in all
    try:
        async with httpx.AsyncClient(
            transport=transport, base_url=f"http://{listen}:{port}", trust_env=False, timeout=30.0
        ) as client:
            assert (await client.get("/-/ready")).status_code == 200
            yield task, client
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_cleanly(home: Home, name: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(home) as (task, client):
        assert (await client.get("/api/v1/status")).json()["data"]["mode"] == "dry-run"
        os.kill(os.getpid(), name)
        async with asyncio.timeout(30):
            assert await task == 0
    told = capsys.readouterr().err
    assert f"remediator {__version__}  {client.base_url}" in told.replace("  mode", "/  mode")
    assert "service.stopped" in told


async def test_sighup_reloads(home: Home) -> None:
    async with serving(home) as (task, client):
        rules = (home.root / "rules.yml").read_text(encoding="utf-8")
        home.write("rules.yml", rules.replace("name: high-bounce-rate", "name: another-name"))
        head = (await client.get("/api/v1/entries")).json()["data"]["head"]
        os.kill(os.getpid(), signal.SIGHUP)
        lines = (await client.get(f"/api/v1/entries?after={head}&wait=20")).json()["data"]["entries"]
        assert [line["kind"] for line in lines] == ["config.loaded"]
        assert lines[0]["fact"]["by"] == "SIGHUP"
        assert (await client.get("/api/v1/rules")).json()["data"]["rules"][0]["rule"] == "another-name"
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == 0


async def test_the_pause_file_is_watched(home: Home) -> None:
    async with serving(home) as (task, client):
        head = (await client.get("/api/v1/entries")).json()["data"]["head"]
        (home.data / "PAUSED").touch()
        lines = (await client.get(f"/api/v1/entries?after={head}&wait=20")).json()["data"]["entries"]
        assert [line["kind"] for line in lines] == ["pause.set"]
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == 0


async def test_a_part_that_breaks_ends_the_service_and_is_named(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = asyncio.Event()

    async def breaks(_anchoring: object) -> None:
        await begin.wait()
        raise RuntimeError("the anchor is gone")

    monkeypatch.setattr(anchoring.Anchoring, "watch", breaks)
    async with serving(home) as (task, _client):
        begin.set()
        async with asyncio.timeout(30):
            assert await task == 1
    assert "remediator stopped: RuntimeError('the anchor is gone')" in capsys.readouterr().err


async def test_the_head_is_told_now_and_then(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchoring, "EVERY", 0.0)
    async with serving(home) as (task, _client):
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == 0
    assert "the journal ends here" in capsys.readouterr().err


async def test_port_zero_is_told_as_the_port_that_it_became(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    task = asyncio.ensure_future(running._serve(ServeOptions(config_file=home.settings, listen="127.0.0.1:0")))
    told = ""
    async with asyncio.timeout(30):
        while "webhook" not in told:
            await asyncio.wait({task}, timeout=0.05)
            assert not task.done()
            told += capsys.readouterr().err
    os.kill(os.getpid(), signal.SIGTERM)
    assert await task == 0
    assert "http://127.0.0.1:0" not in told
    assert "http://127.0.0.1:" in told


def test_a_port_in_use_is_a_sentence(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert serve(ServeOptions(config_file=home.settings, listen=address)) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"remediator cannot start:\ncannot listen on {address}: Address already in use;")
    assert "Traceback" not in told


def test_a_host_that_is_none_is_a_sentence(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.write("token", "w" * 32)
    home.write("ana", "a" * 32)
    home.add("web: { bearer_token_file: token, people: [{ name: ana, token_file: ana, scope: read }] }\n")
    assert serve(ServeOptions(config_file=home.settings, listen="[::1::2]:9097")) == 1
    assert "cannot listen on [::1::2]:9097: " in capsys.readouterr().err


async def test_ipv6_is_listened_on(home: Home) -> None:
    async with serving(home, "[::1]") as (task, client):
        assert (await client.get("/-/healthy")).status_code == 200
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == 0


async def test_a_second_service_on_the_same_journal_is_refused(home: Home) -> None:
    async with serving(home) as (task, client):
        with pytest.raises(RemediatorError, match=r"journal\.db"):
            await running._serve(ServeOptions(config_file=home.settings, listen="127.0.0.1:0"))
        assert (await client.get("/-/ready")).status_code == 200
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == 0
