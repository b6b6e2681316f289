"""The whole compose site as processes on this machine, by the shipped files with shortened waits, around a simulated kumod.

Real: Prometheus, Alertmanager, the exporter, the Docker proxy, remediator. Simulated: kumod (mta1) and the Docker Engine.
What an operator fills in is filled in here: mode, sending addresses, receivers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from remediator.demo.control import Control
from remediator.demo.stage import Stage, free_port
from tests.kit.outside import Outside, outside
from tests.kit.quick import OFFSET, WINDOW, Wait, quick, replaced
from tests.kit.stack import HOUSE, Here, write

NODE, ADDRESS = "mta1", "192.0.2.25"
SCORE = "25.2.0.192.score.senderscore.com"
# Real processes on a busy machine: patience, not a measurement (s).
PATIENCE = 90.0
LOOK_EVERY = 0.25
# What Prometheus and Alertmanager read of monitoring/.
MONITORING = ("prometheus.yml", "kumomta.rules.yml", "kumomta.alerts.yml", "remediator.alerts.yml", "alertmanager.yml")
PYTHON = [sys.executable, "-m"]

Story = Mapping[str, Any]


# ── the files ────────────────────────────────────────────────────────────────────────────────────────────────────────
def quick_rules() -> str:
    """rules/incidents.yml: in force on Sunday nights as well, and a step that cannot be taken back waits two seconds."""
    text = (HOUSE / "rules/incidents.yml").read_text(encoding="utf-8")
    text = replaced(text, "    mute_time_intervals: [weekly-maintenance]\n", "    irreversible_after: 2m\n")
    as_it_is = dict.fromkeys(("cooldown", "within", "limit", "timeout"), Wait.AS_IT_IS)
    waits = dict.fromkeys((WINDOW, "for", "every", "irreversible_after"), Wait.SHORTER)
    return quick(text, {**as_it_is, **waits, "after": Wait.MUCH_SHORTER})


def quick_monitoring(name: str, text: str) -> str:
    """A file of monitoring/, by its name there."""
    match name:
        case "prometheus.yml":
            return quick(text, dict.fromkeys(("scrape_interval", "evaluation_interval"), Wait.SHORTER))
        case "kumomta.rules.yml":
            return quick(text, {WINDOW: Wait.SHORTER})
        case "kumomta.alerts.yml":
            return quick(text, dict.fromkeys((WINDOW, OFFSET, "for"), Wait.SHORTER))
        case "alertmanager.yml":
            waits = dict.fromkeys(("group_wait", "group_interval"), Wait.SHORTER)
            return quick(text, {**waits, "repeat_interval": Wait.AS_IT_IS})
        case _:
            return text  # alerts about ourselves are no part of a story that goes well


def filled_in(settings: str, web: str) -> str:
    """compose/remediator.yml as an operator fills it in, who trusts it; only the rules that alerts start are loaded."""
    text = replaced(settings, "mode: dry-run\n", "mode: auto\n")
    text = replaced(text, "# sources: { 192.0.2.25:", "sources: { 192.0.2.25:")
    text = replaced(text, "{ name: admin,", "{ name: ana,")
    text = replaced(text, "/*.yml]", "/incidents.yml]")
    return f"""{text}
limits: {{ first_runs: {{ within: 15s }} }}
notify: {{ critical: [sms, slack], warning: [slack] }}
escalate: [sms, slack]
receivers:
  - name: slack
    send_started: false
    slack_configs: [{{ api_url_file: slack_url, channel: "#mail-ops" }}]
  - name: sms
    sms_configs: [{{ url: "http://{web}/sms", to: ["+15550100"] }}]
