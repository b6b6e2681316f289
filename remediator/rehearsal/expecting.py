"""What came of a test against what was expected: every difference with its place in the file. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from remediator.config.cases import Case
from remediator.config.cases_model import ExpectShape, MessageShape
from remediator.core import entries as e
from remediator.core.durations import format_duration, parse_duration
from remediator.core.outcomes import UndoResult
from remediator.core.plans import PlannedStep
from remediator.core.verdicts import Answer, Verdict
from remediator.errors import Position
from remediator.rehearsal.playing import Played
from remediator.rehearsal.stories import Disposed, Story, dispositions, stories

# How exact the time of an undo has to be (s).
EXACT = 60.0
ALL = "*"
_DECIDED = {"allow": "run", "ask": "ask", "defer": "hold", "deny": "refuse"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as expected. `about` is the key, `rule` whose it is, if one is meant.

    `hint` says what was asked and answered, where that helps.
    """

    position: Position
    about: str
    expected: str
    found: str
    rule: str = ""
    hint: str = ""


class _Wrong(Exception):  # not an error of anybody: a difference on its way to the list
    def __init__(self, expected: str, found: str, *parts: str | int) -> None:
        self.expected, self.found, self.parts = expected, found, parts
        super().__init__(found)


def differences(case: Case, played: Played) -> list[Difference]:
    """All differences of one test, in the order of its file."""
    found = [
        Difference(position=case.at(*where), about=str(where[0]), expected="done", found=f"refused: {sentence}")
        for where, sentence in played.refused
    ]
    told, disposed = stories(played), dispositions(played)
    for place, expect in enumerate(case.expects):
        found += _Expectation(case, place, expect, played, told, disposed).differences()
    found += [
        Difference(
            position=case.at(*_given(case, key)), about=key, expected="to be asked for", found="nothing asked for it"
        )
        for key in played.unused
    ]
    return sorted(found, key=lambda one: one.position)


def _given(case: Case, key: str) -> tuple[str, ...]:
    places = (("answers", case.shape.answers), ("actions", case.shape.actions), ("undo", case.shape.undo))
    return next(((name, key) for name, given in places if key in given), (key,))


