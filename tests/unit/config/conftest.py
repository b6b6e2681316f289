"""A small catalogue of plug-ins that only declare themselves, and ways to write and load configuration files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import pytest

from remediator.config import Loaded, load_rules
from remediator.core.outcomes import EffectClass, Found, Look, Observation, Outcome, Presence, UndoOutcome, UndoResult
from remediator.core.outcomes import ok as done
from remediator.core.params import Json, Param, ParamType
from remediator.core.rules import Mode
from remediator.ports import Action, Call, LookCall, Probe


class _Declared:
    """An action that declares itself and does nothing."""

    kind: ClassVar[str]
    effect: ClassVar[EffectClass] = EffectClass.SAFE
    lasting: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Param]]
    summary: ClassVar[str] = "Declares itself."

    def faults(self, arguments: Mapping[str, Json]) -> Sequence[str]:
        return [] if set(arguments) - {"node", "reason", "rate"} else ["name at least one selector"]

    def describe(self, arguments: Mapping[str, Json]) -> str:
        return f"do {self.kind} with {sorted(arguments)}"

    async def perform(self, call: Call) -> Outcome:
        return done(call.key)

    async def reconcile(self, call: Call) -> Found:
        return Found(presence=Presence.UNDECIDED, sentence=call.key)

    async def undo(self, call: Call, receipt: Mapping[str, object]) -> UndoOutcome:
        return UndoOutcome(result=UndoResult.GONE, sentence=call.key + str(receipt))


NODE = Param(type=ParamType.NAME, doc="The kumod to act on.")
DOMAIN = Param(type=ParamType.DOMAIN, doc="The recipients' domain.", required=False)


class Suspend(_Declared):
    kind = "kumomta.suspend"
    effect = EffectClass.KEYED
    lasting = True
    params: ClassVar[Mapping[str, Param]] = {
        "node": NODE,
        "domain": DOMAIN,
        "tenant": Param(type=ParamType.NAME, doc="The tenant.", required=False),
        "reason": Param(type=ParamType.TEXT, doc="Shown to people."),
    }


class Throttle(_Declared):
    kind = "kumomta.throttle"
    lasting = True
    params: ClassVar[Mapping[str, Param]] = {
        "node": NODE,
        "domain": DOMAIN,
        "rate": Param(type=ParamType.RATE, doc="The new rate."),
        "scope": Param(type=ParamType.TEXT, doc="What it counts.", required=False, choices=("site", "source")),
    }


class Report(_Declared):
    kind = "prometheus.report"
    effect = EffectClass.READ
    params: ClassVar[Mapping[str, Param]] = {
        "expr": Param(type=ParamType.TEXT, doc="PromQL whose answer is kept."),
        "since": Param(type=ParamType.DURATION, doc="How far to look back.", required=False),
    }


class Command(_Declared):
    kind = "command"
    effect = EffectClass.ONCE
    params: ClassVar[Mapping[str, Param]] = {
        "argv": Param(type=ParamType.ARGV, doc="The program and its arguments."),
        "count": Param(type=ParamType.INT, doc="How often.", required=False),
    }


class Http(_Declared):
    kind = "http"
    effect = EffectClass.ONCE
    params: ClassVar[Mapping[str, Param]] = {
        "url": Param(type=ParamType.URL, doc="Where to post."),
        "body": Param(type=ParamType.OBJECT, doc="What to post.", required=False),
    }


class Manual(_Declared):
    kind = "manual"
    effect = EffectClass.READ
    params: ClassVar[Mapping[str, Param]] = {"sentence": Param(type=ParamType.TEXT, doc="What a person does.")}


class _Looking:
    """A probe that declares itself."""

    kind: ClassVar[str]
    params: ClassVar[Mapping[str, Param]]
    summary: ClassVar[str] = "Declares itself."

    def describe(self, arguments: Mapping[str, Json]) -> str:
        return f"{self.kind} {sorted(arguments)}"

    async def look(self, call: LookCall) -> Observation:
        return Observation(look=Look.UNKNOWN, sentence=str(call.newer_than))


class PromqlProbe(_Looking):
    kind = "promql"
    params: ClassVar[Mapping[str, Param]] = {"expr": Param(type=ParamType.TEXT, doc="PromQL.")}


class HttpProbe(_Looking):
    kind = "http"
    params: ClassVar[Mapping[str, Param]] = {
        "url": Param(type=ParamType.URL, doc="What to get."),
        "status": Param(type=ParamType.INT, doc="What it must answer.", required=False),
    }


class CommandProbe(_Looking):
    kind = "command"
    params: ClassVar[Mapping[str, Param]] = {"argv": Param(type=ParamType.ARGV, doc="The program.")}


class AlertProbe(_Looking):
    kind = "alert"
    params: ClassVar[Mapping[str, Param]] = {"alertname": Param(type=ParamType.NAME, doc="Whose end is awaited.")}


class PortProbe(_Looking):
    kind = "smtp.banner"
    params: ClassVar[Mapping[str, Param]] = {
        "host": Param(type=ParamType.DOMAIN, doc="The host."),
        "port": Param(type=ParamType.INT, doc="The port."),
    }


@dataclass(frozen=True, slots=True)
class FixedCatalogue:
    """The plug-ins above."""

    actions: Mapping[str, Action]
    probes: Mapping[str, Probe]


ACTIONS: tuple[Action, ...] = (Suspend(), Throttle(), Report(), Command(), Http(), Manual())
PROBES: tuple[Probe, ...] = (PromqlProbe(), HttpProbe(), CommandProbe(), AlertProbe(), PortProbe())


@pytest.fixture(scope="session")
def catalogue() -> FixedCatalogue:
    """Six actions and five probes."""
    return FixedCatalogue(
        MappingProxyType({action.kind: action for action in ACTIONS}),
        MappingProxyType({probe.kind: probe for probe in PROBES}),
    )


@pytest.fixture(autouse=True)
def private_files() -> Iterator[None]:
    """Files of these tests are not writable for others, whatever the shell says: that is refused, and tested apart."""
    before = os.umask(0o022)
    yield
    os.umask(before)


Load = Callable[[str], Loaded]


@pytest.fixture
def load(tmp_path: Path, catalogue: FixedCatalogue) -> Load:
    """Loads one text as the file rules.yml, on a server in mode auto."""

    def loading(text: str) -> Loaded:
        path = tmp_path / "rules.yml"
        path.write_text(text)
        path.chmod(0o644)
        return load_rules([path], catalogue, server_mode=Mode.AUTO)

    return loading
