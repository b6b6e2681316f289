"""remediator.yml to `Settings`, and its patterns to files. Reads the files it is given and looks at secrets' modes."""

from __future__ import annotations

import glob
import math
import os
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from remediator.config.common_shapes import BasicAuthShape
from remediator.config.compiling import Item, compile_intervals
from remediator.config.documents import Document, Path, parse_document
from remediator.config.faults import Faults, read_shape
from remediator.config.files import decode, read_file
from remediator.config.receivers_loading import ReceiversReader, repaired_hosts
from remediator.config.settings import (
    AlertmanagerSettings,
    BasicAuth,
    DockerSettings,
    KumoSettings,
    LimitSettings,
    NodeSettings,
    PersonSettings,
    PrometheusSettings,
    ReceiverSettings,
    RedisSettings,
    Settings,
    SourceSettings,
    StorageSettings,
    TargetSettings,
    WebSettings,
    secret_warning,
)
from remediator.config.settings_model import (
    LimitsShape,
    RedisShape,
    SettingsFile,
    WebShape,
)
from remediator.config.shapes import nearest
from remediator.core.fleet import FirstRuns, FleetLimits, StormLimits
from remediator.core.rules import Mode
from remediator.core.space import SpaceLimits
from remediator.errors import InvalidConfiguration, Position, Problem

if TYPE_CHECKING:
    from remediator.config.settings_model import StorageShape, TargetsShape

# Files beside the rules that hold their tests.
TESTS = "_test.yml"


def load_settings(path: FilePath) -> Settings:
    """The settings of one file; all its faults are raised together as InvalidConfiguration."""
    faults = Faults()
    document = parse_document(str(path), decode(path, read_file(path)))
    faults.take(document.problems)
    if document.value is None and not document.problems:
        return Settings(source=str(path))
    shape = read_shape(SettingsFile, document, (), faults) if document.value is not None else None
    settings = _SettingsCompiler(document, path, shape, faults).settings() if shape else Settings()
    faults.raise_errors()
    return settings


def rule_paths(settings: Settings) -> tuple[FilePath, ...]:
    """The rules files that the settings name, in order and without their tests; InvalidConfiguration if there is none."""
    found: dict[FilePath, None] = {}
    problems: list[Problem] = []
    for pattern in settings.rule_files:
        names = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207
        files = [FilePath(name) for name in names if not name.endswith(TESTS)]
        if not files:
            sentence = f"rule_files names {pattern}, and there is no such file"
            position = Position(settings.source or "remediator.yml", 1, 1)
            problems.append(Problem(position=position, name="no-such-file", sentence=sentence, fix="check the pattern"))
        found.update(dict.fromkeys(files))
    if problems:
        raise InvalidConfiguration(problems)
    return tuple(found)


