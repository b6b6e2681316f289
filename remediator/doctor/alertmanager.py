"""Checks that ask Alertmanager: is it there, and do the alerts that our rules wait for come to us, their ends too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import yaml

from remediator.doctor.case import Case, NoAnswer, Tree, texts, tree, trees
from remediator.doctor.findings import Finding, bad, good, untold
from remediator.doctor.prometheus import defined_alerts
from remediator.doctor.routes import ways
from remediator.doctor.wanted import wanted_alerts
from remediator.web.webhook import PATHS

AREA = "alertmanager"
# What Alertmanager shows instead of a URL since 0.26.
HIDDEN = "<secret>"


async def answers(case: Case) -> list[Finding]:
    """Alertmanager is there."""
    if case.targets.alertmanager is None:
        return [untold(AREA, "no Alertmanager is configured: whether an alert still fires is not asked")]
    found = await case.alertmanager("status")
    if isinstance(found, NoAnswer):
        return [bad(AREA, found.sentence, "start it, or correct alertmanager.url; 401 needs alertmanager.basic_auth")]
    version = tree(tree(found).get("versionInfo")).get("version", "unknown")
    return [good(AREA, f"{case.targets.alertmanager.url} answers, version {version}")]


async def routes(case: Case) -> list[Finding]:
    """Every alert that a rule waits for is sent to us."""
    configuration = await _configuration(case)
    if configuration is None:
        return [untold("routes", "where Alertmanager sends alerts cannot be told")]
    ours, hidden = our_receivers(configuration, case)
    if not ours and not hidden:
        return [bad("routes", "no receiver of Alertmanager posts to us", paste(case))]
    if not ours:
        return [untold("routes", f"Alertmanager hides where {', '.join(sorted(hidden))} post to", "try --send-test")]
    found = []
    labels = await _labels(case)
    for name in [*wanted_alerts(case.ruleset), "Watchdog"]:
        for known in labels.get(name, [{"alertname": name}]):
            found += _way(name, configuration, known, ours | hidden)
    lost = [one for one in found if one.fix]
    return [
        good("routes", f"{len(found) - len(lost)} of {len(found)} alerts come to us"),
        *lost,
        *_ends(configuration, ours),
    ]


def _way(name: str, configuration: Tree, labels: Mapping[str, str], ours: set[str]) -> list[Finding]:
    way = ways(configuration, labels)
    if ours & set(way.sure):
        return [good("routes", f"{name} comes to us")]
    others = ", ".join(one for one in (way.sure or way.perhaps) if one not in ours) or "nobody"
    fix = f"add a route: - matchers: [alertname = {name}]; receiver: {min(ours)}"
    if ours & set(way.perhaps):
        return [untold("routes", f"{name} comes to us only for some labels; else it goes to {others}", fix)]
    return [bad("routes", f"{name} does not come to us, but goes to {others}", fix)]


def _ends(configuration: Tree, ours: set[str]) -> list[Finding]:
    return [
        bad(
            "routes",
            f"{one.get('name')} does not tell when an alert ends",
            "write send_resolved: true in its webhook_configs",
        )
        for one in trees(configuration.get("receivers"))
        if one.get("name") in ours
        and all(hook.get("send_resolved") is False for hook in trees(one.get("webhook_configs")))
    ]


async def _labels(case: Case) -> Mapping[str, Sequence[Mapping[str, str]]]:
    """The labels that the alerts of Prometheus are sure to have, by name."""
    rules = await case.prometheus("rules")
    if isinstance(rules, NoAnswer):
        return {}
    return {
        name: [
            {"alertname": name, **{label: text for label, text in texts(one.get("labels")).items() if "{{" not in text}}
            for one in several
        ]
        for name, several in defined_alerts(rules).items()
    }


async def _configuration(case: Case) -> Tree | None:
    found = await case.alertmanager("status")
    original = tree(tree(found).get("config")).get("original") if not isinstance(found, NoAnswer) else None
    try:
        read = yaml.safe_load(original) if isinstance(original, str) else None
    except yaml.YAMLError:
        return None
    return tree(read) or None


def our_receivers(configuration: Tree, case: Case) -> tuple[set[str], set[str]]:
    """The receivers that post to us, and those that do not show where they post to."""
    ours, hidden = set[str](), set[str]()
    for one in trees(configuration.get("receivers")):
        for hook in trees(one.get("webhook_configs")):
            url = str(hook.get("url") or HIDDEN)
            if url == HIDDEN:
                hidden.add(str(one.get("name")))
            elif is_ours(url, case):
                ours.add(str(one.get("name")))
    return ours, hidden


def is_ours(url: str, case: Case) -> bool:
    """Whether a URL is that of our webhook: our path, and our port or the host under which we are reached."""
    asked, web = urlsplit(url), case.settings.web
    outside = urlsplit(web.external_url)
    path = asked.path.removeprefix(outside.path.rstrip("/")) if outside.path else asked.path
    if path not in PATHS:
        return False
    port = web.listen_address.rpartition(":")[2]
    return asked.netloc == outside.netloc or str(asked.port or "") == port


def paste(case: Case) -> str:
    """The lines to paste."""
    base = case.settings.web.external_url.rstrip("/") or f"http://{case.settings.web.listen_address}"
    return (
        "add to alertmanager.yml: receivers: [{name: remediator, webhook_configs: "
        f'[{{url: "{base}/api/v1/alerts", send_resolved: true}}]}}], and a route to it'
    )
