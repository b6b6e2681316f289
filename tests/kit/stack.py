"""The compose site as data, and its configuration files made usable on this machine without containers.

`Site` reads docker-compose.yml. `native` rewrites one of the files that the containers read: hosts of the site become
loopback addresses, paths inside the containers become paths here. Nothing else is changed, so what runs natively is what
the containers would run.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from remediator.demo.stage import free_port

HOUSE = Path(__file__).resolve().parents[2]
COMPOSE = HOUSE / "compose"
# Where each service answers inside the site; what the files say of it is checked against this by tests/unit/test_compose.py.
PORTS: Mapping[str, tuple[int, ...]] = {
    "remediator": (9097,),
    "kumo-exporter": (9925,),
    "kumod": (8000, 25),
    "prometheus": (9090,),
    "alertmanager": (9093,),
    "grafana": (3000,),
    "redis": (6379,),
    "docker-proxy": (),
}


@dataclass(frozen=True, slots=True)
class Mount:
    """One bind mount or volume: what of the host (or which volume) is where in the container."""

    source: str
    target: str
    read_only: bool

    @property
    def is_volume(self) -> bool:
        """Whether it is a named volume."""
        return not self.source.startswith((".", "/"))


class Site:
    """docker-compose.yml."""

    def __init__(self, path: Path = HOUSE / "docker-compose.yml") -> None:
        self.raw: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        self.services: dict[str, dict[str, Any]] = self.raw["services"]

    def mounts(self, service: str) -> Iterator[Mount]:
        """The mounts of a service."""
        for text in self.services[service].get("volumes", []):
            source, target, *options = str(text).split(":")
            yield Mount(source, target, options == ["ro"])

    def secrets(self, service: str) -> dict[str, str]:
        """The secrets of a service: path in the container to the name."""
        return {f"/run/secrets/{one['target']}": one["source"] for one in self.services[service].get("secrets", [])}

    def address(self, service: str) -> str | None:
        """The fixed address of a service in the site's network."""
        networks = self.services[service].get("networks", [])
        site = networks.get("site") if isinstance(networks, dict) else None
        return site.get("ipv4_address") if site else None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A copy of compose/ whose secrets and state were made by its own script, for the caller."""

    root: Path

    @property
    def secrets(self) -> Path:
        """The directory of the secrets."""
        return self.root / "compose" / "secrets"

    def secret(self, name: str) -> str:
        """One of them."""
        return (self.secrets / name).read_text(encoding="utf-8").strip()


def prepared(root: Path) -> Prepared:
    """Copies compose/ below `root` and runs its `prepare`."""
    root.mkdir(mode=0o700, exist_ok=True)
    shutil.copytree(COMPOSE, root / "compose", ignore=shutil.ignore_patterns("secrets", "state"))
    shutil.copytree(HOUSE / "monitoring", root / "monitoring")
    subprocess.run([root / "compose" / "prepare", "--here"], check=True, capture_output=True)
    return Prepared(root)


def native(text: str, *, hosts: Mapping[str, str], paths: Mapping[str, Path | str]) -> str:
    """`text` with each `host:port` of `hosts` and each path of `paths` (longest first) replaced by what it is here."""
    for host in sorted(hosts, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w.-])", hosts[host], text)
    for path in sorted(paths, key=len, reverse=True):
        text = re.sub(rf"(?<![\w./-]){re.escape(path)}(?=[/\s\"'\],}}]|$)", str(paths[path]), text, flags=re.MULTILINE)
    return text


def secret_paths(site: Site, service: str, made: Prepared) -> dict[str, Path | str]:
    """For `native`: the secrets of a service as they lie here."""
    return {path: made.secrets / name for path, name in site.secrets(service).items()}


def write(path: Path, text: str) -> Path:
    """Writes a configuration file that only its owner may write."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


class Here:
    """The site on loopback: a free port for every address in it, and its files rewritten to that, below `root`.

    `address("prometheus", 9090)` is where a service answers here; `config("redis", "/etc/redis/redis.conf")` is the file
    that a container would read at that path. Directories in containers (`/data`, `/etc/prometheus`) become ones below
    `root`, named by the service. Starting the processes is the caller's.
    """

    def __init__(self, root: Path) -> None:
        self.site = Site()
        self.made = prepared(root)
        self._root = root
        self._ports = {(service, port): free_port() for service, ports in PORTS.items() for port in ports}

    def address(self, service: str, port: int) -> str:
        """Where a service answers, as `127.0.0.1:port`."""
        return f"127.0.0.1:{self._ports[service, port]}"

    def place(self, service: str, path: str) -> Path:
        """The directory here for one in a container."""
        found = self._root / "here" / service / path.strip("/")
        found.mkdir(parents=True, exist_ok=True)
        return found

    def config(self, service: str, path: str) -> Path:
        """The file that the container of `service` reads at `path`, rewritten; files beside it in its mount come along."""
        target = self.place(service, str(Path(path).parent)) / Path(path).name
        return write(target, self._native(service, self._source(service, path).read_text(encoding="utf-8")))

    def _source(self, service: str, path: str) -> Path:
        for mount in sorted(self.site.mounts(service), key=lambda one: -len(one.target)):
            if mount.source.startswith("./") and (path == mount.target or path.startswith(mount.target + "/")):
                place = self.made.root if (self.made.root / mount.source).exists() else HOUSE
                return place / mount.source / path[len(mount.target) :].strip("/")
        raise KeyError(f"{service} has no file at {path}")

    def _native(self, service: str, text: str) -> str:
        hosts = {f"{name}:{port}": self.address(name, port) for name, port in self._ports}
        hosts |= {f"0.0.0.0:{port}": self.address(service, port) for port in PORTS[service]}
        paths: dict[str, Path | str] = dict(secret_paths(self.site, service, self.made))
        for mount in self.site.mounts(service):
            source = mount.source
            if Path(mount.target).suffix:
                continue  # a file: what names it is the command line
            here = (
                self.made.root / source if source.startswith("./compose/state") else self.place(service, mount.target)
            )
            paths[mount.target] = HOUSE / source if source in {"./rules", "./monitoring/grafana/dashboards"} else here
        return native(text, hosts=hosts, paths=paths)