@dataclass
class _Expectation:
    case: Case
    place: int
    expect: ExpectShape
    played: Played
    told: Sequence[Story]
    disposed: Sequence[Disposed]

    def differences(self) -> Iterator[Difference]:
        for key, check in self._checks():
            try:
                check()
            except _Wrong as wrong:
                yield Difference(
                    position=self.case.expect_at(self.place, key, *wrong.parts),
                    about=key,
                    expected=wrong.expected,
                    found=wrong.found,
                    rule=self._rule(),
                    hint=self._hint() if key in _HINTED else "",
                )

    def _checks(self) -> Iterator[tuple[str, Callable[[], None]]]:
        expect = self.expect
        for key, general in (
            ("incidents", self._incidents),
            ("disposition", self._disposition),
            ("messages", self._messages),
        ):
            if getattr(expect, key) is not None:
                yield key, general
        checks = self._of_incident()
        wanted = [key for key in checks if getattr(expect, "arguments" if key == "with" else key) is not None]
        if expect.reason is not None:
            yield "reason", self._reason
        if not wanted:
            return
        story = self._story()
        if isinstance(story, str):
            yield wanted[0], lambda: _raise(_Wrong(f"an incident{self._which()}", story))
            return
        for key in wanted:
            yield key, partial(checks[key], story)

    # ── of the whole test ────────────────────────────────────────────────────────────────────────────────────────────
    def _incidents(self) -> None:
        if len(self.told) != self.expect.incidents:
            names = "; ".join(story.title for story in self.told) or "none"
            raise _Wrong(str(self.expect.incidents), f"{len(self.told)}: {names}")

    def _mine(self) -> list[Disposed]:
        rule = self.expect.rule
        return [one for one in self.disposed if rule is None or one.rule == rule]

    def _disposition(self) -> None:
        mine = self._mine()
        if self.expect.disposition not in {one.disposition for one in mine}:
            raise _Wrong(str(self.expect.disposition), _list([f"{one.disposition}: {one.reason}" for one in mine]))

    def _reason(self) -> None:
        story = self._story()
        sentences = [one.reason for one in self._mine()]
        if isinstance(story, Story):
            held = (verdict for verdict in story.verdicts if verdict.answer > Answer.ALLOW)
            sentences = list(dict.fromkeys(f"{verdict.guard}: {verdict.sentence}" for verdict in held))
            sentences += [one.reason for one in story.ended]
            sentences += [one.reason for one in self._mine() if one.incident == story.opened.incident]
        wanted = (self.expect.reason or "").removeprefix("~")
        if not any(wanted in sentence for sentence in sentences):
            raise _Wrong(wanted, _list(sentences))

    def _messages(self) -> None:
        for place, wanted in enumerate(self.expect.messages or ()):
            if not any(_fits(wanted, route, message.subject, message.text) for route, message in self.played.messages):
                sent = [f"to {route}: {message.subject}" for route, message in self.played.messages]
                raise _Wrong(_told_message(wanted), _list(sent), place)

    # ── of one incident ──────────────────────────────────────────────────────────────────────────────────────────────
    def _of_incident(self) -> Mapping[str, Callable[[Story], None]]:
        return {
            "target": self._target,
            "decision": self._decision,
            "guards": self._guards,
            "steps": self._steps,
            "with": self._arguments,
            "result": self._result,
            "results": self._results,
            "closed": self._closed,
            "undone": self._undone,
            "undo_at": self._undo_at,
            "escalated": self._escalated,
        }

    def _story(self) -> Story | str:
        """The incident that is meant, or why none can be."""
        rule, target = self.expect.rule, self.expect.target or {}
        named = len(self.case.expects) > 1
        found = [
            story
            for story in self.told
            if rule in {None, story.opened.rule}
            and (not named or all(story.opened.target.get(name) == value for name, value in target.items()))
        ]
        if not found:
            mine = [f"{one.disposition}: {one.reason}" for one in self._mine()]
            return f"none; what came in was {_list(mine)}"
        if len(found) > 1 and (rule is None or not target):
            return f"{len(found)} of them, say which by rule and target: {'; '.join(story.title for story in found)}"
        return found[0]

    def _rule(self) -> str:
        story = self._story()
        return story.opened.rule if isinstance(story, Story) else self.expect.rule or ""

    def _which(self) -> str:
        return f" of {self.expect.rule}" if self.expect.rule else ""

    def _target(self, story: Story) -> None:
        for name, value in (self.expect.target or {}).items():
            if story.opened.target.get(name) != value:
                raise _Wrong(value, story.opened.target.get(name, "no such label"), name)

    def _decision(self, story: Story) -> None:
        last = story.decided[-1] if story.decided else None
        found = _DECIDED[last.answer] if last is not None else "nothing was decided"
        if found != self.expect.decision:
            strict = _strictest(last) if last is not None else None
            why = f": {strict.guard}: {strict.sentence}" if strict is not None else ""
            raise _Wrong(str(self.expect.decision), found + why)

    def _guards(self, story: Story) -> None:
        for guard, wanted in (self.expect.guards or {}).items():
            mine = [verdict for verdict in story.verdicts if verdict.guard == guard]
            if wanted not in {verdict.answer.word for verdict in mine}:
                said = dict.fromkeys(f"{verdict.answer.word}: {verdict.sentence}" for verdict in mine)
                raise _Wrong(wanted, _list(list(said)) if mine else "it was not asked", guard)

    def _steps(self, story: Story) -> None:
        wanted, found = self.expect.steps or [], story.steps
        same = len(wanted) == len(found) and all(
            word in {step.action, step.name} for word, step in zip(wanted, found, strict=True)
        )
        if not same:
            raise _Wrong(_list(wanted), _list([step.action for step in found]))

    def _arguments(self, story: Story) -> None:
        steps = [step for run in story.planned for step in run.plan.steps]
        for name, wanted in (self.expect.arguments or {}).items():
            meant = [step for step in steps if name in {step.action, step.name}]
            if not meant:
                raise _Wrong(f"a step {name}", _list([step.action for step in steps]), name)
            if not any(_has(step, wanted) for step in meant):
                key = next(key for key, value in wanted.items() if not same(value, meant[0].arguments.get(key)))
                raise _Wrong(_shown(wanted[key]), _shown(meant[0].arguments.get(key)), name, key)

    def _result(self, story: Story) -> None:
        found = story.results[-1:] or ["no run"]
        if found != [self.expect.result]:
            raise _Wrong(str(self.expect.result), f"{found[0]}{_why(story)}")

    def _results(self, story: Story) -> None:
        if story.results != (self.expect.results or []):
            raise _Wrong(_list(self.expect.results or []), f"{_list(story.results)}{_why(story)}")

    def _closed(self, story: Story) -> None:
        if story.closed != self.expect.closed:
            raise _Wrong(str(self.expect.closed), f"{story.closed}{_why(story)}")

    def _undone(self, story: Story) -> None:
        wanted, found = self.expect.undone or [], story.taken_back
        same = len(wanted) == len(found) and all(
            word in {step.action, step.name} for word, step in zip(wanted, found, strict=True)
        )
        if not same:
            raise _Wrong(_list(wanted), _list([step.action for step in found]))

    def _undo_at(self, story: Story) -> None:
        times = self._undo_times(story)
        for name, at in (self.expect.undo_at or {}).items():
            mine = [(step, when) for step, when in times if name in {ALL, step.action, step.name}]
            if not mine:
                raise _Wrong(format_duration(at), "nothing is to be taken back", *_key(name))
            for step, when in mine:
                if not -EXACT < when - at < EXACT:
                    found = f"{step.action} after {format_duration(float(round(when)))}"
                    raise _Wrong(format_duration(at), found, *_key(name))

    def _undo_times(self, story: Story) -> list[tuple[PlannedStep, float]]:
        """When each temporary effect was taken back, or will be."""
        last = {intent.run + f"/{intent.step}": intent for intent in story.intents if intent.undo_at is not None}
        done = {one.run + f"/{one.step}": at for at, one in story.undone if one.outcome.result is not UndoResult.FAILED}
        return [
            (story.step(intent.run, intent.step), done.get(key, (intent.undo_at or 0.0) - self.played.start))
            for key, intent in last.items()
        ]

    def _escalated(self, story: Story) -> None:
        called = [one.reason for one in story.others if isinstance(one, e.Escalated)]
        if bool(called) != self.expect.escalated:
            raise _Wrong("people are called" if self.expect.escalated else "nobody is called", _list(called))

    def _hint(self) -> str:
        asked = dict.fromkeys((one.word, one.question, one.said) for one in self.played.asked if one.word != "trust")
        return "\n".join(f"{word}: {question or '-'} = {said}" for word, question, said in list(asked)[-6:])


