"""Pydantic's errors as problems that an operator can act on: a place, plain words, and what to write instead. Pure."""

from __future__ import annotations

from dataclasses import replace
from types import UnionType
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError

from remediator.config.shapes import Misspelt, Shape, kind_of, nearest
from remediator.errors import InvalidConfiguration, Position, Problem

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from remediator.config.documents import Document, Path, Raw


ShapeT = TypeVar("ShapeT", bound=Shape)


# YAML misunderstood, or a value left out of the reading: what else is wrong at that place only follows from it.
_ROOTS = frozenset(
    {
        "bad-key",
        "bad-text",
        "too-large",
        "unquoted-placeholder",
        "yaml-alias",
        "yaml-merge",
        "yaml-tag",
        "yaml-trap",
    }
)


class Faults:
    """Collects problems of several files."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def error(self, position: Position, name: str, sentence: str, fix: str = "") -> None:
        """Something that keeps the configuration from being used."""
        self.problems.append(Problem(position=position, name=name, sentence=sentence, fix=fix))

    def warning(self, position: Position, name: str, sentence: str, fix: str = "") -> None:
        """Something that is probably not meant."""
        self.problems.append(Problem(position=position, name=name, sentence=sentence, severity="warning", fix=fix))

    def take(self, problems: tuple[Problem, ...]) -> None:
        """Adds problems found elsewhere."""
        self.problems.extend(problems)

    def sorted(self) -> tuple[Problem, ...]:
        """All of them once, in file order. Where YAML itself is misunderstood, what follows from that is left out."""
        root = {problem.position for problem in self.problems if problem.name in _ROOTS}
        kept = [p for p in dict.fromkeys(self.problems) if p.name in _ROOTS or p.position not in root]
        short = [replace(p, sentence=_clip(p.sentence), fix=_clip(p.fix)) for p in kept]
        return tuple(sorted(short, key=lambda problem: (problem.position, problem.name)))

    def raise_errors(self) -> None:
        """InvalidConfiguration with everything found, if there is an error among it."""
        if any(problem.severity == "error" for problem in self.problems):
            raise InvalidConfiguration(self.sorted())


def _clip(text: str) -> str:
    """At most 400 characters: whoever reads it has the file, too."""
    return text if len(text) <= 400 else f"{text[:400]}…"


def read_shape(model: type[ShapeT], document: Document, path: Path, faults: Faults) -> ShapeT | None:
    """The part of `document` at `path` as a `model`; None after telling `faults` all that is wrong with it.

    Where what is wrong can be left out, the rest is still returned, so that its other faults are found as well.
    """
    raw = document.get(path)
    empties = _empties(document, path, raw)
    try:
        found = model.model_validate(raw)
    except ValidationError as refused:
        errors = refused.errors(include_url=False)
    else:
        faults.take(tuple(empties.values()))
        return found
    for error in errors:
        empties.pop((*path, *error["loc"]), None)
        if not _told_already(raw, error):
            faults.take((_problem(model, document, path, error),))
    faults.take(tuple(empties.values()))
    return _rest(model, raw, [error["loc"][:-1] if error["type"] == "missing" else error["loc"] for error in errors])


def _rest(model: type[ShapeT], raw: Raw, faulty: list[tuple[int | str, ...]]) -> ShapeT | None:
    """What is left of `raw` without its faulty keys, if that has sense by itself: its other faults can then be found."""
    for loc in faulty:
        while loc and isinstance(loc[-1], int):
            loc = loc[:-1]
        if not loc or loc[0] == "params":  # a playbook without one of its parameters would only seem to lack it
            return None
        raw = _without(raw, loc)
    try:
        return model.model_validate(raw)
    except ValidationError:
        return None


# Below these keys stand arguments of plug-ins, in which nothing (null) can be a value.
_FREE = frozenset({"with", "http", "command", "alert"})


def _empties(document: Document, path: Path, raw: Raw) -> dict[Path, Problem]:
    """Keys that have no value. To leave a guard or a condition empty by mistake must not mean to have none."""
    found: dict[Path, Problem] = {}
    parts: list[tuple[str | int, Raw]] = []
    if isinstance(raw, dict):
        parts = [(key, value) for key, value in raw.items() if key not in _FREE]
    elif isinstance(raw, list):
        parts = list(enumerate(raw))
    for key, value in parts:
        here = (*path, key)
        if value is None:
            told = Problem(
                position=document.key(here),
                name="empty-value",
                sentence=f"'{_word(here)}' has no value",
                fix="write one, or leave the key out",
            )
            found[here] = told
        found.update(_empties(document, here, value))
    return found


def _told_already(raw: Raw, error: ErrorDetails) -> bool:
    """Whether a missing `password_file` only is what a literal `password` beside it is refused for."""
    if error["type"] != "missing" or not str(error["loc"][-1]).endswith("_file"):
        return False
    for part in error["loc"][:-1]:
        raw = _step_into(raw, part)
    return isinstance(raw, dict) and str(error["loc"][-1]).removesuffix("_file") in raw


def _step_into(raw: Raw, part: int | str) -> Raw:
    match raw, part:
        case dict(), str():
            return raw.get(part)
        case list(), int():
            return raw[part]
        case _:
            return None


def _without(raw: Raw, loc: tuple[int | str, ...]) -> Raw:
    """A copy of `raw` that lacks the key at `loc`."""
    first, rest = loc[0], loc[1:]
    match raw, first:
        case dict(), str():
            if not rest:
                return {key: value for key, value in raw.items() if key != first}
            return {key: _without(value, rest) if key == first else value for key, value in raw.items()}
        case list(), int():
            return [_without(value, rest) if place == first else value for place, value in enumerate(raw)]
        case _:
            return raw


class _Told(NamedTuple):
    position: Position
    name: str
    sentence: str
    fix: str = ""


def _problem(model: type[Shape], document: Document, path: Path, error: ErrorDetails) -> Problem:
    loc = tuple(part for part in error["loc"] if part != "[key]")
    told = _tell(model, document, path, loc, error)
    return Problem(position=told.position, name=told.name, sentence=told.sentence, fix=told.fix)


def _tell(model: type[Shape], document: Document, path: Path, loc: Path, error: ErrorDetails) -> _Told:
    whole = (*path, *loc)
    key = str(loc[-1]) if loc else ""
    match error["type"]:
        case "extra_forbidden":
            owner = _shape_at(model, loc[:-1])
            known = shape_keys(owner)
            if f"{key}_file" in known:
                fix = f"write the secret to a file of its own and name that: {key}_file: …"
                return _Told(document.key(whole), "literal-secret", f"'{key}' would put a secret into this file", fix)
            sentence = f"{owner.noun} has no field '{key}'"
            return _Told(document.key(whole), "unknown-field", sentence, nearest(key, known))
        case "missing":
            owner = _shape_at(model, loc[:-1])
            sentence = f"{owner.noun} has no '{key}'"
            return _Told(_start(document, whole[:-1]), "missing-field", sentence, f"add {key}: …")
        case "too_short":
            return _Told(document.at(whole), "empty-list", f"'{_word(loc)}' is empty", "write at least one item")
    raised = error.get("ctx", {}).get("error")
    if isinstance(raised, Misspelt):
        position = document.key(whole) if error["loc"][-1:] == ("[key]",) else document.at(whole)
        return _Told(position, raised.name, _about(loc, str(raised)), raised.fix)
    wanted = "a list" if error["type"] == "list_type" else "keys and values"
    found = error.get("input")
    subject = f"'{_word(loc)}'" if key and not isinstance(loc[-1], int) else _shape_at(model, loc).noun
    sentence = f"{subject} must be {wanted}, not {kind_of(found)}"
    fix = "leave it out if there is nothing to say" if found is None else "write [ … ]" if wanted == "a list" else ""
    return _Told(document.at(whole), "wrong-type", sentence, fix)


def _start(document: Document, path: Path) -> Position:
    """Where a mapping without a key of its own begins; one below a key is told by that key."""
    return document.key(path)


def _word(loc: Path) -> str:
    return next((part for part in reversed(loc) if isinstance(part, str)), "the file")


def _about(loc: Path, sentence: str) -> str:
    """The sentence with its subject, unless it begins with one."""
    begins = sentence.split(" ", 1)[0]
    return f"'{_word(loc)}' {sentence}" if begins in {"must", "is", "has"} else f"{_word(loc)}: {sentence}"


def shape_keys(shape: type[Shape]) -> list[str]:
    """The keys that a shape may have, as they are written."""
    return [entry.alias or name for name, entry in shape.model_fields.items()]


def _shape_at(model: type[Shape], loc: Path) -> type[Shape]:
    """The model that stands at `loc`; the nearest around it where that is none."""
    owner: type[Shape] = model
    here: object = model
    for part in loc:
        here = _inside(here, part)
        found = _plain(here)
        if isinstance(found, type) and issubclass(found, Shape):
            owner = found
    return owner


def _inside(annotation: object, part: int | str) -> object:
    plain = _plain(annotation)
    if isinstance(plain, type) and issubclass(plain, Shape):
        for name, entry in plain.model_fields.items():
            if part == (entry.alias or name):
                return entry.annotation
        return object
    arguments = get_args(plain)
    return arguments[-1] if arguments else object


def _plain(annotation: object) -> object:
    """The annotation without Annotated and Optional."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in {Union, UnionType}:
            annotation = next((arm for arm in get_args(annotation) if arm is not type(None)), object)
        else:
            return annotation
