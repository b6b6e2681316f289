"""Why a rule was not asked about an alert, or did not match it, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from remediator.core.rules import Ruleset


def stops(rule: str) -> str:
    """Why a rule that stands later was not asked."""
    return f"rule {rule} stands before it, took the alert on and says stop"


def nearest_miss(ruleset: Ruleset, labels: Mapping[str, str], annotations: Mapping[str, str] | None = None) -> str:
    """Why no rule matched, by the rule that came closest; it is told where only an annotation has what a label should."""
    miss = ruleset.index.nearest(labels)
    if miss is None:
        return "no rule comes near it" if ruleset.rules else "no rules are loaded"
    failed = "; ".join(f"{matcher} (got {_got(matcher.label, labels, annotations or {})})" for matcher in miss.failed)
    return f"nearest miss: rule {ruleset.rules[miss.rule].name}: {failed}"


def _got(name: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    if name in annotations and name not in labels:
        return f"'', and {annotations[name][:50]!r} as an annotation: matchers see labels only"
    return repr(labels.get(name, ""))
