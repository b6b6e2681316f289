"""What came of rule tests, as text, JSON and JUnit. Pure. What comes out of files cannot write on the reader's screen."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from remediator.config.report import read_sources, text_report, visible
from remediator.core.telling import clock_time, tell
from remediator.errors import Position
from remediator.rehearsal.coverage import KINDS, Coverage
from remediator.rehearsal.expecting import Difference
from remediator.rehearsal.playing import Played
from remediator.rehearsal.rehearsing import Outcome, Result


def text(outcomes: Sequence[Outcome], *, stories: Sequence[str] = ()) -> str:
    """For people: each difference with its place and a diff; a line a file. `stories` names tests to be told in full."""
    lines: list[str] = []
    for outcome in outcomes:
        lines += text_report(outcome.problems, read_sources(outcome.problems)).splitlines()
        for result in outcome.results:
            lines += _differences(result)
            if result.case.name in stories and result.played is not None:
                lines += _told(result, result.played)
        failed = sum(not result.passed for result in outcome.results)
        count = len(outcome.results)
        state = (
            "cannot be tested" if outcome.problems else f"{failed} of {count} failed" if failed else f"{count} passed"
        )
        lines.append(f"{visible(outcome.file)}: {state}")
    return "".join(f"{line}\n" for line in lines)


def _differences(result: Result) -> list[str]:
    """Each difference as a diff; what was asked and answered stands below the first that it may explain."""
    lines: list[str] = []
    told = ""
    for one in result.differences:
        of = f" of {one.rule}" if one.rule else ""
        lines.append(visible(f"{one.position}: failed: {result.case.name}: {one.about}{of}"))
        lines += [f"      - {visible(one.expected)}", f"      + {visible(one.found)}"]
        if one.hint != told:
            lines += [f"        asked  {visible(line)}" for line in one.hint.splitlines()]
        told = one.hint or told
    return lines


def _told(result: Result, played: Played) -> list[str]:
    lines = [visible(f"── {result.case.name}")]
    for entry in played.entries:
        word, sentence = tell(entry.fact)
        lines.append(visible(f"   {clock_time(entry.at)[11:]}  {word:<12} {sentence}"))
    return lines


def coverage_text(coverage: Coverage) -> str:
    """What was seen of the rules, and what was not."""
    counts = ", ".join(f"{word} {_share(coverage, word)}" for word in KINDS)
    lines = [f"coverage {math.floor(coverage.percent)} % ({counts})"]
    lines += [f"      not seen  {one.kind:<8} {visible(str(one))}" for one in coverage.missing]
    return "".join(f"{line}\n" for line in lines)


def _share(coverage: Coverage, kind: str) -> str:
    seen, wanted = coverage.share(kind)
    return f"{seen}/{wanted}"


def as_json(outcomes: Sequence[Outcome]) -> str:
    """All results and what was seen, for tools."""
    listed = [
        {
            "file": outcome.file,
            "passed": outcome.passed,
            "problems": [
                _place(one.position) | {"name": one.name, "sentence": one.sentence} for one in outcome.problems
            ],
            "tests": [
                {
                    "name": result.case.name,
                    "passed": result.passed,
                    "differences": [_plain(one) for one in result.differences],
                }
                for result in outcome.results
            ],
        }
        for outcome in outcomes
    ]
    seen = _plain_coverage(Coverage.of_all(outcome.coverage for outcome in outcomes))
    return json.dumps({"files": listed, "coverage": seen}, indent=2, ensure_ascii=False) + "\n"


def _plain_coverage(coverage: Coverage) -> dict[str, object]:
    shares = {kind: dict(zip(("seen", "of"), coverage.share(kind), strict=True)) for kind in KINDS}
    missing = [{"kind": one.kind, "owner": one.owner, "what": one.what} for one in coverage.missing]
    return {"percent": round(coverage.percent, 1), **shares, "missing": missing}


def _place(position: Position) -> dict[str, object]:
    return {"file": position.file, "line": position.line, "column": position.column}


def _plain(one: Difference) -> dict[str, object]:
    words = {
        "about": one.about,
        "rule": one.rule,
        "expected": one.expected,
        "found": one.found,
        "asked": one.hint.splitlines(),
    }
    return _place(one.position) | words


def junit(outcomes: Sequence[Outcome]) -> str:
    """JUnit XML: a suite a file, a case a test; a file that cannot be tested is an error of its own."""
    suites = [_suite(outcome) for outcome in outcomes]
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n{"".join(suites)}</testsuites>\n'


def _suite(outcome: Outcome) -> str:
    cases = [_case(outcome.file, result) for result in outcome.results]
    if outcome.problems:
        told = escape(visible("; ".join(map(str, outcome.problems))))
        cases.append(
            f'    <testcase classname={_attribute(outcome.file)} name="load"><error>{told}</error></testcase>\n'
        )
    failures = sum(not result.passed for result in outcome.results)
    counts = f'tests="{len(cases)}" failures="{failures}" errors="{1 if outcome.problems else 0}"'
    return f"  <testsuite name={_attribute(outcome.file)} {counts}>\n{''.join(cases)}  </testsuite>\n"


def _case(file: str, result: Result) -> str:
    head = f"    <testcase classname={_attribute(file)} name={_attribute(result.case.name)}"
    if result.passed:
        return f"{head}/>\n"
    body = escape("\n".join(_differences(result)))
    message = _attribute(", ".join(one.about for one in result.differences))
    return f"{head}>\n      <failure message={message}>{body}</failure>\n    </testcase>\n"


def _attribute(text: str) -> str:
    return quoteattr(visible(text))
