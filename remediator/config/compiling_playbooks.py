"""Shapes to core values: playbooks, their steps and verification, against the plug-ins in force. Pure."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from remediator.config.arguments import Bound, Slot, bind, bind_main
from remediator.config.each import BLANKS, for_node, says_each, template_for
from remediator.config.placeholders import Blanks, plain_text, read_template
from remediator.config.rules_model import CheckShape, StepShape, UndoShape
from remediator.config.shapes import nearest
from remediator.core.outcomes import EffectClass
from remediator.core.params import ParamType
from remediator.core.rendering import Template
from remediator.core.rules import Check, OnError, OnFailure, OnUnknown, Playbook, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remediator.config.compiling import Item
    from remediator.config.documents import Path
    from remediator.config.faults import Faults
    from remediator.config.rules_model import PlaybookShape
    from remediator.ports import Action, Catalogue, Probe

# From harmless to repeat to never to repeat.
STRICTNESS = (EffectClass.READ, EffectClass.SAFE, EffectClass.KEYED, EffectClass.ONCE)
SHORT_PROBES = {"expr": "promql", "http": "http", "command": "command", "alert": "alert"}
MANUAL = "manual"
LIMIT = 1800.0
TIMEOUT = 30.0


def compile_playbook(
    item: Item[PlaybookShape], catalogue: Catalogue, nodes: Sequence[str], faults: Faults
) -> Playbook | None:
    """The playbook; None after telling `faults` all that is wrong with it."""
    return _PlaybookCompiler(item, catalogue, nodes, faults).playbook()


class _PlaybookCompiler:
    """Compiles one playbook."""

    def __init__(self, item: Item[PlaybookShape], catalogue: Catalogue, nodes: Sequence[str], faults: Faults) -> None:
        self._item = item
        self._catalogue = catalogue
        self._nodes = nodes
        self._faults = faults
        names = {"params": frozenset(item.shape.params), "incident": frozenset({"id"})}
        self._blanks = Blanks(names=names, place=f"playbook '{item.shape.name}'")

    def playbook(self) -> Playbook | None:
        """The playbook, if nothing is wrong with it."""
        shape, before = self._item.shape, len(self._faults.problems)
        steps = [self._steps(place, step) for place, step in enumerate(shape.steps)]
        checks = [self._check(place, check) for place, check in enumerate(shape.verify)]
        atomic = self._atomic_from(shape.atomic_from, [step.name for step in shape.steps])
        plain_text(self._item.document, self._at("summary"), shape.summary, self._faults)
        if self._item.lacks("verify"):
            sentence = f"'{shape.name}' verifies nothing, so nobody will know whether it helped"
            position = self._item.document.at(self._at("name"))
            self._faults.warning(position, "no-verify", sentence, "add verify: [{ expr: …, for: 5m, within: 20m }]")
        if any(problem.severity == "error" for problem in self._faults.problems[before:]):
            return None
        whole_steps = tuple(itertools.chain.from_iterable(steps))
        atomic_from = sum(map(len, steps[:atomic])) if atomic is not None else None
        whole_checks = tuple(check for check in checks if check)
        return Playbook(
            name=shape.name,
            params={name: ParamType(kind) for name, kind in shape.params.items()},
            steps=whole_steps,
            verify=whole_checks,
            on_failure=tuple(OnFailure(word) for word in shape.on_failure),
            on_unknown=OnUnknown(shape.on_unknown),
            continue_on_resolve=shape.continue_on_resolve,
            atomic_from=atomic_from,
            limit=self._limit(whole_steps, whole_checks),
            summary=shape.summary or "",
            source=self._item.source,
        )

    def _at(self, *parts: str | int) -> Path:
        return (*self._item.path, *parts)

    def _slot(self, path: Path, blanks: Blanks | None = None) -> Slot:
        return Slot(document=self._item.document, path=path, blanks=blanks or self._blanks, faults=self._faults)

    def _atomic_from(self, name: str | None, steps: list[str]) -> int | None:
        """The place of the step that is called so; it has to be the only one."""
        if name is None:
            return None
        if steps.count(name) != 1:
            found = "no step" if name not in steps else "more than one step"
            sentence, position = f"{found} is called '{name}'", self._item.document.at(self._at("atomic_from"))
            self._faults.error(position, "unknown-step", sentence, nearest(name, steps))
            return None
        return steps.index(name)

    def _limit(self, steps: tuple[Step, ...], checks: tuple[Check, ...]) -> float:
        """The time limit of a run; what is written must leave room for the verification to end by itself."""
        needed = sum(step.timeout * step.attempts + step.delay * (step.attempts - 1) for step in steps)
        needed += max((check.within + check.hold for check in checks), default=0.0)
        written = self._item.shape.limit
        if written is not None and written < needed:
            sentence = f"the steps and the verification may take {needed:g} s, the limit is {written:g} s"
            position = self._item.document.at(self._at("limit"))
            self._faults.warning(position, "limit-too-short", sentence, "raise limit, or shorten within")
        return written if written is not None else max(LIMIT, needed)

    def _steps(self, place: int, shape: StepShape) -> tuple[Step, ...]:
        """The step, or one for each node; none where it has faults, or there are no nodes."""
        step = self._step(place, shape)
        if step is None or shape.each is None:
            return (step,) if step is not None else ()
        position = self._item.document.key(self._at("steps", place, "each"))
        if not says_each({**step.arguments, "forgets": list(step.forgets)}):
            sentence = f"step '{shape.name}' would be the very same for each node"
            self._faults.error(position, "unused-field", sentence, 'write "{{ each.node }}" for the node')
        if not self._nodes:
            sentence = f"the settings name no node, so step '{shape.name}' is made for none"
            self._faults.warning(position, "no-nodes", sentence, "add targets.kumomta.nodes")
        return tuple(
            replace(
                step,
                name=step.name if len(self._nodes) == 1 else f"{step.name} ({node})",
                arguments={name: for_node(tree, node) for name, tree in step.arguments.items()},
                forgets=tuple(template_for(one, node) for one in step.forgets),
            )
            for node in self._nodes
        )

    def _blanks_of(self, shape: StepShape) -> Blanks:
        return self._blanks if shape.each is None else replace(self._blanks, names={**self._blanks.names, **BLANKS})

    def _step(self, place: int, shape: StepShape) -> Step | None:
        path = self._at("steps", place)
        plain_text(self._item.document, (*path, "name"), shape.name, self._faults)
        if (shape.action is None) == (shape.manual is None):
            here = ("steps", place)
            both = shape.action is not None
            if both or (self._item.lacks("action", here, StepShape) and self._item.lacks("manual", here, StepShape)):
                sentence = f"step '{shape.name}' needs either an action or a manual sentence"
                position = self._item.document.at(path)
                self._faults.error(position, "missing-field", sentence, "write action: … or manual: …")
            return None
        kind = shape.action or MANUAL
        action = self._catalogue.actions.get(kind)
        if action is None:
            position = self._item.document.at((*path, "action" if shape.action else "manual"))
            fix = nearest(kind, self._catalogue.actions)
            self._faults.error(position, "unknown-action", f"there is no action '{kind}'", fix)
            return None
        bound = self._bind_step(path, shape, action)
        undo_after = self._undo(path, shape, action)
        effect = self._effect(path, shape, action)
        retry = shape.retry
        if retry is not None and retry.attempts > 1 and effect is EffectClass.ONCE:
            sentence = f"step '{shape.name}' is of class once, which is never made twice by itself; retry does nothing"
            fix = "leave retry out; people can order another attempt"
            self._faults.warning(self._item.document.key((*path, "retry")), "retry-of-once", sentence, fix)
        if bound is None:
            return None
        return Step(
            name=shape.name,
            action=kind,
            arguments=bound.arguments,
            effect=effect,
            timeout=shape.timeout or TIMEOUT,
            attempts=retry.attempts if retry else 1,
            delay=retry.delay if retry else 5.0,
            undo_after=undo_after,
            on_error=OnError(shape.on_error),
            forgets=self._forgets(path, shape),
        )

    def _forgets(self, path: Path, shape: StepShape) -> tuple[Template, ...]:
        found = [
            read_template(self._item.document, (*path, "forgets", place), text, self._blanks_of(shape), self._faults)
            for place, text in enumerate(shape.forgets or ())
        ]
        return tuple(template for template in found if template)

    def _bind_step(self, path: Path, shape: StepShape, action: Action) -> Bound | None:
        if shape.manual is not None:
            return bind_main(self._slot((*path, "manual"), self._blanks_of(shape)), shape.manual, action.params, MANUAL)
        given = self._item.document.get((*path, "with"))
        slot = self._slot((*path, "with") if given is not None else path, self._blanks_of(shape))
        bound = bind(slot, given, action.params, action.kind)
        if bound and bound.literal is not None:
            for sentence in action.faults(bound.literal):
                self._faults.error(self._item.document.key(slot.path), "bad-argument", f"'{action.kind}': {sentence}")
        return bound

    def _undo(self, path: Path, shape: StepShape, action: Action) -> float | None:
        document, undo = self._item.document, shape.undo
        if undo is None:
            if action.lasting and self._item.lacks("undo", path[2:], StepShape):
                sentence = f"'{action.kind}' leaves something behind and never takes it back"
                fix = "add undo: { after: 2h }, or undo: never"
                self._faults.error(document.at((*path, "action")), "no-undo", sentence, fix)
            return None
        if not action.lasting:
            sentence = f"'{action.kind}' leaves nothing behind that could be taken back"
            self._faults.warning(document.key((*path, "undo")), "undo-without-effect", sentence, "leave undo out")
            return None
        if undo.never is None and self._item.lacks("after", (*path[2:], "undo"), UndoShape):
            self._faults.error(
                document.key((*path, "undo")), "bad-undo", "'undo' has no 'after'", "write { after: 2h }"
            )
        return undo.after

    def _effect(self, path: Path, shape: StepShape, action: Action) -> EffectClass:
        if shape.effect is None:
            return action.effect
        written = EffectClass(shape.effect)
        if STRICTNESS.index(written) < STRICTNESS.index(action.effect):
            sentence = f"'{action.kind}' is of class {action.effect}; {written} would promise more than it can keep"
            fix = f"write effect: {action.effect} or a stricter one, or leave it out"
            self._faults.error(self._item.document.at((*path, "effect")), "effect-too-lenient", sentence, fix)
        return written

    def _check(self, place: int, shape: CheckShape) -> Check | None:
        path = self._at("verify", place)
        document = self._item.document
        raw = document.get(path)
        written = [key for key in (*SHORT_PROBES, "probe") if isinstance(raw, dict) and key in raw]
        if len(written) != 1:
            sentence = "an item of 'verify' needs exactly one of expr, http, command, alert and probe"
            if written or self._item.lacks("expr", path[2:], CheckShape):
                self._faults.error(document.at(path), "missing-field", sentence, "write for example expr: …")
            return None
        key = written[0]
        kind = shape.probe or "" if key == "probe" else SHORT_PROBES[key]
        probe = self._catalogue.probes.get(kind)
        if probe is None:
            fix = nearest(kind, self._catalogue.probes)
            self._faults.error(document.at((*path, key)), "unknown-probe", f"there is no probe '{kind}'", fix)
            return None
        bound = self._bind_check(path, key, probe)
        if bound is None:
            return None
        return Check(
            probe=kind,
            arguments=bound.arguments,
            hold=shape.hold,
            within=shape.within,
            every=shape.every,
            samples=shape.samples,
        )

    def _bind_check(self, path: Path, key: str, probe: Probe) -> Bound | None:
        document = self._item.document
        given = document.get((*path, "with"))
        if key == "probe":
            return bind(self._slot((*path, "with") if given is not None else path), given, probe.params, probe.kind)
        if given is not None:
            self._faults.error(
                document.key((*path, "with")), "unknown-field", f"'with' belongs to 'probe', not '{key}'"
            )
        raw = document.get((*path, key))
        if isinstance(raw, dict):
            return bind(self._slot((*path, key)), raw, probe.params, probe.kind)
        return bind_main(self._slot((*path, key)), raw, probe.params, probe.kind)