class _SettingsCompiler:
    """Makes plain values of the shape and tells what is wrong between its parts."""

    def __init__(self, document: Document, path: FilePath, shape: SettingsFile, faults: Faults) -> None:
        self._document = document
        self._directory = path.parent
        self._shape = shape
        self._faults = faults

    def settings(self) -> Settings:
        """The settings."""
        shape = self._shape
        self._check_receivers()
        intervals = compile_intervals(
            [
                Item(document=self._document, path=("time_intervals", place), shape=item)
                for place, item in enumerate(shape.time_intervals)
            ],
            {},
            self._faults,
        )
        return Settings(
            source=self._document.file,
            mode=Mode.DRY_RUN if shape.mode is None else shape.mode,
            rule_files=tuple(os.path.join(self._directory, pattern) for pattern in shape.rule_files),  # noqa: PTH118
            prometheus=self._prometheus(),
            alertmanager=self._alertmanager(),
            storage=self._storage(shape.storage),
            web=self._web(shape.web),
            limits=self._limits(shape.limits),
            receivers=self._receivers(),
            notify={
                "critical": tuple(shape.notify.critical),
                "warning": tuple(shape.notify.warning),
                "info": tuple(shape.notify.info),
            },
            escalate=tuple(shape.escalate),
            time_intervals=intervals,
            targets=self._targets(shape.targets),
            warnings=self._faults.sorted(),
        )

    def _storage(self, shape: StorageShape) -> StorageSettings:
        path = self.plain(shape.path)
        anchors = self.plain(shape.anchor_file) if shape.anchor_file is not None else None
        if anchors is not None and _normal(anchors).is_relative_to(_normal(path)):
            sentence = f"{anchors} lies beside the journal: whoever rewrites the one can rewrite the other"
            fix = "put it on another disk or host, where this service may only add to it"
            self._faults.warning(self._document.at(("storage", "anchor_file")), "near-anchors", sentence, fix)
        return StorageSettings(
            path=path,
            retention=shape.retention,
            max_size=shape.max_size,
            archive=self.plain(shape.archive) if shape.archive is not None else None,
            anchor_file=anchors,
            space=SpaceLimits(free=shape.min_free, percent=shape.min_free_percent),
        )

    def _limits(self, shape: LimitsShape) -> LimitSettings:
        storm, first = shape.storm, shape.first_runs
        if storm.ends_below > storm.episodes.count:
            position = self._document.at(("limits", "storm"))
            sentence = f"a storm that begins with more than {storm.episodes.count} cannot end below {storm.ends_below}"
            self._faults.error(position, "bad-limit", sentence, "let ends_below be smaller than what begins it")
        return LimitSettings(
            max_runs=shape.max_runs,
            max_wait=shape.max_wait,
            fleet=FleetLimits(
                budget=shape.budget,
                storm=StormLimits(episodes=storm.episodes, ends_below=storm.ends_below, cooldown=storm.cooldown),
                first_runs=FirstRuns(runs=first.runs, within=first.within, after=first.after),
                max_alert_age=shape.max_alert_age,
            ),
            queue=shape.queue,
            clock_hold=shape.clock_hold if shape.clock_hold is not None else math.inf,
            lapse_after=shape.lapse_after,
            body=shape.body,
            body_deadline=shape.body_deadline,
            grace=shape.grace,
        )

    def plain(self, text: str) -> FilePath:
        """A file beside the settings."""
        return self._directory / text

    def secret(self, path: Path, text: str) -> FilePath:
        """A file with a secret, after a look at its mode."""
        file = self.plain(text)
        warned = secret_warning(file)
        if warned:
            self._faults.warning(self._document.at(path), *warned)
        return file

    def basic_auth(self, path: Path, shape: BasicAuthShape | None) -> BasicAuth | None:
        """A user and a password."""
        if shape is None:
            return None
        file = self.secret((*path, "basic_auth", "password_file"), shape.password_file)
        return BasicAuth(username=shape.username, password_file=file)

    def _prometheus(self) -> PrometheusSettings | None:
        shape = self._shape.prometheus
        if shape is None:
            return None
        return PrometheusSettings(
            url=shape.url.rstrip("/"),
            timeout=shape.timeout,
            max_age=shape.max_age,
            basic_auth=self.basic_auth(("prometheus",), shape.basic_auth),
        )

    def _alertmanager(self) -> AlertmanagerSettings | None:
        shape = self._shape.alertmanager
        if shape is None:
            return None
        return AlertmanagerSettings(
            url=shape.url.rstrip("/"), basic_auth=self.basic_auth(("alertmanager",), shape.basic_auth)
        )

    def _web(self, shape: WebShape) -> WebSettings:
        return WebSettings(
            listen_address=shape.listen_address,
            external_url=(shape.external_url or "").rstrip("/"),
            hosts=tuple(shape.hosts),
            bearer_token_files=tuple(
                self.secret(("web", "bearer_token_file", place), text)
                for place, text in enumerate(shape.bearer_token_file)
            ),
            basic_auth=self.basic_auth(("web",), shape.basic_auth),
            people=tuple(
                PersonSettings(
                    name=person.name,
                    token_file=self.secret(("web", "people", place, "token_file"), person.token_file),
                    scope=person.scope,
                )
                for place, person in enumerate(shape.people)
            ),
        )

    def _receivers(self) -> tuple[ReceiverSettings, ...]:
        reader = ReceiversReader(
            document=self._document,
            faults=self._faults,
            reading=self,
            repaired=repaired_hosts(self._shape.targets),
        )
        return tuple(reader.receiver(place, receiver) for place, receiver in enumerate(self._shape.receivers))

    def _url_file(self, path: Path, shape: RedisShape) -> FilePath | None:
        """The file with the URL; exactly one of `url` and `url_file` must be written."""
        if (shape.url is None) == (shape.url_file is None):
            sentence = f"{shape.noun} needs exactly one of url and url_file"
            self._faults.error(self._document.key(path), "missing-field", sentence, "write one of them")
        return self.secret((*path, "url_file"), shape.url_file) if shape.url_file else None

    def _receiver_names(self) -> list[str]:
        """The names of all receivers, also of those that have faults; two of one name are told."""
        document = self._document
        raw = document.get(("receivers",))
        names: list[str] = []
        for place in range(len(raw) if isinstance(raw, list) else 0):
            name = document.get(("receivers", place, "name"))
            if isinstance(name, str) and name in names:
                position = document.at(("receivers", place, "name"))
                self._faults.error(
                    position, "duplicate-name", f"there is another receiver '{name}'", "rename one of them"
                )
            names.extend([name] if isinstance(name, str) else [])
        return names

    def _check_receivers(self) -> None:
        shape, document = self._shape, self._document
        names = self._receiver_names()
        wanted: list[tuple[Path, list[str]]] = [
            (("notify", "critical"), shape.notify.critical),
            (("notify", "warning"), shape.notify.warning),
            (("notify", "info"), shape.notify.info),
            (("escalate",), shape.escalate),
        ]
        for path, listed in wanted:
            for place, name in enumerate(listed):
                if name not in names:
                    sentence, fix = f"there is no receiver '{name}'", nearest(name, names)
                    self._faults.error(document.at((*path, place)), "unknown-receiver", sentence, fix)

    def _targets(self, shape: TargetsShape) -> TargetSettings:
        docker = shape.docker
        return TargetSettings(
            kumomta=self._kumomta(shape),
            docker=DockerSettings(socket=self.plain(docker.socket), allow=tuple(docker.allow)) if docker else None,
            redis={
                name: RedisSettings(url=one.url or "", url_file=self._url_file(("targets", "redis", name), one))
                for name, one in shape.redis.items()
            },
            http=tuple(shape.http.allow) if shape.http else None,
            command=tuple(shape.command.allow) if shape.command else None,
        )

    def _kumomta(self, shape: TargetsShape) -> KumoSettings | None:
        kumo = shape.kumomta
        if kumo is None:
            return None
        path: Path = ("targets", "kumomta")
        named = [(name, self._document.key((*path, "shaping_files", name))) for name in kumo.shaping_files]
        named += [(one.node, self._document.at((*path, "sources", ip, "node"))) for ip, one in kumo.sources.items()]
        for name, position in named:
            if name not in kumo.nodes:
                self._faults.error(position, "unknown-node", f"there is no node '{name}'", nearest(name, kumo.nodes))
        nodes = {
            name: NodeSettings(
                url=node.url.rstrip("/"),
                basic_auth=self.basic_auth((*path, "nodes", name), node.basic_auth),
                container=node.container or name,
            )
            for name, node in kumo.nodes.items()
        }
        return KumoSettings(
            nodes=nodes,
            shaping_files={name: self.plain(text) for name, text in kumo.shaping_files.items()},
            sources={ip: SourceSettings(node=one.node, source=one.source) for ip, one in kumo.sources.items()},
        )


def _normal(path: FilePath) -> FilePath:
    """The path without dots; nothing is asked of the disk."""
    return FilePath(os.path.abspath(path))  # noqa: PTH100  (resolve would follow links, and refuse some texts)
