"""What every action and every probe must keep, whoever wrote it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

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
from remediator.core.outcomes import EffectClass, Look, Outcome, Result, ok
from remediator.core.params import WILDCARDS, Json, ParamType, parse_value
from remediator.plugins import build_catalogue, describe_catalogue
from remediator.ports import Action, Call, LookCall, Message, Probe
from remediator.system import SystemClock


class Quiet:
    name = "ops"

    async def send(self, message: Message) -> Outcome:
        return ok(message.id)


TARGETS = Targets(
    kumo=KumoTargets(
        nodes={"mta1": Node(name="mta1", url="http://127.0.0.1:9")},
        shaping_files={"mta1": Path("/no/such/shaping.toml")},
        sources={"192.0.2.10": Source(node="mta1", source="ip-1")},
    ),
    docker=DockerTarget(socket=Path("/no/such/docker.sock"), allow=frozenset({"kumod"})),
    redis=RedisTargets(servers={"cache": RedisServer(name="cache", host="127.0.0.1", port=9)}),
    http=HttpTargets(allow=("http://127.0.0.1:9/",)),
    command=CommandTargets(allow=(sys.executable,)),
    alertmanager=AlertmanagerTarget(url="http://127.0.0.1:9"),
    prometheus=PrometheusTarget(url="http://127.0.0.1:9"),
)
BUILT = build_catalogue(TARGETS, SystemClock(), lambda text: text, {"ops": Quiet()})
DESCRIBED = describe_catalogue()

# Arguments that may pass, for every action. A new action without a line here fails the first test.
GOOD: Mapping[str, dict[str, Json]] = {
    "kumomta.suspend": {"node": "mta1", "domain": "gmail.com"},
    "kumomta.unsuspend": {"node": "mta1", "domain": "gmail.com"},
    "kumomta.suspend_ready_queue": {"node": "mta1", "queue": "ip-1->mx.example@smtp_client"},
    "kumomta.resume_ready_queue": {"node": "mta1", "queue": "ip-1->mx.example@smtp_client"},
    "kumomta.bounce": {"node": "mta1", "domain": "gmail.com"},
    "kumomta.rebind": {"node": "mta1", "domain": "gmail.com", "flush": True},
    "kumomta.bump_config_epoch": {"node": "mta1"},
    "kumomta.throttle": {"node": "mta1", "domain": "gmail.com", "rate": "100/h"},
    "kumomta.global_rate": {"node": "mta1", "rate": "2000/min"},
    "kumomta.suspend_source": {"ip": "192.0.2.10"},
    "kumomta.compact_spool": {"node": "mta1", "spool": "data"},
    "kumomta.queue_report": {"node": "mta1"},
    "kumomta.order_report": {"node": "mta1"},
    "kumomta.liveness": {"node": "mta1"},
    "http": {"url": "http://127.0.0.1:9/hook"},
    "command": {"argv": [sys.executable, "-c", "pass"]},
    "docker.restart": {"container": "kumod", "stop_timeout": 5},
    "docker.report": {},
    "docker.log_report": {"container": "kumod", "word": "error"},
    "redis.report": {"server": "cache"},
    "alertmanager.report": {},
    "redis.config_set": {"server": "cache", "parameter": "maxmemory", "value": "1gb"},
    "alertmanager.silence": {"labels": {"alertname": "X"}},
    "prometheus.report": {"expr": "up"},
    "notify": {"receiver": "ops", "text": "hello"},
    "manual": {"sentence": "look"},
    "wait": {"seconds": 0.001},
}
# Actions that need no neighbour.
ALONE = {"manual", "wait"}

every_action = pytest.mark.parametrize("action", BUILT.actions.values(), ids=lambda action: action.kind)
every_probe = pytest.mark.parametrize("probe", BUILT.probes.values(), ids=lambda probe: probe.kind)
every_plugin = pytest.mark.parametrize(
    "plugin", [*BUILT.actions.values(), *BUILT.probes.values()], ids=lambda plugin: f"{type(plugin).__name__}"
)


def call(kind: str, *, timeout: float = 20.0) -> Call:
    return Call(arguments=GOOD[kind], key="inc-7f3kq2m8.1/0", timeout=timeout, now=1000.0, expires_at=8200.0)


def refused(action: Action, arguments: dict[str, Json]) -> bool:
    """Whether a plan with these arguments is refused, by their types or by the action."""
    try:
        parsed = {name: parse_value(action.params[name].type, value) for name, value in arguments.items()}
    except ValueError:
        return True
    return bool(action.faults(parsed))


def test_every_action_has_arguments_that_may_pass() -> None:
    assert set(GOOD) == set(BUILT.actions)


@every_plugin
def test_a_plug_in_says_what_it_is(plugin: Action | Probe) -> None:
    assert inspect.getdoc(type(plugin))
    assert plugin.summary
    assert not plugin.summary.endswith(".")
    assert plugin.summary == plugin.summary.strip()
    for name, param in plugin.params.items():
        assert param.doc.endswith("."), f"{plugin.kind}.{name} is not documented"
        assert name.isidentifier()


@every_plugin
def test_a_plug_in_does_no_work_when_it_is_made(plugin: Action | Probe) -> None:
    """Described without settings, it has the same shape as with them."""
    described: Any = {**DESCRIBED.actions, **{f"probe {kind}": one for kind, one in DESCRIBED.probes.items()}}
    key = plugin.kind if hasattr(plugin, "perform") else f"probe {plugin.kind}"
    assert described[key].params == plugin.params
    assert described[key].summary == plugin.summary


@every_action
def test_good_arguments_pass_with_and_without_settings(action: Action) -> None:
    assert action.faults(GOOD[action.kind]) == []
    assert DESCRIBED.actions[action.kind].faults(GOOD[action.kind]) == []


@every_action
def test_a_required_argument_that_is_missing_or_empty_is_refused(action: Action) -> None:
    for name, param in action.params.items():
        if not param.required:
            continue
        good = GOOD[action.kind]
        assert action.faults({key: value for key, value in good.items() if key != name}), f"{name} left out"
        empty: tuple[Json, ...] = ("", [], {}, None)
        for nothing in empty:
            assert refused(action, {**good, name: nothing}), f"{name} is {nothing!r}"


@every_action
def test_a_wildcard_is_refused_where_something_must_be_named(action: Action) -> None:
    scoped = {ParamType.NAME, ParamType.DOMAIN, ParamType.QUEUE, ParamType.IP}
    for name, param in action.params.items():
        if param.type not in scoped or (action.effect is EffectClass.READ and not param.required):
            continue
        for word in WILDCARDS:
            assert refused(action, {**GOOD[action.kind], name: word}), f"{name} is {word!r}"


@every_action
def test_a_description_is_one_sentence_without_a_full_stop(action: Action) -> None:
    for arguments in (GOOD[action.kind], {}):
        told = action.describe(arguments)
        assert told
        assert "\n" not in told
        assert not told.endswith(".")


@every_action
def test_a_class_is_what_it_says(action: Action) -> None:
    if action.effect is EffectClass.READ:
        assert not action.lasting
    if action.lasting:
        assert type(action).undo.__qualname__.startswith(type(action).__name__), (
            "a lasting effect needs an undo of its own"
        )
    if action.effect is EffectClass.KEYED:
        assert type(action).reconcile.__qualname__.startswith(type(action).__name__), "a key must be asked for"


@every_action
async def test_without_settings_nothing_is_done(action: Action) -> None:
    described = DESCRIBED.actions[action.kind]
    outcome = await described.perform(call(action.kind))
    assert (outcome.result is Result.OK) == (action.kind in ALONE)
    assert outcome.result is not Result.UNKNOWN


@every_action
async def test_with_no_neighbour_there_nothing_is_unknown(action: Action) -> None:
    """Nothing listens at any target: that is certain, so no step may be parked for it."""
    outcome = await action.perform(call(action.kind))
    assert outcome.result is not Result.UNKNOWN
    assert outcome.sentence


@every_probe
async def test_a_probe_without_settings_could_not_tell(probe: Probe) -> None:
    arguments: dict[str, dict[str, Json]] = {
        "promql": {"expr": "up > 0"},
        "http": {"url": "http://127.0.0.1:9/"},
        "command": {"argv": ["/bin/true"]},
        "alert": {"labels": {"alertname": "X"}},
    }
    described = DESCRIBED.probes[probe.kind]
    assert described.describe(arguments[probe.kind])
    for given in (arguments[probe.kind], {}):
        seen = await described.look(LookCall(arguments=given, newer_than=0.0, now=1.0))
        assert seen.look is Look.UNKNOWN
        assert seen.sentence
