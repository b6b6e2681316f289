"""Settings of neighbours as the plain values that plug-ins are built from."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from remediator.actions.targets import (
    AlertmanagerTarget,
    CommandTargets,
    DockerTarget,
    HttpTargets,
    KumoTargets,
    Node,
    PrometheusTarget,
    RedisServer,
    RedisTargets,
    Source,
    Targets,
)
from remediator.config import Settings, read_secret
from remediator.config.settings import BasicAuth, NodeSettings, RedisSettings
from remediator.errors import InvalidConfiguration, Position, Problem

PLAIN = "write for example redis://127.0.0.1:6379"


def targets_of(settings: Settings, storage: Path) -> Targets:
    """What actions and probes may touch, by the settings; what is not named may not be touched."""
    named = settings.targets
    return Targets(
        kumo=KumoTargets(
            nodes={name: _node(name, node) for name, node in named.kumomta.nodes.items()},
            shaping_files=named.kumomta.shaping_files,
            sources={ip: Source(node=one.node, source=one.source) for ip, one in named.kumomta.sources.items()},
        )
        if named.kumomta is not None
        else KumoTargets(nodes={}),
        docker=_docker(settings),
        redis=RedisTargets(servers={name: _redis(name, one) for name, one in named.redis.items()}),
        http=HttpTargets(allow=named.http or ()),
        command=CommandTargets(allow=named.command or (), locks=storage / "locks"),
        alertmanager=_alertmanager(settings),
        prometheus=_prometheus(settings),
    )


def _docker(settings: Settings) -> DockerTarget | None:
    docker, kumo = settings.targets.docker, settings.targets.kumomta
    if docker is None:
        return None
    nodes: dict[str, tuple[str, ...]] = {}
    for name, node in kumo.nodes.items() if kumo is not None else ():
        nodes[node.container] = (*nodes.get(node.container, ()), name)
    return DockerTarget(socket=docker.socket, allow=frozenset(docker.allow), nodes=nodes)


def _user(auth: BasicAuth | None) -> tuple[str, Path | None]:
    return (auth.username, auth.password_file) if auth is not None else ("", None)


def _node(name: str, node: NodeSettings) -> Node:
    username, password_file = _user(node.basic_auth)
    return Node(name=name, url=node.url, username=username, password_file=password_file)


def _redis(name: str, redis: RedisSettings) -> RedisServer:
    parts = urlsplit(redis.url or (read_secret(redis.url_file) if redis.url_file is not None else ""))
    wrong = _unfit_redis(parts)
    if wrong:
        position = Position(str(redis.url_file or "remediator.yml"), 1, 1)
        problem = Problem(position=position, name="bad-url", sentence=f"the URL of Redis '{name}' {wrong}", fix=PLAIN)
        raise InvalidConfiguration([problem])
    return RedisServer(
        name=name,
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 6379,
        username=unquote(parts.username or ""),
        url_file=redis.url_file if parts.password else None,
    )


def _unfit_redis(parts: SplitResult) -> str:
    """What the action `redis.config_set` cannot do: to go on without it would be to connect in another way than asked."""
    try:
        port = parts.port
    except ValueError:
        return "has a port that is no number from 1 to 65535"
    if parts.scheme != "redis" or not parts.hostname or port == 0:
        return "asks for TLS, which is not supported" if parts.scheme == "rediss" else "is not a Redis URL"
    return "names a user without a password" if parts.username and not parts.password else ""


def _alertmanager(settings: Settings) -> AlertmanagerTarget | None:
    if settings.alertmanager is None:
        return None
    username, password_file = _user(settings.alertmanager.basic_auth)
    return AlertmanagerTarget(url=settings.alertmanager.url, username=username, password_file=password_file)


def _prometheus(settings: Settings) -> PrometheusTarget | None:
    if settings.prometheus is None:
        return None
    username, password_file = _user(settings.prometheus.basic_auth)
    return PrometheusTarget(
        url=settings.prometheus.url,
        username=username,
        password_file=password_file,
        max_age=settings.prometheus.max_age,
        timeout=settings.prometheus.timeout,
    )
