"""Which neighbours may be touched: plain frozen values, made once from the settings. Pure.

A part that is None is not known here (schema, `check` without settings): its actions describe themselves and refuse to
act. A part that is present but empty allows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Settings of a Redis that an action may change: memory, eviction and client limits. Nothing that names a file or a host.
REDIS_PARAMETERS = frozenset(
    {
        "maxmemory",
        "maxmemory-policy",
        "maxmemory-samples",
        "maxmemory-clients",
        "maxclients",
        "timeout",
        "tcp-keepalive",
        "slowlog-log-slower-than",
        "slowlog-max-len",
        "latency-monitor-threshold",
        "activedefrag",
        "hz",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One kumod: `name` is what rules say (`mta1.example:8000`), `url` its HTTP listener, never a load balancer's.

    The password is read from its file at each call, so that it can be changed without a restart.
    """

    name: str
    url: str
    username: str = ""
    password_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An egress source: its name in kumod's policy, and the node that has it."""

    node: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KumoTargets:
    """All kumods by name; for those whose shaping may be edited the TOML file they read; egress sources by address."""

    nodes: Mapping[str, Node]
    shaping_files: Mapping[str, Path] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerTarget:
    """The Engine's Unix socket (or that of a proxy in front of it) and the containers that may be restarted.

    `nodes` are the kumods that run in each container.
    """

    socket: Path
    allow: frozenset[str]
    nodes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisServer:
    """One Redis that may be configured: `name` is what rules say.

    The password is in `password_file`, or in the URL in `url_file`; it is read at each call, so that it can be changed.
    """

    name: str
    host: str
    port: int = 6379
    username: str = ""
    password_file: Path | None = None
    url_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisTargets:
    """The Redis servers by name and the settings that may be changed. `store` is the (host, port) of our own journal."""

    servers: Mapping[str, RedisServer]
    parameters: frozenset[str] = REDIS_PARAMETERS
    store: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTargets:
    """URL prefixes that `http` may call; a prefix ends at a path segment, `http://a/b` does not allow `http://a/bc`."""

    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTargets:
    """Absolute paths of the programs that `command` may start, and where the locks of running children are kept."""

    allow: tuple[str, ...] = ()
    locks: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerTarget:
    """Alertmanager's base URL."""

    url: str
    username: str = ""
    password_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusTarget:
    """Prometheus' base URL. A sample older than `max_age` seconds is no evidence for a rule's condition."""

    url: str
    username: str = ""
    password_file: Path | None = None
    max_age: float = 120.0
    timeout: float = 10.0  # s that one question may take


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """All neighbours."""

    kumo: KumoTargets | None = None
    docker: DockerTarget | None = None
    redis: RedisTargets | None = None
    http: HttpTargets | None = None
    command: CommandTargets | None = None
    alertmanager: AlertmanagerTarget | None = None
    prometheus: PrometheusTarget | None = None
