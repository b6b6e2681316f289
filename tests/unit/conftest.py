"""Builders for values of the core: small, plain, every field with a sensible default. Reached by the fixture `build`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings

from remediator.core import entries as e
from remediator.core.alerts import Alert, AlertStatus, Notification, identity, parse_notification
from remediator.core.facts import Evidence, Facts
from remediator.core.fitting import Fitting
from remediator.core.fold import fold
from remediator.core.matchers import parse_matcher
from remediator.core.outcomes import EffectClass, Outcome, Result
from remediator.core.params import Json, ParamType
from remediator.core.planning import Planner, dispose
from remediator.core.plans import Plan, PlannedCheck, PlannedGuards, PlannedLimit, PlannedStep
from remediator.core.rendering import parse_template
from remediator.core.rules import Guards, Mode, OnError, OnFailure, Playbook, Rule, Ruleset, Rung, Step
from remediator.core.state import Incident, Moment, Run, State

# How long an example takes says more about the machine than about the code.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")

START = 1_795_516_000.0  # 2026-11-24 10:26:40Z, next to the times of the captured notifications
FIXTURES = Path(__file__).parent.parent / "fixtures" / "alertmanager"


def wire_time(at: float) -> str:
    """A time as Alertmanager writes it."""
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Build:
    """Makes values."""

    zero = START

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def moment(self, after: float = 0.0, *, boot: str = "boot-1", step: float = 0.0) -> Moment:
        """`after` seconds past the start; `step` is by how much the wall clock was stepped since."""
        return Moment(START + after + step, 1000.0 + after, boot, steady=START + after)

    # ── what Alertmanager sends ──────────────────────────────────────────────────────────────────────────────────────
    def fixture(self, name: str) -> bytes:
        """A captured notification, byte for byte."""
        return (FIXTURES / f"{name}.json").read_bytes()

    def wire_alert(self, *, starts: float = 0.0, ends: float | None = None, **labels: str) -> dict[str, Any]:
        """An alert of a notification; resolved when it has an end. Times in seconds past the start."""
        return {
            "status": "firing" if ends is None else "resolved",
            "labels": labels or {"alertname": "Bounces", "domain": "example.com", "instance": "mta1"},
            "annotations": {"summary": "too many bounces"},
            "startsAt": wire_time(START + starts),
            "endsAt": "0001-01-01T00:00:00Z" if ends is None else wire_time(START + ends),
            "generatorURL": "http://prometheus.example:9090/graph",
            "fingerprint": "8ee188f4a5cc92b3",
        }

    def body(self, *alerts: Mapping[str, Any], truncated: int = 0, **fields: Any) -> bytes:
        """A notification as bytes."""
        wire: dict[str, Any] = {
            "receiver": "remediator",
            "status": "firing",
            "alerts": list(alerts),
            "groupLabels": {},
            "commonLabels": {},
            "commonAnnotations": {},
            "externalURL": "http://alertmanager.example:9093",
            "version": "4",
            "groupKey": "{}:{}",
            "truncatedAlerts": truncated,
        }
        return json.dumps(wire | fields).encode()

    def alert(
        self, labels: Mapping[str, str] | None = None, /, *, starts: float = 0.0, ends: float | None = None, **more: str
    ) -> Alert:
        """An alert as read, with these labels, and more."""
        plain = {"alertname": "Bounces", "domain": "example.com", "instance": "mta1"}
        return Alert(
            status=AlertStatus.FIRING if ends is None else AlertStatus.RESOLVED,
            labels={**(plain if labels is None else labels), **more},
            annotations={"summary": "too many bounces"},
            starts_at=START + starts,
            ends_at=None if ends is None else START + ends,
            fingerprint="8ee188f4a5cc92b3",
        )

    def notification(self, *alerts: Alert) -> Notification:
        """A notification as read."""
        return Notification(receiver="remediator", group_key="{}:{}", truncated=0, external_url="", alerts=alerts)

    # ── rules ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def rule(self, name: str = "bounces", *match: str, **changes: Any) -> Rule:
        """A rule in mode auto that pauses the domain."""
        values: dict[str, Any] = {
            "name": name,
            "match": tuple(parse_matcher(text) for text in match or ("alertname=Bounces",)),
            "group_by": ("domain",),
            "ladder": (self.rung(),),
            "mode": Mode.AUTO,
            "guards": Guards(),
        }
        return Rule(**values | changes)

    def rung(self, playbook: str = "pause", **arguments: str) -> Rung:
        """One step of a ladder."""
        bound = arguments or {"domain": "{{ labels.domain }}"}
        return Rung(playbook=playbook, arguments={name: parse_template(text) for name, text in bound.items()})

    def playbook(self, name: str = "pause", *steps: Step, **changes: Any) -> Playbook:
        """A playbook with one parameter, `domain`."""
        values: dict[str, Any] = {
            "name": name,
            "params": {"domain": ParamType.DOMAIN},
            "steps": steps or (self.step(),),
        }
        return Playbook(**values | changes)

    def step(self, name: str = "Pause", **changes: Any) -> Step:
        """A step that calls `mail.pause`."""
        values: dict[str, Any] = {
            "name": name,
            "action": "mail.pause",
            "arguments": {"domain": parse_template("{{ params.domain }}")},
            "effect": EffectClass.SAFE,
        }
        return Step(**values | changes)

    def fitting(self, **params: ParamType) -> Fitting:
        """What planning knows of an action; it refuses the domain `refused.example`."""

        def faults(arguments: Mapping[str, Json]) -> Sequence[str]:
            return ("this domain is not ours",) if arguments.get("domain") == "refused.example" else ()

        def describe(arguments: Mapping[str, Json]) -> str:
            return f"pause {arguments.get('domain')}"

        return Fitting(params=params or {"domain": ParamType.DOMAIN}, faults=faults, describe=describe)

    def planner(
        self,
        *rules: Rule,
        playbooks: Sequence[Playbook] = (),
        mode: Mode = Mode.AUTO,
        fittings: Mapping[str, Fitting] | None = None,
        **ruleset: Any,
    ) -> Planner:
        """A planner over these rules; without any, over one rule with one playbook."""
        books = {book.name: book for book in playbooks or (self.playbook(),)}
        return Planner(
            ruleset=Ruleset(rules=rules or (self.rule(),), playbooks=books, digest="r1", **ruleset),
            server_mode=mode,
            fittings=fittings or {"mail.pause": self.fitting()},
        )

    # ── plans and runs ───────────────────────────────────────────────────────────────────────────────────────────────
    def planned_step(self, effect: EffectClass = EffectClass.SAFE, **changes: Any) -> PlannedStep:
        """A step, ready to be issued."""
        values: dict[str, Any] = {
            "name": "Pause",
            "action": "mail.pause",
            "arguments": {"domain": "example.com"},
            "effect": effect,
            "timeout": 30.0,
            "on_error": OnError.STOP,
        }
        return PlannedStep(**values | changes)

    def check(self, **changes: Any) -> PlannedCheck:
        """One part of a verification."""
        values: dict[str, Any] = {
            "probe": "promql",
            "arguments": {"expr": "up"},
            "hold": 0.0,
            "within": 600.0,
            "every": 15.0,
            "samples": 3,
        }
        return PlannedCheck(**values | changes)

    def limits(self, **changes: Any) -> PlannedGuards:
        """The guards of a plan."""
        values: dict[str, Any] = {
            "cooldown": 1800.0,
            "rate_limit": PlannedLimit(2, 21600.0),
            "blast_radius": PlannedLimit(3, 3600.0),
            "concurrency": 1,
        }
        return PlannedGuards(**values | changes)

    def plan(self, *steps: PlannedStep, **changes: Any) -> Plan:
        """A plan for example.com."""
        values: dict[str, Any] = {
            "rule": "bounces",
            "playbook": "pause",
            "rung": 0,
            "target": {"domain": "example.com"},
            "params": {"domain": "example.com"},
            "guards": self.limits(),
            "locks": ("domain=example.com",),
            "steps": steps or (self.planned_step(),),
            "verify": (self.check(),),
            "on_failure": (OnFailure.ROLLBACK, OnFailure.ESCALATE),
            "limit": 1800.0,
            "give_up": 14400.0,
        }
        return Plan(**values | changes)

    def run(self, plan: Plan | None = None, **changes: Any) -> Run:
        """A planned run of inc-1."""
        chosen = plan or self.plan()
        values: dict[str, Any] = {
            "id": "inc-1.1",
            "incident": "inc-1",
            "plan": chosen,
            "digest": chosen.digest,
            "dry": False,
            "mode": "auto",
            "planned": self.moment(),
            "results": (None,) * len(chosen.steps),
            "undo_tries": (0,) * len(chosen.steps),
        }
        return Run(**values | changes)

    def incident(self, **changes: Any) -> Incident:
        """An open incident of the rule `bounces` on example.com."""
        values: dict[str, Any] = {
            "id": "inc-1",
            "rule": "bounces",
            "target": {"domain": "example.com"},
            "labels": {"alertname": "Bounces", "domain": "example.com", "severity": "critical"},
            "severity": "critical",
            "episodes": ("a1",),
            "opened": self.moment(),
            "changed_at": START,
        }
        return Incident(**values | changes)

    # ── entries and states ───────────────────────────────────────────────────────────────────────────────────────────
    def entry(self, seq: int, fact: e.AnyFact, moment: Moment | None = None) -> e.Entry:
        """The fact with a place and a time."""
        now = moment or self.moment()
        return e.Entry(
            seq=seq, id=f"e-{seq}", at=now.at, mono=now.mono, boot=now.boot, host=now.host, replica="one", fact=fact
        )

    def fold(self, state: State, *facts: e.AnyFact, after: float = 0.0, moment: Moment | None = None) -> State:
        """The state after these facts, all of one moment."""
        for fact in facts:
            state = fold(state, self.entry(state.seq + 1, fact, moment or self.moment(after)))
        return state

    def received(self, state: State, body: bytes, planner: Planner | None = None, after: float = 0.0) -> State:
        """The state after a notification was accepted and disposed of."""
        notification = parse_notification(body)
        fact = e.NotificationReceived(alerts=len(notification.alerts), body=msgspec.Raw(body))
        state = self.fold(state, fact, after=after)
        facts = dispose(planner or self.planner(), state, state.seq, notification, START + after)
        return self.fold(state, *facts, after=after)

    def open(self, plan: Plan | None = None, *, dry: bool = False, number: int = 1, **changes: Any) -> list[e.AnyFact]:
        """The facts that open incident `inc-1` with an alert that fires, and plan its run."""
        chosen = plan or self.plan()
        values: dict[str, Any] = {
            "incident": f"inc-{number}",
            "rule": chosen.rule,
            "target": chosen.target,
            "episode": f"a{number}.1",
            "labels": {"alertname": "Bounces", **chosen.target},
            "severity": "critical",
        }
        run = e.RunPlanned(
            incident=f"inc-{number}",
            run=f"inc-{number}.1",
            plan=chosen,
            digest=chosen.digest,
            dry=dry,
            mode="dry-run" if dry else "auto",
        )
        return [e.IncidentOpened(**values | changes), run]

    def started(self, plan: Plan | None = None, *, dry: bool = False, number: int = 1) -> State:
        """A state in which the run of an incident has just been allowed and started."""
        return self.fold(State(), *self.open(plan, dry=dry, number=number), self.start(plan, dry=dry, number=number))

    def start(
        self, plan: Plan | None = None, *, dry: bool = False, number: int = 1, after: float = 0.0
    ) -> e.RunStarted:
        """The start of the run of an incident."""
        chosen = plan or self.plan()
        return e.RunStarted(
            incident=f"inc-{number}",
            run=f"inc-{number}.1",
            rule=chosen.rule,
            target=", ".join(f"{name}={value}" for name, value in sorted(chosen.target.items())),
            locks=chosen.locks,
            deadline=START + after + chosen.limit,
            dry=dry,
        )

    def intent(self, step: int = 0, attempt: int = 1, **changes: Any) -> e.StepIntent:
        """The intent of one attempt of inc-1.1."""
        values: dict[str, Any] = {
            "incident": "inc-1",
            "run": "inc-1.1",
            "step": step,
            "attempt": attempt,
            "action": "mail.pause",
            "key": f"inc-1.1/{step}",
            "issue_by": START + 5.0,
            "timeout": 30.0,
        }
        return e.StepIntent(**values | changes)

    def outcome(
        self, result: Result = Result.OK, step: int = 0, attempt: int = 1, *, retryable: bool = False, **changes: Any
    ) -> e.StepOutcome:
        """The outcome of one attempt of inc-1.1."""
        values: dict[str, Any] = {
            "incident": "inc-1",
            "run": "inc-1.1",
            "step": step,
            "attempt": attempt,
            "outcome": Outcome(result=result, sentence=f"it was {result.value}", retryable=retryable),
        }
        return e.StepOutcome(**values | changes)

    # ── what guards are asked with ───────────────────────────────────────────────────────────────────────────────────
    def facts(self, state: State | None = None, run: Run | None = None, **changes: Any) -> Facts:
        """Everything a guard may look at: a run of `bounces` on example.com in an empty journal, one second after."""
        chosen = run or self.run()
        values: dict[str, Any] = {
            "state": state or State(),
            "run": chosen,
            "incident": self.incident(),
            "moment": self.moment(1.0),
            "ruleset": self.planner().ruleset,
            "server_mode": Mode.AUTO,
            "limits": chosen.plan.guards,
            "max_runs": 10,
            "evidence": Evidence(at=START + 1.0),
        }
        return Facts(**values | changes)

    def identity(self, **labels: str) -> str:
        """The name of the alert with these labels."""
        return identity(labels or {"alertname": "Bounces", "domain": "example.com", "instance": "mta1"})


@pytest.fixture(scope="session")
def build() -> Build:
    """The builders."""
    return Build()
