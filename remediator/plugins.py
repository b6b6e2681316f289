"""Brings the plug-ins together: the built-in ones, listed here by name, and those of installed packages.

A package offers its own through the entry-point groups `remediator.actions` and `remediator.probes`; each entry point is a
callable that takes `Tools` and gives one action or probe. Two plug-ins of one kind are an error that names both origins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from remediator.actions.alert_report import AlertReport
from remediator.actions.command import Command
from remediator.actions.docker import DockerRestart
from remediator.actions.docker_report import DockerLogReport, DockerReport
from remediator.actions.http import Http
from remediator.actions.http_client import HttpClient
from remediator.actions.kumomta.bounce import Bounce
from remediator.actions.kumomta.client import Kumod
from remediator.actions.kumomta.compact import CompactSpool
from remediator.actions.kumomta.looks import Liveness, QueueReport
from remediator.actions.kumomta.order_report import OrderReport
from remediator.actions.kumomta.ready_queue import ResumeReadyQueue, SuspendReadyQueue
from remediator.actions.kumomta.rebind import BumpConfigEpoch, Rebind
from remediator.actions.kumomta.source import SuspendSource
from remediator.actions.kumomta.suspend import Suspend, Unsuspend
from remediator.actions.kumomta.throttle import GlobalRate, Throttle
from remediator.actions.people import Manual, Notify, Wait
from remediator.actions.prometheus_client import Asked, Prometheus, nobody_counts
from remediator.actions.redis_config import RedisConfigSet
from remediator.actions.redis_report import RedisReport
from remediator.actions.report import PrometheusReport
from remediator.actions.silence import Silence
from remediator.actions.targets import Targets
from remediator.errors import InvalidConfiguration, Position, Problem
from remediator.ports import Action, Clock, Probe, Receiver
from remediator.probes.alert_source import AlertmanagerSource, AlertProbe
from remediator.probes.command import CommandProbe
from remediator.probes.http import HttpProbe
from remediator.probes.promql import PromqlProbe

ACTIONS_GROUP = "remediator.actions"
PROBES_GROUP = "remediator.probes"
BUILT_IN = "remediator"

Redact = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a plug-in may be built from. `redact` takes configured secrets out of text that comes from outside."""

    targets: Targets
    clock: Clock
    redact: Redact
    receivers: Mapping[str, Receiver]
    http: HttpClient
    kumod: Kumod
    prometheus: Prometheus
    alertmanager: AlertmanagerSource
    docker: HttpClient | None

    @classmethod
    def of(
        cls,
        targets: Targets,
        clock: Clock,
        redact: Redact,
        receivers: Mapping[str, Receiver],
        asked: Asked = nobody_counts,
    ) -> Tools:
        """The tools over real connections; `asked` hears what came of every question to Prometheus."""
        http = HttpClient(rest=clock.sleep, redact=redact)
        return cls(
            targets=targets,
            clock=clock,
            redact=redact,
            receivers=receivers,
            http=http,
            kumod=Kumod(targets.kumo, http=http, clock=clock),
            prometheus=Prometheus(targets.prometheus, http=http, asked=asked),
            alertmanager=AlertmanagerSource(targets.alertmanager, http=http),
            docker=HttpClient(socket=targets.docker.socket, rest=clock.sleep, redact=redact)
            if targets.docker
            else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltCatalogue:
    """The plug-ins in force, by kind; implements `ports.Catalogue`. `origins` says which package each kind is from."""

    actions: Mapping[str, Action]
    probes: Mapping[str, Probe]
    origins: Mapping[str, str] = field(default_factory=dict)


ACTIONS: tuple[Callable[[Tools], Action], ...] = (
    lambda tools: Suspend(tools.kumod),
    lambda tools: Unsuspend(tools.kumod),
    lambda tools: SuspendReadyQueue(tools.kumod),
    lambda tools: ResumeReadyQueue(tools.kumod),
    lambda tools: Bounce(tools.kumod),
    lambda tools: Rebind(tools.kumod),
    lambda tools: BumpConfigEpoch(tools.kumod),
    lambda tools: Throttle(tools.kumod),
    lambda tools: GlobalRate(tools.kumod),
    lambda tools: SuspendSource(tools.kumod),
    lambda tools: CompactSpool(tools.kumod),
    lambda tools: QueueReport(tools.kumod),
    lambda tools: OrderReport(tools.kumod),
    lambda tools: Liveness(tools.kumod),
    lambda tools: Http(tools.targets.http, http=tools.http),
    lambda tools: Command(tools.targets.command, tools.redact),
    lambda tools: DockerRestart(tools.targets.docker, http=tools.docker),
    lambda tools: DockerReport(tools.targets.docker, http=tools.docker),
    lambda tools: DockerLogReport(tools.targets.docker, http=tools.docker),
    lambda tools: RedisConfigSet(tools.targets.redis),
    lambda tools: RedisReport(tools.targets.redis),
    lambda tools: Silence(tools.targets.alertmanager, http=tools.http),
    lambda tools: AlertReport(tools.targets.alertmanager, http=tools.http),
    lambda tools: PrometheusReport(tools.prometheus),
    lambda tools: Notify(tools.receivers),
    lambda _tools: Manual(),
    lambda tools: Wait(tools.clock),
)

PROBES: tuple[Callable[[Tools], Probe], ...] = (
    lambda tools: PromqlProbe(tools.prometheus),
    lambda tools: HttpProbe(tools.targets.http, http=tools.http),
    lambda tools: CommandProbe(tools.targets.command, tools.redact),
    lambda tools: AlertProbe(tools.alertmanager),
)


def build_catalogue(
    targets: Targets, clock: Clock, redact: Redact, receivers: Mapping[str, Receiver]
) -> BuiltCatalogue:
    """All plug-ins, ready to act on `targets`; InvalidConfiguration if two are of one kind or one cannot be loaded."""
    return catalogue_of(Tools.of(targets, clock, redact, receivers))


def catalogue_of(tools: Tools) -> BuiltCatalogue:
    """All plug-ins over these tools; InvalidConfiguration as in `build_catalogue`."""
    return assemble(tools, entry_points(group=ACTIONS_GROUP), entry_points(group=PROBES_GROUP))


def describe_catalogue() -> BuiltCatalogue:
    """All plug-ins without any neighbour: they describe themselves and refuse to act. For `schema` and `check`."""
    return build_catalogue(Targets(), _Stopped(), lambda text: text, {})


def assemble(tools: Tools, actions: Iterable[EntryPoint], probes: Iterable[EntryPoint]) -> BuiltCatalogue:
    """The built-in plug-ins and those behind these entry points; InvalidConfiguration as in `build_catalogue`."""
    action_offers = [*((build, BUILT_IN) for build in ACTIONS), *map(_offered, actions)]
    probe_offers = [*((build, BUILT_IN) for build in PROBES), *map(_offered, probes)]
    found_actions, action_origins = _collect(tools, action_offers, "action")
    found_probes, probe_origins = _collect(tools, probe_offers, "probe")
    origins = {f"action {kind}": origin for kind, origin in action_origins.items()}
    origins |= {f"probe {kind}": origin for kind, origin in probe_origins.items()}
    return BuiltCatalogue(actions=found_actions, probes=found_probes, origins=origins)


PluginT = TypeVar("PluginT", Action, Probe)
Offer = tuple[Callable[[Tools], PluginT], str]


def _collect(tools: Tools, offers: Iterable[Offer[PluginT]], word: str) -> tuple[dict[str, PluginT], dict[str, str]]:
    found: dict[str, PluginT] = {}
    origins: dict[str, str] = {}
    for build, origin in offers:
        plugin = build(tools)
        if plugin.kind in found:
            raise _refused(
                origin,
                "duplicate-plugin",
                f"the {word} {plugin.kind} is there twice: from {origins[plugin.kind]} and from {origin}",
                "uninstall one of the two packages",
            )
        found[plugin.kind] = plugin
        origins[plugin.kind] = origin
    return found, origins


def _offered(entry: EntryPoint) -> tuple[Callable[[Tools], Any], str]:
    """What an installed package offers, loaded only when it is built."""

    def build(tools: Tools) -> Any:
        try:
            return entry.load()(tools)
        except Exception as fault:
            sentence = f"{entry.value} cannot be loaded: {type(fault).__name__}: {fault}"
            raise _refused(_origin(entry), "broken-plugin", sentence, "repair or uninstall that package") from fault

    return build, _origin(entry)


def _origin(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


def _refused(origin: str, name: str, sentence: str, fix: str) -> InvalidConfiguration:
    return InvalidConfiguration([Problem(position=Position(origin, 1, 1), name=name, sentence=sentence, fix=fix)])


class _Stopped:
    """A clock for plug-ins that only describe themselves."""

    def now(self) -> float:
        """The beginning of time."""
        return 0.0

    def monotonic(self) -> float:
        """The beginning of time."""
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Returns at once."""
        del seconds
