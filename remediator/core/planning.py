"""From a notification to dispositions, incidents and plans: pure, and total for every alert.

`dispose` answers for one notification: every alert gets, for every rule that matches it, exactly one disposition with its
reason, or `unmatched` with the nearest miss (G2). The episode rules are reliability.md §3.2: an open episode absorbs every
firing copy whatever its start (HA members can disagree), a resolved one absorbs copies that began before it ended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from remediator.core import entries as e
from remediator.core.alerts import Alert, AlertStatus, Malformed, Notification, identity
from remediator.core.breaker import lowered
from remediator.core.durations import format_duration
from remediator.core.fitting import Fitting
from remediator.core.forgetting import next_number
from remediator.core.measures import planned_fleet, planned_trust
from remediator.core.misses import nearest_miss, stops
from remediator.core.params import Json, ParamType, check_scope, parse_value
from remediator.core.places import place_of
from remediator.core.plans import (
    Plan,
    PlannedCheck,
    PlannedCondition,
    PlannedGuards,
    PlannedLimit,
    PlannedStep,
    target_text,
)
from remediator.core.rendering import Scope, Tree, fill, fill_tree, starts_with_blank
from remediator.core.rules import Check, Condition, Limit, Mode, Rule, Ruleset, Rung, Step
from remediator.core.state import Episode, EpisodeStatus, State
from remediator.core.telling import clock_time

# Short and speakable: no vowels (no words), no letters that look like digits.
_ALPHABET = "23456789bcdfghjkmnpqrstvwxz"
# How far the sender's clock may be ahead of ours (s). An end later than that is cut: it would make new firings stale.
CLOCKS_APART = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Everything that planning depends on, as one value."""

    ruleset: Ruleset
    server_mode: Mode
    fittings: Mapping[str, Fitting]


class Unplannable(ValueError):
    """A playbook that cannot be rendered for this alert, with the reason: nothing of it may run."""


def incident_id(rule: str, episode: str) -> str:
    """The incident that this rule opens for this episode: the same for every planner, so two cannot make two (G3)."""
    number = int.from_bytes(hashlib.sha256(f"{rule}\0{episode}".encode()).digest()[:8], "big")
    letters = ""
    for _ in range(8):
        number, digit = divmod(number, len(_ALPHABET))
        letters += _ALPHABET[digit]
    return f"inc-{letters}"


def dispose(planner: Planner, state: State, seq: int, notification: Notification, now: float) -> list[e.AnyFact]:
    """The facts that settle notification `seq`: one `notification.disposed`, after the incidents and runs it opens."""
    draft = _Draft(planner, state, notification, now)
    reads = tuple(draft.read(alert) for alert in notification.alerts)
    disposed = e.NotificationDisposed(
        notification=seq,
        receiver=notification.receiver,
        group_key=notification.group_key[:1000],
        truncated=notification.truncated,
        alerts=reads,
    )
    return [*draft.opened, disposed, *draft.planned]


