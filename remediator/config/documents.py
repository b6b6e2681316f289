"""YAML text as plain values with positions, and none of YAML's surprises. Pure; the only place that uses PyYAML.

Works on the nodes of `yaml.compose`, never on constructed objects: scalars keep their spelling (`Bare` if they stood
without quotes), so that a model decides what is a number. Refused with a position: tags, anchors, aliases, merge keys,
duplicate keys, keys that are not text, what YAML 1.1 and 1.2 read differently, more than 20 levels, more than 20,000
nodes, texts of more than 16 KiB, control characters (reliability.md T22). All faults are collected; only broken syntax
ends the reading.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from remediator.config.traps import trap
from remediator.errors import Position, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DEPTH = 20
MAX_NODES = 20_000
MAX_SCALAR = 16_384
MAX_BLANKS = 100
MAX_KEY = 256

Raw = str | None | list["Raw"] | dict[str, "Raw"]
Path = tuple[str | int, ...]

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class Bare(str):
    """A scalar without quotes: the only kind that may be taken for a number or a boolean."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a value stands (`line`, `column`, from 1), where its key does, and how a scalar is written (`style`)."""

    line: int
    column: int
    end_line: int
    key_line: int
    key_column: int
    style: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One YAML file: its values, and the place of each by its path (`("rules", 0, "name")`)."""

    file: str
    lines: tuple[str, ...]
    value: Raw
    spots: Mapping[Path, Spot] = field(repr=False)
    problems: tuple[Problem, ...] = ()

    def at(self, path: Path) -> Position:
        """Where the value at `path` stands, or the nearest value around it."""
        spot = self._spot(path)
        return Position(self.file, spot.line, spot.column)

    def key(self, path: Path) -> Position:
        """Where the key of the value at `path` stands (for an item of a list, the item)."""
        spot = self._spot(path)
        return Position(self.file, spot.key_line, spot.key_column)

    def inside(self, path: Path, offset: int) -> Position:
        """The place of character `offset` of the text at `path`; its beginning where that cannot be told exactly."""
        spot = self._spot(path)
        text = self.get(path)
        if not isinstance(text, str) or path not in self.spots:
            return self.at(path)
        if spot.style == "|":
            before = text[:offset]
            line = spot.line + 1 + before.count("\n")
            raw = self.lines[line - 1] if line <= len(self.lines) else ""
            here = text.split("\n")[before.count("\n")]
            indent = raw.find(here) if here else 0
            return Position(self.file, line, max(indent, 0) + len(before) - (before.rfind("\n") + 1) + 1)
        start = spot.column - 1 + (1 if spot.style in {'"', "'"} else 0)
        exact = spot.line == spot.end_line and self.lines[spot.line - 1][start : start + len(text)] == text
        return Position(self.file, spot.line, start + offset + 1) if exact else self.at(path)

    def get(self, path: Path) -> Raw:
        """The value at `path`; None if there is none."""
        value = self.value
        for part in path:
            match value, part:
                case dict(), str():
                    value = value.get(part)
                case list(), int() if part < len(value):
                    value = value[part]
                case _:
                    return None
        return value

    def _spot(self, path: Path) -> Spot:
        while path and path not in self.spots:
            path = path[:-1]
        return self.spots.get(path) or Spot(line=1, column=1, end_line=1, key_line=1, key_column=1)


class _Stop(Exception):
    """Reading cannot go on; the problem says why."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.sentence)


def parse_document(file: str, text: str) -> Document:
    """The values of `text` with their positions; faults are in `problems`, and values without sense are left out."""
    reading = _Reading(file)
    lines = tuple(text.splitlines())
    try:
        node = _compose(file, text, reading)
        value = reading.value(node, (), "", None) if node is not None else None
    except _Stop as stop:
        value = None
        reading.problems.append(stop.problem)
    problems = tuple(sorted(reading.problems, key=lambda problem: problem.position))
    return Document(file=file, lines=lines, value=value, spots=reading.spots, problems=problems)


