"""The probes http and command: an answer is good or bad, no answer is neither."""

from __future__ import annotations

import sys
from typing import Any

import httpx
import pytest
import respx

from remediator.actions.http_client import HttpClient
from remediator.actions.targets import CommandTargets, HttpTargets
from remediator.core.outcomes import Look, Observation
from remediator.core.params import Json
from remediator.ports import LookCall
from remediator.probes.command import CommandProbe
from remediator.probes.http import HttpProbe

URL = "http://mta1.example:8000/api/check-liveness/v1"


async def no_rest(_seconds: float) -> None:
    return None


async def ask(arguments: dict[str, Any]) -> Observation:
    targets = HttpTargets(allow=("http://mta1.example:8000/",))
    call = LookCall(arguments=arguments, newer_than=0.0, now=1.0)
    return await HttpProbe(targets, http=HttpClient(rest=no_rest)).look(call)


@pytest.mark.parametrize(
    ("status", "body", "arguments", "look"),
    [
        (200, "OK", {}, Look.GOOD),
        (200, "OK", {"text": "OK"}, Look.GOOD),
        (200, "load shedding", {"text": "OK"}, Look.BAD),
        (503, "load shedding", {}, Look.BAD),
        (503, "x", {"status": 503}, Look.GOOD),
        (302, "", {}, Look.BAD),
    ],
)
async def test_an_answer_is_good_or_bad(status: int, body: str, arguments: dict[str, Any], look: Look) -> None:
    with respx.mock:
        respx.get(URL).respond(status, text=body)
        assert (await ask({"url": URL, **arguments})).look is look


@pytest.mark.parametrize("fault", [httpx.ConnectError("refused"), httpx.ReadError("reset")])
async def test_no_answer_could_not_tell(fault: Exception) -> None:
    with respx.mock:
        respx.get(URL).mock(side_effect=fault)
        assert (await ask({"url": URL})).look is Look.UNKNOWN


@pytest.mark.parametrize("url", ["http://evil.example/", "http://mta1.example:8001/", "", 3])
async def test_a_url_that_is_not_allowed_is_not_asked(url: Any) -> None:
    with respx.mock:
        assert (await ask({"url": url})).look is Look.UNKNOWN


async def run(argv: Json, *, timeout: float = 10.0) -> Observation:  # noqa: ASYNC109
    probe = CommandProbe(
        CommandTargets(allow=(sys.executable, "/no/such")), lambda text: text.replace("hunter2", "[…]")
    )
    return await probe.look(LookCall(arguments={"argv": argv}, newer_than=0.0, now=1.0, timeout=timeout))


@pytest.mark.parametrize(
    ("code", "look"),
    [
        ("raise SystemExit(0)", Look.GOOD),
        ("raise SystemExit(1)", Look.BAD),
        ("raise SystemExit(2)", Look.UNKNOWN),
        ("raise SystemExit(127)", Look.UNKNOWN),
        ("import os; os.kill(os.getpid(), 9)", Look.UNKNOWN),
    ],
)
async def test_only_nought_and_one_are_answers(code: str, look: Look) -> None:
    assert (await run([sys.executable, "-I", "-c", code])).look is look


async def test_a_program_that_does_not_end_could_not_tell() -> None:
    seen = await run([sys.executable, "-I", "-c", "import time; time.sleep(600)"], timeout=1.0)
    assert seen.look is Look.UNKNOWN
    assert "did not end" in seen.sentence


async def test_a_secret_stays_out_of_the_sentence() -> None:
    seen = await run([sys.executable, "-I", "-c", "print('hunter2'); raise SystemExit(1)"])
    assert "hunter2" not in seen.sentence


@pytest.mark.parametrize("argv", [None, [], ["/bin/sh"], "/bin/true", ["/no/such"]])
async def test_a_program_that_cannot_be_started_could_not_tell(argv: Json) -> None:
    assert (await run(argv)).look is Look.UNKNOWN