_HINTED = frozenset({"decision", "guards", "steps", "result", "results", "closed", "reason", "disposition"})


def _raise(wrong: _Wrong) -> None:
    raise wrong


def _strictest(decided: e.RunDecided) -> Verdict | None:
    found = max(decided.verdicts, key=lambda verdict: verdict.answer, default=None)
    return found if found is not None and found.answer > Answer.ALLOW else None


def _why(story: Story) -> str:
    return f": {story.ended[-1].reason}" if story.ended else ""


def _list(words: Sequence[str]) -> str:
    return f"[{', '.join(words)}]" if words else "nothing"


def _key(name: str) -> tuple[str, ...]:
    return () if name == ALL else (name,)


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value)


def _has(step: PlannedStep, wanted: Mapping[str, object]) -> bool:
    return all(same(value, step.arguments.get(name)) for name, value in wanted.items())


def same(wanted: object, found: object) -> bool:
    """Whether a value as written in YAML means the rendered one: `30s` is 30.0, `true` is True."""
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(same, wanted, found))
    if isinstance(wanted, dict) and isinstance(found, dict):
        return wanted.keys() == found.keys() and all(same(value, found[name]) for name, value in wanted.items())
    if isinstance(found, bool):
        return str(wanted) == ("true" if found else "false")
    if isinstance(found, (int, float)) and isinstance(wanted, str):
        try:
            return found == parse_duration(wanted)
        except ValueError:
            return wanted in {str(found), f"{found:g}"}
    return str(wanted) == str(found)


def _fits(wanted: MessageShape, route: str, subject: str, text: str) -> bool:
    return (
        wanted.to in {None, route}
        and (wanted.subject is None or wanted.subject in subject)
        and (wanted.text is None or wanted.text in text)
    )


def _told_message(wanted: MessageShape) -> str:
    parts = (("to", wanted.to), ("subject", wanted.subject), ("text", wanted.text))
    return ", ".join(f"{name} {value}" for name, value in parts if value is not None)
