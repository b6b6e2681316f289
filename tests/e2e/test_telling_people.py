"""People are told for real: a real Alertmanager, a mail server that speaks SMTP, and the whole service between them."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from remediator.actions.http_client import HttpClient
from remediator.core.outcomes import Look, Result
from remediator.demo.stage import free_port
from remediator.people import Message
from remediator.receivers.alertmanager import AlertmanagerChannel, AlertmanagerReceiver
from remediator.system import SystemClock
from tests.kit.small_rules import pausing_a_domain
from tests.kit.smtp import Sink, certificate, listening

pytestmark = pytest.mark.e2e

# Real processes on a busy machine: patience, not a measurement (s).
PATIENCE = 60.0

RULES = pausing_a_domain("approve")
SETTINGS = """\
mode: auto
rule_files: [rules.yml]
storage: {{ path: data }}
web: {{ listen_address: "127.0.0.1:{port}", external_url: "https://r.example" }}
targets: {{ kumomta: {{ nodes: {{ mta1: {{ url: "http://192.0.2.1:9" }} }} }} }}
notify: {{ critical: [chat, email] }}
escalate: [on-call]
receivers:
  - name: chat
    webhook_configs: [{{ url: "http://127.0.0.1:{nobody}/" }}]
  - name: email
    email_configs:
      - {{ to: "ops@example.com", from: r@example.com, smarthost: "localhost:{smtp}", tls_config: {{ ca_file: "{ca}" }},
          auth_username: us, auth_password_file: mail }}
  - name: on-call
    alertmanager_configs: [{{ url: "http://127.0.0.1:{alertmanager}", labels: {{ team: mail }} }}]
"""


async def until(true: Callable[[], Awaitable[bool]], log: Path) -> None:
    """Waits until it is so."""
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(httpx.TransportError):
                    if await true():
                        return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not in time:\n{said(log)}") from None


def said(log: Path) -> str:
    """What a process has written."""
    return log.read_text(encoding="utf-8")


@contextmanager
def process(log: Path, *command: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a log; ended at the end."""
    with log.open("ab") as out:
        started = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=log.parent
        )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


@asynccontextmanager
async def alertmanager(root: Path) -> AsyncIterator[str]:
    """A real Alertmanager; its URL."""
    (root / "am.yml").write_text("route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n")
    url = f"http://127.0.0.1:{free_port()}"
    flags = [
        f"--config.file={root}/am.yml", f"--storage.path={root}/am", f"--web.listen-address={url.removeprefix('http://')}",
        f"--web.external-url={url}", "--web.route-prefix=/", "--cluster.listen-address=",
    ]  # fmt: skip
    with process(root / "am.log", "prometheus-alertmanager", *flags):
        await until(lambda: answers(f"{url}/-/ready"), root / "am.log")
        yield url


async def answers(url: str) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(url)).status_code == 200


async def alerts(url: str) -> list[dict[str, Any]]:
    """The alerts that fire there."""
    async with httpx.AsyncClient(trust_env=False) as client:
        found: list[dict[str, Any]] = (await client.get(f"{url}/api/v2/alerts")).json()
        return found


async def test_an_alert_of_ours_fires_in_a_real_alertmanager_until_nobody_is_needed(tmp_path: Path) -> None:
    async with alertmanager(tmp_path) as url:
        clock = SystemClock()
        receiver = AlertmanagerReceiver(
            "on-call", AlertmanagerChannel(url=url, labels={"team": "mail"}), http=HttpClient(), now=clock.now
        )
        since = clock.now() - 60

        def message(subject: str, call: str) -> Message:
            return Message(
                id=subject, subject=subject, text='why\n"{{ .Labels }}" <b>', incident="inc-1", severity="critical",
                call=call, since=since, link="https://r.example/incidents/inc-1", target={"domain": "gmail.com"},
                footer="journal 12:9f2c63d01b7aee45",
            )  # fmt: skip

        assert (await receiver.probe()).look is Look.GOOD
        for subject in ("[people are needed] x", "[still needs a person] x"):
            assert (await receiver.send(message(subject, "begin"))).result is Result.OK
        (alert,) = await alerts(url)
        assert alert["labels"] == {
            "alertname": "RemediationNeedsPerson", "severity": "critical", "incident": "inc-1", "team": "mail",
        }  # fmt: skip
        assert alert["annotations"]["summary"] == "[still needs a person] x"
        assert alert["annotations"]["journal"] == "journal 12:9f2c63d01b7aee45"
        ends = datetime.fromisoformat(alert["endsAt"]).astimezone(UTC).timestamp()
        assert ends - clock.now() > 4 * 3600, "the next call for people comes after at most 4 h"
        assert (await receiver.send(message("[recovered] x", "end"))).result is Result.OK
        assert await alerts(url) == []


async def test_the_whole_service_mails_calls_and_calls_off(tmp_path: Path) -> None:
    ca_file, shown = certificate(tmp_path)
    log, port = tmp_path / "log", free_port()
    async with (
        alertmanager(tmp_path) as am,
        listening(Sink(tls=shown, password=("us", "the-mail-password"))) as sink,
    ):
        for name, text in {
            "rules.yml": RULES,
            "mail": "the-mail-password\n",
            "remediator.yml": SETTINGS.format(
                port=port, nobody=free_port(), smtp=sink.port, ca=ca_file, alertmanager=am.rpartition(":")[2]
            ),
        }.items():
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o600)
        command = [sys.executable, "-m", "remediator", "serve", "--config.file", tmp_path / "remediator.yml"]
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10.0)
        with process(log, *command):
            await until(lambda: answers(f"http://127.0.0.1:{port}/-/ready"), log)
            labels = {"alertname": "HighBounceRate", "domain": "gmail.com", "severity": "critical"}
            alert = {"status": "firing", "labels": labels, "annotations": {}, "startsAt": datetime.now(UTC).isoformat()}
            body = {"version": "4", "groupKey": "{}", "status": "firing", "receiver": "r", "alerts": [alert]}
            assert (await client.post("/api/v1/alerts", json=body)).status_code == 202

            async def called() -> bool:
                return bool(sink.mails) and bool(await alerts(am))

            await until(called, log)
            (call,) = await alerts(am)
            incident = call["labels"]["incident"]
            assert (call["labels"]["alertname"], call["labels"]["team"]) == ("RemediationNeedsPerson", "mail")
            answer = await client.post(
                f"/api/v1/incidents/{incident}/reject", json={"by": "ana", "reason": "a campaign"}
            )
            assert answer.status_code == 200, answer.text

            async def called_off() -> bool:
                return len(sink.mails) == 2 and not await alerts(am)

            await until(called_off, log)
            metrics = (await client.get("/metrics")).text
            await client.aclose()
    assert 'remediator_notifications_failed_total{reason="not_issued",receiver="chat"}' in metrics
    assert 'remediator_notifications_waiting{receiver="chat"} 2.0' in metrics
    assert 'remediator_notifications_given_up_total{receiver="email"} 0.0' in metrics
    asked, refused = (mail.read for mail in sink.mails)
    assert all(mail.tls and mail.user == "us" for mail in sink.mails)
    assert (asked["Subject"], refused["Subject"]) == (
        "[approval wanted] high-bounce-rate on domain=gmail.com", "[denied] high-bounce-rate on domain=gmail.com",
    )  # fmt: skip
    assert asked["References"] == refused["References"]
    text = refused.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "What we did: nothing" in text
    assert "Did it work: denied: refused by ana: a campaign" in text
    assert re.search(r"\n-- \r?\njournal [0-9]+:[0-9a-f]{16}\r?\n$", text)
    assert "the-mail-password" not in said(log)