class _Draft:
    """The facts of one notification while they are being made; later alerts see what earlier ones opened."""

    def __init__(self, planner: Planner, state: State, notification: Notification, now: float) -> None:
        self._planner = planner
        self._state = state
        self._now = now
        self._latest_end = now + CLOCKS_APART
        # A snapshot: what fires in one HA copy fires, whatever the other copy says and wherever it stands in the list.
        alerts = [alert for alert in notification.alerts if isinstance(alert, Alert)]
        self._fires = {identity(alert.labels) for alert in alerts if alert.status is AlertStatus.FIRING}
        self._open: dict[tuple[str, str], str] = {}
        self._episodes: dict[str, bool] = {}
        self.opened: list[e.AnyFact] = []
        self.planned: list[e.AnyFact] = []

    def read(self, alert: Alert | Malformed) -> e.AlertRead:
        """What becomes of one alert."""
        if isinstance(alert, Malformed):
            disposal = e.Disposal(disposition="quarantined", reason=alert.reason)
            return e.AlertRead(identity="", status=AlertStatus.FIRING, starts_at=0.0, disposals=(disposal,))
        name = identity(alert.labels)
        if alert.status is AlertStatus.RESOLVED:
            return self._resolved(name, alert)
        return self._firing(name, alert)

    def _resolved(self, name: str, alert: Alert) -> e.AlertRead:
        known = self._state.episodes.get(name)
        is_open = self._episodes.get(name, known is not None and known.status is EpisodeStatus.OPEN)
        if name in self._fires:
            disposal = e.Disposal(disposition="stale", reason="another copy of it in this notification fires")
        elif is_open and _is_old_end(known, alert):
            disposal = e.Disposal(disposition="stale", reason="the end of an earlier firing")
        elif is_open:
            self._episodes[name] = False
            disposal = e.Disposal(disposition="resolved", reason="ends the episode; a hint, not proof")
        else:
            disposal = e.Disposal(disposition="stale", reason="resolved, and no firing of it is open")
        return e.AlertRead(
            identity=name,
            status=alert.status,
            starts_at=alert.starts_at,
            ends_at=min(alert.ends_at, self._latest_end) if alert.ends_at is not None else None,
            disposals=(disposal,),
        )

    def _firing(self, name: str, alert: Alert) -> e.AlertRead:
        known = self._state.episodes.get(name)
        if self._episodes.get(name, known is not None and known.status is EpisodeStatus.OPEN):
            disposal = e.Disposal(disposition="duplicate", reason="this firing is already known")
            return e.AlertRead(identity=name, status=alert.status, starts_at=alert.starts_at, disposals=(disposal,))
        if late := _why_late(self._state, known, alert):
            disposal = e.Disposal(disposition="stale", reason=late)
            return e.AlertRead(identity=name, status=alert.status, starts_at=alert.starts_at, disposals=(disposal,))
        self._episodes[name] = True
        episode = f"{name}.{next_number(self._state, name)}"
        return e.AlertRead(
            identity=name,
            status=alert.status,
            starts_at=alert.starts_at,
            labels=alert.labels,
            annotations=alert.annotations,
            fingerprint=alert.fingerprint,
            disposals=self._match(alert, episode),
        )

    def _match(self, alert: Alert, episode: str) -> tuple[e.Disposal, ...]:
        ruleset = self._planner.ruleset
        found = ruleset.index.matching(alert.labels)
        if not found:
            reason = nearest_miss(ruleset, alert.labels, alert.annotations)
            return (e.Disposal(disposition="unmatched", reason=reason),)
        disposals: list[e.Disposal] = []
        stopped = ""
        for rule in (ruleset.rules[place] for place in found):
            if stopped:
                disposals.append(e.Disposal(disposition="suppressed", rule=rule.name, reason=stops(stopped)))
                continue
            disposals.append(self._apply(rule, alert, episode))
            stopped = rule.name if rule.stop and disposals[-1].disposition in _TAKEN_ON else ""
        return tuple(disposals)

    def _apply(self, rule: Rule, alert: Alert, episode: str) -> e.Disposal:
        mode = min(rule.mode, self._planner.server_mode)
        if mode is Mode.OFF:
            return e.Disposal(disposition="suppressed", rule=rule.name, reason="its mode is off")
        try:
            target = target_of(rule, alert.labels)
        except Unplannable as fault:
            return e.Disposal(disposition="quarantined", rule=rule.name, reason=str(fault))
        key = (rule.name, target_text(target))
        mode = lowered(mode, self._state, rule.name, key[1], self._now)
        running = self._open.get(key) or self._state.open_by_key.get(key)
        if running:
            reason = f"{running} is at work on {key[1]}"
            return e.Disposal(disposition="joined", rule=rule.name, reason=reason, incident=running)
        return self._open_incident(rule, mode, alert, episode, target)

    def _open_incident(self, rule: Rule, mode: Mode, alert: Alert, episode: str, target: dict[str, str]) -> e.Disposal:
        name = incident_id(rule.name, episode)
        try:
            planned = plan_run(self._planner, rule, 0, alert.labels, incident=name, number=1, mode=mode)
        except Unplannable as fault:
            return e.Disposal(disposition="quarantined", rule=rule.name, reason=str(fault))
        self._open[rule.name, target_text(target)] = name
        self.opened.append(
            e.IncidentOpened(
                incident=name,
                rule=rule.name,
                target=target,
                episode=episode,
                labels=alert.labels,
                severity=alert.labels.get("severity", ""),
                summary=alert.annotations.get("summary", "")[:500],
            )
        )
        self.planned.append(planned)
        return e.Disposal(
            disposition="planned", rule=rule.name, reason=f"plan {planned.digest}, mode {mode.word}", incident=name
        )


