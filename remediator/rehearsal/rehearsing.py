"""All tests of a file: its rules are loaded as the service loads them, each test is played, and what came of it compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from re import Pattern

from remediator.config import load_rules
from remediator.config.cases import Case, CaseFile, load_cases
from remediator.config.documents import Document, parse_document
from remediator.config.files import decode, read_file
from remediator.core.rules import Mode, Ruleset
from remediator.errors import InvalidConfiguration, Problem, RemediatorError
from remediator.plugins import describe_catalogue
from remediator.ports import Catalogue
from remediator.rehearsal.coverage import Coverage, Written, wanted_of
from remediator.rehearsal.expecting import Difference, differences
from remediator.rehearsal.loop import StandsStill
from remediator.rehearsal.playing import Played, play

# The guards behind the keys of `guards`; the others there are no reasons of their own.
GUARDS = {
    "cooldown": "cooldown",
    "rate_limit": "rate_limit",
    "blast_radius": "blast_radius",
    "concurrency": "concurrency",
    "mute_time_intervals": "time_intervals",
    "active_time_intervals": "time_intervals",
    "breaker": "breaker",
    "min_healthy": "min_healthy",
    "trust": "signal_trust",
    "waves": "waves",
    "max_targets": "max_targets",
    "irreversible_after": "irreversible",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one test."""

    case: Case
    differences: tuple[Difference, ...] = ()
    played: Played | None = None

    @property
    def passed(self) -> bool:
        """Whether everything is as expected."""
        return not self.differences


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of a file of rule tests; `problems` where it, or its rules, could not be used."""

    file: str
    results: list[Result] = field(default_factory=list)
    problems: tuple[Problem, ...] = ()
    coverage: Coverage = field(default_factory=lambda: Coverage(()))

    @property
    def passed(self) -> bool:
        """Whether everything could be tested and is as expected."""
        return not self.problems and all(result.passed for result in self.results)


def rehearse(path: Path, only: Pattern[str] | None = None) -> Outcome:
    """Plays the tests of one file, those whose names `only` finds; nothing outside is touched."""
    catalogue = describe_catalogue()
    try:
        file = load_cases(path)
        ruleset = load_rules(file.rule_files, catalogue, server_mode=Mode.AUTO, nodes=file.nodes).ruleset
        written = _written(file)
    except InvalidConfiguration as refused:
        errors = tuple(problem for problem in refused.problems if problem.severity == "error")
        return Outcome(file=str(path), problems=errors)
    outcome = Outcome(file=str(path), problems=tuple(_misnamed(file, ruleset)))
    if outcome.problems:
        return outcome
    outcome.coverage = Coverage(wanted_of(ruleset, written))
    for case in file.cases:
        if only is None or only.search(case.name):
            result = _result(case, ruleset, catalogue)
            outcome.results.append(result)
            if result.played is not None:
                outcome.coverage.take(result.played)
    return outcome


def _misnamed(file: CaseFile, ruleset: Ruleset) -> Iterator[Problem]:
    """Rules that tests name and that are not there, or have no schedule: a typing error must not look like a result."""
    for case in file.cases:
        shape = case.shape
        if shape.schedule is not None:
            rule = ruleset.rule(shape.schedule.rule)
            if rule is None or rule.schedule is None:
                why = f"there is no rule '{shape.schedule.rule}'" if rule is None else "this rule has no schedule"
                yield Problem(position=case.at("schedule"), name="unknown-rule", sentence=why, fix="name one that has")
        for place, expect in enumerate(case.expects):
            by_hand = expect.rule is not None and expect.rule.startswith("by-hand:")
            if expect.rule is not None and not by_hand and ruleset.rule(expect.rule) is None:
                sentence, position = f"there is no rule '{expect.rule}'", case.expect_at(place, "rule")
                known = ", ".join(rule.name for rule in ruleset.rules)
                yield Problem(position=position, name="unknown-rule", sentence=sentence, fix=f"expected one of {known}")


def _result(case: Case, ruleset: Ruleset, catalogue: Catalogue) -> Result:
    try:
        played = play(case, ruleset, catalogue)
    except (RemediatorError, StandsStill) as fault:
        broken = Difference(position=case.at("name"), about="test", expected="to come to an end", found=str(fault))
        return Result(case=case, differences=(broken,))
    return Result(case=case, differences=tuple(differences(case, played)), played=played)


# ── where guards are written ─────────────────────────────────────────────────────────────────────────────────────────
def _written(file: CaseFile) -> Written:
    by_rule: dict[str, tuple[str, ...]] = {}
    by_file: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {}
    for path in file.rule_files:
        document = parse_document(str(path), decode(path, read_file(path)))
        names = set()
        for place in range(len(_list(document))):
            name = str(document.get(("rules", place, "name")))
            names.add(name)
            inhibited = ("inhibited_by",) if document.get(("rules", place, "inhibited_by")) else ()
            by_rule[name] = (*_guards(document.get(("rules", place, "guards"))), *inhibited)
        by_file[str(path)] = (_guards(document.get(("defaults", "guards"))), frozenset(names))
    return Written(by_rule=by_rule, by_file=by_file)


def _list(document: Document) -> list[object]:
    raw = document.get(("rules",))
    return list(raw) if isinstance(raw, list) else []


def _guards(raw: object) -> tuple[str, ...]:
    given: Mapping[str, object] = raw if isinstance(raw, dict) else {}
    return tuple(dict.fromkeys(GUARDS[key] for key in given if key in GUARDS))