"""


def filled_in_exporter(settings: str, dns: int) -> str:
    """compose/exporter.yml with a sending address, and DNS of our own that may be asked all the time."""
    text = replaced(settings, "  # ips:\n  #   - { ip: 192.0.2.25,", "  ips:\n    - { ip: 192.0.2.25,")
    return replaced(
        text,
        "nameservers: 127.0.0.11",
        f'nameservers: "127.0.0.1:{dns}"\n  min_interval: 1s\n  max_interval: 1m\n  rate: 1200 per 1m',
    )


# ── the processes ────────────────────────────────────────────────────────────────────────────────────────────────────
class WholeSite:
    """The running site. `control` steers the simulated kumod, `out` is the world outside."""

    def __init__(self, root: Path, out: Outside) -> None:
        """Nothing runs yet."""
        self.out = out
        self._here = Here(root / "site")
        self._stage = Stage(root / "logs")
        self._stage.root.mkdir()
        self._control = f"127.0.0.1:{free_port()}"
        self.control = Control(f"http://{self._control}")
        self.url = f"http://{self._here.address('remediator', 9097)}"
        self.shaping = self._here.made.root / "compose/state/shaping/shaping.toml"
        self.secrets = self._here.made.secrets
        self.ledger = self._stage.root / "ledger.jsonl"
        self.journal = self._here.place("remediator", "/var/lib/remediator") / "journal"
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self._here.made.secret('remediator-admin-token')}"},
            trust_env=False,
            timeout=10.0,
        )

    def start(self) -> None:
        """Starts all of it, each after what it looks at."""
        self._write()
        engine, proxy = self._sockets()
        self._start("kumod", self._kumod(), f"http://{self._control}/control/state")
        self._stage.start("engine", [*PYTHON, "remediator.demo.docker", str(engine), NODE, f"http://{self._control}"])
        self._stage.start("exporter", self._ours("kumo-exporter"))
        self._stage.start("alertmanager", self._neighbour("alertmanager", 9093))
        self.until("the Docker Engine", engine.is_socket)
        self._stage.start("docker-proxy", self._ours("docker-proxy"))
        self.until("the Docker proxy", proxy.is_socket)
        self._stage.wait_for(f"http://{self._here.address('kumo-exporter', 9925)}/-/ready", "exporter")
        self._start("remediator", self._ours("remediator"), f"{self.url}/-/ready")
        self._start(
            "prometheus",
            [*self._neighbour("prometheus", 9090), "--rules.alert.resend-delay=2s"],
            f"http://{self._here.address('prometheus', 9090)}/-/ready",
        )

    def strike(self) -> None:
        """Ends everything."""
        self._client.close()
        self.control.close()
        self._stage.strike()

    def _start(self, name: str, command: Sequence[str], url: str) -> None:
        self._stage.start(name, command)
        self._stage.wait_for(url, name)

    def _write(self) -> None:
        here, out = self._here, self.out
        for name in MONITORING[:-1]:
            path = here.config("prometheus", f"/etc/prometheus/{name}")
            text = path.read_text().replace("localhost:9090", here.address("prometheus", 9090))
            write(path, quick_monitoring(name, text))
        path = here.config("alertmanager", "/etc/alertmanager/alertmanager.yml")
        text = quick_monitoring("alertmanager.yml", path.read_text())
        for host in ("on-call.example.com", "dead-mans-switch.example.com"):
            text = replaced(text, host, out.web)
        write(path, text)
        path = here.config("kumo-exporter", "/etc/remediator/exporter.yml")
        write(path, filled_in_exporter(path.read_text(), out.dns.port))
        path = here.config("remediator", "/etc/remediator/remediator.yml")
        rules = here.place("remediator", "/etc/remediator/rules")
        write(path, filled_in(replaced(path.read_text(), str(HOUSE / "rules"), str(rules)), out.web))
        write(path.parent / "slack_url", f"http://{out.web}/slack\n")
        write(rules / "incidents.yml", quick_rules())
        with self.shaping.open("a") as shaping:
            shaping.write('\n["yahoo.com"]\nmax_message_rate = "20/s"\n')

    def _sockets(self) -> tuple[Path, Path]:
        """The Engine's, and the proxy's where remediator looks for it."""
        place = self._here.place("remediator", "/run/docker-proxy")
        return place / "engine.sock", place / "docker.sock"

    def _ours(self, service: str) -> list[str]:
        """One of our processes, by its own command line in docker-compose.yml."""
        engine, proxy = map(str, self._sockets())
        paths = {"/var/run/docker.sock": engine, "/run/docker-proxy/docker.sock": proxy}
        for name in ("remediator", "exporter"):
            found = self._here.place("kumo-exporter" if name == "exporter" else name, "/etc/remediator")
            paths[f"/etc/remediator/{name}.yml"] = str(found / f"{name}.yml")
        command = self._here.site.services[service]["command"]
        return [*PYTHON, "remediator", *(paths.get(word, word) for word in command)]

    def _neighbour(self, service: str, port: int) -> list[str]:
        """Prometheus or Alertmanager, by its own command line and the flags that Debian's defaults need."""
        here, address = self._here, self._here.address(service, port)
        program = "prometheus-alertmanager" if service == "alertmanager" else service
        words = [
            word.replace(f"=/etc/{service}", f"={here.place(service, f'/etc/{service}')}").replace(
                f"=/{service}", f"={here.place(service, f'/{service}')}"
            )
            for word in here.site.services[service]["command"]
        ]
        return [program, *words, f"--web.listen-address={address}", f"--web.external-url=http://{address}",
                "--web.route-prefix=/", "--log.level=warn"]  # fmt: skip

    def _kumod(self) -> list[str]:
        here = self._here
        hook = f"http://{here.address('kumo-exporter', 9925)}/api/v1/log-records"
        # The first release that can compact its spool; the policy's retry interval, shortened.
        return [
            *PYTHON, "remediator.demo.kumod", "--node", NODE, "--version", "2026.07.01", "--seed", "7", "--rate", "10",
            "--retry-interval", "10s", "--listen", here.address("kumod", 8000), "--control", self._control,
            "--shaping", str(self.shaping), "--ledger", str(self.ledger),
            "--log-hook", hook, "--log-hook-token-file", str(self.secrets / "kumod-hook-token"),
        ]  # fmt: skip

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def until(self, what: str, look: Callable[[], Any], within: float = PATIENCE) -> Any:
        """What `look` gives as soon as it is something; AssertionError with the ends of the logs after `within` seconds."""
        limit, rest = time.monotonic() + within, threading.Event()
        while True:
            with suppress(httpx.TransportError):
                if found := look():
                    return found
            if time.monotonic() > limit:
                raise AssertionError(f"not within {within:g} s: {what}\n{self._ends()}")
            rest.wait(LOOK_EVERY)

    def _ends(self) -> str:
        return "\n".join(
            f"── {name}\n{self._stage.log_end(name)}" for name in ("remediator", "prometheus", "alertmanager")
        )

    def get(self, path: str, **query: str) -> Any:
        """What the API answers."""
        answer = self._client.get(f"/api/v1/{path}", params=query)
        answer.raise_for_status()
        return answer.json()["data"]

    def page(self, incident: str) -> str:
        """The console's page about an incident."""
        answer = self._client.get(f"/incidents/{incident}")
        answer.raise_for_status()
        return answer.text

    def incident(self, rule: str) -> str:
        """The first incident of a rule, as soon as there is one."""
        found = self.until(f"an incident of {rule}", lambda: self.get("incidents", rule=rule)["incidents"])
        return str(found[-1]["incident"])

    def entry(self, incident: str, kind: str, within: float = PATIENCE, **fields: object) -> Story:
        """The first entry of this kind about an incident that has these fields, as soon as there is one."""

        def look() -> Story | None:
            lines = self.get(f"incidents/{incident}")["lines"]
            fits = (one for one in lines if one["kind"] == kind and fields.items() <= one["fact"].items())
            return next(fits, None)

        found: Story = self.until(f"{kind} {fields or ''} of {incident}", look, within)
        return found

    def said(self, *words: str) -> str:
        """What a command of ours says to ana, who has a token; it must end well."""
        code, out, err = self._command(words)
        assert code == 0, f"{words}: {out}{err}"
        return out

    def refused(self, *words: str) -> str:
        """Why a command of ours says no."""
        code, out, err = self._command(words)
        assert code == 1, f"{words}: {code} {out}{err}"
        return err

    def _command(self, words: Sequence[str]) -> tuple[int, str, str]:
        environment = {**os.environ, "REMEDIATOR_URL": self.url, "REMEDIATOR_BY": "ana"}
        environment["REMEDIATOR_TOKEN_FILE"] = str(self.secrets / "remediator-admin-token")
        done = subprocess.run(
            [*PYTHON, "remediator", *words], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, done.stdout, done.stderr

    def told(self, incident: str) -> Story:
        """`remediator log show -o json`."""
        found: Story = json.loads(self.said("log", "show", incident, "-o", "json"))
        return found

    def effects(self, part: str) -> list[Story]:
        """What kumod's own ledger says took effect on paths with this in them, oldest first."""
        return [one for one in self.control.ledger() if one["applied"] and part in str(one["path"])]

    def domain(self, name: str) -> Story:
        """What is true of a destination, by the simulated kumod."""
        domains: Any = self.control.state()["domains"]
        found: Story = domains[name]
        return found

    def messages(self, incident: str) -> list[tuple[str, str]]:
        """Subject and footer of each message about an incident that Slack got, oldest first."""
        bodies = [json.loads(text) for text in self.out.to("/slack") if f"/incidents/{incident}" in text]
        return [(body["text"], body["blocks"][-1]["elements"][0]["text"]) for body in bodies]

    def series(self, expr: str, at: float | None = None) -> list[Any]:
        """What Prometheus answers, for a moment (unix s) or now."""
        url = f"http://{self._here.address('prometheus', 9090)}/api/v1/query"
        query = {"query": expr} if at is None else {"query": expr, "time": f"{at:.3f}"}
        found: list[Any] = httpx.get(url, params=query, trust_env=False).json()["data"]["result"]
        return found

    def firing(self) -> set[str]:
        """The names of the alerts that fire, by Alertmanager."""
        answer = httpx.get(f"http://{self._here.address('alertmanager', 9093)}/api/v2/alerts", trust_env=False)
        return {one["labels"]["alertname"] for one in answer.json()}


@contextmanager
def whole_site(root: Path) -> Iterator[WholeSite]:
    """The site, until the end of the block."""
    with outside() as out:
        out.says(SCORE, "127.0.4.97")
        for zone in ("zen.spamhaus.org", "bl.spamcop.net", "b.barracudacentral.org"):
            out.says(f"2.0.0.127.{zone}", "127.0.0.2")
        site = WholeSite(root, out)
        try:
            site.start()
            yield site
        finally:
            site.strike()
