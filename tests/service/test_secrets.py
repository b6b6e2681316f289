"""Every configured secret is a canary, every neighbour shouts it back, and no way out of the process shows it (G24)."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest
import respx

from remediator.config import load_settings
from remediator.core import entries as e
from remediator.service.access import secrets_of

if TYPE_CHECKING:
    from tests.service.conftest import Home, Service, Work

KUMOD, PROMETHEUS, HOOK = "http://mta1.example:8000", "http://prometheus.example:9090", "http://chat.example"
NAMES = (
    "webhook",
    "user",
    "ana",
    "prometheus",
    "alertmanager",
    "kumod",
    "hook_url",
    "hook",
    "slack",
    "app",
    "sms",
    "pager",
)
ADMIN, WEBHOOK = "canary-of-ana-0123456789", "canary-of-webhook-0123456789"
SECRETS = {name: f"canary+{name}/&'\"€-0123456789" for name in NAMES} | {
    "ana": ADMIN,
    "webhook": WEBHOOK,
    "hook": "canary+hook/&'\"-0123456789",
    "app": "canary+app/&'\"-0123456789",
    "hook_url": f"{HOOK}/canary-hook_url-0123456789",
    "slack": f"{HOOK}/canary-slack-0123456789",
}

SETTINGS = f"""\
mode: auto
rule_files: [rules.yml]
storage: {{ path: data }}
web:
  bearer_token_file: webhook
  basic_auth: {{ username: alertmanager, password_file: user }}
  people: [{{ name: ana, token_file: ana, scope: admin }}]
prometheus: {{ url: "{PROMETHEUS}", basic_auth: {{ username: u, password_file: prometheus }} }}
alertmanager: {{ url: "http://alertmanager.example:9093", basic_auth: {{ username: u, password_file: alertmanager }} }}
targets:
  kumomta: {{ nodes: {{ mta1: {{ url: "{KUMOD}", basic_auth: {{ username: u, password_file: kumod }} }} }} }}
receivers:
  - name: chat
    webhook_configs: [{{ url_file: hook_url, credentials_file: hook }}]
    slack_configs: [{{ api_url_file: slack }}, {{ app_token_file: app, channel: C1 }}]
  - name: phone
    sms_configs: [{{ url: "{HOOK}/sms", to: "+15550100", basic_auth: {{ username: u, password_file: sms }} }}]
    alertmanager_configs: [{{ url: "{HOOK}", basic_auth: {{ username: u, password_file: pager }} }}]
notify: {{ critical: [chat, phone], warning: [chat, phone], info: [chat, phone] }}
escalate: [chat]
"""


def furnish(home: Home) -> None:
    home.write("remediator.yml", SETTINGS)
    for name, text in SECRETS.items():
        home.write(name, f"{text}\n")


def echo(request: httpx.Request) -> httpx.Response:
    """A neighbour that says all it was told, and all it could guess, in its answer."""
    shown = request.headers.get("authorization", "")
    told = " | ".join([shown, str(request.url), *SECRETS.values(), *map(quote, SECRETS.values())])
    pairs = [base64.b64encode(f"u:{text}".encode()).decode() for text in SECRETS.values()]
    return httpx.Response(500, text=f"{told} | {' '.join(pairs)}"[:3000])


async def everything(service: Service) -> dict[str, bytes]:
    """All that can be asked of the service, and all that it has written."""
    client = service.client
    said: dict[str, bytes] = {}
    (row, *_) = (await client.get("/api/v1/incidents")).json()["data"]["incidents"]
    for path in ("/", "/incidents", "/rules", f"/incidents/{row['incident']}", "/metrics", "/api/v1/status"):
        said[path] = (await client.get(path)).content
    for path in ("/api/v1/incidents", "/api/v1/entries", "/api/v1/rules", f"/api/v1/incidents/{row['incident']}"):
        said[path] = (await client.get(path)).content
    said["/-/reload"] = (await client.post("/-/reload")).content
    for file in service.built.storage.glob("journal.db*"):
        said[file.name] = file.read_bytes()
    return said


def forms(secrets: tuple[str, ...]) -> set[bytes]:
    """The secrets as they are, percent-encoded, and at the end of a pair in base64."""
    found = {secret.encode() for secret in secrets} | {quote(secret, safe="").encode() for secret in secrets}
    found.add(b"canary")
    return found | {base64.b64encode(f"u:{secret}".encode()).rstrip(b"=")[4:-2] for secret in secrets}


async def test_no_secret_leaves_in_log_metrics_journal_pages_or_answers(
    home: Home, work: Work, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    furnish(home)
    canaries = forms(secrets_of(load_settings(home.settings)))
    assert len(canaries) > 2 * len(NAMES)
    with respx.mock:
        respx.route(url__regex=r"http://(mta1|prometheus|alertmanager|chat)\.example.*").mock(side_effect=echo)
        respx.route(url__regex=r"https://slack\.com/.*").mock(side_effect=echo)
        async with work(home.build(), token=ADMIN) as service:
            assert (await service.fire(token=WEBHOOK)).status_code == 202
            await service.until(lambda: service.built.journal.state.tally.disposed == 1)
            by_hand = {"playbook": "pause-domain", "params": {"domain": "b.example"}, "reason": "asked"}
            assert (await service.client.post("/api/v1/run", json=by_hand)).status_code == 200
            await service.until(lambda: any(one.attempt > 1 for one in service.built.journal.state.outbox.values()))
            said = await everything(service)
            outcomes = await service.facts("message.outcome", "step.outcome", "run.decided")
    captured = capfd.readouterr()
    said |= {"standard output": captured.out.encode(), "standard error": captured.err.encode()}
    assert {type(fact) for fact in outcomes} >= {e.StepOutcome, e.RunDecided, e.MessageOutcome}, (
        "the neighbours were asked"
    )
    assert b"<secret>" in said["standard error"], "what was shouted was heard, and masked"
    assert b"500" in said["/api/v1/entries"]
    shown = {place: [one for one in canaries if one in text] for place, text in said.items()}
    assert {place: found for place, found in shown.items() if found} == {}
