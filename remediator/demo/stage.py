"""The stage: real Prometheus and Alertmanager, a simulated kumod, remediator itself; each a process of its own on loopback.

Every flag is given, because Debian's defaults listen on all interfaces and read /etc. Everything is written below one
directory and every process is ended when the stage is struck.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import httpx

NODE = "kumod-1"
FILES = resources.files("remediator.demo") / "files"


class StageFault(RuntimeError):
    """A process did not come up; the message says which and shows the end of what it wrote."""


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True, kw_only=True)
class Ports:
    """Where everything listens."""

    kumod: int = field(default_factory=free_port)
    control: int = field(default_factory=free_port)
    prometheus: int = field(default_factory=free_port)
    alertmanager: int = field(default_factory=free_port)
    remediator: int = field(default_factory=free_port)


@dataclass(slots=True)
class Stage:
    """The running processes. `root` holds all their files; `mode` is remediator's."""

    root: Path
    mode: str = "auto"
    ports: Ports = field(default_factory=Ports)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where remediator answers."""
        return f"http://127.0.0.1:{self.ports.remediator}"

    @property
    def control_url(self) -> str:
        """Where the simulated kumod is steered."""
        return f"http://127.0.0.1:{self.ports.control}"

    @property
    def ledger(self) -> Path:
        """What the simulated kumod wrote down of the effects it received."""
        return self.root / "kumod-ledger.jsonl"

    def build(self) -> None:
        """Writes all files and starts all processes."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.write_files()
        self.start_neighbours()
        self.start_remediator()

    # ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def write_files(self) -> None:
        """All configuration, with the ports filled in."""
        for name in ("rules.yml", "prometheus.rules.yml"):
            self._write(name, (FILES / name).read_text(encoding="utf-8"))
        values = {
            "kumod": self.ports.kumod,
            "prometheus": self.ports.prometheus,
            "alertmanager": self.ports.alertmanager,
            "remediator": self.ports.remediator,
            "root": self.root,
            "node": NODE,
            "mode": self.mode,
        }
        for name in ("prometheus.yml", "alertmanager.yml", "remediator.yml"):
            text = (FILES / f"{name}.in").read_text(encoding="utf-8")
            for key, value in values.items():
                text = text.replace(f"@{key}@", str(value))
            self._write(name, text)
        self._write("shaping.toml", '["yahoo.com"]\nmax_message_rate = "60/s"\n')

    def _write(self, name: str, text: str) -> None:
        path = self.root / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)

    # ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────
    def start_neighbours(self) -> None:
        """The simulated kumod, its container engine, Alertmanager and Prometheus."""
        ports = self.ports
        self.start(
            "kumod",
            [sys.executable, "-m", "remediator.demo.kumod", "--node", NODE, "--seed", "7", "--rate", "40"]
            + ["--listen", f"127.0.0.1:{ports.kumod}", "--control", f"127.0.0.1:{ports.control}"]
            + ["--ledger", str(self.ledger), "--shaping", str(self.root / "shaping.toml")],
        )
        self.start(
            "docker",
            [sys.executable, "-m", "remediator.demo.docker", str(self.root / "docker.sock"), NODE, self.control_url],
        )
        self.start(
            "alertmanager",
            [_found("prometheus-alertmanager", "alertmanager"), f"--config.file={self.root}/alertmanager.yml"]
            + [f"--storage.path={self.root}/alertmanager", f"--web.listen-address=127.0.0.1:{ports.alertmanager}"]
            + [f"--web.external-url=http://127.0.0.1:{ports.alertmanager}", "--web.route-prefix=/"]
            + ["--cluster.listen-address="],
        )
        self.start(
            "prometheus",
            [_found("prometheus"), f"--config.file={self.root}/prometheus.yml"]
            + [f"--storage.tsdb.path={self.root}/prometheus", f"--web.listen-address=127.0.0.1:{ports.prometheus}"]
            + [f"--web.external-url=http://127.0.0.1:{ports.prometheus}", "--web.route-prefix=/"]
            + ["--rules.alert.resend-delay=2s"],
        )
        self.wait_for(f"{self.control_url}/control/state", "kumod")
        self.wait_for(f"http://127.0.0.1:{ports.alertmanager}/-/ready", "alertmanager")
        self.wait_for(f"http://127.0.0.1:{ports.prometheus}/-/ready", "prometheus")

    def start_remediator(self) -> None:
        """remediator itself; also after a kill."""
        self.start(
            "remediator",
            [sys.executable, "-m", "remediator", "serve", "--config.file", str(self.root / "remediator.yml")],
        )
        self.wait_for(f"{self.url}/-/ready", "remediator")

    def start(self, name: str, command: Sequence[str]) -> None:
        """Starts one process; what it writes goes to `NAME.log`."""
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.root,
                env={"PATH": os.defpath + ":" + str(Path(sys.executable).parent), "PYTHONUNBUFFERED": "1"},
            )

    def wait_for(self, url: str, name: str, within: float = 30.0) -> None:
        """Waits until `url` answers 200; StageFault with the end of the log if it does not."""
        limit = time.monotonic() + within
        with httpx.Client(trust_env=False, timeout=2.0) as client:
            while time.monotonic() < limit:
                if self.processes[name].poll() is not None:
                    break
                with contextlib.suppress(httpx.HTTPError):
                    if client.get(url).status_code == 200:
                        return
                time.sleep(0.05)
        raise StageFault(f"{name} did not come up; the end of {self.root}/{name}.log:\n{self.log_end(name)}")

    def log_end(self, name: str) -> str:
        """The last lines that a process wrote."""
        text = (self.root / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-15:])

    def kill_remediator(self) -> None:
        """SIGKILL, as a crash or the power would."""
        process = self.processes.pop("remediator")
        process.kill()
        process.wait()

    def strike(self) -> None:
        """Ends every process that this stage started."""
        for process in reversed(self.processes.values()):
            process.terminate()
        limit = time.monotonic() + 10
        for process in self.processes.values():
            try:
                process.wait(timeout=max(0.1, limit - time.monotonic()))
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.processes.clear()


def _found(*names: str) -> str:
    """The first of these programs that is on PATH (or where Debian puts it)."""
    for name in names:
        path = shutil.which(name) or shutil.which(name, path="/usr/bin:/usr/local/bin")
        if path:
            return path
    raise StageFault(f"{names[0]} is not installed: apt-get install prometheus prometheus-alertmanager")
