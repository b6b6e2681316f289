"""The exporter's process: it starts, serves, stops at a signal, and says why if it cannot."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from click.testing import CliRunner

from remediator.cli.root import root
from remediator.exporter import process
from remediator.exporter.process import ExporterOptions, run_exporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kit.dns_double import DnsDouble


async def _until_listening(capsys: pytest.CaptureFixture[str]) -> str:
    told, found = "", None
    while found is None:
        await asyncio.sleep(0)
        told += capsys.readouterr().err
        found = re.search(r"listening on (http://[0-9.:]+)", told)
    return found[1]


async def test_it_asks_serves_and_ends_at_sigterm(
    write: Callable[[str], Path], double: DnsDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.kit.dns_double import Says

    double.says["25.2.0.192.score.senderscore.com"] = Says(addresses=("127.0.4.42",))
    text = (
        f'dns: {{ nameservers: ["127.0.0.1:{double.port}"], rate: 6000 per 1m }}\n'
        "reputation: { ips: [{ ip: 192.0.2.25 }] }\n"
    )
    options = ExporterOptions(config_file=write(text), listen="127.0.0.1:0", log_format="logfmt")
    task = asyncio.ensure_future(process._run(options))
    url = await _until_listening(capsys)
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client, asyncio.timeout(10):
        answer = await client.get("/metrics")
        while "kumo_ip_reputation_score{" not in answer.text:
            answer = await client.get("/metrics")
        assert 'kumo_ip_reputation_score{ip="192.0.2.25",source="senderscore"} 42.0' in answer.text
    os.kill(os.getpid(), signal.SIGTERM)
    assert await task == 0


async def test_a_schedule_that_breaks_ends_the_process_and_says_why(
    write: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    from remediator.config.exporter_settings import load_exporter_settings
    from remediator.system import SystemClock
    from remediator.web.listening import listen_on

    class Broken:
        async def ask(self, name: str) -> object:
            raise RuntimeError(f"broken at {name}")

    settings = load_exporter_settings(
        write("dns: { nameservers: 127.0.0.1, rate: 6000 per 1m }\nreputation: { ips: [{ ip: 192.0.2.25 }] }\n")
    )
    built = process.build(settings, ExporterOptions(), clock=SystemClock(), resolver=Broken())  # type: ignore[arg-type]
    with listen_on("127.0.0.1:0") as listener:
        assert await process._work(built, listener) == 1
    assert "broken at 25.2.0.192" in capsys.readouterr().err


def test_what_keeps_it_from_starting_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_exporter(ExporterOptions(listen="0.0.0.0:1")) == 1
    assert "can be reached from other machines" in capsys.readouterr().err


def test_the_command_starts_it_with_its_flags(monkeypatch: pytest.MonkeyPatch, write: Callable[[str], Path]) -> None:
    given: list[ExporterOptions] = []

    def started(options: ExporterOptions) -> int:
        given.append(options)
        return 1

    monkeypatch.setattr("remediator.exporter.run_exporter", started)
    path = write("log_records: { names: 5 }\n")
    line = ["exporter", "--config.file", str(path), "--web.listen-address", "127.0.0.1:1", "--log.format", "json"]
    assert CliRunner().invoke(root, line).exit_code == 1
    assert given == [ExporterOptions(config_file=path, listen="127.0.0.1:1", log_format="json")]


def test_the_command_checks_settings(write: Callable[[str], Path]) -> None:
    good = CliRunner().invoke(
        root, ["exporter", "--check", "--config.file", str(write("dns: { nameservers: 1.1.1.1 }\n"))]
    )
    assert (good.exit_code, "warning[public-resolver]" in good.stdout) == (0, True)
    bad = CliRunner().invoke(root, ["exporter", "--check", "--config.file", str(write("dns: { timeout: soon }\n"))])
    assert (bad.exit_code, "exporter.yml:1:17" in bad.stderr) == (1, True)
    assert CliRunner().invoke(root, ["exporter", "--check"]).exit_code == 2
