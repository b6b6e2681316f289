"""Shapes to core values: a rule's own brakes, and what the inhibitions of all rules say together. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from remediator.config.documents import Document, Path
from remediator.config.faults import Faults
from remediator.config.placeholders import Blanks, asks_for_the_scrape, compares, read_query
from remediator.config.rules_model import GuardsShape, RuleShape
from remediator.config.shapes import MAX_WINDOW, nearest
from remediator.core.brakes import Brakes, Inhibition, MinHealthy, Trust, Waves
from remediator.core.measures import INSTANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a rule stands: its document and path there, its blanks, and whom to tell of faults."""

    document: Document
    path: Path
    blanks: Blanks
    faults: Faults


def compile_brakes(shape: RuleShape, own: GuardsShape, file: GuardsShape) -> Brakes:
    """The numbers; what the rule does not say, its file says."""
    usual = Brakes()
    breaker = own.breaker or file.breaker
    floor = own.min_healthy or file.min_healthy
    waves = own.waves or file.waves
    most = own.max_targets or file.max_targets
    return Brakes(
        inhibited_by=tuple(
            Inhibition(rule=one.rule, equal=tuple(one.equal) if one.equal is not None else None)
            for one in shape.inhibited_by or ()
        ),
        failures=breaker.failures if breaker else usual.failures,
        pause=breaker.pause if breaker else usual.pause,
        relapse=_first(own.relapse, file.relapse, usual.relapse),
        at_least=floor.at_least[0] if floor else 0,
        percent=floor.at_least[1] if floor else 0,
        starting=_first(own.starting, file.starting, usual.starting),
        waves=Waves(first=waves.first, growth=waves.growth, rest=waves.rest) if waves else usual.waves,
        max_targets=most or usual.max_targets,
        irreversible_after=_first(own.irreversible_after, file.irreversible_after, usual.irreversible_after),
    )


def _first(own: float | None, file: float | None, usual: float) -> float:
    if own is not None:
        return own
    return usual if file is None else file


def check_waves(site: Site, own: GuardsShape, file: GuardsShape) -> None:
    """A first wave that `max_targets` never lets be full, and a rest that the journal does not remember, are faults."""
    waves, most = own.waves or file.waves, own.max_targets or file.max_targets or Brakes().max_targets
    if waves is None:
        return
    path: Path = ((*site.path, "guards") if own.waves else ("defaults", "guards")) + ("waves",)
    if waves.first > most:
        sentence = f"the first wave has {waves.first} targets, and max_targets lets {most} be under treatment at once"
        fix = f"write first: {most} or less, or raise max_targets"
        site.faults.error(site.document.at((*path, "first")), "wave-too-large", sentence, fix)
    if waves.rest > MAX_WINDOW:
        sentence = "the journal does not remember runs for longer than 31d"
        site.faults.error(site.document.at((*path, "rest")), "out-of-range", sentence, "write at most 31d")


def compile_min_healthy(site: Site, own: GuardsShape, file: GuardsShape) -> MinHealthy | None:
    """The questions, each checked like any condition; a percentage needs to know of how many."""
    shape = own.min_healthy or file.min_healthy
    if shape is None:
        return None
    path: Path = (*site.path, "guards") if own.min_healthy else ("defaults", "guards")
    path = (*path, "min_healthy")
    healthy = read_query(site.document, (*path, "expr"), shape.expr, site.blanks, site.faults)
    if healthy is not None and not compares(shape.expr):
        sentence = "this compares nothing, so the unwell would count as healthy"
        site.faults.error(site.document.at((*path, "expr")), "no-comparison", sentence, "write for example up == 1")
    of = read_query(site.document, (*path, "of"), shape.of, site.blanks, site.faults) if shape.of else None
    if shape.at_least[1] and not shape.of:
        sentence = f"{shape.at_least[1]} % of how many? 'of' is missing"
        position = site.document.at((*path, "at_least"))
        site.faults.error(position, "unknown-total", sentence, 'add of: for example up{job="kumod"}, or write a number')
    return MinHealthy(healthy=healthy, of=of) if healthy else None


def compile_trust(site: Site, shape: RuleShape, own: GuardsShape, file: GuardsShape) -> Trust:
    """What the rule says, else its file, else as much as makes sense for it.

    A rule that asks Prometheus nothing has nothing to trust. One with `instance` in its target trusts only a target whose
    scrape works, where it is scraped under that name, unless its own condition is about that: `up`, or missing series.
    """
    if own.trust == Trust.TARGET and INSTANCE not in (shape.target or shape.group_by or ()):
        sentence = f"whose scrape? '{INSTANCE}' is not in group_by"
        site.faults.error(
            site.document.at((*site.path, "guards", "trust")), "no-instance", sentence, "write prometheus"
        )
    said = own.trust or file.trust
    if said:
        return Trust(said)
    conditions = own.require if own.require is not None else file.require
    if shape.when is None and not conditions and not (own.min_healthy or file.min_healthy):
        return Trust.UNCHECKED
    if INSTANCE not in (shape.target or shape.group_by or ()) or (
        shape.when is not None and asks_for_the_scrape(shape.when.expr)
    ):
        return Trust.PROMETHEUS
    return Trust.IF_SCRAPED


def check_inhibitions(sites: Mapping[str, tuple[Site, RuleShape]], names: Collection[str]) -> None:
    """Names that are not there, and rules that wait for each other, are faults of the rules that name them."""
    graph = {
        name: [one.rule for one in shape.inhibited_by or () if one.rule in sites]
        for name, (_site, shape) in sites.items()
    }
    for name, (site, shape) in sites.items():
        for place, one in enumerate(shape.inhibited_by or ()):
            path = (*site.path, "inhibited_by", place)
            position = site.document.at(path)
            if one.rule not in names:
                sentence, fix = f"there is no rule '{one.rule}'", nearest(one.rule, set(names) - {name})
                site.faults.error(position, "unknown-rule", sentence, fix)
            elif name in _reached(graph, one.rule):
                sentence = f"'{name}' would wait for itself" + (f", by way of '{one.rule}'" if one.rule != name else "")
                site.faults.error(position, "circular-inhibition", sentence, "let one of them go first")


def _reached(graph: Mapping[str, list[str]], start: str) -> set[str]:
    seen: set[str] = set()
    left = [start]
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += graph.get(name, ())
    return seen
