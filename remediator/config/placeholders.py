"""Where blanks may stand: scopes, grouped labels, and the double-quoted values of PromQL matchers. Pure.

A label's value comes from outside. In a query it may only ever be the value of a matcher, so the query is parsed with a
sentinel in each blank, and a sentinel that turns up anywhere but in a matcher's value refuses the query.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import promql_parser

from remediator.config.shapes import nearest
from remediator.core.rendering import Reference, Sink, Template, parse_template

if TYPE_CHECKING:
    from remediator.config.documents import Document, Path
    from remediator.config.faults import Faults

_BLANK = re.compile(r"\{\{.*?\}\}", re.DOTALL)
# PromQL's tokens as far as needed to know in which kind of string a place is; a comment ends with its line.
_TOKEN = re.compile(
    r"""(?P<double>"(?:[^"\\\n]|\\.)*")|(?P<single>'(?:[^'\\\n]|\\.)*')|(?P<raw>`[^`]*`)|(?P<comment>\#[^\n]*)""",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blanks:
    """What may stand in the blanks of one place: names by scope, and what the place is called in messages."""

    names: Mapping[str, Collection[str]]
    place: str
    labels_in: str = "group_by"  # the key that names the labels which may be used


_SENTINEL = re.compile(r"zq([0-9]{1,4})qz")
_SCRAPE = re.compile(r"(?<![\w:])(?:up|absent|absent_over_time)(?![\w:])")
_CHOICE = re.compile(r"[<>]|[=!]=|\b(?:and|unless)\b")
_BRACES = re.compile(r"\{[^{}]*\}")
MAX_QUERY = 4096
# More than this makes the parser's own recursion, or walking its tree, slow or unsafe.
MAX_OPERATORS = 200
_OPERATORS = re.compile(r"[-+*/%^(\[<>]|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)


def read_template(document: Document, path: Path, text: str, blanks: Blanks, faults: Faults) -> Template | None:
    """`text` as a template whose blanks may stand here; None after telling `faults` why not."""
    try:
        template = parse_template(text)
    except ValueError as fault:
        found = _BLANK.search(text)
        position = document.inside(path, found.start() if found else max(text.find("{{"), 0))
        sentence, _, fix = str(fault).partition(": ")
        faults.error(position, "bad-placeholder", sentence, fix)
        return None
    starts = [found.start() for found in _BLANK.finditer(text)]
    wrong = [
        _refuse(document, path, start, reference, blanks, faults)
        for start, reference in zip(starts, template.references, strict=True)
    ]
    return None if any(wrong) else template


def plain_text(document: Document, path: Path, text: str | None, faults: Faults) -> str:
    """`text` in a place that has no blanks; a blank there is told to `faults`."""
    found = _BLANK.search(text or "")
    if found:
        sentence = f"{found[0]} stands in a text that is shown as it is"
        faults.error(document.inside(path, found.start()), "placeholder-not-here", sentence, "write the text out")
    return text or ""


def _refuse(document: Document, path: Path, start: int, reference: Reference, blanks: Blanks, faults: Faults) -> bool:
    """Tells `faults` why this blank may not stand here; False if it may."""
    position = document.inside(path, start)
    scope, name = reference.scope, reference.name
    known = blanks.names.get(scope)
    if known is not None and name in known:
        return False
    if scope == "annotations":
        sentence = f"{reference} may not become part of what is done: annotations are free text from outside"
        faults.error(position, "annotation-placeholder", sentence, "use a label of group_by")
    elif known is None:
        usable = " and ".join(f"{word}.…" for word in blanks.names)
        faults.error(position, "placeholder-scope", f"{reference} is not known in {blanks.place}", f"use {usable}")
    elif scope == "labels":
        why = (
            "one incident could have several values of it"
            if blanks.labels_in == "group_by"
            else "nothing says its value"
        )
        sentence = f"labels.{name} is used, but {blanks.labels_in} lacks {name}: {why}"
        faults.error(position, "label-not-grouped", sentence, f"add {name} to {blanks.labels_in}")
    else:
        sentence = f"{blanks.place} has no {'parameter' if scope == 'params' else scope} '{name}'"
        faults.error(position, "unknown-param", sentence, nearest(name, known))
    return True


def read_query(document: Document, path: Path, text: str, blanks: Blanks, faults: Faults) -> Template | None:
    """`text` as PromQL whose blanks all stand in double-quoted values of matchers, each with the escaping it needs."""
    template = read_template(document, path, text, blanks, faults)
    if template is None:
        return None
    probe, starts = _with_sentinels(text)
    if _SENTINEL.search(text):
        faults.error(document.at(path), "bad-promql", "zq…qz is a word we use ourselves", "write another word")
        return None
    if len(text) > MAX_QUERY or len(_OPERATORS.findall(text)) > MAX_OPERATORS:
        sentence = f"longer than {MAX_QUERY} characters or {MAX_OPERATORS} operators"
        faults.error(document.at(path), "bad-promql", sentence, "make a recording rule of it")
        return None
    sinks, complaint = _ask(probe)
    wrong = [place for place in range(len(starts)) if not _usable(text, probe, starts, place, sinks)]
    if complaint:
        wrong = _loose(probe)
        if not wrong:
            faults.error(document.at(path), "bad-promql", f"Prometheus cannot read this: {_words(complaint, text)}")
    for place in wrong:
        fix = f'write it as a value: label="{_BLANK.findall(text)[place]}"'
        sentence = "a blank may stand only in a double-quoted value of a matcher"
        faults.error(document.inside(path, starts[place]), "placeholder-outside-quotes", sentence, fix)
    return None if wrong or complaint else _sunk(template, sinks)


def _ask(probe: str) -> tuple[dict[int, Sink], str]:
    """The escaping of each blank that is a matcher's value, and what the parser complains of, if it does."""
    try:
        return _sinks(promql_parser.parse(probe)), ""
    except ValueError as fault:
        return {}, str(fault) or "it is no query"


def _usable(text: str, probe: str, starts: list[int], place: int, sinks: Mapping[int, Sink]) -> bool:
    # After a backslash the first character of the value would be part of an escape.
    return place in sinks and _in_double_quotes(probe, place) and not text[: starts[place]].endswith("\\")


def has_ratio(text: str) -> bool:
    """Whether a query divides."""
    return "/" in _TOKEN.sub("", _BLANK.sub("", text))


def asks_for_the_scrape(text: str) -> bool:
    """Whether a query is about Prometheus's own reach: about `up`, or about series that are not there."""
    return _SCRAPE.search(_TOKEN.sub("", _BLANK.sub("", text))) is not None


def compares(text: str) -> bool:
    """Whether a query chooses among series by what they say: compares values, or takes some away."""
    return _CHOICE.search(_BRACES.sub("", _TOKEN.sub("", _BLANK.sub("", text)))) is not None


def _sentinel(place: int) -> str:
    return f"zq{place}qz"


def _with_sentinels(text: str) -> tuple[str, list[int]]:
    """The query with a word in each blank, and where the blanks begin in `text`."""
    starts: list[int] = []

    def put(found: re.Match[str]) -> str:
        starts.append(found.start())
        return _sentinel(len(starts) - 1)

    return _BLANK.sub(put, text), starts


def _sinks(expression: promql_parser.Expr) -> dict[int, Sink]:
    """Which blanks are the value of a matcher, and how they must be escaped there."""
    sinks: dict[int, Sink] = {}

    def visit(node: promql_parser.Expr) -> bool:
        for matcher in _matchers(node):
            regex = matcher.op in (promql_parser.MatchOp.Re, promql_parser.MatchOp.NotRe)
            for found in _SENTINEL.finditer(matcher.value):
                sinks[int(found[1])] = Sink.PROMQL_REGEX if regex else Sink.PROMQL
        return True

    promql_parser.walk(expression, pre_visit=visit)
    return sinks


def _matchers(node: promql_parser.Expr) -> Iterator[promql_parser.Matcher]:
    if isinstance(node, promql_parser.VectorSelector):
        yield from node.matchers.matchers
        for alternative in node.matchers.or_matchers:
            yield from alternative


def _in_double_quotes(probe: str, place: int) -> bool:
    at = probe.find(_sentinel(place))
    return any(found.start() < at < found.end() and found["double"] is not None for found in _TOKEN.finditer(probe))


def _loose(probe: str) -> list[int]:
    """The blanks that stand in no string of any kind."""
    return [int(found) for found in _SENTINEL.findall(_TOKEN.sub("", probe))]


def _words(complaint: str, text: str) -> str:
    """The parser's sentence on one line; without our own sentinels, which mean nothing to the author."""
    blanks = _BLANK.findall(text)
    return _SENTINEL.sub(lambda found: blanks[int(found[1])], " ".join(complaint.split()))


def _sunk(template: Template, sinks: Mapping[int, Sink]) -> Template:
    parts: list[str | Reference] = []
    place = 0
    for part in template.parts:
        if isinstance(part, Reference):
            parts.append(replace(part, sink=sinks[place]))
            place += 1
        else:
            parts.append(part)
    return Template(tuple(parts))
