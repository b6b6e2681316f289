"""Settings become parts: plug-ins, guards, journal, engine, web. Pure construction; nothing here runs."""

from __future__ import annotations

import asyncio
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from remediator import __version__
from remediator.actions.prometheus_client import Asked, nobody_counts
from remediator.config import Settings, load_settings
from remediator.core.brakes import Members
from remediator.core.fitting import Fitting
from remediator.core.outcomes import Look, Observation
from remediator.core.places import forgotten_by, kept_in, places_of
from remediator.core.plans import PlannedTrust
from remediator.core.views import ExplanationView, ReloadView
from remediator.engine.effects import DryEffects, LiveEffects
from remediator.engine.explaining import Explainer
from remediator.engine.journal import Journal
from remediator.engine.parts import Config, Keeping, Parts
from remediator.engine.space import Space
from remediator.engine.supervisor import Engine
from remediator.guards.all_guards import all_guards
from remediator.observe import Observer, Redactor
from remediator.plugins import Tools, catalogue_of
from remediator.ports import Catalogue, Clock, Store
from remediator.probes.oracle import PrometheusOracle
from remediator.probes.signals import PrometheusSignals
from remediator.receivers.anchored import Ending, anchored
from remediator.service.access import build_auth, secrets_of
from remediator.service.anchoring import Anchoring
from remediator.service.neighbours import targets_of
from remediator.service.receiving import build_receivers
from remediator.service.reloading import Overrides, RuleLoader, loaded_fact, names_of, read_settings
from remediator.service.surface import ServiceSurface
from remediator.stores.anchor_file import AnchorFile
from remediator.stores.archive import GzipArchive
from remediator.stores.high_water import HighWaterFile
from remediator.stores.memory import MemoryStore
from remediator.stores.sqlite import SqliteStore
from remediator.system import SystemClock, journal_key, machine_boot, new_boot
from remediator.web.app import WebApp, create_app
from remediator.web.listening import CannotStart, address_of
from remediator.web.options import WebOptions


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
    anchoring: Anchoring

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


def build(config_file: Path | None, overrides: Overrides) -> Built:
    """A service that is ready to run; RemediatorError says why it cannot be."""
    settings = read_settings(config_file)
    storage = (overrides.storage or settings.storage.path).resolve()
    listen = overrides.listen or settings.web.listen_address
    address_of(listen)
    clock = SystemClock()
    redactor = Redactor(secrets_of(settings))
    observer = Observer(redactor, level=overrides.log_level, form=overrides.log_format, now=clock.now)
    auth, rereading = build_auth(settings, listen, clock)
    ending = Ending()
    plugs = _plugs(settings, storage, clock, redactor, observer.asked, ending)
    loader = RuleLoader(config_file=config_file, settings=settings, overrides=overrides, catalogue=plugs.catalogue)
    config = loader.load(settings)
    journal = _journal(storage, clock)
    observer.head = ending.head = lambda: journal.head
    observer.moment = journal.moment
    journal.on_error = journal.history.on_trouble = observer.append_failed
    parts = _parts(plugs, settings, config, journal, clock)
    parts.space.tell = observer.room_is
    engine = Engine(parts)
    journal.listen(observer.on_commit)
    observer.set_rules(*names_of(config.ruleset))
    observer.set_receivers(plugs.tools.receivers)
    surface = ServiceSurface(
        engine, journal.store, observer, reload=lambda by: loader.reload(parts, observer, by), access=rereading
    )
    app = create_app(surface, auth, _web_options(settings, overrides, clock, observer))
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
        anchoring=_anchoring(settings, journal, observer, clock),
    )


def _journal(storage: Path, clock: Clock) -> Journal:
    path = storage / "journal.db"
    try:
        storage.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = journal_key(storage.with_name(storage.name + ".key"), journal_exists=path.exists())
    except OSError as fault:
        raise CannotStart(
            f"{fault.filename or storage}: {fault.strerror}; storage.path must be a directory that this user may write"
        ) from None
    marks = HighWaterFile(storage.with_name(storage.name + ".high-water"))
    replica, host = platform.node() or "replica", machine_boot()
    return Journal(SqliteStore(path), clock, key=key, replica=replica, boot=new_boot(), host=host, marks=marks)


