"""Settings become parts: plug-ins, guards, journal, engine, web. Pure construction; nothing here runs."""

from __future__ import annotations

import asyncio
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from remediator import __version__
from remediator.config import Loaded, Settings, load_rules, load_settings, read_secret, rule_paths
from remediator.core.consequences import Routing
from remediator.core.entries import AnyFact, ConfigLoaded, ConfigRefused
from remediator.core.planning import Fitting
from remediator.core.rules import Mode, Ruleset
from remediator.core.state import Moment, State
from remediator.core.views import ExplanationView, ReloadView
from remediator.engine.effects import DryEffects, LiveEffects
from remediator.engine.explaining import Explainer
from remediator.engine.journal import Journal
from remediator.engine.parts import Config, Parts
from remediator.engine.supervisor import Engine
from remediator.errors import InvalidConfiguration, RemediatorError
from remediator.guards.all_guards import all_guards
from remediator.observe import Observer, Redactor
from remediator.plugins import Tools, build_catalogue
from remediator.ports import Catalogue, Clock, Store
from remediator.probes.oracle import PrometheusOracle
from remediator.service.neighbours import targets_of
from remediator.service.receiving import build_receivers
from remediator.service.surface import ServiceSurface
from remediator.stores.memory import MemoryStore
from remediator.stores.sqlite import SqliteStore
from remediator.system import SystemClock, journal_key, new_boot
from remediator.web.app import WebApp, create_app
from remediator.web.auth import Auth, Credentials, Person, Rereading, Scope, refuse_open_listener
from remediator.web.options import WebOptions


class CannotStart(RemediatorError):
    """The service would not be safe to start like this; the message says what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line says beside the settings file; None leaves it to the file."""

    listen: str | None = None
    storage: Path | None = None
    mode: str | None = None
    external_url: str | None = None
    log_level: str = "info"
    log_format: str = "auto"


@dataclass(slots=True, kw_only=True)
class Built:
    """A service that is built and not yet running."""

    settings: Settings
    storage: Path
    listen: str
    journal: Journal
    engine: Engine
    observer: Observer
    surface: ServiceSurface
    app: WebApp
    loader: RuleLoader

    async def started(self, url: str) -> None:
        """Says in log and journal what is in force, and how Alertmanager is told of us."""
        parts = self.engine.parts
        fact = loaded_fact(parts.config, by="start")
        await parts.journal.commit(lambda _state, _moment: [fact])
        for problem in (*self.settings.warnings, *self.loader.warnings):
            sys.stderr.write(f"{problem}\n")
        ruleset = parts.config.ruleset
        sys.stderr.write(
            f"remediator {__version__}  {url}  mode {parts.config.mode.word}  {len(ruleset.rules)} rules  "
            f"journal {parts.journal.head}\n"
            f"  webhook  add to alertmanager.yml:  webhook_configs: "
            f'[{{url: "{url}/api/v1/alerts", send_resolved: true}}]\n'
        )
        sys.stderr.flush()

    async def reload(self, by: str) -> ReloadView:
        """Loads the rules again: all of them, or none. A refusal is on record, and the last good rules stay."""
        return await self.loader.reload(self.engine.parts, self.observer, by)


@dataclass(slots=True, kw_only=True)
class RuleLoader:
    """Loads the rules of a settings file, at start and again at every reload."""

    config_file: Path | None
    catalogue: Catalogue
    mode: Mode
    warnings: tuple[object, ...] = ()

    def load(self, settings: Settings) -> Ruleset:
        """The rules of these settings; InvalidConfiguration with every fault."""
        loaded: Loaded = load_rules(
            rule_paths(settings),
            self.catalogue,
            server_mode=self.mode,
            time_intervals=settings.time_intervals,
            max_wait=settings.limits.max_wait,
        )
        self.warnings = loaded.warnings
        return loaded.ruleset

    async def reload(self, parts: Parts, observer: Observer, by: str) -> ReloadView:
        """All or nothing."""
        try:
            settings = read_settings(self.config_file)
            fresh = replace(parts.config, ruleset=self.load(settings), routing=routing_of(settings, parts.config))
        except RemediatorError as fault:
            problems = _problems(fault)
            observer.reloaded(ok=False)
            await parts.journal.commit(lambda _state, _moment: [ConfigRefused(problems=problems)])
            return self._view(parts.config, problems)
        fact = loaded_fact(fresh, by=by)

        def swap(_state: State, _moment: Moment) -> Sequence[AnyFact]:
            parts.config = fresh
            return [fact]

        await parts.journal.commit(swap)
        observer.set_rules(*_names(fresh.ruleset))
        observer.reloaded(ok=True)
        return self._view(fresh, ())

    def _view(self, config: Config, problems: tuple[str, ...]) -> ReloadView:
        ruleset = config.ruleset
        return ReloadView(ok=not problems, rules=len(ruleset.rules), digest=ruleset.digest, problems=problems)


