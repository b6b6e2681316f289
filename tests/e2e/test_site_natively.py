"""The site's own configuration files, used by real processes on this machine: Redis, the exporter, the service's check."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import redis

from remediator.demo.control import Control
from remediator.demo.stage import free_port
from tests.kit.stack import COMPOSE, HOUSE, Here, Prepared, Site, native, prepared, secret_paths, write

pytestmark = pytest.mark.e2e
SITE = Site()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared(tmp_path_factory.mktemp("site"))


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """What was started, in order; ended in the other order."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in reversed(started):
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) in {0, -signal.SIGTERM}


def until(what: str, look: Callable[[], bool]) -> None:
    """Looks twenty times a second, for half a minute at most."""
    limit, rest = time.monotonic() + 30, threading.Event()
    while time.monotonic() < limit:
        try:
            if look():
                return
        except (httpx.TransportError, redis.ConnectionError):
            pass
        rest.wait(0.05)
    pytest.fail(f"not within half a minute: {what}")


def fill(server: redis.Redis) -> None:
    """Ten megabytes."""
    for number in range(100):
        server.set(f"big-{number}", "x" * 100_000)


def test_redis_runs_by_our_file_refuses_to_forget_and_knows_its_users(
    made: Prepared, tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    program = shutil.which("redis-server")
    assert program, "apt-get install redis-server"
    port = free_port()
    text = native(
        (COMPOSE / "redis.conf").read_text(), hosts={}, paths={**secret_paths(SITE, "redis", made), "/data": tmp_path}
    )
    text = text.replace("port 6379", f"port {port}").replace("bind * -::*", "bind 127.0.0.1")
    text = text.replace("maxmemory 256mb", "maxmemory 2mb")
    processes.append(subprocess.Popen([program, str(write(tmp_path / "redis.conf", text))], stdout=subprocess.DEVNULL))
    password = made.secret("remediator-redis-url").partition(":")[2].partition(":")[2].partition("@")[0]
    ours = redis.Redis(port=port, username="remediator", password=password)
    ping = redis.Redis(port=port, username="ping", password=made.secret("redis-ping"))
    until("Redis answers", lambda: bool(ping.ping()))
    health = (
        SITE.services["redis"]["healthcheck"]["test"][1]
        .replace("$$", "$")
        .replace("redis-cli ", f"redis-cli -p {port} ")
    )
    health = health.replace("/run/secrets/ping", str(made.secrets / "redis-ping"))
    assert subprocess.run(["sh", "-c", health], check=False, capture_output=True).returncode == 0
    with pytest.raises(redis.ResponseError, match="no permissions"):
        ping.get("anything")
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=port).ping()
    ours.set("kept", "x")
    with pytest.raises(redis.ResponseError, match="maxmemory"):
        fill(ours)
    assert ours.get("kept") == b"x"
    processes[0].kill()
    assert processes.pop().wait(timeout=10) == -signal.SIGKILL
    processes.append(subprocess.Popen([program, str(tmp_path / "redis.conf")], stdout=subprocess.DEVNULL))
    until("Redis is back", lambda: bool(ping.ping()))
    assert ours.get("kept") == b"x", "what was answered survives a kill"


def test_kumod_s_records_reach_prometheus_by_our_exporter_s_file(
    made: Prepared, tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    listen, control = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    text = native(
        (COMPOSE / "exporter.yml").read_text(),
        hosts={"0.0.0.0:9925": listen},
        paths=secret_paths(SITE, "kumo-exporter", made),
    )
    settings = write(tmp_path / "exporter.yml", text)
    python = [sys.executable, "-m"]
    processes.append(subprocess.Popen([*python, "remediator", "exporter", "--config.file", str(settings)]))
    until("the exporter is ready", lambda: httpx.get(f"http://{listen}/-/ready", trust_env=False).is_success)
    hook = ["--log-hook", f"http://{listen}/api/v1/log-records"]
    hook += ["--log-hook-token-file", str(made.secrets / "kumod-hook-token")]
    processes.append(
        subprocess.Popen([*python, "remediator.demo.kumod", "--listen", "127.0.0.1:0", "--control", control, *hook])
    )
    headers = {"Authorization": f"Bearer {made.secret('prometheus-exporter-token')}"}
    wanted = 'kumo_mail_outcomes_total{by="campaign",name="newsletter",outcome="bounced"}'

    def bounces() -> bool:
        return wanted in httpx.get(f"http://{listen}/metrics", headers=headers, trust_env=False).text

    with Control(f"http://{control}") as scenario:
        until("kumod listens", lambda: bool(scenario.state()))
        scenario.campaign("newsletter", bounce_ratio=0.5)
        until("the bounces of the campaign are counted", bounces)
    assert httpx.get(f"http://{listen}/metrics", trust_env=False).status_code == 401


def test_the_service_s_own_check_finds_no_fault_in_the_site_s_settings(made: Prepared, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    for path in HOUSE.glob("rules/*.yml"):
        write(rules / path.name, path.read_text())
    paths = {**secret_paths(SITE, "remediator", made), "/etc/remediator": tmp_path}
    settings = write(
        tmp_path / "remediator.yml", native((COMPOSE / "remediator.yml").read_text(), hosts={}, paths=paths)
    )
    argv = [sys.executable, "-m", "remediator", "check", "--config.file", str(settings), "--lint-fatal"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("service", "program", "command", "file"),
    [
        ("prometheus", "promtool", ["check", "config"], "prometheus.yml"),
        ("alertmanager", "amtool", ["check-config"], "alertmanager.yml"),
    ],
)
def test_the_neighbours_own_tools_take_their_files(
    made: Prepared, service: str, program: str, command: list[str], file: str
) -> None:
    found = shutil.which(program)
    assert found, f"{program} is missing: apt-get install prometheus prometheus-alertmanager"
    text = (made.root / "compose" / "state" / file).read_text()
    here = write(made.root / "monitoring" / file, native(text, hosts={}, paths=secret_paths(SITE, service, made)))
    done = subprocess.run([found, *command, here], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "/run/secrets" not in here.read_text()


def test_the_service_runs_by_our_file_and_knows_its_neighbours_by_their_tokens(
    tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    here = Here(tmp_path / "site")
    settings = here.config("remediator", "/etc/remediator/remediator.yml")
    url = f"http://{here.address('remediator', 9097)}"
    processes.append(subprocess.Popen([sys.executable, "-m", "remediator", "serve", "--config.file", str(settings)]))
    until("the service is ready", lambda: httpx.get(f"{url}/-/ready", trust_env=False).is_success)
    health = SITE.services["remediator"]["healthcheck"]["test"]
    script = health[-1].replace("http://127.0.0.1:9097", url)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

    def asked(path: str, token: str, **more: object) -> int:
        headers = {"Authorization": f"Bearer {here.made.secret(token)}"} if token else {}
        method = "POST" if more else "GET"
        return httpx.request(method, f"{url}{path}", headers=headers, trust_env=False, **more).status_code  # type: ignore[arg-type]

    assert asked("/metrics", "") == 401
    assert asked("/metrics", "prometheus-remediator-token") == 200
    notification = {"version": "4", "groupKey": "x", "status": "firing", "receiver": "remediator", "alerts": []}
    assert asked("/api/v1/alerts", "prometheus-remediator-token", json=notification) == 401
    assert asked("/api/v1/alerts", "alertmanager-webhook-token", json=notification) == 202
    assert asked("/api/v1/status", "remediator-admin-token") == 200