def _anchoring(settings: Settings, journal: Journal, observer: Observer, clock: Clock) -> Anchoring:
    path = settings.storage.anchor_file
    return Anchoring(journal, observer, clock, AnchorFile(path) if path is not None else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plugs:
    catalogue: Catalogue
    tools: Tools


def _plugs(settings: Settings, storage: Path, clock: Clock, redactor: Redactor, asked: Asked, ending: Ending) -> _Plugs:
    targets = targets_of(settings, storage)
    receivers = anchored(build_receivers(settings, clock, redactor.text), ending)
    tools = Tools.of(targets, clock, redactor.text, receivers, asked)
    return _Plugs(catalogue=catalogue_of(tools), tools=tools)


def _parts(plugs: _Plugs, settings: Settings, config: Config, journal: Journal, clock: Clock) -> Parts:
    live = LiveEffects(plugs.catalogue.actions, clock)
    return Parts(
        journal=journal,
        clock=clock,
        config=config,
        guards=all_guards(),
        fittings=fittings_of(plugs.catalogue),
        effects={False: live, True: DryEffects(live)},
        probes=plugs.catalogue.probes,
        oracle=PrometheusOracle(plugs.tools.prometheus) if settings.prometheus is not None else None,
        signals=PrometheusSignals(plugs.tools.prometheus) if settings.prometheus is not None else None,
        alerts=plugs.tools.alertmanager if settings.alertmanager is not None else None,
        receivers=plugs.tools.receivers,
        keeping=_keeping(settings),
        space=_space(settings, journal.store),
    )


def _keeping(settings: Settings) -> Keeping:
    storage = settings.storage
    archive = GzipArchive(storage.archive) if storage.archive is not None else None
    return Keeping(retention=storage.retention, max_size=storage.max_size, archive=archive)


def _space(settings: Settings, store: Store) -> Space:
    return Space(store if isinstance(store, SqliteStore) else None, settings.storage.space)


def fittings_of(catalogue: Catalogue) -> Mapping[str, Fitting]:
    """What planning needs to know of each action."""
    return {
        kind: Fitting(
            params={name: param.type for name, param in action.params.items()},
            faults=action.faults,
            describe=action.describe,
            places=partial(places_of, action),
            kept_in=partial(kept_in, action),
            forgets=partial(forgotten_by, action),
        )
        for kind, action in catalogue.actions.items()
    }


# ── web ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _web_options(settings: Settings, overrides: Overrides, clock: Clock, observer: Observer) -> WebOptions:
    return WebOptions(
        now=clock.now,
        body_limit=settings.limits.body,
        body_deadline=settings.limits.body_deadline,
        external_url=overrides.url_of(settings),
        hosts=frozenset(settings.web.hosts),
        answered=observer.answered,
    )


# ── explain without a service ────────────────────────────────────────────────────────────────────────────────────────
class _Unasked:
    """An oracle that takes every condition as given: `explain --offline` shows what the rules say, not what is so."""

    async def holds(self, expr: str, *, hold: float, now: float) -> Observation:
        """Yes, without asking."""
        del expr, hold
        return Observation(look=Look.GOOD, sentence="not asked, taken as yes", at=now)

    async def members(self, expr: str, *, now: float) -> Members:
        """More than any floor, without asking."""
        del expr, now
        return Members(count=1_000_000)

    async def trust(self, asked: PlannedTrust, *, starting: float, now: float) -> Observation:
        """Yes, without asking."""
        del asked, starting
        return Observation(look=Look.GOOD, sentence="not asked, taken as yes", at=now)


def explain_offline(config_file: Path, labels: Mapping[str, str], rule: str = "") -> Sequence[ExplanationView]:
    """What the rules of this settings file would say to an alert, with an empty history; asks nobody anything."""
    return asyncio.run(_explain(config_file, labels, rule))


async def _explain(config_file: Path, labels: Mapping[str, str], rule: str) -> Sequence[ExplanationView]:
    settings = replace(load_settings(config_file), prometheus=None, alertmanager=None)
    clock: Clock = SystemClock()
    store: Store = MemoryStore()
    journal = Journal(store, clock, key=bytes(32), replica="offline", boot=new_boot())
    await journal.open()
    plugs = _plugs(settings, Path("/nonexistent"), clock, Redactor(()), nobody_counts, Ending())
    loader = RuleLoader(config_file=config_file, settings=settings, overrides=Overrides(), catalogue=plugs.catalogue)
    parts = _parts(plugs, settings, loader.load(settings), journal, clock)
    parts.oracle = parts.signals = _Unasked()
    return await Explainer(parts).explain(labels, rule)