def _why_late(state: State, known: Episode | None, alert: Alert) -> str:
    """Why this is the HA twin's late copy: it began before an end that was heard; empty if it is none.

    Ends that are forgotten are all covered by the latest of them: what began before it and is not known is too old.
    """
    if known is None:
        too_old = alert.starts_at <= state.forgotten_until
        return f"began before {clock_time(state.forgotten_until)}, of which firings are forgotten" if too_old else ""
    if known.status is not EpisodeStatus.RESOLVED or known.ends_at is None or alert.starts_at > known.ends_at:
        return ""
    return "a late copy of a firing that is over"


def _is_old_end(known: Episode | None, alert: Alert) -> bool:
    """Whether this end lies before the firing that is open: a copy that comes late, after the alert fired again."""
    return known is not None and alert.ends_at is not None and alert.ends_at < known.latest_start


_TAKEN_ON = frozenset({"planned", "joined"})


def target_of(rule: Rule, labels: Mapping[str, str]) -> dict[str, str]:
    """The values of `group_by`; Unplannable if one is missing, empty or a wildcard (peers.md F1)."""
    target = {}
    for name in rule.group_by:
        try:
            target[name] = check_scope(f"label {name}", labels.get(name, ""))
        except ValueError as fault:
            raise Unplannable(f"no target: {fault}") from None
    return target


def plan_run(
    planner: Planner,
    rule: Rule,
    rung: int,
    labels: Mapping[str, str],
    *,
    incident: str,
    number: int,
    mode: Mode,
) -> e.RunPlanned:
    """Run `number` of an incident: rung `rung` of the rule's ladder, rendered; Unplannable says why it cannot be."""
    plan = make_plan(planner, rule, rung, labels, incident=incident)
    return e.RunPlanned(
        incident=incident,
        run=f"{incident}.{number}",
        plan=plan,
        digest=plan.digest,
        dry=mode is Mode.DRY_RUN,
        mode=mode.word,
    )


def make_plan(planner: Planner, rule: Rule, rung: int, labels: Mapping[str, str], *, incident: str) -> Plan:
    """The playbook on `rung` with every argument final; Unplannable names the parameter or argument at fault."""
    playbook = planner.ruleset.playbooks[rule.ladder[rung].playbook]
    scope: dict[str, Mapping[str, str]] = {"labels": labels, "incident": {"id": incident}}
    target = target_of(rule, labels)
    try:
        params = _params(playbook.params, rule.ladder[rung], scope)
        scope["params"] = {name: _plain(playbook.params[name], value) for name, value in params.items()}
        return Plan(
            rule=rule.name,
            playbook=playbook.name,
            rung=rung,
            target=target,
            params=params,
            when=_condition(rule.when, scope) if rule.when else None,
            require=tuple(_condition(condition, scope) for condition in rule.guards.require),
            min_healthy=planned_fleet(rule, scope),
            trust=planned_trust(rule, target),
            guards=planned_guards(rule),
            locks=tuple(fill(lock, scope) for lock in rule.locks) or (target_text(target),),
            steps=tuple(_step(planner, step, scope) for step in playbook.steps),
            verify=tuple(_check(check, scope) for check in playbook.verify),
            on_failure=playbook.on_failure,
            on_unknown=playbook.on_unknown,
            continue_on_resolve=playbook.continue_on_resolve,
            atomic_from=playbook.atomic_from,
            limit=playbook.limit,
            give_up=rule.give_up,
            approval_timeout=rule.approval_timeout,
            rules_digest=planner.ruleset.digest,
            runbook_url=rule.runbook_url,
        )
    except Unplannable:
        raise
    except ValueError as fault:
        raise Unplannable(f"playbook {playbook.name}: {fault}") from None


