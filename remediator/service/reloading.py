"""What is in force by the settings: loaded at start, and again, all or nothing, at every reload.

A reload replaces rules, mode, routing and limits. Neighbours, receivers, storage and the listener are built at start; what a
reload finds changed of them is told, and waits for a restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from remediator.config import Loaded, Settings, load_rules, load_settings, rule_paths
from remediator.core.consequences import Routing
from remediator.core.entries import AnyFact, ConfigLoaded, ConfigRefused
from remediator.core.rules import Mode, Ruleset
from remediator.core.state import Moment, State
from remediator.core.views import ReloadView
from remediator.engine.parts import Config, Parts
from remediator.errors import InvalidConfiguration, Position, Problem, RemediatorError, StoreError
from remediator.observe import Observer
from remediator.ports import Catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line says beside the settings file; None leaves it to the file."""

    listen: str | None = None
    storage: Path | None = None
    mode: str | None = None
    external_url: str | None = None
    log_level: str = "info"
    log_format: str = "auto"

    def mode_of(self, settings: Settings) -> Mode:
        """The more careful of both."""
        return min(settings.mode, Mode.parse(self.mode)) if self.mode else settings.mode

    def url_of(self, settings: Settings) -> str:
        """How people reach the service."""
        return self.external_url or settings.web.external_url


@dataclass(slots=True, kw_only=True)
class RuleLoader:
    """Loads what is in force of a settings file. `settings` are those of the start: what is built, is built of them."""

    config_file: Path | None
    settings: Settings
    overrides: Overrides
    catalogue: Catalogue
    warnings: tuple[object, ...] = ()

    def load(self, settings: Settings) -> Config:
        """What these settings put in force; InvalidConfiguration with every fault."""
        self._refuse_new_receivers(settings)
        mode = self.overrides.mode_of(settings)
        loaded: Loaded = load_rules(
            rule_paths(settings),
            self.catalogue,
            server_mode=mode,
            time_intervals=settings.time_intervals,
            max_wait=settings.limits.max_wait,
            nodes=self.settings.nodes,
        )
        self.warnings = loaded.warnings
        return Config(
            ruleset=loaded.ruleset,
            mode=mode,
            routing=Routing(
                by_severity=settings.notify,
                escalate=settings.escalate,
                base_url=self.overrides.url_of(settings),
                early=tuple(one.name for one in settings.receivers if one.send_started),
                fallback=tuple(one.name for one in self.settings.receivers),
            ),
            max_runs=settings.limits.max_runs,
            fleet=settings.limits.fleet,
            queue=settings.limits.queue,
            clock_hold=settings.limits.clock_hold,
            lapse_after=settings.limits.lapse_after,
        )

    def _refuse_new_receivers(self, settings: Settings) -> None:
        """A message to a receiver that is not built would be lost."""
        built = {one.name for one in self.settings.receivers}
        named = {name for names in (*settings.notify.values(), settings.escalate) for name in names}
        problems = [
            Problem(
                position=Position(settings.source, 1, 1),
                name="needs-restart",
                sentence=f"the receiver '{name}' is new, and receivers are built at start",
                fix="restart the service",
            )
            for name in sorted(named - built)
        ]
        if problems:
            raise InvalidConfiguration(problems)

    async def reload(self, parts: Parts, observer: Observer, by: str) -> ReloadView:
        """All or nothing; StoreError if it could not be put on record, and then nothing has changed either."""
        try:
            settings = read_settings(self.config_file)
            fresh = self.load(settings)
        except RemediatorError as fault:
            problems = _problems(fault)
            observer.reloaded(ok=False)
            await parts.journal.commit(lambda _state, _moment: [ConfigRefused(problems=problems)])
            return _view(parts.config, problems)
        await _take(parts, fresh, by)
        observer.set_rules(*names_of(fresh.ruleset))
        observer.reloaded(ok=True)
        changed = self.waits_for_restart(settings)
        if changed:
            sentence = f"changed, and in force only after a restart: {', '.join(changed)}"
            observer.log.line("warning", parts.clock.now(), sentence, kind="config.loaded")
        return _view(fresh, ())

    def waits_for_restart(self, settings: Settings) -> tuple[str, ...]:
        """The sections of the settings that differ from those of the start and that no reload replaces."""
        fixed = ("prometheus", "alertmanager", "storage", "web", "receivers", "targets")
        changed = [name for name in fixed if getattr(settings, name) != getattr(self.settings, name)]
        limits = [
            f"limits.{name}"
            for name in ("body", "body_deadline", "grace")
            if getattr(settings.limits, name) != getattr(self.settings.limits, name)
        ]
        return (*changed, *limits)


async def _take(parts: Parts, fresh: Config, by: str) -> None:
    """Puts `fresh` in force in the append that says so: every later entry was decided by it, no earlier one."""
    last, fact = parts.config, loaded_fact(fresh, by=by)

    def swap(_state: State, _moment: Moment) -> Sequence[AnyFact]:
        parts.config = fresh
        return [fact]

    try:
        await parts.journal.commit(swap)
    except StoreError:
        parts.config = last
        raise


def _view(config: Config, problems: tuple[str, ...]) -> ReloadView:
    ruleset = config.ruleset
    return ReloadView(ok=not problems, rules=len(ruleset.rules), digest=ruleset.digest, problems=problems)


def _problems(fault: RemediatorError) -> tuple[str, ...]:
    if isinstance(fault, InvalidConfiguration):
        return tuple(str(problem) for problem in fault.problems)
    return (str(fault),)


def names_of(ruleset: Ruleset) -> tuple[list[str], list[str]]:
    """The names of the rules and of the actions that they may use."""
    actions = {step.action for playbook in ruleset.playbooks.values() for step in playbook.steps}
    return [rule.name for rule in ruleset.rules], sorted(actions)


def loaded_fact(config: Config, *, by: str) -> ConfigLoaded:
    """What is in force, as an entry."""
    ruleset = config.ruleset
    windows = [86_400.0, config.fleet.longest_window]
    for rule in ruleset.rules:
        guards = rule.guards
        windows += [guards.cooldown, guards.rate_limit.window, guards.blast_radius.window, guards.brakes.waves.rest]
    return ConfigLoaded(
        digest=ruleset.digest,
        rules=tuple(rule.name for rule in ruleset.rules),
        mode=config.mode.word,
        longest_window=max(windows),
        by=by,
    )


def read_settings(config_file: Path | None) -> Settings:
    """The settings of the file, or the defaults where there is none."""
    return load_settings(config_file) if config_file is not None else Settings()
