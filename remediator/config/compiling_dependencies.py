"""Rules about what we ourselves rest on: what is down cannot be asked whether it is down, and cannot heal itself. Pure.

reliability.md §3.5: a rule for a Prometheus that is down can have no PromQL, one for an Alertmanager that is down cannot ask
it about alerts, and what is wrong with this service is a person's to mend.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from remediator.config.compiling_brakes import Site
from remediator.config.documents import Path
from remediator.config.rules_model import GuardsShape, PlaybookShape, RuleShape
from remediator.core.matchers import MatcherSyntaxError, parse_matchers

_DOWN = r"(?:server|instance|job|cluster|is)?(?:down|absent|missing|unreachable|gone|dead|stopped|notup|notready)"
_PROMETHEUS = re.compile(f"prometheus{_DOWN}", re.IGNORECASE)
_ALERTMANAGER = re.compile(f"alertmanager{_DOWN}", re.IGNORECASE)
_OURSELVES = re.compile(r"remediator\w*", re.IGNORECASE)
# What tells people touches nothing.
_TELLING = frozenset({"notify"})


def check_dependency(
    site: Site, shape: RuleShape, own: GuardsShape, file: GuardsShape, playbooks: Mapping[str, PlaybookShape | None]
) -> None:
    """Tells the faults of a rule whose alert says that Prometheus, Alertmanager or this service is down."""
    books = [
        (place, book) for place, name in enumerate(shape.playbook or ()) if (book := playbooks.get(name)) is not None
    ]
    for alert in _alerts(shape):
        if _PROMETHEUS.fullmatch(alert):
            for path, what in _promql(site, shape, own, file, books):
                sentence = f"'{alert}' says that Prometheus does not answer, and {what} asks it"
                site.faults.error(
                    site.document.at(path), "asks-what-is-down", sentence, "ask by http or command instead"
                )
        if _ALERTMANAGER.fullmatch(alert):
            for place, book in books:
                if any(check.alert is not None for check in book.verify):
                    sentence = f"'{alert}' says that Alertmanager does not answer, and playbook '{book.name}' asks it"
                    position = site.document.at((*site.path, "playbook", place))
                    site.faults.error(
                        position, "asks-what-is-down", sentence, "verify by expr, http or command instead"
                    )
        if _OURSELVES.fullmatch(alert):
            for place, book in books:
                if any(step.manual is None and step.action not in _TELLING for step in book.steps):
                    sentence = f"'{alert}' is about this service, which cannot mend itself"
                    position = site.document.at((*site.path, "playbook", place))
                    site.faults.error(
                        position, "heals-itself", sentence, "have Alertmanager call people, or only notify"
                    )


def _alerts(shape: RuleShape) -> Iterator[str]:
    """The names of alerts that the rule asks for by name; a matcher that cannot be read is told elsewhere."""
    for text in shape.match or ():
        try:
            matchers = parse_matchers(text)
        except MatcherSyntaxError:
            continue
        for matcher in matchers:
            if matcher.label == "alertname":
                yield from sorted(matcher.literals or ())


def _promql(
    site: Site, shape: RuleShape, own: GuardsShape, file: GuardsShape, books: list[tuple[int, PlaybookShape]]
) -> Iterator[tuple[Path, str]]:
    """Where the rule asks Prometheus, and what asks."""
    if shape.when is not None:
        yield (*site.path, "when", "expr"), "'when'"
    for key in ("require", "min_healthy"):
        if getattr(own, key):
            yield (*site.path, "guards", key), f"'{key}'"
        elif getattr(file, key) and getattr(own, key) is None:
            yield ("defaults", "guards", key), f"'{key}'"
    for place, book in books:
        if any(check.expr is not None for check in book.verify):
            yield (*site.path, "playbook", place), f"the verification of playbook '{book.name}'"
