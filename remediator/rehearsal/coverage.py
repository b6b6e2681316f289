"""What the tests of a file have seen of its rules: rules, steps, guards, and what happens when something fails. Pure.

What is to be seen comes from the rules and playbooks; what was seen, from the journals of the tests. A guard counts where
somebody wrote it down: in a rule for that rule, in the file's `defaults` once for the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from remediator.core import entries as e
from remediator.core.outcomes import Result, UndoResult
from remediator.core.rules import Mode, Playbook, Rule, Ruleset
from remediator.core.verdicts import Answer
from remediator.rehearsal.playing import Played
from remediator.rehearsal.stories import Story, stories

KINDS = ("rules", "steps", "guards", "failures")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Seen:
    """Something that a test can see: its kind, whose it is, and what it is."""

    kind: str
    owner: str
    what: str

    def __str__(self) -> str:
        return f"{self.owner}: {self.what}" if self.what else self.owner


@dataclass(slots=True)
class Coverage:
    """What there is to see in a file's rules, and what of it was seen."""

    wanted: tuple[Seen, ...]
    seen: set[Seen] = field(default_factory=set)

    @property
    def missing(self) -> list[Seen]:
        """What no test has seen, in the order of the rules."""
        return [one for one in self.wanted if one not in self.seen]

    def share(self, kind: str = "") -> tuple[int, int]:
        """How many were seen, of how many; of one kind, if it is named."""
        mine = [one for one in self.wanted if kind in {"", one.kind}]
        return sum(one in self.seen for one in mine), len(mine)

    @property
    def percent(self) -> float:
        """The share of all, from 0 to 100; with nothing to see, all of it was."""
        seen, wanted = self.share()
        return 100.0 * seen / wanted if wanted else 100.0

    @classmethod
    def of_all(cls, some: Iterable[Coverage]) -> Coverage:
        """What several files of tests have seen together: what one leaves out may be another's to see."""
        parts = list(some)
        wanted = dict.fromkeys(one for part in parts for one in part.wanted)
        return cls(tuple(wanted), {one for part in parts for one in part.seen})

    def take(self, played: Played) -> None:
        """Adds what one test has seen."""
        wanted = frozenset(self.wanted)
        for story in stories(played):
            self.seen |= wanted & frozenset(_seen(story, played.ruleset, wanted))


# ── what there is ────────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Where guards are written: the names of those in each rule, and in the `defaults` of each file with its rules."""

    by_rule: Mapping[str, Sequence[str]]
    by_file: Mapping[str, tuple[Sequence[str], frozenset[str]]] = field(default_factory=dict)


def wanted_of(ruleset: Ruleset, written: Written) -> tuple[Seen, ...]:
    """Everything that tests of these rules should have seen."""
    found: list[Seen] = []
    for rule in ruleset.rules:
        found.append(Seen(kind="rules", owner=rule.name, what=""))
        found += [Seen(kind="guards", owner=rule.name, what=f"{guard} holds back") for guard in _guards(rule, written)]
        found += _conditions(rule)
        if rule.mode is Mode.APPROVE:
            found += [
                Seen(kind="failures", owner=rule.name, what=f"approval {word}") for word in ("given", "not given")
            ]
    for file, (guards, _rules) in written.by_file.items():
        found += [Seen(kind="guards", owner=file, what=f"{guard} holds back") for guard in guards]
    for playbook in ruleset.playbooks.values():
        found += _of_playbook(playbook)
    return tuple(dict.fromkeys(found))


def _guards(rule: Rule, written: Written) -> list[str]:
    return [*written.by_rule.get(rule.name, ()), *(["mode"] if rule.mode is Mode.APPROVE else [])]


def _conditions(rule: Rule) -> list[Seen]:
    named = [("when", rule.when)] if rule.when is not None else []
    found = [Seen(kind="guards", owner=rule.name, what=f"{word} {side}") for word, _ in named for side in ("yes", "no")]
    for place in range(len(rule.guards.require)):
        found += [Seen(kind="guards", owner=rule.name, what=f"require {place + 1} {side}") for side in ("yes", "no")]
    return found