def planned_guards(rule: Rule) -> PlannedGuards:
    """The rule's guards as a plan keeps them."""
    guards = rule.guards
    return PlannedGuards(
        cooldown=guards.cooldown,
        rate_limit=_limit(guards.rate_limit),
        blast_radius=_limit(guards.blast_radius),
        concurrency=guards.concurrency,
        mute_time_intervals=guards.mute_time_intervals,
        active_time_intervals=guards.active_time_intervals,
        brakes=guards.brakes,
    )


def _check(check: Check, scope: Scope) -> PlannedCheck:
    return PlannedCheck(
        probe=check.probe,
        arguments={name: fill_tree(tree, scope) for name, tree in check.arguments.items()},
        hold=check.hold,
        within=check.within,
        every=check.every,
        samples=check.samples,
    )


def _limit(limit: Limit) -> PlannedLimit:
    return PlannedLimit(limit.count, limit.window)


def _condition(condition: Condition, scope: Scope) -> PlannedCondition:
    return PlannedCondition(expr=fill(condition.expr, scope), hold=condition.hold, because=condition.because)


def _params(types: Mapping[str, ParamType], rung: Rung, scope: Scope) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name, kind in types.items():
        if name not in rung.arguments:
            raise Unplannable(f"parameter {name} of {rung.playbook} has no value; bind it in the rule's `with`")
        try:
            found[name] = parse_value(kind, fill(rung.arguments[name], scope))
        except ValueError as fault:
            raise Unplannable(f"bad parameter {name} of {rung.playbook}: {fault}") from None
    return found


def _plain(kind: ParamType, value: Json) -> str:
    """A parameter as text for a blank, in a spelling that its own type reads again."""
    if kind is ParamType.DURATION and isinstance(value, (int, float)):
        return format_duration(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def _step(planner: Planner, step: Step, scope: Scope) -> PlannedStep:
    fitting = planner.fittings.get(step.action)
    if fitting is None:
        raise Unplannable(f"step {step.name!r}: there is no action {step.action}")
    arguments: dict[str, Json] = {}
    for name, tree in step.arguments.items():
        kind = fitting.params.get(name)
        if kind is None:
            raise Unplannable(f"step {step.name!r}: {step.action} has no argument {name}")
        try:
            arguments[name] = parse_value(kind, _filled(kind, tree, scope))
        except ValueError as fault:
            raise Unplannable(f"step {step.name!r}: argument {name}: {fault}") from None
    faults = fitting.faults(arguments)
    if faults:
        raise Unplannable(f"step {step.name!r}: {'; '.join(faults)}")
    return PlannedStep(
        name=step.name,
        action=step.action,
        arguments=arguments,
        effect=step.effect,
        timeout=step.timeout,
        attempts=step.attempts,
        delay=step.delay,
        undo_after=step.undo_after,
        on_error=step.on_error,
        does=fitting.describe(arguments),
        places=tuple(fitting.places(arguments)),
        kept_in=fitting.kept_in(arguments) if step.undo_after is not None else "",
        forgets=(*fitting.forgets(arguments), *(place_of(fill(one, scope)) for one in step.forgets)),
    )


def _filled(kind: ParamType, tree: Tree, scope: Scope) -> Json:
    filled = fill_tree(tree, scope)
    if kind is ParamType.ARGV and isinstance(tree, list) and isinstance(filled, list):
        for template, text in zip(tree, filled, strict=True):
            if starts_with_blank(template) and str(text).startswith("-"):
                raise ValueError(f"{text!r} was filled in and starts with '-': it could be read as an option")
    return filled