class _Composer(yaml.SafeLoader):
    """Composes nodes within a budget of depth and number, and without anchors, aliases and tags."""

    def __init__(self, text: str, reading: _Reading) -> None:
        super().__init__(text)
        self._reading = reading
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """One node; faults of its properties go to the reading."""
        begun = self.peek_event()  # type: ignore[no-untyped-call]
        mark = begun.start_mark
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _Stop(self._reading.problem(mark, "too-large", f"more than {MAX_NODES} values", "split the file"))
        if self._depth >= MAX_DEPTH:
            raise _Stop(self._reading.problem(mark, "too-deep", f"more than {MAX_DEPTH} levels deep", "flatten it"))
        if isinstance(begun, yaml.AliasEvent):
            self.get_event()  # type: ignore[no-untyped-call]
            self._reading.fault(mark, "yaml-alias", f"*{begun.anchor} is an alias", "write the value out")
            return yaml.ScalarNode("tag:yaml.org,2002:str", "", mark, mark, style='"')
        if begun.anchor is not None:
            self._reading.fault(mark, "yaml-anchor", f"&{begun.anchor} is an anchor", "write the value out")
            begun.anchor = None
        if begun.tag is not None:
            tag = begun.tag.replace("tag:yaml.org,2002:", "!!")
            self._reading.fault(mark, "yaml-tag", f"{tag} is a tag", "leave it out: the rules know their types")
            begun.tag = None
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def _compose(file: str, text: str, reading: _Reading) -> yaml.Node | None:
    try:
        composer = _Composer(text, reading)
    except yaml.reader.ReaderError as fault:
        before = text[: fault.position]
        position = Position(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        sentence = f"the character U+{ord(text[fault.position]):04X} is not allowed in YAML"
        raise _Stop(Problem(position=position, name="bad-yaml", sentence=sentence, fix="delete it")) from None
    try:
        return composer.get_single_node()
    except yaml.MarkedYAMLError as fault:
        raise _Stop(_syntax_problem(file, text, fault)) from None
    except (ValueError, OverflowError, yaml.YAMLError):
        position = Position(file, composer.line + 1, composer.column + 1)
        sentence = "this is not YAML; a character number after \\U or \\x is too large"
        raise _Stop(Problem(position=position, name="bad-yaml", sentence=sentence)) from None
    finally:
        composer.dispose()


def _syntax_problem(file: str, text: str, fault: yaml.MarkedYAMLError) -> Problem:
    mark = fault.problem_mark or fault.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.splitlines()
    source = lines[line] if line < len(lines) else ""
    sentence = f"this is not YAML: {fault.problem or 'it cannot be read'}"
    fix = ""
    if fault.problem == "but found another document":
        sentence, fix = "a second document starts here (---)", "one file holds one document: split it"
    elif "found character '\\t'" in (fault.problem or ""):
        sentence, fix = "a tab stands where YAML allows only spaces", "indent with spaces"
    elif "{{" in source and "'" not in source:
        fix = "put quotes around a text with {{ … }}"
    elif fault.problem == "mapping values are not allowed here":
        fix = "put quotes around a text that holds ': '"
    return Problem(position=Position(file, line + 1, column + 1), name="bad-yaml", sentence=sentence, fix=fix)


class _Reading:
    """Turns nodes into values; notes the place of each and every fault."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.problems: list[Problem] = []
        self.spots: dict[Path, Spot] = {}

    def problem(self, mark: yaml.Mark, name: str, sentence: str, fix: str) -> Problem:
        """A problem at `mark`."""
        position = Position(self._file, mark.line + 1, mark.column + 1)
        return Problem(position=position, name=name, sentence=sentence, fix=fix)

    def fault(self, mark: yaml.Mark, name: str, sentence: str, fix: str) -> None:
        """Notes a problem and goes on."""
        self.problems.append(self.problem(mark, name, sentence, fix))

    def value(self, node: yaml.Node, path: Path, key: str, key_mark: yaml.Mark | None) -> Raw:
        """The plain value of `node`, which stands at `path` below the key `key`."""
        start, at = node.start_mark, key_mark or node.start_mark
        self.spots[path] = Spot(
            line=start.line + 1,
            column=start.column + 1,
            end_line=node.end_mark.line + 1,
            key_line=at.line + 1,
            key_column=at.column + 1,
            style=node.style or "" if isinstance(node, yaml.ScalarNode) else "",
        )
        match node:
            case yaml.MappingNode():
                return self._mapping(node, path)
            case yaml.SequenceNode():
                return [self.value(item, (*path, place), key, None) for place, item in enumerate(node.value)]
            case _:
                return self._scalar(node, key)

    def _scalar(self, node: yaml.Node, key: str) -> str | None:
        text = str(node.value)
        if len(text) > MAX_SCALAR or text.count("{{") > MAX_BLANKS:
            sentence = f"a text of more than {MAX_SCALAR} characters or {MAX_BLANKS} blanks"
            self.fault(node.start_mark, "too-large", sentence, "write a shorter one")
            return ""
        if _CONTROL.search(text):
            self.fault(node.start_mark, "bad-text", "a control character stands in this text", "take it out")
            return ""
        if node.style is not None:  # type: ignore[attr-defined]
            return text
        if text in {"", "~", "null"}:
            return None
        caught = trap(text, key or "-")
        if caught:
            self.fault(node.start_mark, "yaml-trap", *caught)
        return Bare(text)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> Raw:
        if len(node.value) == 1 and node.flow_style and isinstance(node.value[0][0], yaml.MappingNode):
            fix = f'put quotes around it: "{{{{ {_inner(node.value[0][0])} }}}}"'
            self.fault(node.start_mark, "unquoted-placeholder", "{{ … }} without quotes is a mapping for YAML", fix)
            return ""
        found: dict[str, Raw] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            name = self._key(key_node)
            if name is None:
                continue
            if name in lines:
                sentence = f"the key '{name}' stands here a second time; the first is in line {lines[name]}"
                self.fault(key_node.start_mark, "duplicate-key", sentence, "keep one of them")
                continue
            lines[name] = key_node.start_mark.line + 1
            found[name] = self.value(value_node, (*path, name), name, key_node.start_mark)
        return found

    def _key(self, node: yaml.Node) -> str | None:
        mark = node.start_mark
        if not isinstance(node, yaml.ScalarNode):
            self.fault(mark, "bad-key", "a key must be text, not a list or a mapping", "write a plain word")
            return None
        text = str(node.value)
        if node.style is None and text == "<<":
            self.fault(mark, "yaml-merge", "<< merges another mapping", "write the keys out")
            return None
        if not 0 < len(text) <= MAX_KEY or _CONTROL.search(text):
            self.fault(mark, "bad-key", "a key is empty, very long, or has a control character", "write a plain word")
            return None
        caught = trap(text, "") if node.style is None else None
        if caught:
            self.fault(mark, "yaml-trap", *caught)
        return text


def _inner(node: yaml.MappingNode) -> str:
    first = node.value[0][0] if node.value else None
    return str(first.value) if isinstance(first, yaml.ScalarNode) and first.value else "labels.name"
