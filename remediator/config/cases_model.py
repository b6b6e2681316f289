"""The shape of a file of rule tests (`rules/*_test.yml`): which keys there are, what each may hold, and what it means.

Only the shape; what a test means together with its rules is for `cases` and the rehearsal to see.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from remediator.config.documents import Bare
from remediator.config.rules_model import Version
from remediator.config.shapes import (
    LabelName,
    Misspelt,
    ModeWord,
    Name,
    Names,
    PositiveSeconds,
    Seconds,
    Shape,
    Switch,
    Text,
    Texts,
    kind_of,
    nearest,
)
from remediator.core.durations import parse_duration

_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?(?:[eE][-+]?[0-9]{1,2})?")
_ANYTHING = WithJsonSchema({})
FOREVER = float("inf")


class Word(StrEnum):
    """Answers in words."""

    TRUE = "true"
    FALSE = "false"
    ABSENT = "absent"
    ERROR = "error"


Answer = float | Word


@dataclass(frozen=True, slots=True)
class Script:
    """What is said, time after time: in the order asked (`at` None; the last repeats), or from a time of the test on (s)."""

    parts: tuple[tuple[float | None, str | Answer], ...]

    @property
    def timed(self) -> bool:
        """Whether the time counts, and not how often it was asked."""
        return bool(self.parts) and self.parts[0][0] is not None


def _answer(raw: object) -> Answer:
    if isinstance(raw, str):
        if isinstance(raw, Bare) and _NUMBER.fullmatch(raw):
            return float(raw)
        if raw in set(Word):
            return Word(raw)
    sentence = f"{kind_of(raw)} is no answer"
    raise Misspelt("bad-answer", sentence, "write a number, true, false, absent or error")


def _script(raw: object) -> Script:
    if isinstance(raw, list):
        if not raw:
            raise Misspelt("empty-list", "is empty", "write at least one answer")
        return Script(tuple((None, _answer(part)) for part in raw))
    if isinstance(raw, dict):
        timed = sorted((_time(at), place, _answer(part)) for place, (at, part) in enumerate(raw.items()))
        return Script(tuple((at, answer) for at, _place, answer in timed))
    return Script(((None, _answer(raw)),))


def _time(raw: str) -> float:
    try:
        return parse_duration(str(raw))
    except ValueError as fault:
        raise Misspelt(
            "bad-duration", str(fault).partition("; ")[0], "write the time since the start: 0s, 5m"
        ) from None


def _words(known: tuple[str, ...]) -> BeforeValidator:
    def check(raw: object) -> Script:
        found = []
        for part in raw if isinstance(raw, list) else [raw]:
            if not isinstance(part, str) or part not in known:
                raise Misspelt("unknown-word", f"{kind_of(part)} is not known here", nearest(str(part), known))
            found.append((None, str(part)))
        if not found:
            raise Misspelt("empty-list", "is empty", "write at least one word")
        return Script(tuple(found))

    return BeforeValidator(check)


OUTCOMES = ("ok", "failed", "retryable", "not_issued", "unknown", "unknown_arrived")
UNDOS = ("undone", "gone", "foreign", "failed", "unknown")

Answers = Annotated[Script, BeforeValidator(_script), _ANYTHING]
Outcomes = Annotated[Script, _words(OUTCOMES), _ANYTHING]
Undos = Annotated[Script, _words(UNDOS), _ANYTHING]


def _moment(raw: object) -> float:
    if isinstance(raw, str):
        try:
            found = datetime.fromisoformat(raw)
        except ValueError:
            pass
        else:
            if found.tzinfo is not None:
                return found.timestamp()
    raise Misspelt("bad-time", f"{kind_of(raw)} is no moment", 'write for example "2026-11-24T10:00:00Z", in quotes')


Moment = Annotated[float, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]


def _many(raw: object) -> object:
    return [raw] if isinstance(raw, dict) else raw


class AlertShape(Shape):
    """An alert that Alertmanager sends."""

    noun: ClassVar[str] = "an alert"
    labels: dict[LabelName, Text] = Field(description="Its labels.")
    annotations: dict[LabelName, Text] = Field(default_factory=dict, description="Its annotations.")
    at: Seconds = Field(default=0.0, description="When it is received, since the start of the test. Default 0s.")
    resolves: PositiveSeconds | None = Field(default=None, description="When its end is received.")


class PersonShape(Shape):
    """What a person does meanwhile."""

    noun: ClassVar[str] = "an item of 'people'"
    at: Seconds = Field(default=0.0, description="When, since the start of the test.")
    rule: Name | None = Field(
        default=None, description="On whose incident, if there are several; for pause: of which rule."
    )
    approve: Text | None = Field(default=None, description="Says yes, with this reason.")
    reject: Text | None = Field(default=None, description="Says no, with this reason.")
    pause: Text | None = Field(default=None, description="Pauses, with this reason.")
    lasts: PositiveSeconds | None = Field(default=None, alias="for", description="With pause: for how long.")
    resume: Switch = Field(default=False, description="Ends the pause.")
    undo: Switch = Field(default=False, description="Takes back what the incident left behind.")
    decide: Text | None = Field(default=None, description="mark_done, continue, rollback or abort.")


class StopShape(Shape):
    """A time in which the service is not there."""

    noun: ClassVar[str] = "'stop'"
    at: Seconds = Field(default=0.0, description="When it stops, since the start of the test.")
    lasts: PositiveSeconds = Field(alias="for", description="For how long.")


class MessageShape(Shape):
    """A message that must be among those sent."""

    noun: ClassVar[str] = "a message"
    to: Text | None = Field(default=None, description="The route: a severity, or escalate.")
    subject: Text | None = Field(default=None, description="A part of its subject.")
    text: Text | None = Field(default=None, description="A part of its text.")


def _messages(raw: object) -> object:
    if isinstance(raw, str):
        return [{"subject": raw}]
    if isinstance(raw, dict):
        return [raw]
    if isinstance(raw, list):
        return [{"subject": part} if isinstance(part, str) else part for part in raw]
    return raw


ANSWERS = ("allow", "ask", "defer", "deny")
DECISIONS = ("run", "ask", "hold", "refuse")


def _one_of(*words: str) -> BeforeValidator:
    def check(raw: object) -> str:
        if not isinstance(raw, str) or raw not in words:
            raise Misspelt("unknown-word", f"{kind_of(raw)} is not known here", nearest(str(raw), words))
        return str(raw)

    return BeforeValidator(check)


def _whole(raw: object) -> int:
    if isinstance(raw, Bare) and re.fullmatch("[0-9]{1,4}", raw):
        return int(raw)
    raise Misspelt("wrong-type", f"must be a whole number, not {kind_of(raw)}", "write for example 1")


def _undo_at(raw: object) -> object:
    return raw if isinstance(raw, dict) else {"*": raw}


class ExpectShape(Shape):
    """What must have come of it; what is left out is not looked at."""

    noun: ClassVar[str] = "'expect'"
    rule: Text | None = Field(default=None, description="The rule of the incident that is meant; by-hand:PLAYBOOK.")
    target: dict[LabelName, Text] | None = Field(default=None, description="Its target, or a part of it.")
    incidents: Annotated[int, BeforeValidator(_whole)] | None = Field(
        default=None, description="How many incidents there were in all."
    )
    disposition: Text | None = Field(default=None, description="What became of the alert, or of the occurrence.")
    decision: Annotated[str, _one_of(*DECISIONS)] | None = Field(
        default=None, description="The guards' last answer before the first step: run, ask, hold, refuse."
    )
    reason: Text | None = Field(
        default=None,
        description="A part of what a guard said that held it back, of a run's last word, or of a disposition.",
    )
    guards: dict[Name, Annotated[str, _one_of(*ANSWERS)]] | None = Field(
        default=None, description="Verdicts that were given: allow, ask, defer, deny."
    )
    steps: Texts | None = Field(default=None, description="The actions that were issued, in order.")
    arguments: dict[Text, dict[Text, object]] | None = Field(
        default=None, alias="with", description="Rendered arguments, by action or name of the step; a part of them."
    )
    result: Text | None = Field(default=None, description="The last run's result.")
    results: Texts | None = Field(default=None, description="The results of all runs, in order.")
    closed: Text | None = Field(default=None, description="The incident's last word; open if it is still open.")
    undone: Texts | None = Field(default=None, description="The actions that were taken back, in order.")
    undo_at: Annotated[dict[str, Seconds], BeforeValidator(_undo_at), _ANYTHING] | None = Field(
        default=None, description="When effects are taken back, since the start of the test; or by action."
    )
    messages: Annotated[list[MessageShape], BeforeValidator(_messages), _ANYTHING] | None = Field(
        default=None, description="Messages that must be among those sent."
    )
    escalated: Switch | None = Field(default=None, description="Whether people were called.")


class DueShape(Shape):
    """A rule that comes due."""

    noun: ClassVar[str] = "'schedule'"
    rule: Name = Field(description="The rule; the test begins a second before it comes due.")


class ByHandShape(Shape):
    """A playbook that a person runs."""

    noun: ClassVar[str] = "'by_hand'"
    playbook: Name = Field(description="The playbook.")
    arguments: dict[LabelName, Text] = Field(
        default_factory=dict, alias="with", description="A value for each of its parameters."
    )
    at: Seconds = Field(default=0.0, description="When, since the start of the test. Default 0s.")


def _due(raw: object) -> object:
    return {"rule": raw} if isinstance(raw, str) else raw


class CaseShape(Shape):
    """One test."""

    noun: ClassVar[str] = "a test"
    name: Text = Field(description="What is tested, as a sentence.")
    start: Moment | None = Field(default=None, description="When it begins; default: that of the file.")
    mode: ModeWord | None = Field(default=None, description="The server's mode; default: that of the file.")
    alert: AlertShape | None = Field(default=None, description="The alert.")
    alerts: list[AlertShape] | None = Field(default=None, description="Several alerts.")
    schedule: Annotated[DueShape, BeforeValidator(_due), _ANYTHING] | None = Field(
        default=None, description="The rule that comes due, instead of an alert."
    )
    by_hand: ByHandShape | None = Field(
        default=None, description="The playbook that a person runs, instead of an alert."
    )
    answers: dict[Text, Answers] = Field(
        default_factory=dict, description="What Prometheus and other probes say, by question."
    )
    alertmanager: Answers | None = Field(default=None, description="Whether the alert is active in Alertmanager.")
    actions: dict[Text, Outcomes] = Field(default_factory=dict, description="Outcomes, by action or name of the step.")
    undo: dict[Text, Undos] = Field(default_factory=dict, description="What taking back comes to, by action.")
    people: list[PersonShape] = Field(default_factory=list, description="What people do meanwhile.")
    stop: StopShape | None = Field(default=None, description="A time in which the service is not there.")
    lasts: PositiveSeconds | None = Field(
        default=None, description="How long the test goes on. Default: until nothing is left."
    )
    expect: object = Field(description="What must have come of it; a list for several incidents.")


class ToldCaseShape(CaseShape):
    """One test, as editors are told of it: an expectation stands alone or in a list, and is read by itself."""

    expect: Annotated[list[ExpectShape], BeforeValidator(_many)] = Field(
        min_length=1, description="What must have come of it; a list for several incidents."
    )


class CasesOutline(Shape):
    """A file of rule tests whose tests are looked at one by one."""

    noun: ClassVar[str] = "a file of rule tests"
    version: Version = Field(description="The version of this format: 1.")
    rule_files: Texts = Field(description="The rules files that are tested, from this file on.")
    nodes: Names | None = Field(default=None, description="The nodes of the settings, for each: node. Default [mta1].")
    mode: ModeWord | None = Field(default=None, description="The server's mode. Default auto.")
    start: Moment | None = Field(default=None, description="When each test begins. Default 2026-11-24T10:00:00Z.")
    tests: list[object] = Field(min_length=1, description="The tests.")


class CasesFile(Shape):
    """A file of rule tests."""

    noun: ClassVar[str] = "a file of rule tests"
    version: Version = Field(description="The version of this format: 1.")
    rule_files: Texts = Field(description="The rules files that are tested, from this file on.")
    nodes: Names | None = Field(default=None, description="The nodes of the settings, for each: node. Default [mta1].")
    mode: ModeWord | None = Field(default=None, description="The server's mode. Default auto.")
    start: Moment | None = Field(default=None, description="When each test begins. Default 2026-11-24T10:00:00Z.")
    tests: list[ToldCaseShape] = Field(min_length=1, description="The tests.")
