"""Checks that ask Prometheus: is it there and on time, does it know what rules ask for, does it reach its targets."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from urllib.parse import urlsplit

from remediator.actions.http_client import deadline
from remediator.actions.prometheus_client import Prometheus, Useless
from remediator.config.selectors import Selector
from remediator.core.durations import format_duration
from remediator.doctor.case import PATIENCE, Case, NoAnswer, Tree, texts, tree, trees
from remediator.doctor.findings import Finding, bad, good, untold
from remediator.doctor.wanted import names, wanted_alerts, wanted_series

AREA = "prometheus"
# More than this between two clocks, and "newer than the last effect" is not to be relied on (s).
MOST_SKEW = 2.0
# How far back a series counts as there (s): longer than a night without mail.
BACK = 86_400.0
TRUSTED = (
    "add Prometheus' address to trusted_hosts of kumod's HTTP listener, or give it the right to GET /metrics by an ACL"
)


async def answers(case: Case) -> list[Finding]:
    """Prometheus is there."""
    if case.targets.prometheus is None:
        return [bad(AREA, "no Prometheus is configured: no condition can be asked", "set prometheus.url")]
    found = await case.prometheus("status/buildinfo")
    if isinstance(found, NoAnswer):
        return [bad(AREA, found.sentence, "start it, or correct prometheus.url; 401 needs prometheus.basic_auth")]
    return [good(AREA, f"{case.targets.prometheus.url} answers, version {tree(found).get('version', 'unknown')}")]


async def clock(case: Case) -> list[Finding]:
    """Its clock and ours agree."""
    asking = Prometheus(case.targets.prometheus, http=case.http)
    before = case.clock.now()
    seen = await asking.instant("vector(time())", at=None, until=deadline(PATIENCE))
    after = case.clock.now()
    if isinstance(seen, Useless) or not seen:
        return [untold("clock", "the clock of Prometheus cannot be read")]
    theirs = seen[0].value
    skew = before - theirs if theirs < before else min(0.0, after - theirs)
    told = f"{abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} Prometheus"
    if abs(skew) > MOST_SKEW:
        return [bad("clock", f"our clock is {told}", "let NTP keep both clocks; evidence is judged by its time")]
    return [good("clock", f"our clock is at most {told}")]


def _groups(found: object) -> list[tuple[Tree, str]]:
    """All rules of Prometheus, each with its kind."""
    return [
        (rule, str(rule.get("type", "")))
        for group in trees(tree(found).get("groups"))
        for rule in trees(group.get("rules"))
    ]


async def series(case: Case) -> list[Finding]:
    """Every series that a rule asks for exists."""
    wanted = wanted_series(case.ruleset)
    rules, known = await case.prometheus("rules"), await case.prometheus("label/__name__/values")
    if isinstance(rules, NoAnswer) or isinstance(known, NoAnswer) or not isinstance(known, list):
        return [untold("series", f"{len(wanted)} series are asked for; whether they exist cannot be told")]
    recorded = {str(rule.get("name")) for rule, kind in _groups(rules) if kind == "recording"}
    found, there = [], 0
    for one, asking in wanted.items():
        if await exists(case, one):
            there += 1
        elif one.name in recorded:
            sentence = f"{one} is recorded, but has no value (no traffic yet?); asked for by {names(asking)}"
            found.append(untold("series", sentence))
        else:
            sentence = f"{one} does not exist; asked for by {names(asking)}"
            fix = series_fix(one, [str(name) for name in known])
            found.append(bad("series", sentence, fix, asking[0].source))
    return [good("series", f"{there} of {len(wanted)} series that the rules ask for exist"), *found]


async def exists(case: Case, one: Selector) -> bool:
    """Whether Prometheus has had such a series within a day."""
    now = case.clock.now()
    query = (("match[]", str(one)), ("start", f"{now - BACK:.0f}"), ("end", f"{now:.0f}"), ("limit", "1"))
    found = await case.prometheus("series", query)
    return isinstance(found, list) and bool(found)


def series_fix(one: Selector, known: list[str]) -> str:
    """What to do about a series that is not there."""
    if one.name in known:
        return "its name exists, but not with these labels: compare them in Prometheus"
    if one.name.startswith("kumo:"):
        return "load monitoring/kumomta.rules.yml in Prometheus (rule_files), then reload it"
    if one.name.startswith("kumo_"):
        return "start `remediator exporter` and let Prometheus scrape it (job kumo-exporter)"
    close = get_close_matches(one.name, known, n=1)
    return f"did you mean {close[0]}?" if close else "nobody exports it: correct the name, or start what exports it"


async def alerts(case: Case) -> list[Finding]:
    """Every alert that a rule waits for is defined, can be evaluated, and carries its severity as a label."""
    wanted = wanted_alerts(case.ruleset)
    rules = await case.prometheus("rules")
    if isinstance(rules, NoAnswer):
        return [untold("alerts", f"{len(wanted)} alerts are waited for; whether they are defined cannot be told")]
    defined = defined_alerts(rules)
    found = []
    for name, asking in wanted.items():
        if name not in defined:
            sentence = f"no alert {name} is defined, so {names(asking)} will never run"
            found.append(bad("alerts", sentence, alert_fix(name, list(defined)), asking[0].source))
        else:
            found += _fit(name, defined[name], asking[0].source)
    there = sum(name in defined for name in wanted)
    return [good("alerts", f"{there} of {len(wanted)} alerts that the rules wait for are defined"), *found]


def defined_alerts(rules: object) -> dict[str, list[Tree]]:
    """The alerts of Prometheus by name; several may share one."""
    found: dict[str, list[Tree]] = {}
    for rule, kind in _groups(rules):
        if kind == "alerting":
            found.setdefault(str(rule.get("name")), []).append(rule)
    return found


def alert_fix(name: str, known: list[str]) -> str:
    """What to do about an alert that nobody defines."""
    if name.startswith("Kumo"):
        return "load monitoring/kumomta.alerts.yml in Prometheus (rule_files), then reload it"
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else "define it in Prometheus, or take the rule away"


def _fit(name: str, rules: list[Tree], source: str) -> list[Finding]:
    found = []
    for rule in rules:
        if rule.get("health") == "err":
            sentence = f"{name} cannot be evaluated: {rule.get('lastError', 'Prometheus does not say why')}"
            found.append(bad("alerts", sentence, "correct its expression; until then it never fires", source))
        if "severity" not in texts(rule.get("labels")):
            place = "an annotation" if "severity" in texts(rule.get("annotations")) else "nowhere"
            sentence = f"the severity of {name} is {place}, where neither Alertmanager nor a rule can match it"
            found.append(bad("alerts", sentence, "write labels: { severity: critical | warning | info }", source))
    return found


async def scrapes(case: Case) -> list[Finding]:
    """Prometheus reaches what it scrapes."""
    found = await case.prometheus("targets", (("state", "active"),))
    if isinstance(found, NoAnswer):
        return [untold("targets", "what Prometheus scrapes cannot be told")]
    active = trees(tree(found).get("activeTargets"))
    down = [_down(one) for one in active if one.get("health") == "down"]
    return [good("targets", f"{len(active) - len(down)} of {len(active)} targets of Prometheus answer it"), *down]


def _down(target: Tree) -> Finding:
    labels, why = texts(target.get("labels")), str(target.get("lastError", ""))
    sentence = f"{labels.get('job')} {labels.get('instance')} does not answer Prometheus: {why}"
    if "401" in why or "403" in why:
        return bad("targets", sentence, TRUSTED)
    place = urlsplit(str(target.get("scrapeUrl", ""))).netloc
    return bad("targets", sentence, f"start it, or correct {place} in prometheus.yml")


async def instances(case: Case) -> list[Finding]:
    """The nodes that rules act on are called the same in Prometheus."""
    nodes = case.targets.kumo.nodes if case.targets.kumo is not None else {}
    found = await case.prometheus("targets", (("state", "active"),))
    if not nodes or isinstance(found, NoAnswer):
        return []
    seen = {texts(one.get("labels")).get("instance", "") for one in trees(tree(found).get("activeTargets"))}
    return [_called(name, seen, nodes) for name in nodes]


def _called(name: str, seen: set[str], nodes: Mapping[str, object]) -> Finding:
    if name in seen:
        return good("nodes", f"{name} is scraped under the same name")
    free = ", ".join(sorted(seen - set(nodes))) or "none"
    sentence = f"no target of Prometheus has instance={name!r} (it has {free}): an alert cannot name this node"
    return bad("nodes", sentence, f"give kumod's target labels: {{ instance: {name} }} in prometheus.yml")


async def scraped_ourselves(case: Case) -> list[Finding]:
    """Somebody watches us."""
    found = await case.prometheus("rules")
    if isinstance(found, NoAnswer):
        return []
    missing = [name for name in ("Watchdog", "RemediatorDown") if name not in defined_alerts(found)]
    if not missing:
        return [good("ourselves", "alerts about ourselves are defined")]
    sentence = f"{' and '.join(missing)} not defined: nobody would notice if remediator stopped"
    return [bad("ourselves", sentence, "load monitoring/remediator.alerts.yml in Prometheus")]


async def max_age(case: Case) -> list[Finding]:
    """Samples come often enough to be evidence."""
    target = case.targets.prometheus
    found = await case.prometheus("targets", (("state", "active"),))
    if target is None or isinstance(found, NoAnswer):
        return []
    intervals = [_seconds(str(one.get("scrapeInterval", ""))) for one in trees(tree(found).get("activeTargets"))]
    slowest = max(intervals, default=0.0)
    if slowest * 2 <= target.max_age:
        return []
    sentence = (
        f"a target is scraped every {format_duration(slowest)}, but samples count for {format_duration(target.max_age)}"
    )
    return [bad("targets", sentence, "scrape more often, or raise prometheus.max_age to twice the interval")]


def _seconds(text: str) -> float:
    from remediator.core.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError:
        return 0.0
