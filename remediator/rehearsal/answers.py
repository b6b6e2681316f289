"""What is said to a question, by a test's script: found by what is asked, counted by how often, judged by its comparison."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import promql_parser

from remediator.config.cases_model import Answer, Script, Word
from remediator.core.outcomes import Look, Observation

# The words by which questions are named; any other key is a part of the question itself.
KNOWN = ("when", "require", "verify", "healthy", "of", "trust", "alertmanager")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_MIRRORED = {">": "<", "<": ">", ">=": "<=", "<=": ">="}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question that was put, and what was said to it."""

    at: float
    word: str
    question: str
    said: str
    key: str = ""


class Answers:
    """The scripted answers of one test. `passed` gives the seconds since its start."""

    def __init__(self, scripts: Mapping[str, Script], passed: Callable[[], float]) -> None:
        self._scripts = scripts
        self._passed = passed
        self._counts: dict[str, int] = {}
        self.asked: list[Asked] = []

    def to(self, word: str, question: str, otherwise: Answer = Word.ABSENT) -> Answer:
        """The answer to `question`, which is a `when`, a `require` …; `otherwise` where the test says nothing."""
        key = self._key(word, question)
        answer = self._next(key) if key is not None else otherwise
        told = f"{answer:g}" if isinstance(answer, float) else answer.value
        self.asked.append(Asked(at=self._passed(), word=word, question=question, said=told, key=key or ""))
        return answer

    def unused(self) -> list[str]:
        """The parts of questions that were in no question: most likely misspelt."""
        used = {one.key for one in self.asked}
        return [key for key in self._scripts if key not in used and key not in KNOWN]

    def _key(self, word: str, question: str) -> str | None:
        parts = [key for key in self._scripts if key not in KNOWN and key in question]
        if parts:
            return max(parts, key=len)
        return word if word in self._scripts else None

    def _next(self, key: str) -> Answer:
        script = self._scripts[key]
        if script.timed:
            now = self._passed()
            said = [answer for at, answer in script.parts if at is not None and at <= now]
            return _plain(said[-1] if said else Word.ABSENT)
        count = self._counts.get(key, 0)
        self._counts[key] = count + 1
        return _plain(script.parts[min(count, len(script.parts) - 1)][1])


def _plain(part: str | Answer) -> Answer:
    return part if isinstance(part, (float, Word)) else Word(part)


def observed(answer: Answer, question: str, at: float) -> Observation:
    """The answer as what a probe would have seen; a number is judged by the question's own comparison."""
    match answer:
        case Word.TRUE:
            return Observation(look=Look.GOOD, sentence="yes, says the test", at=at)
        case Word.FALSE:
            return Observation(look=Look.BAD, sentence="no, says the test", at=at)
        case Word.ABSENT:
            return Observation(look=Look.UNKNOWN, sentence="there is no data, says the test", at=at)
        case Word.ERROR:
            return Observation(look=Look.UNKNOWN, sentence="nobody answers, says the test", at=at)
        case _:
            good = holds(question, answer)
            return Observation(look=Look.GOOD if good else Look.BAD, sentence=f"{answer:g}", at=at, value=answer)


def holds(expr: str, value: float) -> bool:
    """Whether a query is true for `value` of what it compares: the first comparison with a number that is in it.

    A query that compares nothing is true with any number; so is a text that is no query.
    """
    try:
        found = _comparison(promql_parser.parse(expr))
    except ValueError:
        return True
    if found is None:
        return True
    sign, limit = found
    return _COMPARE[sign](value, limit)


def _comparison(node: object) -> tuple[str, float] | None:
    if isinstance(node, promql_parser.ParenExpr):
        return _comparison(node.expr)
    if not isinstance(node, promql_parser.BinaryExpr):
        return None
    sign = str(node.op)
    if sign in _COMPARE:
        if isinstance(node.rhs, promql_parser.NumberLiteral):
            return sign, node.rhs.val
        if isinstance(node.lhs, promql_parser.NumberLiteral):
            return _MIRRORED.get(sign, sign), node.lhs.val
    return _comparison(node.lhs) or _comparison(node.rhs)
