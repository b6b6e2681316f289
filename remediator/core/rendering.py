"""`{{ labels.domain }}`: filling a blank, and nothing more. No expressions, no calls, no loops.

A template is parsed once, at load, into literal text and references. Filling it is substitution at a known position; what
was substituted is never looked at again, so a label that reads `{{ x }}` stays text. A value that is missing or empty is an
error unless the author gave a default, because an empty selector means "everything" to a mail server (kumomta.md §2.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from remediator.core.params import Json
from remediator.core.promql import escape, regex_quote

Scope = Mapping[str, Mapping[str, str]]

SCOPES = ("labels", "annotations", "params", "incident", "each")
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_REFERENCE = re.compile(
    r'\s*\$?(?P<scope>[a-z]+)\.(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*(?:\|\s*default\(\s*"(?P<default>[^"{}\\]+)"\s*\)\s*)?'
)


class Sink(StrEnum):
    """Where a value lands, which decides how it is escaped."""

    PLAIN = "plain"  # one argument of its own; its type is checked after filling
    PROMQL = "promql"  # inside a double-quoted string of = or !=
    PROMQL_REGEX = "promql_regex"  # inside a double-quoted string of =~ or !~


@dataclass(frozen=True, slots=True)
class Reference:
    """`scope.name`, with what to say if it is missing (`default`)."""

    scope: str
    name: str
    default: str | None = None
    sink: Sink = Sink.PLAIN

    def __str__(self) -> str:
        return f"{self.scope}.{self.name}"

    @property
    def source(self) -> str:
        """The blank as an operator would write it."""
        default = f' | default("{self.default}")' if self.default is not None else ""
        return f"{{{{ {self}{default} }}}}"


@dataclass(frozen=True, slots=True)
class Template:
    """Literal text and references, in order."""

    parts: tuple[str | Reference, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        """All blanks of this template."""
        return tuple(part for part in self.parts if isinstance(part, Reference))

    @property
    def source(self) -> str:
        """The template as an operator would write it."""
        return "".join(part if isinstance(part, str) else part.source for part in self.parts)


class MissingValue(ValueError):
    """A blank that cannot be filled: the label is missing or empty."""


def parse_template(text: str) -> Template:
    """`text` as a template; ValueError names the placeholder that is more than a reference, or an unknown scope."""
    parts: list[str | Reference] = []
    position = 0
    for found in _PLACEHOLDER.finditer(text):
        if found.start() > position:
            parts.append(_literal(text[position : found.start()]))
        parts.append(_parse_reference(found.group(1)))
        position = found.end()
    if position < len(text) or not parts:
        parts.append(_literal(text[position:]))
    return Template(tuple(parts))


def _literal(text: str) -> str:
    if "{{" in text or "}}" in text:
        raise ValueError("a placeholder is not closed or not opened: write {{ labels.name }}")
    return text


def _parse_reference(inner: str) -> Reference:
    found = _REFERENCE.fullmatch(inner)
    if not found:
        raise ValueError(
            f"'{{{{{inner}}}}}' is not a reference: write {{{{ labels.name }}}} or {{{{ params.name }}}}, "
            'with | default("x") if it may be missing; there are no expressions'
        )
    if found["scope"] not in SCOPES:
        raise ValueError(f"'{found['scope']}' is not a scope: expected one of {', '.join(SCOPES)}")
    return Reference(found["scope"], found["name"], found["default"])


def fill(template: Template, scope: Scope) -> str:
    """The text with every blank filled and escaped for its sink; MissingValue names the first that cannot be."""
    return "".join(part if isinstance(part, str) else _value(part, scope) for part in template.parts)


def _value(reference: Reference, scope: Scope) -> str:
    value = scope.get(reference.scope, {}).get(reference.name) or reference.default
    if not value:
        raise MissingValue(f"{reference} is missing or empty; an empty value never means everything")
    match reference.sink:
        case Sink.PLAIN:
            return value
        case Sink.PROMQL:
            return escape(value)
        case _:
            return regex_quote(value)


# A template tree: what `with:` holds after loading. Only leaves that are text can have blanks.
Tree = Template | int | float | bool | None | list["Tree"] | dict[str, "Tree"]


def parse_tree(raw: Json) -> Tree:
    """`raw` with each text parsed as a template; keys are literal and never have blanks."""
    match raw:
        case str():
            return parse_template(raw)
        case list():
            return [parse_tree(part) for part in raw]
        case dict():
            return {key: parse_tree(value) for key, value in raw.items()}
        case _:
            return raw


def fill_tree(tree: Tree, scope: Scope) -> Json:
    """The plain values of `tree`. Its shape cannot change: a value fills a leaf and is not parsed again."""
    match tree:
        case Template():
            return fill(tree, scope)
        case list():
            return [fill_tree(part, scope) for part in tree]
        case dict():
            return {key: fill_tree(value, scope) for key, value in tree.items()}
        case _:
            return tree


def starts_with_blank(tree: Tree) -> bool:
    """Whether the first character of this leaf comes from outside."""
    return isinstance(tree, Template) and isinstance(tree.parts[0], Reference)


def references(tree: Tree) -> tuple[Reference, ...]:
    """All blanks in `tree`."""
    match tree:
        case Template():
            return tree.references
        case list():
            return tuple(found for part in tree for found in references(part))
        case dict():
            return tuple(found for part in tree.values() for found in references(part))
        case _:
            return ()
