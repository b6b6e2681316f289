"""Problems for people and for tools: text with the source line and a caret, JSON, GitHub annotations, JUnit.

Pure but for `read_sources`. What comes out of files is shown with its control characters replaced, so that a file cannot
write on the reader's screen.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from remediator.errors import Problem

Sources = Mapping[str, Sequence[str]]

# The widest piece of a source line that is shown, in characters.
WIDTH = 100
_MAX_SOURCE = 1_048_576
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|\'[^\']*\'?|\{\{.*?\}\}|(?:[^\s,:{}\[\]#"]|:(?=\S))+')


def read_sources(problems: Sequence[Problem]) -> Sources:
    """The lines of the files that the problems name; a file that cannot be read has none."""
    found: dict[str, Sequence[str]] = {}
    for name in {problem.position.file for problem in problems}:
        try:
            with Path(name).open("rb") as opened:
                found[name] = opened.read(_MAX_SOURCE).decode("utf-8", "replace").splitlines()
        except OSError:
            found[name] = ()
    return found


def text_report(problems: Sequence[Problem], sources: Sources) -> str:
    """One paragraph a problem: where and what, the source line, and a caret with what to write instead.

    A line that holds a secret is not shown: reports end up in logs.
    """
    secret = {(p.position.file, p.position.line) for p in problems if p.name == "literal-secret"}
    return "".join(_paragraph(p, {} if (p.position.file, p.position.line) in secret else sources) for p in problems)


def summary_line(problems: Sequence[Problem], what: str) -> str:
    """`what — 1 error, 2 warnings`, for the end of a report."""
    errors = sum(problem.severity == "error" for problem in problems)
    return f"{what} — {_counted(errors, 'error')}, {_counted(len(problems) - errors, 'warning')}\n"


def json_report(problems: Sequence[Problem]) -> str:
    """All problems as one JSON object."""
    errors = sum(problem.severity == "error" for problem in problems)
    listed = [
        {
            "file": problem.position.file,
            "line": problem.position.line,
            "column": problem.position.column,
            "severity": problem.severity,
            "name": problem.name,
            "sentence": problem.sentence,
            "fix": problem.fix,
        }
        for problem in problems
    ]
    whole = {"errors": errors, "warnings": len(problems) - errors, "problems": listed}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def github_report(problems: Sequence[Problem]) -> str:
    """GitHub's workflow commands: an annotation at each line."""
    return "".join(_annotation(problem) for problem in problems)


def junit_report(problems: Sequence[Problem], files: Sequence[str]) -> str:
    """JUnit XML: one test case a file, failed by its errors; warnings are its output."""
    names = list(dict.fromkeys([*files, *(problem.position.file for problem in problems)]))
    cases = [_case(name, [problem for problem in problems if problem.position.file == name]) for name in names]
    failed = sum("<failure" in case for case in cases)
    head = f'<testsuite name="remediator check" tests="{len(cases)}" failures="{failed}">\n'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}{"".join(cases)}</testsuite>\n'


def _paragraph(problem: Problem, sources: Sources) -> str:
    position = problem.position
    lines = sources.get(position.file, ())
    head = f"{position}: {problem.severity}[{problem.name}]: {problem.sentence}"
    if not 1 <= position.line <= len(lines) or not lines[position.line - 1].strip():
        return visible(f"{head}; {problem.fix}" if problem.fix else head) + "\n"
    source = lines[position.line - 1]
    start = position.column - 1
    token = _TOKEN.match(source, start)
    length = max(1, min(token.end() - start if token else 1, WIDTH))
    left = max(0, start + length - WIDTH)
    shown = visible(source[left : left + WIDTH])
    caret = " " * _width(source[left:start]) + "^" * max(1, _width(source[start : start + length]))
    fix = f" {visible(problem.fix)}" if problem.fix else ""
    return f"{visible(head)}\n{position.line:>5} | {shown}\n      | {caret}{fix}\n"


def visible(text: str) -> str:
    """`text` with every character that would move the cursor or turn the direction replaced."""
    return "".join(" " if sign == "\t" else sign if _shows(sign) else "\ufffd" for sign in text)


def _shows(sign: str) -> bool:
    return unicodedata.category(sign) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _words(problem: Problem) -> str:
    return visible(f"{problem.sentence}; {problem.fix}" if problem.fix else problem.sentence)


def _annotation(problem: Problem) -> str:
    position = problem.position
    place = f"file={_property(position.file)},line={position.line},col={position.column},title={problem.name}"
    return f"::{problem.severity} {place}::{_words(problem).replace('%', '%25')}\n"


def _property(text: str) -> str:
    for sign, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C")):
        text = text.replace(sign, code)
    return text


def _case(name: str, problems: Sequence[Problem]) -> str:
    errors = [problem for problem in problems if problem.severity == "error"]
    warnings = [problem for problem in problems if problem.severity != "error"]
    body = ""
    if errors:
        message = quoteattr(_counted(len(errors), "error"))
        body += f"    <failure message={message}>{escape(_lines(errors))}</failure>\n"
    if warnings:
        body += f"    <system-out>{escape(_lines(warnings))}</system-out>\n"
    return f'  <testcase classname="check" name={quoteattr(visible(name))}>\n{body}  </testcase>\n'


def _lines(problems: Sequence[Problem]) -> str:
    return "\n".join(visible(str(problem)) for problem in problems)