def _of_playbook(playbook: Playbook) -> list[Seen]:
    found: list[Seen] = []
    for step in playbook.steps:
        found.append(Seen(kind="steps", owner=playbook.name, what=step.name))
        found.append(Seen(kind="failures", owner=playbook.name, what=f"{step.name} fails"))
        if step.undo_after is not None:
            found.append(Seen(kind="failures", owner=playbook.name, what=f"{step.name} is taken back at its time"))
    if playbook.verify:
        ends = ("verification: not recovered", "verification: could not tell")
        found += [Seen(kind="failures", owner=playbook.name, what=end) for end in ends]
    ways = (f"on_failure: {word.value}" for word in playbook.on_failure)
    return [*found, *(Seen(kind="failures", owner=playbook.name, what=way) for way in ways)]


# ── what was seen ────────────────────────────────────────────────────────────────────────────────────────────────────
def _seen(story: Story, ruleset: Ruleset, wanted: frozenset[Seen]) -> Iterable[Seen]:
    yield from _seen_steps(story)
    yield from _seen_ends(story)
    rule = ruleset.rule(story.opened.rule)
    if rule is None:  # by hand
        return
    yield Seen(kind="rules", owner=rule.name, what="")
    yield from _seen_guards(story, rule, wanted)
    for fact in story.others:
        if isinstance(fact, e.ApprovalGiven):
            yield Seen(kind="failures", owner=rule.name, what="approval given")
        elif isinstance(fact, e.ApprovalRefused | e.ApprovalExpired):
            yield Seen(kind="failures", owner=rule.name, what="approval not given")


def _seen_guards(story: Story, rule: Rule, wanted: frozenset[Seen]) -> Iterable[Seen]:
    files = [one.owner for one in wanted if one.kind == "guards" and one.owner.endswith((".yml", ".yaml"))]
    for verdict in story.verdicts:
        held = verdict.answer > Answer.ALLOW
        if held:
            what = f"{verdict.guard} holds back"
            yield Seen(kind="guards", owner=rule.name, what=what)
            for file in files:
                if rule.source.rpartition(":")[0].endswith(file):
                    yield Seen(kind="guards", owner=file, what=what)
        if verdict.guard == "when":
            yield Seen(kind="guards", owner=rule.name, what=f"when {'no' if held else 'yes'}")
        if verdict.guard == "require":
            yield from _seen_requires(rule, verdict.sentence, held)


def _seen_requires(rule: Rule, sentence: str, held: object) -> Iterable[Seen]:
    """The first that does not hold is told by its own reason; those before it did hold, as all do when none is told."""
    for place, condition in enumerate(rule.guards.require):
        if held and condition.because in sentence:
            yield Seen(kind="guards", owner=rule.name, what=f"require {place + 1} no")
            return
        yield Seen(kind="guards", owner=rule.name, what=f"require {place + 1} yes")


def _seen_steps(story: Story) -> Iterable[Seen]:
    names = {one.run: one.plan.playbook for one in story.planned}
    for intent in story.intents:
        yield Seen(kind="steps", owner=names[intent.run], what=story.step(intent.run, intent.step).name)
    for outcome in story.outcomes:
        step = story.step(outcome.run, outcome.step)
        if outcome.outcome.result in {Result.FAILED, Result.UNKNOWN}:
            yield Seen(kind="failures", owner=names[outcome.run], what=f"{step.name} fails")
    causes = {(one.run, one.step, one.attempt): one.cause for one in story.others if isinstance(one, e.UndoIntent)}
    for _at, undone in story.undone:
        if undone.outcome.result is UndoResult.UNDONE and causes[undone.run, undone.step, undone.attempt] == "expiry":
            step = story.step(undone.run, undone.step)
            yield Seen(kind="failures", owner=names[undone.run], what=f"{step.name} is taken back at its time")


_VERDICTS = {"not_recovered": "not recovered", "unknown": "could not tell"}


def _seen_ends(story: Story) -> Iterable[Seen]:
    names = {one.run: one.plan.playbook for one in story.planned}
    for concluded in story.concluded:
        if not concluded.simulated and concluded.verdict in _VERDICTS:
            what = f"verification: {_VERDICTS[concluded.verdict]}"
            yield Seen(kind="failures", owner=names[concluded.run], what=what)
    for fact in story.others:
        if isinstance(fact, e.RollbackStarted):
            yield Seen(kind="failures", owner=names[fact.run], what="on_failure: rollback")
        elif isinstance(fact, e.Escalated) and fact.run in names:
            yield Seen(kind="failures", owner=names[fact.run], what="on_failure: escalate")
