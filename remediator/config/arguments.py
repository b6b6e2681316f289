"""The `with:` of a step or a check against the parameters that its plug-in declares. Pure.

Literal values are parsed now, so that a wrong one is found before the file is used and not at three in the morning;
values with blanks keep their shape and are parsed when the plan is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from remediator.config.documents import Bare, Document, Path, Raw
from remediator.config.faults import Faults
from remediator.config.placeholders import Blanks, read_query, read_template
from remediator.config.shapes import kind_of, nearest
from remediator.core.params import Json, Param, ParamType, check_scope, parse_value
from remediator.core.rendering import Template, Tree, references

SELECTORS = frozenset({ParamType.NAME, ParamType.DOMAIN, ParamType.QUEUE, ParamType.IP, ParamType.NAMES})
# Arguments of this name hold PromQL, whatever plug-in they belong to.
QUERIES = frozenset({"expr", "query"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where one value stands: its file, its path, what may stand in its blanks, and who is told of faults."""

    document: Document
    path: Path
    blanks: Blanks
    faults: Faults

    def below(self, part: str | int) -> Slot:
        """The slot of a part of this value."""
        return Slot(document=self.document, path=(*self.path, part), blanks=self.blanks, faults=self.faults)

    def error(self, name: str, sentence: str, fix: str = "") -> None:
        """Tells the fault of this value."""
        self.faults.error(self.document.at(self.path), name, sentence, fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Arguments that may pass. `literal` has them all if none has a blank, else it is None."""

    arguments: Mapping[str, Tree]
    literal: Mapping[str, Json] | None


def bind(slot: Slot, raw: Raw, params: Mapping[str, Param], what: str) -> Bound | None:
    """The arguments of the plug-in `what`; None after telling all their faults."""
    given = raw if isinstance(raw, dict) else {}
    right = True
    for name in given:
        if name not in params:
            position = slot.document.key((*slot.path, name))
            slot.faults.error(position, "unknown-argument", f"'{what}' has no argument '{name}'", nearest(name, params))
            right = False
    for name, param in params.items():
        if param.required and name not in given:
            sentence = f"'{what}' needs the argument '{name}' ({param.type}: {param.doc.rstrip('.')})"
            slot.faults.error(slot.document.key(slot.path), "missing-argument", sentence, f"add {name}: …")
            right = False
    trees: dict[str, Tree] = {}
    for name, value in given.items():
        if name in params:
            found = _argument(slot.below(name), name, value, params[name])
            right = right and found is not None
            trees[name] = found.tree if found else None
    if not right:
        return None
    return _bound(trees)


def bind_main(slot: Slot, raw: Raw, params: Mapping[str, Param], what: str) -> Bound | None:
    """The arguments where only the main one is written: the one that must be given, or the first of all."""
    required = [name for name, param in params.items() if param.required]
    main = next(iter(required or params), None)
    if main is None or len(required) > 1:
        needed = f"needs {' and '.join(required)}" if required else "takes no arguments"
        slot.error("missing-argument", f"'{what}' {needed}", "write its arguments as keys and values")
        return None
    found = _argument(slot, main, raw, params[main])
    return _bound({main: found.tree}) if found else None


def _bound(trees: Mapping[str, Tree]) -> Bound:
    has_blanks = any(references(tree) for tree in trees.values())
    literal = None if has_blanks else {name: _json(tree) for name, tree in trees.items()}
    return Bound(arguments=trees, literal=literal)


@dataclass(frozen=True, slots=True)
class _Argument:
    tree: Tree


def _argument(slot: Slot, name: str, raw: Raw, param: Param) -> _Argument | None:
    if raw is None and param.type is not ParamType.OBJECT:
        slot.error("empty-selector" if param.type in SELECTORS else "empty-value", f"'{name}' has no value")
        return None
    before = len(slot.faults.problems)
    tree = _tree(slot, raw, param.type, is_query=name in QUERIES)
    if len(slot.faults.problems) > before:
        return None
    if references(tree):
        return _Argument(tree) if _blanks_fit(slot, name, tree, param.type) else None
    value = _json(tree)
    if param.choices and value not in param.choices:
        slot.error("bad-argument", f"'{name}' cannot be {kind_of(value)}", nearest(str(value), param.choices))
        return None
    return _literal(slot, name, value, param.type)


def literal_value(slot: Slot, name: str, value: Json, kind: ParamType) -> Json:
    """`value` as its type wants it; None after telling why it cannot be."""
    found = _literal(slot, name, value, kind)
    return _json(found.tree) if found else None


def _literal(slot: Slot, name: str, value: Json, kind: ParamType) -> _Argument | None:
    if kind in SELECTORS and _means_everything(value):
        sentence = f"'{name}' is {kind_of(value)}: an empty value or a wildcard is never taken as everything"
        slot.error("empty-selector", sentence, "name what is meant")
        return None
    try:
        parsed = parse_value(kind, value)
    except ValueError as fault:
        sentence, _, fix = str(fault).partition("; ")
        slot.error("bad-argument", f"argument '{name}': {sentence}", fix)
        return None
    return _Argument(_literal_tree(parsed))


def _means_everything(value: Json) -> bool:
    """Whether a selector, or one of a list of them, is empty or a wildcard."""
    if isinstance(value, list):
        return not value or any(_means_everything(part) for part in value)
    if not isinstance(value, str):
        return False
    try:
        check_scope("", value)
    except ValueError:
        return True
    return False


def _blanks_fit(slot: Slot, name: str, tree: Tree, kind: ParamType) -> bool:
    """Whether blanks may stand where they do: never in a URL's host or for the program of a command."""
    if kind is ParamType.URL and isinstance(tree, Template):
        begin = tree.parts[0] if isinstance(tree.parts[0], str) else ""
        if begin.count("/") < 3:
            slot.error("placeholder-in-host", f"a blank may not choose the host of '{name}'", "write the host out")
            return False
    if kind is ParamType.ARGV and isinstance(tree, list) and references(tree[0]):
        slot.error("placeholder-in-program", f"a blank may not choose the program of '{name}'", "write the program out")
        return False
    if kind in {ParamType.ARGV, ParamType.NAMES} and not isinstance(tree, list):
        slot.error("wrong-type", f"'{name}' must be a list", "write [ … ]")
        return False
    if kind in SELECTORS:
        for reference in references(tree):
            if reference.default is not None and _means_everything(reference.default):
                slot.error("empty-selector", f"the default of {reference} in '{name}' would mean everything")
                return False
    return True


def _tree(slot: Slot, raw: Raw, kind: ParamType, *, is_query: bool) -> Tree:
    match raw:
        case None:
            return None
        case list():
            return [_tree(slot.below(place), part, kind, is_query=is_query) for place, part in enumerate(raw)]
        case dict():
            return {key: _tree(slot.below(key), part, kind, is_query=is_query) for key, part in raw.items()}
        case Bare() if kind is ParamType.OBJECT and "{{" not in raw:
            typed = _plain_json(raw)
            return Template((typed,)) if isinstance(typed, str) else typed
        case _ if is_query:
            return read_query(slot.document, slot.path, raw, slot.blanks, slot.faults)
        case _:
            return read_template(slot.document, slot.path, raw, slot.blanks, slot.faults)


def _plain_json(text: str) -> str | int | float | bool:
    """A bare scalar in a JSON object, by the rules that JSON and YAML 1.2 share."""
    if text in {"true", "false"}:
        return text == "true"
    if re.fullmatch(r"-?(?:0|[1-9][0-9]{0,14})", text):
        return int(text)
    if re.fullmatch(r"-?(?:0|[1-9][0-9]{0,14})\.[0-9]{1,15}(?:[eE][-+]?[0-9]{1,2})?", text):
        return float(text)
    return str(text)


def _json(tree: Tree) -> Json:
    """A tree without blanks as plain values."""
    match tree:
        case Template():
            return tree.source
        case list():
            return [_json(part) for part in tree]
        case dict():
            return {key: _json(part) for key, part in tree.items()}
        case _:
            return tree


def _literal_tree(value: Json) -> Tree:
    """Plain values as a tree; text becomes a template without blanks and is never parsed for them."""
    match value:
        case str():
            return Template((value,))
        case list():
            return [_literal_tree(part) for part in value]
        case dict():
            return {key: _literal_tree(part) for key, part in value.items()}
        case _:
            return value