def _problems(fault: RemediatorError) -> tuple[str, ...]:
    if isinstance(fault, InvalidConfiguration):
        return tuple(str(problem) for problem in fault.problems)
    return (str(fault),)


def _names(ruleset: Ruleset) -> tuple[list[str], list[str]]:
    actions = {step.action for playbook in ruleset.playbooks.values() for step in playbook.steps}
    return [rule.name for rule in ruleset.rules], sorted(actions)


def loaded_fact(config: Config, *, by: str) -> ConfigLoaded:
    """What is in force, as an entry."""
    ruleset = config.ruleset
    windows = [86_400.0]
    for rule in ruleset.rules:
        guards = rule.guards
        windows += [guards.cooldown, guards.rate_limit.window, guards.blast_radius.window]
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


def routing_of(settings: Settings, config: Config | None = None) -> Routing:
    """Who is told of what."""
    base = config.routing.base_url if config is not None else settings.web.external_url
    return Routing(by_severity=settings.notify, escalate=settings.escalate, base_url=base)


def build(config_file: Path | None, overrides: Overrides) -> Built:
    """A service that is ready to run; RemediatorError says why it cannot be."""
    settings = read_settings(config_file)
    mode = min(settings.mode, Mode.parse(overrides.mode)) if overrides.mode else settings.mode
    storage = (overrides.storage or settings.storage.path).resolve()
    listen = overrides.listen or settings.web.listen_address
    clock = SystemClock()
    redactor = Redactor(secrets_of(settings))

    auth = build_auth(settings, listen, clock)
    journal = _journal(storage, clock)
    observer = Observer(
        redactor, level=overrides.log_level, form=overrides.log_format, now=clock.now, head=lambda: journal.head
    )
    parts, loader = _parts(settings, config_file, mode, storage, journal, clock, redactor)
    if overrides.external_url:
        routing = replace(parts.config.routing, base_url=overrides.external_url)
        parts.config = replace(parts.config, routing=routing)
    engine = Engine(parts)
    journal.listen(observer.on_commit)
    observer.set_rules(*_names(parts.config.ruleset))
    surface = ServiceSurface(engine, journal.store, observer, lambda by: loader.reload(parts, observer, by))
    app = create_app(surface, auth, _web_options(settings, clock, observer))
    return Built(
        settings=settings,
        storage=storage,
        listen=listen,
        journal=journal,
        engine=engine,
        observer=observer,
        surface=surface,
        app=app,
        loader=loader,
    )


def _journal(storage: Path, clock: Clock) -> Journal:
    storage.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = storage / "journal.db"
    key = journal_key(storage.with_name(storage.name + ".key"), journal_exists=path.exists())
    return Journal(SqliteStore(path), clock, key=key, replica=platform.node() or "replica", boot=new_boot())


