"""Shapes to core values: rules, and what several files say together. Pure.

Every check that needs more than one place of a file (names, scopes, grouped labels, ladders) is here or in
`compiling_playbooks`; each tells its faults and goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from remediator.config.arguments import Slot, literal_value
from remediator.config.compiling_brakes import (
    Site,
    check_inhibitions,
    check_waves,
    compile_brakes,
    compile_min_healthy,
    compile_trust,
)
from remediator.config.compiling_dependencies import check_dependency
from remediator.config.compiling_schedule import (
    check_start,
    compile_schedule,
    target_labels,
    warn_of_number,
    warn_of_rhythm,
)
from remediator.config.documents import Document, Path
from remediator.config.each import targets_of
from remediator.config.faults import Faults, shape_keys
from remediator.config.placeholders import Blanks, has_ratio, plain_text, read_query, read_template
from remediator.config.rules_model import (
    DefaultsShape,
    GuardsShape,
    IntervalsShape,
    PlaybookShape,
    RuleShape,
)
from remediator.config.shapes import Shape, nearest
from remediator.core.intervals import TimeInterval, parse_time_interval
from remediator.core.matchers import Matcher, MatcherSyntaxError, Operator, parse_matchers
from remediator.core.params import ParamType
from remediator.core.rendering import Template
from remediator.core.rules import Condition, Guards, Mode, Rule, Rung

ShapeT = TypeVar("ShapeT", bound=Shape)
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(Generic[ShapeT]):
    """One item of a file: its shape and where it stands."""

    document: Document
    path: Path
    shape: ShapeT

    @property
    def source(self) -> str:
        """file:line, for people."""
        position = self.document.at(self.path)
        return f"{position.file}:{position.line}"

    def lacks(self, key: str, path: Path = (), model: type[Shape] | None = None) -> bool:
        """Whether the author left `key` out; False if it may be there, misspelt.

        `path` leads from here to a part of the shape `model`, if that part is meant.
        """
        raw = self.document.get((*self.path, *path))
        return isinstance(raw, dict) and key not in raw and set(raw) <= set(shape_keys(model or type(self.shape)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What rules may name. The names include items that have faults, so that one fault is told once."""

    playbooks: Mapping[str, PlaybookShape | None]
    intervals: Collection[str]
    server_mode: Mode
    max_wait: float
    nodes: Sequence[str]
    rules: Collection[str] = ()
    faults: Faults = field(default_factory=Faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The usable items of all files, in order, and the defaults of each file."""

    rules: list[Item[RuleShape]] = field(default_factory=list)
    playbooks: list[Item[PlaybookShape]] = field(default_factory=list)
    intervals: list[Item[IntervalsShape]] = field(default_factory=list)
    defaults: dict[str, DefaultsShape] = field(default_factory=dict)


GIVE_UP = 4 * 3600.0
APPROVAL_TIMEOUT = 3600.0
_NO_DEFAULTS = DefaultsShape()


def compile_rules(files: Files, known: Known) -> tuple[Rule, ...]:
    """All rules that can be compiled; faults of the others are told."""
    compilers = [
        _RuleCompiler(item, files.defaults.get(item.document.file, _NO_DEFAULTS), known) for item in files.rules
    ]
    rules = tuple(rule for rule in (compiler.rule() for compiler in compilers) if rule is not None)
    _warn_of_twins(files, rules, known.faults)
    check_inhibitions({one.shape.name: (one.site, one.shape) for one in compilers}, known.rules)
    return rules


def _warn_of_twins(files: Files, rules: tuple[Rule, ...], faults: Faults) -> None:
    """Rules with the very same matchers: both run, which is seldom meant."""
    first: dict[frozenset[str], Rule] = {}
    items = {item.shape.name: item for item in files.rules}
    for rule in rules:
        if not rule.match:
            continue
        twin = first.setdefault(frozenset(map(str, rule.match)), rule)
        if twin is not rule and rule.name in items:
            item = items[rule.name]
            sentence = f"'{rule.name}' matches exactly what '{twin.name}' in {twin.source} matches"
            fix = "make one of it, or tell them apart by a matcher"
            faults.warning(item.document.at((*item.path, "match")), "unreachable-rule", sentence, fix)


class _RuleCompiler:
    """Compiles one rule."""

    def __init__(self, item: Item[RuleShape], defaults: DefaultsShape, known: Known) -> None:
        self._item = item
        self.shape = self._shape = item.shape
        self._defaults = defaults
        self._known = known
        self._faults = known.faults
        names = {"labels": frozenset(target_labels(item.shape))}
        source = "target" if item.shape.schedule is not None else "group_by"
        self._blanks = Blanks(names=names, place="a rule", labels_in=source)

    def rule(self) -> Rule | None:
        """The rule, if nothing is wrong with it."""
        shape, before = self._shape, len(self._faults.problems)
        check_start(self.site, shape)
        self._check_group_by()
        match = self._match() if shape.match is not None else ()
        schedule = compile_schedule(self.site, shape)
        when = self._condition(("when",), shape.when.expr, shape.when.hold) if shape.when else None
        guards = self._guards()
        ladder = self._ladder()
        locks = self._locks()
        approval = shape.approval or self._defaults.approval
        self._check_texts()
        self._warn_of_ratio()
        warn_of_rhythm(self.site, schedule, guards)
        if shape.each is not None:
            warn_of_number(self.site, self._known.nodes, guards)
        if any(problem.severity == "error" for problem in self._faults.problems[before:]):
            return None
        return Rule(
            name=shape.name,
            match=match,
            group_by=tuple(target_labels(shape)),
            ladder=ladder,
            summary=shape.summary or "",
            runbook_url=shape.runbook_url or "",
            when=when,
            guards=guards,
            mode=self._mode(),
            locks=locks,
            give_up=min(shape.give_up or self._defaults.give_up or GIVE_UP, self._known.max_wait),
            approval_timeout=approval.timeout if approval else APPROVAL_TIMEOUT,
            stop=shape.stop,
            source=self._item.source,
            schedule=schedule,
            targets=targets_of(shape.target or {}, shape.each, self._known.nodes),
        )

    @property
    def site(self) -> Site:
        """Where the rule stands."""
        item = self._item
        return Site(document=item.document, path=item.path, blanks=self._blanks, faults=self._faults)

    def _at(self, *parts: str | int) -> Path:
        return (*self._item.path, *parts)

    def _mode(self) -> Mode:
        said = (self._shape.mode, self._defaults.mode, self._known.server_mode)
        return min(mode for mode in said if mode is not None)

    def _check_texts(self) -> None:
        plain_text(self._item.document, self._at("summary"), self._shape.summary, self._faults)
        plain_text(self._item.document, self._at("runbook_url"), self._shape.runbook_url, self._faults)

    def _check_group_by(self) -> None:
        document, labels = self._item.document, self._shape.group_by or []
        if self._shape.group_by is not None and not labels:
            sentence = "group_by is empty: without a target there is nothing to lock, to count or to leave alone"
            self._faults.error(document.at(self._at("group_by")), "empty-selector", sentence, "name a label")
        for place, label in enumerate(labels):
            if label in labels[:place]:
                position = document.at(self._at("group_by", place))
                self._faults.error(position, "duplicate-name", f"'{label}' is in group_by twice", "take one out")

    def _match(self) -> tuple[Matcher, ...]:
        found: list[Matcher] = []
        document, before = self._item.document, len(self._faults.problems)
        for place, text in enumerate(self._shape.match or ()):
            path = self._at("match", place) if self._at("match", place) in document.spots else self._at("match")
            try:
                found.extend(parse_matchers(text))
            except MatcherSyntaxError as fault:
                position = document.inside(path, max(fault.column - 1, 0))
                self._faults.error(position, "bad-matcher", f"'{text}' is no matcher: {fault.sentence}")
        if len(self._faults.problems) == before and all(map(_is_broad, found)):
            sentence = "these matchers let every alert pass" if found else "match is empty: every alert would pass"
            fix = "add for example alertname = …"
            self._faults.error(document.at(self._at("match")), "empty-selector", sentence, fix)
        return tuple(found)

    def _condition(self, parts: Path, expr: str, hold: float, because: str = "") -> Condition | None:
        path = self._at(*parts)
        document, faults = self._item.document, self._faults
        query = read_query(document, (*path, "expr"), expr, self._blanks, faults)
        sentence = plain_text(document, (*path, "because"), because, faults)
        return Condition(query, hold, sentence) if query else None

    def _guards(self) -> Guards:
        own, file = self._shape.guards or GuardsShape(), self._defaults.guards or GuardsShape()
        for name in ("mute_time_intervals", "active_time_intervals"):
            self._check_intervals(name)
        check_waves(self.site, own, file)
        check_dependency(self.site, self._shape, own, file, self._known.playbooks)
        usual = Guards()
        return Guards(
            cooldown=_first(own.cooldown, file.cooldown, usual.cooldown),
            rate_limit=_first(own.rate_limit, file.rate_limit, usual.rate_limit),
            blast_radius=_first(own.blast_radius, file.blast_radius, usual.blast_radius),
            concurrency=_first(own.concurrency, file.concurrency, usual.concurrency),
            mute_time_intervals=tuple(_first(own.mute_time_intervals, file.mute_time_intervals, [])),
            active_time_intervals=tuple(_first(own.active_time_intervals, file.active_time_intervals, [])),
            require=self._require(),
            brakes=compile_brakes(self._shape, own, file),
            min_healthy=compile_min_healthy(self.site, own, file),
            trust=compile_trust(self.site, self._shape, own, file),
        )

    def _require(self) -> tuple[Condition, ...]:
        own, file = self._shape.guards, self._defaults.guards
        if own and own.require is not None:
            parts: Path = ("guards", "require")
            found = [self._condition((*parts, n), r.expr, r.hold, r.because) for n, r in enumerate(own.require)]
        else:
            shared = file.require if file and file.require else []
            path: Path = ("defaults", "guards", "require")
            found = [self._shared_condition((*path, n), r.expr, r.hold, r.because) for n, r in enumerate(shared)]
        return tuple(condition for condition in found if condition)

    def _shared_condition(self, path: Path, expr: str, hold: float, because: str) -> Condition | None:
        query = read_query(self._item.document, (*path, "expr"), expr, self._blanks, self._faults)
        return Condition(query, hold, because) if query else None

    def _check_intervals(self, key: str) -> None:
        for parts, guards in (
            (self._at("guards", key), self._shape.guards),
            (("defaults", "guards", key), self._defaults.guards),
        ):
            for place, name in enumerate(getattr(guards, key) or () if guards else ()):
                if name not in self._known.intervals:
                    position = self._item.document.at((*parts, place))
                    sentence, fix = f"there is no time interval '{name}'", nearest(name, self._known.intervals)
                    self._faults.error(position, "unknown-interval", sentence, fix)

    def _locks(self) -> tuple[Template, ...]:
        path = self._at("locks")
        found = [
            read_template(self._item.document, (*path, place), text, self._blanks, self._faults)
            for place, text in enumerate(self._shape.locks or ())
        ]
        return tuple(template for template in found if template)

    def _ladder(self) -> tuple[Rung, ...]:
        shape, document, known = self._shape, self._item.document, self._known
        if not shape.playbook:
            self._faults.error(document.at(self._at("playbook")), "empty-list", "'playbook' is empty", "name one")
        shapes: list[PlaybookShape] = []
        usable = True
        for place, name in enumerate(shape.playbook):
            if name not in known.playbooks:
                position = document.at(self._at("playbook", place))
                fix = nearest(name, known.playbooks)
                self._faults.error(position, "unknown-playbook", f"there is no playbook '{name}'", fix)
            found = known.playbooks.get(name)
            usable = usable and found is not None
            shapes.extend([found] if found else [])
        values = {
            name: read_template(document, self._at("with", name), text, self._blanks, self._faults)
            for name, text in shape.arguments.items()
        }
        if not usable:
            return ()
        self._check_binding(shapes)
        return tuple(
            Rung(playbook=book.name, arguments={name: t for name in book.params if (t := values.get(name))})
            for book in shapes
        )

    def _check_binding(self, books: list[PlaybookShape]) -> None:
        document, given = self._item.document, self._shape.arguments
        written = document.get(self._at("with"))
        named = frozenset(written) if isinstance(written, dict) else frozenset()
        types = {name: ParamType(kind) for book in books for name, kind in book.params.items()}
        for book in books:
            for name in book.params:
                if name not in named and (named or self._item.lacks("with")):
                    place = self._at("with") if given else self._at("playbook")
                    sentence = f"playbook '{book.name}' needs a value for its parameter '{name}'"
                    self._faults.error(document.key(place), "unbound-param", sentence, f"add {name}: … to with")
        for name, text in given.items():
            slot = Slot(document=document, path=self._at("with", name), blanks=self._blanks, faults=self._faults)
            if name not in types:
                sentence = f"no playbook of this rule has a parameter '{name}'"
                self._faults.error(document.key(slot.path), "unknown-param", sentence, nearest(name, types))
            elif "{{" not in text:
                literal_value(slot, name, text, types[name])

    def _warn_of_ratio(self) -> None:
        when = self._shape.when
        own, file = self._shape.guards or GuardsShape(), self._defaults.guards or GuardsShape()
        if when and has_ratio(when.expr) and not _first(own.require, file.require, []):
            position = self._item.document.at(self._at("when", "expr"))
            sentence = "this divides, and nothing asks whether there is enough to divide: one of two is 50 %, too"
            fix = "add guards.require with a floor of volume"
            self._faults.warning(position, "ratio-without-floor", sentence, fix)


def _first(own: ValueT | None, file: ValueT | None, usual: ValueT) -> ValueT:
    """What the rule says, else its file, else what is usual."""
    if own is not None:
        return own
    return usual if file is None else file


def _is_broad(matcher: Matcher) -> bool:
    """Whether a matcher says nothing of what it wants: it lets a missing label pass, or any value."""
    if matcher.matches({}):
        return True
    return matcher.operator is Operator.MATCHES and matcher.value in {".*", ".+", "(.*)", "(.+)", ".*.+", ".+.*"}


def compile_intervals(
    items: list[Item[IntervalsShape]], given: Mapping[str, tuple[TimeInterval, ...]], faults: Faults
) -> dict[str, tuple[TimeInterval, ...]]:
    """All named time intervals, those of the settings (`given`) included."""
    found = dict(given)
    for item in items:
        if item.shape.name in given:
            sentence = f"the settings have another time interval '{item.shape.name}'"
            faults.error(item.document.at((*item.path, "name")), "duplicate-name", sentence, "rename one of them")
        found[item.shape.name] = tuple(
            interval
            for place, raw in enumerate(item.shape.time_intervals)
            if (interval := _interval(item.document, (*item.path, "time_intervals", place), raw, faults))
        )
    return found


def _interval(document: Document, path: Path, raw: Mapping[str, object], faults: Faults) -> TimeInterval | None:
    try:
        return parse_time_interval(raw)
    except ValueError as fault:
        where, _, sentence = str(fault).partition(": ")
        sentence, _, fix = sentence.partition("; ")
        for part in where.replace("]", "").replace("[", ".").split("."):
            path = (*path, int(part) if part.isdigit() else part)
        faults.error(document.at(path), "bad-time-interval", f"{where}: {sentence}", fix)
        return None
