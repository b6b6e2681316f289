"""A `Case` from files: the settings and rules as the service would load them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from remediator.actions.http_client import HttpClient
from remediator.actions.targets import PrometheusTarget, Targets
from remediator.config import Settings, load_rules, load_settings, rule_paths
from remediator.core.rules import Ruleset
from remediator.doctor.case import Case
from remediator.plugins import describe_catalogue
from remediator.service.neighbours import targets_of
from remediator.service.receiving import build_receivers
from remediator.system import SystemClock


def from_settings(path: Path) -> Case:
    """Everything that one settings file names; InvalidConfiguration as at the start of the service."""
    settings = load_settings(path)
    loaded = load_rules(
        rule_paths(settings),
        describe_catalogue(),
        server_mode=settings.mode,
        time_intervals=settings.time_intervals,
        nodes=settings.nodes,
    )
    clock = SystemClock()
    return Case(
        settings=settings,
        ruleset=loaded.ruleset,
        targets=targets_of(settings, settings.storage.path),
        receivers=build_receivers(settings, clock, str),
        http=HttpClient(rest=clock.sleep),
        clock=clock,
    )


def for_prometheus(ruleset: Ruleset, url: str, settings: Settings | None) -> Case:
    """Only the rules and a Prometheus; user and password are those of the settings, if there are some."""
    named = targets_of(settings, settings.storage.path).prometheus if settings is not None else None
    target = replace(named, url=url) if named is not None else PrometheusTarget(url=url)
    clock = SystemClock()
    return Case(
        settings=settings or Settings(),
        ruleset=ruleset,
        targets=Targets(prometheus=target),
        receivers={},
        http=HttpClient(rest=clock.sleep),
        clock=clock,
    )