def _parts(
    settings: Settings,
    config_file: Path | None,
    mode: Mode,
    storage: Path,
    journal: Journal,
    clock: Clock,
    redactor: Redactor,
) -> tuple[Parts, RuleLoader]:
    targets = targets_of(settings, storage)
    receivers = build_receivers(settings, clock)
    catalogue = build_catalogue(targets, clock, redactor.text, receivers)
    tools = Tools.of(targets, clock, redactor.text, receivers)
    loader = RuleLoader(config_file=config_file, catalogue=catalogue, mode=mode)
    live = LiveEffects(catalogue.actions, clock)
    parts = Parts(
        journal=journal,
        clock=clock,
        config=Config(
            ruleset=loader.load(settings),
            mode=mode,
            routing=routing_of(settings),
            max_runs=settings.limits.max_runs,
            queue=settings.limits.queue,
            lapse_after=settings.limits.lapse_after,
        ),
        guards=all_guards(),
        fittings=fittings_of(catalogue),
        effects={False: live, True: DryEffects(live)},
        probes=catalogue.probes,
        oracle=PrometheusOracle(tools.prometheus) if settings.prometheus is not None else None,
        alerts=tools.alertmanager if settings.alertmanager is not None else None,
        receivers=receivers,
    )
    return parts, loader


def fittings_of(catalogue: Catalogue) -> Mapping[str, Fitting]:
    """What planning needs to know of each action."""
    return {
        kind: Fitting(
            params={name: param.type for name, param in action.params.items()},
            faults=action.faults,
            describe=action.describe,
        )
        for kind, action in catalogue.actions.items()
    }


# ── web ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _web_options(settings: Settings, clock: Clock, observer: Observer) -> WebOptions:
    return WebOptions(
        now=clock.now,
        body_limit=settings.limits.body,
        body_deadline=settings.limits.body_deadline,
        external_url=settings.web.external_url,
        hosts=frozenset(settings.web.hosts),
        answered=observer.answered,
    )


def build_auth(settings: Settings, listen: str, clock: Clock) -> Auth:
    """Who may ask for what; CannotStart for a listener that others can reach and nobody guards."""
    auth = Auth(Rereading(lambda: credentials_of(settings), clock.now), listen_address=listen)
    refusals = [*credentials_of(settings).faults(), refuse_open_listener(listen, auth)]
    if any(refusals):
        raise CannotStart("\n".join(sentence for sentence in refusals if sentence))
    return auth


def credentials_of(settings: Settings) -> Credentials:
    """The secrets as they are in their files now."""
    web = settings.web
    users = ((web.basic_auth.username, read_secret(web.basic_auth.password_file)),) if web.basic_auth else ()
    return Credentials(
        webhook_tokens=tuple(read_secret(path) for path in web.bearer_token_files),
        webhook_users=users,
        people=tuple(
            Person(name=one.name, token=read_secret(one.token_file), scope=Scope[one.scope.upper()])
            for one in web.people
        ),
    )


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Every configured secret, to be masked wherever text leaves."""
    found = credentials_of(settings)
    secrets = [*found.webhook_tokens, *(password for _, password in found.webhook_users)]
    secrets += [person.token for person in found.people]
    auths = [one.basic_auth for one in (settings.prometheus, settings.alertmanager) if one is not None]
    if settings.targets.kumomta is not None:
        auths += [node.basic_auth for node in settings.targets.kumomta.nodes.values()]
    secrets += [read_secret(auth.password_file) for auth in auths if auth is not None]
    for receiver in settings.receivers:
        for hook in receiver.webhooks:
            secrets += [read_secret(path) for path in (hook.url_file, hook.credentials_file) if path is not None]
    return tuple(secrets)


# ── explain without a service ────────────────────────────────────────────────────────────────────────────────────────
def explain_offline(config_file: Path, labels: Mapping[str, str]) -> Sequence[ExplanationView]:
    """What the rules of this settings file would say to an alert, with an empty history; asks nobody anything."""
    return asyncio.run(_explain(config_file, labels))


async def _explain(config_file: Path, labels: Mapping[str, str]) -> Sequence[ExplanationView]:
    settings = replace(load_settings(config_file), alertmanager=None)
    clock: Clock = SystemClock()
    store: Store = MemoryStore()
    journal = Journal(store, clock, key=bytes(32), replica="offline", boot=new_boot())
    await journal.open()
    parts, _loader = _parts(settings, config_file, settings.mode, Path("/nonexistent"), journal, clock, Redactor(()))
    return await Explainer(parts).explain(labels)
