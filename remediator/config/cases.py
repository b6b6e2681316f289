"""Files of rule tests as values: every test with its place in the file, all faults at once. Reads the files it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from remediator.config.cases_model import CaseShape, CasesOutline, ExpectShape
from remediator.config.documents import Document, Path, parse_document
from remediator.config.faults import Faults, read_shape
from remediator.config.files import decode, read_file
from remediator.core.rules import Mode
from remediator.errors import Position

# A Tuesday at ten in the morning, UTC.
START = 1_795_514_400.0
# The nodes of a test that names none.
NODES = ("mta1",)
SUFFIXES = ("_test.yml", "_test.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test: what happens, what must come of it, and where each word of it stands."""

    document: Document = field(repr=False)
    path: Path
    shape: CaseShape
    expects: tuple[ExpectShape, ...]
    start: float
    mode: Mode

    @property
    def name(self) -> str:
        """What is tested."""
        return self.shape.name

    def at(self, *parts: str | int) -> Position:
        """Where a part of the test stands."""
        return self.document.at((*self.path, *parts))

    def expect_at(self, place: int, *parts: str | int) -> Position:
        """Where a part of its expectation `place` stands, which may be the only one."""
        one = isinstance(self.document.get((*self.path, "expect")), dict)
        return self.at("expect", *(() if one else (place,)), *parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """A file of rule tests, and the rules files that they are about."""

    path: FilePath
    rule_files: tuple[FilePath, ...]
    nodes: tuple[str, ...]
    cases: tuple[Case, ...]


def load_cases(path: FilePath) -> CaseFile:
    """The tests of a file; InvalidConfiguration with all its faults."""
    faults = Faults()
    document = parse_document(str(path), decode(path, read_file(path)))
    faults.take(document.problems)
    if document.value is None and not document.problems:
        faults.error(document.at(()), "empty-file", "the file has nothing in it", "write version: 1 and tests")
    outline = read_shape(CasesOutline, document, (), faults) if document.value is not None else None
    cases = [_case(document, place, outline, faults) for place in range(_count(document))]
    _refuse_twins(document, faults)
    faults.raise_errors()
    assert outline is not None
    files = tuple(path.parent / name for name in outline.rule_files)
    nodes = tuple(outline.nodes) if outline.nodes is not None else NODES
    return CaseFile(path=path, rule_files=files, nodes=nodes, cases=tuple(case for case in cases if case is not None))


def _count(document: Document) -> int:
    raw = document.get(("tests",))
    return len(raw) if isinstance(raw, list) else 0


def _case(document: Document, place: int, outline: CasesOutline | None, faults: Faults) -> Case | None:
    path: Path = ("tests", place)
    shape = read_shape(CaseShape, document, path, faults)
    expects = _expects(document, (*path, "expect"), faults)
    if shape is None:
        return None
    raw = document.get(path)
    written = raw if isinstance(raw, dict) else {}
    if not written.keys() & {"alert", "alerts", "schedule", "by_hand"}:
        sentence = "nothing happens in this test"
        faults.error(document.at(path), "missing-field", sentence, "write alert: { labels: … }, or schedule: RULE")
    if written.keys() >= {"alert", "alerts"}:
        faults.error(document.key((*path, "alert")), "unknown-field", "'alert' beside 'alerts'", "put it into the list")
    for number, person in enumerate(shape.people):
        if _deeds(person) != 1:
            sentence = "a person does exactly one of approve, reject, pause, resume, undo and decide"
            faults.error(document.at((*path, "people", number)), "missing-field", sentence, "write one of them")
    start = shape.start if shape.start is not None else outline.start if outline is not None else None
    mode = shape.mode if shape.mode is not None else outline.mode if outline is not None else None
    return Case(
        document=document,
        path=path,
        shape=shape,
        expects=expects,
        start=START if start is None else start,
        mode=Mode.AUTO if mode is None else mode,
    )


def _expects(document: Document, path: Path, faults: Faults) -> tuple[ExpectShape, ...]:
    raw = document.get(path)
    if isinstance(raw, list):
        if not raw:
            faults.error(document.at(path), "empty-list", "'expect' is empty", "write at least one item")
        found = [read_shape(ExpectShape, document, (*path, place), faults) for place in range(len(raw))]
    else:
        found = [read_shape(ExpectShape, document, path, faults)] if raw is not None else []
    return tuple(expect for expect in found if expect is not None)


def _deeds(person: object) -> int:
    return sum(bool(getattr(person, key)) for key in ("approve", "reject", "pause", "resume", "undo", "decide"))


def _refuse_twins(document: Document, faults: Faults) -> None:
    seen: dict[object, int] = {}
    for place in range(_count(document)):
        name = document.get(("tests", place, "name"))
        position = document.at(("tests", place, "name"))
        if isinstance(name, str) and name in seen:
            sentence = f"there is another test '{name}', in line {seen[name]}"
            faults.error(position, "duplicate-name", sentence, "rename one of them")
        seen.setdefault(name, position.line)


def case_files(paths: Sequence[FilePath]) -> list[FilePath]:
    """The files named, and those below the directories named that are called *_test.yml, in order."""
    found: list[FilePath] = []
    for path in paths:
        if path.is_dir():
            found += [one for one in sorted(path.rglob("*.y*ml")) if one.name.endswith(SUFFIXES)]
        else:
            found.append(path)
    return list(dict.fromkeys(found))
