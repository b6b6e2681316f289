"""Where Alertmanager would send an alert, read from its configuration. Pure.

Of an alert only some labels are known beforehand: its name, and what its rule adds. A route that asks for another label may
or may not fit, so the answer has three parts: who surely gets it, who perhaps does, and whether that matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from remediator.core.matchers import Matcher, MatcherSyntaxError, Operator, parse_matchers
from remediator.doctor.case import Tree, texts, tree, trees


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """The receivers that surely get an alert, and those that get it for some values of labels that are not known."""

    sure: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()


def ways(configuration: Tree, labels: Mapping[str, str]) -> Ways:
    """Who gets an alert of which these labels are known."""
    sure, perhaps = _walk(tree(configuration.get("route")), labels, "", is_sure=True)
    return Ways(sure=tuple(dict.fromkeys(sure)), perhaps=tuple(dict.fromkeys(perhaps)))


def _walk(route: Tree, labels: Mapping[str, str], receiver: str, *, is_sure: bool) -> tuple[list[str], list[str]]:
    mine = str(route.get("receiver") or receiver)
    sure: list[str] = []
    perhaps: list[str] = []
    taken = doubt = False
    for child in trees(route.get("routes")):
        fits = _fits(child, labels)
        if fits is False:
            continue
        below_sure, below_perhaps = _walk(child, labels, mine, is_sure=is_sure and fits is True and not doubt)
        sure += below_sure
        perhaps += below_perhaps
        if fits is True:
            taken = True
            if not child.get("continue"):
                break
        elif not child.get("continue"):
            doubt = True
    if not taken:
        (sure if is_sure and not doubt else perhaps).append(mine)
    return sure, perhaps


def _fits(route: Tree, labels: Mapping[str, str]) -> bool | None:
    """Whether a route takes the alert; None where that hangs on a label that is not known."""
    unknown = False
    for matcher in _matchers(route):
        if matcher is None or matcher.label not in labels:
            unknown = True
        elif not matcher.matches(labels):
            return False
    return None if unknown else True


def _matchers(route: Tree) -> Sequence[Matcher | None]:
    """All matchers of a route, in the present and the older spelling; None for one that cannot be read."""
    found: list[Matcher | None] = []
    listed = route.get("matchers")
    for text in listed if isinstance(listed, list) else []:
        try:
            found += parse_matchers(str(text))
        except MatcherSyntaxError:
            found.append(None)
    found += [Matcher(name, Operator.EQUAL, value) for name, value in texts(route.get("match")).items()]
    found += [Matcher(name, Operator.MATCHES, value) for name, value in texts(route.get("match_re")).items()]
    return found
