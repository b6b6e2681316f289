"""Rules files to one frozen ruleset: all of it or none of it. Reads the files it is given and nothing else.

A reload is calling `load_rules` again: on InvalidConfiguration the caller keeps what it has.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, TypeVar

from remediator.config.compiling import Files, Item, Known, compile_intervals, compile_rules
from remediator.config.compiling_playbooks import compile_playbook
from remediator.config.documents import Document, Path, parse_document
from remediator.config.each import UNKNOWN_NODES
from remediator.config.faults import Faults, read_shape
from remediator.config.files import decode, read_file
from remediator.config.rules_model import DefaultsShape, IntervalsShape, Outline, PlaybookShape, RuleShape
from remediator.config.shapes import Shape
from remediator.core.rules import Mode, Playbook, Ruleset
from remediator.errors import InvalidConfiguration, Problem

if TYPE_CHECKING:
    from remediator.core.intervals import TimeInterval
    from remediator.ports import Catalogue

ShapeT = TypeVar("ShapeT", bound=Shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A ruleset that may be used, and what is probably not meant in it."""

    ruleset: Ruleset
    warnings: tuple[Problem, ...] = ()


def load_rules(
    paths: Sequence[FilePath],
    catalogue: Catalogue,
    *,
    server_mode: Mode,
    time_intervals: Mapping[str, tuple[TimeInterval, ...]] | None = None,
    max_wait: float = math.inf,
    nodes: Sequence[str] = UNKNOWN_NODES,
) -> Loaded:
    """The rules and playbooks of `paths`, compiled against the plug-ins of `catalogue`.

    `server_mode` bounds every rule, and `max_wait` (seconds, `limits.max_wait`) every rule's `give_up`. `time_intervals`
    are those of the settings, which rules may name; `nodes` the names of their kumods, for `each: node`. All faults of
    all files are raised together as InvalidConfiguration, warnings among them.
    """
    faults = Faults()
    documents, digest = _read(paths, faults)
    files = Files()
    for document in documents:
        _split(document, files, faults)
    given = dict(time_intervals or {})
    known = Known(
        playbooks={**_names(documents, "playbooks"), **{item.shape.name: item.shape for item in files.playbooks}},
        intervals={*given, *_names(documents, "time_intervals")},
        rules=_names(documents, "rules"),
        server_mode=server_mode,
        max_wait=max_wait,
        nodes=nodes,
        faults=faults,
    )
    intervals = compile_intervals(files.intervals, given, faults)
    playbooks = _playbooks(files, catalogue, nodes, faults)
    rules = compile_rules(files, known)
    _refuse_twins(documents, faults)
    faults.raise_errors()
    ruleset = Ruleset(rules=rules, playbooks=playbooks, time_intervals=intervals, digest=digest)
    return Loaded(ruleset=ruleset, warnings=faults.sorted())


def _read(paths: Sequence[FilePath], faults: Faults) -> tuple[list[Document], str]:
    """The readable documents, and the digest of all names and bytes."""
    documents: list[Document] = []
    digest = hashlib.sha256()
    for path in paths:
        try:
            raw = read_file(path)
            text = decode(path, raw)
        except InvalidConfiguration as refused:
            faults.take(refused.problems)
            continue
        digest.update(f"{path.name}\0{len(raw)}\0".encode())
        digest.update(raw)
        document = parse_document(str(path), text)
        faults.take(document.problems)
        if document.value is not None:
            documents.append(document)
        elif not document.problems:
            faults.error(document.at(()), "empty-file", "the file has nothing in it", "write version: 1 and rules")
    return documents, digest.hexdigest()[:16]


def _split(document: Document, files: Files, faults: Faults) -> None:
    """Adds the items of one file that have the right shape."""
    read_shape(Outline, document, (), faults)
    if not isinstance(document.value, dict):
        return
    if document.value.get("defaults") is not None:
        defaults = read_shape(DefaultsShape, document, ("defaults",), faults)
        if defaults:
            files.defaults[document.file] = defaults
    files.rules.extend(_items(RuleShape, document, "rules", faults))
    files.playbooks.extend(_items(PlaybookShape, document, "playbooks", faults))
    files.intervals.extend(_items(IntervalsShape, document, "time_intervals", faults))


def _items(model: type[ShapeT], document: Document, key: str, faults: Faults) -> Iterator[Item[ShapeT]]:
    raw = document.get((key,))
    for place in range(len(raw) if isinstance(raw, list) else 0):
        path: Path = (key, place)
        shape = read_shape(model, document, path, faults)
        if shape is not None:
            yield Item(document=document, path=path, shape=shape)


def _names(documents: Sequence[Document], key: str) -> dict[str, None]:
    """The names written below `key`, also of items that have faults."""
    found: dict[str, None] = {}
    for document in documents:
        raw = document.get((key,))
        for item in raw if isinstance(raw, list) else ():
            name = item.get("name") if isinstance(item, dict) else None
            if isinstance(name, str):
                found[str(name)] = None
    return found


def _playbooks(files: Files, catalogue: Catalogue, nodes: Sequence[str], faults: Faults) -> dict[str, Playbook]:
    compiled = (compile_playbook(item, catalogue, nodes, faults) for item in files.playbooks)
    return {playbook.name: playbook for playbook in compiled if playbook}


def _refuse_twins(documents: Sequence[Document], faults: Faults) -> None:
    """Two rules, or two playbooks, or two sets of intervals of one name, wherever they are."""
    for key, what in (("rules", "rule"), ("playbooks", "playbook"), ("time_intervals", "time interval")):
        first: dict[str, str] = {}
        for document in documents:
            raw = document.get((key,))
            for place in range(len(raw) if isinstance(raw, list) else 0):
                name = document.get((key, place, "name"))
                if not isinstance(name, str):
                    continue
                position = document.at((key, place, "name"))
                if name in first:
                    sentence = f"there is another {what} '{name}', in {first[name]}"
                    faults.error(position, "duplicate-name", sentence, "rename one of them")
                first.setdefault(name, f"{position.file}:{position.line}")
