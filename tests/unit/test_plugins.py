"""How plug-ins come together: every kind once, each from where it is said to come."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from remediator.actions.targets import KumoTargets, Node, Targets
from remediator.errors import InvalidConfiguration
from remediator.plugins import Tools, assemble, build_catalogue, describe_catalogue
from remediator.ports import Catalogue
from remediator.system import SystemClock

TARGETS = Targets(kumo=KumoTargets(nodes={"mta1": Node(name="mta1", url="http://mta1.example:8000")}))

FOREIGN = """
class Wave:
    kind = "{kind}"
def build(tools):
    return Wave()
"""


@pytest.fixture
def tools() -> Tools:
    return Tools.of(TARGETS, SystemClock(), lambda text: text, {})


def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> EntryPoint:
    """An entry point of an installed package that brings one action of this kind."""
    (tmp_path / "wave_plugin.py").write_text(FOREIGN.format(kind=kind), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "wave_plugin", raising=False)
    return EntryPoint(name="wave", value="wave_plugin:build", group="remediator.actions")


def test_the_catalogue_is_the_port() -> None:
    catalogue = build_catalogue(TARGETS, SystemClock(), lambda text: text, {})
    assert isinstance(catalogue, Catalogue)
    assert all(kind == action.kind for kind, action in catalogue.actions.items())
    assert all(kind == probe.kind for kind, probe in catalogue.probes.items())


def test_without_settings_the_same_kinds_are_described() -> None:
    described = describe_catalogue()
    built = build_catalogue(TARGETS, SystemClock(), lambda text: text, {})
    assert set(described.actions) == set(built.actions)
    assert set(described.probes) == set(built.probes)


def test_a_plug_in_of_another_package_is_added(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = assemble(tools, [offer(tmp_path, monkeypatch, "wave.hello")], [])
    assert catalogue.actions["wave.hello"].kind == "wave.hello"
    assert catalogue.origins["action wave.hello"] == "wave_plugin:build"
    assert catalogue.origins["action kumomta.suspend"] == "remediator"


def test_two_plug_ins_of_one_kind_are_refused_with_both_origins(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidConfiguration, match=r"kumomta\.suspend is there twice: from remediator and from wave_"):
        assemble(tools, [offer(tmp_path, monkeypatch, "kumomta.suspend")], [])


def test_a_plug_in_that_cannot_be_loaded_is_named(tools: Tools) -> None:
    entry = EntryPoint(name="gone", value="no_such_module:build", group="remediator.probes")
    with pytest.raises(InvalidConfiguration, match="no_such_module:build cannot be loaded"):
        assemble(tools, [], [entry])
