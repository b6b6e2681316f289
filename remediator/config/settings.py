"""The settings as plain frozen values, and how a secret is read. Secrets are paths here, never values.

Paths that are relative in the file have been taken as relative to its directory. Times are seconds, sizes bytes.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from remediator.config.channels import BasicAuth, ReceiverSettings, WebhookSettings
from remediator.core.fleet import FleetLimits
from remediator.core.intervals import TimeInterval
from remediator.core.rules import Mode
from remediator.core.space import SpaceLimits
from remediator.errors import InvalidConfiguration, Position, Problem

MAX_SECRET = 65_536
DEFAULT_LISTEN = "127.0.0.1:9097"
__all__ = ["BasicAuth", "ReceiverSettings", "WebhookSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusSettings:
    """Where conditions are asked. A sample older than `max_age` is no evidence."""

    url: str
    timeout: float = 10.0
    max_age: float = 120.0
    basic_auth: BasicAuth | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerSettings:
    """Where the present state of alerts is asked."""

    url: str
    basic_auth: BasicAuth | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """The directory of the journal, how long its entries are kept (s) and how large it may become (bytes).

    `archive` gets what is deleted, `anchor_file` where the journal ended, by which a rewritten one is found out.
    """

    path: Path = Path("data")
    retention: float = 90 * 86_400.0
    max_size: int = 1024 * 1024 * 1024
    archive: Path | None = None
    anchor_file: Path | None = None
    space: SpaceLimits = SpaceLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonSettings:
    """Somebody with a token; `scope` is read, approve or admin."""

    name: str
    token_file: Path
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """What is served, and to whom. Several token files are several tokens that are valid at once."""

    listen_address: str = DEFAULT_LISTEN
    external_url: str = ""
    hosts: tuple[str, ...] = ()
    bearer_token_files: tuple[Path, ...] = ()
    basic_auth: BasicAuth | None = None
    people: tuple[PersonSettings, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """How much at once, and for how long. `max_wait` bounds every rule's `give_up`."""

    max_runs: int = 10
    max_wait: float = 4 * 3600.0
    fleet: FleetLimits = FleetLimits()
    queue: int = 50_000
    clock_hold: float = math.inf
    lapse_after: float = 28_800.0
    body: int = 8 * 1024 * 1024
    body_deadline: float = 10.0
    grace: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """One kumod's own HTTP listener, and the container it runs in."""

    url: str
    basic_auth: BasicAuth | None = None
    container: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """An egress source: its name in the policy of `node`."""

    node: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KumoSettings:
    """The kumods by name, the shaping files that may be edited, and the egress sources by their address."""

    nodes: Mapping[str, NodeSettings] = field(default_factory=dict)
    shaping_files: Mapping[str, Path] = field(default_factory=dict)
    sources: Mapping[str, SourceSettings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerSettings:
    """The Engine's socket, and the containers that may be restarted."""

    socket: Path
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """One Redis; one of `url` and `url_file` is set."""

    url: str = ""
    url_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSettings:
    """What actions may touch. A part that is None was not named: nothing of its kind may be touched."""

    kumomta: KumoSettings | None = None
    docker: DockerSettings | None = None
    redis: Mapping[str, RedisSettings] = field(default_factory=dict)
    http: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """remediator.yml. A server that is told no mode runs in dry-run.

    `rule_files` are the patterns as absolute paths; `rule_paths` finds the files. `notify` has the names of receivers by
    severity. `warnings` is what is probably not meant.
    """

    source: str = ""
    mode: Mode = Mode.DRY_RUN
    rule_files: tuple[str, ...] = ()
    prometheus: PrometheusSettings | None = None
    alertmanager: AlertmanagerSettings | None = None
    storage: StorageSettings = StorageSettings()
    web: WebSettings = WebSettings()
    limits: LimitSettings = LimitSettings()
    receivers: tuple[ReceiverSettings, ...] = ()
    notify: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    escalate: tuple[str, ...] = ()
    time_intervals: Mapping[str, tuple[TimeInterval, ...]] = field(default_factory=dict)
    targets: TargetSettings = TargetSettings()
    warnings: tuple[Problem, ...] = ()

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the kumods, in their order; what `each: node` stands for."""
        return tuple(self.targets.kumomta.nodes) if self.targets.kumomta is not None else ()


def read_secret(path: Path) -> str:
    """The secret in a file, without one newline at its end; InvalidConfiguration if there is none. Never logged."""
    try:
        with path.open("rb") as opened:
            raw = opened.read(MAX_SECRET + 1)
    except OSError as refused:
        raise _no_secret(path, refused.strerror or "it cannot be read") from None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise _no_secret(path, "not UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip() or len(raw) > MAX_SECRET:
        raise _no_secret(path, f"empty, or larger than {MAX_SECRET} bytes")
    return text


def secret_warning(path: Path) -> tuple[str, str, str] | None:
    """Name, sentence and cure of what is wrong with a secret's file as it is now; None if nothing is."""
    try:
        mode = path.stat().st_mode
    except OSError as refused:
        why = f"{path} cannot be read: {refused.strerror}"
        return "missing-secret", why, "create it before the service starts"
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        why = f"the mode of {path} is {stat.S_IMODE(mode):04o}, so others than its owner may read it"
        return "readable-secret", why, f"chmod go= {path}"
    return None


def _no_secret(path: Path, why: str) -> InvalidConfiguration:
    position = Position(str(path), 1, 1)
    fix = "write the secret, and nothing else, to this file"
    return InvalidConfiguration(
        [Problem(position=position, name="no-secret", sentence=f"no secret here: {why}", fix=fix)]
    )
